"""Numbers of a problem that tell mistakes: what guessing would give, how large inputs are, what targets sum to.

They are plain facts, measured before a study begins and kept in its store; `verdict/sanity.py` says what they mean.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from ..losses.registry import OfModel
from ..samples import Weighted
from .prepare import Prepared

ROWS = 10_000  # that are looked at


def observed(ready: Prepared) -> dict[str, Any]:
    """The facts, without those that a problem does not have.

    ``guess``: the validation loss of the best constant answer of the training part. ``input_sizes``: the smallest and
    the largest root mean square of a column of inputs. ``target_sums``: of rows of targets that are shares of classes.
    ``ignored_step``: whether the model has a `training_step` that nothing calls.
    """
    facts: dict[str, Any] = {}
    with torch.random.fork_rng(devices=[]):
        module = ready.model()
    if hasattr(module, "training_step") and not isinstance(ready.loss, OfModel):
        facts["ignored_step"] = True
    train = ready.train
    if isinstance(train, DataLoader) or isinstance(train.targets, Weighted):
        return facts
    if (sizes := _sizes(train.inputs)) is not None:
        facts["input_sizes"] = sizes
    targets, judged = train.plain_targets, ready.validation.plain_targets
    if not isinstance(targets, Tensor) or not isinstance(judged, Tensor):
        return facts
    if ready.loss_name == "cross_entropy" and targets.is_floating_point() and targets.ndim > 1:
        sums = targets[:ROWS].double().sum(1)
        facts["target_sums"] = [float(sums.min()), float(sums.max())]
    guess = _guess(ready.loss_name, targets, judged)
    return facts if guess is None or not math.isfinite(guess) else facts | {"guess": guess}


def _sizes(inputs: Any) -> list[float] | None:
    if not isinstance(inputs, Tensor) or not inputs.is_floating_point():
        return None
    sizes = inputs[:ROWS].flatten(1).double().square().mean(0).sqrt() if inputs.ndim > 1 else inputs[:ROWS].abs()
    sizes = sizes[sizes > 0]
    return [float(sizes.min()), float(sizes.max())] if sizes.numel() else None


def _guess(loss: str, targets: Tensor, judged: Tensor) -> float | None:
    """The loss, on the judging targets, of the answer that these targets call for on average."""
    if loss == "mse":
        return float((judged.double() - targets.double().mean(0)).square().mean())
    if loss == "bce":
        shares, yes = targets.double().mean(0).clamp(1e-12, 1 - 1e-12), judged.double()
        return float(-(yes * shares.log() + (1 - yes) * (1 - shares).log()).mean())
    if loss != "cross_entropy" or targets.is_floating_point() or bool((targets < 0).any() or (judged < 0).any()):
        return None
    counts = torch.bincount(targets.flatten(), minlength=int(judged.max()) + 1).double()
    return float(-(counts / counts.sum()).clamp(min=1e-12).log()[judged.flatten()].mean())
