"""Functions of your own: a factor for each step, or a factor from each step to the next."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..errors import PlanError
from .base import Factor, Schedule
from .fields import function

if TYPE_CHECKING:
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler


@dataclass(frozen=True, eq=False)
class _Function(Schedule):
    """What both have in common: the function is called with one whole step at a time."""

    exponent: ClassVar[float] = math.nan
    function: Callable[[int], float] = function()

    @property
    def writable(self) -> bool:
        return False

    def values(self, steps: np.ndarray) -> np.ndarray:
        """The function at each step, checked."""
        factors = np.array([float(self.function(int(step))) for step in steps], dtype=np.float64)
        if not np.isfinite(factors).all():
            bad = int(steps[~np.isfinite(factors)][0])
            raise PlanError(
                "{label} gives {function} at step {bad}; a factor must be a finite number.",
                label=self.label,
                function=repr(self.function(bad)),
                bad=bad,
            )
        return factors

    def scheduler(self, optimizer: Optimizer, total: int, hyperparameter: str) -> LRScheduler:
        from torch.optim import lr_scheduler

        if hyperparameter != "lr":
            return super().scheduler(optimizer, total, hyperparameter)
        return getattr(lr_scheduler, self.counterpart)(optimizer, self.function)


@dataclass(frozen=True, eq=False)
class Lambda(_Function):
    """η_t = f(t)·η for a function f of your own, of the step counted from 0.

    >>> Lambda(lambda step: 0.5**step).factor(range(4))
    array([1.   , 0.5  , 0.25 , 0.125])
    """

    name: ClassVar[str] = "lambda"
    counterpart: ClassVar[str] = "LambdaLR"
    sample: ClassVar[Callable[[int], float]] = lambda step: 0.97**step

    def formula(self, t: Any, T: Any, m: Any) -> Factor:
        unique, places = np.unique(np.asarray(t), return_inverse=True)
        return self.values(np.maximum(unique, 0))[places].reshape(np.shape(t))


@dataclass(frozen=True, eq=False)
class Multiplicative(_Function):
    """η_t = f(1)·f(2)⋯f(t)·η: each step multiplies the rate before it by a function of your own.

    >>> Multiplicative(lambda step: 0.5).factor(range(4))
    array([1.   , 0.5  , 0.25 , 0.125])
    """

    name: ClassVar[str] = "multiplicative"
    counterpart: ClassVar[str] = "MultiplicativeLR"
    sample: ClassVar[Callable[[int], float]] = lambda step: 0.97
    restarts: ClassVar[bool] = False
    multiplies: ClassVar[bool] = True

    def formula(self, t: Any, T: Any, m: Any) -> Factor:
        steps = np.maximum(np.asarray(t), 0).astype(int)
        product = np.cumprod([1.0, *self.values(np.arange(1, steps.max(initial=0) + 1))])
        return product[steps]
