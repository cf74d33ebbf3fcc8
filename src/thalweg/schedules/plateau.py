"""The rate reduced when the loss stops falling: a closed loop, which remembers and needs the loss.

Its state is a row of numbers for each value it controls, (members,), so that a population's members each have
their own, and a checkpoint can hold it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..arguments import choice, whole
from ..errors import PlanError
from ..language import mark
from .base import RobbinsMonro, Schedule
from .fields import number


@dataclass(frozen=True, eq=False)
class Plateau(Schedule):
    """η ← γη when the validation loss has not fallen for more than `patience` passes over the data.

    Args:
        gamma: γ; 0.1 as in torch, where it is called factor.
        patience: passes without improvement that are let go by; 10 as in torch.
        threshold, threshold_mode: what counts as improvement: below best·(1 − threshold) with rel, below
            best − threshold with abs.
        cooldown: passes after a reduction in which none are counted.
        min_lr: the lowest value.
        eps: reductions smaller than this are not made.

    In a loop of your own: ``scheduler = schedule.torch(optimizer, total_steps)``, and
    ``scheduler.step(loss)`` after each pass.

    >>> plateau = Plateau(patience=0)
    >>> state = plateau.start(np.array([0.3]))
    >>> for loss in (1.0, 0.9, 0.9):
    ...     state = plateau.observe(state, np.array([loss]))
    >>> state[0].round(4)
    array([0.03])
    """

    name: ClassVar[str] = "plateau"
    counterpart: ClassVar[str] = "ReduceLROnPlateau"
    elsewhere: ClassVar[Mapping[str, str]] = {"factor": "gamma"}
    closed: ClassVar[bool] = True
    exponent: ClassVar[float] = math.nan
    gamma: float = number(0.1, 0.0, 1.0, above=True)
    patience: int = whole(10, 0, unit="passes")
    threshold: float = number(1e-4, 0.0)
    threshold_mode: str = choice("rel", "abs")
    cooldown: int = whole(0, 0, unit="passes")
    min_lr: float = number(0.0, 0.0)
    eps: float = number(1e-8, 0.0)

    def formula(self, t: Any, T: Any, m: Any) -> Any:
        raise PlanError(
            "{label} follows the validation loss, and none is at hand here; use it in a study, or hand "
            "it to an optimizer with schedule.torch(optimizer, total_steps) and call step(loss) after "
            "each pass over the data.",
            label=self.label,
        )

    def start(self, base: np.ndarray) -> np.ndarray:
        """The state before any loss is known, (4, members): value, best loss, bad passes, passes of cooldown left."""
        base = np.asarray(base, dtype=np.float64)
        return np.stack([base, np.full_like(base, math.inf), np.zeros_like(base), np.zeros_like(base)])

    def observe(self, state: np.ndarray, loss: np.ndarray) -> np.ndarray:
        """The state after a pass over the data that ended with this validation loss, (members,)."""
        value, best, bad, cooling = state
        target = best * (1 - self.threshold) if self.threshold_mode == "rel" else best - self.threshold
        better = loss < target
        best, bad = np.where(better, loss, best), np.where(better, 0, bad + 1)
        bad, cooling = np.where(cooling > 0, 0, bad), np.maximum(cooling - 1, 0)
        reduce = bad > self.patience
        lower = np.maximum(value * self.gamma, self.min_lr)
        value = np.where(reduce & (value - lower > self.eps), lower, value)
        return np.stack([value, best, np.where(reduce, 0, bad), np.where(reduce, self.cooldown, cooling)])

    @property
    def robbins_monro(self) -> RobbinsMonro:
        unknown = mark("depends on how often the loss stops falling, which cannot be known beforehand")
        return RobbinsMonro(None, None, unknown)
