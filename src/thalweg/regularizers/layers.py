"""Dropout: the model's own layers, with another probability.

Models of a population draw their own random numbers, too: dropout, attention dropout, noise layers. A step of
a seed draws what ``torch.manual_seed(draw_seed(seed, step))`` before the forward pass gives in a plain loop.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

from torch import nn
from torch.nn.modules.dropout import _DropoutNd

from ..arguments import number
from ..errors import PlanError
from .base import Lines, Regularizer


@dataclass(frozen=True)
class Dropout(Regularizer):
    """Every dropout layer of the model with probability p: x ← x · mask / (1 − p), mask ~ Bernoulli(1 − p).

    In training alone (Srivastava et al. 2014). The model has to have dropout layers; where they stand is a
    matter of its architecture. Members of one seed share their masks where they share p.

    Args:
        p: from 0, none, to below 1; 0.5 by default, as in the paper.

    >>> model = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5))
    >>> Dropout(0.3)(model); model[1]
    Dropout(p=0.3, inplace=False)
    """

    p: float = number(0.5, 0, 1, below=True)
    name: ClassVar[str] = "dropout"
    shared: ClassVar[tuple[str, ...]] = ("p",)

    def __call__(self, model: nn.Module) -> None:
        """Set it in the model."""
        for layer in self.layers(model):
            layer.p = self.p

    def layers(self, model: nn.Module) -> list[_DropoutNd]:
        layers = [layer for layer in model.modules() if isinstance(layer, _DropoutNd)]
        if not layers:
            raise PlanError(
                "{label} sets the model's dropout layers, and {kind} has none; add nn.Dropout where it should act.",
                label=self.label,
                kind=type(model).__name__,
            )
        return layers

    @contextmanager
    def inside(self, model: nn.Module) -> Iterator[None]:
        layers = self.layers(model)
        before = [layer.p for layer in layers]
        self(model)
        try:
            yield
        finally:
            for layer, p in zip(layers, before, strict=True):
                layer.p = p

    def lines(self) -> Lines:
        return Lines(setup=f"tw.regularizers.Dropout({self.p!r})(model)")
