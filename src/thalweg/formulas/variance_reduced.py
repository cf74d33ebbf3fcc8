"""Gradients corrected by how they have changed: less noise without a second gradient."""

from __future__ import annotations

from .adam import averages, ratio
from .base import Update, formula
from .drop_in import MEANS, DropIn
from .factored import MATRICES, MATRIX
from .meanings import SHARE, Meaning
from .operations import norm
from .vocabulary import maximum


@formula(
    source="Yuan et al. 2024, Algorithm 2 with the approximate correction (MARS-AdamW)",
    year=2024,
    parents=("adamw",),
    direction="accumulated gradient",
    rate="inverse to short-term change",
    idea="takes noise out by the last gradient",
    departs="the correction is by the last batch's gradient, as the authors' program has it unless told otherwise; "
    "before the first step that is 0. A tensor of more than two axes is corrected too, and not left to AdamW.",
    meanings={
        "gamma": Meaning("strength of the correction", "[0, ∞)"),
        "matrix": MATRIX,
        "rest_beta1": Meaning("beta1 of AdamW, which the tensors go by that are not matrices", SHARE),
        "rest_beta2": Meaning("beta2 of AdamW there", SHARE),
        "rest_decay": Meaning("weight_decay of AdamW there", "[0, ∞)"),
        "rest_rate": Meaning("rate of AdamW there, as a share of lr", "[0, ∞)"),
    },
    drop_ins=(DropIn("MARS", {**MEANS, "previous": "last_grad"}, in_torch=False),),
    by_shape=MATRICES,
)
def mars(
    g,
    w,
    t,
    m,
    v,
    previous,
    *,
    lr=3e-3,
    beta1=0.95,
    beta2=0.99,
    gamma=0.025,
    eps=1e-8,
    weight_decay=0.0,
    rest_rate=1.0,
    rest_beta1=0.9,
    rest_beta2=0.95,
    rest_decay=0.1,
    matrix=True,
):
    """AdamW on c = g + γβ₁/(1 − β₁)(g − gₜ₋₁), which is made at most 1 long; vectors go by AdamW itself."""
    if not matrix:
        m, v = averages(g, m, v, rest_beta1, rest_beta2)
        step = ratio(t, m, v, rest_beta1, rest_beta2, eps) + rest_decay * w
        return Update(-rest_rate * lr * step, m=m, v=v, previous=previous)
    c = g + gamma * beta1 / (1 - beta1) * (g - previous)
    c = c / maximum(norm(c), 1)
    m, v = averages(c, m, v, beta1, beta2)
    return Update(-lr * (ratio(t, m, v, beta1, beta2, eps) + weight_decay * w), m=m, v=v, previous=g)
