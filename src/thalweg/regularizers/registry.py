"""The regularizers thalweg knows by name, and how a name is read."""

from __future__ import annotations

import re
from dataclasses import fields
from typing import Any

from .. import calls
from ..arguments import build, class_of
from ..errors import PlanError
from .base import Regularizer, chain

REGULARIZERS: dict[str, type[Any]] = Regularizer.registry


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
            "a regularizer is a name or one of tw.regularizers, not {given}; known names: {names}.",
            given=calls.short(repr(given)),
            names=", ".join(names()),
        )
    if given.strip() == "none":
        return None
    return chain(*map(_one, re.split(r"(?<=\))\s*\+|\s\+\s", given)))


def _one(text: str) -> Regularizer:
    call = calls.read(text, PlanError, "mixup(0.2)")
    kind = class_of(Regularizer, "regularizer", call.name)
    arguments = [f.name for f in fields(kind) if f.init]  # pyright: ignore[reportArgumentType]
    first = dict(zip(arguments, call.positional, strict=False))
    if any(isinstance(value, calls.Call) for value in (*call.positional, *call.named.values())):
        raise PlanError(
            "{text} is not of the form name(strength), e.g. mixup(0.2).", text=repr(calls.short(text.strip()))
        )
    if len(first) < len(call.positional) or first.keys() & call.named.keys():
        raise PlanError(
            "{text} cannot be read: {call} takes {names}.",
            text=repr(calls.short(text.strip())),
            call=call.name,
            names=", ".join(arguments),
        )
    return build(Regularizer, "regularizer", call.name, {**first, **call.named})
