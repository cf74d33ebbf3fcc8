"""Rules that torch.optim does not have, written a second time: the paper's equations, in NumPy, float64.

Each takes the first weights, the gradients and the losses of the steps, and returns the last weights. None of
this is shared with `thalweg.formulas`, so that an error would have to be made twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

Array = np.ndarray
Rule = Callable[[Array, Sequence[Array], Sequence[float]], Array]


def lookahead_with_given_gradients(w: Array, gradients: Sequence[Array], losses: Sequence[float]) -> Array:
    """v ← μv − ηg, w ← w + v: what the look-ahead form does with the gradients it is given."""
    v = np.zeros_like(w)
    for g in gradients:
        v = 0.9 * v - 1e-3 * g
        w = w + v
    return w


def change_of_variables(w: Array, gradients: Sequence[Array], losses: Sequence[float]) -> Array:
    v = np.zeros_like(w)
    for g in gradients:
        old, v = v, 0.8 * v - 1e-3 * g
        w = w - 0.8 * old + 1.8 * v
    return w


def adagrad_inside(w: Array, gradients: Sequence[Array], losses: Sequence[float]) -> Array:
    total = np.zeros_like(w)
    for g in gradients:
        total = total + g * g
        w = w - 0.01 / np.sqrt(total + 0.01) * g
    return w


def adadelta_outside(w: Array, gradients: Sequence[Array], losses: Sequence[float]) -> Array:
    squares, steps = np.zeros_like(w), np.zeros_like(w)
    for g in gradients:
        squares = 0.9 * squares + 0.1 * g * g
        delta = (np.sqrt(steps) + 1e-3) / (np.sqrt(squares) + 1e-3) * g
        w = w - delta
        steps = 0.9 * steps + 0.1 * delta * delta
    return w


def rmsprop_inside(w: Array, gradients: Sequence[Array], losses: Sequence[float]) -> Array:
    v = np.zeros_like(w)
    for g in gradients:
        v = 0.99 * v + 0.01 * g * g
        w = w - 0.01 / np.sqrt(v + 0.01) * g
    return w


def adam_folded(w: Array, gradients: Sequence[Array], losses: Sequence[float]) -> Array:
    m, v = np.zeros_like(w), np.zeros_like(w)
    for t, g in enumerate(gradients, start=1):
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        w = w - 1e-3 / np.sqrt(v + 1e-7) * np.sqrt(1 - 0.999**t) / (1 - 0.9**t) * m
    return w


def adam_eps_inside(w: Array, gradients: Sequence[Array], losses: Sequence[float]) -> Array:
    m, v = np.zeros_like(w), np.zeros_like(w)
    for t, g in enumerate(gradients, start=1):
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        w = w - 1e-3 * (m / (1 - 0.9**t)) / np.sqrt(v / (1 - 0.999**t) + 0.01)
    return w


def adam_uncorrected_inside(w: Array, gradients: Sequence[Array], losses: Sequence[float]) -> Array:
    m, v = np.zeros_like(w), np.zeros_like(w)
    for g in gradients:
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        w = w - 1e-3 * m / np.sqrt(v + 0.01)
    return w


def adam_correction_kept(w: Array, gradients: Sequence[Array], losses: Sequence[float]) -> Array:
    m, v = np.zeros_like(w), np.zeros_like(w)
    for t, g in enumerate(gradients, start=1):
        m = (0.9 * m + 0.1 * g) / (1 - 0.9**t)
        v = (0.999 * v + 0.001 * g * g) / (1 - 0.999**t)
        w = w - 1e-3 * m / (np.sqrt(v) + 1e-8)
    return w


def lookahead_kept(w: Array, gradients: Sequence[Array], losses: Sequence[float]) -> Array:
    """With given gradients the point where they were taken does not show: the step of 2μa − ηg does."""
    a = np.zeros_like(w)
    for g in gradients:
        ahead = w + 0.9 * a
        a = 0.9 * a - 1e-3 * g
        w = ahead + a
    return w


def adam_uncorrected(w: Array, gradients: Sequence[Array], losses: Sequence[float]) -> Array:
    m, v = np.zeros_like(w), np.zeros_like(w)
    for g in gradients:
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        w = w - 1e-3 * m / (np.sqrt(v) + 1e-8)
    return w


def rmsprop_with_momentum(w: Array, gradients: Sequence[Array], losses: Sequence[float]) -> Array:
    m, v = np.zeros_like(w), np.zeros_like(w)
    for g in gradients:
        v = 0.999 * v + 0.001 * g * g
        m = 0.9 * m - 1e-3 * g / (np.sqrt(v) + 1e-8)
        w = w + m
    return w


def halving(w: Array, gradients: Sequence[Array], losses: Sequence[float]) -> Array:
    rate, before = 0.1, np.inf
    for t, (g, loss) in enumerate(zip(gradients, losses, strict=True)):
        if t and loss < before:
            rate = rate / 2
        before = loss
        w = w - rate * g
    return w


def signsgd(w: Array, gradients: Sequence[Array], losses: Sequence[float]) -> Array:
    return w - 1e-4 * sum(np.sign(g) for g in gradients)


def signum(w: Array, gradients: Sequence[Array], losses: Sequence[float]) -> Array:
    m = np.zeros_like(w)
    for g in gradients:
        g = g + 0.1 * w
        m = 0.9 * m + 0.1 * g
        w = w - 1e-2 * np.sign(m)
    return w


def lion(w: Array, gradients: Sequence[Array], losses: Sequence[float]) -> Array:
    m = np.zeros_like(w)
    for g in gradients:
        c = 0.9 * m + 0.1 * g
        w = w - 1e-2 * (np.sign(c) + 0.1 * w)
        m = 0.99 * m + 0.01 * g
    return w


def adabelief(w: Array, gradients: Sequence[Array], losses: Sequence[float]) -> Array:
    m, s = np.zeros_like(w), np.zeros_like(w)
    for t, g in enumerate(gradients, start=1):
        m = 0.8 * m + 0.2 * g
        s = 0.95 * s + 0.05 * (g - m) ** 2 + 1e-3
        w = w - 1e-2 * (m / (1 - 0.8**t)) / (np.sqrt(s / (1 - 0.95**t)) + 1e-3)
    return w


def yogi(w: Array, gradients: Sequence[Array], losses: Sequence[float]) -> Array:
    m, v = np.zeros_like(w), np.full_like(w, 0.3)
    for g in gradients:
        m = 0.9 * m + 0.1 * g
        v = v - 0.001 * np.sign(v - g * g) * g * g
        w = w - 1e-2 * m / (np.sqrt(v) + 1e-3)
    return w


def adan(w: Array, gradients: Sequence[Array], losses: Sequence[float]) -> Array:
    """With the paper's β: 0.02, 0.08, 0.01; averages corrected for their start at 0."""
    m, v, n = np.zeros_like(w), np.zeros_like(w), np.zeros_like(w)
    before = gradients[0]
    for k, g in enumerate(gradients, start=1):
        m = 0.98 * m + 0.02 * g
        v = 0.92 * v + 0.08 * (g - before)
        n = 0.99 * n + 0.01 * (g + 0.92 * (g - before)) ** 2
        rate = 1e-2 / (np.sqrt(n / (1 - 0.99**k)) + 1e-8)
        w = (w - rate * (m / (1 - 0.98**k) + 0.92 * v / (1 - 0.92**k))) / (1 + 0.1 * 1e-2)
        before = g
    return w


def adan_decayed_first(w: Array, gradients: Sequence[Array], losses: Sequence[float]) -> Array:
    m, v, n, before = np.zeros_like(w), np.zeros_like(w), np.zeros_like(w), gradients[0]
    for k, g in enumerate(gradients, start=1):
        m, v = 0.98 * m + 0.02 * g, 0.92 * v + 0.08 * (g - before)
        n = 0.99 * n + 0.01 * (g + 0.92 * (g - before)) ** 2
        w = (1 - 0.1 * 1e-2) * w
        w = w - 1e-2 * (m / (1 - 0.98**k) + 0.92 * v / (1 - 0.92**k)) / (np.sqrt(n / (1 - 0.99**k)) + 1e-8)
        before = g
    return w


def adan_uncorrected(w: Array, gradients: Sequence[Array], losses: Sequence[float]) -> Array:
    m, v, n = np.zeros_like(w), np.zeros_like(w), np.zeros_like(w)
    before = gradients[0]
    for g in gradients:
        m = 0.98 * m + 0.02 * g
        v = 0.92 * v + 0.08 * (g - before)
        n = 0.99 * n + 0.01 * (g + 0.92 * (g - before)) ** 2
        w = w - 1e-3 / (np.sqrt(n) + 1e-8) * (m + 0.92 * v)
        before = g
    return w


def qhadam(w: Array, gradients: Sequence[Array], losses: Sequence[float]) -> Array:
    m, v = np.zeros_like(w), np.zeros_like(w)
    for t, g in enumerate(gradients, start=1):
        m, v = 0.9 * m + 0.1 * g, 0.99 * v + 0.01 * g * g
        above = (1 - 0.7) * g + 0.7 * m / (1 - 0.9**t)
        below = np.sqrt((1 - 0.8) * g * g + 0.8 * v / (1 - 0.99**t)) + 1e-8
        w = w - 1e-3 * above / below
    return w


def adabelief_of_its_authors(w: Array, gradients: Sequence[Array], losses: Sequence[float]) -> Array:
    """eps 1e-16, rectified from ρ ≥ 5 on, decay before the step."""
    m, s, far = np.zeros_like(w), np.zeros_like(w), 2 / (1 - 0.95) - 1
    for t, g in enumerate(gradients, start=1):
        w = w * (1 - 1e-2 * 0.1)
        m = 0.9 * m + 0.1 * g
        s = 0.95 * s + 0.05 * (g - m) ** 2 + 1e-16
        rho = far - 2 * t * 0.95**t / (1 - 0.95**t)
        if rho >= 5:
            above = (1 - 0.95**t) * (rho - 4) / (far - 4) * (rho - 2) / rho * far / (far - 2)
            w = w - 1e-2 * np.sqrt(above) / (1 - 0.9**t) * m / (np.sqrt(s) + 1e-16)
        else:
            w = w - 1e-2 / (1 - 0.9**t) * m
    return w


def adopt(w: Array, gradients: Sequence[Array], losses: Sequence[float], coupled: float = 0.1) -> Array:
    """lr 0.01, betas (0.9, 0.99); without the coupled decay 0.2, decoupled."""
    m = np.zeros_like(w)
    first, *rest = gradients
    v = (first + coupled * w) ** 2
    for k, g in enumerate(rest, start=1):
        g = g + coupled * w
        w = w if coupled else (1 - 1e-2 * 0.2) * w
        normed = np.clip(g / np.maximum(np.sqrt(v), 1e-6), -(k**0.25), k**0.25)
        m = 0.9 * m + 0.1 * normed
        w = w - 1e-2 * m
        v = 0.99 * v + 0.01 * g * g
    return w


def ademamix(w: Array, gradients: Sequence[Array], losses: Sequence[float], warm: bool = False) -> Array:
    """lr 0.01, betas (0.9, 0.99, 0.999), alpha 3, decay 0.1; warm: alpha grows for 20 steps, beta3 for 30."""
    m, slow, v = (np.zeros_like(w) for _ in range(3))
    fast, last = (np.log(0.5) / np.log(beta) - 1 for beta in (0.9, 0.999))
    for t, g in enumerate(gradients, start=1):
        alpha, beta3 = 3.0, 0.999
        if warm:
            alpha = 3.0 * t / 20 if t < 20 else 3.0
            beta3 = 0.5 ** (1 / ((1 - t / 30) * fast + t / 30 * last + 1)) if t < 30 else 0.999
        m, slow, v = 0.9 * m + 0.1 * g, beta3 * slow + (1 - beta3) * g, 0.99 * v + 0.01 * g * g
        update = (m / (1 - 0.9**t) + alpha * slow) / (np.sqrt(v) / np.sqrt(1 - 0.99**t) + 1e-8)
        w = w - 1e-2 * (update + 0.1 * w)
    return w


def schedule_free_sgd(w: Array, gradients: Sequence[Array], losses: Sequence[float]) -> Array:
    """lr 0.05, beta 0.8, decay 0.1, a warm-up of 10 steps, r 1: the point y where gradients are taken."""
    x, y, z, gathered = w, w, w, 0.0
    for t, g in enumerate(gradients, start=1):
        rate = 0.05 * min(t / 10, 1)
        z = z - rate * (g + 0.1 * y)
        gathered += t * rate**2  # the largest rate so far is this one
        x = (1 - t * rate**2 / gathered) * x + t * rate**2 / gathered * z
        y = 0.8 * x + 0.2 * z
    return y


def schedule_free_adamw(
    w: Array, gradients: Sequence[Array], losses: Sequence[float], at_z: bool = False, shown: bool = False
) -> Array:
    """lr 0.01, betas (0.9, 0.99), decay 0.1; shown: the average x in place of y."""
    x, y, z, v, gathered = w, w, w, np.zeros_like(w), 0.0
    for t, g in enumerate(gradients, start=1):
        v = 0.99 * v + 0.01 * g * g
        z = z - 0.01 * 0.1 * (z if at_z else y) - 0.01 * g / (np.sqrt(v / (1 - 0.99**t)) + 1e-8)
        gathered += 0.01**2
        x = (1 - 0.01**2 / gathered) * x + 0.01**2 / gathered * z
        y = 0.9 * x + 0.1 * z
    return x if shown else y


def lookahead_adam(w: Array, gradients: Sequence[Array], losses: Sequence[float]) -> Array:
    """Adam at 0.01, (0.8, 0.95), 1e-4; 3 steps, then 0.3 of the way."""
    slow, m, v = w, np.zeros_like(w), np.zeros_like(w)
    for t, g in enumerate(gradients, start=1):
        m, v = 0.8 * m + 0.2 * g, 0.95 * v + 0.05 * g * g
        w = w - 0.01 * (m / (1 - 0.8**t)) / (np.sqrt(v / (1 - 0.95**t)) + 1e-4)
        if t % 3 == 0:
            w = slow = slow + 0.3 * (w - slow)
    return w


def lookahead_momentum(w: Array, gradients: Sequence[Array], losses: Sequence[float], of: int = 5) -> Array:
    """Momentum 0.9 at 0.01, decay 0.1, as of torch; 5 steps, then half of the way."""
    slow, a = w, np.zeros_like(w)
    for t, g in enumerate(gradients, start=1):
        a = 0.9 * a + g + 0.1 * w
        w = w - 0.01 * a
        if t % of == 0:
            w = slow = 0.5 * (slow + w)
    return w


PAPERS: dict[str, Rule] = {
    "nesterov(lookahead=True)": lookahead_with_given_gradients,
    "nesterov(change_of_variables=True,momentum=0.8)": change_of_variables,
    "adagrad(eps_inside=True,eps=0.01)": adagrad_inside,
    "adadelta(eps_inside=False,eps=0.001)": adadelta_outside,
    "rmsprop(eps_inside=True,eps=0.01)": rmsprop_inside,
    "adam(folded=True,eps=1e-7)": adam_folded,
    "adam(bias_correction=False)": adam_uncorrected,
    "adam(eps_inside=True,eps=0.01)": adam_eps_inside,
    "adam(bias_correction=False,eps_inside=True,eps=0.01)": adam_uncorrected_inside,
    "adam(correction_kept=True)": adam_correction_kept,
    "nesterov(lookahead_kept=True)": lookahead_kept,
    "adam(rmsprop_momentum=True)": rmsprop_with_momentum,
    "halving": halving,
    "signsgd": signsgd,
    "signsgd(lr=0.01,momentum=0.9,weight_decay=0.1)": signum,
    "lion(lr=0.01,weight_decay=0.1)": lion,
    "adabelief(lr=0.01,beta1=0.8,beta2=0.95,eps=1e-3)": adabelief,
    "yogi(initial_accumulator_value=0.3)": yogi,
    "adan(lr=0.01,weight_decay=0.1)": adan,
    "adan(bias_correction=False)": adan_uncorrected,
    "adan(lr=0.01,weight_decay=0.1,no_prox=True)": adan_decayed_first,
    "adabelief(lr=0.01,beta2=0.95,eps=1e-16,weight_decay=0.1,rectify=True,decoupled_weight_decay=True)": (
        adabelief_of_its_authors
    ),
    "adopt(lr=0.01,beta2=0.99,weight_decay=0.1)": adopt,
    "adopt(lr=0.01,beta2=0.99,weight_decay=0.2,decoupled_weight_decay=True)": (
        lambda w, gradients, losses: adopt(w, gradients, losses, coupled=0.0)
    ),
    "schedule_free_sgd(lr=0.05,momentum=0.8,weight_decay=0.1,warmup_steps=10,r=1)": schedule_free_sgd,
    "schedule_free_adamw(lr=0.01,beta2=0.99,weight_decay=0.1)": schedule_free_adamw,
    "schedule_free_adamw(lr=0.01,beta2=0.99,weight_decay=0.1,decay_at_z=True)": (
        lambda w, gradients, losses: schedule_free_adamw(w, gradients, losses, at_z=True)
    ),
    "ademamix(lr=0.01,beta2=0.99,beta3=0.999,alpha=3,weight_decay=0.1)": ademamix,
    "ademamix(lr=0.01,beta2=0.99,beta3=0.999,alpha=3,weight_decay=0.1,alpha_warmup=20,beta3_warmup=30)": (
        lambda w, gradients, losses: ademamix(w, gradients, losses, warm=True)
    ),
    "qhadam(beta1=0.9,beta2=0.99,nu2=0.8)": qhadam,
    "lookahead(adam(lr=0.01,beta1=0.8,beta2=0.95,eps=1e-4),steps=3,slow_step=0.3)": lookahead_adam,
    "lookahead(momentum(lr=0.01,weight_decay=0.1))": lookahead_momentum,
}
