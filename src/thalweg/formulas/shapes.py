"""What each value of a formula is one of: one number, one for each tensor, one for each row, and so on.

A value known before the step (t, the loss, hyperparameters) is one number. The gradient and the weight have rows ×
columns values in each matrix of a tensor. What combines values gives the larger shape; what reduces them (`norm`,
`row_mean`, …) gives a smaller one, and products contract what is between them. Everything that does not fit is refused
here, when the formula is declared, in one sentence.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import sympy as sp
from sympy.functions.elementary.piecewise import ExprCondPair

from ..errors import FormulaError
from . import operations as op

ONE, ROWS, COLUMNS = "1", "rows", "columns"
_NUMBER, _MODEL, _TENSOR, _MATRIX = range(4)


@dataclass(frozen=True)
class Shape:
    """What a value is one of.

    Attributes:
        level: 0 known before the step, 1 one for each model, 2 for each tensor, 3 within a tensor.
        rows, columns: of its matrix: "1", "rows" or "columns" of the weight's.
    """

    level: int
    rows: str = ONE
    columns: str = ONE

    def __str__(self) -> str:
        if self.level < _MATRIX:
            return ("one number", "one number per model", "one number per tensor")[self.level]
        return "one number per matrix" if self.rows == self.columns == ONE else f"{self.rows} × {self.columns}"

    @property
    def T(self) -> Shape:
        return replace(self, rows=self.columns, columns=self.rows)

    def fits(self, other: Shape) -> bool:
        """Whether values of this shape, repeated along what they lack, are of the other."""
        sides = ((self.rows, other.rows), (self.columns, other.columns))
        return self.level <= other.level and all(one in (ONE, into) for one, into in sides)


NUMBER, MODEL, TENSOR = map(Shape, (_NUMBER, _MODEL, _TENSOR))
WEIGHT = Shape(_MATRIX, ROWS, COLUMNS)
# What a state may be declared to be, where its values do not say it.
NAMED = {
    "model": MODEL,
    "tensor": TENSOR,
    "row": Shape(_MATRIX, ROWS),
    "column": Shape(_MATRIX, ONE, COLUMNS),
    "left": Shape(_MATRIX, ROWS, ROWS),
    "right": Shape(_MATRIX, COLUMNS, COLUMNS),
    "weight": WEIGHT,
}
Shapes = Mapping[sp.Symbol, Shape | None]


def matrix(shape: Sequence[int], batched: bool = False) -> tuple[int, ...]:
    """A tensor's shape as a formula sees it: (…, rows, columns).

    >>> matrix((8, 3, 5, 5)), matrix((8, 3, 5, 5), batched=True), matrix((7,)), matrix(())
    ((8, 75), (8, 3, 5, 5), (7, 1), (1, 1))
    """
    if len(shape) < 2:
        return (*shape, 1) if shape else (1, 1)
    return tuple(shape) if batched or len(shape) == 2 else (shape[0], math.prod(shape[1:]))


def extent(shape: Shape, tensor: Sequence[int], batched: bool = False) -> tuple[int, ...]:
    """The shape in which a value of a tensor is kept.

    >>> extent(Shape(3, "rows", "rows"), (4, 6)), extent(Shape(3, "1", "columns"), (4, 6)), extent(TENSOR, (4, 6))
    ((4, 4), (1, 6), ())
    """
    if shape == WEIGHT:
        return tuple(tensor)
    if shape.level < _MATRIX:
        return ()
    *lead, rows, columns = matrix(tensor, batched)
    sizes = {ONE: 1, ROWS: rows, COLUMNS: columns}
    return (*lead, sizes[shape.rows], sizes[shape.columns])


class Inference:
    """The shapes of a formula's expressions, given those of its symbols; None is not known yet."""

    def __init__(self, rule: str, shapes: Shapes) -> None:
        self.rule, self.shapes = rule, shapes
        self.seen: dict[Any, Shape | None] = {}

    def of(self, expression: Any) -> Shape | None:
        """The shape of an expression; raises FormulaError where its parts do not fit."""
        if expression not in self.seen:
            self.seen[expression] = self._of(expression)
        return self.seen[expression]

    def _of(self, expression: Any) -> Shape | None:
        if isinstance(expression, sp.Symbol):
            return self.shapes[expression]
        if isinstance(expression, op.OperationBase):
            return self._operation(expression)
        parts = [self.of(part) for part in expression.args]
        known = [part for part in parts if part is not None]
        shape = NUMBER
        for part in known:
            shape = self._joined(shape, part, expression)
        return shape if len(known) == len(parts) or shape != NUMBER else None

    def _joined(self, a: Shape, b: Shape, where: Any) -> Shape:
        """Of what combines values of both, each repeated along what it lacks."""
        sides = []
        for one, other in ((a.rows, b.rows), (a.columns, b.columns)):
            if ONE not in (one, other) and one != other:
                self._refuse(where, f"combines {a} with {b}", "give both the same shape, with .T or a product")
            sides.append(other if one == ONE else one)
        return Shape(max(a.level, b.level), *sides)

    def _operation(self, expression: Any) -> Shape | None:
        name = type(expression).__name__
        tensors = [self.of(part) for part in expression.args[: expression.needs]]
        for given in map(self.of, expression.args[expression.needs :]):
            if given is not None and given.level == _MATRIX:
                self._refuse(expression, f"takes numbers, and {given} is given", "give one number")
        known = [shape for shape in tensors if shape is not None]
        if len(known) < len(tensors):
            return None
        for part, shape in zip(expression.args, known, strict=False):
            least = _TENSOR if name == "total" else _MATRIX
            if shape.level < least:
                advice = "it looks over a tensor: use g, w or a state in it"
                self._refuse(expression, f"is of {part}, which is {shape}", advice)
        return _RULES[name](self, expression, *known)

    def _refuse(self, where: Any, what: str, advice: str) -> None:
        shown = str(where.expr if isinstance(where, ExprCondPair) else where)
        shown = shown if len(shown) <= 80 else f"{shown[:77]}…"
        raise FormulaError(f"formula {self.rule}: {shown} {what}; {advice}.")

    def product(self, where: Any, x: Shape, y: Shape) -> Shape:
        if x.columns != y.rows:
            self._refuse(where, f"multiplies {x} by {y}", "the columns of the first must be the rows of the second")
        return Shape(_MATRIX, x.rows, y.columns)

    def square(self, where: Any, x: Shape) -> Shape:
        if x.rows != x.columns or x.rows == ONE:
            self._refuse(where, f"is of {x}", "it is defined for square matrices, such as x @ x.T")
        return x

    def rows_of(self, where: Any, x: Shape) -> Shape:
        if x.columns == ONE:
            self._refuse(where, f"is of {x}, whose rows are one number each", "give it more columns")
        return replace(x, columns=ONE)

    def columns_of(self, where: Any, x: Shape) -> Shape:
        if x.rows == ONE:
            self._refuse(where, f"is of {x}, whose columns are one number each", "give it more rows")
        return replace(x, rows=ONE)

    def sorted(self, where: Any, x: Shape, by: Shape) -> Shape:
        if by.rows != ONE or by.columns != x.columns:
            self._refuse(where, f"sorts {x} by {by}", "give one number for each column")
        return x

    def dotted(self, where: Any, x: Shape, y: Shape) -> Shape:
        self._joined(x, y, where)
        return TENSOR


_RULES: Mapping[str, Callable[..., Shape]] = {
    **dict.fromkeys(("norm", "mean", "rms", "rows", "columns", "resolution"), lambda self, where, x: TENSOR),
    "dot": Inference.dotted,
    "total": lambda self, where, x: MODEL,
    "row_mean": Inference.rows_of,
    "column_mean": Inference.columns_of,
    "matmul": Inference.product,
    "transpose": lambda self, where, x: x.T,
    "diagonal": lambda self, where, x: replace(self.square(where, x), rows=ONE),
    **dict.fromkeys(("identity", "eigenvectors", "matrix_power"), Inference.square),
    **dict.fromkeys(("orthogonal", "qr"), lambda self, where, x: x),
    "sort_columns": Inference.sorted,
}


def of_states(rule: str, values: Mapping[sp.Symbol, Any], fixed: Mapping[sp.Symbol, Shape]) -> dict[sp.Symbol, Shape]:
    """The shapes of a formula's states: each that of the value it takes, which may depend on the others'.

    Args:
        values: state → its new value.
        fixed: the shapes that are known: of g, w and numbers, and of states that were declared.
    """
    shapes: dict[sp.Symbol, Shape | None] = {**dict.fromkeys(values), **fixed}
    while True:
        inference = Inference(rule, shapes)
        after = {state: fixed[state] if state in fixed else inference.of(value) for state, value in values.items()}
        if all(shapes[state] == shape for state, shape in after.items()):
            return {state: NUMBER if shape is None else shape for state, shape in after.items()}
        shapes |= after
