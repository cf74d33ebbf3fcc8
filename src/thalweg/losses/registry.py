"""The losses and metrics thalweg knows by name, and how a name, a text or a function becomes one."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import torch.nn.functional as F
from torch import Tensor

from .. import calls
from ..errors import ProblemError, unknown
from .base import Loss, Measure
from .classification import CrossEntropy
from .divergence import KLDiv
from .likelihood import NegativeLogLikelihood
from .regression import L1, MAE, MSE, Huber
from .triplet import TripletMargin

_KINDS: dict[str, type[Loss]] = {
    kind.name: kind for kind in (CrossEntropy, MSE, L1, Huber, KLDiv, TripletMargin, NegativeLogLikelihood)
}
_TORCH: dict[Callable[..., Any], str] = {
    F.cross_entropy: "cross_entropy",
    F.mse_loss: "mse",
    F.l1_loss: "l1",
    F.huber_loss: "huber",
}


def accuracy(outputs: Tensor, targets: Tensor) -> Tensor:
    """The share of samples whose largest score is at the target's class.

    `outputs` (batch, classes) with `targets` (batch,), or (batch, classes, positions) with
    (batch, positions); where scores are equal the first class counts, as in `torch.argmax`.

    >>> import torch
    >>> accuracy(torch.tensor([[2.0, 1.0], [0.0, 3.0], [5.0, 4.0]]), torch.tensor([0, 1, 1]))
    tensor(0.6667)
    """
    return (outputs.argmax(dim=1) == targets).to(outputs.dtype).mean()


LOSSES: dict[str, Loss] = {name: kind() for name, kind in _KINDS.items()}
METRICS: dict[str, Measure] = {"accuracy": accuracy, "mae": MAE(), "mse": LOSSES["mse"]}


@dataclass(frozen=True, eq=False)
class Own(Loss):
    """A function or module of the user's, (outputs, targets) → a scalar or one value per sample."""

    name: ClassVar[str] = "own"
    function: Callable[[Tensor, Tensor], Tensor]

    def compute(self, outputs: Tensor, targets: Tensor, reduction: str) -> Tensor:
        values = self.function(outputs, targets)
        return values.mean() if values.ndim and reduction == "mean" else values

    def fit(self, outputs: Tensor, targets: Tensor, where: str = "") -> None:
        """Nothing is known of what it asks for."""

    def _rows(self, outputs: Tensor, targets: Tensor) -> Tensor:
        values = super()._rows(outputs, targets)
        if not values.ndim:
            raise ProblemError(
                f"{self.label} gives one number for the whole batch, so samples cannot be weighed; "
                "let it return one value per sample."
            )
        return values

    @property
    def label(self) -> str:
        return name_of(self.function)


def get(loss: str | Measure) -> Loss:
    """The loss of that name, of that text with arguments, or made of that callable.

    A callable (outputs, targets) may return a scalar or one value per sample; the latter are averaged.
    Torch's own functions are the losses of the same name.

    Raises:
        ProblemError: for an unknown name or argument, or something that is neither a name nor callable.

    >>> import torch
    >>> get("huber")(torch.tensor([0.0, 3.0]), torch.tensor([0.5, 0.0]))
    tensor(1.3125)
    >>> get("cross_entropy(label_smoothing=0.1)")
    CrossEntropy(reduction='mean', weight=None, ignore_index=-100, label_smoothing=0.1)
    >>> get(lambda outputs, targets: (outputs - targets).abs())(torch.tensor([1.0, 4.0]), torch.zeros(2))
    tensor(2.5000)
    """
    if isinstance(loss, Loss):
        return loss
    if isinstance(loss, str):
        return _read(loss)
    if not callable(loss):
        raise _neither("loss", loss, list(LOSSES))
    return LOSSES[_TORCH[loss]] if _torch(loss) else Own(loss)


def get_metric(metric: str | Measure) -> Measure:
    """The metric of that name, or the callable, as (outputs, targets) → scalar; like `get`.

    >>> import torch
    >>> get_metric("mae")(torch.tensor([1.0, 4.0]), torch.zeros(2))
    tensor(2.5000)
    """
    if isinstance(metric, str):
        if metric not in METRICS:
            raise ProblemError(unknown("metric", metric, METRICS))
        return METRICS[metric]
    if not callable(metric):
        raise _neither("metric", metric, list(METRICS))
    return metric if metric is accuracy else get(metric)


def name_of(measure: str | Measure) -> str:
    """What a loss or metric is called in tables: its label, or the callable's own name.

    >>> import torch
    >>> name_of(F.cross_entropy), name_of("huber(delta=0.50)"), name_of(torch.nn.CrossEntropyLoss())
    ('cross_entropy', 'huber(delta=0.5)', 'CrossEntropyLoss')
    """
    if isinstance(measure, str):
        return measure if measure in METRICS else get(measure).label
    if isinstance(measure, Loss):
        return measure.label
    if _torch(measure):
        return _TORCH[measure]
    if isinstance(measure, functools.partial):
        return name_of(measure.func)
    return getattr(measure, "__name__", type(measure).__name__).strip("<>")


def _torch(measure: Any) -> bool:
    return any(measure is known for known in _TORCH)


def _read(text: str) -> Loss:
    name = text.partition("(")[0].strip()
    if name not in _KINDS:
        raise ProblemError(unknown("loss", calls.short(name), _KINDS))
    arguments = calls.parse(text, ProblemError, "cross_entropy(label_smoothing=0.1)")[1]
    if not arguments:
        return LOSSES[name]
    known = [f.name for f in fields(_KINDS[name])]
    for argument in arguments:
        if argument not in known:
            raise ProblemError(unknown(f"argument of {name}", argument, known))
    return _KINDS[name](**arguments)


def _neither(kind: str, given: Any, known: list[str]) -> ProblemError:
    return ProblemError(
        f"the {kind} is a {type(given).__name__}; give one of {', '.join(known)}, "
        "or a function (outputs, targets) -> scalar or per-sample values."
    )
