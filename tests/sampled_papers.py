"""Rules that estimate curvature on sampled targets, written a second time: in NumPy, float64, from two functions.

Each takes the tensors of a model, a function that gives the gradients of a step, and one that gives those on sampled
targets, so weighted that their square estimates curvature; it returns the weights after 50 steps. Nothing of this is
shared with `thalweg.formulas`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Array = np.ndarray
Tensors = list[Array]
Gradient = Callable[[Tensors, int], Tensors]  # where, and at which step, counted from 1
Rule = Callable[[Tensors, Gradient, Gradient], Tensors]
STEPS = 50


def sophia(
    lr: float = 1e-4,
    betas: tuple[float, float] = (0.965, 0.99),
    rho: float = 0.04,
    decay: float = 0.1,
    every: int = 10,
    slow: int = 0,
) -> Rule:
    """Algorithm 3 with the clipping of the authors' program; `slow`: lookahead around it, so many steps for half."""

    def rule(weights: Tensors, gradient: Gradient, sampled: Gradient) -> Tensors:
        m, h = ([np.zeros_like(w) for w in weights] for _ in range(2))
        back = weights
        for t in range(1, STEPS + 1):
            if every == 1 or t % every == 1:
                estimates = [g * g for g in sampled(weights, t)]
                h = [betas[1] * x + (1 - betas[1]) * e for x, e in zip(h, estimates, strict=True)]
            m = [betas[0] * x + (1 - betas[0]) * g for x, g in zip(m, gradient(weights, t), strict=True)]
            shrunk = [w * (1 - lr * decay) for w in weights]
            ratios = [np.minimum(np.abs(x) / (rho * y + 1e-15), 1) for x, y in zip(m, h, strict=True)]
            weights = [w - lr * np.sign(x) * r for w, x, r in zip(shrunk, m, ratios, strict=True)]
            if slow and t % slow == 0:
                weights = back = [(b + w) / 2 for b, w in zip(back, weights, strict=True)]
        return weights

    return rule


PAPERS: dict[str, Rule] = {
    "sophia_g": sophia(),
    "sophia_g(lr=0.02,beta1=0.8,beta2=0.9,rho=0.5,weight_decay=0.3,every=4)": sophia(0.02, (0.8, 0.9), 0.5, 0.3, 4),
    "sophia_g(lr=0.02,beta2=0.9,rho=0.5,weight_decay=0,every=1)": sophia(0.02, (0.965, 0.9), 0.5, 0.0, 1),
    "lookahead(sophia_g(lr=0.02,rho=0.5,every=4),steps=3)": sophia(0.02, rho=0.5, every=4, slow=3),
}
