"""Weight decay beside the gradient, not in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch.optim import Optimizer

from ..arguments import number
from .base import Lines, Regularizer


@dataclass(frozen=True)
class DecoupledDecay(Regularizer):
    """w ← (1 − ηλ) w before the update, with any rule; η is the rate of that step.

    With Adam it is AdamW (Loshchilov & Hutter 2019, Algorithm 2; as in torch, λ is multiplied by the rate).

    Args:
        decay: λ; 0.01 by default, as in torch.optim.AdamW.

    >>> weight = torch.nn.Parameter(torch.tensor([2.0]))
    >>> DecoupledDecay(0.1)(torch.optim.SGD([weight], lr=0.5)); weight.data
    tensor([1.9000])
    """

    decay: float = number(0.01, 0)
    name: ClassVar[str] = "decoupled_decay"

    def shrink(self, lr: float) -> float:
        return 1 - lr * self.decay

    @torch.no_grad()
    def __call__(self, optimizer: Optimizer) -> None:
        """Shrink the optimizer's weights by its rates; call it before ``optimizer.step()``."""
        for group in optimizer.param_groups:
            for p in group["params"]:
                if p.requires_grad:
                    p.mul_(self.shrink(float(group["lr"])))

    def lines(self) -> Lines:
        return Lines(
            before=(
                "with torch.no_grad():\n"
                "    for group in optimizer.param_groups:\n"
                '        for p in group["params"]:\n'
                "            if p.requires_grad:\n"
                f'                p.mul_(1 - group["lr"] * {self.decay!r})'
            )
        )
