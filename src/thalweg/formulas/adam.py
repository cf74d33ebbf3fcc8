"""Momentum and RMSprop together, each corrected for having started at zero."""

from __future__ import annotations

from .base import Update, formula
from .vocabulary import sqrt


@formula(source="Kingma & Ba 2015, Algorithm 1", year=2014, parents=("momentum", "rmsprop"))
def adam(g, w, t, m, v, *, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.0):
    """Moving averages of the gradient and of its square; weight decay is added to the gradient."""
    g = g + weight_decay * w
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    step = -lr * (m / (1 - beta1**t)) / (sqrt(v / (1 - beta2**t)) + eps)
    return Update(step, m=m, v=v)


@formula(source="Loshchilov & Hutter 2019, Algorithm 2", year=2017, parents=("adam",))
def adamw(g, w, t, m, v, *, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=1e-2):
    """Adam with weight decay applied to the weight itself, w ← (1 − lr·weight_decay) w, before the step."""
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    step = -lr * weight_decay * w - lr * (m / (1 - beta1**t)) / (sqrt(v / (1 - beta2**t)) + eps)
    return Update(step, m=m, v=v)
