"""How a hyperparameter changes over a run: a factor for every step, written once.

A schedule is a pure function of the step (counted from 0) and of the total; the population multiplies a
member's rate by it, and `torch` hands the same schedule to a plain PyTorch optimizer.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from .errors import PlanError, unknown

if TYPE_CHECKING:
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler


class Schedule(ABC):
    """A factor on a hyperparameter, as a function of the step."""

    name: ClassVar[str]

    @abstractmethod
    def factor(self, step: np.ndarray, total: int) -> np.ndarray:
        """The factor at each step (counted from 0) of a run of `total` steps; float64, shaped like `step`."""

    @abstractmethod
    def code(self) -> str:
        """The same schedule as a torch.optim.lr_scheduler expression in `optimizer` and `total_steps`."""

    def torch(self, optimizer: Optimizer, total_steps: int) -> LRScheduler:
        """The same schedule for a torch optimizer; call its `step()` after every `optimizer.step()`."""
        from torch.optim import lr_scheduler

        scope: dict[str, Any] = {
            "lr_scheduler": lr_scheduler,
            "optimizer": optimizer,
            "total_steps": total_steps,
        }
        return eval(self.code(), scope)


@dataclass(frozen=True)
class Constant(Schedule):
    """η_t = η.

    >>> Constant().factor(np.arange(3), 3)
    array([1., 1., 1.])
    """

    name: ClassVar[str] = "constant"

    def factor(self, step: np.ndarray, total: int) -> np.ndarray:
        return np.ones(np.shape(step))

    def code(self) -> str:
        return "lr_scheduler.ConstantLR(optimizer, factor=1.0, total_iters=total_steps)"


@dataclass(frozen=True)
class Cosine(Schedule):
    """η_t = η (1 + cos(π t / T)) / 2: from η to 0 along half a cosine (Loshchilov & Hutter 2017, eq. 5).

    >>> Cosine().factor(np.arange(5), 4).round(4)
    array([1.    , 0.8536, 0.5   , 0.1464, 0.    ])
    """

    name: ClassVar[str] = "cosine"

    def factor(self, step: np.ndarray, total: int) -> np.ndarray:
        return (1 + np.cos(np.pi * np.asarray(step) / total)) / 2

    def code(self) -> str:
        return "lr_scheduler.CosineAnnealingLR(optimizer, T_max=total_steps)"


@dataclass(frozen=True)
class Linear(Schedule):
    """η_t = η (1 − t / T): from η to 0 along a line.

    >>> Linear().factor(np.arange(5), 4)
    array([1.  , 0.75, 0.5 , 0.25, 0.  ])
    """

    name: ClassVar[str] = "linear"

    def factor(self, step: np.ndarray, total: int) -> np.ndarray:
        return 1 - np.asarray(step) / total

    def code(self) -> str:
        return "lr_scheduler.LinearLR(optimizer, start_factor=1.0, end_factor=0.0, total_iters=total_steps)"


SCHEDULES: dict[str, Schedule] = {s.name: s for s in (Constant(), Cosine(), Linear())}


def names() -> list[str]:
    return list(SCHEDULES)


def get(name: str | Schedule) -> Schedule:
    """The schedule of that name.

    >>> get("cosine")
    Cosine()
    """
    if isinstance(name, Schedule):
        return name
    if name not in SCHEDULES:
        raise PlanError(unknown("schedule", str(name), SCHEDULES))
    return SCHEDULES[name]
