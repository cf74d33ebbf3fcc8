"""Rules that take a second gradient, written a second time: in NumPy, float64, from a function that gives gradients.

Each takes the tensors of a model and that function, and returns the weights after 50 steps. Nothing of this is shared
with `thalweg.formulas`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Array = np.ndarray
Tensors = list[Array]
Gradient = Callable[[Tensors], Tensors]
Rule = Callable[[Tensors, Gradient], Tensors]
STEPS = 50


def uphill(weights: Tensors, gradient: Gradient, radius: float) -> Tensors:
    """The gradient at w + ρg / (‖g‖ + 1e-12)."""
    first = gradient(weights)
    length = np.sqrt(sum(float((g * g).sum()) for g in first)) + 1e-12
    return gradient([w + radius * g / length for w, g in zip(weights, first, strict=True)])


def sgd(weights: Tensors, gradient: Gradient) -> Tensors:
    """lr 0.1, radius 0.05."""
    for _ in range(STEPS):
        weights = [w - 0.1 * g for w, g in zip(weights, uphill(weights, gradient, 0.05), strict=True)]
    return weights


def adamw(weights: Tensors, gradient: Gradient) -> Tensors:
    """lr 0.02, betas (0.8, 0.95), eps 1e-6, decay 0.1, radius 0.3."""
    m, v = ([np.zeros_like(w) for w in weights] for _ in range(2))
    for t in range(1, STEPS + 1):
        for k, g in enumerate(uphill(weights, gradient, 0.3)):
            m[k], v[k] = 0.8 * m[k] + 0.2 * g, 0.95 * v[k] + 0.05 * g * g
            u = (m[k] / (1 - 0.8**t)) / (np.sqrt(v[k] / (1 - 0.95**t)) + 1e-6)
            weights[k] = weights[k] - 0.02 * 0.1 * weights[k] - 0.02 * u
    return weights


def looking_ahead(weights: Tensors, gradient: Gradient) -> Tensors:
    """Nesterov at 0.05, momentum 0.9: both gradients are taken from w + 0.9v on; radius 0.1."""
    v = [np.zeros_like(w) for w in weights]
    for _ in range(STEPS):
        ahead = [w + 0.9 * x for w, x in zip(weights, v, strict=True)]
        v = [0.9 * x - 0.05 * g for x, g in zip(v, uphill(ahead, gradient, 0.1), strict=True)]
        weights = [w + x for w, x in zip(weights, v, strict=True)]
    return weights


def with_slow_weights(weights: Tensors, gradient: Gradient) -> Tensors:
    """sgd as above, 3 steps for half of the way."""
    slow = weights
    for t in range(1, STEPS + 1):
        weights = [w - 0.1 * g for w, g in zip(weights, uphill(weights, gradient, 0.05), strict=True)]
        if t % 3 == 0:
            weights = slow = [(s + w) / 2 for s, w in zip(slow, weights, strict=True)]
    return weights


PAPERS: dict[str, Rule] = {
    "sam(sgd(lr=0.1))": sgd,
    "sam(adamw(lr=0.02,beta1=0.8,beta2=0.95,eps=1e-6,weight_decay=0.1),radius=0.3)": adamw,
    "sam(nesterov(lr=0.05,lookahead=True),radius=0.1)": looking_ahead,
    "lookahead(sam(sgd(lr=0.1)),steps=3)": with_slow_weights,
}
