"""Steps only where they go down the present gradient, and longer there for it."""

from __future__ import annotations

from typing import Any

from .adam import adamw
from .around import around
from .drop_in import MEANS, DropIn
from .equations import Update, symbol
from .meanings import SWITCH, Meaning
from .operations import mean
from .signs import lion
from .vocabulary import maximum, sign

_SMALLEST = 1e-3  # what the share of weights that step is taken to be at least
_DECAY = symbol("weight_decay")


def apart(update: Update) -> tuple[Any, Any]:
    """A step without its decay, and the decay: what is linear in weight_decay, and the same whatever the gradient."""
    slope = update.step.diff(_DECAY)
    in_states = any(_DECAY in value.free_symbols for value in update.states.values())
    if in_states or not slope.free_symbols <= {symbol("w"), symbol("lr")}:
        return update.step, 0
    return update.step.subs(_DECAY, 0), _DECAY * slope


@around(
    source="Liang et al. 2024, Algorithm 1",
    year=2024,
    idea="steps only where the gradient agrees",
    departs="the authors' programs: the mask is divided by its mean, which is taken to be 1e-3 at least. A decay that "
    "is apart from the gradient is not masked and comes before the step, as in C-Lion; with decay_behind it comes "
    "behind, as in C-AdamW.",
    meanings={"decay_behind": Meaning("decay the weights behind the step", SWITCH)},
)
def cautious(update, g, w, *, decay_behind=False):
    """A rule without the part of its step that goes up the present gradient; what is left is as much longer.

    The mask is 1 where step and gradient have opposite signs, else 0, divided by its mean over the tensor.
    """
    step, decay = apart(update)
    mask = maximum(-sign(step * g), 0)
    step = step * mask / maximum(mean(mask), _SMALLEST)
    return update.with_(step=step + (decay.subs(w, w + step) if decay and decay_behind else decay))


c_adamw = cautious.declare(
    "c_adamw",
    adamw.with_(eps=1e-6, weight_decay=0.0),
    {"decay_behind": True},
    doc="AdamW without the part of its step that goes up the present gradient; what is left is as much longer.",
    source="Liang et al. 2024, Algorithm 1 (C-AdamW)",
    departs="the authors' program: the mask is divided by its mean, which is taken to be 1e-3 at least, and the decay "
    "comes behind the step.",
    drop_ins=(DropIn("CautiousAdamW", MEANS, in_torch=False),),
)
c_lion = cautious.declare(
    "c_lion",
    lion,
    doc="Lion without the part of its step that goes up the present gradient; what is left is as much longer.",
    source="Liang et al. 2024 (C-Lion)",
    departs="the authors' program: the mask is divided by its mean, which is taken to be 1e-3 at least.",
    drop_ins=(DropIn("CautiousLion", MEANS, in_torch=False),),
)
