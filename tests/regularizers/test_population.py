"""Every regularizer in a population is the same alone: the recipe's script, line by line in plain PyTorch."""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np
import pytest
import torch

from thalweg import formulas, regularizers, schedules
from thalweg.engine.programs import Programs
from thalweg.errors import PlanError
from thalweg.plan.factors import Setting
from thalweg.plan.plan import plan
from thalweg.population.block import Block, Task
from thalweg.population.member import Member
from thalweg.problem.prepare import prepare
from thalweg.recipe.recipe import recipe

EPOCHS = 4
# Two strengths of each kind, which share a block.
TWO = {
    "early_stopping": ("early_stopping(1, min_delta=0.3)", "early_stopping(1, min_delta=0.08)"),
    "l2": ("l2(0.1)", "l2(0.01)"),
    "l1": ("l1(0.01)", "l1(0.001)"),
    "decoupled_decay": ("decoupled_decay(0.5)", "decoupled_decay(0.1)"),
    "input_noise": ("input_noise(0.5)", "input_noise(0.1)"),
    "weight_noise": ("weight_noise(0.1)", "weight_noise(0.01)"),
    "label_smoothing": ("label_smoothing(0.1)", "label_smoothing(0.4)"),
    "mixup": ("mixup(0.2)", "mixup(2)"),
    "cutmix": ("cutmix(1)", "cutmix(0.5)"),
    "shift": ("shift(1)", "shift(2)"),
    "flip": ("flip(0.5)", "flip(0.9)"),
    "crop": ("crop(0.3)", "crop(0.8)"),
    "rotate": ("rotate(10)", "rotate(90)"),
    "dropout": ("dropout(0.6)",),
    "clip_norm": ("clip_norm(0.1)", "clip_norm(0.3)"),
    "clip_value": ("clip_value(0.01)", "clip_value(0.03)"),
    "ema": ("ema(0.9)", "ema(0.5)"),
    "swa": ("swa(0.5)", "swa(0)"),
}
CHAINS = (
    "mixup(0.2) + label_smoothing(0.1) + l2(0.01) + clip_norm(0.5)",
    "shift(1) + input_noise(0.1) + weight_noise(0.01) + ema(0.8) + early_stopping(1)",
    "flip(0.5) + crop(0.3) + rotate(20) + dropout(0.6) + clip_value(0.01)",
    "cutmix(1) + decoupled_decay(0.1) + l1(0.001) + swa(0.3) + early_stopping(2)",
)
PROBLEM = """
import torch, thalweg as tw
from torch import nn

def network():
    return nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU(), nn.Dropout(0.2), nn.Flatten(), nn.Linear(75, 4)
    ).double()

def pictures():
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(90, 1, 5, 5, generator=generator, dtype=torch.float64)
    targets = inputs.flatten(1)[:, :4].argmax(1)
    parts = [(inputs[a:b], targets[a:b]) for a, b in ((0, 48), (48, 68), (68, 90))]
    return tw.Problem(network, *parts, metrics=("accuracy",))
"""


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("regularizers") / "own.py"
    path.write_text(textwrap.dedent(PROBLEM))
    return f"{path}:pictures"


@pytest.fixture(scope="module")
def task(spec: str) -> Task:
    made = wanted()
    return Programs(made, prepare(spec)).task(made.settings[0])


def wanted(label: str = "none") -> Any:
    return plan(["adam"], rates=[0.05], schedule_names=["cosine"], epochs=EPOCHS, batch_size=16, regularizers=[label])


def members(labels: tuple[str, ...], lr: float = 0.05) -> list[Member]:
    cosine = {"lr": schedules.get("cosine")}
    return [Member(formulas.get("adam"), {"lr": lr}, cosine, 3, regularizers.get(label)) for label in labels]


def curves(block: Block) -> dict[str, np.ndarray]:
    epochs = [epoch.values for epoch in block.train() if epoch is not None]
    return {name: np.stack([values[name] for values in epochs]) for name in epochs[0]}


def script(spec: str, label: str) -> list[float]:
    facts = {"name": "pictures", "kind": "file", "spec": spec, "loader": False, "draws": True}
    setting = Setting("adam", 0.05, "cosine")
    made = recipe(wanted(label), facts, setting, 3)
    lines: list[str] = []
    exec(compile(made.code.replace(":.6f}", ":.17g}"), "recipe", "exec"), {"print": lines.append})
    return [float(line.split()[-1]) for line in lines]


def check(spec: str, task: Task, labels: tuple[str, ...]) -> None:
    block = Block(task, members(labels), EPOCHS)
    found = curves(block)["validation_loss"]
    assert len({*found[-1], -1.0}) == len(labels) + 1, "strengths that change nothing prove nothing"
    for k, label in enumerate(labels):
        losses = script(spec, label)
        if "early_stopping" in label:
            *losses, kept = losses
            np.testing.assert_allclose(found[len(losses) - 1 :, k], kept, rtol=1e-8, err_msg=label)
            losses = losses[:-1]
        np.testing.assert_allclose(found[: len(losses), k], losses, rtol=1e-8, err_msg=label)


def test_every_regularizer_is_here() -> None:
    assert list(TWO) == list(regularizers.names())


def test_the_chains_hold_every_kind() -> None:
    """So that the everyday tests leave none out; each by itself, in two strengths, is tested by the slow ones."""
    assert {part.name for label in CHAINS for part in regularizers.chain(regularizers.get(label)).parts} == set(TWO)  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.parametrize("kind", TWO)
def test_alone_equals_in_the_population(kind: str, spec: str, task: Task) -> None:
    check(spec, task, TWO[kind])


@pytest.mark.parametrize("label", CHAINS)
def test_a_chain_alone_equals_in_the_population(label: str, spec: str, task: Task) -> None:
    check(spec, task, (label,))


def test_without_a_regularizer_the_model_draws_the_same(spec: str, task: Task) -> None:
    block = Block(task, [Member(formulas.get("adam"), {"lr": 0.05}, {"lr": schedules.get("cosine")}, 3)], EPOCHS)
    facts = {"name": "pictures", "kind": "file", "spec": spec, "loader": False, "draws": True}
    made = recipe(wanted(), facts, Setting("adam", 0.05, "cosine"), 3)
    lines: list[str] = []
    exec(compile(made.code.replace(":.6f}", ":.17g}"), "recipe", "exec"), {"print": lines.append})
    np.testing.assert_allclose(
        curves(block)["validation_loss"][:, 0], [float(line.split()[-1]) for line in lines], rtol=1e-8
    )


@pytest.mark.parametrize("label", [*CHAINS[1:2], *(pytest.param(c, marks=pytest.mark.slow) for c in CHAINS[3:])])
@pytest.mark.parametrize("stop", [2, 4, 8])
def test_saved_anywhere_and_taken_up_again_gives_the_same_bits(label: str, stop: int, task: Task) -> None:
    whole, first, second = (Block(task, members((label,)), EPOCHS) for _ in range(3))
    expected = curves(whole)
    steps = first.train()
    for _ in range(stop):
        next(steps)
    second.load({name: tensor.clone() for name, tensor in first.tensors().items()})
    again = curves(second)
    for name, values in expected.items():
        assert np.array_equal(values[-len(again[name]) :], again[name], equal_nan=True), name
    for name, tensor in whole.tensors().items():
        assert torch.equal(second.tensors()[name].nan_to_num(), tensor.nan_to_num()), name


@pytest.mark.parametrize("label", CHAINS[1:2])
def test_a_diverging_member_changes_no_bit_of_another(label: str, task: Task) -> None:
    calm = members((label,) * 3)
    wild = [calm[0], members((label,), lr=1e300)[0], calm[2]]
    one, other = Block(task, calm, EPOCHS), Block(task, wild, EPOCHS)
    mine, theirs = curves(one), curves(other)
    assert not np.isfinite(theirs["validation_loss"][-1, 1])
    for name in mine:
        assert np.array_equal(mine[name][:, [0, 2]], theirs[name][:, [0, 2]]), name
    assert all(torch.equal(a[[0, 2]], b[[0, 2]]) for a, b in zip(one.weights, other.weights, strict=True))


def test_a_stopped_member_stays_at_its_best_and_is_not_diverged(task: Task) -> None:
    patient, hasty = "early_stopping(50)", "early_stopping(1, min_delta=10)"
    block = Block(task, members((hasty, patient)), EPOCHS)
    found = curves(block)
    steps = task.batches.steps
    assert found["trained_steps"][-1].tolist() == [2 * steps, EPOCHS * steps]
    assert block.regularized.stopped.tolist() == [2 * steps, -1]
    assert block.diverged.tolist() == [-1, -1]
    assert len(set(found["validation_loss"][:, 0])) == 1, "the first pass was its best"
    assert len(set(found["train_loss"][1:, 0])) == 1
    assert np.isfinite(found["train_loss"]).all()
    assert found["validation_loss"][-1, 1] == found["validation_loss"][:, 1].min()


def test_members_of_one_block_share_a_kind(task: Task) -> None:
    with pytest.raises(PlanError, match=r"cannot differ in the kind of their regularizers \(l2\(0.1\), l1\(0.1\)\)"):
        Block(task, members(("l2(0.1)", "l1(0.1)")), EPOCHS)
    one, other, third = (regularizers.get(t) for t in ("l2(0.1)", "l2(0.2)", "dropout(0.2)"))
    assert one is not None
    assert other is not None
    assert third is not None
    assert one.program == other.program != third.program
    assert third.program != regularizers.Dropout(0.3).program


def test_seeds_draw_differently(task: Task) -> None:
    noise = regularizers.get("input_noise(0.5)")
    same, other = (
        curves(Block(task, [Member(formulas.get("sgd"), {"lr": 1e-9}, {}, seed, noise)], 1)) for seed in (0, 1)
    )
    assert same["train_loss"] != other["train_loss"]
