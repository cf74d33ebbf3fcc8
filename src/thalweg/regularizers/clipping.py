"""Bounds on the gradient, each member's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from ..arguments import number
from .base import Lines, Regularizer, Tensors


@dataclass(frozen=True)
class ClipNorm(Regularizer):
    """g ← g · min(1, c / (‖g‖ + 1e-6)), ‖g‖ over all weights (Pascanu, Mikolov & Bengio 2013, Algorithm 1).

    The same as ``torch.nn.utils.clip_grad_norm_``.

    Args:
        max_norm: c; 1 by default.

    >>> weight = torch.nn.Parameter(torch.zeros(2))
    >>> weight.grad = torch.tensor([3.0, 4.0])
    >>> ClipNorm(1.0)([weight]); weight.grad
    tensor([0.6000, 0.8000])
    """

    max_norm: float = number(1.0, 0, above=True)
    name: ClassVar[str] = "clip_norm"

    def gradient(self, gradients: Tensors, amounts: Tensors) -> Tensors:
        norm = torch.stack([torch.linalg.vector_norm(g) for g in gradients]).norm()
        factor = (amounts[0] / (norm + 1e-6)).clamp(max=1.0)
        return tuple(g * factor for g in gradients)

    def __call__(self, parameters: nn.Module | list[nn.Parameter]) -> None:
        """Scale the gradients of a model, or of parameters, in place."""
        nn.utils.clip_grad_norm_(_parameters(parameters), self.max_norm)

    def lines(self) -> Lines:
        return Lines(gradient=f"torch.nn.utils.clip_grad_norm_(model.parameters(), {self.max_norm!r})")


@dataclass(frozen=True)
class ClipValue(Regularizer):
    """g ← max(−c, min(g, c)), element by element; the same as ``torch.nn.utils.clip_grad_value_``.

    Args:
        max_value: c; 1 by default.

    >>> weight = torch.nn.Parameter(torch.zeros(2))
    >>> weight.grad = torch.tensor([3.0, -0.5])
    >>> ClipValue(1.0)([weight]); weight.grad
    tensor([ 1.0000, -0.5000])
    """

    max_value: float = number(1.0, 0, above=True)
    name: ClassVar[str] = "clip_value"

    def gradient(self, gradients: Tensors, amounts: Tensors) -> Tensors:
        return tuple(torch.clamp(g, -amounts[0], amounts[0]) for g in gradients)

    def __call__(self, parameters: nn.Module | list[nn.Parameter]) -> None:
        """Bound the gradients of a model, or of parameters, in place."""
        nn.utils.clip_grad_value_(_parameters(parameters), self.max_value)

    def lines(self) -> Lines:
        return Lines(gradient=f"torch.nn.utils.clip_grad_value_(model.parameters(), {self.max_value!r})")


def _parameters(source: nn.Module | list[nn.Parameter]) -> list[Tensor]:
    return list(source.parameters()) if isinstance(source, nn.Module) else list(source)
