"""What the populations of `population.py` train: networks of several widths, a GRU and a small ResNet.

Each function is named there as ``population_problems.py:function``, so that another process can make it again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import thalweg as tw
from thalweg.problem.builtin import PROBLEMS
from thalweg.problem.prepare import Prepared

BATCH = 64
RULES = ("sgd", "momentum", "nesterov", "adagrad", "adadelta", "rmsprop", "adam", "adamw")


@dataclass(frozen=True)
class Row:
    """A problem with so many members: the eight rules × rates × {constant, cosine}.

    Attributes:
        problem: as `tw.compare` takes it.
        hidden: units of the hidden layer, where JAX trains it too.
        torch, jax, peak: the least that the compiled population shall reach: times plain PyTorch, times JAX, and
            the share of the processor's matrix products.
    """

    name: str
    problem: str
    members: int
    hidden: int | None = None
    torch: float | None = None
    jax: float | None = None
    peak: float | None = None

    @property
    def rates(self) -> tuple[float, ...]:
        """Between those at which nothing happens and those at which members diverge, and cost nothing any more."""
        return tuple(tw.log_range(1e-4, 1e-2, self.members // (2 * len(RULES))))


def here(function: str) -> str:
    return f"{Path(__file__).resolve()}:{function}"


ROWS = (
    Row("MLP 64-32-10", here("narrow"), 256, 32, 30, 4, 0.35),
    Row("MLP 64-64-10 (digits)", "digits", 256, 64, 20, 3.5, 0.45),
    Row("MLP 64-128-10", here("wide"), 256, 128, 12, 4, 0.5),
    Row("digits-cnn", "digits-cnn", 64, None, 8, None, 0.25),
    Row("text", "text", 32, None, 4, None, 0.25),
    Row("wave", "wave", 256, None, 40),
    Row("diabetes", "diabetes", 256, None, 40),
    Row("breast-cancer", "breast-cancer", 256, None, 40),
    Row("GRU", here("gru"), 32, None, 3),
    Row("ResNet, batch norm", here("resnet"), 32, None, 3),
)


def network(hidden: int) -> nn.Module:
    return nn.Sequential(nn.Linear(64, hidden), nn.ReLU(), nn.Linear(hidden, 10))


def narrow() -> tw.Problem:
    return replace(PROBLEMS["digits"](), model=partial(network, 32), name="digits-32")


def wide() -> tw.Problem:
    return replace(PROBLEMS["digits"](), model=partial(network, 128), name="digits-128")


class Recurrent(nn.Module):
    """The class of a sequence (batch, positions, 8) from the last state of a GRU with 32 units, written out.

    `torch.nn.GRU` has no rule for `torch.func.vmap`, without which the stacked contestant could not take part.
    """

    def __init__(self, features: int = 8, width: int = 32) -> None:
        super().__init__()
        self.width = width
        self.given, self.recurrent = nn.Linear(features, 3 * width), nn.Linear(width, 3 * width)
        self.scores = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        h = x.new_zeros(len(x), self.width)
        for given in self.given(x).unbind(1):
            reset, update, new = given.chunk(3, 1)
            reset_before, update_before, before = self.recurrent(h).chunk(3, 1)
            z = torch.sigmoid(update + update_before)
            h = (1 - z) * torch.tanh(new + torch.sigmoid(reset + reset_before) * before) + z * h
        return self.scores(h)


def gru() -> tw.Problem:
    """Digits, read row by row."""
    problem = PROBLEMS["digits"]()
    parts = {part: _shaped(getattr(problem, part), (8, 8)) for part in ("train", "validation", "test")}
    return replace(problem, model=Recurrent, name="digits-gru", **parts)


class Residual(nn.Module):
    """x + two 3×3 convolutions with batch normalisation."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inside = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.inside(x))


def residual_network(width: int = 16) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, width, 3, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        Residual(width),
        Residual(width),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(width, 10),
    )


def resnet() -> tw.Problem:
    return replace(PROBLEMS["digits-cnn"](), model=residual_network, name="digits-resnet")


def large() -> tw.Problem:
    """Four million weights, beside which all else that a process takes is small."""
    inputs = torch.randn(256, 2000, generator=torch.Generator().manual_seed(0))
    targets = (inputs.sum(1) > 0).long()
    return tw.Problem(large_network, (inputs, targets), name="large")


def large_network() -> nn.Module:
    return nn.Sequential(nn.Linear(2000, 2000), nn.ReLU(), nn.Linear(2000, 2))


def _shaped(part: tuple[Tensor, Tensor], shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    inputs, targets = part
    return inputs.reshape(-1, *shape), targets


def flops(problem: Prepared) -> int:
    """Of the products and convolutions of a step on a full batch: forward and backward."""
    inputs, targets = (part[:BATCH] for part in problem.train)
    model = problem.model()
    with FlopCounterMode(display=False) as counter:
        problem.loss(model(inputs), targets).backward()
    return counter.get_total_flops()
