"""Members with parameter groups follow torch.optim with its own param_groups, however they are trained."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load, save
from torch import nn
from torch.optim import Optimizer, lr_scheduler

import thalweg as tw
from thalweg import formulas, regularizers, schedules
from thalweg.errors import PlanError
from thalweg.population.batched import Batched
from thalweg.population.batches import TensorBatches
from thalweg.population.block import Block, Task
from thalweg.population.compiled import Compiled
from thalweg.population.groups import ParameterGroup, ParameterGroups
from thalweg.population.member import Member
from thalweg.population.one_by_one import OneByOne

from ..cases import mostly_slow

_draw = torch.Generator().manual_seed(0)
X = torch.randn(96, 5, generator=_draw, dtype=torch.float64)
Y = torch.randint(0, 3, (96,), generator=_draw)
DECAY, RATES, EPOCHS = 0.2, (0.01, 0.03), 3


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(5, 8), nn.LayerNorm(8), nn.Tanh(), nn.Linear(8, 3)).double()


GROUPS = ParameterGroups(
    "three",
    (
        ParameterGroup(("0.bias", "3.bias"), {"weight_decay": 0.0}),
        ParameterGroup(("1.weight", "1.bias"), {"weight_decay": 0.0}, {"lr": 3.0}),
        ParameterGroup(("3.weight",), {"beta1": 0.7, "momentum": 0.5}, {"lr": 0.1, "weight_decay": 0.5}),
    ),
    others=1,
)


def params(model: Any, lr: float, **of_head: Any) -> list[dict[str, Any]]:
    """The same as torch's own list."""
    first, norm, _, head = model
    return [
        {"params": [first.weight]},
        {"params": [first.bias, head.bias], "weight_decay": 0.0},
        {"params": list(norm.parameters()), "weight_decay": 0.0, "lr": 3 * lr},
        {"params": [head.weight], "weight_decay": DECAY / 2, "lr": lr / 10, **of_head},
    ]


@tw.formula()
def ahead(g, t, a, *, lr=1e-3, momentum=0.9, weight_decay=0.0):
    """Looks further ahead from step to step."""
    new = momentum * a - lr * g
    return tw.Update(new, at=momentum * a * t / (t + 1), a=new)


RULES = {"ahead": ahead}
BETAS = {"betas": (0.7, 0.999)}
PLAIN: dict[str, Callable[[Any, float], Optimizer]] = {
    "adamw": lambda m, lr: torch.optim.AdamW(params(m, lr, **BETAS), lr=lr, weight_decay=DECAY),
    "nesterov": lambda m, lr: torch.optim.SGD(
        params(m, lr, momentum=0.5), lr=lr, momentum=0.9, nesterov=True, weight_decay=DECAY
    ),
    # Rates and products that a rule keeps once, and not for each weight
    "nadam": lambda m, lr: torch.optim.NAdam(params(m, lr, **BETAS), lr=lr, weight_decay=DECAY),
    # The gradient is taken ahead of the weights, by each group's own rate and momentum.
    "nesterov(lookahead=True)": lambda m, lr: tw.optim.from_formula("nesterov(lookahead=True)")(
        params(m, lr, momentum=0.5), lr=lr, momentum=0.9, weight_decay=DECAY
    ),
    "ahead": lambda m, lr: tw.optim.from_formula(ahead)(params(m, lr, momentum=0.5), lr=lr),
    "rprop": lambda m, lr: torch.optim.Rprop(params(m, lr), lr=lr),
}


def member(name: str, lr: float, **more: Any) -> Member:
    rule = RULES.get(name) or formulas.get(name)
    given = {"lr": lr} | ({"weight_decay": DECAY} if "weight_decay" in rule.hyperparameters else {})
    return Member(rule, given, schedules.get("cosine").on(rule.hyperparameters), groups=GROUPS, **more)


def block(kind: type[Batched], members: list[Member]) -> Block:
    task = Task(network, kind(network(), "cross_entropy", {}), TensorBatches(X, Y, 32), (X[:20], Y[:20]))
    return Block(task, members, EPOCHS)


def plain(make: Callable[[Any, float], Optimizer], lr: float, decoupled: float = 0.0) -> float:
    """The validation loss of the same run in a plain loop."""
    torch.manual_seed(0)
    model = network()
    optimizer = make(model, lr)
    scheduler = lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS * 3)
    for epoch in range(EPOCHS):
        for rows in torch.randperm(96, generator=torch.Generator().manual_seed(epoch)).split(32):

            def closure(rows: torch.Tensor = rows) -> Any:
                optimizer.zero_grad()
                loss = nn.functional.cross_entropy(model(X[rows]), Y[rows])
                loss.backward()
                with torch.no_grad():
                    for group in optimizer.param_groups if decoupled else ():
                        for p in group["params"]:
                            p.mul_(1 - group["lr"] * decoupled)
                return loss

            optimizer.step(closure)
            scheduler.step()
    with torch.no_grad():
        return float(nn.functional.cross_entropy(model(X[:20]), Y[:20]))


def losses(trained: Block) -> np.ndarray:
    epochs = [epoch for epoch in trained.train() if epoch is not None]
    return epochs[-1].values["validation_loss"]


@pytest.mark.parametrize("kind", [Compiled, Batched, OneByOne])
def test_formulas_follow_torch_with_its_groups(kind: type[Batched]) -> None:
    """Rates at a factor, decay of its own, betas and momentum of one group, under a schedule."""
    runs = list(itertools.product(PLAIN, RATES))
    found = losses(block(kind, [member(*run) for run in runs]))
    expected = [plain(PLAIN[name], lr) for name, lr in runs]
    assert found.tolist() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("kind", [Compiled, Batched])
def test_decoupled_decay_goes_by_the_rate_of_each_group(kind: type[Batched]) -> None:
    one = regularizers.get("decoupled_decay(0.5)")
    found = losses(block(kind, [member("adamw", lr, regularizer=one) for lr in RATES]))
    assert found.tolist() == pytest.approx([plain(PLAIN["adamw"], lr, 0.5) for lr in RATES], rel=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("kind", mostly_slow([Compiled, Batched], Compiled))
def test_a_checkpoint_and_another_block_go_on_bit_for_bit(kind: type[Batched]) -> None:
    """States once per group, and plateaus that remember, among them."""
    rules = [
        Member(formulas.get(n), {"lr": lr}, schedules.get("lr: plateau(patience=0)").on(("lr",)), groups=GROUPS)
        for n, lr in itertools.product(("nadam", "rprop"), (0.02, 0.3))
    ]
    whole, first, moved = (block(kind, rules) for _ in range(3))
    expected = losses(whole)
    for _ in first.train(until=2):
        pass
    again = block(kind, rules)
    again.load(load(save({name: t.contiguous() for name, t in first.tensors().items()})))
    moved.adopt(first, [(0, 0), (1, 1), (2, 2), (3, 3)])
    swapped = block(kind, [rules[1], rules[0], rules[3]])
    swapped.adopt(first, [(0, 1), (1, 0), (2, 3)])
    assert losses(again).tolist() == expected.tolist() == losses(moved).tolist()
    assert losses(swapped).tolist() == expected[[1, 0, 3]].tolist()


def test_members_of_one_block_share_their_groups() -> None:
    with pytest.raises(PlanError, match="members of one block share their parameter groups"):
        block(Batched, [member("adamw", 0.1), Member(formulas.get("adamw"))])
