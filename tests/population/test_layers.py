"""Batch normalization, dropout and other layers that keep or draw numbers: in a population as alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from thalweg import formulas
from thalweg.population.batched import Batched
from thalweg.population.batches import order_seed
from thalweg.population.block import Block, Task
from thalweg.population.member import Member
from thalweg.regularizers import draw_seed

from ..cases import mostly_slow
from .test_block import EPOCHS, accuracy, epochs_of, make_task

pytestmark = pytest.mark.usefixtures("program")

DOUBLE = torch.float64


class Attends(nn.Module):
    """Dropout behind a transposition, in attention, and as a function; noise of two kinds."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.MultiheadAttention(4, 2, dropout=0.4, batch_first=True, dtype=DOUBLE)
        self.drop, self.out = nn.Dropout1d(0.3), nn.Linear(16, 4, dtype=DOUBLE)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows = x[:, 0]  # (batch, 4, 4)
        rows = rows + self.mix(rows, rows, rows, need_weights=False)[0]
        rows = F.dropout(rows.transpose(1, 2), 0.2, self.training)
        if self.training:
            rows = rows + 0.1 * torch.randn_like(rows) + 0.1 * torch.rand(4, dtype=DOUBLE)
        return self.out(self.drop(rows).flatten(1))


class Counts(nn.Module):
    """Moves buffers in its own ways: one in place, one anew, one never."""

    def __init__(self) -> None:
        super().__init__()
        self.out = nn.Linear(16, 4, dtype=DOUBLE)
        self.register_buffer("mean", torch.zeros(4, dtype=DOUBLE))
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))
        self.register_buffer("mask", torch.ones(16, dtype=DOUBLE))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.out(x.flatten(1) * self.mask)
        if self.training:
            self.mean = 0.9 * self.mean + 0.1 * y.detach().mean(0)
            self.calls += 1
        return y - self.mean


def normed(**options: object) -> Callable[[], nn.Module]:
    def model() -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(1, 3, 3, dtype=DOUBLE),
            nn.BatchNorm2d(3, dtype=DOUBLE, **options),
            nn.ReLU(),
            nn.Flatten(),  # type: ignore[arg-type]
            nn.Linear(12, 6, dtype=DOUBLE),
            nn.BatchNorm1d(6, dtype=DOUBLE),
            nn.Linear(6, 4, dtype=DOUBLE),
        )

    return model


def frozen() -> nn.Module:
    model = normed()()
    for p in model[1].parameters():  # type: ignore[index]
        p.requires_grad_(False)
    return model


def instances() -> nn.Module:
    norm = nn.InstanceNorm2d(3, track_running_stats=True, affine=True, dtype=DOUBLE)
    return nn.Sequential(nn.Conv2d(1, 3, 3, dtype=DOUBLE), norm, nn.Flatten(), nn.Linear(12, 4, dtype=DOUBLE))


def dropping() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1, dtype=DOUBLE),
        nn.Dropout2d(0.3),
        nn.BatchNorm2d(3, dtype=DOUBLE),
        nn.ReLU(),
        nn.Flatten(),
        nn.Dropout(0.4),
        nn.Linear(48, 4, dtype=DOUBLE),
        nn.AlphaDropout(0.1),
    )


MODELS: dict[str, Callable[[], nn.Module]] = {
    "batch norm": normed(),
    "of cumulative statistics": normed(momentum=None),
    "without weights": normed(affine=False),
    "of frozen weights": frozen,
    "instance norm": instances,
    "own buffers": Counts,
    "dropout": dropping,
    "attention": Attends,
}


def task_of(model: Callable[[], nn.Module]) -> Task:
    task = make_task()
    return Task(model, Batched(model(), F.cross_entropy, {"accuracy": accuracy}), task.batches, task.validation)


def members_of(seed: int) -> list[Member]:
    rates = {"sgd": (0.1, 0.3), "adam": (0.01, 0.03)}
    return [Member(formulas.get(name), {"lr": lr}, {}, seed) for name, two in rates.items() for lr in two]


def alone(task: Task, member: Member) -> tuple[list[float], nn.Module]:
    torch.manual_seed(member.seed)
    model = task.model()
    kind = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[member.formula.name]
    optimizer = kind([p for p in model.parameters() if p.requires_grad], lr=member.hyperparameters["lr"])
    step, losses, batches = 0, [], task.batches
    for epoch in range(EPOCHS):
        model.train()
        generator = torch.Generator().manual_seed(order_seed(member.seed, epoch))
        for chosen in torch.randperm(len(batches.data.inputs), generator=generator).split(batches.batch_size):  # type: ignore[attr-defined]
            torch.manual_seed(draw_seed(member.seed, step))
            optimizer.zero_grad()
            F.cross_entropy(model(batches.data.inputs[chosen]), batches.data.targets[chosen]).backward()  # type: ignore[attr-defined]
            optimizer.step()
            step += 1
        model.eval()
        with torch.no_grad():
            losses.append(F.cross_entropy(model(task.validation[0]), task.validation[1]).item())
    return losses, model


@pytest.mark.slow
@pytest.mark.share(of=4)
@pytest.mark.parametrize("name", mostly_slow(MODELS, "batch norm", "dropout"))
def test_a_layer_in_a_population_is_the_same_alone(name: str) -> None:
    task = task_of(MODELS[name])
    block = Block(task, members_of(seed=4), EPOCHS)
    before = torch.get_rng_state()
    curves = np.stack([values["validation_loss"] for values in epochs_of(block)])
    assert torch.equal(before, torch.get_rng_state()), "the global random state is not the block's"
    for k, member in enumerate(block.members):
        losses, model = alone(task, member)
        np.testing.assert_allclose(curves[:, k], losses, rtol=1e-9)
        buffers = dict(model.named_buffers())
        for moving, stacked in zip(task.batched.moving, block.moving, strict=True):
            torch.testing.assert_close(stacked[k], buffers[moving], rtol=1e-7, atol=1e-9)


def test_what_moves_is_found() -> None:
    found = {name: task_of(model) for name, model in MODELS.items()}
    for task in found.values():
        Block(task, members_of(0), EPOCHS)
    assert found["own buffers"].batched.moving == ["mean", "calls"]
    assert found["own buffers"].batched.fixed == ["mask"]
    assert len(found["batch norm"].batched.moving) == 6
    assert found["attention"].batched.moving == []


@pytest.mark.slow
@pytest.mark.share(of=3)
@pytest.mark.parametrize("stop", mostly_slow([1, 3, 4, 6], 4))
def test_running_statistics_and_masks_go_on_where_they_were(stop: int) -> None:
    task = task_of(dropping)
    whole, first, second = (Block(task, members_of(2), EPOCHS) for _ in range(3))
    epochs_of(whole)
    steps = first.train()
    for _ in range(stop):
        next(steps)
    second.load({name: tensor.clone() for name, tensor in first.tensors().items()})
    epochs_of(second)
    assert "moving.0" in whole.tensors()
    for name, tensor in whole.tensors().items():
        assert torch.equal(second.tensors()[name], tensor), name


def test_a_diverging_member_leaves_the_others_their_statistics_and_masks() -> None:
    task, members = task_of(dropping), members_of(0)
    wild = [*members[:1], Member(members[1].formula, {"lr": 1e300}), *members[2:]]
    calm_block, wild_block = Block(task, members, EPOCHS), Block(task, wild, EPOCHS)
    epochs_of(calm_block), epochs_of(wild_block)
    assert wild_block.diverged[1] > 0
    others = [0, 2, 3]
    for mine, theirs in zip(
        (*wild_block.weights, *wild_block.moving), (*calm_block.weights, *calm_block.moving), strict=True
    ):
        assert torch.equal(mine[others], theirs[others])


def test_a_model_that_cannot_be_traced_drops_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    traced = epochs_of(Block(task_of(dropping), members_of(0), EPOCHS))

    def refuse(*args: object, **kwargs: object) -> None:
        raise RuntimeError("cannot trace")

    monkeypatch.setattr("thalweg.population.batched.make_fx", refuse)
    untraced = epochs_of(Block(task_of(dropping), members_of(0), EPOCHS))
    for one, other in zip(traced, untraced, strict=True):
        for metric, values in one.items():
            np.testing.assert_allclose(values, other[metric], rtol=1e-9)


@pytest.mark.slow
def test_seeds_drop_differently_and_their_steps_never_meet() -> None:
    seeds = [draw_seed(seed, step) for seed in range(50) for step in range(2000)]
    assert len(set(seeds)) == len(seeds)
    task = task_of(dropping)
    masks = []
    for seed in (0, 0, 1):
        torch.manual_seed(draw_seed(seed, 0))
        masks.append(F.dropout(torch.ones(100), 0.5))
    assert torch.equal(masks[0], masks[1])
    assert not torch.equal(masks[0], masks[2])
    curves = [epochs_of(Block(task, members_of(seed), 1))[0]["train_loss"] for seed in (0, 1)]
    assert not np.allclose(*curves)
