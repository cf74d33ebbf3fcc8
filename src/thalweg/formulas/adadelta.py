"""Adagrad with a short memory, and a step in the units of the weight."""

from __future__ import annotations

from .base import Update, formula
from .drop_in import DropIn
from .meanings import SHARE, Meaning
from .roots import root
from .vocabulary import once


@formula(
    source="Zeiler 2012, Algorithm 1",
    year=2012,
    parents=("adagrad",),
    direction="gradient",
    rate="inverse to short-term change",
    idea="forgets, and needs no rate",
    departs="lr, which the paper does not have, multiplies the step and stays out of the accumulated step.",
    meanings={"rho": Meaning("share of the past in the averages of squares", SHARE)},
    drop_ins=(DropIn("Adadelta", {"v": "square_avg", "u": "acc_delta"}),),
)
def adadelta(g, w, v, u, *, lr=1.0, rho=0.9, eps=1e-6, weight_decay=0.0, eps_inside=True):
    """Divide by the recent gradients' size and multiply by the recent steps' size.

    The size is √(v + ε); with eps_inside=False it is √v + ε.
    """
    g = g + weight_decay * w
    v = rho * v + (1 - rho) * g**2
    change = once(root(u, eps, eps_inside) / root(v, eps, eps_inside) * g)
    u = rho * u + (1 - rho) * change**2
    return Update(-lr * change, v=v, u=u)
