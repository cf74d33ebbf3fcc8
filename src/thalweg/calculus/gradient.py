"""`tw.gradient` and `tw.hessian`: all partial derivatives, by the rules of `rules.py`.

Results are functions too: called with numbers, they give the slopes there.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import sympy as sp

from ..errors import ExpressionError
from ..typeset import Typeset
from .by_rules import Derivative, differentiated, valued
from .extent import Work
from .function import Function, function
from .points import Formula, Point, point
from .rules import Step
from .text import digits, latex, plain


@dataclass(frozen=True)
class Gradient(Typeset):
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
    value: np.ndarray | None = field(default=None, compare=False)

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
    values = [valued(part, here).value for part in parts]
    return Gradient(f, parts, here, np.array(values, dtype=float))


@dataclass(frozen=True)
class Hessian(Typeset):
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
    value: np.ndarray | None = field(default=None, compare=False)

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
    work, names, places = Work(), f.variables, range(len(f.variables))
    first = [differentiated(f, name, work=work).slope for name in names]
    upper = {(i, j): differentiated(first[i], names[j], work=work) for i in places for j in places[i:]}
    parts = tuple(tuple(upper[min(i, j), max(i, j)] for j in places) for i in places)
    matrix = Hessian(f, parts)
    if at is None:
        return matrix
    here = point(f, at)
    return replace(matrix, at=here, value=np.array(matrix(*here), dtype=float))


def _moving(formula: Formula, variables: str | Iterable[str] | None) -> Function:
    f = function(formula, variables)
    if not f.variables:
        raise ExpressionError("{f} is constant; name its variables with variables=.", f=str(f))
    return f


def stacked(values: list[Any], axis: int = -1) -> Any:
    """Arrays or tensors along a new axis."""
    if all(isinstance(value, float | np.generic | np.ndarray) for value in values):
        return np.stack(np.broadcast_arrays(*values), axis)
    import torch

    return torch.stack(torch.broadcast_tensors(*values), axis)
