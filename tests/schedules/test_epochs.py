"""Lengths in epochs: `step(size=10 epochs)`."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import thalweg as tw
from thalweg.errors import PlanError
from thalweg.schedules import Step, get

from ..studies import TINY


@pytest.mark.parametrize(
    ("label", "steps"),
    [
        ("step(size=10 epochs)", "step(size=200)"),
        ("step(size=0.5 epochs, gamma=0.5)", "step(size=10, gamma=0.5)"),
        ("multistep(milestones=(10 epochs, 20 epochs))", "multistep(milestones=(200, 400))"),
        ("warmup(step(size=5 epochs), steps=2 epochs)", "warmup(step(size=100), steps=40)"),
        ("sequential(constant, cosine, milestones=(3 epochs,))", "sequential(constant, cosine, milestones=(60,))"),
        ("lr: step(size=10 epochs); momentum: ramp(steps=2 epochs)", "lr: step(size=200); momentum: ramp(steps=40)"),
    ],
)
def test_lengths_in_epochs(label: str, steps: str) -> None:
    """Of a run of 30 epochs and 600 steps; in a schedule within another too they are epochs of the whole run."""
    given = get(label)
    assert given.label == label
    assert get(given.label) == given
    resolved = given.over(epochs=30, total=600)
    assert resolved.label == get(steps).label
    assert get(steps).over(epochs=30, total=600) == get(steps)


def test_lengths_in_epochs_for_torch() -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    given = get("step(size=10 epochs)")
    names = {"optimizer": optimizer, "total_steps": 600, "lr_scheduler": torch.optim.lr_scheduler}
    for scheduler in (given.torch(optimizer, 600, epochs=30), eval(given.code(epochs=30), names)):
        assert (type(scheduler).__name__, scheduler.step_size) == ("StepLR", 200)
    with pytest.raises(PlanError, match="10 epochs cannot be turned into steps before the epochs of the run are known"):
        given.factor(0, 600)
    with pytest.raises(PlanError, match="30 epochs cannot be turned into steps"):
        get("multistep(milestones=(30 epochs, 80 epochs))").code()
    assert "epochs=30" in get("momentum: ramp(steps=2 epochs)").code(epochs=30)


@pytest.mark.parametrize("wrong", ["0 epochs", "-1 epochs", "ten epochs", "epochs"])
def test_wrong_lengths_in_epochs(wrong: str) -> None:
    with pytest.raises(PlanError, match="epochs, e"):
        Step(size=wrong)  # pyright: ignore[reportArgumentType]


@pytest.mark.slow
def test_a_study_with_lengths_in_epochs(tmp_path: Path) -> None:
    """Every epoch a tenth: the very runs of the same lengths in steps, 364 samples in batches of 64."""
    few = {**TINY, "optimizers": ["sgd"], "rates": [0.1], "epochs": 3, "confirmation": 2}
    epochs = tw.compare(**few | {"schedules": ["step(size=1 epochs)"]}, store=tmp_path / "epochs.db")
    steps = tw.compare(**few | {"schedules": ["step(size=6)"]}, store=tmp_path / "steps.db")
    assert epochs.table()["validation_loss"].tolist() == steps.table()["validation_loss"].tolist()
    assert "StepLR(optimizer, step_size=round(total_steps / 3)" in epochs.recipe().code
    assert epochs.verdict.best.schedule == "step(size=1 epochs)"
