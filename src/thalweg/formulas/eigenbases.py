"""Rules that keep the correlations of a matrix's rows and columns, and step in the basis or by the roots of these."""

from __future__ import annotations

from typing import Any

from .base import Update, formula
from .drop_in import MEANS, DropIn
from .equations import multiple
from .meanings import SHARE, SWITCH, Meaning
from .operations import diagonal, eigenvectors, identity, matrix_power, qr, sort_columns
from .vocabulary import maximum, sqrt, where

# correlations are kept of the sides of a matrix that are not too long; of a vector of none
_SIDES = {"left": "axes > 1 and rows <= max_dim", "right": "axes > 1 and columns <= max_dim"}
_MEANINGS = {
    "every": Meaning("steps from one renewal of the matrices to the next", "1, 2, …"),
    "left": Meaning("use the correlations of rows", SWITCH),
    "max_dim": Meaning("largest side of a matrix whose correlations are kept", "1, 2, …"),
    "right": Meaning("use the correlations of columns", SWITCH),
}


def renewed(correlations: Any, basis: Any, begun: Any, renew: Any) -> tuple[Any, Any]:
    """The basis after this step, and the estimates of the eigenvalues that its vectors are ordered by."""
    order = diagonal(basis.T @ correlations @ basis)
    iterated = qr(correlations @ sort_columns(basis, order))
    return where(begun, where(renew, iterated, basis), eigenvectors(correlations)), order


@formula(
    source="Gupta, Koren & Singer 2018, Algorithm 1; moskomule's shampoo.pytorch",
    year=2018,
    parents=("adagrad",),
    shapes={"rows": "left", "columns": "right", "by_rows": "left", "by_columns": "right"},
    direction="accumulated gradient",
    rate="inverse to long-term change",
    idea="scales rows and columns by roots",
    departs="the roots are renewed every so many steps, the first time at the first; momentum, which the paper adds, "
    "averages gradients before they are scaled. A vector, and a side longer than max_dim, is not scaled; of more than "
    "two axes all but the first are the columns.",
    meanings={**_MEANINGS, "eps": Meaning("first value of the correlations' diagonals", "(0, ∞)")},
    drop_ins=(DropIn("Shampoo", in_torch=False),),
    by_shape=_SIDES,
)
def shampoo(
    g,
    w,
    t,
    m,
    rows,
    columns,
    by_rows,
    by_columns,
    *,
    lr=0.1,
    momentum=0.0,
    weight_decay=0.0,
    eps=1e-4,
    every: int = 1,
    max_dim: int = 1024,
    left=True,
    right=True,
):
    """Adagrad for matrices: L^(−1/4) G R^(−1/4), with L = εI + ΣGGᵀ and R = εI + ΣGᵀG; of one side alone, its −1/2."""
    g = g + weight_decay * w
    power = -1 / (2 * (int(left) + int(right))) if left or right else 0
    renew = multiple(t - 1, every)
    m = momentum * m + (1 - momentum) * g
    step = m
    if left:
        rows = where(t > 1, rows, eps * identity(rows)) + g @ g.T
        by_rows = where(renew, matrix_power(rows, power), by_rows)
        step = by_rows @ step
    if right:
        columns = where(t > 1, columns, eps * identity(columns)) + g.T @ g
        by_columns = where(renew, matrix_power(columns, power), by_columns)
        step = step @ by_columns
    states = {"rows": rows, "columns": columns, "by_rows": by_rows, "by_columns": by_columns}
    return Update(-lr * step, m=m, **states)


@formula(
    source="Vyas et al. 2024, Algorithm 3; the authors' SOAP",
    year=2024,
    parents=("shampoo",),
    shapes={"rows": "left", "columns": "right", "row_basis": "left", "column_basis": "right"},
    direction="accumulated gradient",
    rate="inverse to short-term change",
    idea="adam in shampoo's eigenbasis",
    departs="the authors' program: the bases begin as the eigenvectors of the first gradient's correlations, the "
    "largest first, and that gradient moves neither weights nor averages; after it the bases are renewed by one power "
    "iteration and QR, and the decay comes behind the step. A vector goes by Adam, its first gradient unused too; a "
    "side longer than max_dim is not turned; of more than two axes all but the first are the columns, where theirs "
    "turn each axis.",
    meanings={**_MEANINGS, "shampoo_beta": Meaning("share of the past in the averages of correlations", SHARE)},
    drop_ins=(DropIn("SOAP", MEANS, in_torch=False),),
    by_shape=_SIDES,
)
def soap(
    g,
    w,
    t,
    m,
    v,
    rows,
    columns,
    row_basis,
    column_basis,
    *,
    lr=3e-3,
    beta1=0.95,
    beta2=0.95,
    shampoo_beta=0.95,
    eps=1e-8,
    weight_decay=0.01,
    every: int = 10,
    max_dim: int = 10000,
    left=True,
    right=True,
):
    """Adam on QLᵀ G QR, turned back afterwards; QL and QR are the eigenvectors of the averages of GGᵀ and GᵀG."""
    begun, steps = t > 1, maximum(t - 1, 1)
    renew = begun & multiple(t - 1, every)
    kept1, kept2 = where(begun, beta1, 1), where(begun, beta2, 1)

    def turned(x: Any, a: Any, b: Any) -> Any:
        x = a.T @ x if left else x
        return x @ b if right else x

    back = row_basis.T, column_basis.T
    rotated = turned(g, row_basis, column_basis)
    m, v = kept1 * m + (1 - kept1) * rotated, kept2 * v + (1 - kept2) * rotated**2
    size = lr * sqrt(1 - beta2**steps) / (1 - beta1**steps)
    step = -size * turned(m / (sqrt(v) + eps), *back)
    sorted_v = v
    if left:
        rows = shampoo_beta * rows + (1 - shampoo_beta) * (g @ g.T)
        row_basis, order = renewed(rows, row_basis, begun, renew)
        sorted_v = sort_columns(sorted_v.T, order).T
    if right:
        columns = shampoo_beta * columns + (1 - shampoo_beta) * (g.T @ g)
        column_basis, order = renewed(columns, column_basis, begun, renew)
        sorted_v = sort_columns(sorted_v, order)
    if left or right:
        m, v = where(renew, turned(turned(m, *back), row_basis, column_basis), m), where(renew, sorted_v, v)
    states = {"rows": rows, "columns": columns, "row_basis": row_basis, "column_basis": column_basis}
    return Update(step - where(begun, lr * weight_decay, 0) * (w + step), m=m, v=v, **states)
