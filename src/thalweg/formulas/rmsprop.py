"""Adagrad that forgets: a moving average of squared gradients in place of their sum."""

from __future__ import annotations

from .base import Update, formula
from .drop_in import DropIn
from .meanings import SWITCH, Meaning
from .roots import root
from .vocabulary import maximum

_STATES = {"v": "square_avg", "m": "grad_avg", "b": "momentum_buffer"}


@formula(
    source="Tieleman & Hinton 2012, Lecture 6.5; Graves 2013 (centered, momentum)",
    year=2012,
    parents=("adagrad",),
    direction="gradient",
    rate="inverse to short-term change",
    idea="forgets old gradients",
    departs="centered: the variance v − m² is kept from falling below 0 by rounding, which torch does not.",
    meanings={
        "alpha": Meaning("share of the past in the average of squares", "[0, 1]"),
        "centered": Meaning("divide by the deviation of gradients instead of their size", SWITCH),
    },
    drop_ins=(DropIn("RMSprop", _STATES, ("momentum", "centered")),),
)
def rmsprop(
    g, w, v, m, b, *, lr=1e-2, alpha=0.99, eps=1e-8, weight_decay=0.0, momentum=None, centered=False, eps_inside=False
):
    """Divide by the root of the recent squared gradients, √v + ε; with eps_inside, √(v + ε).

    Centered, by the root of their variance. With momentum μ, the divided gradients are accumulated.
    """
    g = g + weight_decay * w
    v = alpha * v + (1 - alpha) * g**2
    square = v
    if centered:
        m = alpha * m + (1 - alpha) * g
        square = maximum(v - m**2, 0)
    scaled = g / root(square, eps, eps_inside)
    if momentum is None:
        return Update(-lr * scaled, v=v, m=m, b=b)
    b = momentum * b + scaled
    return Update(-lr * b, v=v, m=m, b=b)
