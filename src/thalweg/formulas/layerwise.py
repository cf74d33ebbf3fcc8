"""A rate of its own for every tensor: the longer its weights against its step, the longer the step."""

from __future__ import annotations

from typing import Any

from .adam import averages, ratio
from .base import Update, formula
from .drop_in import MEANS, DropIn
from .factored import MATRICES, MATRIX
from .meanings import SHARE, SWITCH, Meaning
from .operations import norm, rms, total
from .vocabulary import equal, maximum, sign, sqrt, where


def trust(w: Any, u: Any, quotient: Any, asked: Any = True) -> Any:
    """The quotient where both norms are above 0, and as asked; else 1."""
    return where((norm(w) > 0) & (norm(u) > 0) & asked, quotient, 1)


@formula(
    source="You, Gitman & Ginsburg 2017; timm's Lars",
    year=2017,
    parents=("momentum",),
    direction="accumulated gradient",
    rate="in proportion to the weights",
    idea="a rate for each layer",
    departs="timm's form, whose eps keeps the divisor from being 0; timm leaves the rate of layers out where "
    "weight_decay is 0, and this rule does not.",
    meanings={
        "trust_coeff": Meaning("length of a step as a share of the weights'", "(0, ∞)"),
        "nesterov": Meaning("take the gradient and the momentum after it", SWITCH),
    },
    drop_ins=(DropIn("LARS", {"a": "momentum_buffer"}, in_torch=False),),
)
def lars(g, w, a, *, lr=1.0, momentum=0.9, weight_decay=0.0, trust_coeff=1e-3, eps=1e-8, nesterov=False):
    """Momentum on gradients that are made a share of their tensor's weights: (g + λw)·τ‖w‖ / (‖g‖ + λ‖w‖ + ε)."""
    scale = trust(w, g, trust_coeff * norm(w) / (norm(g) + weight_decay * norm(w) + eps))
    g = (g + weight_decay * w) * scale
    a = momentum * a + g
    return Update(-lr * (g + momentum * a if nesterov else a), a=a)


@formula(
    source="You et al. 2020, Algorithm 2; timm's Lamb",
    year=2019,
    parents=("lars", "adamw"),
    direction="accumulated gradient",
    rate="in proportion to the weights",
    idea="adam with a rate for each layer",
    departs="timm's form: gradients longer than max_grad_norm, all of them together, are scaled to that; where "
    "weight_decay is 0 the layers have no rate of their own, and the norm of the weights is taken as it is (φ(z) = z).",
    meanings={
        "max_grad_norm": Meaning("longest gradient of the whole model", "(0, ∞)"),
        "always_adapt": Meaning("give layers a rate of their own without weight decay too", SWITCH),
    },
    drop_ins=(DropIn("LAMB", MEANS, in_torch=False),),
)
def lamb(
    g,
    w,
    t,
    m,
    v,
    *,
    lr=1e-3,
    beta1=0.9,
    beta2=0.999,
    eps=1e-6,
    weight_decay=0.01,
    max_grad_norm=1.0,
    always_adapt=False,
):
    """Adam whose step, the decay in it, is made as long as the weights of its tensor."""
    g = g / maximum(sqrt(total(g**2)) / max_grad_norm, 1)
    m, v = averages(g, m, v, beta1, beta2)
    u = ratio(t, m, v, beta1, beta2, eps) + weight_decay * w
    asked = True if always_adapt else ~equal(weight_decay, 0)
    return Update(-lr * trust(w, u, norm(w) / norm(u), asked) * u, m=m, v=v)


@formula(
    source="Su 2023; the author's bojone/tiger",
    year=2023,
    parents=("lion",),
    direction="sign of the accumulated gradient",
    rate="in proportion to the weights",
    idea="lion with a rate for each layer",
    departs="a tensor of one axis or none is what the author's program knows by the name of bias; embeddings have one "
    "rate for the whole table, his one for each row; his answer to a gradient of NaN, weights 1% shorter, is left out.",
    meanings={"beta": Meaning("share of the past in the average of gradients", SHARE), "matrix": MATRIX},
    drop_ins=(DropIn("Tiger", {"m": "exp_avg"}, in_torch=False),),
    by_shape=MATRICES,
)
def tiger(g, w, m, *, lr=1e-3, beta=0.965, weight_decay=0.01, matrix=True):
    """The sign of the average of gradients by the weights' size; of a vector at half the rate, without decay."""
    m = beta * m + (1 - beta) * g
    if not matrix:
        return Update(-lr / 2 * sign(m), m=m)
    return Update(-lr * rms(w) * (sign(m) + weight_decay * w), m=m)
