"""Losses of class ids: cross-entropy with the softmax inside, also for probabilities, and of log-probabilities.

The classes are on axis 1 as in torch, or on the last axis as in language models, (samples, positions, classes): the one
that the shapes allow (`fit.class_axis`), or the one that `axis` says.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from ..arguments import declared, optional, whole
from ..errors import ProblemError, UsageError, short
from ..numbers import Range
from . import fit
from .base import FROM_0, Loss, Scale, number
from .sampling import sampled_cross_entropy


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
class _OfClasses(Loss):
    of_classes: ClassVar[bool] = True
    soft: ClassVar[bool] = False  # whether targets may be probabilities
    weight: Sequence[float] | Tensor | None = declared(class_weights, None)
    ignore_index: int = whole(-100)
    axis: int | None = field(default=None, kw_only=True, metadata=optional(whole(1, -8, 8)).metadata)

    def fit(self, outputs: Tensor, targets: Tensor, where: str = "") -> None:
        classes = fit.classes(self.name, outputs, targets, where, soft=self.soft, axis=self.axis)
        if self.weight is not None and len(self.weight) != classes:
            raise ProblemError(
                "{name} has {weight} class weights, and the outputs are scores for {classes} classes; give "
                "one weight per class.",
                name=self.name,
                weight=len(self.weight),
                classes=classes,
            )

    def check(self, outputs: Tensor, targets: Tensor, where: str = "") -> None:
        self.fit(outputs, targets, where)
        if not targets.is_floating_point():
            axis = fit.class_axis(self.name, outputs, targets, self.axis)
            fit.in_range(targets, outputs.shape[axis], where, self.ignore_index)
            if bool((targets == self.ignore_index).all()):
                raise ProblemError(
                    "all {where}targets are {ignore_index}, which {name} ignores; choose another ignore_index.",
                    where=where + " " if where else "",
                    ignore_index=self.ignore_index,
                    name=self.name,
                )

    def compute(self, outputs: Tensor, targets: Tensor, reduction: str) -> Tensor:
        axis = fit.class_axis(self.name, outputs, targets, self.axis)
        if axis == 1:
            return self.of_scores(outputs, targets, reduction)
        if targets.is_floating_point():
            return self.of_scores(outputs.movedim(axis, 1), targets.movedim(axis, 1), reduction)
        # The classes of one position lie side by side in memory: no copy, as language models do it.
        values = self.of_scores(outputs.movedim(axis, -1).flatten(0, -2), targets.flatten(), reduction)
        return values.reshape(targets.shape) if reduction == "none" else values

    @abstractmethod
    def of_scores(self, outputs: Tensor, targets: Tensor, reduction: str) -> Tensor:
        """Torch's function, of outputs with the classes on axis 1."""

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


@dataclass(frozen=True, eq=False)
class CrossEntropy(_OfClasses):
    """−w_y log softmax(x)_y, `torch.nn.functional.cross_entropy`.

    Outputs (samples, classes, …) or (samples, …, classes) are scores before any softmax. Targets are class ids
    (samples, …), or probabilities shaped like the outputs, −Σ_c w_c p_c log softmax(x)_c.

    Args:
        weight: w, one number per class; all 1 unless given. The mean is then weighted too:
            Σ w_{y_i} l_i / Σ w_{y_i}, so a class's weight is its share, not a change of scale.
        ignore_index: samples of this class id count neither in the sum nor in the mean. Where that is every
            sample of a batch the mean is 0/0: NaN, as in torch.
        label_smoothing: ε from 0 to 1: the target becomes (1 − ε) of its class plus ε/C of each of the C
            classes (Szegedy et al. 2016, section 7). 0, no smoothing.
        axis: of the outputs, where the classes are; the one that the shapes of outputs and class ids allow unless
            given, and 1 for probabilities.

    `weight` and `label_smoothing` may be tensors under vmap: one per member.

    Raises:
        ProblemError: for ε outside [0, 1], weights below 0 or not one per class, targets that do not fit, shapes that
            allow two axes of classes.

    >>> import torch
    >>> scores = torch.tensor([[2.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    >>> targets = torch.tensor([0, 2])
    >>> CrossEntropy()(scores, targets), CrossEntropy(label_smoothing=0.1)(scores, targets)
    (tensor(0.8955), tensor(0.9455))
    >>> CrossEntropy()(scores.unsqueeze(0), targets.unsqueeze(0))  # (samples, positions, classes)
    tensor(0.8955)
    """

    name: ClassVar[str] = "cross_entropy"
    scale: ClassVar[Scale] = FROM_0
    likelihood: ClassVar[str] = "Categorical"
    counterpart: ClassVar[Callable[..., Tensor]] = F.cross_entropy
    sampler: ClassVar[Callable[..., Tensor] | None] = staticmethod(sampled_cross_entropy)
    soft: ClassVar[bool] = True
    label_smoothing: float | Tensor = number(0.0, 0.0, 1.0)

    @property
    def samples(self) -> bool:
        return super().samples and self.weight is None

    @property
    def sampling(self) -> Mapping[str, Any]:
        """Smoothed labels have the curvature of others, so that they are no argument."""
        usual = {"axis": None, "ignore_index": -100}
        return {name: getattr(self, name) for name, value in usual.items() if getattr(self, name) != value}

    def of_scores(self, outputs: Tensor, targets: Tensor, reduction: str) -> Tensor:
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


@dataclass(frozen=True, eq=False)
class NLL(_OfClasses):
    """−w_y x_y of log-probabilities x, `torch.nn.functional.nll_loss`.

    Outputs (samples, classes, …) or (samples, …, classes) are logarithms of probabilities, as log_softmax gives them;
    targets are class ids (samples, …). Of log_softmax(x) it is the cross-entropy of x.

    Args:
        weight, ignore_index, axis: as of `CrossEntropy`.

    >>> import torch
    >>> scores = torch.tensor([[2.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    >>> NLL()(scores.log_softmax(1), torch.tensor([0, 2]))
    tensor(0.8955)
    """

    name: ClassVar[str] = "nll"
    likelihood: ClassVar[str] = "Categorical"
    counterpart: ClassVar[Callable[..., Tensor]] = F.nll_loss

    def check(self, outputs: Tensor, targets: Tensor, where: str = "") -> None:
        super().check(outputs, targets, where)
        if (highest := float(outputs.detach().max())) > 0:
            raise ProblemError(
                "nll needs log-probabilities, which are at most 0, and the outputs reach {highest}; end the "
                "model in log_softmax, or give cross_entropy, which takes scores.",
                highest=f"{highest:g}",
            )

    def of_scores(self, outputs: Tensor, targets: Tensor, reduction: str) -> Tensor:
        weight = self._weight(outputs.dtype, outputs.device)
        return F.nll_loss(outputs, targets, weight, ignore_index=self.ignore_index, reduction=reduction)
