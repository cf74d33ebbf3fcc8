"""Losses of the residual x − y, elementwise: L1, mean squared error, Huber.

The first two are what Laplace and Gaussian noise make of maximum likelihood (`likelihood.py`); the third
is quadratic near 0 and linear beyond, so that a few wild targets cannot pull the fit away.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor

from . import fit
from .base import FROM_0, Loss, Scale, number
from .sampling import sampled_mse


@dataclass(frozen=True, eq=False)
class _Residual(Loss):
    counterpart: ClassVar[Callable[..., Tensor]]

    def compute(self, outputs: Tensor, targets: Tensor, reduction: str) -> Tensor:
        return type(self).counterpart(outputs, targets, reduction=reduction)

    def fit(self, outputs: Tensor, targets: Tensor, where: str = "") -> None:
        fit.same_shape(self.name, outputs, targets, where)

    def check(self, outputs: Tensor, targets: Tensor, where: str = "") -> None:
        fit.numbers(self.name, targets, where)
        self.fit(outputs, targets, where)


@dataclass(frozen=True, eq=False)
class MSE(_Residual):
    """(x − y)², the squared error, `torch.nn.functional.mse_loss`.

    Outputs and targets of one shape. Minimised by the mean; twice the negative log-likelihood of Gaussian
    noise of scale 1, up to the constant log 2π (Gauss 1809).

    >>> import torch
    >>> MSE()(torch.tensor([1.0, 4.0]), torch.tensor([0.5, 2.0]))
    tensor(2.1250)
    """

    name: ClassVar[str] = "mse"
    scale: ClassVar[Scale] = FROM_0
    likelihood: ClassVar[str] = "Normal"
    counterpart: ClassVar[Callable[..., Tensor]] = F.mse_loss
    sampler: ClassVar[Callable[..., Tensor] | None] = staticmethod(sampled_mse)


@dataclass(frozen=True, eq=False)
class L1(_Residual):
    """|x − y|, the absolute error, `torch.nn.functional.l1_loss`.

    Outputs and targets of one shape. Minimised by the median; the negative log-likelihood of Laplace noise
    of scale 1, up to the constant log 2 (Laplace 1774).

    >>> import torch
    >>> L1()(torch.tensor([1.0, 4.0]), torch.tensor([0.5, 2.0]))
    tensor(1.2500)
    """

    name: ClassVar[str] = "l1"
    scale: ClassVar[Scale] = FROM_0
    likelihood: ClassVar[str] = "Laplace"
    counterpart: ClassVar[Callable[..., Tensor]] = F.l1_loss


@dataclass(frozen=True, eq=False)
class MAE(L1, listed=False):
    """|x − y| under the name it has as a metric.

    >>> import torch
    >>> MAE()(torch.tensor([1.0, 4.0]), torch.tensor([0.5, 2.0]))
    tensor(1.2500)
    """

    name: ClassVar[str] = "mae"


@dataclass(frozen=True, eq=False)
class Huber(_Residual):
    """½ r² where |r| ≤ δ, else δ (|r| − ½ δ), with r = x − y; `torch.nn.functional.huber_loss`.

    Args:
        delta: δ > 0, in units of the targets, where the square turns into a line; 1 as in torch, which
            suits targets of standard deviation near 1. A tensor under vmap: one value per member.

    Raises:
        ProblemError: for δ ≤ 0.

    Huber 1964, "Robust estimation of a location parameter".

    >>> import torch
    >>> Huber(delta=0.5)(torch.tensor([0.25, 4.0]), torch.zeros(2))
    tensor(0.9531)
    """

    name: ClassVar[str] = "huber"
    scale: ClassVar[Scale] = FROM_0
    likelihood: ClassVar[str] = "Normal, with the tails of Laplace"
    counterpart: ClassVar[Callable[..., Tensor]] = F.huber_loss
    delta: float | Tensor = number(1.0, 0.0, above=True)

    def compute(self, outputs: Tensor, targets: Tensor, reduction: str) -> Tensor:
        if isinstance(self.delta, Tensor):  # torch takes a Python number alone, and δ scales out
            return self.delta**2 * F.huber_loss(outputs / self.delta, targets / self.delta, reduction=reduction)
        return F.huber_loss(outputs, targets, reduction=reduction, delta=self.delta)
