"""Descent along the gradient at a rate that falls: with time, or after the loss."""

from __future__ import annotations

from ..language import mark
from .base import Update, formula
from .drop_in import DropIn
from .meanings import Meaning
from .vocabulary import maximum, where


@formula(
    source="Polyak & Juditsky 1992",
    year=1992,
    parents=("sgd",),
    direction="gradient",
    rate="falling with time",
    idea="averages its weights over time",
    departs="torch.optim.ASGD's form: the rate of a step is set at the end of the step before, from lr as it is then.",
    meanings={
        "alpha": Meaning("power of the rate's fall", "[0, ∞)"),
        "lambd": Meaning("decay of the weights, and of the rate with time", "[0, ∞)"),
        "t0": Meaning("step after which weights are averaged", "[0, ∞)"),
    },
    drop_ins=(DropIn("ASGD", {"average": "ax", "rate": "eta"}),),
)
def asgd(g, w, t, average, rate, *, lr=1e-2, lambd=1e-4, alpha=0.75, t0=1e6, weight_decay=0.0):
    """SGD with a falling rate; the average of the weights after step t0 is kept beside them."""
    step = -where(t > 1, rate, lr) * (lambd * w + g + weight_decay * w)
    average = average + (w + step - average) / maximum(1, t - 1 - t0)
    return Update(step, average=average, rate=lr / (1 + lambd * lr * t) ** alpha)


@formula(
    source=mark("course notes; a form of the bold driver"),
    year=None,
    parents=("sgd",),
    initial={"scale": 1.0},
    direction="gradient",
    rate="following the loss",
    idea="halves the rate when the loss falls",
    meanings={"factor": Meaning("factor of the rate when the loss has gone down", "(0, ∞)")},
)
def halving(g, loss, t, scale, previous, *, lr=1e-1, factor=0.5):
    """Start with a large rate; whenever the loss has gone down after a step, multiply it by factor."""
    scale = scale * where((t > 1) & (loss < previous), factor, 1)
    return Update(-lr * scale * g, scale=scale, previous=loss)
