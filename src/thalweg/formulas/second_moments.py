"""Adam with another second moment: of the surprise, additive, of Nesterov's gradient, mixed with g², or of before."""

from __future__ import annotations

from .adam import averages, ratio
from .base import Update, formula
from .drop_in import MEANS, DropIn
from .meanings import SHARE, SWITCH, Meaning
from .vocabulary import maximum, minimum, once, sign, sqrt, where

_ADAN_STATES = {"m": "exp_avg", "d": "exp_avg_diff", "n": "exp_avg_sq", "previous": "previous_grad"}


@formula(
    source="Zhuang et al. 2020, Algorithm 2; rectify and decoupled_weight_decay: the authors' adabelief-pytorch",
    year=2020,
    parents=("adam",),
    direction="accumulated gradient",
    rate="inverse to short-term change",
    idea="distance from the expected as scale",
    departs="the authors' program is adabelief(eps=1e-16, rectify=True, decoupled_weight_decay=True).",
    meanings={"rectify": Meaning("step by the average alone until the variance rests on enough steps", SWITCH)},
    drop_ins=(DropIn("AdaBelief", {"m": "exp_avg", "s": "exp_avg_var"}, in_torch=False),),
)
def adabelief(
    g,
    w,
    t,
    m,
    s,
    *,
    lr=1e-3,
    beta1=0.9,
    beta2=0.999,
    eps=1e-8,
    weight_decay=0.0,
    rectify=False,
    decoupled_weight_decay=False,
):
    """Adam that divides by how far gradients stray from their average: large steps where they agree.

    rectify is RAdam's: with ρₜ ≥ 5, √((1 − β₂ᵗ)(ρₜ − 4)(ρₜ − 2)ρ∞ / ((ρ∞ − 4)(ρ∞ − 2)ρₜ)) m̂ / (√s + ε); else m̂.
    """
    decay = -lr * weight_decay * w if decoupled_weight_decay else 0
    g = g if decoupled_weight_decay else g + weight_decay * w
    m = beta1 * m + (1 - beta1) * g
    s = beta2 * s + (1 - beta2) * (g - m) ** 2 + eps
    if not rectify:
        return Update(decay - lr * ratio(t, m, s, beta1, beta2, eps), m=m, s=s)
    longest = 2 / (1 - beta2) - 1
    length = once(longest - 2 * t * beta2**t / (1 - beta2**t))
    share = (length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length)
    rectified = where(length >= 5, sqrt(share) * sqrt(1 - beta2**t) / (sqrt(s) + eps), 1)
    return Update(decay - lr * m / (1 - beta1**t) * rectified, m=m, s=s)


@formula(
    source="Zaheer et al. 2018, Algorithm 2",
    year=2018,
    parents=("adam",),
    initial={"v": "initial_accumulator_value"},
    direction="accumulated gradient",
    rate="inverse to short-term change",
    idea="its scale grows slowly",
    departs="v may start above 0.",
    drop_ins=(DropIn("Yogi", MEANS, in_torch=False),),
)
def yogi(g, w, m, v, *, lr=1e-2, beta1=0.9, beta2=0.999, eps=1e-3, weight_decay=0.0, initial_accumulator_value=0.0):
    """Adam whose v moves towards g² by a bounded amount: v ← v − (1 − β₂) sign(v − g²) g²."""
    g = g + weight_decay * w
    m = beta1 * m + (1 - beta1) * g
    v = v - (1 - beta2) * sign(v - g**2) * g**2
    return Update(-lr * m / (sqrt(v) + eps), m=m, v=v)


@formula(
    source="Ma & Yarats 2019",
    year=2018,
    parents=("adam",),
    direction="accumulated gradient",
    rate="inverse to short-term change",
    idea="mixes gradient and average",
    meanings={
        "nu1": Meaning("share of the average against the present gradient", "[0, 1]"),
        "nu2": Meaning("share of the average against the present squared gradient", "[0, 1]"),
    },
    drop_ins=(DropIn("QHAdam", MEANS, in_torch=False),),
)
def qhadam(g, w, t, m, v, *, lr=1e-3, beta1=0.995, beta2=0.999, nu1=0.7, nu2=1.0, eps=1e-8, weight_decay=0.0):
    """Adam with both averages mixed with the present: (1 − ν₁)g + ν₁m̂ over √((1 − ν₂)g² + ν₂v̂) + ε."""
    g = g + weight_decay * w
    m, v = averages(g, m, v, beta1, beta2)
    above = (1 - nu1) * g + nu1 * m / (1 - beta1**t)
    below = sqrt((1 - nu2) * g**2 + nu2 * v / (1 - beta2**t)) + eps
    return Update(-lr * above / below, m=m, v=v)


@formula(
    source="Xie et al. 2022, Algorithm 1",
    year=2022,
    parents=("adam", "nesterov"),
    direction="accumulated gradient",
    rate="inverse to short-term change",
    idea="adds how gradients change",
    departs="β weighs the past, as in Adam (the paper's β is 1 − ours), and the averages start at 0 and are "
    "corrected for it; bias_correction=False leaves that out.",
    meanings={
        "beta3": Meaning("share of the past in the average of squares", SHARE),
        "no_prox": Meaning("decay the weight before the step, not by division behind it", SWITCH),
    },
    drop_ins=(DropIn("Adan", _ADAN_STATES, in_torch=False),),
)
def adan(
    g,
    w,
    t,
    m,
    d,
    n,
    previous,
    *,
    lr=1e-3,
    beta1=0.98,
    beta2=0.92,
    beta3=0.99,
    eps=1e-8,
    weight_decay=0.0,
    bias_correction=True,
    no_prox=False,
):
    """Nesterov's momentum without the gradient elsewhere: averages of g, of its change, and of their mix."""
    change = where(t > 1, g - previous, 0)
    m = beta1 * m + (1 - beta1) * g
    d = beta2 * d + (1 - beta2) * change
    n = beta3 * n + (1 - beta3) * (g + beta2 * change) ** 2
    of_g, of_change, size = m, d, n
    if bias_correction:
        of_g, of_change, size = m / (1 - beta1**t), d / (1 - beta2**t), n / (1 - beta3**t)
    update = lr * (of_g + beta2 * of_change) / (sqrt(size) + eps)
    decayed = update + lr * weight_decay * w
    step = -decayed if no_prox else -decayed / (1 + lr * weight_decay)
    return Update(step, m=m, d=d, n=n, previous=g)


@formula(
    source="Taniguchi et al. 2024, Algorithm 2",
    year=2024,
    parents=("adam",),
    direction="accumulated gradient",
    rate="inverse to short-term change",
    idea="divides by squares of before",
    departs="the authors' program: of the first gradient only the squares are taken, and the divided gradient is kept "
    "within ±(t − 1)^¼.",
    drop_ins=(DropIn("ADOPT", MEANS, in_torch=False),),
)
def adopt(g, w, t, m, v, *, lr=1e-3, beta1=0.9, beta2=0.9999, eps=1e-6, weight_decay=0.0, decoupled_weight_decay=False):
    """Adam whose gradient is divided by the squares before it, and only then averaged; converges with every β₂."""
    decay = where(t > 1, -lr * weight_decay, 0) * w if decoupled_weight_decay else 0
    g = g if decoupled_weight_decay else g + weight_decay * w
    most = (t - 1) ** 0.25
    m = beta1 * m + (1 - beta1) * maximum(minimum(g / maximum(sqrt(v), eps), most), -most)
    share = where(t > 1, beta2, 0)
    v = share * v + (1 - share) * g**2
    return Update(decay - lr * m, m=m, v=v)
