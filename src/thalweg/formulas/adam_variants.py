"""Adam with another first moment: Nesterov's lookahead, alone until the variance is sure, or with a slow second one."""

from __future__ import annotations

from .adam import averages
from .base import Update, formula
from .drop_in import MEANS, DropIn
from .meanings import SHARE, Meaning
from .vocabulary import log, minimum, once, sqrt, where


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


@formula(
    source="Pagliardini, Ablin & Grangier 2024, Algorithm 1",
    year=2024,
    parents=("adamw",),
    direction="accumulated gradient",
    rate="inverse to short-term change",
    idea="remembers gradients of long ago too",
    departs="the slow average has its whole share from the first step unless beta3_warmup and alpha_warmup say how "
    "many steps it takes; the authors' runs take all their steps.",
    meanings={
        "alpha": Meaning("share of the slow average in the step", "[0, ∞)"),
        "alpha_warmup": Meaning("steps in which alpha grows from 0", "(0, ∞)"),
        "beta3": Meaning("share of the past in the slow average of gradients", SHARE),
        "beta3_warmup": Meaning("steps in which the memory of the slow average grows from that of the fast", "(0, ∞)"),
    },
    drop_ins=(DropIn("AdEMAMix", {"m": "exp_avg_fast", "slow": "exp_avg_slow", "v": "exp_avg_sq"}, in_torch=False),),
)
def ademamix(
    g,
    w,
    t,
    m,
    slow,
    v,
    *,
    lr=1e-3,
    beta1=0.9,
    beta2=0.999,
    beta3=0.9999,
    alpha=2.0,
    eps=1e-8,
    weight_decay=0.0,
    beta3_warmup=None,
    alpha_warmup=None,
):
    """AdamW with two averages of gradients, a fast one that is corrected for its start and a slow one that is not.

    While beta3 grows, the steps after which half of the slow average is forgotten do so in proportion to t.
    """
    if beta3_warmup is not None:
        begun = minimum(t / beta3_warmup, 1)
        forgotten = (1 - begun) * (log(0.5) / log(beta1) - 1) + begun * (log(0.5) / log(beta3) - 1)
        beta3 = 0.5 ** (1 / (forgotten + 1))
    if alpha_warmup is not None:
        alpha = alpha * minimum(t / alpha_warmup, 1)
    m, v = averages(g, m, v, beta1, beta2)
    slow = beta3 * slow + (1 - beta3) * g
    mixed = (m / (1 - beta1**t) + alpha * slow) / (sqrt(v / (1 - beta2**t)) + eps)
    return Update(-lr * (mixed + weight_decay * w), m=m, slow=slow, v=v)
