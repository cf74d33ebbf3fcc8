"""Metrics with a name: which end is better, what they ask for, and whether they are a mean over samples.

A mean over samples (`Mean`) is computed inside a population's program, chunk by chunk, like the loss. What is not, such
as the area under a curve, has no value per chunk that could be averaged: it is computed of all samples at once, on the
outputs that a program made. Both take the same outputs as the losses: scores before any softmax or sigmoid.
Read next: `foreign.py`, for metrics of other libraries and of the user.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from ..arguments import choice, number, optional, whole
from ..errors import ProblemError
from . import fit
from .base import ANY, Labelled, Scale
from .classification import CrossEntropy

SHARE: Scale = (0.0, 1.0)


def _axis() -> Any:
    return field(default=None, kw_only=True, metadata=optional(whole(1, -8, 8)).metadata)


@dataclass(frozen=True, eq=False)
class Metric(Labelled, ABC):
    """A metric: ``metric(outputs, targets)`` is its value over these samples.

    Attributes:
        higher: whether higher values are better.
        scale: the lowest and the highest value that it can have.
    """

    error = ProblemError
    registry: ClassVar[dict[str, type[Metric]]] = {}
    higher: ClassVar[bool] = True
    scale: ClassVar[Scale] = ANY

    @abstractmethod
    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """A scalar."""

    @abstractmethod
    def check(self, outputs: Tensor, targets: Tensor, where: str = "") -> None:
        """Refuse shapes, types and values that make no sense; arguments as of `Loss.check`."""


class Mean(Metric):
    """A mean over samples, or a function of one."""

    @abstractmethod
    def mean(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The mean, a scalar; runs under `torch.func.vmap`."""

    def counts(self, targets: Tensor) -> Tensor | None:
        """How much each sample counts in the mean, (samples,); None for 1 each."""
        return None

    def finish(self, means: np.ndarray) -> np.ndarray:
        """The metric, of its means over all samples."""
        return means

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        mean = self.mean(outputs, targets)
        return torch.as_tensor(self.finish(mean.detach().numpy()), dtype=mean.dtype)


class _OfPositions(Mean):
    """A mean over positions, of which those of class id −100 do not count."""

    def counts(self, targets: Tensor) -> Tensor | None:
        return CrossEntropy().counts(targets)


@dataclass(frozen=True, eq=False)
class TopK(_OfPositions):
    """The share of samples whose class is among the k with the largest scores.

    Outputs (samples, classes, …) or (samples, …, classes), class ids (samples, …); those of −100 do not count. Of equal
    scores the first class comes first, as in `torch.argmax`.

    Args:
        k: from 1, which is the accuracy.
        axis: as of `CrossEntropy`.

    >>> scores = torch.tensor([[3.0, 2.0, 1.0], [3.0, 2.0, 1.0]])
    >>> TopK(2)(scores, torch.tensor([1, 2]))
    tensor(0.5000)
    """

    name: ClassVar[str] = "top_k"
    scale: ClassVar[Scale] = SHARE
    k: int = whole(5, 1)
    axis: int | None = _axis()

    def check(self, outputs: Tensor, targets: Tensor, where: str = "") -> None:
        classes = fit.classes(self.name, outputs, targets, where, axis=self.axis)
        fit.in_range(targets, classes, where, IGNORED)
        if self.k > classes:
            raise ProblemError(
                "{label} asks for the first {k} of {classes} classes; give at most {classes}.",
                label=self.label,
                k=self.k,
                classes=classes,
            )

    def mean(self, outputs: Tensor, targets: Tensor) -> Tensor:
        axis = fit.class_axis(self.name, outputs, targets, self.axis)
        ids = targets.clamp_min(0).unsqueeze(axis)
        score = outputs.gather(axis, ids)
        place = torch.arange(outputs.shape[axis], device=outputs.device).reshape(-1, *[1] * (outputs.ndim - 1 - axis))
        before = (outputs > score) | ((outputs == score) & (place < ids))
        return _valid_mean(before.to(outputs.dtype).sum(axis) < self.k, targets, outputs.dtype)


@dataclass(frozen=True, eq=False)
class Accuracy(_OfPositions):
    """The share of right answers: of class ids, or of yes and no.

    Outputs (samples, classes, …) or (samples, …, classes) with class ids (samples, …): the class with the largest
    score, the first of several; ids of −100 do not count. Outputs and targets of one shape, as for `bce`: yes where
    the score is above the threshold.

    Args:
        threshold: of yes; 0 is where the sigmoid of a score is ½. Give 0.5 where the model returns probabilities.
        axis: as of `CrossEntropy`.

    >>> Accuracy()(torch.tensor([[2.0, 1.0], [0.0, 3.0], [5.0, 4.0]]), torch.tensor([0, 1, 1]))
    tensor(0.6667)
    >>> Accuracy()(torch.tensor([[2.0], [-1.0]]), torch.tensor([[1.0], [1.0]]))
    tensor(0.5000)
    """

    name: ClassVar[str] = "accuracy"
    scale: ClassVar[Scale] = SHARE
    threshold: float = number(0.0, -1e9, 1e9)
    axis: int | None = _axis()

    def check(self, outputs: Tensor, targets: Tensor, where: str = "") -> None:
        _check_decided(self, outputs, targets, where)

    def mean(self, outputs: Tensor, targets: Tensor) -> Tensor:
        if binary(outputs, targets):
            return ((outputs > self.threshold) == (targets > 0.5)).to(outputs.dtype).mean()
        axis = fit.class_axis(self.name, outputs, targets, self.axis)
        return _valid_mean(outputs.argmax(axis) == targets, targets, outputs.dtype)


@dataclass(frozen=True, eq=False)
class Perplexity(_OfPositions):
    """exp of the mean cross-entropy over all positions: among so many equally likely words a model chooses.

    Outputs and targets as of `CrossEntropy`; class ids of −100 do not count. The mean is taken over all samples before
    exp, whatever the size of batches.

    Args:
        axis: as of `CrossEntropy`.

    >>> Perplexity()(torch.zeros(2, 3, 10), torch.zeros(2, 3, dtype=torch.int64))
    tensor(10.0000)
    """

    name: ClassVar[str] = "perplexity"
    scale: ClassVar[Scale] = (1.0, math.inf)
    higher: ClassVar[bool] = False
    axis: int | None = _axis()

    @property
    def _loss(self) -> CrossEntropy:
        return CrossEntropy(axis=self.axis)

    def check(self, outputs: Tensor, targets: Tensor, where: str = "") -> None:
        fit.classes(self.name, outputs, targets, where, soft=True, axis=self.axis)
        self._loss.check(outputs, targets, where)

    def mean(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return self._loss(outputs, targets)

    def finish(self, means: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):
            return np.exp(means)


@dataclass(frozen=True, eq=False)
class F1(Metric):
    """2 TP / (2 TP + FP + FN): the harmonic mean of precision and recall.

    Outputs (samples, classes, …) or (samples, …, classes) with class ids (samples, …), of which −100 does not count; or
    outputs and targets of one shape, as for `bce`, each column a question of its own.

    Args:
        average: ``auto``: of two classes, or of one column, that of class 1, else ``macro``; ``macro``: the plain mean
            over classes; ``weighted``: by how often each class is there; ``micro``: of all classes' counts together.
            A class that is neither there nor predicted is left out, as in scikit-learn; such a column counts 0.
        threshold: of yes, as of `Accuracy`.
        axis: as of `CrossEntropy`.

    >>> F1()(torch.tensor([[2.0, 1.0], [0.0, 3.0], [5.0, 4.0]]), torch.tensor([0, 1, 1]))
    tensor(0.6667)
    """

    name: ClassVar[str] = "f1"
    scale: ClassVar[Scale] = SHARE
    average: str = choice("auto", "macro", "weighted", "micro")
    threshold: float = number(0.0, -1e9, 1e9)
    axis: int | None = _axis()

    def check(self, outputs: Tensor, targets: Tensor, where: str = "") -> None:
        _check_decided(self, outputs, targets, where)

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        if binary(outputs, targets):
            said, true = (outputs > self.threshold).reshape(len(outputs), -1), targets.reshape(len(targets), -1) > 0.5
            right, predicted, present = (t.sum(0).double() for t in (said & true, said, true))
            classes = [0] if self.average == "auto" and len(right) == 1 else slice(None)
        else:
            scores, ids = positions(self.name, outputs, targets, self.axis)
            said, count = scores.argmax(1), scores.shape[1]
            hits = ids[said == ids]
            right, predicted, present = (torch.bincount(t, minlength=count).double() for t in (hits, said, ids))
            classes = [1] if self.average == "auto" and count == 2 else (predicted + present) > 0
        return self._of(right[classes], predicted[classes], present[classes]).to(outputs.dtype)

    def _of(self, right: Tensor, predicted: Tensor, present: Tensor) -> Tensor:
        if self.average == "micro":
            return _ratio(2 * right.sum(), (predicted + present).sum())
        each = _ratio(2 * right, predicted + present)
        return _ratio((each * present).sum(), present.sum()) if self.average == "weighted" else each.mean()


@dataclass(frozen=True, eq=False)
class AUC(Metric):
    """The area under the ROC curve: how often a yes scores above a no, ties counting half (Hanley & McNeil 1982).

    Outputs (samples, classes, …) with class ids (samples, …), of which −100 does not count: of two classes by the
    difference of their scores; of more the mean over classes, each against the rest by its probability. Outputs and
    targets of one shape, as for `bce`: the mean over columns. NaN where a class is missing.

    Args:
        axis: as of `CrossEntropy`.

    >>> AUC()(torch.tensor([[0.1], [0.4], [0.35], [0.8]]), torch.tensor([[0], [0], [1], [1]]))
    tensor(0.7500)
    """

    name: ClassVar[str] = "auc"
    scale: ClassVar[Scale] = SHARE
    axis: int | None = _axis()

    def check(self, outputs: Tensor, targets: Tensor, where: str = "") -> None:
        if binary(outputs, targets):
            fit.answers(self.name, targets, where)
        else:
            fit.in_range(targets, fit.classes(self.name, outputs, targets, where, axis=self.axis), where, IGNORED)

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        if binary(outputs, targets):
            scores, yes = outputs.reshape(len(outputs), -1), targets.reshape(len(targets), -1) > 0.5
        else:
            scores, ids = positions(self.name, outputs, targets, self.axis)
            if scores.shape[1] == 2:
                scores, yes = scores[:, 1:] - scores[:, :1], ids.unsqueeze(1) == 1
            else:
                scores, yes = scores.double().softmax(1), ids.unsqueeze(1) == torch.arange(scores.shape[1])
        return torch.as_tensor(_area(scores.numpy(), yes.numpy()), dtype=outputs.dtype)


@dataclass(frozen=True, eq=False)
class R2(Metric):
    """1 − Σ(y − x)² / Σ(y − ȳ)², the share of the targets' variance that is explained; of several columns the mean.

    1 is perfect, 0 is what the mean ȳ of these targets gives, and worse is below 0. NaN where the targets of a column
    are all alike.

    >>> R2()(torch.tensor([[2.5], [0.0], [2.0], [8.0]]), torch.tensor([[3.0], [-0.5], [2.0], [7.0]]))
    tensor(0.9486)
    """

    name: ClassVar[str] = "r2"
    scale: ClassVar[Scale] = (-math.inf, 1.0)

    def check(self, outputs: Tensor, targets: Tensor, where: str = "") -> None:
        fit.numbers(self.name, targets, where)
        fit.same_shape(self.name, outputs, targets, where)

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        x, y = (t.double().reshape(len(t), -1) for t in (outputs, targets))
        left, spread = ((y - x) ** 2).sum(0), ((y - y.mean(0)) ** 2).sum(0)
        return torch.where(spread > 0, 1 - left / spread, torch.nan).mean().to(outputs.dtype)


IGNORED = -100  # torch's class id for positions that do not count


def binary(outputs: Tensor, targets: Tensor) -> bool:
    """Whether each output is a question of its own, as for `bce`."""
    return outputs.shape[1:] == targets.shape[1:] and outputs.ndim == targets.ndim


def _check_decided(metric: Accuracy | F1, outputs: Tensor, targets: Tensor, where: str) -> None:
    """Refuse answers of yes and no, or classes, that such a metric cannot decide on."""
    if binary(outputs, targets):
        answers(metric.label, outputs, targets, where, metric.threshold)
    else:
        fit.in_range(targets, fit.classes(metric.name, outputs, targets, where, axis=metric.axis), where, IGNORED)


def answers(name: str, outputs: Tensor, targets: Tensor, where: str, threshold: float) -> None:
    """Targets of 0 and 1, and outputs that the threshold suits.

    Raises:
        ProblemError: one sentence.
    """
    fit.answers(name, targets, where)
    if threshold == 0 and len(outputs) > 1 and bool(((outputs >= 0) & (outputs <= 1)).all()):
        raise ProblemError(
            "{name} says yes where an output is above 0, and the model's lie between 0 and 1, as "
            "probabilities do; leave the sigmoid out of the model, or give threshold=0.5 to accuracy or "
            "f1.",
            name=name,
        )


def positions(name: str, outputs: Tensor, targets: Tensor, axis: int | None = None) -> tuple[Tensor, Tensor]:
    """Scores (all positions, classes) and class ids (all positions,), without those that do not count."""
    at = fit.class_axis(name, outputs, targets, axis)
    scores, ids = outputs.movedim(at, -1).flatten(0, -2), targets.flatten()
    valid = ids != IGNORED
    return (scores, ids) if bool(valid.all()) else (scores[valid], ids[valid])


def _valid_mean(right: Tensor, targets: Tensor, dtype: torch.dtype) -> Tensor:
    valid = (targets != IGNORED).to(dtype)
    return (right.to(dtype) * valid).sum() / valid.sum()


def _ratio(a: Tensor, b: Tensor) -> Tensor:
    """a/b, 0 where that is 0/0."""
    return torch.where(b > 0, a / b.clamp_min(1), 0.0)


def _area(scores: np.ndarray, yes: np.ndarray) -> float:
    """The mean area over columns, by the ranks of what is yes (Mann & Whitney 1947)."""
    from scipy.stats import rankdata

    positive = yes.sum(0).astype(float)
    negative = len(yes) - positive
    if not (positive * negative).all() or not np.isfinite(scores).all():
        return float("nan")
    ranks = np.where(yes, rankdata(scores, axis=0), 0.0).sum(0)
    return float(((ranks - positive * (positive + 1) / 2) / (positive * negative)).mean())
