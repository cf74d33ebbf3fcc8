"""Schedules made of schedules: warm-up before any, several multiplied, several one after another."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from ..errors import PlanError
from .base import Factor, Schedule, steps_of
from .cosine import Cosine
from .fields import Length, Number, choice, length, milestones, number, optional, part, parts
from .vocabulary import PYTHON, Text


@dataclass(frozen=True, eq=False)
class Warmup(Schedule):
    """Along a line from `start` to 1 in the first `steps`, then another schedule for the rest of the run.

    Args:
        schedule: any of the rate alone; cosine by default.
        steps: of the warm-up, or a share of the run; a tenth by default.
        start: the first factor; 1/(steps + 1) by default, so that no step is wasted on a rate of 0.

    torch: SequentialLR of LinearLR and the other.

    >>> Warmup("constant", steps=4).factor(range(6), 6)
    array([0.2, 0.4, 0.6, 0.8, 1. , 1. ])

    Source: Goyal et al. 2017, section 2.2.
    """

    name: ClassVar[str] = "warmup"
    restarts: ClassVar[bool] = False
    schedule: Schedule = part(Cosine())
    steps: Length = length(0.1, whole=False)
    start: Number | None = optional(number(0.0, 0.0, 1.0))

    @property
    def parts(self) -> tuple[Schedule, ...]:
        return (self.schedule,)

    def formula(self, t: Any, T: Any, m: Any) -> Factor:
        steps = steps_of(self.steps, T, m)
        start = 1 / (steps + 1) if self.start is None else self.start
        up = start + (1 - start) * (t / steps)
        return m.where(t < steps, up, self.schedule.formula(t - steps, T - steps, m))

    def check(self, total: int) -> None:
        steps = self.steps if isinstance(self.steps, int) else max(round(self.steps * total), 1)
        if steps >= total:
            raise PlanError(
                f"a warm-up of {steps} steps leaves nothing of a run of {total}; shorten it, or train for longer."
            )
        self.schedule.check(total - steps)

    @property
    def decay(self) -> float | None:
        return self.schedule.decay

    def own_class(self, T: Text) -> str | None:
        steps = steps_of(self.steps, T, PYTHON)
        start = Text.of(1 / (steps + 1) if self.start is None else self.start)
        if self.start == 0:  # torch refuses it
            return None
        line = f"lr_scheduler.LinearLR(optimizer, start_factor={start}, total_iters={steps})"
        if not self.schedule.restarts:
            return None
        after = self.schedule.written(T - steps)
        return f"lr_scheduler.SequentialLR(optimizer, [{line}, {after}], milestones=[{steps}])"


@dataclass(frozen=True, eq=False)
class Chained(Schedule):
    """η_t = η·a(t)·b(t)⋯: several schedules multiplied.

    Args:
        schedules: of the rate alone.

    torch: ChainedScheduler.

    >>> Chained(["linear", "step(size=2, gamma=0.5)"]).factor(range(5), 4)
    array([1.   , 0.75 , 0.25 , 0.125, 0.   ])
    """

    name: ClassVar[str] = "chained"
    restarts: ClassVar[bool] = False
    schedules: tuple[Schedule, ...] = parts()

    @property
    def parts(self) -> tuple[Schedule, ...]:
        return self.schedules

    def formula(self, t: Any, T: Any, m: Any) -> Factor:
        return math.prod((one.formula(t, T, m) for one in self.schedules), start=1)

    @property
    def decay(self) -> float | None:
        each = [one.decay for one in self.schedules]
        return None if None in each else sum(p for p in each if p is not None)

    def own_class(self, T: Text) -> str | None:
        own = [one.own_class(T) for one in self.schedules]
        if None in own or not all(one.multiplies for one in self.schedules):
            return None
        return f"lr_scheduler.ChainedScheduler([{', '.join(map(str, own))}])"


@dataclass(frozen=True, eq=False)
class Sequential(Schedule):
    """One schedule after another, each from its own beginning.

    Args:
        schedules: of the rate alone.
        milestones: the steps at which the second, third, … begins.

    torch: SequentialLR.

    >>> Sequential(["constant(scale=0.5)", "linear"], milestones=(2,)).factor(range(6), 6)
    array([0.5 , 0.5 , 1.  , 0.75, 0.5 , 0.25])
    """

    name: ClassVar[str] = "sequential"
    restarts: ClassVar[bool] = False
    schedules: tuple[Schedule, ...] = parts()
    milestones: tuple[int, ...] = milestones()

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.milestones) != len(self.schedules) - 1:
            raise PlanError(
                f"sequential has {len(self.schedules)} schedules and {len(self.milestones)} milestones; "
                "give a milestone for each schedule but the first."
            )

    @property
    def parts(self) -> tuple[Schedule, ...]:
        return self.schedules

    def _lengths(self, T: Any) -> list[tuple[int, Any]]:
        """(first step, steps) of each part."""
        begins = (0, *self.milestones)
        return [(a, b - a) for a, b in zip(begins, (*self.milestones, T), strict=True)]

    def formula(self, t: Any, T: Any, m: Any) -> Factor:
        value: Any = None
        for one, (begin, steps) in reversed(list(zip(self.schedules, self._lengths(T), strict=True))):
            here = one.formula(t - begin, steps, m)
            value = here if value is None else m.where(t < begin + steps, here, value)
        return value

    def check(self, total: int) -> None:
        if self.milestones[-1:] >= (total,):
            raise PlanError(
                f"the milestone {self.milestones[-1]} of {self.label} is not before the end of a run of {total} steps."
            )
        for one, (_, steps) in zip(self.schedules, self._lengths(total), strict=True):
            one.check(steps)

    @property
    def decay(self) -> float | None:
        return self.schedules[-1].decay

    def own_class(self, T: Text) -> str | None:
        if not all(one.restarts for one in self.schedules):
            return None
        runs = [Text.of(steps) for _, steps in self._lengths(T)]
        inside = ", ".join(one.written(run) for one, run in zip(self.schedules, runs, strict=True))
        return f"lr_scheduler.SequentialLR(optimizer, [{inside}], milestones={list(self.milestones)})"


@dataclass(frozen=True, eq=False)
class WarmupStableDecay(Schedule):
    """Up along a line, level for most of the run, then down to `end`: warm-up–stable–decay.

    Args:
        warmup, decay_steps: steps, or shares of the run; a tenth and a fifth by default.
        end: the last factor.
        shape: of the decay: linear, cosine, or sqrt, which is 1 − √share.

    >>> WarmupStableDecay(warmup=1, decay_steps=4).factor(range(8), 8)
    array([0.5 , 1.  , 1.  , 1.  , 1.  , 0.75, 0.5 , 0.25])

    Source: Hu et al. 2024, MiniCPM, section 4; the shapes: Hägele et al. 2024, eq. 2.
    """

    name: ClassVar[str] = "wsd"
    warmup: Length = length(0.1, whole=False)
    decay_steps: Length = length(0.2)
    end: Number = number(0.0, 0.0, 1.0)
    shape: str = choice("linear", "cosine", "sqrt")

    def formula(self, t: Any, T: Any, m: Any) -> Factor:
        up, down = steps_of(self.warmup, T, m), steps_of(self.decay_steps, T, m)
        share = m.maximum(0.0, (t - (T - down)) / down)
        if self.shape == "sqrt":
            share = m.sqrt(share)
        if self.shape == "cosine":
            share = (1 - m.cos(m.pi * share)) / 2
        return m.minimum(1.0, (t + 1) / (up + 1)) * (1 - (1 - self.end) * share)

    def check(self, total: int) -> None:
        lengths = (self.warmup, self.decay_steps)
        up, down = (s if isinstance(s, int) else max(round(s * total), 1) for s in lengths)
        if up + down > total:
            raise PlanError(
                f"wsd with {up} steps of warm-up and {down} of decay does not fit into a run of {total} steps."
            )

    @property
    def decay(self) -> None:
        return None
