"""The words of a formula that look beyond one weight: at its tensor, its row or column, a matrix, the whole model.

Each is a SymPy function that stands for a value of another shape (`shapes.py`). A tensor is seen as a matrix of rows ×
columns: a vector as one column; of more than two axes the first is the rows and all others together are the columns,
or, for a formula declared ``batched=True``, the last two are the matrix and the others number the matrices of a batch.

`x @ y` and `x.T` are `matmul` and `transpose`; while a formula's function runs, every expression has both.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import sympy as sp

from ..errors import FormulaError


class OperationBase(sp.Function):
    """A function of a whole tensor; `needs` says how many of its arguments, the first ones, are tensors."""

    nargs = 1
    needs: ClassVar[int] = 1
    negative: ClassVar[bool] = True  # whether it may be below 0

    def _eval_is_extended_nonnegative(self) -> bool | None:
        return None if self.negative else True

    def _eval_is_extended_real(self) -> bool:
        return True

    def _eval_is_finite(self) -> bool:
        return True


class norm(OperationBase):
    """√Σx² over the tensor."""

    negative = False


class mean(OperationBase):
    """The mean over the tensor."""


class rms(OperationBase):
    """√ of the mean of x² over the tensor."""

    negative = False


class dot(OperationBase):
    """Σxy over the tensor."""

    nargs = 2
    needs = 2


class total(OperationBase):
    """The sum over all weights of the model; of one number per tensor, over its tensors."""


class row_mean(OperationBase):
    """The mean of each row."""


class column_mean(OperationBase):
    """The mean of each column."""


class rows(OperationBase):
    """How many rows the matrix has."""

    negative = False


class columns(OperationBase):
    """How many columns the matrix has."""

    negative = False


class resolution(OperationBase):
    """The distance from 1 to the next number of the tensor's dtype."""

    negative = False


class matmul(OperationBase):
    """The product of two matrices, x @ y."""

    nargs = 2
    needs = 2


class transpose(OperationBase):
    """The transpose of a matrix, x.T."""

    @classmethod
    def eval(cls, x: Any) -> Any:
        return x.args[0] if isinstance(x, transpose) else None


class diagonal(OperationBase):
    """The diagonal of a square matrix, as one row."""


class identity(OperationBase):
    """The identity matrix of the shape of a square one."""


class orthogonal(OperationBase):
    """Newton–Schulz: of X / ‖X‖, `steps` times X ← aX + (bA + cA²)X with A = XXᵀ; all singular values come near 1.

    Args:
        a, b, c: those of Muon's authors, or `coefficients=(a, b, c)`.
        clamped: 1 where ‖X‖ is max(‖X‖, eps), 0 where it is ‖X‖ + eps.
        half: 1 where float32 is rounded to bfloat16 for it.
    """

    nargs = 8

    def __new__(
        cls,
        x: Any,
        steps: Any = 5,
        a: Any = 3.4445,
        b: Any = -4.7750,
        c: Any = 2.0315,
        eps: Any = 1e-7,
        clamped: Any = 1,
        half: Any = 0,
        *,
        coefficients: Any = None,
        **options: Any,
    ) -> Any:
        if coefficients is not None:
            if not isinstance(coefficients, tuple | list) or len(coefficients) != 3:
                raise FormulaError(
                    "orthogonal takes three coefficients, and {given} is given; write coefficients=(a, b, c), of "
                    "X ← aX + (bA + cA²)X with A = XXᵀ.",
                    given=str(coefficients),
                )
            a, b, c = coefficients
        flags = (int(flag) if isinstance(flag, bool) else flag for flag in (clamped, half))
        return super().__new__(cls, x, steps, a, b, c, eps, *flags, **options)


class eigenvectors(OperationBase):
    """The eigenvectors of a symmetric matrix as columns, those of the largest eigenvalue first."""


class qr(OperationBase):
    """Q of x = QR: the columns made orthogonal one after another; of a matrix with more columns than rows, its rows."""


class matrix_power(OperationBase):
    """A power of a symmetric matrix with eigenvalues above 0."""

    nargs = 2


class sort_columns(OperationBase):
    """The columns of a matrix in the order of a row of numbers, the largest first."""

    nargs = 2
    needs = 2


WORDS = tuple(sorted(word.__name__ for word in OperationBase.__subclasses__()))
_LOCK = threading.RLock()
_depth = 0


@contextmanager
def operators() -> Iterator[None]:
    """Every expression has ``@`` and ``.T``, which SymPy leaves out, while this lasts."""
    global _depth
    with _LOCK:
        _depth += 1
        if _depth == 1:
            sp.Expr.__matmul__ = lambda x, y: matmul(x, y)  # type: ignore[attr-defined]
            sp.Expr.T = property(transpose)  # type: ignore[attr-defined]
        try:
            yield
        finally:
            _depth -= 1
            if _depth == 0:
                del sp.Expr.__matmul__, sp.Expr.T  # type: ignore[attr-defined]
