"""The mean squares of a matrix from those of its rows and columns: two vectors in place of a matrix."""

from __future__ import annotations

from .base import Update, formula
from .drop_in import DropIn
from .meanings import SWITCH, Meaning
from .operations import column_mean, resolution, rms, row_mean
from .vocabulary import maximum, minimum, sqrt

MATRIX = Meaning("treat a tensor of two axes or more as a matrix; else as a vector", SWITCH)
# tensors of two axes or more are matrices
MATRICES = {"matrix": "axes > 1"}


@formula(
    source="Shazeer & Stern 2018, Algorithms 4 and 5",
    year=2018,
    parents=("rmsprop",),
    direction="gradient",
    rate="inverse to short-term change",
    idea="squares of rows and columns only",
    departs="torch.optim.Adafactor's form: lr caps the relative step (the paper has 0.01), eps1 keeps the divisors "
    "from being 0 and is not added to the squares, and means stand in place of sums.",
    meanings={
        "beta2_decay": Meaning("power of t that each new square has as its share", "(-∞, 0]"),
        "d": Meaning("largest root mean square of a step before the rate", "[1, ∞)"),
        "eps1": Meaning("keeps the divisors from being 0; unless given, the resolution of the weights", "[0, ∞)"),
        "eps2": Meaning("smallest root mean square of weights that a step is a share of", "[0, ∞)"),
        "matrix": MATRIX,
    },
    drop_ins=(DropIn("Adafactor", {"r": "row_var", "c": "col_var", "v": "variance"}, ("eps1",)),),
    batched=True,
    by_shape=MATRICES,
)
def adafactor(
    g, w, t, r, c, v, *, lr=1e-2, beta2_decay=-0.8, eps1=None, eps2=1e-3, d=1.0, weight_decay=0.0, matrix=True
):
    """RMSprop that keeps means of squares by row and by column, and steps by a share of the weights' size.

    Of a vector all squares are kept. A tensor of more than two axes is a batch of matrices.
    """
    eps1, share = resolution(w) if eps1 is None else eps1, t**beta2_decay
    if matrix:
        r, c = r + share * (row_mean(g**2) - r), c + share * (column_mean(g**2) - c)
        square = r @ c / maximum(column_mean(r), eps1)
    else:
        v = v + share * (g**2 - v)
        square = v
    u = g / sqrt(maximum(square, eps1**2))
    size = maximum(eps2, rms(w)) * minimum(lr, 1 / sqrt(t))
    return Update(-lr * weight_decay * w - size / maximum(1, rms(u) / d) * u, r=r, c=c, v=v)
