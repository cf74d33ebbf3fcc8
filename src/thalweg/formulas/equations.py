"""What a formula is behind its function: expressions in its symbols.

Everything that can be wrong with a user's function is refused when it is declared (`reading.py`); behind that, every
expression is arithmetic in known symbols, whose values have known shapes (`shapes.py`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import sympy as sp

from ..errors import FormulaError
from .operations import OperationBase, total
from .shapes import NUMBER, ONE, WEIGHT, Inference, Shape

DISPLACEMENTS = ("at", "again", "shown")  # of an update, from the weights
SAMPLED = ("sampled", "every")  # what an update says of a gradient on sampled targets
RESERVED = {"g": "gradient", "w": "weight", "t": "step counted from 1", "loss": "loss of the batch"}
WEIGHT_ITSELF = "w"  # the first value of a state that begins at the weight

Option = bool | str | int | None


class Update:
    """What a formula returns: the step added to the weight, and the new value of each state.

    w ← w + step, and each state takes the value named for it. `step` and the states are expressions in the formula's
    parameters. `at`, for the rules that need it, is how far from w the gradient g is to be taken. `again` is how far
    from there a second gradient is taken, which then is g; in `again` itself g is the first one. `shown` is how far
    from w the weights lie that are evaluated and used, where a rule trains at other ones.

    `sampled` is for rules that estimate curvature: the new values of some states, where g is the gradient at w of the
    same batch on targets that are drawn from the model's own outputs, so weighted that g² estimates the diagonal of the
    Gauss–Newton matrix (`Loss.sampled`). They are taken before the step, at the first one and after `every` further
    ones.

    >>> import thalweg as tw
    >>> @tw.formula()
    ... def heavy_ball(g, a, *, lr=0.1, beta=0.9):
    ...     a = beta * a + g
    ...     return tw.Update(-lr * a, a=a)
    >>> heavy_ball.states
    ('a',)
    """

    __slots__ = ("again", "at", "every", "sampled", "shown", "states", "step")

    def __init__(
        self,
        step: Any,
        *,
        at: Any = None,
        again: Any = None,
        shown: Any = None,
        sampled: Mapping[str, Any] | None = None,
        every: int = 1,
        **states: Any,
    ) -> None:
        self.step = step
        self.at = at
        self.again = again
        self.shown = shown
        self.sampled = {} if sampled is None else sampled
        self.every = every
        self.states = states

    def with_(self, **changed: Any) -> Update:
        """The same, but for the step, the states and the rest that are given."""
        others = {name: getattr(self, name) for name in ("step", *DISPLACEMENTS, *SAMPLED)}
        return Update(**{**others, **self.states, **changed})


@dataclass(frozen=True)
class Equations:
    """The expressions of a formula: w ← w + `step`, state ← `states[state]`.

    Two formulas that differ only in the default of a hyperparameter share one `Equations`, and
    therefore one compiled kernel.

    Attributes:
        initial: state → its first value: a number, the name of a hyperparameter, or "w" for that of the weight.
        single: the states that are one number, known before the step.
        shapes: of the states that are neither that nor one value per weight.
        batched: whether a tensor of more than two axes is a batch of matrices, and not one.
        sampled: states that a gradient g on sampled targets gives, with their values, before step 1 and `every` so many
            steps.
    """

    name: str
    hyperparameters: tuple[str, ...]
    step: sp.Expr
    states: tuple[tuple[str, sp.Expr], ...]
    initial: tuple[tuple[str, float | str], ...]
    at: sp.Expr | None = None
    single: tuple[str, ...] = ()
    shapes: tuple[tuple[str, Shape], ...] = ()
    shown: sp.Expr | None = None
    batched: bool = False
    again: sp.Expr | None = None
    sampled: tuple[tuple[str, sp.Expr], ...] = ()
    every: int = 1

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        """Taken once: every step of every tensor looks something up by its equations, and SymPy's hashes are slow."""
        return hash(tuple(getattr(self, field.name) for field in fields(self)))

    def __getstate__(self) -> dict[str, Any]:
        """Without the hash, which is another in another process."""
        return {name: value for name, value in vars(self).items() if name != "_hash"}

    @property
    def lookahead(self) -> Equations | None:
        """w ← w + `at` with the states as they are: the way to the point where the gradient is taken."""
        return None if self.at is None else self._moved("lookahead", self.at, self.state_names)

    @property
    def second(self) -> Equations | None:
        """w ← w + `again`: the way from where the first gradient is taken, which is g, to where the second is."""
        return None if self.again is None else self._moved("second", self.again, ())

    @property
    def showing(self) -> Equations | None:
        """w ← w + `shown` with the states as they are: the way to the weights that are evaluated."""
        return None if self.shown is None else self._moved("shown", self.shown, self.state_names)

    @cached_property
    def estimate(self) -> Equations | None:
        """The states that a gradient on sampled targets gives, and those that these read; the weights stay."""
        if not self.sampled:
            return None
        read = set().union(*(value.free_symbols for _, value in self.sampled)) | {symbol(n) for n, _ in self.sampled}
        kept = [name for name in self.state_names if symbol(name) in read]
        states = {name: symbol(name) for name in kept} | dict(self.sampled)
        return replace(self._moved("sampled", sp.S.Zero, kept), states=tuple((n, states[n]) for n in kept))

    def estimates(self, step: int) -> bool:
        """Whether a gradient on sampled targets is taken before this step, counted from 0."""
        return bool(self.sampled) and step % self.every == 0

    def _moved(self, what: str, step: sp.Expr, kept: Sequence[str]) -> Equations:
        kinds = {
            "states": tuple((name, symbol(name)) for name in kept),
            "initial": tuple(pair for pair in self.initial if pair[0] in kept),
            "single": tuple(name for name in self.single if name in kept),
            "shapes": tuple(pair for pair in self.shapes if pair[0] in kept),
        }
        others = {"at": None, "again": None, "shown": None, "sampled": (), "every": 1}
        return replace(self, name=f"{self.name}_{what}", step=step, **others, **kinds)

    @property
    def state_names(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.states)

    def shape(self, state: str) -> Shape:
        """What a state is one of."""
        return NUMBER if state in self.single else self._shapes.get(state, WEIGHT)

    @cached_property
    def _shapes(self) -> dict[str, Shape]:
        return dict(self.shapes)

    @property
    def expressions(self) -> Iterator[sp.Expr]:
        """Those of a step of the weights; the second gradient has gone before it."""
        yield self.step
        yield from (value for _, value in self.states)
        yield from (one for one in (self.at, self.shown) if one is not None)

    @cached_property
    def elementwise(self) -> bool:
        """Whether every weight is updated by itself, whatever the others are."""
        return not self.shapes and not any(e.has(OperationBase) for e in self.expressions)

    @cached_property
    def whole(self) -> bool:
        """Whether it looks at the whole model."""
        return any(e.has(total) for e in self.expressions)

    @cached_property
    def jumps(self) -> bool:
        """Whether the least change of a gradient or a state may change a step by much, as where a sign is taken."""
        return any(e.has(sp.sign, sp.floor, sp.core.relational.Relational) for e in self.expressions)

    @property
    def races(self) -> bool:
        """Whether a weight's path needs nothing but its own gradients, one at each step."""
        return self.elementwise and self.again is None and not self.sampled

    @cached_property
    def squares(self) -> frozenset[str]:
        """The sides of a matrix of which the rule makes square ones: "rows", "columns"."""
        known = {symbol(name): NUMBER for name in ("t", "loss", *self.hyperparameters)}
        known |= {symbol(name): self.shape(name) for name in self.state_names}
        inference = Inference(self.name, {**known, **dict.fromkeys(map(symbol, "gw"), WEIGHT)})
        every = [*map(inference.of, self.expressions), *inference.seen.values()]
        return frozenset(shape.rows for shape in every if shape is not None and shape.rows == shape.columns) - {ONE}


def symbol(name: str) -> sp.Symbol:
    """The symbol a formula's parameter stands for; t is positive, everything else is real."""
    return sp.Symbol(name, positive=True) if name == "t" else sp.Symbol(name, real=True)


def one_of(rule: str, **forms: bool) -> None:
    """Refuse two options that exclude each other."""
    chosen = [name for name, on in forms.items() if on]
    if len(chosen) > 1:
        raise FormulaError(f"formula {rule}: {' and '.join(chosen)} are different forms; choose one.")


def multiple(t: Any, of: int) -> Any:
    """Whether t is a multiple; half a step keeps the quotient away from where rounding would matter."""
    return sp.true if of == 1 else sp.Eq(t - of * sp.floor((t + 0.5) / of), 0)


def number(rule: str, name: str, value: Any) -> float:
    """A finite float, or a sentence."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise FormulaError(f"formula {rule}: hyperparameter {name} must be a number, not {value!r}.")
    try:
        result = float(value)
    except OverflowError:
        result = math.inf
    if not math.isfinite(result):
        shown = f"a number of {len(bin(value))} bits" if isinstance(value, int) else repr(value)
        raise FormulaError(f"formula {rule}: hyperparameter {name} must be finite, not {shown}.")
    return result


def option(rule: str, name: str, value: Any, present: Option) -> bool | str | int:
    """A value of the option's kind, or a sentence."""
    whole = isinstance(present, int) and not isinstance(present, bool)
    if whole and isinstance(value, int | float) and not isinstance(value, bool) and float(value).is_integer():
        return int(value)
    if whole or not isinstance(value, bool | str) or isinstance(value, bool) is not isinstance(present, bool):
        kind = "a whole number" if whole else "True or False" if isinstance(present, bool) else "a name"
        raise FormulaError(f"formula {rule}: option {name} must be {kind}, not {value!r}.")
    return value
