"""Batched equals alone, a bad member harms nobody, and a block goes on from where it was saved."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import thalweg as tw
from thalweg import formulas, regularizers, schedules
from thalweg.errors import TrainingError
from thalweg.losses import CrossEntropy
from thalweg.population.batched import Batched
from thalweg.population.batches import TensorBatches, order_seed
from thalweg.population.block import Block, Task, arranged, initial_tensors
from thalweg.population.member import Member
from thalweg.population.sizing import activations_of, block_size
from thalweg.samples import Samples

from ..cases import mostly_slow, share

pytestmark = [pytest.mark.usefixtures("program"), pytest.mark.everyday(of=2), pytest.mark.share(of=2)]

EPOCHS = 3
TORCH = {
    "sgd": lambda p, lr: torch.optim.SGD(p, lr=lr),
    "momentum": lambda p, lr: torch.optim.SGD(p, lr=lr, momentum=0.9),
    "nesterov": lambda p, lr: torch.optim.SGD(p, lr=lr, momentum=0.9, nesterov=True),
    "adagrad": lambda p, lr: torch.optim.Adagrad(p, lr=lr),
    "adadelta": lambda p, lr: torch.optim.Adadelta(p, lr=lr),
    "rmsprop": lambda p, lr: torch.optim.RMSprop(p, lr=lr),
    "adam": lambda p, lr: torch.optim.Adam(p, lr=lr),
    "adamw": lambda p, lr: torch.optim.AdamW(p, lr=lr),
    "adafactor": lambda p, lr: torch.optim.Adafactor(p, lr=lr),
    **{name: lambda p, lr, name=name: tw.optim.from_formula(name)(p, lr=lr) for name in ("lamb", "muon")},
}
RATES = {
    "sgd": 0.1,
    "momentum": 0.05,
    "nesterov": 0.05,
    "adagrad": 0.05,
    "adadelta": 1.0,
    "rmsprop": 0.003,
    "adam": 0.01,
    "adamw": 0.01,
    "adafactor": 0.02,
    "lamb": 0.02,
    "muon": 0.05,
}


def accuracy(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return (outputs.argmax(1) == targets).double().mean()


class Small(nn.Module):
    """Every kind of layer the built-in problems have, in miniature."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.convolve = nn.Conv2d(1, 3, 3, padding=1, dtype=dtype)
        self.norm = nn.LayerNorm(12, dtype=dtype)
        self.out = nn.Linear(12, 4, dtype=dtype)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = F.max_pool2d(torch.relu(self.convolve(x)), 2)
        return self.out(self.norm(hidden.flatten(1)))


def make_task(dtype: torch.dtype = torch.float64, batch_size: int = 16) -> Task:
    generator = torch.Generator().manual_seed(3)
    inputs = torch.randn(56, 1, 4, 4, generator=generator, dtype=dtype)
    targets = inputs.flatten(1)[:, :4].argmax(1)

    def model() -> nn.Module:
        return Small(dtype)

    batched = Batched(model(), F.cross_entropy, {"accuracy": accuracy})
    return Task(model, batched, TensorBatches(inputs[:40], targets[:40], batch_size), (inputs[40:], targets[40:]))


def make_members(seed: int = 0) -> list[Member]:
    members = [
        Member(formulas.get(name), {"lr": lr}, {} if name == "constant" else {"lr": schedules.get(schedule)}, seed)
        for name, lr in RATES.items()
        for schedule in ("constant", "cosine")
    ]
    return [members[k] for k in arranged(members)]


def epochs_of(block: Block) -> list[dict[str, np.ndarray]]:
    return [dict(epoch.values) for epoch in block.train() if epoch is not None]


def alone(task: Task, member: Member) -> tuple[list[float], nn.Module]:
    """The same run as a plain PyTorch loop, and the validation losses it passed."""
    torch.manual_seed(member.seed)
    model = task.model()
    optimizer = TORCH[member.formula.name](model.parameters(), member.hyperparameters["lr"])
    batches = task.batches
    assert isinstance(batches, TensorBatches)
    scheduler = member.schedules["lr"].torch(optimizer, EPOCHS * batches.steps)
    losses = []
    for epoch in range(EPOCHS):
        generator = torch.Generator().manual_seed(order_seed(member.seed, epoch))
        for chosen in torch.randperm(len(batches.data.inputs), generator=generator).split(batches.batch_size):
            optimizer.zero_grad()
            F.cross_entropy(model(batches.data.inputs[chosen]), batches.data.targets[chosen]).backward()
            optimizer.step()
            scheduler.step()
        with torch.no_grad():
            losses.append(F.cross_entropy(model(task.validation[0]), task.validation[1]).item())
    return losses, model


@pytest.mark.share(of=3)
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-9), pytest.param(torch.float32, 2e-4, marks=pytest.mark.slow)]
)
def test_every_member_follows_the_path_of_the_same_run_alone(dtype: torch.dtype, tolerance: float) -> None:
    task = make_task(dtype)
    block = Block(task, make_members(seed=5), EPOCHS)
    curves = np.stack([values["validation_loss"] for values in epochs_of(block)])
    for k, member in enumerate(block.members):
        losses, model = alone(task, member)
        label = f"{member.formula.label} {member.schedules}"
        np.testing.assert_allclose(curves[:, k], losses, rtol=tolerance, err_msg=label)
        for stacked, single in zip(block.weights, model.parameters(), strict=True):
            distance = (stacked[k] - single.detach()).norm() / single.detach().norm()
            assert distance < tolerance, label


@pytest.mark.slow
@pytest.mark.share(of=2)
def test_members_go_on_in_another_block_as_if_nothing_had_happened() -> None:
    task = make_task(torch.float32)
    stops = regularizers.get("early_stopping(2) + ema(0.9)")
    plateau = schedules.get("plateau(patience=0, threshold=0.2)")
    members = [
        replace(m, schedules={"lr": s}, regularizer=stops) for m in make_members() for s in (m.schedules["lr"], plateau)
    ]
    members = [members[k] for k in arranged(members)]
    whole = Block(task, members, 6)
    curves = epochs_of(whole)
    first, second = Block(task, members[:11], 6), Block(task, members[11:], 6)
    for block in (first, second):
        for _ in block.train(3):
            pass
        assert block.step == 3 * task.batches.steps
    kept = [0, 3, 5, 10, 11, 14, 25, 31]
    gathered = Block(task, [members[k] for k in kept], 6)
    gathered.adopt(first, [(k, at) for k, at in enumerate(kept) if at < 11])
    gathered.adopt(second, [(k, at - 11) for k, at in enumerate(kept) if at >= 11])
    for values, now in zip(curves[3:], epochs_of(gathered), strict=True):
        for name, value in values.items():
            np.testing.assert_allclose(now[name], value[kept], rtol=1e-5, err_msg=name)
    assert (whole.regularized.stopped[kept] >= 0).any()
    for w, own in zip(whole.weights, gathered.weights, strict=True):
        torch.testing.assert_close(own, w[kept], rtol=1e-5, atol=1e-6)


def test_members_of_a_seed_start_alike_and_seeds_differ() -> None:
    task = make_task()
    first, second = (Block(task, make_members(seed), EPOCHS) for seed in (0, 1))
    assert all(torch.equal(w[0].expand_as(w), w) for w in first.weights)
    assert not torch.equal(first.weights[0], second.weights[0])
    torch.manual_seed(0)
    before = torch.get_rng_state()
    again, _ = initial_tensors(task.model, 0)
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(w[0], a) for w, a in zip(first.weights, again.values(), strict=True))


@pytest.mark.share(of=6)
@pytest.mark.parametrize("rate", mostly_slow([1e300, 1e200], 1e300))
def test_a_diverging_member_alters_no_bit_of_the_others(rate: float, program: str) -> None:
    task, members = make_task(), make_members()
    each = rate == 1e300 and program in ("stacked", "compiled")  # each member in turn
    calm = Block(task, members, EPOCHS)
    calm_curves = epochs_of(calm)
    for bad, member in share([*enumerate(members)], of=1 if each else 4):
        wild = list(members)
        # Adafactor's step is a share of the weights' size, whatever the rate; its decay is not
        wild[bad] = Member(member.formula, {"lr": rate, "weight_decay": 1.0}, member.schedules, 0)
        stormy = Block(task, wild, EPOCHS)
        stormy_curves = epochs_of(stormy)
        others = np.arange(len(members)) != bad
        assert stormy.diverged[bad] > 0, member
        assert not stormy.active[bad]
        assert np.array_equal(stormy.diverged[others], np.full(len(members) - 1, -1))
        for mine, theirs in zip(stormy.weights, calm.weights, strict=True):
            assert torch.equal(mine[others], theirs[others])
        for mine, theirs in zip(stormy_curves, calm_curves, strict=True):
            for metric in theirs:
                assert np.array_equal(mine[metric][others], theirs[metric][others]), metric
            assert np.isnan(stormy_curves[-1]["validation_loss"][bad])


def test_a_diverged_member_is_frozen_where_it_was() -> None:
    task, members = make_task(), make_members()
    members[0] = Member(members[0].formula, {"lr": 1e300}, {}, 0)
    block = Block(task, members, EPOCHS)
    steps = block.train()
    while block.diverged[0] < 0:
        next(steps)
    frozen = [w[0].clone() for w in block.weights]
    for _ in steps:
        pass
    assert all(torch.equal(w[0].nan_to_num(), f.nan_to_num()) for w, f in zip(block.weights, frozen, strict=True))


def test_a_loss_that_explodes_and_stays_finite_has_diverged() -> None:
    task, members = make_task(), make_members()
    members[0] = Member(members[0].formula, {"lr": 1e6}, {}, 0)
    block = Block(task, members, EPOCHS)
    curves = epochs_of(block)
    per_epoch = task.batches.steps
    assert np.array_equal(block.diverged, [per_epoch] + [-1] * (len(members) - 1))
    assert 100 < curves[-1]["validation_loss"][0] < np.inf  # kept as it was
    assert block.active.all()
    assert task.validation is not None
    assert np.isfinite(block.evaluate(*task.validation)["accuracy"]).all()


ABOVE = {  # losses untrained and after each pass → after which of them the member has diverged
    (1.0, 20.0, 20.0, 20.0): 0,
    (1.0, 0.5, 20.0, 20.0): 1,
    (1.0, 20.0, 5.0, 20.0): 2,
    (1.0, 20.0, 20.0, 9.9): None,
    (1.0, 9.0, 9.0, 9.0): None,
    (0.001, 0.01, 0.01, 0.011): 2,
    (0.0, 5.0, 5.0, 5.0): None,
    (-1.0, 5.0, 5.0, 5.0): None,
    (np.nan, 1.0, 1.0, 1.0): None,
}


def test_far_above_the_untrained_loss_and_since_when(monkeypatch: pytest.MonkeyPatch) -> None:
    task = make_task()
    for losses, since in ABOVE.items():
        block, said = Block(task, make_members()[:1], EPOCHS), iter(losses)
        monkeypatch.setattr(block, "evaluate", lambda *_, said=said: {"loss": np.array([next(said)])})
        for epoch in block.train():
            assert epoch is None or block.step == block.total or block.diverged[0] == -1  # it may come back
        assert block.diverged[0] == (-1 if since is None else task.batches.steps * (since + 1)), losses


@pytest.mark.slow
def test_checkpoints_of_older_versions_go_on() -> None:
    task, members = make_task(), make_members()
    whole = Block(task, members, EPOCHS)
    curves = epochs_of(whole)
    steps = (first := Block(task, members, EPOCHS)).train()
    for _ in range(2):
        next(steps)
    saved = {name: t.clone() for name, t in first.tensors().items() if name not in ("untrained", "above")}
    second = Block(task, members, EPOCHS)
    second.load(saved)
    assert np.array_equal(epochs_of(second)[-1]["validation_loss"], curves[-1]["validation_loss"])
    assert np.array_equal(second.diverged, whole.diverged)


@pytest.mark.share(of=6)
@pytest.mark.parametrize("stop", mostly_slow([1, 2, 3, 4, 7, 9], 3, 7))
def test_saved_anywhere_and_taken_up_again_gives_the_same_bits(stop: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Yields come after each step and each pass: every one of them is a place to stop."""
    task, members = make_task(), make_members()
    members[3] = Member(members[3].formula, {"lr": 1e300}, {}, 0)
    members[5] = Member(members[5].formula, {"lr": 1e6}, {}, 0)
    whole = Block(task, members, EPOCHS)
    curves = epochs_of(whole)
    monkeypatch.setattr("thalweg.population.block.MOST_STEPS", 1)
    first = Block(task, members, EPOCHS)
    seen: dict[int, dict[str, np.ndarray]] = {}
    steps = first.train()
    for _ in range(stop):
        epoch = next(steps)
        if epoch is not None:
            seen[epoch.step] = dict(epoch.values)
    saved = {name: tensor.clone() for name, tensor in first.tensors().items()}
    second = Block(task, members, EPOCHS)
    second.load(saved)
    for epoch in second.train():
        if epoch is not None:
            seen[epoch.step] = dict(epoch.values)
    assert len(seen) == EPOCHS
    for expected, step in zip(curves, sorted(seen), strict=True):
        for metric, values in expected.items():
            assert np.array_equal(values, seen[step][metric], equal_nan=True), (metric, step)
    for mine, theirs in zip(second.tensors().values(), whole.tensors().values(), strict=True):
        assert torch.equal(mine.nan_to_num(), theirs.nan_to_num())
    assert np.array_equal(second.diverged, whole.diverged)
    assert (whole.diverged >= 0).sum() == 2


def test_a_checkpoint_of_another_population_is_refused() -> None:
    task, members = make_task(), make_members()
    saved = Block(task, members[:4], EPOCHS).tensors()
    with pytest.raises(TrainingError, match="another population"):
        Block(task, members, EPOCHS).load(saved)


def test_a_member_does_not_depend_on_its_neighbours() -> None:
    """To float rounding: the shapes of the batched products differ."""
    task, members = make_task(), make_members()
    together, part = Block(task, members, EPOCHS), Block(task, members[:6], EPOCHS)
    epochs_of(together), epochs_of(part)
    for mine, theirs in zip(part.weights, together.weights, strict=True):
        torch.testing.assert_close(mine, theirs[:6], rtol=1e-10, atol=1e-12)


def test_evaluation_weighs_every_sample_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    task, members = make_task(), make_members()
    block = Block(task, members, EPOCHS)
    whole = block.evaluate(*task.validation)
    monkeypatch.setattr("thalweg.population.block.EVALUATION_BATCH", 7)
    parts = block.evaluate(*task.validation)
    for name, values in whole.items():
        np.testing.assert_allclose(parts[name], values, rtol=1e-12)
    assert set(whole) == {"loss", "accuracy"}


def test_a_scheduled_rate_is_the_schedule_times_the_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("thalweg.population.block.MOST_STEPS", 1)
    task = make_task()
    member = Member(formulas.get("sgd"), {"lr": 0.3}, {"lr": schedules.get("cosine")}, 0)
    block = Block(task, [member], EPOCHS)
    seen = []
    for epoch in block.train():
        if epoch is None:
            seen.append(float(block.updates[0].table[0, 0]))
    expected = 0.3 * schedules.get("cosine").factor(np.arange(len(seen)), block.total)
    np.testing.assert_allclose(seen, expected, rtol=1e-15)


@pytest.mark.slow
def test_a_rule_that_looks_ahead_takes_its_gradient_there() -> None:
    """v ← αv − η∇f(w + αv); w ← w + v, written as a plain loop; its neighbour is untouched by it."""
    task = make_task()
    rule = formulas.get("nesterov(lookahead=True)")
    members = [Member(rule, {"lr": 0.05}), Member(formulas.get("sgd"), {"lr": 0.1})]
    block = Block(task, members, EPOCHS)
    epochs_of(block)
    model, velocity = task.model(), []
    with torch.no_grad():
        for p, w in zip(model.parameters(), initial_tensors(task.model, 0)[0].values(), strict=True):
            p.copy_(w)
            velocity.append(torch.zeros_like(p))
    alpha, lr = rule.hyperparameters["momentum"], 0.05
    for epoch in range(EPOCHS):
        for x, y in task.batches.epoch(0, epoch):
            ahead = task.model()
            with torch.no_grad():
                for q, p, v in zip(ahead.parameters(), model.parameters(), velocity, strict=True):
                    q.copy_(p + alpha * v)
            F.cross_entropy(ahead(x), y).backward()
            with torch.no_grad():
                for q, p, v in zip(ahead.parameters(), model.parameters(), velocity, strict=True):
                    assert q.grad is not None
                    v.mul_(alpha).sub_(lr * q.grad)
                    p.add_(v)
    for stacked, single in zip(block.weights, model.parameters(), strict=True):
        torch.testing.assert_close(stacked[0], single.detach(), rtol=1e-9, atol=1e-11)
    calm = Block(task, [Member(formulas.get("momentum"), {"lr": 0.05}), members[1]], EPOCHS)
    epochs_of(calm)
    assert all(torch.equal(a[1], b[1]) for a, b in zip(block.weights, calm.weights, strict=True))


class Mixes(nn.Module):
    """A random projection that does not train, and a buffer, each drawn anew by every seed."""

    def __init__(self) -> None:
        super().__init__()
        self.project = nn.Linear(16, 8, dtype=torch.float64).requires_grad_(False)
        self.register_buffer("shift", torch.rand(8, dtype=torch.float64))
        self.out = nn.Linear(8, 4, dtype=torch.float64)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(torch.tanh(self.project(x.flatten(1)) + self.shift))


def test_layers_that_do_not_train_are_those_of_the_seed() -> None:
    task = make_task()
    task = Task(Mixes, Batched(Mixes(), F.cross_entropy, {}), task.batches, task.validation)
    for seed in (0, 1):
        member = Member(formulas.get("sgd"), {"lr": 0.1}, {"lr": schedules.get("cosine")}, seed)
        curve = [values["validation_loss"][0] for values in epochs_of(Block(task, [member], EPOCHS))]
        np.testing.assert_allclose(curve, alone(task, member)[0], rtol=1e-9)


class Throws(nn.Module):
    """Draws classes by chance, which no generator of a block can repeat."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(16, 4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        outputs = self.layers(x)
        return outputs + torch.multinomial(torch.ones(4), 4) if self.training else outputs


class AlwaysDrops(Throws):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.dropout(self.layers(x), 0.5, training=True)


@pytest.mark.slow
def test_batch_normalization_without_running_statistics_is_the_same_alone() -> None:
    def model() -> nn.Module:
        norm = nn.BatchNorm1d(8, track_running_stats=False, dtype=torch.float64)
        first, last = nn.Linear(16, 8, dtype=torch.float64), nn.Linear(8, 4, dtype=torch.float64)
        return nn.Sequential(nn.Flatten(), first, norm, last)

    task = make_task()
    task = Task(model, Batched(model(), F.cross_entropy, {}), task.batches, task.validation)
    member = Member(formulas.get("sgd"), {"lr": 0.1}, {"lr": schedules.get("cosine")}, 0)
    curve = [values["validation_loss"][0] for values in epochs_of(Block(task, [member], EPOCHS))]
    np.testing.assert_allclose(curve, alone(task, member)[0], rtol=1e-9)


@pytest.mark.uncovered
@pytest.mark.parametrize(
    ("model", "words"), [(Throws, "random numbers by multinomial"), (AlwaysDrops, "in evaluation mode")]
)
def test_what_cannot_be_honoured_is_said_in_a_sentence(model: type[nn.Module], words: str) -> None:
    task = make_task(torch.float32)
    task = Task(model, Batched(model(), F.cross_entropy, {}), task.batches, task.validation)
    with pytest.raises(TrainingError, match=words):
        epochs_of(Block(task, make_members(), EPOCHS))


@pytest.mark.slow
@pytest.mark.uncovered
def test_a_model_that_cannot_be_traced_runs_untraced_with_the_same_result(monkeypatch: pytest.MonkeyPatch) -> None:
    traced = epochs_of(Block(make_task(), make_members(), EPOCHS))

    def refuse(*args: object, **kwargs: object) -> None:
        raise RuntimeError("cannot trace")

    monkeypatch.setattr("thalweg.population.batched.make_fx", refuse)
    monkeypatch.setattr("thalweg.programs.trace.make_fx", refuse)
    task = make_task()
    untraced = epochs_of(Block(task, make_members(), EPOCHS))
    assert task.batched.notes == [f"{type(task.batched.model).__name__} runs untraced, which is slower: cannot trace."]
    for one, other in zip(traced, untraced, strict=True):
        for metric, values in one.items():
            np.testing.assert_allclose(values, other[metric], rtol=1e-9)


def test_blocks_shrink_with_the_model_and_below_eight_only_to_save_memory() -> None:
    assert block_size(4_810, 2, 0) > block_size(100_000, 2, 0) > block_size(10**6, 2, 0) == 8
    assert block_size(4_810, 2, 9_000) > block_size(4_810, 2, 900_000) == 8
    assert 8 > block_size(4_810, 2, 20_000_000) > block_size(4_810, 2, 10**9) == 1


def test_activations_are_counted_per_sample_and_leave_no_hooks() -> None:
    model = Small(torch.float64)
    sample = torch.zeros(5, 1, 4, 4, dtype=torch.float64)
    assert activations_of(model, Samples(sample, torch.zeros(5, dtype=torch.int64)), CrossEntropy()) == 3 * 16 + 12 + 4
    assert not any(layer._forward_hooks for layer in model.modules())


def test_arranged_keeps_formulas_together_and_order_within() -> None:
    members = [Member(formulas.get(n), {"lr": lr}) for lr in (0.1, 0.2) for n in ("sgd", "adam", "sgd")]
    order = arranged(members)
    assert [members[k].formula.name for k in order] == ["sgd"] * 4 + ["adam"] * 2
    assert sorted(order) == list(range(6))


def test_the_users_model_is_left_as_it_was() -> None:
    task = make_task()
    before = copy.deepcopy(task.batched.model.state_dict())
    epochs_of(Block(task, make_members(), EPOCHS))
    assert all(torch.equal(before[k], v) for k, v in task.batched.model.state_dict().items())
