"""Up along a line before any schedule, or before a level stretch and a decay."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from ..arguments import choice, optional
from ..errors import PlanError
from .base import Factor, Schedule, steps_of
from .cosine import Cosine
from .fields import Length, Number, length, number, part
from .vocabulary import NUMBERS, PYTHON, Text


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
    counterpart: ClassVar[str] = "SequentialLR"
    restarts: ClassVar[bool] = False
    schedule: Schedule = part(Cosine())
    steps: Length = length(0.1, whole=False)
    start: Number | None = optional(number(0.0, 0.0, 1.0))

    def formula(self, t: Any, T: Any, m: Any) -> Factor:
        steps = steps_of(self.steps, T, m)
        start = 1 / (steps + 1) if self.start is None else self.start
        up = start + (1 - start) * (t / steps)
        return m.where(t < steps, up, self.schedule.formula(t - steps, T - steps, m))

    def check(self, total: int) -> None:
        steps = int(steps_of(self.steps, total, NUMBERS))
        if steps >= total:
            raise PlanError(
                "a warm-up of {steps} steps leaves nothing of a run of {total}; shorten it, or train for longer.",
                steps=steps,
                total=total,
            )
        self.schedule.check(total - steps)

    @property
    def decay(self) -> float | None:
        return self.schedule.decay

    def own_class(self, T: Text) -> str | None:
        if self.start == 0 or not self.schedule.restarts:  # torch refuses 0
            return None
        steps = steps_of(self.steps, T, PYTHON)
        start = Text.of(1 / (steps + 1) if self.start is None else self.start)
        line = f"lr_scheduler.LinearLR(optimizer, start_factor={start}, total_iters={steps})"
        after = self.schedule.written(T - steps)
        return f"lr_scheduler.SequentialLR(optimizer, [{line}, {after}], milestones=[{steps}])"


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
        up, down = (int(steps_of(length, total, NUMBERS)) for length in (self.warmup, self.decay_steps))
        if up + down > total:
            raise PlanError(
                "wsd with {up} steps of warm-up and {down} of decay does not fit into a run of {total} steps.",
                up=up,
                down=down,
                total=total,
            )
