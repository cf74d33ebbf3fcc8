"""What is minimised and what is measured: losses and metrics, by name.

A loss takes the model's outputs and the targets of one batch and gives their mean loss, a scalar; a
metric has the same form and is only reported. The named ones are torch's own functions, so a recipe in
plain PyTorch computes the same number. A metric must be a mean over samples, because evaluation runs in
chunks whose results are averaged, weighted by their counts: r² is not one.

Every function here runs under `torch.func.vmap`: tensors in, tensors out, no branch on a value.
Read next: `study/prepare.py`, which checks that outputs, targets and loss fit together.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F

from .errors import ProblemError, unknown

Measure = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def accuracy(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """The share of samples whose largest score is at the target's class.

    `outputs` (batch, classes) with `targets` (batch,), or (batch, classes, positions) with
    (batch, positions); where scores are equal the first class counts, as in `torch.argmax`.

    >>> accuracy(torch.tensor([[2.0, 1.0], [0.0, 3.0], [5.0, 4.0]]), torch.tensor([0, 1, 1]))
    tensor(0.6667)
    """
    return (outputs.argmax(dim=1) == targets).to(outputs.dtype).mean()


LOSSES: dict[str, Measure] = {
    "cross_entropy": F.cross_entropy,
    "mse": F.mse_loss,
    "l1": F.l1_loss,
    "huber": F.huber_loss,
}
METRICS: dict[str, Measure] = {"accuracy": accuracy, "mae": F.l1_loss, "mse": F.mse_loss}


def get(loss: str | Measure) -> Measure:
    """The loss of that name, or the callable, as (outputs, targets) → scalar.

    A callable may return a scalar or one value per sample; the latter are averaged.

    Raises:
        ProblemError: for an unknown name, or something that is neither a name nor callable.

    >>> get("huber")(torch.tensor([0.0, 3.0]), torch.tensor([0.5, 0.0]))
    tensor(1.3125)
    >>> get(lambda outputs, targets: (outputs - targets).abs())(torch.tensor([1.0, 4.0]), torch.zeros(2))
    tensor(2.5000)
    """
    return _get("loss", loss, LOSSES)


def get_metric(metric: str | Measure) -> Measure:
    """The metric of that name, or the callable, as (outputs, targets) → scalar; like `get`.

    >>> get_metric("mae")(torch.tensor([1.0, 4.0]), torch.zeros(2))
    tensor(2.5000)
    """
    return _get("metric", metric, METRICS)


def name_of(measure: str | Measure) -> str:
    """What a loss or metric is called in tables: its registered name, else the callable's own.

    >>> name_of(F.cross_entropy), name_of(torch.nn.CrossEntropyLoss())
    ('cross_entropy', 'CrossEntropyLoss')
    """
    if isinstance(measure, str):
        return measure
    for name, known in LOSSES.items():
        if measure is known:
            return name
    if isinstance(measure, functools.partial):
        return name_of(measure.func)
    return getattr(measure, "__name__", type(measure).__name__).strip("<>")


def _get(kind: str, given: Any, known: Mapping[str, Measure]) -> Measure:
    if isinstance(given, str):
        if given not in known:
            raise ProblemError(unknown(kind, given, known))
        return known[given]
    if not callable(given):
        raise ProblemError(
            f"the {kind} is a {type(given).__name__}; give one of {', '.join(known)}, "
            "or a function (outputs, targets) -> scalar or per-sample values."
        )
    return next((measure for measure in known.values() if given is measure), _averaged(given))


def _averaged(measure: Callable[..., Any]) -> Measure:
    @functools.wraps(measure, updated=())
    def mean(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        value = measure(outputs, targets)
        return value.mean() if value.ndim else value

    return mean
