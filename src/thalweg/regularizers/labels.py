"""Targets that are less sure of themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from .. import losses
from ..arguments import number
from ..errors import PlanError
from ..losses import fit
from .base import Lines, Loss, Regularizer, Tensors, criterion, one_hot


@dataclass(frozen=True)
class LabelSmoothing(Regularizer):
    """q ← (1 − ε) q + ε/K: of K classes, the right one keeps 1 − ε + ε/K and each other gets ε/K.

    Equal to ``F.cross_entropy(..., label_smoothing=ε)``; a negative class id is ignored, as there
    (Szegedy et al. 2016, section 7).

    Args:
        epsilon: from 0, nothing, to 1, targets that say nothing; 0.1 as in the paper.

    >>> import torch.nn.functional as F
    >>> scores, classes = torch.tensor([[2.0, 0.0, 0.0]]), torch.tensor([0])
    >>> LabelSmoothing(0.3)(F.cross_entropy)(scores, classes), F.cross_entropy(scores, classes, label_smoothing=0.3)
    (tensor(0.6395), tensor(0.6395))
    """

    epsilon: float = number(0.1, 0, 1)
    name: ClassVar[str] = "label_smoothing"

    def check(self, loss: Loss | None, inputs: Tensor, targets: Tensor) -> None:
        if loss is None:
            return
        if not isinstance(targets, Tensor):
            raise PlanError(
                "{label} spreads classes, and the targets are of type {kind}; leave it out, or give the loss "
                "smoothed targets yourself.",
                label=self.label,
                kind=type(targets).__name__,
            )
        measure = losses.get(loss)
        soft = targets.is_floating_point() and not isinstance(measure, losses.CrossEntropy)
        if soft or not measure.of_classes:
            raise PlanError(
                "{label} spreads classes, and the loss {measure} compares numbers; use it with cross_entropy.",
                label=self.label,
                measure=measure.label,
            )
        if getattr(measure, "axis", None) is not None:
            raise PlanError(
                f"{self.label} finds the classes by their shapes, and {measure.label} says where they are; give "
                "cross_entropy(axis=…, label_smoothing=…) as the loss instead."
            )

    def loss(self, loss: Loss, amounts: Tensors) -> Loss:
        epsilon = amounts[0]

        def smoothed(outputs: Tensor, targets: Any) -> Tensor:
            if targets.is_floating_point():
                return loss(outputs, (1 - epsilon) * targets + epsilon / outputs.shape[1])
            outputs = outputs.movedim(fit.class_axis(self.name, outputs, targets), 1)
            valid = (targets >= 0).to(outputs.dtype)
            sure = one_hot(targets, outputs.shape[1], outputs.dtype)
            q = ((1 - epsilon) * sure + epsilon / outputs.shape[1]) * valid.unsqueeze(1)
            # The mean goes over all targets; that of the valid ones is meant.
            return loss(outputs, q) * (targets.numel() / valid.sum())

        return smoothed

    def __call__(self, loss: Loss) -> Loss:
        """The loss with smoothed labels; it takes the mixed targets of MixUp and CutMix, too."""
        return criterion(loss, (self,), ((torch.tensor(self.epsilon, dtype=torch.float64),),))

    def lines(self) -> Lines:
        return Lines(criterion=f"tw.regularizers.LabelSmoothing({self.epsilon!r})({{}})")
