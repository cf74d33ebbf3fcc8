"""Schedules made of schedules: several multiplied, or one after another."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from ..errors import PlanError
from .base import Factor, Schedule, steps_of
from .fields import milestones, parts
from .vocabulary import NUMBERS, Text, listed


@dataclass(frozen=True, eq=False)
class Chained(Schedule):
    """η_t = η·a(t)·b(t)⋯: several schedules multiplied.

    Args:
        schedules: of the rate alone.

    >>> Chained(["linear", "step(size=2, gamma=0.5)"]).factor(range(5), 4)
    array([1.   , 0.75 , 0.25 , 0.125, 0.   ])
    """

    name: ClassVar[str] = "chained"
    needs: ClassVar[str] = "chained(linear, cosine)"
    counterpart: ClassVar[str] = "ChainedScheduler"
    restarts: ClassVar[bool] = False
    schedules: tuple[Schedule, ...] = parts()

    def formula(self, t: Any, T: Any, m: Any) -> Factor:
        return math.prod((one.formula(t, T, m) for one in self.schedules), start=1)

    @property
    def decay(self) -> float | None:
        each = [one.decay for one in self.schedules]
        return None if None in each else sum(p for p in each if p is not None)

    def own_class(self, T: Text) -> str | None:
        classes = [one.own_class(T) for one in self.schedules]
        if None in classes or not all(one.multiplies for one in self.schedules):
            return None
        return f"lr_scheduler.ChainedScheduler([{', '.join(map(str, classes))}])"


@dataclass(frozen=True, eq=False)
class Sequential(Schedule):
    """One schedule after another, each from its own beginning.

    Args:
        schedules: of the rate alone.
        milestones: the steps, or epochs, at which the second, third, … begins.

    >>> Sequential(["constant(scale=0.5)", "linear"], milestones=(2,)).factor(range(6), 6)
    array([0.5 , 0.5 , 1.  , 0.75, 0.5 , 0.25])
    """

    name: ClassVar[str] = "sequential"
    needs: ClassVar[str] = "sequential(constant, cosine, milestones=(100,))"
    counterpart: ClassVar[str] = "SequentialLR"
    restarts: ClassVar[bool] = False
    schedules: tuple[Schedule, ...] = parts()
    milestones: tuple[Any, ...] = milestones()

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.milestones) != len(self.schedules) - 1:
            raise PlanError(
                "sequential has {count} schedules and {count2} milestones; give a milestone for each "
                "schedule but the first.",
                count=len(self.schedules),
                count2=len(self.milestones),
            )

    def _lengths(self, T: Any) -> list[tuple[int, Any]]:
        """(first step, steps) of each part."""
        later = [steps_of(one, T, NUMBERS) for one in self.milestones]
        return [(a, b - a) for a, b in zip([0, *later], [*later, T], strict=True)]

    def formula(self, t: Any, T: Any, m: Any) -> Factor:
        value: Any = None
        for one, (begin, steps) in reversed(list(zip(self.schedules, self._lengths(T), strict=True))):
            here = one.formula(t - begin, steps, m)
            value = here if value is None else m.where(t < begin + steps, here, value)
        return value

    def check(self, total: int) -> None:
        if self.milestones and steps_of(self.milestones[-1], total, NUMBERS) >= total:
            raise PlanError(
                "the milestone {milestones} of {label} is not before the end of a run of {total} steps.",
                milestones=self.milestones[-1],
                label=self.label,
                total=total,
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
        return f"lr_scheduler.SequentialLR(optimizer, [{inside}], milestones={listed(self.milestones)})"
