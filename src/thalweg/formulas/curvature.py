"""Steps divided by an estimate of curvature, which a gradient on targets drawn from the model's own outputs gives."""

from __future__ import annotations

from .base import Update, formula
from .drop_in import DropIn
from .meanings import SHARE, Meaning
from .vocabulary import minimum, sign


@formula(
    source="Liu et al. 2023, Algorithm 3 with the Gauss–Newton–Bartlett estimator",
    year=2023,
    parents=("signsgd", "adamw"),
    direction="accumulated gradient",
    rate="inverse to short-term change",
    idea="divides by sampled curvature",
    departs="h averages Bĝ² of each batch of B labels, as Algorithm 2 has it; the authors' program averages ĝ² and "
    "multiplies by one B. The estimate is made before the step, as in Algorithm 3, and not behind it. 1e-15 is added "
    "to the divisor, as in the program. A batch moves running statistics twice at a step with an estimate.",
    meanings={
        "beta2": Meaning("share of the past in the average of curvature", SHARE),
        "every": Meaning("steps from one estimate of curvature to the next", "1, 2, …"),
        "rho": Meaning("how much of the curvature a step is divided by; a smaller one clips more", "[0, 1]"),
    },
    drop_ins=(DropIn("SophiaG", {"m": "exp_avg", "h": "hessian"}, in_torch=False),),
)
def sophia_g(g, w, m, h, *, lr=1e-4, beta1=0.965, beta2=0.99, rho=0.04, weight_decay=0.1, eps=1e-15, every: int = 10):
    """Momentum over the curvature of each weight, at most 1 long; curvature is estimated on targets drawn by the model.

    h averages the squared gradient on targets that are drawn from the model's own outputs, of the same batch.
    """
    m = beta1 * m + (1 - beta1) * g
    step = sign(m) * minimum(abs(m) / (rho * h + eps), 1)
    estimate = beta2 * h + (1 - beta2) * g**2
    return Update(-lr * (step + weight_decay * w), m=m, h=h, sampled={"h": estimate}, every=every)
