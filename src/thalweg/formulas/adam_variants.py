"""Adam with another first step: Nesterov's lookahead, and a variance that counts only after enough steps."""

from __future__ import annotations

from .adam import averages
from .base import Update, formula
from .drop_in import MEANS, DropIn
from .meanings import Meaning
from .vocabulary import once, sqrt, where


@formula(
    source="Dozat 2016",
    year=2016,
    parents=("adam", "nesterov"),
    initial={"mu_product": 1.0},
    direction="accumulated gradient",
    rate="inverse to short-term change",
    idea="adam that looks ahead",
    departs="torch.optim.NAdam's form. With decoupled_weight_decay a weight that has overflowed to ∞ becomes NaN at "
    "the next decay; torch's stays ∞.",
    meanings={"momentum_decay": Meaning("how fast nadam's momentum grows to beta1", "[0, ∞)")},
    drop_ins=(DropIn("NAdam", MEANS, ("decoupled_weight_decay",)),),
)
def nadam(
    g,
    w,
    t,
    m,
    v,
    mu_product,
    *,
    lr=2e-3,
    beta1=0.9,
    beta2=0.999,
    eps=1e-8,
    weight_decay=0.0,
    momentum_decay=4e-3,
    decoupled_weight_decay=False,
):
    """Adam with Nesterov's momentum, whose strength grows with time: μₜ = β₁(1 − ½·0.96^(tψ))."""
    decay = -lr * weight_decay * w if decoupled_weight_decay else 0
    g = g if decoupled_weight_decay else g + weight_decay * w
    mu = beta1 * (1 - 0.5 * 0.96 ** (t * momentum_decay))
    mu_next = beta1 * (1 - 0.5 * 0.96 ** ((t + 1) * momentum_decay))
    mu_product = mu_product * mu
    m, v = averages(g, m, v, beta1, beta2)
    ahead = (1 - mu) / (1 - mu_product) * g + mu_next / (1 - mu_product * mu_next) * m
    return Update(decay - lr * ahead / (sqrt(v / (1 - beta2**t)) + eps), m=m, v=v, mu_product=mu_product)


@formula(
    source="Liu et al. 2020, Algorithm 2",
    year=2019,
    parents=("adam",),
    direction="accumulated gradient",
    rate="inverse to short-term change",
    idea="waits until its scale is sure",
    departs="torch.optim.RAdam's form: rectified when ρₜ > 5 (the paper: > 4), and eps added to the uncorrected √v. "
    "With decoupled_weight_decay a weight that has overflowed to ∞ becomes NaN at the next decay; torch's stays ∞.",
    drop_ins=(DropIn("RAdam", MEANS, ("decoupled_weight_decay",)),),
)
def radam(g, w, t, m, v, *, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.0, decoupled_weight_decay=False):
    """Adam that walks by momentum alone until its variance rests on enough steps."""
    decay = -lr * weight_decay * w if decoupled_weight_decay else 0
    g = g if decoupled_weight_decay else g + weight_decay * w
    m, v = averages(g, m, v, beta1, beta2)
    longest = 2 / (1 - beta2) - 1
    length = once(longest - 2 * t * beta2**t / (1 - beta2**t))
    ratio = (length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length)
    rectified = where(length > 5, sqrt(ratio) * sqrt(1 - beta2**t) / (sqrt(v) + eps), 1)
    return Update(decay - lr * m / (1 - beta1**t) * rectified, m=m, v=v)
