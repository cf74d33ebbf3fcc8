"""A rate of its own for every weight, shrinking with all the gradients it has seen."""

from __future__ import annotations

from .base import Update, formula
from .drop_in import DropIn
from .meanings import Meaning
from .roots import root


@formula(
    source="Duchi, Hazan & Singer 2011",
    year=2011,
    parents=("sgd",),
    initial={"r": "initial_accumulator_value"},
    direction="gradient",
    rate="inverse to long-term change",
    idea="a falling rate for each weight",
    meanings={"lr_decay": Meaning("fall of the rate per step, as 1 / (1 + (t − 1)·lr_decay)", "[0, ∞)")},
    drop_ins=(DropIn("Adagrad", {"r": "sum"}),),
)
def adagrad(
    g, w, t, r, *, lr=1e-2, lr_decay=0.0, weight_decay=0.0, initial_accumulator_value=0.0, eps=1e-10, eps_inside=False
):
    """Divide by the root of the sum of all squared gradients, √r + ε; with eps_inside, √(r + ε)."""
    g = g + weight_decay * w
    r = r + g**2
    return Update(-lr / (1 + (t - 1) * lr_decay) * g / root(r, eps, eps_inside), r=r)
