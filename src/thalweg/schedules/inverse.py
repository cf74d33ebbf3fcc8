"""Decay like a power of 1/t, the slowest that still goes to zero."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from .base import Factor, Schedule, steps_of
from .fields import Length, Number, length, number


@dataclass(frozen=True, eq=False)
class OneOverT(Schedule):
    """η_t = η/t, the step counted from 1: stochastic approximation.

    >>> OneOverT().factor(range(4)).round(6)
    array([1.      , 0.5     , 0.333333, 0.25    ])

    Source: Robbins & Monro 1951, section 4.
    """

    name: ClassVar[str] = "one_over_t"
    exponent: ClassVar[float] = 1.0

    def formula(self, t: Any, T: Any, m: Any) -> Factor:
        return 1 / (t + 1)


@dataclass(frozen=True, eq=False)
class InverseTime(Schedule):
    """η_t = η/(1 + kt): 1/t that starts slowly.

    Args:
        k: per step; 0.001 by default, half the rate after 1,000 steps.

    >>> InverseTime(1).factor(range(4)).round(6)
    array([1.      , 0.5     , 0.333333, 0.25    ])
    """

    name: ClassVar[str] = "inverse_time"
    k: Number = number(0.001, 0.0)

    def formula(self, t: Any, T: Any, m: Any) -> Factor:
        return 1 / (1 + self.k * t)

    @property
    def decay(self) -> float:
        return float(np.min(self.k) > 0)


@dataclass(frozen=True, eq=False)
class InverseSqrt(Schedule):
    """η_t = η·min(t/w, √(w/t)), the step counted from 1: up for w steps, then down like 1/√t.

    Args:
        warmup: w, or a share of the run; a tenth by default. The peak is η, where Vaswani et al. have
            d^−½·w^−½ for the width d of their model.

    >>> InverseSqrt(warmup=2).factor(range(4)).round(6)
    array([0.5     , 1.      , 0.816497, 0.707107])

    Source: Vaswani et al. 2017, eq. 3.
    """

    name: ClassVar[str] = "inverse_sqrt"
    exponent: ClassVar[float] = 0.5
    warmup: Length = length(0.1)

    def formula(self, t: Any, T: Any, m: Any) -> Factor:
        w = steps_of(self.warmup, T, m)
        return m.minimum((t + 1) / w, m.sqrt(w / (t + 1)))
