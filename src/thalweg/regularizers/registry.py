"""The regularizers thalweg knows by name, and how a name is read."""

from __future__ import annotations

import re
from typing import Any

from .. import calls
from ..errors import PlanError, unknown
from .augmentation import Crop, Flip, Rotate, Shift
from .averaging import EMA, SWA
from .base import Regularizer, chain
from .clipping import ClipNorm, ClipValue
from .decay import DecoupledDecay
from .labels import LabelSmoothing
from .layers import Dropout
from .mixing import CutMix, MixUp
from .noise import InputNoise, WeightNoise
from .penalties import L1, L2
from .stopping import EarlyStopping

REGULARIZERS: dict[str, type[Any]] = {
    kind.name: kind
    for kind in (
        EarlyStopping,
        L2,
        L1,
        DecoupledDecay,
        InputNoise,
        WeightNoise,
        LabelSmoothing,
        MixUp,
        CutMix,
        Shift,
        Flip,
        Crop,
        Rotate,
        Dropout,
        ClipNorm,
        ClipValue,
        EMA,
        SWA,
    )
}


def names() -> list[str]:
    """The names of the built-in regularizers.

    >>> names()[:4]
    ['early_stopping', 'l2', 'l1', 'decoupled_decay']
    """
    return list(REGULARIZERS)


def get(given: str | Regularizer | tuple[Any, ...] | list[Any] | None) -> Regularizer | None:
    """The regularizer of that name, with its strength in brackets; several are joined by ``+``.

    Raises:
        PlanError: for an unknown name, a strength that is not allowed, or parts that cannot go together.

    >>> get("mixup(0.2) + l2(1e-4)").label
    'mixup(0.2) + l2(0.0001)'
    >>> get("early_stopping(3, min_delta=0.01)"), get("none")
    (EarlyStopping(patience=3, min_delta=0.01), None)
    """
    if given is None or isinstance(given, Regularizer):
        return given
    if isinstance(given, tuple | list) and given:
        return chain(*(part for one in given if (part := get(one)) is not None))
    if not isinstance(given, str):
        raise PlanError(
            f"a regularizer is a name or one of tw.regularizers, not {given!r}; known names: {', '.join(names())}."
        )
    if given.strip() == "none":
        return None
    return chain(*map(_one, re.split(r"(?<=\))\s*\+|\s\+\s", given)))


def _one(text: str) -> Regularizer:
    call = calls.read(text, PlanError, "mixup(0.2)")
    kind = REGULARIZERS.get(call.name)
    if kind is None:
        raise PlanError(unknown("regularizer", calls.short(call.name), REGULARIZERS))
    given = (*call.positional, *call.named.values())
    if any(isinstance(value, calls.Call) for value in given):
        raise PlanError(f"{calls.short(text.strip())!r} is not of the form name(strength), e.g. mixup(0.2).")
    try:
        return kind(*call.positional, **call.named)
    except TypeError as error:
        known = ", ".join(name for name, f in kind.__dataclass_fields__.items() if f.init)
        raise PlanError(f"{calls.short(text.strip())!r} cannot be read: {call.name} takes {known}.") from error
