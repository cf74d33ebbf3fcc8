"""Cross-entropy with the softmax inside, for class ids and for probabilities."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from ..arguments import declared, whole
from ..errors import ProblemError, UsageError, short
from ..numbers import Range
from . import fit
from .base import Loss, number


def class_weights(what: str, weight: Any, error: type[UsageError]) -> tuple[float, ...] | Tensor | None:
    """One non-negative number per class as a tuple; a tensor unchanged."""
    if weight is None or (isinstance(weight, Tensor) and weight.ndim == 1):
        return weight
    several = isinstance(weight, Sequence) and not isinstance(weight, str | bytes) and len(weight) > 0
    if not several or any(w not in Range(0) for w in weight):
        raise error(
            f"{what.partition(':')[0]}: the class weights are {short(repr(weight))}; give one number of at least 0 "
            "per class, e.g. weight=(1, 2)."
        )
    return tuple(float(w) for w in weight)


@dataclass(frozen=True, eq=False)
class CrossEntropy(Loss):
    """−w_y log softmax(x)_y, `torch.nn.functional.cross_entropy`.

    Outputs (samples, classes, …) are scores before any softmax. Targets are class ids (samples, …), or
    probabilities shaped like the outputs, −Σ_c w_c p_c log softmax(x)_c.

    Args:
        weight: w, one number per class; all 1 unless given. The mean is then weighted too:
            Σ w_{y_i} l_i / Σ w_{y_i}, so a class's weight is its share, not a change of scale.
        ignore_index: samples of this class id count neither in the sum nor in the mean. Where that is every
            sample of a batch the mean is 0/0: NaN, as in torch.
        label_smoothing: ε from 0 to 1: the target becomes (1 − ε) of its class plus ε/C of each of the C
            classes (Szegedy et al. 2016, section 7). 0, no smoothing.

    `weight` and `label_smoothing` may be tensors under vmap: one per member.

    Raises:
        ProblemError: for ε outside [0, 1], weights below 0 or not one per class, targets that do not fit.

    >>> import torch
    >>> scores = torch.tensor([[2.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    >>> targets = torch.tensor([0, 2])
    >>> CrossEntropy()(scores, targets), CrossEntropy(label_smoothing=0.1)(scores, targets)
    (tensor(0.8955), tensor(0.9455))
    """

    name: ClassVar[str] = "cross_entropy"
    counterpart: ClassVar[Callable[..., Tensor]] = F.cross_entropy
    of_classes: ClassVar[bool] = True
    weight: Sequence[float] | Tensor | None = declared(class_weights, None)
    ignore_index: int = whole(-100)
    label_smoothing: float | Tensor = number(0.0, 0.0, 1.0)

    def fit(self, outputs: Tensor, targets: Tensor, where: str = "") -> None:
        fit.classes(self.name, outputs, targets, where, soft=True)
        if self.weight is not None and len(self.weight) != outputs.shape[1]:
            raise ProblemError(
                f"cross_entropy has {len(self.weight)} class weights, and the outputs are scores for "
                f"{outputs.shape[1]} classes; give one weight per class."
            )

    def check(self, outputs: Tensor, targets: Tensor, where: str = "") -> None:
        self.fit(outputs, targets, where)
        if not targets.is_floating_point():
            fit.in_range(targets, outputs.shape[1], where, self.ignore_index)
            if bool((targets == self.ignore_index).all()):
                raise ProblemError(
                    f"all {where + ' ' if where else ''}targets are {self.ignore_index}, which cross_entropy ignores; "
                    "choose another ignore_index."
                )

    def compute(self, outputs: Tensor, targets: Tensor, reduction: str) -> Tensor:
        smoothing = self.label_smoothing
        if isinstance(smoothing, Tensor):  # torch takes a Python number alone, and the loss is linear in it
            sharp, even = (self._torch(outputs, targets, reduction, edge) for edge in (0.0, 1.0))
            return torch.lerp(sharp, even, smoothing.to(sharp.dtype))
        return self._torch(outputs, targets, reduction, smoothing)

    def _torch(self, outputs: Tensor, targets: Tensor, reduction: str, smoothing: float) -> Tensor:
        weight = self._weight(outputs.dtype, outputs.device)
        try:
            return F.cross_entropy(
                outputs, targets, weight, ignore_index=self.ignore_index, reduction=reduction, label_smoothing=smoothing
            )
        except IndexError:  # a class id that torch looks up and does not find
            fit.in_range(targets, outputs.shape[1], ignored=self.ignore_index)
            raise

    def _weight(self, dtype: torch.dtype, device: torch.device) -> Tensor | None:
        return None if self.weight is None else torch.as_tensor(self.weight, dtype=dtype, device=device)

    def counts(self, targets: Tensor) -> Tensor | None:
        if targets.is_floating_point():  # torch divides by the number of samples then
            return None
        valid = targets != self.ignore_index
        share = valid.double()
        weight = self._weight(share.dtype, share.device)
        if weight is not None:
            share = share * weight[torch.where(valid, targets, 0)]
        return share.flatten(1).mean(1) if share.ndim > 1 else share
