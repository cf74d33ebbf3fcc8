"""An optimizer whose update is its own code: a class of torch.optim's kind, or a function (params, lr) → optimizer.

It has no equations, so no kernel, document or picture comes from it; a study trains and ranks it beside the formulas,
stepping each member's own optimizer. `registry.of` makes one of whatever a user may give.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..errors import FormulaError, first_line, line_of
from ..unknown import unknown
from .base import Formula

RATE = 1e-3  # of an optimizer that has no rate of its own


@dataclass(frozen=True)
class Opaque(Formula):
    """An optimizer without equations.

    Attributes:
        maker: the class, or the function (params, lr) → optimizer.
        types: of its numbers, as PyTorch is to be given them.
    """

    maker: Any = field(default=None, repr=False, compare=False)
    types: Mapping[str, type] = field(default_factory=dict, repr=False, compare=False)

    @property
    def origin(self) -> str:
        """Where its code is; empty where only its name is known."""
        if self.maker is None:
            return ""
        return f"{self.maker.__module__}.{self.maker.__qualname__}"

    @property
    def is_class(self) -> bool:
        """Whether it takes arguments by name, and not a rate alone."""
        return inspect.isclass(self.maker)

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
        return int(value) if self.types[name] is int else float(value)

    def latex(self) -> str:
        return r"\text{" + self.origin.replace("_", r"\_") + "}"

    def build(self, parameters: Sequence[Any], **values: float) -> Any:
        """An optimizer of these parameters.

        Args:
            values: of its numbers, in place of its own.

        Raises:
            FormulaError: it cannot be made.
        """
        maker, given = self.maker, {**dict(self.changed), **values}
        try:
            if self.is_class:
                return maker(list(parameters), **{name: self.typed(name, value) for name, value in given.items()})
            return maker(list(parameters), float(given.get("lr", self.hyperparameters["lr"])))
        except Exception as error:  # whatever somebody's optimizer may raise
            raise FormulaError(
                f"{self.label} cannot be made for this model: {first_line(error)}{line_of(error)}."
            ) from error


def needs_closure(optimizer: Any) -> bool:
    """Whether its step must be given a function that computes the loss and the gradient."""
    parameters = list(inspect.signature(type(optimizer).step).parameters.values())[1:]
    return any(p.name == "closure" and p.default is p.empty for p in parameters)


def numbers_of(maker: Any) -> tuple[dict[str, float], dict[str, type]]:
    """The numbers among the arguments, and their types; the rate first."""
    numbers, types = {"lr": RATE}, {"lr": float}
    if inspect.isclass(maker):
        parameters = inspect.signature(maker).parameters
        if "lr" not in parameters:
            raise FormulaError(f"{maker.__name__} has no argument lr, so there is no rate to compare; give it one.")
        for name, parameter in parameters.items():
            default = parameter.default
            if isinstance(default, int | float) and not isinstance(default, bool):
                numbers[name], types[name] = float(default), float if name == "lr" else type(default)
    return numbers, types


def is_maker(item: Any) -> bool:
    """Whether it may be a class of optimizers, or a function (params, lr) → optimizer."""
    if inspect.isclass(item):
        from torch.optim import Optimizer

        return issubclass(item, Optimizer)
    return inspect.isfunction(item) and len(inspect.signature(item).parameters) == 2
