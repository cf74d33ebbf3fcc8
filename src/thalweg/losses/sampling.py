"""Losses on targets that are drawn from a model's own outputs: the square of their gradient estimates curvature.

Where a loss is the mean of −log p(target), the square of the gradient of Σ √aᵢ lᵢ(ŷᵢ) has the diagonal of the
Gauss–Newton matrix of the loss for its mean, where ŷᵢ is drawn from p and aᵢ is how much value i counts in the mean
(Gauss–Newton–Bartlett, Liu et al. 2023, section 2.3; there all aᵢ are 1/B, and the square is Bĝ² of the mean loss).

A recipe prints these functions as they are, so they need nothing but torch. The numbers that they draw are PyTorch's
own, which a population records and replays like those of a model's dropout (`population/draws.py`).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def apart(targets: Any) -> tuple[Any, Tensor | None]:
    """Targets and the weights of samples, if they have any; of targets that are two each, with a share, the first."""
    first, *others = targets if isinstance(targets, tuple) else (targets,)
    return first, others[0] if len(others) == 1 else None


def estimating(values: Tensor, counts: Tensor, weights: Tensor | None) -> Tensor:
    """The sum of the values, each times the root of its share in the mean."""
    if weights is not None:
        counts = counts * weights.reshape(-1, *[1] * (counts.dim() - 1))
    return (values * (counts / counts.sum()).sqrt()).sum()


def sampled_cross_entropy(outputs: Tensor, targets: Any, axis: int | None = None, ignore_index: int = -100) -> Tensor:
    """The cross-entropy on class ids that are drawn from the softmax of the outputs."""
    targets, weights = apart(targets)
    if axis is None:
        axis = -1 if outputs.dim() > 2 and targets.shape == outputs.shape[:-1] else 1
    scores = outputs.movedim(axis, -1)
    noise = torch.rand_like(scores.detach(), dtype=torch.promote_types(scores.dtype, torch.float32))
    drawn = (scores.detach() - (-noise.log()).log()).argmax(-1)
    values = torch.nn.functional.cross_entropy(scores.flatten(0, -2), drawn.flatten(), reduction="none")
    values = values.reshape(drawn.shape)
    counts = torch.ones_like(values)
    if not targets.is_floating_point():
        counts = counts * (targets != ignore_index)
    return estimating(values, counts, weights)


def sampled_bce(outputs: Tensor, targets: Any) -> Tensor:
    """The cross-entropy of yes and no on answers that are drawn from the sigmoid of the outputs."""
    chances = outputs.detach().sigmoid()
    noise = torch.rand_like(chances, dtype=torch.promote_types(chances.dtype, torch.float32))
    drawn = (noise < chances).to(outputs.dtype)
    values = torch.nn.functional.binary_cross_entropy_with_logits(outputs, drawn, reduction="none")
    return estimating(values, torch.ones_like(values), apart(targets)[1])


def sampled_mse(outputs: Tensor, targets: Any) -> Tensor:
    """The squared error from numbers that are drawn around the outputs, of variance 1/2 as exp(−(x − y)²) has it."""
    drawn = outputs.detach() + torch.randn_like(outputs.detach()) * 0.5**0.5
    values = (outputs - drawn) ** 2
    return estimating(values, torch.ones_like(values), apart(targets)[1])
