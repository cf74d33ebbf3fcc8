"""Members whose rule estimates curvature on sampled targets: each goes where the same run alone goes, in every way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import thalweg as tw
from thalweg import formulas, losses
from thalweg.errors import PlanError
from thalweg.population.batched import Batched
from thalweg.population.batches import OwnBatches, TensorBatches, order_seed
from thalweg.population.block import Block, Task, initial_tensors
from thalweg.population.compiled import Compiled
from thalweg.population.member import Member
from thalweg.regularizers import get as regularizer
from thalweg.regularizers.base import draw_seed

pytestmark = [pytest.mark.usefixtures("program"), pytest.mark.everyday(of=4), pytest.mark.share(of=3)]
SAMPLES, BATCH, EPOCHS = 40, 16, 5
RULES = {"sophia_g(every=4,rho=0.5)": 0.02, "lookahead(sophia_g(every=3,rho=0.5),steps=2)": 0.02}
# the first takes a second gradient too, the last looks beyond one weight
RULES |= {"sam(sophia_g(every=4,rho=0.5),radius=0.1)": 0.02, "cautious(sophia_g(every=4,rho=0.5))": 0.02}


def normed() -> nn.Module:
    """Draws numbers, and has running statistics that every gradient moves."""
    layers = nn.Linear(6, 8, bias=False), nn.BatchNorm1d(8), nn.Tanh(), nn.Dropout(0.3), nn.Linear(8, 3)
    return nn.Sequential(*layers).double()


def small() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3)).double()


class Positions(nn.Module):
    """Scores (samples, positions, classes), as of a language model."""

    def __init__(self) -> None:
        super().__init__()
        self.seen, self.scores = nn.Linear(2, 5), nn.Linear(5, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.scores(torch.tanh(self.seen(x.unflatten(1, (3, 2)))))


def positions() -> nn.Module:
    return Positions().double()


INPUTS = torch.randn(SAMPLES + 10, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
CLASSES = (INPUTS.sum(1) > 0).long() + (INPUTS[:, 0] > 1).long()
WORDS = torch.stack([(INPUTS[:, k] > 0).long() + (INPUTS[:, k + 1] > 0.5).long() for k in range(3)], 1)
WORDS[::5, 1] = -100  # which the loss ignores


@dataclass(frozen=True)
class Case:
    model: Callable[[], nn.Module]
    loss: str
    targets: Tensor


CASES = {
    "classes": Case(normed, "cross_entropy", CLASSES),
    "language": Case(positions, "cross_entropy", WORDS),
    "answers": Case(small, "bce", torch.stack([CLASSES > 0, CLASSES > 1, INPUTS[:, 3] > 0], 1).double()),
    "numbers": Case(small, "mse", INPUTS[:, :3].sin()),
}


def task_of(case: Case) -> Task:
    with torch.random.fork_rng():
        batched = Batched(case.model(), losses.get(case.loss), {})
    data = INPUTS[:SAMPLES], case.targets[:SAMPLES]
    return Task(case.model, batched, TensorBatches(*data, BATCH), (INPUTS[SAMPLES:], case.targets[SAMPLES:]))


def batches(seed: int) -> Iterator[Tensor]:
    for epoch in range(EPOCHS):
        order = torch.randperm(SAMPLES, generator=torch.Generator().manual_seed(order_seed(seed, epoch)))
        yield from order.split(BATCH)


def alone(case: Case, rule: str, lr: float, seed: int = 0) -> nn.Module:
    """The same run by the drop-in, which is held to the equations in kernels/test_sampled.py."""
    torch.manual_seed(seed)
    model, loss = case.model(), losses.get(case.loss)
    optimizer = tw.optim.from_formula(rule)(model.parameters(), lr=lr)
    for step, chosen in enumerate(batches(seed)):

        def gradient(of: Callable[..., Tensor], chosen: Tensor = chosen, step: int = step) -> Tensor:
            optimizer.zero_grad()
            torch.manual_seed(draw_seed(seed, step))
            value = of(model(INPUTS[chosen]), case.targets[chosen])
            value.backward()
            return value

        optimizer.step(lambda gradient=gradient: gradient(loss), lambda gradient=gradient: gradient(loss.sampled))
    return model


def trained(task: Task, members: list[Member], until: int | None = None) -> Block:
    block = Block(task, members, EPOCHS)
    for _ in block.train(until):
        pass
    return block


def same(block: Block, k: int, model: nn.Module, begun: Tensor) -> None:
    for stacked, single in zip(block.weights, model.parameters(), strict=True):
        torch.testing.assert_close(stacked[k], single.detach(), rtol=1e-9, atol=1e-11)
    moved = dict(model.named_buffers())
    for name, stacked in zip(block.task.batched.moving, block.moving, strict=True):
        torch.testing.assert_close(stacked[k], moved[name], rtol=1e-9, atol=1e-11)
    assert not torch.allclose(block.weights[0][k], begun, atol=1e-3)


@pytest.mark.parametrize("name", CASES)
def test_every_member_follows_the_path_of_the_same_run_alone(name: str) -> None:
    case = CASES[name]
    task = task_of(case)
    members = [Member(formulas.get(rule), {"lr": lr}) for rule, lr in RULES.items()]
    block = trained(task, [*members, Member(formulas.get("sgd"), {"lr": 0.1})])
    assert (block.stepper is None) == isinstance(task.batched, Compiled)
    begun = next(iter(initial_tensors(case.model, 0)[0].values()))
    for k, (rule, lr) in enumerate(RULES.items()):
        same(block, k, alone(case, rule, lr), begun)


def test_members_of_different_seeds_draw_their_own_targets() -> None:
    case, seeds = CASES["classes"], (0, 3)
    shared = task_of(case)
    rows = torch.arange(SAMPLES).repeat(2, 1)
    own = OwnBatches(INPUTS[:SAMPLES], case.targets[:SAMPLES], BATCH, rows, seeds)
    rule, lr = next(iter(RULES.items()))
    members = [Member(formulas.get(rule), {"lr": lr}, seed=seed) for seed in seeds]
    block = trained(Task(case.model, shared.batched, own, shared.validation), members)
    for k, seed in enumerate(seeds):
        begun = next(iter(initial_tensors(case.model, seed)[0].values()))
        same(block, k, alone(case, rule, lr, seed), begun)


def by_hand(rate: float, rho: float, every: int) -> tuple[np.ndarray, np.ndarray]:
    """Softmax regression in NumPy; the targets that are drawn are those of the stated numbers."""
    w, b = (t.numpy().copy() for t in initial_tensors(linear, 0)[0].values())
    tensors = [w, b]
    m, h = ([np.zeros_like(t) for t in tensors] for _ in range(2))
    for step, chosen in enumerate(batches(0)):
        x, ids = INPUTS[chosen].numpy(), CLASSES[chosen].numpy()
        scores = x @ tensors[0].T + tensors[1]
        chances = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)

        def gradients(labels: np.ndarray, chances: np.ndarray = chances, x: np.ndarray = x) -> list[np.ndarray]:
            slopes = (chances - np.eye(3)[labels]) / len(x)
            return [slopes.T @ x, slopes.sum(0)]

        if step % every == 0:
            generator = torch.Generator().manual_seed(draw_seed(0, step))
            uniform = torch.rand(scores.shape, generator=generator, dtype=torch.float64).numpy()
            labels = (scores - np.log(-np.log(uniform))).argmax(1)
            h = [0.99 * y + 0.01 * len(x) * g**2 for y, g in zip(h, gradients(labels), strict=True)]
        m = [0.965 * a + 0.035 * g for a, g in zip(m, gradients(ids), strict=True)]
        ratios = [np.minimum(np.abs(a) / (rho * y + 1e-15), 1) for a, y in zip(m, h, strict=True)]
        tensors = [t - rate * 0.1 * t - rate * np.sign(a) * r for t, a, r in zip(tensors, m, ratios, strict=True)]
    return tensors[0], tensors[1]


def linear() -> nn.Module:
    return nn.Linear(6, 3).double()


def test_a_population_goes_where_the_equations_go() -> None:
    task = task_of(Case(linear, "cross_entropy", CLASSES))
    members = [Member(formulas.get("sophia_g(every=2)"), {"lr": lr, "rho": rho}) for lr, rho in ((0.1, 0.04), (0.2, 1))]
    block = trained(task, members)
    for k, (lr, rho) in enumerate(((0.1, 0.04), (0.2, 1))):
        for stack, truth in zip(block.weights, by_hand(lr, rho, 2), strict=True):
            assert np.linalg.norm(stack[k].numpy() - truth) <= 1e-10 * np.linalg.norm(truth)


@pytest.mark.slow
def test_a_run_that_is_taken_up_again_has_the_same_bits() -> None:
    case = CASES["classes"]
    members = [Member(formulas.get(rule), {"lr": lr}) for rule, lr in RULES.items()]
    whole, first = trained(task_of(case), members), Block(task_of(case), members, EPOCHS)
    for _ in first.train(until=3):
        pass
    second = Block(task_of(case), members, EPOCHS)
    second.load({name: tensor.clone() for name, tensor in first.tensors().items()})
    for _ in second.train():
        pass
    for one, other in zip((*whole.weights, *whole.moving), (*second.weights, *second.moving), strict=True):
        assert torch.equal(one, other)


def test_neighbours_with_one_gradient_are_what_they_are_without_it() -> None:
    task = task_of(CASES["classes"])
    calm = [Member(formulas.get("sgd"), {"lr": 0.1}), Member(formulas.get("adam"), {"lr": 0.01})]
    with_it = trained(task, [*calm, Member(formulas.get("sophia_g(every=4)"), {"lr": 0.1})])
    without = trained(task, [*calm, Member(formulas.get("sgd"), {"lr": 0.2})])
    for one, other in zip((*with_it.weights, *with_it.moving), (*without.weights, *without.moving), strict=True):
        assert torch.equal(one[:2], other[:2])


@pytest.mark.slow
def test_one_that_no_longer_trains_stays_where_it_was() -> None:
    task = task_of(CASES["classes"])
    members = [Member(formulas.get("sophia_g(every=2)"), {"lr": lr}) for lr in (0.1, 1e308)]
    block = trained(task, members)
    assert block.broken[0] == -1 < block.broken[1]
    lonely = trained(task, members[:1])
    np.testing.assert_array_equal(block.weights[0][0], lonely.weights[0][0])
    state = block.updates[0].states[0][1][1]
    stopped = trained(task, members, until=1).updates[0].states[0][1][1]
    assert torch.equal(state.nan_to_num(), stopped.nan_to_num())


@pytest.mark.slow
@pytest.mark.parametrize("label", ["l2(0.5)", "label_smoothing(0.3)", "clip_norm(0.01)"])
def test_what_regularizers_make_of_the_loss_is_not_in_the_estimate(label: str) -> None:
    rule = "sophia_g(every=100)"  # so that the only estimate is that of the initial weights
    plain = [Member(formulas.get(rule), {"lr": 1e-3})]
    regularized = [Member(formulas.get(rule), {"lr": 1e-3}, regularizer=regularizer(label))]
    ends: list[Any] = []
    for members in (plain, regularized):
        block = trained(task_of(CASES["classes"]), members, until=1)
        names = block.updates[0].equations.state_names
        ends.append([dict(zip(names, states, strict=True)) for states in block.updates[0].states])
    for one, other in zip(*ends, strict=True):
        assert torch.equal(one["h"], other["h"])
        assert not torch.equal(one["m"], other["m"])


def test_mixed_targets_are_drawn_anew() -> None:
    members = [Member(formulas.get("sophia_g(every=2)"), {"lr": 0.01}, regularizer=regularizer("mixup(0.4)"))]
    block = trained(task_of(CASES["classes"]), members)
    assert block.broken[0] == -1
    assert all(w.isfinite().all() for w in block.weights)


def test_a_loss_without_targets_to_draw_is_refused() -> None:
    case = Case(small, "l1", INPUTS[:, :3].sin())
    with pytest.raises(PlanError, match=r"sophia_g estimates curvature on targets .* and the loss here is l1"):
        Block(task_of(case), [Member(formulas.get("sophia_g"), {"lr": 0.1})], EPOCHS)
    task = Task(small, Batched(small(), lambda x, y: F.mse_loss(x, y), {}), task_of(case).batches, None)
    with pytest.raises(PlanError, match=r"the loss here is .*lambda"):
        Block(task, [Member(formulas.get("sophia_g"), {"lr": 0.1})], EPOCHS)
