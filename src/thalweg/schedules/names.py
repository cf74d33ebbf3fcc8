"""The text that stands for a schedule, ``warmup(cosine, steps=100)``, and what is known by a name alone."""

from __future__ import annotations

import re
from dataclasses import fields
from typing import Any

import numpy as np

from .. import calls
from ..arguments import build, class_of
from ..errors import PlanError
from ..language import say
from ..numbers import Range
from ..unknown import unknown
from .base import Schedule, checked_total

SCHEDULES = Schedule.registry
EXAMPLE = "step(size=30, gamma=0.1)"
EPOCHS = re.compile(r"(?<![\w.'\"])(\d+(?:\.\d+)?) ?epochs?\b(?!['\"])")
DRAWABLE = Range(1, 10**7, whole=True, unit="steps")


def names() -> list[str]:
    """The names of the schedules."""
    return list(SCHEDULES)


def one(given: str | Schedule) -> Schedule:
    """The schedule of that name, with arguments if there are any: ``step(size=30)``, ``warmup(cosine, steps=100)``.

    Raises:
        PlanError: an unknown name, or an argument that is not allowed.
    """
    if isinstance(given, Schedule):
        return given
    if not isinstance(given, str):
        raise PlanError(unknown("schedule", str(given), SCHEDULES))
    name, bracket, rest = given.strip().partition("(")
    kind = class_of(Schedule, "schedule", name.strip())
    given = f"{kind.name}{bracket}{rest}"
    if own_function(given):
        object_ = f"tw.schedules.{kind.__name__}(function)" if kind.sample else "the schedule itself"
        raise PlanError(f"{calls.short(given)} is of a function of your own, which no name can find; give {object_}.")
    return _built(calls.read(EPOCHS.sub(r"'\1 epochs'", given), PlanError, EXAMPLE))


def own_function(label: str) -> bool:
    """Whether a label names a function of the user's, which has to be given again.

    >>> own_function("warmup(lambda(halve), steps=10)"), own_function("cosine")
    (True, False)
    """
    return any(kind.sample and re.search(rf"\b{name}\b", label) for name, kind in SCHEDULES.items())


def _argument(call: calls.Call, part: bool) -> Any:
    """A schedule; but a word that names none stays one where the argument is no schedule, to be refused as such."""
    bare = not (call.positional or call.named)
    return call.name if bare and not part and call.name not in SCHEDULES else _built(call)


def _built(call: calls.Call) -> Schedule:
    values = [_built(v) if isinstance(v, calls.Call) else v for v in call.positional]
    kind = class_of(Schedule, "schedule", call.name)
    parts = {each.name for each in fields(kind) if each.metadata.get("kind") == "part"}
    named = {n: _argument(v, n in parts) if isinstance(v, calls.Call) else v for n, v in call.named.items()}
    if values:
        first = next(iter(fields(kind)), None)
        if first is None or first.metadata["kind"] != "part" or first.name in named:
            raise PlanError("{call} takes its arguments by name, e.g. {example}.", call=call.name, example=EXAMPLE)
        if first.name != "schedules" and len(values) > 1:
            raise PlanError("{call} takes one schedule, and {count} were given.", call=call.name, count=len(values))
        named[first.name] = tuple(values) if first.name == "schedules" else values[0]
    return build(Schedule, "schedule", call.name, named)


def example(name: str) -> Schedule:
    """The schedule of that name with its defaults, or with arguments where it needs some.

    >>> example("multistep").label
    'multistep(milestones=(30, 80))'
    """
    kind: Any = class_of(Schedule, "schedule", name)
    return kind(kind.sample) if kind.sample else one(kind.needs or name)


def shown(schedule: Schedule, total: int, rate: float = 1.0) -> dict[str, np.ndarray]:
    """The values of a run to look at: hyperparameter → (total,); what multiplies another than lr is marked ×.

    Raises:
        PlanError: the schedule follows the loss, of which there is none; or a value is not finite.

    >>> shown(one("one_cycle"), 5, rate=0.1).keys()
    dict_keys(['lr', 'momentum'])
    """
    schedule.for_one_member()
    schedules = {"lr": one("constant")} | dict(schedule.on({"lr", "momentum", *schedule.hyperparameters}))
    steps = np.arange(DRAWABLE.check(say("the total"), checked_total(total), PlanError))
    values = {}
    for name, each in schedules.items():
        with np.errstate(over="ignore"):
            value = each.factor(steps, total) * (rate if name == "lr" else 1)
        if not np.isfinite(value).all():
            at = int(np.argmin(np.isfinite(value)))
            raise PlanError(
                f"{name} by {each.label} is {value[at]:g} at step {at}, beyond what can be drawn; "
                "give arguments or a rate nearer to 1."
            )
        values[name if name == "lr" or each.absolute else f"{name} ×"] = value
    return values
