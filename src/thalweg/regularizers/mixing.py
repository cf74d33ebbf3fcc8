"""Batches in which every sample is made of two: MixUp and CutMix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from ..arguments import number
from ..errors import PlanError
from ..losses.fit import dtype
from ..samples import Samples, is_tree, leaves
from .base import Lines, Loss, Mixed, Regularizer, Tensors, criterion
from .noise import OnBatch, real_inputs


@dataclass(frozen=True)
class _Mixing(OnBatch):
    """A share λ ~ Beta(α, α) for the batch, and a partner for every sample.

    Targets that are numbers or probabilities come mixed; class ids come as `Mixed`, which `criterion` makes a loss
    take and ``.probabilities(classes)`` turns into probabilities.

    λ is the inverse distribution function of one uniform number, so that members with another α, which share
    that number, mix alike where their α agree.
    """

    alpha: float
    exclusive: ClassVar[str] = "mixes"

    def fits(self, loss: Loss | None, batch: Samples) -> None:
        if is_tree(batch.inputs):
            raise PlanError(
                "{label} mixes inputs that are one tensor, and here they are {count} in one {kind}; leave it "
                "out, or mix the samples in your Dataset.",
                label=self.label,
                count=len(leaves(batch.inputs)),
                kind=type(batch.inputs).__name__,
            )
        super().fits(loss, batch)

    def draw(self, generator: torch.Generator, inputs: Tensor, weights: Sequence[Tensor]) -> Tensors:
        uniform = torch.rand(3, generator=generator, dtype=torch.float64)  # λ, and the middle of the box
        return uniform, torch.randperm(len(inputs), generator=generator)

    def amounts(self, strengths: np.ndarray, draws: Tensors, inputs: Tensor) -> np.ndarray:
        """λ ~ Beta(α, α) of each member, all at one quantile."""
        from scipy.special import betaincinv  # which takes longer to import than all of this room

        return betaincinv(strengths, strengths, draws[0][0].item())

    @staticmethod
    def criterion(loss: Loss) -> Loss:
        """The loss, able to take mixed class ids: λ loss(outputs, first) + (1 − λ) loss(outputs, second)."""
        return criterion(loss, (), ())

    def lines(self) -> Lines:
        return Lines(
            setup=f"mix = tw.regularizers.get({self.label!r})",
            batch="inputs, targets = mix(inputs, targets, seed=SEED, step=step)",
            criterion="mix.criterion({})",
        )


@dataclass(frozen=True)
class MixUp(_Mixing):
    """x ← λx + (1 − λ)x′, and the same for targets, with λ ~ Beta(α, α) (Zhang et al. 2018, eq. 1).

    Args:
        alpha: small: nearly one of the two; 1: every λ alike; 0.2 as in the paper on ImageNet.

    >>> inputs, targets = MixUp(1.0)(torch.eye(2), torch.tensor([0, 1]), seed=1, step=4)
    >>> inputs, targets.probabilities(2)
    (tensor([[1., 0.],
            [0., 1.]]), tensor([[1., 0.],
            [0., 1.]]))
    """

    alpha: float = number(0.2, 0, above=True)
    name: ClassVar[str] = "mixup"

    def check(self, loss: Loss | None, inputs: Tensor, targets: Tensor) -> None:
        real_inputs(self, inputs)
        _mixable(self, targets)

    def batch(self, inputs: Tensor, targets: Any, draws: Tensors, amounts: Tensors) -> tuple[Tensor, Any]:
        share, partner = amounts[0], draws[1]
        return share * inputs + (1 - share) * inputs[partner], _mix(targets, partner, share)


@dataclass(frozen=True)
class CutMix(_Mixing):
    """A box of the image comes from another sample, and targets are mixed by what area is left.

    λ ~ Beta(α, α); the box has sides ⌊W√(1−λ)⌋ and ⌊H√(1−λ)⌋ around a uniform middle and is clipped to the
    image; then λ ← 1 − area/(HW), exactly (Yun et al. 2019, eq. 1 and 2).

    Args:
        alpha: 1 by default, as in the paper.

    >>> images = torch.arange(2.0).reshape(2, 1, 1, 1).expand(2, 1, 4, 4)
    >>> inputs, targets = CutMix(1.0)(images, torch.tensor([0, 1]), seed=1, step=4)
    >>> inputs[0, 0], targets.probabilities(2)[0]
    (tensor([[0., 0., 0., 0.],
            [0., 0., 0., 0.],
            [0., 1., 1., 1.],
            [0., 1., 1., 1.]]), tensor([0.6250, 0.3750]))
    """

    alpha: float = number(1.0, 0, above=True)
    name: ClassVar[str] = "cutmix"

    def check(self, loss: Loss | None, inputs: Tensor, targets: Tensor) -> None:
        images(self, inputs)
        _mixable(self, targets)

    def amounts(self, strengths: np.ndarray, draws: Tensors, inputs: Tensor) -> np.ndarray:
        """(members, 5): λ after clipping, and top, bottom, left and right of the box."""
        size = np.array(inputs.shape[-2:])
        shares = super().amounts(strengths, draws, inputs)  # (members, 1)
        sides = np.floor(size * np.sqrt(1 - shares))
        middle = np.floor(size * draws[0][1:].numpy())
        low = np.clip(middle - sides // 2, 0, size)
        high = np.clip(middle - sides // 2 + sides, 0, size)
        share = 1 - (high - low).prod(axis=1) / size.prod()
        return np.stack([share, low[:, 0], high[:, 0], low[:, 1], high[:, 1]], axis=1)

    def batch(self, inputs: Tensor, targets: Any, draws: Tensors, amounts: Tensors) -> tuple[Tensor, Any]:
        share, top, bottom, left, right = amounts
        rows, columns = (torch.arange(n, dtype=share.dtype, device=inputs.device) for n in inputs.shape[-2:])
        inside = ((rows >= top) & (rows < bottom))[:, None] & (columns >= left) & (columns < right)
        return torch.where(inside, inputs[draws[1]], inputs), _mix(targets, draws[1], share)


def _mix(targets: Tensor, partner: Tensor, share: Tensor) -> Any:
    if targets.is_floating_point():
        return share * targets + (1 - share) * targets[partner]
    return Mixed(targets, targets[partner], share)


def _mixable(regularizer: Regularizer, targets: Tensor) -> None:
    if not isinstance(targets, Tensor) or targets.is_complex() or targets.dtype == torch.bool or not targets.ndim:
        what = dtype(targets) if isinstance(targets, Tensor) else type(targets).__name__
        raise PlanError(
            f"{regularizer.label} mixes targets that are class ids, numbers or probabilities, one row for each "
            f"sample, and these are {what}; convert them, or leave it out."
        )


def images(regularizer: Regularizer, inputs: Tensor) -> None:
    """Refuse what is not (samples, channels, height, width)."""
    if inputs.ndim != 4 or not inputs.is_floating_point():
        raise PlanError(
            "{regularizer} needs images of shape (samples, channels, height, width) in floats, and the "
            "inputs are {dtype} of shape {shape}; reshape them, or leave it out.",
            regularizer=regularizer.label,
            dtype=dtype(inputs),
            shape=("samples", *inputs.shape[1:]),
        )
