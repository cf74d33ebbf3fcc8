"""Metrics of other libraries and of the user, given the outputs in the form that they ask for.

    scikit-learn   a function (y_true, y_pred) of `sklearn.metrics`, or a `functools.partial` of one: labels,
                   probabilities or values, by the module it is from
    torchmetrics   an object or a function (preds, target): what its page asks for
    one's own      (outputs, targets) → a number, or one value per sample, whose mean counts

Such a metric is computed on all outputs of a member at once, in NumPy or PyTorch, so it may be any code at all.
"""

from __future__ import annotations

import copy
import functools
import operator
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import ProblemError
from . import fit
from .metrics import binary, positions

SCIKIT, TORCHMETRICS, OWN = "scikit-learn", "torchmetrics", "own"
# Of scikit-learn's metrics of classification, those that take probabilities or scores although the module says labels.
_PROBABILITIES = ("log_loss", "brier_score_loss", "d2_log_loss_score", "d2_brier_score")
_BETTER = {"_score": -1.0, "_error": 1.0, "_loss": 1.0, "_deviance": 1.0}  # as scikit-learn's names end


@dataclass(frozen=True, eq=False)
class Foreign:
    """A metric of another library, or of the user: ``metric(outputs, targets)`` is its value over these samples.

    Attributes:
        function: the metric.
        library: `SCIKIT`, `TORCHMETRICS` or `OWN`.
    """

    function: Any
    library: str

    @classmethod
    def of(cls, function: Callable[..., Any]) -> Foreign:
        """Where it is from, by its module; nothing is imported."""
        module = _inner(function).__module__ or ""
        top = module.partition(".")[0]
        if top == "torchmetrics":
            return cls(function, TORCHMETRICS)
        return cls(function, SCIKIT if top == "sklearn" and module.startswith("sklearn.metrics") else OWN)

    @property
    def sign(self) -> float | None:
        """−1 where higher is better, 1 where lower is; None where nothing says so."""
        if self.library == SCIKIT:
            name = _inner(self.function).__name__
            return next((sign for end, sign in _BETTER.items() if name.endswith(end)), None)
        higher = getattr(self.function, "higher_is_better", None) if self.library == TORCHMETRICS else None
        return None if higher is None else -1.0 if higher else 1.0

    def __call__(self, outputs: Any, targets: Any) -> Tensor:
        """A scalar.

        Raises:
            ProblemError: it gave something else than a number; and whatever the metric itself raises.
        """
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what is undefined on these samples, which NaN says
            value = _CALLS[self.library](self.function, outputs, targets)
        return self._scalar(value, outputs)

    def _scalar(self, value: Any, outputs: Any) -> Tensor:
        try:
            number = torch.as_tensor(value).double()
        except (TypeError, ValueError, RuntimeError) as error:
            raise ProblemError(
                "it returned something of type {kind}; it must return one number", kind=type(value).__name__
            ) from error
        if number.ndim and self.library == OWN and len(number) == len(outputs):
            return number.mean()
        if number.numel() != 1:
            raise ProblemError(
                "it returned a tensor of shape {shape}; it must return one number", shape=tuple(number.shape)
            )
        return number.reshape(())


def _inner(function: Any) -> Any:
    """The function itself, or the class of an object."""
    while isinstance(function, functools.partial):
        function = function.func
    return function if hasattr(function, "__name__") else type(function)


def _scikit(function: Any, outputs: Tensor, targets: Tensor) -> Any:
    inner = _inner(function)
    form = _form(inner.__name__, inner.__module__)
    if form == "values":
        return function(targets.numpy(), outputs.numpy())
    if binary(outputs, targets):
        scores = outputs.double().squeeze(1) if outputs.ndim == 2 and outputs.shape[1] == 1 else outputs.double()
        answers = {"labels": scores > 0, "scores": scores, "probabilities": scores.sigmoid()}[form]
        true = targets.reshape(answers.shape)
        return function(true.round().long().numpy(), (answers.long() if form == "labels" else answers).numpy())
    scores, ids = positions(inner.__name__, outputs.double(), targets)
    if form == "labels":
        return function(ids.numpy(), scores.argmax(1).numpy())
    two = scores.shape[1] == 2
    if form == "scores":
        return function(ids.numpy(), (scores[:, 1] - scores[:, 0] if two else scores).numpy())
    chances = scores.softmax(1)
    return function(ids.numpy(), (chances[:, 1] if two else chances).numpy())


def _form(name: str, module: str) -> str:
    if module.endswith("_regression"):
        return "values"
    if name == "hinge_loss":
        return "scores"
    return "probabilities" if module.endswith("_ranking") or name in _PROBABILITIES else "labels"


def _torchmetrics(function: Any, outputs: Tensor, targets: Tensor) -> Any:
    inner = _inner(function)
    if ".classification" in inner.__module__:
        outputs, targets = _classified(inner.__name__, outputs, targets)
    if not hasattr(function, "compute"):
        return function(outputs, targets)
    metric = copy.deepcopy(function)  # it remembers what it has seen, and members are judged by several threads
    metric.reset()
    metric.update(outputs, targets)
    return metric.compute()


def _classified(name: str, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Probabilities, the classes on axis 1, and integers."""
    if binary(outputs, targets):
        return outputs.sigmoid(), targets.round().long()
    axis = fit.class_axis(name, outputs, targets)
    chances = outputs.movedim(axis, 1).softmax(1)
    two = chances.shape[1] == 2 and name.lower().startswith("binary")
    return (chances[:, 1] if two else chances), targets


_CALLS: dict[str, Callable[..., Any]] = {SCIKIT: _scikit, TORCHMETRICS: _torchmetrics, OWN: operator.call}


def thresholds(measure: Foreign) -> bool:
    """Whether it says yes where a score is above 0, as labels of scikit-learn and all of torchmetrics' classes do."""
    inner = _inner(measure.function)
    if measure.library == SCIKIT:
        return _form(inner.__name__, inner.__module__) == "labels"
    return measure.library == TORCHMETRICS and ".classification" in inner.__module__


def finite(outputs: Any) -> bool:
    """Whether all numbers of a member's outputs are."""
    return bool(np.isfinite(outputs.numpy()).all()) if isinstance(outputs, Tensor) else True
