"""Adagrad that forgets: a moving average of squared gradients in place of their sum."""

from __future__ import annotations

from .base import Update, formula
from .vocabulary import sqrt


@formula(source="Tieleman & Hinton 2012, Lecture 6.5", year=2012, parents=("adagrad",))
def rmsprop(g, w, v, *, lr=1e-2, alpha=0.99, eps=1e-8, weight_decay=0.0):
    """Divide by the root of the recent squared gradients; eps stands outside the root."""
    g = g + weight_decay * w
    v = alpha * v + (1 - alpha) * g**2
    return Update(-lr * g / (sqrt(v) + eps), v=v)
