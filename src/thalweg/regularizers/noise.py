"""Gaussian noise on what the model is given, and on the weights while its gradient is taken."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ..arguments import number
from ..errors import PlanError
from ..losses.fit import dtype
from ..samples import Samples, Tree, changed, is_tree, leaves, measured
from .base import Lines, Loss, Regularizer, Tensors
from .penalties import trainable


class OnBatch(Regularizer):
    """A regularizer that changes the batch, and is called with it in a plain loop.

    Of inputs that are a tree of tensors it changes the one of floats.
    """

    def __call__(self, inputs: Tree, targets: Any, *, seed: int, step: int = 0) -> tuple[Tree, Any]:
        """The batch as it is trained on; `step` counts from 0."""
        self.fits(None, Samples(inputs, targets))
        tensor = measured(inputs)
        draws = self.draws(seed, step, tensor)
        amounts = self.alone(draws, tensor)
        return self.on_batch(inputs, targets, tuple(d.to(tensor.device) for d in draws), amounts)

    def fits(self, loss: Loss | None, batch: Samples) -> None:
        floats = sum(t.is_floating_point() for t in leaves(batch.inputs))
        if is_tree(batch.inputs) and floats != 1:
            raise PlanError(
                f"{self.label} changes one tensor of floats, and the inputs hold {floats}; leave it out, or change the "
                "samples in your Dataset."
            )
        super().fits(loss, batch)

    def on_batch(self, inputs: Tree, targets: Any, draws: Tensors, amounts: Tensors) -> tuple[Tree, Any]:
        tensor, targets = self.batch(measured(inputs), targets, draws, amounts)
        return changed(inputs, tensor), targets

    def lines(self) -> Lines:
        return Lines(
            setup=f"{self.name} = tw.regularizers.get({self.label!r})",
            batch=f"inputs, targets = {self.name}(inputs, targets, seed=SEED, step=step)",
        )


@dataclass(frozen=True)
class InputNoise(OnBatch):
    """x ← x + σε, with ε ~ N(0, 1) for each number of each sample; in training alone.

    To second order the same as a penalty on the slope of the outputs (Bishop 1995, eq. 16).

    Args:
        sigma: in units of the inputs; 0.1 suits inputs of standard deviation 1.

    >>> inputs, targets = InputNoise(0.5)(torch.zeros(1, 3), torch.zeros(1), seed=0, step=0)
    >>> inputs
    tensor([[ 0.4296, -0.0020,  0.3930]])
    """

    sigma: float = number(0.1, 0)
    name: ClassVar[str] = "input_noise"

    def check(self, loss: Loss | None, inputs: Tensor, targets: Tensor) -> None:
        real_inputs(self, inputs)

    def draw(self, generator: torch.Generator, inputs: Tensor, weights: Sequence[Tensor]) -> Tensors:
        return (torch.randn(inputs.shape, generator=generator, dtype=inputs.dtype),)

    def batch(self, inputs: Tensor, targets: Any, draws: Tensors, amounts: Tensors) -> tuple[Tensor, Any]:
        return inputs + amounts[0] * draws[0], targets


@dataclass(frozen=True)
class WeightNoise(Regularizer):
    """The gradient is taken at w + σε, with ε ~ N(0, 1) for each weight, and moves w.

    It prefers weights around which the loss is flat (Jim, Giles & Horne 1996; Graves 2011).

    Args:
        sigma: in units of the weights.

    >>> from torch import nn
    >>> model = nn.Linear(1, 1, bias=False)
    >>> _ = nn.init.zeros_(model.weight)
    >>> with WeightNoise(0.5).applied(model, seed=0, step=0):
    ...     print(round(model.weight.item(), 4))
    0.6194
    >>> model.weight.item()
    0.0
    """

    sigma: float = number(0.01, 0)
    name: ClassVar[str] = "weight_noise"

    def draw(self, generator: torch.Generator, inputs: Tensor, weights: Sequence[Tensor]) -> Tensors:
        return tuple(torch.randn(w.shape, generator=generator, dtype=w.dtype) for w in weights)

    def point(self, weights: Tensors, draws: Tensors, amounts: Tensors) -> Tensors:
        return tuple(w + amounts[0] * noise for w, noise in zip(weights, draws, strict=True))

    @contextmanager
    def applied(self, model: nn.Module, *, seed: int, step: int = 0) -> Iterator[None]:
        """The model's weights with noise while inside; the same weights afterwards, to the bit."""
        weights = trainable(model)
        before = [w.detach().clone() for w in weights]
        draws = tuple(d.to(w.device) for d, w in zip(self.draws(seed, step, before[0], before), before, strict=True))
        noisy = self.point(tuple(before), draws, self.alone((), before[0]))
        _set(weights, noisy)
        try:
            yield
        finally:
            _set(weights, before)

    def lines(self) -> Lines:
        return Lines(
            setup=f"weight_noise = tw.regularizers.WeightNoise({self.sigma!r})",
            point="with weight_noise.applied(model, seed=SEED, step=step):",
        )


def _set(weights: Sequence[Tensor], values: Sequence[Tensor]) -> None:
    with torch.no_grad():
        for w, value in zip(weights, values, strict=True):
            w.copy_(value)


def real_inputs(regularizer: Regularizer, inputs: Tensor) -> None:
    """Refuse ids, which have no values in between."""
    if not inputs.is_floating_point():
        raise PlanError(
            "{regularizer} needs inputs that are real numbers, and these are {dtype}; leave it out, or "
            "convert them to floats.",
            regularizer=regularizer.label,
            dtype=dtype(inputs),
        )
