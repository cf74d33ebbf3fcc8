"""Descent along the gradient, at a constant rate."""

from __future__ import annotations

from .base import Update, formula
from .drop_in import DropIn


@formula(
    source="Robbins & Monro 1951; Cauchy 1847",
    year=1951,
    direction="gradient",
    rate="constant",
    idea="downhill (Cauchy 1847), sampled",
    drop_ins=(DropIn("SGD", keeps_step=False),),
)
def sgd(g, w, *, lr=1e-3, weight_decay=0.0):
    """Gradient descent; on random mini-batches, stochastic gradient descent."""
    g = g + weight_decay * w
    return Update(-lr * g)
