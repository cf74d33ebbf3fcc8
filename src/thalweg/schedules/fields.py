"""The arguments a schedule may have: what each allows, said once, and refused in one sentence.

A number may also be several, (members,), so that one call gives every member's factors. A length is a whole
number of steps, or a float, which is a share of the run: 10 is ten steps, 0.1 a tenth of them all.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import MISSING, field
from typing import Any

import numpy as np

from ..errors import PlanError

Number = Any  # a float, or a tuple or array (members,); in formulas a column of them
Length = int | float
Read = Callable[[str, Any], Any]


def number(default: Any = MISSING, low: float = -math.inf, high: float = math.inf, least: bool = True) -> Any:
    """A number, or one for each member, from `low` (itself only with `least`) to `high`."""

    def read(what: str, value: Any) -> Number:
        several = isinstance(value, tuple | list) or np.ndim(value) == 1
        found = tuple(_one(what, v) for v in value) if several else _one(what, value)
        if found == ():
            raise PlanError(f"{what} is empty, and must be a number, or one for each member.")
        return found

    def _one(what: str, value: Any) -> float:
        plain = isinstance(value, int | float | np.number) and not isinstance(value, bool)
        if not plain or not math.isfinite(value) or not (low < value or (least and value == low)) or value > high:
            raise PlanError(f"{what} is {value!r}, and must be a number{_range(low, high, least)}.")
        return float(value)

    return _field("number", read, default)


def positive(default: Any = MISSING) -> Any:
    """A number above zero."""
    return number(default, 0.0, least=False)


def _range(low: float, high: float, least: bool) -> str:
    if math.isfinite(low) and math.isfinite(high):
        return f" from {low:g} to {high:g}" if least else f" above {low:g} and at most {high:g}"
    return f" of at least {low:g}" if math.isfinite(low) and least else f" above {low:g}" if low == 0 else ""


def length(default: Any = MISSING, whole: bool = True) -> Any:
    """Steps, or a share of the run; the whole run (1.0) only where `whole`."""

    def read(what: str, value: Any) -> Length:
        if isinstance(value, int | np.integer) and not isinstance(value, bool) and value >= 1:
            return int(value)
        if isinstance(value, float | np.floating) and value > 0 and (value < 1 or (whole and value == 1)):
            return float(value)
        ends = "above 0 and up to 1.0" if whole else "between 0 and 1"
        raise PlanError(
            f"{what} is {value!r}, and must be a whole number of steps from 1, or a share of the run {ends}, e.g. 0.1."
        )

    return _field("length", read, default)


def count(default: Any = MISSING, least: int = 1) -> Any:
    """A whole number."""

    def read(what: str, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
            raise PlanError(f"{what} is {value!r}, and must be a whole number of at least {least}.")
        return int(value)

    return _field("count", read, default)


def optional(inner: Any) -> Any:
    """The same argument, or None."""
    read = inner.metadata["read"]
    return _field(inner.metadata["kind"], lambda what, value: None if value is None else read(what, value), None)


def milestones(kind: str = "milestones") -> Any:
    """Steps at which something happens: whole, positive and in order."""

    def read(what: str, value: Any) -> tuple[int, ...]:
        listed = tuple(value) if isinstance(value, tuple | list) or np.ndim(value) == 1 else (value,)
        steps = all(isinstance(v, int | np.integer) and not isinstance(v, bool) and v > 0 for v in listed)
        if not steps or any(a >= b for a, b in itertools.pairwise(listed)):
            raise PlanError(f"{what} are {value!r}, and must be whole steps above 0 in rising order, e.g. (30, 80).")
        return tuple(int(v) for v in listed)

    return _field(kind, read, MISSING)


def choice(default: str, *others: str) -> Any:
    """One of a few words; the first is the default."""
    allowed = (default, *others)

    def read(what: str, value: Any) -> str:
        if value not in allowed:
            raise PlanError(f"{what} is {value!r}, and must be {' or '.join(map(repr, allowed))}.")
        return value

    return _field("choice", read, default)


def flag(default: bool) -> Any:
    """True or False."""

    def read(what: str, value: Any) -> bool:
        if not isinstance(value, bool):
            raise PlanError(f"{what} is {value!r}, and must be True or False.")
        return value

    return _field("flag", read, default)


def part(default: Any = MISSING, alone: bool = True) -> Any:
    """Another schedule, or its name; with `alone`, one that multiplies the rate and moves nothing else."""

    def read(what: str, value: Any) -> Any:
        from .base import Schedule
        from .names import get

        found = value if isinstance(value, Schedule) else get(value)
        if alone and (found.absolute or set(found.on(("lr", "momentum"))) - {"lr"}):
            raise PlanError(
                f"{what} is {found.label}, which moves more than a rate by a factor; "
                "make others of schedules that multiply the rate alone, e.g. with cycle_momentum=False."
            )
        if found.closed:
            raise PlanError(f"{what} is {found.label}, which follows the loss; it cannot be part of another schedule.")
        return found

    return _field("part", read, default)


def parts() -> Any:
    """Several of them."""
    read = part().metadata["read"]

    def read_all(what: str, value: Any) -> Any:
        if not isinstance(value, tuple | list) or not value:
            raise PlanError(f"{what} is {value!r}, and must be a list of schedules, e.g. ['constant', 'cosine'].")
        return tuple(read(what, one) for one in value)

    return _field("part", read_all, MISSING)


def function() -> Any:
    """A function of the step."""

    def read(what: str, value: Any) -> Any:
        if not callable(value):
            raise PlanError(f"{what} is {value!r}, and must be a function of the step that returns a factor.")
        return value

    return _field("function", read, MISSING)


def _field(kind: str, read: Read, default: Any) -> Any:
    return field(default=default, metadata={"kind": kind, "read": read})
