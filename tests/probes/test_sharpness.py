"""Sharpness of a model and of a study's chosen settings, with its picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import thalweg as tw
from thalweg.errors import PlanError, ProblemError
from thalweg.language import speaking
from thalweg.probes import sharpness
from thalweg.probes.sharpness import REACH
from thalweg.study.study import Study, compare


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return compare(
        "breast-cancer",
        ["sgd"],
        [0.1],
        ["constant"],
        seeds=2,
        epochs=4,
        confirmation=3,
        grow=0,
        batch_sizes=[16, "full"],
        store=tmp_path_factory.mktemp("s") / "a.db",
        progress=False,
    )


@pytest.mark.slow
def test_the_runs_that_were_confirmed_are_looked_at(study: Study) -> None:
    found = study.sharpness(by="batch_size", seeds=2)
    assert found.levels == tuple(
        study.verdict_by("batch_size").level(e) for e in study.verdict_by("batch_size").entries
    )
    assert sorted(set(found.table["seed"])) == [2, 3]
    table = study.table().query("stage == 'confirmation' and lr == 0.1")
    for row in found.table.to_dict("records"):
        size = row["level"] if row["level"] == "full" else int(row["level"])
        (own,) = table[(table["batch_size"] == size) & (table["seed"] == row["seed"])].to_dict("records")
        assert row["validation_loss"] == pytest.approx(own["validation_loss"], rel=1e-5)
    one = found.interval("16")
    values = found.table.query("level == '16'")["eigenvalue"]
    assert one.mean == pytest.approx(values.mean())
    at_zero = found.lines.query("distance == 0").merge(found.table, on=["level", "seed"])
    np.testing.assert_allclose(at_zero["loss_x"], at_zero["loss_y"], rtol=1e-5)
    assert len(found.lines) == 2 * len(found.table) * len(REACH)


@pytest.mark.slow
def test_lines_are_along_the_eigenvector_in_the_units_they_say(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    """A short step d raises the loss by λd²/2, the slope, alike on both sides, and the bends of ReLU, which λ lacks."""
    monkeypatch.setattr(sharpness, "REACH", np.array([-0.02, 0.0, 0.02]))
    found = study.sharpness(by="batch_size", seeds=1)
    problem = tw.prepare("breast-cancer")
    torch.manual_seed(2)  # of the first fresh run
    untrained = sum(p.detach().square().sum().item() for p in problem.model().parameters()) ** 0.5
    lines = found.lines.pivot(index=["level", "unit"], columns="distance", values="loss")
    bend = (lines[-0.02] + lines[0.02] - 2 * lines[0.0]) / 0.02**2
    for row in found.table.to_dict("records"):
        assert bend[row["level"], "untrained"] == pytest.approx(row["eigenvalue"] * untrained**2, rel=0.1)
        assert bend[row["level"], "own"] > bend[row["level"], "untrained"]  # weights have grown


@pytest.mark.slow
def test_the_picture(study: Study, tmp_path: Path) -> None:
    found = study.sharpness(by="batch_size", seeds=2)
    figure = found.picture()
    names = {trace.name for trace in figure.data}
    assert {"16", "full", "16: mean"} <= names
    (mean,) = [t for t in figure.data if t.name == "16: mean" and t.yaxis == "y"]
    assert mean.y[0] == pytest.approx(found.interval("16").mean)
    assert figure.layout.yaxis.type == "log"
    own = found.lines.query("level == '16' and unit == 'own'").pivot(index="distance", columns="seed", values="loss")
    (line,) = [t for t in figure.data if t.name == "16" and t.yaxis == "y5"]
    np.testing.assert_allclose(line.y, (own - own.loc[0.0]).mean(axis=1), atol=1e-9)
    with speaking("ko"):
        assert found.picture().layout.xaxis.title.text == "배치 크기"


@pytest.mark.slow
def test_a_model_of_ones_own_is_left_as_it_is() -> None:
    problem = tw.prepare("breast-cancer")
    torch.manual_seed(0)
    model = problem.model().train()
    before = {n: t.clone() for n, t in model.state_dict().items()}
    one, again = (tw.sharpness(model, "breast-cancer", epsilon=e) for e in (0.05, 0.1))
    assert one.eigenvalue == again.eigenvalue > 0
    assert 0 < one.rise < again.rise
    assert one.converged
    assert model.training
    assert all(torch.equal(before[n], t) for n, t in model.state_dict().items())


def test_what_cannot_be_meant(study: Study) -> None:
    with pytest.raises(ProblemError, match="model is of type str"):
        tw.sharpness("digits", "digits")  # type: ignore[arg-type]
    with pytest.raises(PlanError, match="epsilon is 0; give a number above 0"):
        tw.sharpness(nn.Linear(30, 2), "breast-cancer", epsilon=0)
    with pytest.raises(PlanError, match="is not the one"):
        study.sharpness(problem="diabetes")


def test_a_loader_s_batches_are_the_samples() -> None:
    torch.manual_seed(0)
    samples, model = (torch.randn(40, 3), torch.randn(40, 1)), nn.Linear(3, 1)
    loader = DataLoader(TensorDataset(*samples), batch_size=16, shuffle=True)
    rest: dict[str, Any] = {"validation": samples, "test": samples, "loss": "mse"}
    whole, batches = (
        tw.sharpness(model, tw.Problem(lambda: nn.Linear(3, 1), train, **rest)) for train in (samples, loader)
    )
    assert batches.loss == pytest.approx(whole.loss, rel=1e-5)
    assert batches.eigenvalue == pytest.approx(whole.eigenvalue, rel=1e-4)
    rows = torch.cat([samples[0], torch.ones(40, 1)], 1)
    assert whole.eigenvalue == pytest.approx(float(torch.linalg.eigvalsh(2 * rows.T @ rows / 40)[-1]), rel=1e-3)


def test_what_prepare_made_is_a_problem() -> None:
    ready = tw.prepare("breast-cancer")
    model = ready.model()
    assert tw.sharpness(model, ready) == tw.sharpness(model, "breast-cancer")
