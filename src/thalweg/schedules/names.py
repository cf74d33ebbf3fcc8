"""The schedules by name, and the text that stands for one: ``warmup(cosine, steps=100)``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any

import numpy as np

from .. import calls
from ..errors import PlanError, unknown
from .base import Schedule, checked_total
from .composed import Chained, Sequential, Warmup, WarmupStableDecay
from .constant import Constant
from .cosine import Cosine, WarmRestarts
from .cyclic import Cyclic, OneCycle
from .exponential import Exponential, ExponentialDecay
from .functions import Lambda, Multiplicative
from .inverse import InverseSqrt, InverseTime, OneOverT
from .linear import Linear, Polynomial
from .plateau import Plateau
from .ramp import Ramp
from .several import Several
from .stairs import MultiStep, Step, StepDecay

SCHEDULES: dict[str, type[Schedule]] = {
    kind.name: kind
    for kind in (
        Constant,
        Cosine,
        Linear,
        Polynomial,
        Step,
        StepDecay,
        MultiStep,
        Exponential,
        ExponentialDecay,
        OneOverT,
        InverseTime,
        InverseSqrt,
        Warmup,
        WarmupStableDecay,
        WarmRestarts,
        OneCycle,
        Cyclic,
        Plateau,
        Ramp,
        Chained,
        Sequential,
        Lambda,
        Multiplicative,
    )
}
Given = str | Schedule | Mapping[str, Any]  # what a user may call a schedule by
_OWN = (Lambda, Multiplicative)
_EXAMPLE = "step(size=30, gamma=0.1)"


def names() -> list[str]:
    """The names of the schedules."""
    return list(SCHEDULES)


def get(name: Given) -> Schedule:
    """The schedule of that name; with arguments, ``step(size=30, gamma=0.1)`` or ``warmup(cosine, steps=100)``.

    A mapping, or ``lr: cosine; momentum: ramp(end=0.95)``, gives each hyperparameter a schedule of its own.

    Raises:
        PlanError: an unknown name, or an argument that cannot be meant.

    >>> get("cosine"), get("warmup(cosine, steps=100)").label
    (Cosine(end=0.0), 'warmup(cosine, steps=100)')
    """
    if isinstance(name, Schedule):
        return name
    if isinstance(name, Mapping):
        return Several(name)  # pyright: ignore[reportArgumentType]
    if not isinstance(name, str):
        raise PlanError(unknown("schedule", str(name), SCHEDULES))
    if ":" in name:
        return Several([_pair(part) for part in name.split(";")])  # pyright: ignore[reportArgumentType]
    kind = _kind(name.strip().partition("(")[0].strip())
    if own_function(name):
        made = next((f"tw.schedules.{k.__name__}" for k in _OWN if kind is k), "the schedule itself")
        raise PlanError(
            f"{calls.short(name)} is of a function of your own, which no name can find; give {made}"
            f"{'(function)' if kind in _OWN else ''}."
        )
    return _made(calls.read(name, PlanError, _EXAMPLE))


def own_function(label: str) -> bool:
    """Whether a label names a function of somebody's own, which has to be given again.

    >>> own_function("warmup(lambda(halve), steps=10)"), own_function("cosine")
    (True, False)
    """
    return any(re.search(rf"\b{kind.name}\b", label) for kind in _OWN)


def _pair(text: str) -> tuple[str, str]:
    name, _, schedule = text.partition(":")
    return name.strip(), schedule.strip()


def _kind(name: str) -> type[Schedule]:
    if name not in SCHEDULES:
        raise PlanError(unknown("schedule", calls.short(name), SCHEDULES))
    return SCHEDULES[name]


def _made(call: calls.Call) -> Schedule:
    kind = _kind(call.name)
    known = {f.name: f for f in fields(kind)}
    for name in call.named:
        if name not in known:
            raise PlanError(unknown(f"argument of {call.name}", name, known))
    positional = [_made(v) if isinstance(v, calls.Call) else v for v in call.positional]
    first = next(iter(known), "")
    if positional and (first in call.named or known[first].metadata["kind"] != "part" if known else True):
        raise PlanError(f"{call.name} takes its arguments by name, e.g. {_EXAMPLE}.")
    named = {n: _made(v) if isinstance(v, calls.Call) else v for n, v in call.named.items()}
    if positional:
        named[first] = tuple(positional) if first == "schedules" else positional[0]
        if first != "schedules" and len(positional) > 1:
            raise PlanError(f"{call.name} takes one schedule, and {len(positional)} were given.")
    missing = [n for n, f in known.items() if f.default is MISSING and n not in named]
    if missing:
        raise PlanError(f"{call.name} needs {missing[0]}; {_needs(call.name, missing[0])}.")
    return kind(**named)


def _needs(name: str, argument: str) -> str:
    return f"e.g. {_NEEDED.get((name, argument), _EXAMPLE)}"


def example(name: str) -> Schedule:
    """The schedule of that name as it is unless told otherwise, or with arguments where it needs some.

    >>> example("multistep").label
    'multistep(milestones=(30, 80))'
    """
    kind = _kind(name)
    if kind in _OWN:
        return kind(lambda step: 0.97**step if kind is Lambda else 0.97)  # pyright: ignore[reportCallIssue]
    needed = [text for (owner, _), text in _NEEDED.items() if owner == name]
    return get(needed[0] if needed else name)


def shown(schedule: Schedule, total: int, rate: float = 1.0) -> dict[str, np.ndarray]:
    """The values of a run to look at: hyperparameter → (total,); what multiplies another than lr is marked ×.

    Raises:
        PlanError: the schedule follows the loss, of which there is none.

    >>> shown(get("one_cycle"), 5, rate=0.1).keys()
    dict_keys(['lr', 'momentum'])
    """
    own = {name for name, _ in schedule.schedules} if isinstance(schedule, Several) else set()
    moved = {"lr": Constant()} | dict(schedule.on({"lr", "momentum"} | own))
    steps = np.arange(checked_total(total))
    values = {name: one.factor(steps, total) for name, one in moved.items()}
    return {
        name if name == "lr" or moved[name].absolute else f"{name} ×": value * (rate if name == "lr" else 1)
        for name, value in values.items()
    }


_NEEDED = {
    ("multistep", "milestones"): "multistep(milestones=(30, 80))",
    ("chained", "schedules"): "chained(linear, cosine)",
    ("sequential", "schedules"): "sequential(constant, cosine, milestones=(100,))",
    ("sequential", "milestones"): "sequential(constant, cosine, milestones=(100,))",
}


def label(schedule: Schedule) -> str:
    """The text that `get` reads as this schedule."""
    if isinstance(schedule, Several):
        return "; ".join(f"{name}: {one.label}" for name, one in schedule.schedules)
    inside, usual = [], True
    for f in fields(schedule):
        value = getattr(schedule, f.name)
        differs = value != f.default or type(value) is not type(f.default)
        usual = usual and not differs
        if f.metadata["kind"] == "part":
            inside += [one.label for one in (value if isinstance(value, tuple) else (value,))]
        elif f.metadata["kind"] == "function":
            inside.append(getattr(value, "__qualname__", type(value).__name__))
        elif differs:
            inside.append(f"{f.name}={_written(value, f.metadata['kind'])}")
    return schedule.name if usual else f"{schedule.name}({', '.join(inside)})"


def _written(value: Any, kind: str) -> str:
    """A literal; a length keeps its point, because 1.0 is the whole run and 1 a step."""
    return repr(value) if kind == "length" else calls.literal(value)
