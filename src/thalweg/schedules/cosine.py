"""Along a cosine, once or with warm restarts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from .base import Factor, Schedule, steps_of
from .fields import Length, Number, count, length, number
from .vocabulary import PYTHON, Text


@dataclass(frozen=True, eq=False)
class Cosine(Schedule):
    """η_t = η·(end + (1 − end)(1 + cos(πt/T))/2): along half a cosine.

    Args:
        end: the factor at the last step; 0 by default.

    torch: CosineAnnealingLR, whose eta_min is a rate and not a share of one.

    >>> Cosine().factor(range(5), 4).round(4)
    array([1.    , 0.8536, 0.5   , 0.1464, 0.    ])

    Source: Loshchilov & Hutter 2017, eq. 5.
    """

    name: ClassVar[str] = "cosine"
    end: Number = number(0.0, 0.0, 1.0)

    def formula(self, t: Any, T: Any, m: Any) -> Factor:
        return self.end + (1 - self.end) * ((1 + m.cos(m.pi * t / T)) / 2)

    @property
    def decay(self) -> None:
        return None

    def own_class(self, T: Text) -> str | None:
        return f"lr_scheduler.CosineAnnealingLR(optimizer, T_max={T})" if self.end == 0 else None


@dataclass(frozen=True, eq=False)
class WarmRestarts(Schedule):
    """η_t = η·(end + (1 − end)(1 + cos(πτ/Tᵢ))/2), τ since the last restart: back to η after T₀, T₀·Tₘ, … steps.

    Args:
        T_0: steps until the first restart, or a share of the run; a quarter by default.
        T_mult: each cycle is so many times as long as the one before.
        end: the factor at the end of a cycle.

    torch: CosineAnnealingWarmRestarts.

    >>> WarmRestarts(2, T_mult=2).factor(range(7)).round(4)
    array([1.    , 0.5   , 1.    , 0.8536, 0.5   , 0.1464, 1.    ])

    Source: Loshchilov & Hutter 2017, eq. 5.
    """

    name: ClassVar[str] = "cosine_restarts"
    restarts: ClassVar[bool] = False
    T_0: Length = length(0.25)
    T_mult: int = count(1)
    end: Number = number(0.0, 0.0, 1.0)

    def formula(self, t: Any, T: Any, m: Any) -> Factor:
        first, k = steps_of(self.T_0, T, m), self.T_mult
        if k == 1:
            share = t % first / first
        else:
            # 1e-9: a restart is a whole power, which rounding may put just below itself.
            cycle = m.floor(m.log(t / first * (k - 1) + 1) / math.log(k) + 1e-9)
            share = (t - first * (k**cycle - 1) / (k - 1)) / (first * k**cycle)
        return self.end + (1 - self.end) * ((1 + m.cos(m.pi * share)) / 2)

    @property
    def decay(self) -> float:
        return 0.0

    def own_class(self, T: Text) -> str | None:
        if self.end != 0:
            return None
        T_0 = steps_of(self.T_0, T, PYTHON)
        return f"lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0={T_0}, T_mult={self.T_mult})"
