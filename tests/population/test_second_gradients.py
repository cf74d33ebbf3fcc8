"""Members whose rule takes a second gradient: each goes where the same run alone goes, by every program."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import thalweg as tw
from thalweg import formulas
from thalweg.errors import PlanError
from thalweg.population.batched import Batched
from thalweg.population.batches import TensorBatches, order_seed
from thalweg.population.block import Block, Task, initial_tensors
from thalweg.population.compiled import Compiled
from thalweg.population.member import Member

pytestmark = pytest.mark.usefixtures("program")
EPOCHS, RADIUS = 3, 0.2
RULES = ["sam(sgd)", "sam(lamb)", "sam(nesterov(lookahead=True))"]


def normed() -> nn.Module:
    """Whose running statistics every gradient moves."""
    return nn.Sequential(nn.Linear(6, 8, bias=False), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 2)).double()


def task_of() -> Task:
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(50, 6, generator=generator, dtype=torch.float64)
    classes = (inputs.sum(1) > 0).long()
    with torch.random.fork_rng():
        batched = Batched(normed(), F.cross_entropy, {})
    return Task(normed, batched, TensorBatches(inputs[:40], classes[:40], 16), (inputs[40:], classes[40:]))


def alone(task: Task, rule: str, lr: float) -> nn.Module:
    """The same run by the drop-in, which is held to the equations in kernels/test_second.py."""
    torch.manual_seed(0)
    model = task.model()
    optimizer = tw.optim.from_formula(rule)(model.parameters(), lr=lr, radius=RADIUS)
    batches = task.batches
    assert isinstance(batches, TensorBatches)
    for epoch in range(EPOCHS):
        order = torch.randperm(40, generator=torch.Generator().manual_seed(order_seed(0, epoch)))
        for chosen in order.split(batches.batch_size):
            x, y = batches.data.inputs[chosen], batches.data.targets[chosen]

            def closure(x: torch.Tensor = x, y: torch.Tensor = y) -> torch.Tensor:
                optimizer.zero_grad()
                value = F.cross_entropy(model(x), y)
                value.backward()
                return value

            optimizer.step(closure)
    return model


def trained(task: Task, members: list[Member]) -> Block:
    block = Block(task, members, EPOCHS)
    for _ in block.train():
        pass
    return block


def test_every_member_follows_the_path_of_the_same_run_alone() -> None:
    task, lr = task_of(), 0.1
    members = [Member(formulas.get(rule), {"lr": lr, "radius": RADIUS}) for rule in RULES]
    block = trained(task, [*members, Member(formulas.get("sgd"), {"lr": lr})])
    assert (block.stepper is None) == isinstance(task.batched, Compiled)
    for k, rule in enumerate(RULES):
        model = alone(task, rule, lr)
        for stacked, single in zip(block.weights, model.parameters(), strict=True):
            torch.testing.assert_close(stacked[k], single.detach(), rtol=1e-9, atol=1e-11)
        moved = dict(model.named_buffers())
        for name, stacked in zip(task.batched.moving, block.moving, strict=True):
            torch.testing.assert_close(stacked[k], moved[name], rtol=1e-9, atol=1e-11)
        begun = initial_tensors(task.model, 0)[0]["0.weight"]
        assert not torch.allclose(block.weights[0][k], begun, atol=1e-3)


def test_neighbours_with_one_gradient_are_what_they_are_without_it() -> None:
    task = task_of()
    calm = [Member(formulas.get("sgd"), {"lr": 0.1}), Member(formulas.get("adam"), {"lr": 0.01})]
    with_it = trained(task, [*calm, Member(formulas.get("sam(sgd)"), {"lr": 0.1})])
    without = trained(task, [*calm, Member(formulas.get("sgd"), {"lr": 0.2})])
    for one, other in zip((*with_it.weights, *with_it.moving), (*without.weights, *without.moving), strict=True):
        assert torch.equal(one[:2], other[:2])


def test_one_whose_loss_is_not_finite_stays_where_it_was() -> None:
    task = task_of()
    members = [Member(formulas.get("sam(sgd)"), {"lr": lr}) for lr in (0.1, 1e308)]
    block = trained(task, members)
    assert block.broken[0] == -1 < block.broken[1]
    lonely = trained(task, members[:1])
    np.testing.assert_array_equal(block.weights[0][0], lonely.weights[0][0])


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("cautious(nesterov(lookahead=True))", "takes its gradient ahead and looks beyond one weight"),
        ("cautious(schedule_free_sgd)", "shows other weights than it trains and looks beyond one weight"),
    ],
)
def test_what_a_population_cannot_train_is_said(rule: str, words: str) -> None:
    with pytest.raises(PlanError, match=words):
        trained(task_of(), [Member(formulas.get(rule), {"lr": 0.1})])
