"""Momentum and RMSprop together, each corrected for having started at zero."""

from __future__ import annotations

from typing import Any

from .base import Update, formula
from .drop_in import MEANS, DropIn
from .equations import one_of
from .meanings import SWITCH, Meaning
from .roots import root
from .vocabulary import maximum, sqrt

_STATES = {**MEANS, "v_max": "max_exp_avg_sq"}


def averages(g: Any, m: Any, v: Any, beta1: Any, beta2: Any) -> tuple[Any, Any]:
    """The moving averages of the gradient and of its square."""
    return beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g**2


def corrected(t: Any, m: Any, v: Any, beta1: Any, beta2: Any) -> tuple[Any, Any]:
    """m̂ and v̂: averages that began at zero, each divided by the weight that it has gathered."""
    return m / (1 - beta1**t), v / (1 - beta2**t)


def ratio(t: Any, m: Any, v: Any, beta1: Any, beta2: Any, eps: Any, inside: bool = False) -> Any:
    """m̂ / (√v̂ + ε), or m̂ / √(v̂ + ε)."""
    m, v = corrected(t, m, v, beta1, beta2)
    return m / root(v, eps, inside)


@formula(
    source="Kingma & Ba 2015, Algorithm 1; amsgrad: Reddi et al. 2018, Algorithm 2",
    year=2014,
    parents=("momentum", "rmsprop"),
    direction="accumulated gradient",
    rate="inverse to short-term change",
    idea="momentum and rmsprop, unbiased",
    departs="amsgrad, as in torch, takes the maximum of the uncorrected v and corrects it afterwards; "
    "Reddi et al. correct nothing.",
    meanings={
        "folded": Meaning("fold the bias corrections into the rate, with eps under the root", SWITCH),
        "correction_kept": Meaning("go on with the corrected averages, not with the averages", SWITCH),
        "rmsprop_momentum": Meaning("accumulate the steps of rmsprop", SWITCH),
    },
    drop_ins=(DropIn("Adam", _STATES, ("amsgrad",)),),
)
def adam(
    g,
    w,
    t,
    m,
    v,
    v_max,
    *,
    lr=1e-3,
    beta1=0.9,
    beta2=0.999,
    eps=1e-8,
    weight_decay=0.0,
    amsgrad=False,
    bias_correction=True,
    folded=False,
    eps_inside=False,
    correction_kept=False,
    rmsprop_momentum=False,
):
    """Moving averages of the gradient and of its square; weight decay is added to the gradient.

    amsgrad divides by the largest v so far. folded puts ε inside: −η√(1−β₂ᵗ)/(1−β₁ᵗ)·m/√(v+ε), usually with
    ε = 1e-7; eps_inside puts it there in the plain form, −ηm̂/√(v̂ + ε). rmsprop_momentum accumulates RMSprop's steps:
    v as above, m ← β₁m − ηg/(√v + ε), w ← w + m. correction_kept, as a lecture prints it, goes on with m ← m̂ and
    v ← v̂: the early gradients then weigh far too much.
    """
    form = {"folded": folded, "rmsprop_momentum": rmsprop_momentum, "correction_kept": correction_kept}
    one_of("adam", amsgrad=amsgrad, **form)
    one_of("adam", no_bias_correction=not bias_correction, **form)
    one_of("adam", folded=folded, eps_inside=eps_inside)
    g = g + weight_decay * w
    average, v = averages(g, m, v, beta1, beta2)
    if rmsprop_momentum:
        m = beta1 * m - lr * g / root(v, eps, eps_inside)
        return Update(m, m=m, v=v, v_max=v_max)
    m = average
    if folded:
        step = -lr * sqrt(1 - beta2**t) / (1 - beta1**t) * m / sqrt(v + eps)
        return Update(step, m=m, v=v, v_max=v_max)
    if correction_kept:
        m, v = corrected(t, m, v, beta1, beta2)
    v_max = maximum(v_max, v) if amsgrad else v_max
    square = v_max if amsgrad else v
    if correction_kept or not bias_correction:
        return Update(-lr * (m / root(square, eps, eps_inside)), m=m, v=v, v_max=v_max)
    return Update(-lr * ratio(t, m, square, beta1, beta2, eps, eps_inside), m=m, v=v, v_max=v_max)


@formula(
    source="Kingma & Ba 2015, Algorithm 2",
    year=2014,
    parents=("adam",),
    direction="accumulated gradient",
    rate="inverse to short-term change",
    idea="the largest gradient as scale",
    departs="eps, which the paper does not have, is added to |g| as in torch.",
    drop_ins=(DropIn("Adamax", {"m": "exp_avg", "u": "exp_inf"}),),
)
def adamax(g, w, t, m, u, *, lr=2e-3, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.0):
    """Adam with the largest recent gradient in place of the mean square: u ← max(β₂u, |g| + ε)."""
    g = g + weight_decay * w
    m = beta1 * m + (1 - beta1) * g
    u = maximum(beta2 * u, abs(g) + eps)
    return Update(-lr / (1 - beta1**t) * m / u, m=m, u=u)


@formula(
    source="Loshchilov & Hutter 2019, Algorithm 2",
    year=2017,
    parents=("adam",),
    direction="accumulated gradient",
    rate="inverse to short-term change",
    idea="decay apart from the gradient",
    departs="the decay is multiplied by lr, as in torch; the paper multiplies it by the schedule alone. A weight "
    "that has overflowed to ∞ becomes NaN at the next decay; torch's stays ∞.",
    drop_ins=(
        DropIn("AdamW", _STATES, ("amsgrad",)),
        DropIn("Adam", _STATES, ("amsgrad",), chosen_by=("decoupled_weight_decay",)),
    ),
)
def adamw(g, w, t, m, v, v_max, *, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=1e-2, amsgrad=False):
    """Adam with weight decay applied to the weight itself, w ← (1 − lr·weight_decay) w, before the step."""
    m, v = averages(g, m, v, beta1, beta2)
    v_max = maximum(v_max, v) if amsgrad else v_max
    quotient = ratio(t, m, v_max if amsgrad else v, beta1, beta2, eps)
    return Update(-lr * weight_decay * w - lr * quotient, m=m, v=v, v_max=v_max)
