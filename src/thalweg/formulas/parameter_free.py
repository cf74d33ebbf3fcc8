"""Rules that estimate how far the solution is from the start, and take the rate from that."""

from __future__ import annotations

from typing import Any

from .adam import averages
from .base import Update, formula
from .drop_in import MEANS, DropIn
from .meanings import SWITCH, Meaning
from .operations import total
from .vocabulary import equal, maximum, minimum, sqrt, where

_MEANINGS = {
    "d0": Meaning("first estimate of the distance", "(0, ∞)"),
    "growth_rate": Meaning("largest growth of the estimate in one step", "[1, ∞)"),
}


def corrections(t: Any, beta1: Any, beta2: Any) -> Any:
    """√(1 − β₂ᵗ) / (1 − β₁ᵗ)."""
    return sqrt(1 - beta2**t) / (1 - beta1**t)


@formula(
    source="Defazio & Mishchenko 2023, Algorithm 5; the authors' dadaptation",
    year=2023,
    parents=("adam",),
    initial={"d": "d0"},
    direction="accumulated gradient",
    rate="from the distance travelled",
    idea="its rate by the distance travelled",
    departs="the authors' program: lr multiplies the estimate, and Adam's corrections are left out unless "
    "bias_correction asks for them.",
    meanings=_MEANINGS,
    drop_ins=(DropIn("DAdaptAdam", MEANS, in_torch=False),),
)
def dadapt_adam(
    g,
    w,
    t,
    m,
    v,
    s,
    numerator,
    d,
    *,
    lr=1.0,
    beta1=0.9,
    beta2=0.999,
    eps=1e-8,
    weight_decay=0.0,
    d0=1e-6,
    decoupled_weight_decay=False,
    bias_correction=False,
    growth_rate=None,
):
    """Adam whose rate is d, a lower bound of the distance from the first weights to the solution that grows.

    With s the average of dηg whose memory is √β₂: d is at least the average of dη⟨g, s / (√v + ε)⟩ over ‖s‖₁, both
    summed over the model.
    """
    rate = d * lr * (corrections(t, beta1, beta2) if bias_correction else 1)
    decay = -rate * weight_decay * w if decoupled_weight_decay else 0
    g, memory = g if decoupled_weight_decay else g + weight_decay * w, sqrt(beta2)
    numerator = memory * numerator + (1 - memory) * total(rate * g * s / (sqrt(v) + eps))
    s = memory * s + (1 - memory) * rate * g
    m, v = beta1 * m + (1 - beta1) * rate * g, beta2 * v + (1 - beta2) * g**2
    size = (1 - memory) * total(abs(s))
    estimate = where(size > 0, numerator / size, d)
    d = maximum(d, estimate if growth_rate is None else minimum(estimate, growth_rate * d))
    return Update(decay - m / (sqrt(v) + eps), m=m, v=v, s=s, numerator=numerator, d=d)


@formula(
    source="Mishchenko & Defazio 2023, Algorithm 4; the authors' prodigyopt",
    year=2023,
    parents=("dadapt_adam",),
    initial={"first": "w", "d": "d0", "d_max": "d0"},
    direction="accumulated gradient",
    rate="from the distance travelled",
    idea="a faster guess of the distance",
    departs="the authors' program: the decay is multiplied by the rate, and both averages of the estimate have the "
    "memory √β₂. Where no gradient has been above 0 yet, weights decay; theirs wait.",
    meanings={
        **_MEANINGS,
        "d_coef": Meaning("factor of the estimate", "(0, ∞)"),
        "safeguard_warmup": Meaning("leave lr out of the divisor of the estimate", SWITCH),
    },
    drop_ins=(DropIn("Prodigy", {**MEANS, "first": "p0"}, in_torch=False),),
)
def prodigy(
    g,
    w,
    t,
    m,
    v,
    s,
    first,
    numerator,
    d,
    d_max,
    *,
    lr=1.0,
    beta1=0.9,
    beta2=0.999,
    eps=1e-8,
    weight_decay=0.0,
    d0=1e-6,
    d_coef=1.0,
    decoupled_weight_decay=True,
    bias_correction=False,
    safeguard_warmup=False,
    growth_rate=None,
):
    """Adam on dg, whose rate is d, an estimate of the distance to the solution: the largest so far of r / ‖s‖₁.

    r and s are sums of (d/d₀)dη⟨g, w₀ − w⟩ and (d/d₀)dηg that forget by √β₂, over the whole model.
    """
    rate = d * lr * (corrections(t, beta1, beta2) if bias_correction else 1)
    decay = -rate * weight_decay * w if decoupled_weight_decay else 0
    g, memory = g if decoupled_weight_decay else g + weight_decay * w, sqrt(beta2)
    numerator = memory * numerator + d / d0 * rate * total(g * (first - w))
    m, v = averages(d * g, m, v, beta1, beta2)
    s = memory * s + d / d0 * (d if safeguard_warmup else rate) * g
    size = total(abs(s))
    estimate = where(size > 0, d_coef * numerator / size, d)
    before = d
    d = maximum(d, estimate)
    if growth_rate is not None:
        d_max = maximum(d_max, estimate)
        d = minimum(d_max, growth_rate * where(equal(before, d0), d, before))
    step = decay - rate * m / (sqrt(v) + d * eps)
    return Update(step, m=m, v=v, s=s, first=first, numerator=numerator, d=d, d_max=d_max)
