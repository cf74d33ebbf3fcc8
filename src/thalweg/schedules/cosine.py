"""Along half a cosine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from .base import Factor, Schedule
from .fields import Number, number
from .vocabulary import Text


@dataclass(frozen=True, eq=False)
class Cosine(Schedule):
    """η_t = η·(end + (1 − end)(1 + cos(πt/T))/2): along half a cosine.

    Args:
        end: the factor at the last step; 0 by default.

    torch's eta_min is a rate and not a share of one.

    >>> Cosine().factor(range(5), 4).round(4)
    array([1.    , 0.8536, 0.5   , 0.1464, 0.    ])

    Source: Loshchilov & Hutter 2017, eq. 5.
    """

    name: ClassVar[str] = "cosine"
    counterpart: ClassVar[str] = "CosineAnnealingLR"
    end: Number = number(0.0, 0.0, 1.0)

    def formula(self, t: Any, T: Any, m: Any) -> Factor:
        return self.end + (1 - self.end) * ((1 + m.cos(m.pi * t / T)) / 2)

    def torch_arguments(self, T: Text) -> Mapping[str, Any] | None:
        return {"T_max": T} if self.end == 0 else None
