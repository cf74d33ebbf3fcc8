"""Along a line, or a power of one, from one factor to another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from .base import Factor, Schedule, steps_of
from .fields import Length, Number, length, number, positive
from .vocabulary import Text


@dataclass(frozen=True, eq=False)
class Linear(Schedule):
    """η_t = η·(start + (end − start)·t/steps): along a line, then constant.

    Args:
        start, end: factors; from η to 0 by default.
        steps: how long the line is; the whole run by default.

    >>> Linear().factor(range(5), 4)
    array([1.  , 0.75, 0.5 , 0.25, 0.  ])
    """

    name: ClassVar[str] = "linear"
    counterpart: ClassVar[str] = "LinearLR"
    multiplies: ClassVar[bool] = True
    elsewhere: ClassVar[Mapping[str, str]] = {"start_factor": "start", "end_factor": "end", "total_iters": "steps"}
    start: Number = number(1.0, 0.0)
    end: Number = number(0.0, 0.0)
    steps: Length = length(1.0)

    def formula(self, t: Any, T: Any, m: Any) -> Factor:
        return self.start + (self.end - self.start) * m.minimum(1.0, t / steps_of(self.steps, T, m))

    def torch_arguments(self, T: Text) -> Mapping[str, Any] | None:
        if isinstance(self.start, tuple) or isinstance(self.end, tuple):
            return None
        if not 0 < self.start <= 1 or self.end > 1:  # torch refuses them
            return None
        return super().torch_arguments(T)


@dataclass(frozen=True, eq=False)
class Polynomial(Schedule):
    """η_t = η·(1 − t/steps)^power: to 0 along a power of a line.

    Args:
        power: 1 is a line, 2 stays low for longer at the end.
        steps: how long until 0; the whole run by default.

    >>> Polynomial(power=2).factor(range(5), 4)
    array([1.    , 0.5625, 0.25  , 0.0625, 0.    ])
    """

    name: ClassVar[str] = "polynomial"
    counterpart: ClassVar[str] = "PolynomialLR"
    multiplies: ClassVar[bool] = True
    elsewhere: ClassVar[Mapping[str, str]] = {"total_iters": "steps"}
    power: Number = positive(1.0)
    steps: Length = length(1.0)

    def formula(self, t: Any, T: Any, m: Any) -> Factor:
        return (1 - m.minimum(1.0, t / steps_of(self.steps, T, m))) ** self.power
