"""Rules that look beyond one weight, written a second time: their equations in NumPy, float64, tensor by tensor.

Each takes the tensors of a model and, for every step, their gradients; it returns the last weights. Nothing of this is
shared with `thalweg.formulas`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Array = np.ndarray
Tensors = list[Array]
Rule = Callable[[Tensors, Sequence[Tensors]], Tensors]


def size(x: Array) -> float:
    return float(np.sqrt((x * x).sum()))


def root_mean_square(x: Array) -> float:
    return float(np.sqrt((x * x).mean()))


def lars(weights: Tensors, gradients: Sequence[Tensors]) -> Tensors:
    """lr 0.5, momentum 0.8, decay 0.1, trust 0.01, eps 1e-8."""
    buffers = [np.zeros_like(w) for w in weights]
    for step in gradients:
        for k, g in enumerate(step):
            w, scale = weights[k], 1.0
            if size(w) > 0 and size(g) > 0:
                scale = 0.01 * size(w) / (size(g) + 0.1 * size(w) + 1e-8)
            buffers[k] = 0.8 * buffers[k] + scale * (g + 0.1 * w)
            weights[k] = w - 0.5 * buffers[k]
    return weights


def lamb(weights: Tensors, gradients: Sequence[Tensors], decay: float = 0.05) -> Tensors:
    """lr 0.01, betas (0.8, 0.95), eps 1e-6, the gradients of the model together at most 1 long."""
    first, second = ([np.zeros_like(w) for w in weights] for _ in range(2))
    for t, step in enumerate(gradients, start=1):
        length = np.sqrt(sum(size(g) ** 2 for g in step))
        for k, g in enumerate(step):
            g = g / max(1.0, length)
            first[k] = 0.8 * first[k] + 0.2 * g
            second[k] = 0.95 * second[k] + 0.05 * g * g
            u = (first[k] / (1 - 0.8**t)) / (np.sqrt(second[k] / (1 - 0.95**t)) + 1e-6) + decay * weights[k]
            trust = size(weights[k]) / size(u) if decay and size(weights[k]) > 0 and size(u) > 0 else 1.0
            weights[k] = weights[k] - 0.01 * trust * u
    return weights


def lamb_without_decay(weights: Tensors, gradients: Sequence[Tensors]) -> Tensors:
    return lamb(weights, gradients, decay=0.0)


def adafactor(weights: Tensors, gradients: Sequence[Tensors]) -> Tensors:
    """lr 0.3, power −0.7, eps (1e-8, 1e-2), d 1.5, decay 0.1; of more than two axes the last two are the matrix."""
    squares: list[tuple[Array, Array]] = [(np.array(0.0), np.array(0.0))] * len(weights)
    for t, step in enumerate(gradients, start=1):
        share = t**-0.7
        for k, g in enumerate(step):
            w = weights[k]
            length = max(1e-2, root_mean_square(w)) * min(0.3, 1 / np.sqrt(t))
            rows, columns = squares[k]
            if g.ndim > 1:
                rows = (1 - share) * rows + share * (g * g).mean(-1, keepdims=True)
                columns = (1 - share) * columns + share * (g * g).mean(-2, keepdims=True)
                square = rows * columns / np.maximum(rows.mean(-2, keepdims=True), 1e-8)
            else:
                square = rows = (1 - share) * rows + share * g * g
            squares[k] = rows, columns
            u = g / np.sqrt(np.maximum(square, 1e-16))
            weights[k] = (1 - 0.3 * 0.1) * w - length / max(1.0, root_mean_square(u) / 1.5) * u
    return weights


def newton_schulz(x: Array, least: float = 1e-7, added: float = 0.0) -> Array:
    turned = x.shape[0] > x.shape[1]
    x = x.T if turned else x
    x = x / (max(size(x), least) + added)
    for _ in range(5):
        a = x @ x.T
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    return x.T if turned else x


def adam_of_the_rest(w: Array, step: int, history: Sequence[Array], rate: float) -> Array:
    """AdamW's direction after these gradients, with betas (0.9, 0.95) and eps 1e-10."""
    m = sum(0.1 * 0.9 ** (step - 1 - k) * g for k, g in enumerate(history))
    v = sum(0.05 * 0.95 ** (step - 1 - k) * g * g for k, g in enumerate(history))
    return rate * (m / (1 - 0.9**step)) / (np.sqrt(v / (1 - 0.95**step)) + 1e-10)


def muon(weights: Tensors, gradients: Sequence[Tensors], reference: bool = False, like_adamw: bool = False) -> Tensors:
    """lr 0.05, decay 0.1, momentum 0.9; a tensor of more than two axes is a matrix with a row for each first index."""
    averages = [np.zeros_like(w) for w in weights]
    for t, step in enumerate(gradients, start=1):
        for k, g in enumerate(step):
            w = weights[k]
            if w.ndim < 2:
                update = adam_of_the_rest(w, t, [s[k] for s in gradients[:t]], 0.05 * 0.2)
                weights[k] = (1 - 0.05 * 0.2 * 0.1) * w - update
                continue
            averages[k] = 0.9 * averages[k] + 0.1 * g
            u = 0.9 * averages[k] + 0.1 * g
            u = newton_schulz(u.reshape(len(u), -1), *((0.0, 1e-7) if reference else (1e-7, 0.0)))
            scale = 0.2 * np.sqrt(max(u.shape)) if like_adamw else np.sqrt(max(1.0, u.shape[0] / u.shape[1]))
            weights[k] = (1 - 0.05 * 0.1) * w - 0.05 * scale * u.reshape(w.shape)
    return weights


def tiger(weights: Tensors, gradients: Sequence[Tensors]) -> Tensors:
    """lr 0.02, beta 0.9, decay 0.1."""
    averages = [np.zeros_like(w) for w in weights]
    for step in gradients:
        for k, g in enumerate(step):
            w = weights[k]
            averages[k] = 0.9 * averages[k] + 0.1 * g
            update, rate = np.sign(averages[k]), 0.02 * 0.5
            if w.ndim > 1:
                update, rate = update + 0.1 * w, 0.02 * root_mean_square(w)
            weights[k] = w - rate * update
    return weights


def mars(weights: Tensors, gradients: Sequence[Tensors]) -> Tensors:
    """lr 0.01, betas (0.9, 0.98), gamma 0.05, decay 0.1; of vectors AdamW with betas (0.9, 0.95), decay 0.1."""
    m, v, last = ([np.zeros_like(w) for w in weights] for _ in range(3))
    for t, step in enumerate(gradients, start=1):
        for k, g in enumerate(step):
            c, beta2 = g, 0.95
            if g.ndim > 1:
                c, beta2 = g + 0.05 * 0.9 / (1 - 0.9) * (g - last[k]), 0.98
                c = c / size(c) if size(c) > 1 else c
            last[k] = g
            m[k], v[k] = 0.9 * m[k] + 0.1 * c, beta2 * v[k] + (1 - beta2) * c * c
            u = (m[k] / (1 - 0.9**t)) / (np.sqrt(v[k]) / np.sqrt(1 - beta2**t) + 1e-8)
            weights[k] = weights[k] - 0.01 * (u + 0.1 * weights[k])
    return weights


def agreeing(direction: Array, g: Array) -> Array:
    mask = (direction * g > 0).astype(float)
    return mask / max(mask.mean(), 1e-3)


def cautious_adamw(weights: Tensors, gradients: Sequence[Tensors]) -> Tensors:
    """lr 0.01, betas (0.8, 0.95), eps 1e-6, decay 0.1, behind the step."""
    m, v = ([np.zeros_like(w) for w in weights] for _ in range(2))
    for t, step in enumerate(gradients, start=1):
        for k, g in enumerate(step):
            m[k], v[k] = 0.8 * m[k] + 0.2 * g, 0.95 * v[k] + 0.05 * g * g
            u = (m[k] / (1 - 0.8**t)) / (np.sqrt(v[k] / (1 - 0.95**t)) + 1e-6)
            weights[k] = (weights[k] - 0.01 * agreeing(m[k], g) * u) * (1 - 0.01 * 0.1)
    return weights


def cautious_lion(weights: Tensors, gradients: Sequence[Tensors]) -> Tensors:
    """lr 0.01, betas (0.9, 0.99), decay 0.1, before the step."""
    m = [np.zeros_like(w) for w in weights]
    for step in gradients:
        for k, g in enumerate(step):
            c = 0.9 * m[k] + 0.1 * g
            weights[k] = weights[k] * (1 - 0.01 * 0.1) - 0.01 * agreeing(c, g) * np.sign(c)
            m[k] = 0.99 * m[k] + 0.01 * g
    return weights


def cautious_momentum(weights: Tensors, gradients: Sequence[Tensors]) -> Tensors:
    """lr 0.01, momentum 0.9, decay 0.1 by the gradient; the mask is by the gradient alone."""
    a = [np.zeros_like(w) for w in weights]
    for step in gradients:
        for k, g in enumerate(step):
            a[k] = 0.9 * a[k] + g + 0.1 * weights[k]
            weights[k] = weights[k] - 0.01 * a[k] * agreeing(a[k], g)
    return weights


def lookahead_cautious_adamw(weights: Tensors, gradients: Sequence[Tensors]) -> Tensors:
    """AdamW at 0.01, (0.8, 0.95), 1e-6, decay 0.1 before the step; 4 steps, then 0.7 of the way."""
    m, v = ([np.zeros_like(w) for w in weights] for _ in range(2))
    slow = [w.copy() for w in weights]
    for t, step in enumerate(gradients, start=1):
        for k, g in enumerate(step):
            m[k], v[k] = 0.8 * m[k] + 0.2 * g, 0.95 * v[k] + 0.05 * g * g
            u = (m[k] / (1 - 0.8**t)) / (np.sqrt(v[k] / (1 - 0.95**t)) + 1e-6)
            weights[k] = weights[k] * (1 - 0.01 * 0.1) - 0.01 * agreeing(m[k], g) * u
            if t % 4 == 0:
                weights[k] = slow[k] = slow[k] + 0.7 * (weights[k] - slow[k])
    return weights


def dadapt_adam(weights: Tensors, gradients: Sequence[Tensors], corrected: bool = False) -> Tensors:
    """lr 0.5, betas (0.9, 0.99), eps 1e-8, decay 0.1, coupled, d0 1e-3; corrected: decoupled, growth at most 1.5."""
    m, v, s = ([np.zeros_like(w) for w in weights] for _ in range(3))
    d, r, root = 1e-3, 0.0, np.sqrt(0.99)
    for t, step in enumerate(gradients, start=1):
        rate = d * 0.5 * (np.sqrt(1 - 0.99**t) / (1 - 0.9**t) if corrected else 1.0)
        step = step if corrected else [g + 0.1 * w for g, w in zip(step, weights, strict=True)]
        along = sum(rate * (g * s[k] / (np.sqrt(v[k]) + 1e-8)).sum() for k, g in enumerate(step))
        for k, g in enumerate(step):
            m[k], v[k] = 0.9 * m[k] + rate * 0.1 * g, 0.99 * v[k] + 0.01 * g * g
            s[k] = root * s[k] + rate * (1 - root) * g
        r = root * r + (1 - root) * along
        hat = r / ((1 - root) * sum(np.abs(x).sum() for x in s))
        d = max(d, min(hat, d * 1.5) if corrected else hat)
        for k, w in enumerate(weights):
            w = w - 0.1 * rate * w if corrected else w
            weights[k] = w - m[k] / (np.sqrt(v[k]) + 1e-8)
    return weights


def prodigy(weights: Tensors, gradients: Sequence[Tensors], slowly: bool = False) -> Tensors:
    """lr 0.8, betas (0.9, 0.99), eps 1e-8, decay 0.1, d0 1e-3, twice the estimate; slowly: corrected, warm-up guarded,
    coupled decay, growth at most 1.1."""
    m, v, s = ([np.zeros_like(w) for w in weights] for _ in range(3))
    first, d, most, r, root = [w.copy() for w in weights], 1e-3, 1e-3, 0.0, np.sqrt(0.99)
    for t, step in enumerate(gradients, start=1):
        rate = d * 0.8 * (np.sqrt(1 - 0.99**t) / (1 - 0.9**t) if slowly else 1.0)
        step = [g + 0.1 * w for g, w in zip(step, weights, strict=True)] if slowly else step
        along = sum((g * (first[k] - weights[k])).sum() for k, g in enumerate(step))
        r = root * r + d / 1e-3 * rate * along
        for k, g in enumerate(step):
            m[k], v[k] = 0.9 * m[k] + d * 0.1 * g, 0.99 * v[k] + d * d * 0.01 * g * g
            s[k] = root * s[k] + d / 1e-3 * (d if slowly else rate) * g
        hat = 2.0 * r / sum(np.abs(x).sum() for x in s)
        d = max(d, hat) if d == 1e-3 else d
        most = max(most, hat)
        d = min(most, d * 1.1) if slowly else most
        for k, w in enumerate(weights):
            w = w if slowly else w - 0.1 * rate * w
            weights[k] = w - rate * m[k] / (np.sqrt(v[k]) + d * 1e-8)
    return weights


def power_of(x: Array, power: float) -> Array:
    values, vectors = np.linalg.eigh(x)
    return vectors @ np.diag(values**power) @ vectors.T


def shampoo(weights: Tensors, gradients: Sequence[Tensors], most: int = 1024, every: int = 1) -> Tensors:
    """lr 0.05, momentum 0.5, eps 1e-3, decay 0.1."""
    kept: list[dict[str, Array]] = [{} for _ in weights]
    for t, step in enumerate(gradients, start=1):
        for k, g in enumerate(step):
            own, w = kept[k], weights[k]
            x = (g + 0.1 * w).reshape(len(g), -1) if g.ndim > 1 else g + 0.1 * w
            m = own["m"] = 0.5 * own.get("m", 0.0) + 0.5 * x
            scaled = [side for side in (0, 1) if x.ndim > 1 and x.shape[side] <= most]
            for side in scaled:
                outer = x @ x.T if side == 0 else x.T @ x
                own[f"c{side}"] = own.get(f"c{side}", 1e-3 * np.eye(len(outer))) + outer
                if (t - 1) % every == 0:
                    own[f"p{side}"] = power_of(own[f"c{side}"], -1 / (2 * len(scaled)))
                m = own["p0"] @ m if side == 0 else m @ own["p1"]
            weights[k] = w - 0.05 * m.reshape(w.shape)
    return weights


def soap(
    weights: Tensors, gradients: Sequence[Tensors], bases: Sequence[Sequence[Array]] | None = None, most: int = 10000
) -> Tensors:
    """lr 0.02, betas (0.9, 0.95), shampoo_beta 0.8, eps 1e-8, decay 0.1, bases renewed every 6 steps.

    `bases`: of each tensor after the first step, for those whose first correlations leave them open.
    """
    kept: list[dict[str, Array]] = [{} for _ in weights]
    for k in range(len(gradients)):
        for own, g, place in zip(kept, gradients[k], range(len(weights)), strict=True):
            x = g.reshape(len(g), -1) if g.ndim > 1 else g
            sides = [side for side in (0, 1) if x.ndim > 1 and x.shape[side] <= most]
            outer = [x @ x.T, x.T @ x] if x.ndim > 1 else []
            if k == 0:
                own |= {"m": np.zeros_like(x), "v": np.zeros_like(x)}
                for side in sides:
                    own[f"c{side}"] = 0.2 * outer[side]
                    own[f"q{side}"] = bases[place][side] if bases else np.linalg.eigh(own[f"c{side}"])[1][:, ::-1]
                continue
            q: list[Any] = [own.get(f"q{side}") for side in (0, 1)]
            r = both(x, q, True)
            own["m"], own["v"] = 0.9 * own["m"] + 0.1 * r, 0.95 * own["v"] + 0.05 * r * r
            u = both(own["m"] / (np.sqrt(own["v"]) + 1e-8), q, False).reshape(g.shape)
            w = weights[place] - 0.02 * np.sqrt(1 - 0.95**k) / (1 - 0.9**k) * u
            weights[place] = w - 0.02 * 0.1 * w
            m = both(own["m"], q, False)
            for side in sides:
                own[f"c{side}"] = 0.8 * own[f"c{side}"] + 0.2 * outer[side]
                if k % 6 == 0:
                    order = np.argsort(-np.diag(q[side].T @ own[f"c{side}"] @ q[side]), kind="stable")
                    own["v"] = np.take(own["v"], order, axis=side)
                    q[side] = own[f"q{side}"] = np.linalg.qr(own[f"c{side}"] @ q[side][:, order])[0]
            own["m"] = both(m, q, True)
    return weights


def both(x: Array, bases: Sequence[Array | None], there: bool) -> Array:
    return turn(turn(x, bases[0], 0, there), bases[1], 1, there)


def turn(x: Array, basis: Array | None, side: int, there: bool) -> Array:
    if basis is None:
        return x
    basis = basis.T if there == (side == 0) else basis
    return basis @ x if side == 0 else x @ basis


_ADAPTED = "beta2=0.99,weight_decay=0.1,d0=1e-3"
_ADAMW = "adamw(lr=0.01,beta1=0.8,beta2=0.95,eps=1e-6,weight_decay=0.1)"
_SHAMPOO = "lr=0.05,momentum=0.5,eps=1e-3,weight_decay=0.1"
_SOAP = "lr=0.02,beta1=0.9,shampoo_beta=0.8,weight_decay=0.1,every=6"
_MUON = "lr=0.05,momentum=0.9,weight_decay=0.1,rest_rate=0.2"
PAPERS: dict[str, Rule] = {
    "lars(lr=0.5,momentum=0.8,weight_decay=0.1,trust_coeff=0.01)": lars,
    "lamb(lr=0.01,beta1=0.8,beta2=0.95,weight_decay=0.05)": lamb,
    "lamb(lr=0.01,beta1=0.8,beta2=0.95,weight_decay=0)": lamb_without_decay,
    "adafactor(lr=0.3,beta2_decay=-0.7,eps1=1e-8,eps2=1e-2,d=1.5,weight_decay=0.1)": adafactor,
    "tiger(lr=0.02,beta=0.9,weight_decay=0.1)": tiger,
    "mars(lr=0.01,beta1=0.9,beta2=0.98,gamma=0.05,weight_decay=0.1)": mars,
    "c_adamw(lr=0.01,beta1=0.8,beta2=0.95,weight_decay=0.1)": cautious_adamw,
    "c_lion(lr=0.01,weight_decay=0.1)": cautious_lion,
    "cautious(momentum(lr=0.01,weight_decay=0.1))": cautious_momentum,
    f"lookahead(cautious({_ADAMW}),steps=4,slow_step=0.7)": lookahead_cautious_adamw,
    f"shampoo({_SHAMPOO})": shampoo,
    f"shampoo({_SHAMPOO},every=3,max_dim=6)": lambda w, g: shampoo(w, g, most=6, every=3),
    f"soap({_SOAP})": soap,
    f"soap({_SOAP},max_dim=3)": lambda w, g: soap(w, g, most=3),
    f"dadapt_adam(lr=0.5,{_ADAPTED})": dadapt_adam,
    f"dadapt_adam(lr=0.5,{_ADAPTED},bias_correction=True,decoupled_weight_decay=True,growth_rate=1.5)": (
        lambda w, g: dadapt_adam(w, g, corrected=True)
    ),
    f"prodigy(lr=0.8,{_ADAPTED},d_coef=2)": prodigy,
    f"prodigy(lr=0.8,{_ADAPTED},d_coef=2,bias_correction=True,safeguard_warmup=True,growth_rate=1.1,"
    "decoupled_weight_decay=False)": lambda w, g: prodigy(w, g, slowly=True),
    f"muon({_MUON})": muon,
    f"muon({_MUON},eps_added=True)": lambda w, g: muon(w, g, reference=True),
    f"muon({_MUON},adjust_lr_fn='match_rms_adamw')": lambda w, g: muon(w, g, like_adamw=True),
}
