"""A hyperparameter from one value to another: momentum from 0.5 to 0.99."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from ..arguments import choice
from .base import Factor, Schedule, steps_of
from .fields import Length, Number, length, number


@dataclass(frozen=True, eq=False)
class Ramp(Schedule):
    """β_t from `start` to `end` within `steps`, then `end`: the values themselves, whatever the base is.

    The first step has `start`, the last of them `end`.

    Args:
        start, end: values; momentum's 0.5 at first and 0.99 in the end by default.
        steps: how long; the whole run by default.
        shape: linear; cosine (gentle at both ends); or memory, in which the horizon 1/(1 − β) grows by the same
            factor at each step (from 2 steps to 100 by default), for values below 1.

    >>> Ramp().factor(range(5), 5)
    array([0.5   , 0.6225, 0.745 , 0.8675, 0.99  ])
    >>> Ramp(shape="memory").factor(range(5), 5).round(4)
    array([0.5   , 0.812 , 0.9293, 0.9734, 0.99  ])
    """

    name: ClassVar[str] = "ramp"
    absolute: ClassVar[bool] = True
    start: Number = number(0.5, 0.0)
    end: Number = number(0.99, 0.0)
    steps: Length = length(1.0)
    shape: str = choice("linear", "cosine", "memory")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.shape == "memory":
            read = number(low=0.0, high=1.0, below=True).metadata["read"]
            for end in ("start", "end"):
                read(f"{self.name}: {end} with shape 'memory'", getattr(self, end), self.error)

    def formula(self, t: Any, T: Any, m: Any) -> Factor:
        share = m.minimum(1.0, t / m.maximum(1.0, steps_of(self.steps, T, m) - 1))
        if self.shape == "memory":
            return 1 - (1 - self.start) ** (1 - share) * (1 - self.end) ** share
        if self.shape == "cosine":
            share = (1 - m.cos(m.pi * share)) / 2
        return self.start + (self.end - self.start) * share
