"""An optimizer whose update is its own code: a class of torch.optim's kind, or a function (params, lr) → optimizer.

It has no equations, so no kernel, document or picture comes from it; a study trains and ranks it beside the formulas,
stepping each member's own optimizer. `registry.of` makes one of whatever a user may give.
"""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..errors import FormulaError, first_line, line_of
from ..unknown import unknown
from .base import Formula
from .equations import Equations, symbol

RATE = 1e-3  # of an optimizer that has no rate of its own


@dataclass(frozen=True)
class Opaque(Formula):
    """An optimizer without equations.

    Attributes:
        source: where its code is; empty where only its name is known.
        maker: the class, or the function (params, lr) → optimizer.
        changed: what is given instead of its defaults; what `functools.partial` fixes may be of any type.
        types: of its numbers, as PyTorch is to be given them.
    """

    maker: Any = field(default=None, repr=False, compare=False)
    types: Mapping[str, type] = field(default_factory=dict, repr=False, compare=False)

    @property
    def is_class(self) -> bool:
        """Whether it is made by a class, whose numbers may differ between parameter groups."""
        return inspect.isclass(self.maker)

    @property
    def by_name(self) -> bool:
        """Whether it takes its numbers by name, and not a rate alone in second place."""
        return "lr" in inspect.signature(self.maker).parameters

    @property
    def states(self) -> tuple[str, ...]:
        """Its own, which nobody knows; as many as Adam's where memory is foreseen."""
        return ("unknown", "unknown")

    def with_(self, **changes: float | bool | str | None) -> Opaque:
        """The same optimizer with other arguments."""
        values = dict(self.hyperparameters)
        for name, value in changes.items():
            if name not in values:
                raise FormulaError(unknown("number among the arguments", name, values, self.name))
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise FormulaError(f"{self.name}: {name} is {value!r}; give a number.")
            values[name] = float(value)
        return replace(self, hyperparameters=values, changed=tuple(sorted({**dict(self.changed), **changes}.items())))

    def typed(self, name: str, value: Any) -> Any:
        """A number as PyTorch is to be given it: whole where its default is."""
        return self.types[name](value) if name in self.types else value

    def latex(self) -> str:
        return r"\text{" + self.source.replace("_", r"\_") + "}"

    def build(self, parameters: Sequence[Any], **values: float) -> Any:
        """An optimizer of these parameters.

        Args:
            values: of its numbers, in place of its own.

        Raises:
            FormulaError: it cannot be made.
        """
        given = {"lr": self.hyperparameters["lr"], **dict(self.changed), **values}
        given = {name: self.typed(name, value) for name, value in given.items()}
        try:
            if self.by_name:
                return self.maker(list(parameters), **given)
            return self.maker(list(parameters), given.pop("lr"), **given)
        except Exception as error:  # whatever somebody's optimizer may raise
            raise FormulaError(
                f"{self.label} cannot be made for this model: {first_line(error)}{line_of(error)}."
            ) from error


def needs_closure(optimizer: Any) -> bool:
    """Whether its step must be given a function that computes the loss and the gradient."""
    parameters = list(inspect.signature(type(optimizer).step).parameters.values())[1:]
    return any(p.name == "closure" and p.default is p.empty for p in parameters)


def taken_apart(maker: Any) -> tuple[Any, dict[str, Any]]:
    """A class or function, and the arguments that `functools.partial` fixes, which have names and can be written."""
    if not isinstance(maker, functools.partial):
        return maker, {}
    plain = (bool, int, float, str, type(None))
    values = [one for value in maker.keywords.values() for one in (value if isinstance(value, tuple) else (value,))]
    if maker.args or not all(isinstance(value, plain) for value in values):
        raise FormulaError(
            "functools.partial of {name} may fix numbers, words and tuples of these, by name; for all else "
            "write a function (params, lr) -> optimizer.",
            name=getattr(maker.func, "__name__", repr(maker.func)),
        )
    return maker.func, dict(maker.keywords)


def opaque(maker: Any) -> Opaque:
    """The optimizer that a class, a function or a `functools.partial` of these makes.

    >>> from torch.optim import SGD
    >>> opaque(functools.partial(SGD, momentum=0.9, nesterov=True)).label
    'sgd(momentum=0.9, nesterov=True)'
    """
    function, fixed = taken_apart(maker)
    parameters = inspect.signature(function).parameters
    if inspect.isclass(function) and "lr" not in parameters:
        raise FormulaError(f"{function.__name__} has no argument lr, so there is no rate to compare; give it one.")
    defaults = {name: fixed.get(name, p.default) for name, p in parameters.items() if "lr" in parameters}
    numbers = {"lr": RATE} | {n: float(v) for n, v in defaults.items() if type(v) in (int, float)}
    kinds = {n: int if n != "lr" and type(parameters[n].default) is int else float for n in numbers if n in parameters}
    name, lr, g = function.__name__.strip("<>").lower(), symbol("lr"), symbol("g")
    equations = Equations(f"opaque {name} of {function.__module__}", tuple(numbers), -lr * g, (), ())
    source = f"{function.__module__}.{function.__qualname__}"
    changed = tuple(sorted(fixed.items()))
    return Opaque(name, equations, numbers, {}, source=source, changed=changed, maker=function, types=kinds)


def is_maker(item: Any) -> bool:
    """Whether it may be a class of optimizers, a function (params, lr) → optimizer, or either with arguments fixed.

    >>> from torch.optim import SGD
    >>> is_maker(functools.partial(SGD, momentum=0.9)), is_maker(lambda params, lr, nesterov=True: ...), is_maker(print)
    (True, True, False)
    """
    function, fixed = taken_apart(item)
    if inspect.isclass(function):
        from torch.optim import Optimizer

        return issubclass(function, Optimizer)
    if not isinstance(function, types.FunctionType | types.MethodType):
        return False
    parameters = inspect.signature(function).parameters
    asked = [name for name, p in parameters.items() if p.default is p.empty and name not in fixed and p.kind < 2]
    return len(asked) == 2 or (len(asked) == 1 and "lr" in parameters)
