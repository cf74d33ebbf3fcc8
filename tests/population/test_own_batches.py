"""Members with samples, order and initial weights of their own, in one block: each as the same run alone."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from thalweg import formulas, regularizers, schedules
from thalweg.errors import PlanError
from thalweg.population.batched import Batched
from thalweg.population.batches import OwnBatches, TensorBatches
from thalweg.population.block import Block, Task
from thalweg.population.member import Member
from thalweg.population.one_by_one import OneByOne

from ..cases import mostly_slow

pytestmark = [pytest.mark.usefixtures("program"), pytest.mark.everyday(of=2), pytest.mark.share(of=2)]

MEMBERS, SAMPLES, BATCH, EPOCHS = 5, 21, 8, 2
_DRAWN = torch.Generator().manual_seed(3)
INPUTS = torch.randn(SAMPLES, 4, generator=_DRAWN, dtype=torch.float64)
CLASSES = (INPUTS @ torch.randn(4, 3, generator=_DRAWN, dtype=torch.float64)).argmax(1)
ROWS = torch.randint(0, SAMPLES, (MEMBERS, SAMPLES), generator=_DRAWN)
HELD = (INPUTS[:7], CLASSES[:7])


class Frozen(nn.Module):
    """Random features that do not train, and so differ by seed."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Linear(4, 8).requires_grad_(False)
        self.last = nn.Linear(8, 3)
        self.register_buffer("scale", torch.rand(8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(torch.tanh(self.features(x)) * self.scale)


def plain() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3)).double()


def dropping() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.4), nn.Tanh(), nn.Linear(8, 3)).double()


def normalized() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3)).double()


def frozen() -> nn.Module:
    return Frozen().double()


def noisy() -> nn.Module:
    class Noisy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.line = nn.Linear(4, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.line(x + 0.1 * torch.randn_like(x) if self.training else x)

    return Noisy().double()


@functools.cache
def program(model: Callable[[], nn.Module], kind: type[Batched] = Batched) -> Batched:
    torch.manual_seed(0)
    return kind(model(), nn.functional.cross_entropy, {})


def block(
    model: Callable[[], nn.Module],
    members: list[Member],
    batches: OwnBatches | TensorBatches,
    kind: type[Batched] = Batched,
) -> Block:
    batched = program(model, kind)
    made = Block(Task(model, batched, batches, HELD), members, EPOCHS)
    for _ in made.train():
        pass
    return made


def members(regularizer: str | None = None) -> list[Member]:
    rule, moving = formulas.get("adam"), formulas.get("momentum")
    made = []
    for k in range(MEMBERS):
        formula, lr = (rule, 0.01) if k < 3 else (moving, 0.05 * (k - 2))
        made.append(
            Member(formula, {"lr": lr}, {"lr": schedules.get("cosine")}, 7 * k + 1, regularizers.get(regularizer))
        )
    return made


def one_by_one(model: Callable[[], nn.Module], regularizer: str | None) -> None:
    own = members(regularizer)
    together = block(model, own, OwnBatches(INPUTS, CLASSES, BATCH, ROWS, [m.seed for m in own]))
    losses = together.evaluate(*HELD)["loss"]
    for k, member in enumerate(own):
        alone = block(model, [member], TensorBatches(INPUTS, CLASSES, BATCH, ROWS[k]))
        for mine, whole in zip(alone.weights, together.weights, strict=True):
            torch.testing.assert_close(whole[k], mine[0], rtol=1e-9, atol=1e-11)
        for mine, whole in zip(alone.moving, together.moving, strict=True):
            torch.testing.assert_close(whole[k], mine[0], rtol=1e-9, atol=1e-11)
        assert alone.evaluate(*HELD)["loss"][0] == pytest.approx(losses[k], rel=1e-9)
    assert len(set(losses.round(9))) == MEMBERS


@pytest.mark.parametrize("model", mostly_slow([plain, dropping, normalized, frozen, noisy], dropping, normalized))
def test_every_kind_of_model_trains_as_alone(model: Callable[[], nn.Module]) -> None:
    one_by_one(model, None)


@pytest.mark.slow
@pytest.mark.parametrize(
    "regularizer", mostly_slow(["mixup(0.4)", "input_noise(0.2)", "weight_noise(0.1)", "ema", "early_stopping"], "ema")
)
def test_every_kind_of_regularizer_acts_as_alone(regularizer: str) -> None:
    one_by_one(plain, regularizer)


@pytest.mark.parametrize("model", mostly_slow([dropping, frozen], dropping))
def test_one_by_one_they_are_the_same(model: Callable[[], nn.Module]) -> None:
    own = members("mixup(0.4)")
    batches = OwnBatches(INPUTS, CLASSES, BATCH, ROWS, [m.seed for m in own])
    together, apart = (block(model, own, batches, kind) for kind in (Batched, OneByOne))
    for whole, mine in zip(together.weights, apart.weights, strict=True):
        torch.testing.assert_close(whole, mine, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(together.evaluate(*HELD)["loss"], apart.evaluate(*HELD)["loss"], rtol=1e-9)


def test_batches_are_those_of_each_member_alone() -> None:
    seeds = [4, 4, 9, 0, 1]
    own = OwnBatches(INPUTS, CLASSES, BATCH, ROWS, seeds)
    assert own.steps == 3
    for epoch in range(2):
        together = list(own.epoch(0, epoch))
        for k, seed in enumerate(seeds):
            alone = list(TensorBatches(INPUTS, CLASSES, BATCH, ROWS[k]).epoch(seed, epoch))
            for (x, y), (mine, labels) in zip(together, alone, strict=True):
                assert torch.equal(x[k], mine)
                assert torch.equal(y[k], labels)


def test_members_that_share_their_batches_have_one_seed() -> None:
    with pytest.raises(PlanError, match="have one seed"):
        block(plain, members(), TensorBatches(INPUTS, CLASSES, BATCH))


def test_a_member_that_diverges_changes_no_bit_of_another() -> None:
    own = members()
    calm = block(plain, own, OwnBatches(INPUTS, CLASSES, BATCH, ROWS, [m.seed for m in own]))
    wild = Member(own[4].formula, {"lr": 1e308}, {}, own[4].seed)
    mixed = block(plain, [*own[:4], wild], OwnBatches(INPUTS, CLASSES, BATCH, ROWS, [m.seed for m in own]))
    assert (mixed.diverged >= 0).tolist() == [False] * 4 + [True]
    for mine, theirs in zip(calm.weights, mixed.weights, strict=True):
        assert torch.equal(mine[:4], theirs[:4])
