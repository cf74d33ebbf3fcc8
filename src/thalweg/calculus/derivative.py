"""`tw.derivative`, `tw.gradient` and `tw.hessian`: results that show how they were found.

Each is found by the rules of `rules.py`; `tw.derivative(…, method="limit")` goes by the definition instead, in
`limit.py`. Results are functions too: called with numbers, they give the slope there.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np
import sympy as sp

from ..errors import ExpressionError
from .extent import Work
from .function import Function, function
from .rules import Rules, Step
from .symbolic import symbol
from .text import bracketed, digits, latex, plain

if TYPE_CHECKING:
    from .limit import Limit

Formula = Any  # what `tw.function` takes
Point = Any  # a number or text for one variable, a sequence of them in the variables' order, or a mapping by name

MOST = 12  # times a function is differentiated


@dataclass(frozen=True)
class Derivative:
    """The derivative of a function, and how it was found; `tw.derivative` makes it.

    Attributes:
        function: what was differentiated.
        wrt: with respect to which variable.
        order: how many times.
        expression: the derivative, in SymPy.
        steps: each use of a rule, inner ones first.
        at: a point, or None.
        value: the derivative there; NaN where there is none, and `note` says why.
    """

    function: Function
    wrt: str
    order: int
    expression: Any
    steps: tuple[Step, ...]
    at: tuple[float, ...] | None = None
    value: float | None = None
    note: str = ""

    def __call__(self, *values: Any, **named: Any) -> Any:
        """The derivative at numbers, arrays or tensors, as for `Function`."""
        return self.slope(*values, **named)

    @property
    def slope(self) -> Function:
        """The derivative as a function of the same variables."""
        return Function(self.expression, self.function.variables)

    def latex(self) -> str:
        r"""The result.

        >>> derivative("3x^2").latex()
        '\\frac{d}{d x} 3 x^{2} = 6 x'
        """
        of = latex(self.function.expression)
        of = rf"\left({of}\right)" if self.function.expression.is_Add or of.startswith("-") else of
        d, power = (r"\partial" if self._partial else "d"), f"^{{{self.order}}}" if self.order > 1 else ""
        name = latex(symbol(self.wrt))
        return rf"\frac{{{d}{power}}}{{{d} {name}{power}}} {of} = {latex(self.expression)}"

    def steps_latex(self) -> str:
        """All steps below each other, with the rules beside them."""
        rows = [step.latex().replace(" = ", " &= ", 1) for step in self.steps]
        return "\n".join([r"\begin{aligned}", " \\\\\n".join(rows), r"\end{aligned}"])

    def __str__(self) -> str:
        lines = [f"{self._sign} {bracketed(self.function.expression)} = {plain(self.expression)}"]
        if self.at is not None:
            lines += ["", self._told()]
        if self.steps:
            lines.append("")
        for count, step in enumerate(self.steps, start=1):
            if step.order > 1 and step.order != self.steps[count - 2].order:
                lines += ["", f"and once more, order {step.order}:", ""]
            lines += [f"  {count:>2}  {step.rule}: {step.law}", f"      {step}"]
        return "\n".join(lines)

    def __hash__(self) -> int:
        return hash((self.function, self.wrt, self.order, self.at))

    @property
    def _partial(self) -> bool:
        return len(self.function.variables) > 1

    @property
    def _sign(self) -> str:
        d = "∂" if self._partial else "d"
        power = str(self.order).translate(_RAISED) if self.order > 1 else ""
        return f"{d}{power}/{d}{self.wrt}{power}"

    def _told(self) -> str:
        assert self.at is not None
        where = ", ".join(f"{n} = {digits(v)}" for n, v in zip(self.function.variables, self.at, strict=True))
        if self.note:
            return f"at {where}: none, because {self.note}"
        assert self.value is not None
        return f"at {where}: {digits(self.value)}"


_RAISED = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


@overload
def derivative(
    formula: Formula,
    wrt: str | None = None,
    order: int = 1,
    at: Point = None,
    *,
    method: Literal["rules"] = "rules",
    variables: str | Iterable[str] | None = None,
) -> Derivative: ...
@overload
def derivative(
    formula: Formula,
    wrt: str | None = None,
    order: int = 1,
    at: Point = None,
    *,
    method: Literal["limit"],
    variables: str | Iterable[str] | None = None,
) -> Limit: ...
def derivative(
    formula: Formula,
    wrt: str | None = None,
    order: int = 1,
    at: Point = None,
    *,
    method: str = "rules",
    variables: str | Iterable[str] | None = None,
) -> Derivative | Limit:
    """df/dx of a formula, with the rules that were used; or by the definition, (f(x + h) − f(x))/h as h → 0.

    Args:
        formula: whatever `tw.function` takes.
        wrt: the variable; the only one unless given.
        order: how many times, 1 to 12.
        at: a point where the value is wanted: a number (or a text such as "pi/2") for one variable, several in the
            order of the variables, or a mapping {"x": 1, "y": 2}.
        method: "rules"; or "limit", which gives a `Limit` with a table over h and a picture.
        variables: as for `tw.function`.

    >>> print(derivative("(2x − 1)³"))
    d/dx (2x − 1)³ = 6(2x − 1)²
    <BLANKLINE>
       1  constant multiple: (c·u)′ = c·u′
          d/dx 2x = 2
       2  sum: (u + v)′ = u′ + v′
          d/dx (2x − 1) = 2
       3  chain, power: (uⁿ)′ = n·uⁿ⁻¹·u′
          d/dx (2x − 1)³ = 6(2x − 1)²
    >>> derivative("3x^3 - 2x + 1", at=2).value
    34.0

    Raises:
        ExpressionError: as for `tw.function`; several variables and no `wrt`; a derivative beyond bounds.
    """
    f = function(formula, variables)
    name = _variable(f, wrt)
    if method == "limit":
        from .limit import by_definition

        if order != 1:
            raise ExpressionError(f"the limit definition gives the first derivative, not order {order!r}; use rules.")
        return by_definition(f, name, None if at is None else point(f, at))
    if method != "rules":
        raise ExpressionError(f"{method!r} is no way to differentiate; give rules or limit.")
    if isinstance(order, bool) or not isinstance(order, int) or not 1 <= order <= MOST:
        raise ExpressionError(f"the order is {order!r}, and must be a whole number from 1 to {MOST}.")
    found = differentiated(f, name, order)
    return found if at is None else _valued(found, point(f, at))


def _variable(f: Function, wrt: str | None) -> str:
    if wrt is None:
        if len(f.variables) > 1:
            raise ExpressionError(
                f"{f} has variables {', '.join(f.variables)}; say which with wrt=, or ask for tw.gradient."
            )
        return f.variables[0] if f.variables else "x"
    if f.variables and wrt not in f.variables:
        raise ExpressionError(f"{wrt!r} is no variable of {f}, which has {', '.join(f.variables)}; give one of them.")
    return wrt


def differentiated(f: Function, name: str, order: int = 1, work: Work | None = None) -> Derivative:
    """The derivative by the rules, without a point; `work` is what the question has come to."""
    expression, steps, work = f.symbolic(), [], work or Work()
    for count in range(1, order + 1):
        rules = Rules(symbol(name), count, len(f.variables) > 1, work=work)
        expression = rules.of(expression)
        steps += rules.steps
    return Derivative(f, name, order, expression, tuple(steps))


def point(f: Function, at: Point) -> tuple[float, ...]:
    """One number for each variable.

    Raises:
        ExpressionError: another count, a name that is no variable, or what is no number.
    """
    if isinstance(at, Mapping):
        if set(at) != set(f.variables):
            raise ExpressionError(
                f"the point has {', '.join(map(str, at)) or 'nothing'}, and {f} has {', '.join(f.variables)}; "
                "give each variable once."
            )
        at = [at[name] for name in f.variables]
    words = [at] if isinstance(at, str) or not isinstance(at, Iterable) else list(at)
    if len(words) != len(f.variables):
        raise ExpressionError(
            f"the point has {len(words)} number{'s' * (len(words) != 1)}, and {f} has {len(f.variables)} "
            f"variable{'s' * (len(f.variables) != 1)}; give one number for each."
        )
    return tuple(map(number, words))


def number(word: Any) -> float:
    """A finite number, also written as a formula without variables, such as pi/2."""
    if isinstance(word, str):
        f = function(word)
        if f.variables:
            raise ExpressionError(f"{word!r} is no number, because it has {', '.join(f.variables)}; give a number.")
        return f()
    try:
        value = float(word)
    except (TypeError, ValueError) as error:
        raise ExpressionError(f"{word!r} is no number; give one, e.g. 2 or 'pi/2'.") from error
    if not math.isfinite(value):
        raise ExpressionError(f"{word!r} is no finite number; give one.")
    return value


def _valued(found: Derivative, at: tuple[float, ...]) -> Derivative:
    """With its value at a point, unless there is a kink or a gap."""
    f = found.function
    value, note = float(found(*at)), ""
    if not math.isfinite(f(*at)):
        value, note = math.nan, "the function is not a real number there"
    elif any(step.kink is not None and Function(step.kink, f.variables)(*at) == 0 for step in found.steps):
        left, right = _sides(found, at)
        if not abs(left - right) <= 1e-3 * (1 + min(abs(left), abs(right))):
            told = f"{digits(float(f'{left:.4g}'))} from the left and {digits(float(f'{right:.4g}'))} from the right"
            value, note = math.nan, f"the slope is {told}"
    elif math.isnan(value):
        note = "the derivative is not a real number there"
    return replace(found, at=at, value=value, note=note)


def _sides(found: Derivative, at: tuple[float, ...]) -> tuple[float, float]:
    """The slopes of what was differentiated last, a little to the left and to the right."""
    f = found.function
    last = f if found.order == 1 else differentiated(f, found.wrt, found.order - 1).slope
    place = f.variables.index(found.wrt)
    h = 1e-6 * max(1.0, abs(at[place]))
    here = last(*at)
    beside = [last(*(v + s * h * (i == place) for i, v in enumerate(at))) for s in (-1, 1)]
    return (here - beside[0]) / h, (beside[1] - here) / h


@dataclass(frozen=True)
class Gradient:
    """All first partial derivatives; `tw.gradient` makes it.

    Attributes:
        function: what was differentiated.
        parts: a `Derivative` for each variable.
        at: a point, or None.
        value: (variables,) the gradient there.
    """

    function: Function
    parts: tuple[Derivative, ...]
    at: tuple[float, ...] | None = None
    value: np.ndarray | None = None

    @property
    def expression(self) -> Any:
        """A SymPy column."""
        return sp.ImmutableMatrix([part.expression for part in self.parts])

    @property
    def steps(self) -> tuple[Step, ...]:
        """Those of all parts."""
        return tuple(step for part in self.parts for step in part.steps)

    def __call__(self, *values: Any, **named: Any) -> Any:
        """The gradients at numbers, arrays or tensors; a last axis holds the variables."""
        return stacked([part(*values, **named) for part in self.parts])

    def latex(self) -> str:
        """∇f as a column."""
        rows = r" \\ ".join(latex(part.expression) for part in self.parts)
        return rf"\nabla f = \begin{{pmatrix}} {rows} \end{{pmatrix}}"

    def __str__(self) -> str:
        lines = [f"f = {self.function}", ""]
        lines += [f"∂f/∂{part.wrt} = {plain(part.expression)}" for part in self.parts]
        if self.value is not None and self.at is not None:
            where, there = (", ".join(map(digits, map(float, values))) for values in (self.at, self.value))
            lines += ["", f"∇f({where}) = ({there})"]
        return "\n".join(lines)

    def __hash__(self) -> int:
        return hash((self.function, self.at))


def gradient(formula: Formula, at: Point = None, *, variables: str | Iterable[str] | None = None) -> Gradient:
    """∇f = (∂f/∂x, ∂f/∂y, …) of a formula.

    Args:
        formula, at, variables: as for `tw.derivative`.

    >>> print(gradient("3x*y² + 4x³ − 5y² + 1", at=[1, 2]))
    f = 4x³ + 3x·y² − 5y² + 1
    <BLANKLINE>
    ∂f/∂x = 12x² + 3y²
    ∂f/∂y = 6x·y − 10y
    <BLANKLINE>
    ∇f(1, 2) = (24, −8)

    Raises:
        ExpressionError: as for `tw.derivative`.
    """
    f = _moving(formula, variables)
    work = Work()
    parts = tuple(differentiated(f, name, work=work) for name in f.variables)
    if at is None:
        return Gradient(f, parts)
    here = point(f, at)
    values = [_valued(part, here).value for part in parts]
    return Gradient(f, parts, here, np.array(values, dtype=float))


@dataclass(frozen=True)
class Hessian:
    """All second partial derivatives; `tw.hessian` makes it.

    Attributes:
        function: what was differentiated.
        parts: a row of `Derivative`s of the gradient for each variable; symmetric.
        at: a point, or None.
        value: (variables, variables) the Hessian there.
    """

    function: Function
    parts: tuple[tuple[Derivative, ...], ...]
    at: tuple[float, ...] | None = None
    value: np.ndarray | None = None

    @property
    def expression(self) -> Any:
        """A SymPy matrix."""
        return sp.ImmutableMatrix([[part.expression for part in row] for row in self.parts])

    @property
    def steps(self) -> tuple[Step, ...]:
        """Those of all parts on and above the diagonal."""
        return tuple(step for n, row in enumerate(self.parts) for part in row[n:] for step in part.steps)

    def __call__(self, *values: Any, **named: Any) -> Any:
        """The Hessians at numbers, arrays or tensors; two last axes hold the variables."""
        return stacked([stacked([part(*values, **named) for part in row]) for row in self.parts], -2)

    def latex(self) -> str:
        """The matrix."""
        rows = r" \\ ".join(" & ".join(latex(part.expression) for part in row) for row in self.parts)
        return rf"\nabla^2 f = \begin{{pmatrix}} {rows} \end{{pmatrix}}"

    def __str__(self) -> str:
        cells = [[plain(part.expression) for part in row] for row in self.parts]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = ["  ".join(f"{c:<{w}}" for c, w in zip(row, widths, strict=True)).rstrip() for row in cells]
        if sum(widths) > 76:
            names = self.function.variables
            lines = [
                f"∂²f/∂{names[i]}∂{names[j]} = {cells[i][j]}" if i != j else f"∂²f/∂{names[i]}² = {cells[i][i]}"
                for i in range(len(names))
                for j in range(i, len(names))
            ]
        return "\n".join([f"f = {self.function}", "", *lines])

    def __hash__(self) -> int:
        return hash((self.function, self.at))


def hessian(formula: Formula, at: Point = None, *, variables: str | Iterable[str] | None = None) -> Hessian:
    """The matrix of all ∂²f/∂xᵢ∂xⱼ of a formula.

    For a loss over n samples with p parameters it takes O(n·p²) to fill and O(p³) to solve with, which is why models
    of many parameters are trained by gradients alone.

    Args:
        formula, at, variables: as for `tw.derivative`.

    >>> print(hessian("3(x−2)² + (y−2)²"))
    f = 3(x − 2)² + (y − 2)²
    <BLANKLINE>
    6  0
    0  2

    Raises:
        ExpressionError: as for `tw.derivative`.
    """
    f = _moving(formula, variables)
    work, names = Work(), f.variables
    first = [differentiated(f, name, work=work).slope for name in names]
    upper = {
        (i, j): differentiated(first[i], names[j], work=work) for i in range(len(names)) for j in range(i, len(names))
    }
    parts = tuple(tuple(upper[min(i, j), max(i, j)] for j in range(len(first))) for i in range(len(first)))
    found = Hessian(f, parts)
    if at is None:
        return found
    here = point(f, at)
    return replace(found, at=here, value=np.array(found(*here), dtype=float))


def _moving(formula: Formula, variables: str | Iterable[str] | None) -> Function:
    f = function(formula, variables)
    if not f.variables:
        raise ExpressionError(f"{f} is constant; name its variables with variables=.")
    return f


def stacked(values: list[Any], axis: int = -1) -> Any:
    """Arrays or tensors along a new axis."""
    if all(isinstance(value, float | np.generic | np.ndarray) for value in values):
        return np.stack(np.broadcast_arrays(*values), axis)
    import torch

    return torch.stack(torch.broadcast_tensors(*values), axis)
