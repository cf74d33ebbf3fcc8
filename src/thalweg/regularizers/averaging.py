"""Averages of the weights along the path, which are evaluated in place of the weights themselves.

Buffers that training moves (running statistics) are averaged with the weights, as torch's
``AveragedModel(use_buffers=True)`` does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ..arguments import number
from .base import Lines, Regularizer


@dataclass(frozen=True)
class EMA(Regularizer):
    """a ← d·a + (1 − d)·w after every step; after the first a = w (Polyak & Juditsky 1992; Tarvainen & Valpola 2017).

    Args:
        decay: d, from 0, no average, to below 1; the average reaches back 1/(1 − d) steps. 0.99 by default.

    >>> model = nn.Linear(1, 1, bias=False)
    >>> average = EMA(0.9).averaged(model)
    >>> for value in (1.0, 2.0):
    ...     _ = nn.init.constant_(model.weight, value); average.update_parameters(model)
    >>> round(average.module.weight.item(), 4)
    1.1
    """

    decay: float = number(0.99, 0, 1, below=True)
    name: ClassVar[str] = "ema"
    exclusive: ClassVar[str] = "averages"

    def share(self, step: int, per_epoch: int, total: int) -> float:
        return 1.0 if step == 0 else 1 - self.decay

    def averaged(self, model: nn.Module) -> AveragedModel:
        """torch's averaged model; call its ``update_parameters(model)`` after every step, and evaluate it."""
        return AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(self.decay), use_buffers=True)

    def lines(self) -> Lines:
        rule = f"torch.optim.swa_utils.get_ema_multi_avg_fn({self.decay!r})"
        return Lines(
            setup=f"average = torch.optim.swa_utils.AveragedModel(model, multi_avg_fn={rule}, use_buffers=True)",
            after="average.update_parameters(model)",
            evaluated="average.module",
        )


@dataclass(frozen=True)
class SWA(Regularizer):
    """The mean of the weights at the end of every pass over the data, from a share of the run on.

    Until then the weights themselves are evaluated. A rate that stays high lets the path go round the valley,
    and the mean is nearer to its middle (Izmailov et al. 2018, Algorithm 1).

    Args:
        start: the share of the run that is over when averaging begins, from 0 to below 1; 0.75 by default.

    >>> [SWA(0.5).share(step, per_epoch=1, total=4) for step in range(4)]
    [1.0, 1.0, 1.0, 0.5]
    """

    start: float = number(0.75, 0, 1, below=True)
    name: ClassVar[str] = "swa"
    exclusive: ClassVar[str] = "averages"

    def share(self, step: int, per_epoch: int, total: int) -> float:
        if (step + 1) % per_epoch:
            return 0.0
        averaged = (step + 1) // per_epoch - int(self.start * total) // per_epoch
        return 1 / max(averaged, 1)

    def averaged(self, model: nn.Module) -> AveragedModel:
        """torch's averaged model; call its ``update_parameters(model)`` after every pass from the start on."""
        return AveragedModel(model, use_buffers=True)

    def lines(self) -> Lines:
        return Lines(
            setup="average = torch.optim.swa_utils.AveragedModel(model, use_buffers=True)",
            epoch=(
                f"if epoch + 1 > int({self.start!r} * EPOCHS * steps) // steps:\n    average.update_parameters(model)"
            ),
            evaluated="average.module if average.n_averaged else model",
        )
