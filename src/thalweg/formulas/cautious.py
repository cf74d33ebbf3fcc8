"""Steps only where they go down the present gradient, and longer there for it."""

from __future__ import annotations

from typing import Any

from .adam import averages, ratio
from .base import Update, formula
from .drop_in import MEANS, DropIn
from .operations import mean
from .vocabulary import maximum, sign, where


def cautious(direction: Any, g: Any) -> Any:
    """1 where the direction and the gradient have one sign, else 0, divided by its mean; the mask of a step."""
    mask = where(direction * g > 0, 1, 0)
    return mask / maximum(mean(mask), 1e-3)


@formula(
    source="Liang et al. 2024, Algorithm 1 (C-AdamW)",
    year=2024,
    parents=("adamw",),
    direction="accumulated gradient",
    rate="inverse to short-term change",
    idea="steps only where the gradient agrees",
    departs="the authors' program: the mask is divided by its mean, which is taken to be 1e-3 at least, and the decay "
    "comes behind the step.",
    drop_ins=(DropIn("CautiousAdamW", MEANS, in_torch=False),),
)
def c_adamw(g, w, t, m, v, *, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-6, weight_decay=0.0):
    """AdamW without the part of its step that goes up the present gradient; what is left is as much longer."""
    m, v = averages(g, m, v, beta1, beta2)
    step = lr * cautious(m, g) * ratio(t, m, v, beta1, beta2, eps)
    return Update(-step - lr * weight_decay * (w - step), m=m, v=v)


@formula(
    source="Liang et al. 2024 (C-Lion)",
    year=2024,
    parents=("lion",),
    direction="sign of the accumulated gradient",
    rate="constant",
    idea="lion where the gradient agrees",
    departs="the authors' program: the mask is divided by its mean, which is taken to be 1e-3 at least.",
    drop_ins=(DropIn("CautiousLion", MEANS, in_torch=False),),
)
def c_lion(g, w, m, *, lr=1e-4, beta1=0.9, beta2=0.99, weight_decay=0.0):
    """Lion without the part of its step that goes up the present gradient; what is left is as much longer."""
    direction = beta1 * m + (1 - beta1) * g
    m = beta2 * m + (1 - beta2) * g
    return Update(-lr * (cautious(direction, g) * sign(direction) + weight_decay * w), m=m)
