"""Adagrad with a short memory, and a step in the units of the weight."""

from __future__ import annotations

from .base import Update, formula
from .vocabulary import once, sqrt


@formula(source="Zeiler 2012, Algorithm 1", year=2012, parents=("adagrad",))
def adadelta(g, w, v, u, *, lr=1.0, rho=0.9, eps=1e-6, weight_decay=0.0):
    """Divide by the recent gradients' size and multiply by the recent steps' size.

    The accumulated squared step does not contain lr.
    """
    g = g + weight_decay * w
    v = rho * v + (1 - rho) * g**2
    change = once(sqrt(u + eps) / sqrt(v + eps) * g)
    u = rho * u + (1 - rho) * change**2
    return Update(-lr * change, v=v, u=u)
