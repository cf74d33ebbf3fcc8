"""Rules around other rules: a formula is taken, and a formula is given, with more states and numbers than it had.

`@around` declares one from a function of the inner rule's `Update`. What it gives is declared as every other formula
is, by a function that is run on symbols, so the reference, the kernels, the LaTeX and the recipes follow from it.

Read next: `slow_weights.py`, the shortest of them.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .. import calls
from ..errors import FormulaError
from .base import Formula, formula
from .equations import RESERVED, Option, Update
from .meanings import Meaning
from .reading import with_vocabulary
from .shapes import NAMED


@dataclass(frozen=True)
class Wrapper:
    """A rule around any rule; called with a formula, it gives one whose name is ``name(inner)``.

    Attributes:
        function: takes the inner rule's `Update`, then, as a formula's does, reserved names and its own states, and
            behind the * its own numbers and options; returns an `Update`.
        initial, meanings, source, year, idea, departs: as of a `Formula`, of what is its own.
    """

    name: str
    function: Callable[..., Update] = field(repr=False)
    initial: Mapping[str, float | str] = field(default_factory=dict, repr=False, compare=False)
    meanings: Mapping[str, Meaning] = field(default_factory=dict, repr=False, compare=False)
    source: str = field(default="", repr=False)
    year: int | None = field(default=None, repr=False)
    idea: str = field(default="", repr=False)
    departs: str = field(default="", repr=False)

    @property
    def doc(self) -> str:
        return inspect.getdoc(self.function) or ""

    def __call__(self, rule: Formula, **changes: float | bool | str | None) -> Formula:
        """The rule with this one around it, each number of either by its name.

        >>> import thalweg as tw
        >>> rule = tw.formulas.lookahead(tw.formulas.get("adam(beta2=0.99)"), steps=10)
        >>> rule.label, rule.states
        ('lookahead(adam(beta2=0.99), steps=10)', ('m', 'v', 'phi'))
        """
        made = self.declare(self.around(rule), rule.unchanged)
        return made.with_(**dict(rule.changed), **changes)

    def around(self, rule: Formula) -> str:
        return f"{self.name}({rule.name})"

    def declare(
        self, name: str, rule: Formula, own: Mapping[str, Option | float] | None = None, **facts: Any
    ) -> Formula:
        """A formula of its own name, with the defaults that the inner rule has now.

        Args:
            own: defaults of this wrapper's own numbers and options, where they are others.
            facts: as of `@formula`, where they are not those of the wrapper.
        """
        if rule.function is None:
            raise FormulaError(
                f"{self.name} goes around a formula, and {rule.label} is code without equations: give a rule such as "
                "adamw, or one made by @tw.formula."
            )
        words = {shape: word for word, shape in NAMED.items()}
        given = {fact: getattr(self, fact) for fact in ("source", "year", "idea", "departs", "doc")}
        given |= {"parents": (rule.name,), "direction": rule.direction, "rate": rule.rate}
        made: Formula = formula(
            Around(self, rule, tuple((own or {}).items())),
            name=name,
            initial={**rule.initial, **self.initial},
            meanings={**rule.meanings, **self.meanings},
            shapes={state: words[shape] for state, shape in rule.shapes.items()},
            batched=rule.batched,
            by_shape=rule.by_shape,
            **{**given, **facts},
        )
        return made


@dataclass(frozen=True)
class Around:
    """The function of a formula that is made of another one."""

    wrapper: Wrapper
    rule: Formula
    own: tuple[tuple[str, Option | float], ...] = ()

    def __post_init__(self) -> None:
        both = sorted(self._parameters(self.wrapper.function).keys() & self._inner().keys() - RESERVED.keys())
        if both:
            raise FormulaError(
                f"{self.wrapper.name} cannot go around {self.rule.label}: both have {both[0]}; put it around another "
                "rule, such as adamw."
            )

    @property
    def __signature__(self) -> inspect.Signature:
        """The inner rule's parameters and the wrapper's, each default as it is now."""
        inner, outer = self._inner(), self._parameters(self.wrapper.function)
        values = self.rule.arguments
        kept = [p if p.default in (p.empty, None) else p.replace(default=values[p.name]) for p in inner.values()]
        more = [p.replace(default=dict(self.own).get(p.name, p.default)) for n, p in outer.items() if n not in inner]
        both = sorted([*kept, *more], key=lambda p: (p.kind is p.KEYWORD_ONLY, p.name not in RESERVED))
        return inspect.Signature(both)

    def __call__(self, *positional: Any, **named: Any) -> Update:
        names = [p.name for p in self.__signature__.parameters.values() if p.kind is not p.KEYWORD_ONLY]
        values = dict(zip(names, positional, strict=True)) | named
        assert self.rule.function is not None
        update = _run(self.rule.function, self._inner(), values)
        return _run(self.wrapper.function, self._parameters(self.wrapper.function), values, update)

    def written(self, name: str, changed: Mapping[str, Any]) -> str:
        """``lookahead(adam(beta2=0.99), steps=10)``, unless it has a name of its own."""
        if name != self.wrapper.around(self.rule):
            return calls.write(name, changed)
        own = {name: value for name, value in changed.items() if name not in self._inner()}
        inner = self.rule.with_(**{name: value for name, value in changed.items() if name not in own}).label
        return f"{self.wrapper.name}({', '.join([inner, *(f'{n}={calls.literal(v)}' for n, v in own.items())])})"

    def _inner(self) -> dict[str, inspect.Parameter]:
        assert self.rule.function is not None
        return dict(inspect.signature(self.rule.function).parameters)

    @staticmethod
    def _parameters(function: Callable[..., Update]) -> dict[str, inspect.Parameter]:
        _update, *own = inspect.signature(function).parameters.values()
        return {p.name: p for p in own}


def _run(
    function: Callable[..., Update], parameters: Mapping[str, inspect.Parameter], values: Mapping[str, Any], *first: Any
) -> Update:
    """The function of these parameters, which have these values."""
    positional = [values[name] for name, p in parameters.items() if p.kind is not p.KEYWORD_ONLY]
    named = {name: values[name] for name, p in parameters.items() if p.kind is p.KEYWORD_ONLY and name in values}
    return with_vocabulary(function)(*first, *positional, **named)


def around(**facts: Any) -> Callable[[Callable[..., Update]], Wrapper]:
    """Declare a rule around any rule from its function; the facts are those of a `Wrapper`."""
    return lambda function: Wrapper(function.__name__, function, **facts)
