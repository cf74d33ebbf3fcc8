"""Along a cosine, again and again: warm restarts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from ..arguments import whole
from .base import Factor, Schedule, steps_of
from .fields import Length, Number, length, number
from .vocabulary import PYTHON, Text


@dataclass(frozen=True, eq=False)
class WarmRestarts(Schedule):
    """η_t = η·(end + (1 − end)(1 + cos(πτ/Tᵢ))/2), τ since the last restart: back to η after T₀, T₀·Tₘ, … steps.

    Args:
        T_0: steps until the first restart, or a share of the run; a quarter by default.
        T_mult: each cycle is so many times as long as the one before.
        end: the factor at the end of a cycle.

    >>> WarmRestarts(2, T_mult=2).factor(range(7)).round(4)
    array([1.    , 0.5   , 1.    , 0.8536, 0.5   , 0.1464, 1.    ])

    Source: Loshchilov & Hutter 2017, eq. 5.
    """

    name: ClassVar[str] = "cosine_restarts"
    counterpart: ClassVar[str] = "CosineAnnealingWarmRestarts"
    restarts: ClassVar[bool] = False
    exponent: ClassVar[float] = 0.0
    T_0: Length = length(0.25)
    T_mult: int = whole(1, 1)
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

    def torch_arguments(self, T: Text) -> Mapping[str, Any] | None:
        return {"T_0": steps_of(self.T_0, T, PYTHON), "T_mult": self.T_mult} if self.end == 0 else None
