"""In a population, each member follows its schedules as the same run alone does with `schedule.torch`."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from thalweg import formulas
from thalweg import schedules as S
from thalweg.population.batched import Batched
from thalweg.population.batches import TensorBatches
from thalweg.population.block import Block, Task, arranged
from thalweg.population.member import Member

from ..cases import mostly_slow, share

pytestmark = pytest.mark.usefixtures("program")

EPOCHS, STEPS = 6, 4
TEXTS = (
    "constant",
    "constant(scale=0.5, steps=5)",
    "cosine",
    "linear",
    "polynomial(power=2)",
    "step(size=5)",
    "step_decay",
    "multistep(milestones=(4, 13))",
    "exponential(gamma=0.9)",
    "exponential_decay(k=0.1)",
    "one_over_t",
    "inverse_time(k=0.2)",
    "inverse_sqrt",
    "warmup(cosine, steps=3)",
    "warmup(step(size=5))",
    "wsd",
    "cosine_restarts(T_0=4, T_mult=2)",
    "one_cycle",
    "cyclic(up=3)",
    "plateau(patience=0, gamma=0.3, threshold=0.1)",
    "plateau(patience=1, gamma=0.5)",
    "chained(linear, step(size=5))",
    "sequential(constant, cosine, milestones=(7,))",
    "lr: cosine; momentum: ramp; weight_decay: linear(start=0.1, end=1); beta2: ramp(start=0.9, end=0.999)",
    "momentum: ramp(shape='memory'); beta1: ramp(start=0.5, end=0.95)",
    "weight_decay: step(size=6)",
    "lr: one_cycle; weight_decay: linear(start=0.1, end=1)",
    "lr: plateau(patience=0, threshold=0.1); momentum: ramp; beta1: ramp(end=0.9)",
)
OWN = (S.Lambda(lambda t: 0.9**t), S.Multiplicative(lambda t: 1 - 0.5 / (t + 1)), S.Warmup(S.Lambda(lambda t: 0.8**t)))
ALL: list[S.Schedule] = [*map(S.get, TEXTS), *OWN]
TORCH: dict[str, Any] = {
    "momentum": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.05),
    "adam": lambda p: torch.optim.Adam(p, lr=0.02, weight_decay=0.05),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.02, weight_decay=0.05),
}
LR = {"momentum": 0.1, "adam": 0.02, "adamw": 0.02}


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Tensors this small are slower on several."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def make_task() -> Task:
    generator = torch.Generator().manual_seed(3)
    inputs = torch.randn(48, 6, generator=generator, dtype=torch.float64)
    targets = (inputs[:, :3] + 0.5 * torch.randn(48, 3, generator=generator, dtype=torch.float64)).argmax(1)

    def model() -> nn.Module:
        sizes = nn.Linear(6, 8, dtype=torch.float64), nn.Tanh(), nn.Linear(8, 3, dtype=torch.float64)
        return nn.Sequential(*sizes)

    batches = TensorBatches(inputs[:32], targets[:32], 8)
    assert batches.steps == STEPS
    return Task(model, Batched(model(), F.cross_entropy, {}), batches, (inputs[32:], targets[32:]))


def made_of(schedule: S.Schedule, name: str) -> Member:
    rule = formulas.get(name)
    return Member(rule, {"lr": LR[name], "weight_decay": 0.05}, schedule.on(rule.hyperparameters), 0)


def alone(task: Task, schedule: S.Schedule, name: str) -> tuple[list[float], nn.Module]:
    """A plain PyTorch loop, with the scheduler that the schedule gives it."""
    torch.manual_seed(0)
    model = task.model()
    opt = TORCH[name](model.parameters())
    if isinstance(schedule, S.Several):
        schedule = schedule.within(formulas.get(name).hyperparameters)
    scheduler: Any = schedule.torch(opt, EPOCHS * STEPS)
    losses = []
    for epoch in range(EPOCHS):
        for x, y in task.batches.epoch(0, epoch):
            opt.zero_grad()
            F.cross_entropy(model(x), y).backward()
            opt.step()
            if not isinstance(schedule, S.Plateau):
                scheduler.step()
        with torch.no_grad():
            losses.append(F.cross_entropy(model(task.validation[0]), task.validation[1]).item())
        if isinstance(schedule, S.Plateau):
            scheduler.step(losses[-1])
        elif schedule.closed:
            scheduler.observe(losses[-1])
    return losses, model


@pytest.mark.slow
def test_population_equals_alone_for_every_schedule(request: pytest.FixtureRequest) -> None:
    """Every schedule with three rules, in one block, member by member; for a device's way a share of them."""
    assert {one.name for s in ALL for one in (s, *s.parts)} >= set(S.names())
    task, every = make_task(), request.node.callspec.params["program"] != "device"
    pairs = [(s, name) for s in (ALL if every else share(ALL, of=4)) for name in TORCH]
    members = [made_of(*pair) for pair in pairs]
    order = arranged(members)
    block = Block(task, [members[k] for k in order], EPOCHS)
    curves = np.stack([e.values["validation_loss"] for e in block.train() if e is not None])
    for place, k in enumerate(order):
        schedule, name = pairs[k]
        losses, model = alone(task, schedule, name)
        np.testing.assert_allclose(curves[:, place], losses, rtol=1e-9, err_msg=f"{schedule.label} {name}")
        for stacked, single in zip(block.weights, model.parameters(), strict=True):
            torch.testing.assert_close(stacked[place], single.detach(), rtol=1e-8, atol=1e-11)
    ends = [tuple(curves[-1, k : k + 1]) for k in range(len(order))]
    assert len(set(ends)) > 0.7 * len(ends)  # the schedules do something


@pytest.mark.share(of=4)
@pytest.mark.parametrize("stop", mostly_slow([1, 5, 9, 10, 11, 14, 15, 16, 20, 24, 29], 10, 15))
def test_a_plateau_goes_on_from_a_checkpoint(stop: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Saved after any step and any pass: the reductions made so far, and the patience left, are kept."""
    task = make_task()
    plateau = S.get("plateau(patience=1, gamma=0.3, threshold=0.1)")
    members = [Member(formulas.get("sgd"), {"lr": lr}, {"lr": plateau}, 0) for lr in (0.01, 0.1, 1.0, 1e300)]
    whole = Block(task, members, EPOCHS)
    for _ in whole.train():
        pass
    assert (whole.updates[0].table[:3, 0] < [0.01, 0.1, 1.0]).any()
    monkeypatch.setattr("thalweg.population.block.MOST_STEPS", 1)
    first = Block(task, members, EPOCHS)
    steps = first.train()
    for _ in range(stop):
        next(steps)
    saved = copy.deepcopy(first.tensors())
    second = Block(task, members, EPOCHS)
    second.load(saved)
    for _ in second.train():
        pass
    for mine, theirs in zip(second.tensors().values(), whole.tensors().values(), strict=True):
        assert torch.equal(mine.nan_to_num(), theirs.nan_to_num())


def test_members_that_share_a_schedule_share_its_factors() -> None:
    rule, one = formulas.get("sgd"), S.Linear(steps=1)
    members = [Member(rule, {"lr": 0.1}, {"lr": s}, 0) for s in (one, S.Linear(), S.Linear(steps=1), one)]
    scheduling = Block(make_task(), members, EPOCHS).updates[0].scheduling
    assert scheduling.factors.shape == (EPOCHS * STEPS, 2)
    assert scheduling.kinds.tolist() == [0, 1, 0, 0]
