"""Rules that look only at the sign: of the gradient, of its average, or of its change."""

from __future__ import annotations

from .base import Update, formula
from .drop_in import MEANS, DropIn
from .meanings import Meaning
from .vocabulary import maximum, minimum, sign, where


@formula(
    source="Riedmiller & Braun 1993",
    year=1993,
    parents=("sgd",),
    initial={"size": "lr"},
    direction="sign of the gradient",
    rate="following the sign's changes",
    idea="signs only, each weight its step",
    departs="torch.optim.Rprop's form: after a change of sign the weight stays where it is, instead of going back.",
    meanings={
        "eta_minus": Meaning("factor of the step size when the sign changes", "(0, 1)"),
        "eta_plus": Meaning("factor of the step size when the sign stays", "(1, ∞)"),
        "size_max": Meaning("longest step", "(0, ∞)"),
        "size_min": Meaning("shortest step", "[0, ∞)"),
    },
    drop_ins=(DropIn("Rprop", {"previous": "prev", "size": "step_size"}),),
)
def rprop(g, previous, size, *, lr=1e-2, eta_minus=0.5, eta_plus=1.2, size_min=1e-6, size_max=50.0):
    """A step size of its own for every weight: longer while the sign stays, shorter when it changes.

    lr is the first step size only. Meant for the full batch.
    """
    product = g * previous
    size = size * where(product > 0, eta_plus, where(product < 0, eta_minus, 1))
    size = minimum(maximum(size, size_min), size_max)
    g = where(product < 0, 0, g)
    return Update(-sign(g) * size, previous=g, size=size)


@formula(
    source="Bernstein et al. 2018, Algorithm 1; with momentum Algorithm 2 (Signum)",
    year=2018,
    parents=("sgd",),
    direction="sign of the gradient",
    rate="constant",
    idea="takes signs only",
    drop_ins=(DropIn("SignSGD", {"m": "momentum_buffer"}, in_torch=False),),
)
def signsgd(g, w, m, *, lr=1e-4, momentum=None, weight_decay=0.0):
    """The sign of the gradient; with momentum β, the sign of its moving average m ← βm + (1 − β)g."""
    g = g + weight_decay * w
    if momentum is None:
        return Update(-lr * sign(g), m=m)
    m = momentum * m + (1 - momentum) * g
    return Update(-lr * sign(m), m=m)


@formula(
    source="Chen et al. 2023, Algorithm 2",
    year=2023,
    parents=("signsgd", "adamw"),
    direction="sign of the accumulated gradient",
    rate="constant",
    idea="takes the sign of momentum",
    drop_ins=(DropIn("Lion", MEANS, in_torch=False),),
)
def lion(g, w, m, *, lr=1e-4, beta1=0.9, beta2=0.99, weight_decay=0.0):
    """The sign of a mix of momentum and gradient; the momentum itself is averaged more slowly."""
    direction = sign(beta1 * m + (1 - beta1) * g)
    m = beta2 * m + (1 - beta2) * g
    return Update(-lr * (direction + weight_decay * w), m=m)
