"""Kullback–Leibler divergence between two discrete distributions, in either direction."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from ..arguments import choice, flag
from . import fit
from .base import REDUCTIONS, Loss


@dataclass(frozen=True, eq=False)
class KLDiv(Loss):
    """D(P‖Q) = Σ p (log p − log q), the targets P against the outputs Q, as `torch.nn.functional.kl_div`.

    Outputs and targets (samples, classes, …). Forward, D(P‖Q), makes Q cover all of P; reverse, D(Q‖P),
    makes Q settle on one part of it. 0 · log 0 is 0, and a Q of 0 where P is not gives infinity.

    Args:
        reverse: D(Q‖P) instead.
        outputs: what the model returns: ``log_probabilities`` (as torch has it), ``probabilities``, or
            ``logits``, whose softmax over axis 1 is taken here.
        log_target: the targets are log p.
        reduction: ``batchmean``, the default: summed over classes, averaged over samples, as the formula
            says (torch's own default, ``mean``, also divides by the number of classes), ``sum``, ``none``.

    Kullback & Leibler 1951.

    >>> import torch
    >>> p, q = torch.tensor([[0.5, 0.5, 0.0]]), torch.tensor([[0.25, 0.5, 0.25]])
    >>> KLDiv(outputs="probabilities")(q, p), KLDiv(outputs="probabilities", reverse=True)(q, p)
    (tensor(0.3466), tensor(inf))
    """

    name: ClassVar[str] = "kl_div"
    reverse: bool = flag(False)
    outputs: str = choice("log_probabilities", "probabilities", "logits")
    log_target: bool = flag(False)
    reduction: str = field(default="batchmean", kw_only=True, metadata=choice("batchmean", *REDUCTIONS).metadata)

    def fit(self, outputs: Tensor, targets: Tensor, where: str = "") -> None:
        fit.scores(self.name, outputs)
        fit.same_shape(self.name, outputs, targets, where)

    def check(self, outputs: Tensor, targets: Tensor, where: str = "") -> None:
        fit.numbers(self.name, targets, where)
        self.fit(outputs, targets, where)
        fit.probabilities(self.name, targets.exp() if self.log_target else targets, 1, where)

    def compute(self, outputs: Tensor, targets: Tensor, reduction: str) -> Tensor:
        log_p = targets if self.log_target else targets.log()
        if self.outputs == "logits":
            log_q = F.log_softmax(outputs, 1)
        elif self.outputs == "probabilities":
            log_q = torch.where(outputs == 0, -torch.inf, outputs.masked_fill(outputs == 0, 1).log())
        else:
            log_q = outputs
        return _divergence(log_q, log_p, reduction) if self.reverse else _divergence(log_p, log_q, reduction)

    def _rows(self, outputs: Tensor, targets: Tensor) -> Tensor:
        values = self.compute(outputs, targets, "none").flatten(1)
        return values.sum(1) if self.reduction == "batchmean" else values.mean(1)


def _divergence(log_p: Tensor, log_q: Tensor, reduction: str) -> Tensor:
    """Σ p (log p − log q), 0 where p = 0.

    Written out, because torch's kl_div has no rule for vmap (it would run member by member) and makes 0 · log 0
    NaN; the tests hold it to torch's value and gradient.
    """
    nothing = log_p.exp() == 0
    log_p, log_q = log_p.masked_fill(nothing, 0), log_q.masked_fill(nothing, 0)
    values = log_p.exp() * (log_p - log_q)
    if reduction == "none":
        return values
    return values.mean() if reduction == "mean" else values.sum() / (len(values) if reduction == "batchmean" else 1)
