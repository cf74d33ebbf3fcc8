"""Steps that are orthogonal matrices: as long in every direction as in any other."""

from __future__ import annotations

from ..errors import FormulaError
from ..unknown import unknown
from .adam import averages, ratio
from .base import Update, formula
from .drop_in import SCALES, DropIn
from .factored import MATRICES, MATRIX
from .meanings import SHARE, SWITCH, Meaning
from .operations import columns, orthogonal, rows
from .vocabulary import maximum, sqrt


@formula(
    source="Jordan et al. 2024; torch.optim.Muon; scaling by match_rms_adamw: Liu et al. 2025",
    year=2024,
    parents=("nesterov",),
    direction="orthogonalized accumulated gradient",
    rate="constant",
    idea="every direction of a matrix alike",
    departs="Newton–Schulz runs in the dtype of the weights; with bfloat16, as in tw.optim.Muon, float32 is rounded "
    "for it, as torch and the authors do. eps is the least norm, as in torch; with eps_added it is added, as the "
    "authors have it. Of a kernel of four axes they take the scale from its height and width, and this rule from the "
    "matrix that it is made.",
    meanings={
        "adjust_lr_fn": Meaning(
            "scale of the step: original √max(1, rows/columns), match_rms_adamw 0.2·√max(rows, columns)",
            " or ".join(SCALES),
        ),
        "batched": Meaning("take a tensor of more than two axes as a batch of matrices, not as one", SWITCH),
        "bfloat16": Meaning("round matrices of float32 to bfloat16 for Newton–Schulz", SWITCH),
        "eps_added": Meaning("add eps to the norm", SWITCH),
        "matrix": MATRIX,
        "momentum": Meaning("share of the past in the average of gradients", SHARE),
        "nesterov": Meaning("mix the gradient into its average", SWITCH),
        "ns_a": Meaning("coefficient of X in Newton–Schulz", "(-∞, ∞)"),
        "ns_b": Meaning("coefficient of XXᵀX in Newton–Schulz", "(-∞, ∞)"),
        "ns_c": Meaning("coefficient of (XXᵀ)²X in Newton–Schulz", "(-∞, ∞)"),
        "ns_steps": Meaning("steps of Newton–Schulz", "1, 2, …, 99"),
        "rest_eps": Meaning("eps of AdamW, which the tensors go by that are not matrices", "[0, ∞)"),
        "rest_rate": Meaning("rate of AdamW there, as a share of lr", "[0, ∞)"),
    },
    drop_ins=(
        DropIn(
            "Muon",
            {"m": "momentum_buffer"},
            ("nesterov", "ns_steps", "adjust_lr_fn"),
            on=("nesterov",),
            keeps_step=False,
            matrices=True,
            without=("rest_rate", "beta1", "beta2", "rest_eps"),
            fixed={"bfloat16": True},
        ),
    ),
    by_shape=MATRICES,
)
def muon(
    g,
    w,
    t,
    m,
    v,
    *,
    lr=0.02,
    weight_decay=0.0,
    momentum=0.95,
    nesterov=True,
    ns_a=3.4445,
    ns_b=-4.7750,
    ns_c=2.0315,
    eps=1e-7,
    ns_steps: int = 5,
    adjust_lr_fn="original",
    eps_added=False,
    bfloat16=False,
    batched=False,
    rest_rate=0.015,
    beta1=0.9,
    beta2=0.95,
    rest_eps=1e-10,
    matrix=True,
):
    """The average of gradients, made orthogonal by Newton–Schulz; vectors go by AdamW at a share of the rate.

    A kernel of more than two axes is a matrix with a row for each of its outputs.
    """
    if adjust_lr_fn not in SCALES:
        raise FormulaError(unknown("adjust_lr_fn of muon", adjust_lr_fn, SCALES))
    if not matrix:
        m, v = averages(g, m, v, beta1, beta2)
        rate = rest_rate * lr
        return Update(-rate * weight_decay * w - rate * ratio(t, m, v, beta1, beta2, rest_eps), m=m, v=v)
    m = m + (1 - momentum) * (g - m)
    u = g + momentum * (m - g) if nesterov else m
    direction = orthogonal(u, ns_steps, ns_a, ns_b, ns_c, eps, clamped=not eps_added, half=bfloat16)
    scale = sqrt(maximum(1, rows(w) / columns(w)))
    if adjust_lr_fn == "match_rms_adamw":
        scale = 0.2 * sqrt(maximum(rows(w), columns(w)))
    return Update(-lr * weight_decay * w - lr * scale * direction, m=m, v=v)
