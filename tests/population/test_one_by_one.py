"""Members one by one are the members of a batched program, and models that no batched program takes are trained."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from thalweg import formulas, regularizers
from thalweg.errors import TrainingError
from thalweg.population.batched import Batched
from thalweg.population.block import Block, Task
from thalweg.population.member import Member
from thalweg.population.one_by_one import OneByOne

from ..cases import mostly_slow
from .test_block import accuracy, epochs_of, make_task
from .test_layers import DOUBLE, EPOCHS, MODELS, alone, members_of


def task_of(kind: type[Batched], model: Callable[[], nn.Module], dtype: torch.dtype = DOUBLE) -> Task:
    task = make_task(dtype)
    return Task(model, kind(model(), F.cross_entropy, {"accuracy": accuracy}), task.batches, task.validation)


@pytest.mark.slow
@pytest.mark.share(of=3)
@pytest.mark.parametrize("name", mostly_slow(MODELS, "batch norm"))
def test_the_same_as_batched(name: str) -> None:
    batched, single = (Block(task_of(kind, MODELS[name]), members_of(3), EPOCHS) for kind in (Batched, OneByOne))
    before = torch.get_rng_state()
    for one, other in zip(epochs_of(batched), epochs_of(single), strict=True):
        for metric, values in one.items():
            np.testing.assert_allclose(other[metric], values, rtol=1e-9, err_msg=metric)
    assert torch.equal(before, torch.get_rng_state())
    for a, b in zip((*batched.weights, *batched.moving), (*single.weights, *single.moving), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize(
    "name",
    mostly_slow(
        [
            "mixup(0.4)",
            "input_noise(0.1) + l1(1e-3)",
            "weight_noise(0.01)",
            "clip_norm(0.5) + ema(0.9)",
            "label_smoothing(0.1) + early_stopping(1)",
            "cutmix(1.0)",
        ],
        "mixup(0.4)",
    ),
)
def test_regularizers_are_the_same(name: str) -> None:
    found = regularizers.get(name)
    members = [Member(m.formula, m.hyperparameters, {}, m.seed, found) for m in members_of(1)]
    batched, single = (Block(task_of(kind, MODELS["dropout"]), members, EPOCHS) for kind in (Batched, OneByOne))
    for one, other in zip(epochs_of(batched), epochs_of(single), strict=True):
        for metric, values in one.items():
            np.testing.assert_allclose(other[metric], values, rtol=1e-9, err_msg=metric)


class Branches(nn.Module):
    """Goes another way for each batch, by a number taken out of a tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(16, 8, dtype=DOUBLE), nn.Linear(8, 4, dtype=DOUBLE)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = self.first(x.flatten(1))
        return self.second(torch.relu(hidden) if hidden.mean().item() > 0 else torch.tanh(hidden))


class Recurs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rows = nn.LSTM(4, 5, batch_first=True, dtype=DOUBLE)
        self.out = nn.Linear(5, 4, dtype=DOUBLE)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.rows(x.squeeze(1))[0][:, -1])


class InPlace(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.out = nn.Linear(16, 4, dtype=DOUBLE)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        held = torch.zeros(len(x), 4, dtype=DOUBLE)
        held[:] = self.out(x.flatten(1))
        return held


class Samples(nn.Module):
    """Draws what a batched program cannot repeat."""

    def __init__(self) -> None:
        super().__init__()
        self.out = nn.Linear(16, 4, dtype=DOUBLE)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.flatten(1)
        if self.training:
            x = x * (torch.multinomial(torch.ones(16), 12)[:, None] == torch.arange(16)).any(0)
        return self.out(x)


UNBATCHED = {model.__name__: model for model in (Branches, Recurs, InPlace, Samples)}


@pytest.mark.parametrize("name", UNBATCHED)
def test_what_no_batched_program_takes_follows_the_plain_loop(name: str) -> None:
    model = UNBATCHED[name]
    with pytest.raises((TrainingError, RuntimeError)):
        epochs_of(Block(task_of(Batched, model), members_of(5), 1))
    task = task_of(OneByOne, model)
    block = Block(task, members_of(5), EPOCHS)
    curves = np.stack([values["validation_loss"] for values in epochs_of(block)])
    for k, member in enumerate(block.members):
        losses, trained = alone(task, member)
        np.testing.assert_allclose(curves[:, k], losses, rtol=1e-9)
        for stacked, single in zip(block.weights, trained.parameters(), strict=True):
            torch.testing.assert_close(stacked[k], single.detach(), rtol=1e-7, atol=1e-9)


def test_a_diverging_member_changes_no_bit_of_another() -> None:
    members = members_of(0)
    wild = [*members[:1], Member(formulas.get("sgd"), {"lr": 1e300}), *members[2:]]
    calm_block, wild_block = (Block(task_of(OneByOne, MODELS["dropout"]), m, EPOCHS) for m in (members, wild))
    epochs_of(calm_block), epochs_of(wild_block)
    assert wild_block.diverged[1] > 0
    for mine, theirs in zip(
        (*wild_block.weights, *wild_block.moving), (*calm_block.weights, *calm_block.moving), strict=True
    ):
        assert torch.equal(mine[[0, 2, 3]], theirs[[0, 2, 3]])


def test_a_block_goes_on_where_it_was_saved_and_the_model_is_left_as_it_was() -> None:
    task = task_of(OneByOne, MODELS["dropout"])
    structure = [p.clone() for p in task.batched.model.state_dict().values()]
    whole, first, second = (Block(task, members_of(2), EPOCHS) for _ in range(3))
    epochs_of(whole)
    steps = first.train()
    for _ in range(4):
        next(steps)
    second.load({name: tensor.clone() for name, tensor in first.tensors().items()})
    epochs_of(second)
    for name, tensor in whole.tensors().items():
        assert torch.equal(second.tensors()[name], tensor), name
    for before, after in zip(structure, task.batched.model.state_dict().values(), strict=True):
        assert torch.equal(before, after)
