"""Geometric decay: by a factor at each step, or e^(−kt)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from .base import Factor, Schedule
from .fields import Number, number, positive
from .stairs import geometric


@dataclass(frozen=True, eq=False)
class Exponential(Schedule):
    """η_t = η·γᵗ: each step multiplies the rate by γ.

    Args:
        gamma: γ per step; 0.999 by default, a third after 1,100 steps.

    >>> Exponential(0.5).factor(range(4))
    array([1.   , 0.5  , 0.25 , 0.125])
    """

    name: ClassVar[str] = "exponential"
    counterpart: ClassVar[str] = "ExponentialLR"
    multiplies: ClassVar[bool] = True
    gamma: Number = positive(0.999)

    def formula(self, t: Any, T: Any, m: Any) -> Factor:
        return self.gamma**t

    @property
    def decay(self) -> float:
        return geometric(self.gamma)


@dataclass(frozen=True, eq=False)
class ExponentialDecay(Schedule):
    """η_t = η·e^(−kt).

    Args:
        k: per step; 0.001 by default, a third after 1,100 steps.

    >>> ExponentialDecay(0.5).factor(range(4)).round(6)
    array([1.      , 0.606531, 0.367879, 0.22313 ])
    """

    name: ClassVar[str] = "exponential_decay"
    k: Number = number(0.001, 0.0)

    def formula(self, t: Any, T: Any, m: Any) -> Factor:
        return m.exp(-self.k * t)

    @property
    def decay(self) -> float:
        return geometric(float(np.exp(-np.min(self.k))))
