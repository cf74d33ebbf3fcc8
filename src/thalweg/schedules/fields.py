"""The arguments that schedules alone have: numbers for each member, lengths in steps, and other schedules.

A number may also be several, (members,), so that one call gives every member's factors. A length is a whole
number of steps, or a float, which is a share of the run: 10 is ten steps, 0.1 a tenth of them all; or "10 epochs".
"""

from __future__ import annotations

import itertools
import math
from dataclasses import MISSING
from typing import Any

import numpy as np

from .. import calls
from ..arguments import declared
from ..errors import UsageError, short
from ..language import say
from ..numbers import Range
from .base import Epochs, Schedule
from .names import EPOCHS, one

Number = Any  # a float, or a tuple or array (members,); in formulas a column of them
Length = int | float | Epochs
STEPS = Range(1, whole=True, unit="steps")
MOST = 50  # schedules in one; code for thousands would be nested deeper than Python reads


def number(
    default: Any = MISSING, low: float = -math.inf, high: float = math.inf, above: bool = False, below: bool = False
) -> Any:
    """A number of a `Range`, or one for each member."""
    allowed = Range(low, high, above=above, below=below)

    def read(what: str, value: Any, error: type[UsageError]) -> Number:
        if isinstance(value, tuple | list) or (isinstance(value, np.ndarray) and value.ndim == 1):
            if not len(value):
                raise error("{what} is empty; give {allowed}, or one for each member.", what=what, allowed=allowed)
            return tuple(float(allowed.check(what, each, error)) for each in value)
        return float(allowed.check(what, value, error))

    return declared(read, default, "number")


def positive(default: Any = MISSING) -> Any:
    """A number above zero."""
    return number(default, 0.0, above=True)


def length(default: Any = MISSING, whole: bool = True) -> Any:
    """Steps, or a share of the run; the whole run (1.0) only where `whole`."""
    share = Range(0.0, 1.0, above=True, below=not whole)

    def read(what: str, value: Any, error: type[UsageError]) -> Length:
        value = _in_epochs(value.item() if isinstance(value, np.generic) else value)
        if isinstance(value, Epochs) or value in STEPS or (isinstance(value, float) and value in share):
            return value
        share_text = say("above 0 and up to 1.0") if whole else say("between 0 and 1")
        raise error(
            "{what} is {value}; give {steps}; or a share of the run {share}, e.g. 0.1; or epochs, e.g. '10 epochs'.",
            what=what,
            value=short(repr(value)),
            steps=STEPS.text(value),
            share=share_text,
        )

    return declared(read, default, "length")


def _in_epochs(value: Any) -> Any:
    """``"10 epochs"`` as a length, anything else as it is."""
    found = EPOCHS.fullmatch(value) if isinstance(value, str) else None
    return Epochs(float(found[1])) if found and 0 < float(found[1]) < math.inf else value


def milestones() -> Any:
    """Steps, or epochs, at which something happens: whole steps, positive and in order."""

    def read(what: str, value: Any, error: type[UsageError]) -> tuple[int | Epochs, ...]:
        several = tuple(value) if isinstance(value, tuple | list | np.ndarray) else (value,)
        steps = [_in_epochs(int(step) if isinstance(step, np.integer) else step) for step in several]
        alike = all(isinstance(step, Epochs) for step in steps) or all(step in STEPS for step in steps)
        if not alike or any(not a < b for a, b in itertools.pairwise(steps)):
            raise error(
                "{what} are {value}; give whole steps above 0 in rising order, e.g. (30, 80), or epochs, "
                "e.g. (30 epochs, 80 epochs).",
                what=what,
                value=short(repr(value)),
            )
        return tuple(steps)

    return declared(read, kind="milestones")


def part(default: Any = MISSING, alone: bool = True) -> Any:
    """Another schedule, or its name; with `alone`, one that multiplies the rate and moves nothing else."""
    return declared(lambda what, value, error: _part(what, value, alone), default, "part")


def parts() -> Any:
    """Several of them."""

    def read(what: str, value: Any, error: type[UsageError]) -> tuple[Schedule, ...]:
        if not isinstance(value, tuple | list) or not 0 < len(value) <= MOST:
            raise error(
                "{what} is {value}; give a list of 1 to {most} schedules, e.g. ['constant', 'cosine'].",
                what=what,
                value=short(repr(value)),
                most=MOST,
            )
        return tuple(_part(what, each, alone=True) for each in value)

    return declared(read, kind="part")


def _part(what: str, value: Any, alone: bool) -> Schedule:
    schedule = one(value)
    if alone and (schedule.absolute or set(schedule.on(("lr", "momentum"))) - {"lr"}):
        raise schedule.error(
            "{what} is {schedule}, which moves more than a rate by a factor; make others of schedules "
            "that multiply the rate alone, e.g. with cycle_momentum=False.",
            what=what,
            schedule=schedule.label,
        )
    if schedule.closed:
        raise schedule.error(
            "{what} is {schedule}, which follows the loss; it cannot be part of another schedule.",
            what=what,
            schedule=schedule.label,
        )
    if schedule.depth >= calls.DEEPEST:
        raise schedule.error(
            "{what} is made of schedules {depth} deep; give one of fewer.", what=what, depth=schedule.depth
        )
    return schedule


def function() -> Any:
    """A function of the step."""

    def read(what: str, value: Any, error: type[UsageError]) -> Any:
        if not callable(value):
            raise error(
                "{what} is {value}; give a function of the step that returns a factor.",
                what=what,
                value=short(repr(value)),
            )
        return value

    return declared(read, kind="function")
