"""The rate in stairs: a factor γ every so many steps, or at chosen ones."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from .base import Factor, Schedule, steps_of
from .fields import Length, Number, length, milestones, positive


def geometric(gamma: Number) -> float:
    """The decay of γⁿ: faster than any power, unless γ is 1 or more."""
    return math.inf if np.max(gamma) < 1 else 0.0 if np.max(gamma) == 1 else -math.inf


class Stairs(Schedule):  # not a dataclass: the steps of a stair have a name of their own in each
    """η_t = η·γ^⌊t/width⌋; `width` names the field with the steps of one stair."""

    counterpart: ClassVar[str] = "StepLR"
    multiplies: ClassVar[bool] = True
    width: ClassVar[str]
    gamma: Number

    def formula(self, t: Any, T: Any, m: Any) -> Factor:
        return self.gamma ** (t // steps_of(getattr(self, self.width), T, m))

    @property
    def decay(self) -> float:
        return geometric(self.gamma)


@dataclass(frozen=True, eq=False)
class Step(Stairs):
    """η_t = η·γ^⌊t/size⌋: down by γ every `size` steps.

    Args:
        size: steps of one stair, or a share of the run; 0.3 of it by default.
        gamma: γ; 0.1 as in torch.

    >>> Step(size=2, gamma=0.5).factor(range(5))
    array([1.  , 1.  , 0.5 , 0.5 , 0.25])
    """

    name: ClassVar[str] = "step"
    width: ClassVar[str] = "size"
    elsewhere: ClassVar[Mapping[str, str]] = {"step_size": "size"}
    size: Length = length(0.3)
    gamma: Number = positive(0.1)


@dataclass(frozen=True, eq=False)
class StepDecay(Stairs):
    """η_t = η·γ^⌊t/every⌋ with γ = ½: half every few epochs.

    Args:
        every: steps (epochs × steps per epoch), or a share of the run; a quarter by default.
        gamma: γ.

    >>> StepDecay(every=2).factor(range(5))
    array([1.  , 1.  , 0.5 , 0.5 , 0.25])
    """

    name: ClassVar[str] = "step_decay"
    width: ClassVar[str] = "every"
    elsewhere: ClassVar[Mapping[str, str]] = {"step_size": "every"}
    every: Length = length(0.25)
    gamma: Number = positive(0.5)


@dataclass(frozen=True, eq=False)
class MultiStep(Schedule):
    """η_t = η·γ^(milestones passed): down by γ at chosen steps.

    Args:
        milestones: whole steps, or epochs, in rising order, e.g. (300, 800) or (30 epochs, 80 epochs).
        gamma: γ; 0.1 as in torch.

    >>> MultiStep((1, 3), gamma=0.5).factor(range(5))
    array([1.  , 0.5 , 0.5 , 0.25, 0.25])
    """

    name: ClassVar[str] = "multistep"
    needs: ClassVar[str] = "multistep(milestones=(30, 80))"
    counterpart: ClassVar[str] = "MultiStepLR"
    multiplies: ClassVar[bool] = True
    exponent: ClassVar[float] = 0.0  # after the last milestone
    milestones: tuple[Any, ...] = milestones()
    gamma: Number = positive(0.1)

    def formula(self, t: Any, T: Any, m: Any) -> Factor:
        return self.gamma ** m.passed([steps_of(one, T, m) for one in self.milestones], t)
