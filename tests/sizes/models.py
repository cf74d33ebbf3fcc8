"""Models of a user's own, each with something that counting could stumble over."""

from __future__ import annotations

import torch
from torch import Tensor, nn

import thalweg as tw


class Tied(nn.Module):
    """A language model whose output layer is its embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.token, self.scores = nn.Embedding(50, 8), nn.Linear(8, 50, bias=False)
        self.scores.weight = self.token.weight

    def forward(self, ids: Tensor) -> Tensor:
        return self.scores(self.token(ids))


class Twice(nn.Module):
    """One layer that is called twice, and a product without a module."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)
        self.again = self.layer
        self.mix = nn.Parameter(torch.ones(4))

    def forward(self, x: Tensor) -> Tensor:
        return self.again(self.layer(x)) @ self.mix


class Branch(nn.Module):
    """Reads two inputs, and asks for a value."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(3, 4), nn.Linear(5, 4)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.left(x) if float(x.sum()) > 1 else self.left(x) + self.right(y)


class Attention(nn.Module):
    """Attends to itself, through torch's fused operation."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.heads = nn.MultiheadAttention(width, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.heads(x, x, x, need_weights=False)[0]


class Asking(nn.Module):
    """Any model, after a look at a value, drawn at random, of its input."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x if float(x.sum() + torch.rand(())) < 1 else -x)


def branch() -> nn.Module:
    return Branch()


def with_example() -> tuple[nn.Module, dict[str, Tensor]]:
    return Branch(), {"x": torch.zeros(7, 3), "y": torch.zeros(7, 5)}


def lazy() -> nn.Module:
    return nn.Sequential(nn.LazyConv2d(8, 3), nn.Flatten(), nn.LazyLinear(10))


def problem() -> tw.Problem:
    inputs = torch.linspace(-1, 1, 60).reshape(20, 3)
    return tw.Problem(model=lambda: nn.Linear(3, 1), train=(inputs, inputs.sum(1, keepdim=True)), loss="mse")


def fails() -> nn.Module:
    raise RuntimeError("no weights here")


def number() -> int:
    return 3
