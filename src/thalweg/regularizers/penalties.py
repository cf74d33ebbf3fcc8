"""Penalties on the size of the weights, which are added to the loss and so to the gradient."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import ClassVar

from torch import Tensor, nn

from ..arguments import number
from .base import Lines, Regularizer, Tensors


class Penalty(Regularizer):
    """A regularizer that adds a number to the loss."""

    @abstractmethod
    def penalty(self, weights: Tensors, amounts: Tensors) -> Tensor: ...

    def __call__(self, model: nn.Module) -> Tensor:
        """The penalty, a scalar to add to the loss."""
        weights = trainable(model)
        return self.penalty(weights, self.alone((), weights[0]))


@dataclass(frozen=True)
class L2(Penalty):
    """(α/2) ‖W‖², the sum of squares of all trainable weights; its gradient is αw.

    The same as torch.optim's `weight_decay` in SGD; with a rule that rescales its gradient, such as Adam, not
    the same as `DecoupledDecay` (Krogh & Hertz 1991; Loshchilov & Hutter 2019).

    Args:
        alpha: 1e-4 by default, usual for networks on images.

    >>> from torch import nn
    >>> model = nn.Linear(2, 1)
    >>> _ = nn.init.constant_(model.weight, 3.0), nn.init.constant_(model.bias, 1.0)
    >>> L2(0.5)(model)
    tensor(4.7500, grad_fn=<MulBackward0>)
    """

    alpha: float = number(1e-4, 0)
    name: ClassVar[str] = "l2"

    def penalty(self, weights: Tensors, amounts: Tensors) -> Tensor:
        return amounts[0] / 2 * reduce(add, [w.square().sum() for w in weights])

    def lines(self) -> Lines:
        squares = "sum(p.square().sum() for p in model.parameters() if p.requires_grad)"
        return Lines(penalty=f"{self.alpha!r} / 2 * {squares}")


@dataclass(frozen=True)
class L1(Penalty):
    """α ‖W‖₁, the sum of the sizes of all trainable weights; its gradient is α sign(w), 0 at 0.

    It moves weights to zero by equal steps, so that many end near it (Tibshirani 1996).

    Args:
        alpha: 1e-5 by default: the gradient does not shrink with the weights.

    >>> from torch import nn
    >>> model = nn.Linear(2, 1)
    >>> _ = nn.init.constant_(model.weight, -3.0), nn.init.constant_(model.bias, 1.0)
    >>> L1(0.5)(model)
    tensor(3.5000, grad_fn=<MulBackward0>)
    """

    alpha: float = number(1e-5, 0)
    name: ClassVar[str] = "l1"

    def penalty(self, weights: Tensors, amounts: Tensors) -> Tensor:
        return amounts[0] * reduce(add, [w.abs().sum() for w in weights])

    def lines(self) -> Lines:
        sizes = "sum(p.abs().sum() for p in model.parameters() if p.requires_grad)"
        return Lines(penalty=f"{self.alpha!r} * {sizes}")


def trainable(model: nn.Module) -> tuple[nn.Parameter, ...]:
    return tuple(p for p in model.parameters() if p.requires_grad)
