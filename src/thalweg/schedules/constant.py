"""The same rate at every step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from ..arguments import optional
from .base import Factor, Schedule, steps_of
from .fields import Length, Number, length, positive
from .vocabulary import PYTHON, Text


@dataclass(frozen=True, eq=False)
class Constant(Schedule):
    """η_t = c·η: the rate unchanged, or a multiple of it for the first steps.

    Args:
        scale: c; 1 by default, which changes nothing.
        steps: how long, until the rate is η again; to the end unless given.

    >>> Constant().factor(range(3))
    array([1., 1., 1.])
    >>> Constant(0.5, steps=2).factor(range(4))
    array([0.5, 0.5, 1. , 1. ])
    """

    name: ClassVar[str] = "constant"
    counterpart: ClassVar[str] = "ConstantLR"
    multiplies: ClassVar[bool] = True
    exponent: ClassVar[float] = 0.0
    elsewhere: ClassVar[Mapping[str, str]] = {"factor": "scale", "total_iters": "steps"}
    scale: Number = positive(1.0)
    steps: Length | None = optional(length())

    def formula(self, t: Any, T: Any, m: Any) -> Factor:
        if self.steps is None:
            return self.scale
        return m.where(t < steps_of(self.steps, T, m), self.scale, 1.0)

    def on(self, hyperparameters: Iterable[str]) -> Mapping[str, Schedule]:
        return {} if self == Constant() else {"lr": self}

    def torch_arguments(self, T: Text) -> Mapping[str, Any] | None:
        if isinstance(self.scale, tuple) or self.scale > 1:  # torch refuses it
            return None
        if self.steps is None and self.scale != 1:
            return None  # which in torch would end
        return {"factor": self.scale, "total_iters": T if self.steps is None else steps_of(self.steps, T, PYTHON)}
