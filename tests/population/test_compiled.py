"""Many steps in one call: the same bits however they are cut, on however many threads; what is out of range is said."""

from __future__ import annotations

import platform
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from thalweg import formulas, regularizers
from thalweg.errors import TrainingError
from thalweg.population.batches import TensorBatches
from thalweg.population.block import Block, Task
from thalweg.population.compiled import Compiled
from thalweg.population.member import Member

from ..cases import mostly_slow

INPUTS = torch.randn(50, 6, generator=torch.Generator().manual_seed(1))
CLASSES = (INPUTS.sum(1) > 0).long()
IDS = torch.randint(9, (50, 4), generator=torch.Generator().manual_seed(2))


def normed() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Dropout(0.2), nn.ReLU(), nn.Linear(8, 2))


class Embeds(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table, self.out = nn.Embedding(9, 4), nn.Linear(4, 2)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.out(self.table(ids).mean(1))


def task_of(model: Any, inputs: torch.Tensor = INPUTS, batch_size: int = 16) -> Task:
    with torch.random.fork_rng():
        program = Compiled(model(), F.cross_entropy, {})
    held = (inputs[:10], CLASSES[:10])
    return Task(model, program, TensorBatches(inputs, CLASSES, batch_size), held)


def members(regularizer: str | None = None) -> list[Member]:
    kept = regularizers.get(regularizer)
    rules = [("adam", 0.01), ("adam", 1e30), ("sgd", 0.1), ("nesterov(lookahead=True)", 0.05)]
    return [Member(formulas.get(name), {"lr": lr}, {}, 3, kept) for name, lr in rules]


def trained(task: Task, made: list[Member], pause: float = 0.2) -> dict[str, torch.Tensor]:
    block = Block(task, made, 3)
    for _ in block.train(pause=pause):
        pass
    assert isinstance(task.batched, Compiled)
    assert task.batched.uncovered is None
    return block.tensors()


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    for name, tensor in one.items():
        assert np.array_equal(tensor.numpy(), other[name].numpy(), equal_nan=True), name


@pytest.mark.parametrize("regularizer", mostly_slow([None, "ema(0.9) + decoupled_decay(0.01)", "mixup(0.4)"], None))
def test_steps_are_the_same_in_one_call_and_one_at_a_time(regularizer: str | None) -> None:
    made = members(regularizer)[: 3 if regularizer and "decay" in regularizer else None]
    together, single = (trained(task_of(normed), made, pause) for pause in (60.0, 0.0))
    assert (together["diverged"] >= 0).tolist()[:2] == [False, True]
    same(together, single)


def test_blocks_at_work_at_once_do_not_meet() -> None:
    task, made = task_of(normed), members()
    alone = trained(task, made)
    with ThreadPoolExecutor(4) as pool:
        for one in pool.map(lambda _: trained(task, made), range(8)):
            same(alone, one)


def test_a_member_has_the_same_bits_in_any_company() -> None:
    task, made = task_of(normed), members()
    alone, together = trained(task, made[:1]), trained(task, made)
    for i in range(6):
        assert torch.equal(alone[f"weight.{i}"][0], together[f"weight.{i}"][0])


@pytest.mark.parametrize("bad", [9, 10**12, -1])
def test_an_id_out_of_range_is_said(bad: int) -> None:
    ids = IDS.clone()
    ids[40, 1] = bad
    with pytest.raises(TrainingError, match="a token id or another index in the data is out of range"):
        trained(task_of(Embeds, ids), members()[:1])
    trained(task_of(Embeds, IDS), members()[:1])


@pytest.mark.skipif(platform.machine().lower() not in ("x86_64", "amd64"), reason="only these processors flush numbers")
def test_denormal_numbers_are_zero_where_no_rule_can_tell() -> None:
    """Adagrad takes decayed weights that nothing else moves to 0 within some steps, through all denormal numbers."""
    inputs = torch.randn(32, 4, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 1.0, 0.0, 0.0])
    targets = (inputs[:, 0] > 0).long()

    def model() -> nn.Module:
        return nn.Linear(4, 2)

    task = Task(model, Compiled(model(), F.cross_entropy, {}), TensorBatches(inputs, targets, 8), (inputs, targets))

    def denormal(w: torch.Tensor) -> int:
        return int(((w != 0) & (w.abs() < torch.finfo(w.dtype).tiny)).sum())

    rules = {"adagrad": {"lr": 0.1, "weight_decay": 0.01}, "lion": {"lr": 1e-4, "weight_decay": 0.0}}
    block = Block(task, [Member(formulas.get(name), values, {}, 0) for name, values in rules.items()], 60)
    met = 0
    for _ in block.train():
        met += denormal(block.weights[0][0])
    assert met == 0
    assert denormal(torch.tensor([1e-40]) * torch.ones(1)) == 1  # and the thread computes as before
    assert [part.flushes for part in block.updates] == [True, False]
    torch.manual_seed(0)
    plain = model()
    optimizer = torch.optim.Adagrad(plain.parameters(), lr=0.1, weight_decay=0.01)
    for _ in range(240):
        optimizer.zero_grad()
        F.cross_entropy(plain(inputs), targets).backward()
        optimizer.step()
        met += denormal(plain.weight.detach())
    assert met > 0
