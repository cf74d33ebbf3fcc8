"""Early stopping: the validation loss decides how long a member trains."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from torch import nn

from ..arguments import number, whole
from .base import Lines, Regularizer


class Patience:
    """The best loss of each member so far, and for how many passes it has not been bettered.

    Attributes:
        best: (members,), infinite at first.
        waited: (members,) passes since then.
    """

    def __init__(self, members: int) -> None:
        self.best = np.full(members, np.inf)
        self.waited = np.zeros(members, dtype=np.int64)

    def see(self, losses: np.ndarray, min_delta: np.ndarray, patience: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Whether each member is better than ever by more than `min_delta`, and whether its patience has ended."""
        better = losses < self.best - min_delta
        better |= np.isinf(self.best) & (losses < np.inf)
        self.best[better] = losses[better]
        self.waited = np.where(better, 0, self.waited + 1)
        return better, self.waited >= patience


@dataclass(frozen=True)
class EarlyStopping(Regularizer):
    """Stop after `patience` passes over the data without a better validation loss; keep the best weights.

    Better means lower than the best so far by more than `min_delta` (Prechelt 1998, section 2; Goodfellow et al.
    2016, Algorithm 7.1). A run that reaches its end without stopping also ends with its best weights.

    In a population every member stops on its own: it is not diverged, its weights stay those of its best pass,
    and its curves stay flat at what they are worth; the metric ``trained_steps`` says how far it trained.

    Args:
        patience: passes, at least 1; 5 by default.
        min_delta: 0 by default.

    >>> stop, model = EarlyStopping(patience=2), nn.Linear(1, 1)
    >>> losses = [1.0, 0.5, 0.7, 0.6, 0.1]
    >>> next(epoch for epoch, loss in enumerate(losses) if stop(loss, model))
    3
    """

    patience: int = whole(5, 1, unit="passes")
    min_delta: float = number(0.0, 0)
    _memory: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)
    name: ClassVar[str] = "early_stopping"

    def __call__(self, loss: float, model: nn.Module) -> bool:
        """Whether to stop, now that the validation loss of this pass is known; then `model` is the best one."""
        if not self._memory:
            self._memory["patience"] = Patience(1)
        row = (np.array([float(loss)]), np.array([self.min_delta]), np.array([self.patience]))
        better, over = self._memory["patience"].see(*row)
        if better[0]:
            self._memory["state"] = {n: t.detach().clone() for n, t in model.state_dict().items()}
        if over[0]:
            self.restore(model)
        return bool(over[0])

    def restore(self, model: nn.Module) -> None:
        """Give the model the weights and buffers of the best pass; for the end of a run that did not stop."""
        if "state" in self._memory:
            model.load_state_dict(self._memory["state"])

    def lines(self) -> Lines:
        return Lines(
            setup=f"stop = tw.regularizers.EarlyStopping({self.patience!r}, {self.min_delta!r})",
            stop="if stop(value, judged):\n    break",
            end="stop.restore(judged)",
        )
