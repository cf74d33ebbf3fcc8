"""Rules that average their path and need no schedule: they train at one point, and another one is evaluated."""

from __future__ import annotations

from typing import Any

from .base import Update, formula
from .drop_in import DropIn
from .meanings import SWITCH, Meaning
from .vocabulary import maximum, minimum, sqrt

_SMALLEST = 1e-200  # keeps a sum of weights that are all 0 from dividing
_SHARED = Meaning(
    "share of the average in the point where the gradient is taken", "(0, 1)"
)  # the average divides by it
_MEANINGS = {
    "r": Meaning("power of t that weighs later points more", "[0, ∞)"),
    "warmup_steps": Meaning("steps in which the rate grows from 0", "(0, ∞)"),
    "weight_lr_power": Meaning("power of the largest rate so far that weighs a point", "[0, ∞)"),
}
_DEPARTS = (
    "the authors' program, with the average x kept as what the trained point y and the descending point z say of it, "
    "x = (y − (1 − β)z) / β. Running statistics of batch normalization stay those of y."
)


def averaged(
    y: Any, z: Any, share: Any, down: Any, t: Any, rate: Any, most: Any, gathered: Any, r: Any, power: Any
) -> tuple[Any, dict[str, Any]]:
    """The step of y, and the states, after z has gone this far down: x ← (1 − c)x + cz, y ← βx + (1 − β)z.

    Args:
        share: β, of x in y.
        rate: of this step.
        most: the largest rate so far.
        gathered: the sum of the weights of the points averaged so far; c is the share of this one's.
    """
    most = maximum(most, rate)
    gathered = gathered + t**r * most**power
    part = t**r * most**power / maximum(gathered, _SMALLEST)
    step = part * (z - y) - (1 - share * (1 - part)) * down
    return step, {"shown": between(y, z, share), "z": z - down, "most": most, "gathered": gathered}


def between(y: Any, z: Any, share: Any) -> Any:
    """From y to x, of y = βx + (1 − β)z."""
    return (1 - share) / share * (y - z)


def warmed(t: Any, lr: Any, steps: Any) -> Any:
    return lr if steps is None else lr * minimum(t / steps, 1)


@formula(
    source="Defazio et al. 2024, equations 2–4; the authors' SGDScheduleFree",
    year=2024,
    parents=("asgd",),
    initial={"z": "w"},
    direction="gradient",
    rate="constant",
    idea="averages its path as it goes",
    departs=_DEPARTS,
    meanings={**_MEANINGS, "momentum": _SHARED},
    drop_ins=(DropIn("ScheduleFreeSGD", in_torch=False),),
)
def schedule_free_sgd(
    g, w, t, z, most, gathered, *, lr=1.0, momentum=0.9, weight_decay=0.0, r=0.0, weight_lr_power=2.0, warmup_steps=None
):
    """SGD whose gradient is taken between the descending point and the average of all such points, which is shown."""
    rate = warmed(t, lr, warmup_steps)
    down = rate * (g + weight_decay * w)
    step, rest = averaged(w, z, momentum, down, t, rate, most, gathered, r, weight_lr_power)
    return Update(step, **rest)


@formula(
    source="Defazio et al. 2024, Algorithm 1; the authors' AdamWScheduleFree",
    year=2024,
    parents=("adamw", "schedule_free_sgd"),
    initial={"z": "w"},
    direction="gradient",
    rate="inverse to short-term change",
    idea="adamw that averages its path",
    departs=_DEPARTS,
    meanings={**_MEANINGS, "beta1": _SHARED, "decay_at_z": Meaning("decay by the descending point", SWITCH)},
    drop_ins=(DropIn("ScheduleFreeAdamW", {"v": "exp_avg_sq"}, in_torch=False),),
)
def schedule_free_adamw(
    g,
    w,
    t,
    z,
    v,
    most,
    gathered,
    *,
    lr=2.5e-3,
    beta1=0.9,
    beta2=0.999,
    eps=1e-8,
    weight_decay=0.0,
    r=0.0,
    weight_lr_power=2.0,
    warmup_steps=None,
    decay_at_z=False,
):
    """AdamW without momentum, whose gradient is taken between the descending point and the average, which is shown."""
    rate = warmed(t, lr, warmup_steps)
    v = beta2 * v + (1 - beta2) * g**2
    down = rate * (weight_decay * (z if decay_at_z else w) + g / (sqrt(v / (1 - beta2**t)) + eps))
    step, rest = averaged(w, z, beta1, down, t, rate, most, gathered, r, weight_lr_power)
    return Update(step, v=v, **rest)
