"""Signs that a result means little: each on a problem that has it, and none on the built-in problems."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from typer.testing import CliRunner

import thalweg as tw
from thalweg.cli.main import app
from thalweg.problem.builtin import PROBLEMS
from thalweg.problem.observed import observed
from thalweg.problem.prepare import prepare
from thalweg.verdict import sanity

_draw = torch.Generator().manual_seed(0)
X = torch.randn(240, 4, generator=_draw)
CLASSES = (X[:, 0] > 0).long()
SMALL: dict[str, Any] = {
    "optimizers": ["sgd", "adam"],
    "rates": [0.01, 0.1],
    "schedules": ["constant"],
    "seeds": 2,
    "epochs": 3,
    "confirmation": 2,
    "batch_size": 32,
    "progress": False,
    "refine": 0,
    "grow": 0,
}


def model() -> nn.Module:
    return nn.Linear(4, 2)


class Lit(nn.Linear):
    def training_step(self, batch: Any, index: int) -> torch.Tensor:
        return nn.functional.cross_entropy(self(batch[0]), batch[1])


LUCK = torch.randint(2, (240,), generator=_draw)
HAS: dict[str, tuple[dict[str, Any], str]] = {
    "nothing learned": ({"train": (X, LUCK)}, r"Nothing beats guessing: the best validation loss is .* gives 0\.69"),
    "no scale": (
        {"train": (X * torch.tensor([1, 10, 1e3, 1e5]), CLASSES)},
        r"Inputs are not scaled: columns have root mean squares from \d.* to .*e\+0[45]",
    ),
    "shares that are not": (
        {"train": (X, torch.stack([CLASSES, torch.ones(240)], 1).float())},
        "targets sum to 1 to 2, and cross-entropy .* did you mean loss='bce'",
    ),
    "a step of its own": ({"model": lambda: Lit(4, 2), "train": (X, CLASSES)}, "training_step was not called"),
    "few": ({"train": (X[:80], CLASSES[:80])}, "Only 13 validation samples judge"),
}


def signs(given: dict[str, Any], folder: Path) -> tuple[tw.Study, list[str]]:
    study = tw.compare(tw.Problem(**{"model": model, "name": "signs"} | given), **SMALL, store=folder / "a.db")
    return study, [*study.verdict.signs]


@pytest.mark.parametrize("sign", HAS)
def test_each_sign_is_said_where_it_is(sign: str, tmp_path: Path) -> None:
    given, words = HAS[sign]
    _, said = signs(given, tmp_path)
    assert len([line for line in said if re.search(words, line)]) == 1


@pytest.mark.slow
def test_a_sign_is_on_the_page_in_a_terminal_and_in_json(tmp_path: Path) -> None:
    given, words = HAS["few"]
    study, said = signs(given, tmp_path)
    (one,) = [line for line in said if re.search(words, line)]
    page = study.report(tmp_path / "report.html").read_text()
    assert one.split("'")[0].split("<")[0][:40] in page
    shown = CliRunner(env={"COLUMNS": "400"}).invoke(app, ["show", str(study.path)])
    assert f"! {one}" in shown.output
    assert f"  {one}" in str(study.verdict)
    printed = CliRunner().invoke(app, ["show", str(study.path), "--json"])
    assert one in json.loads(printed.output)["sanity"]


def test_a_metric_without_a_value_is_said(tmp_path: Path) -> None:
    calls: list[int] = []

    def fails(outputs: Any, targets: Any) -> float:
        """First as it shall be, so that nothing is refused; later as no number, or with an error."""
        calls.append(1)
        if len(calls) > 60:
            raise ValueError("no such class")
        return 1.0 if len(calls) < 30 else float("nan")

    _, said = signs({"train": (X, CLASSES), "metrics": ("accuracy", fails)}, tmp_path)
    (one,) = said
    assert re.match(r"The metric fails has no value for \d+ of \d+ finished runs", one)


def test_runs_without_a_validation_part_lack_no_metric(tmp_path: Path) -> None:
    """After a cross-validation the chosen settings train on all samples, and meet the test part alone."""
    problem = tw.Problem(model=model, train=(X, CLASSES), metrics=("accuracy",), name="signs")
    study = tw.compare(problem, **SMALL, folds=3, store=tmp_path / "a.db")
    assert study.table()["validation_accuracy"].isna().any()
    assert list(study.verdict.signs) == []


def test_a_problem_without_mistakes_has_none(tmp_path: Path) -> None:
    study, said = signs({"train": (X, CLASSES)}, tmp_path)
    assert said == []
    assert 0.6 < study.problem["guess"] < 0.75


@pytest.mark.parametrize("name", PROBLEMS)
def test_the_built_in_problems_have_none(name: str) -> None:
    ready = prepare(name)
    facts = {**observed(ready), "validation_samples": ready.validation.size, "loss": ready.loss_name}
    assert [*sanity._inputs(facts), *sanity._targets(facts), *sanity._step(facts)] == []
    assert facts["validation_samples"] >= sanity.FEWEST
    assert facts["guess"] > 0


def test_what_guessing_gives() -> None:
    values = X[:, :1] * 3 + 5
    line = prepare(tw.Problem(model=lambda: nn.Linear(4, 1), train=(X, values), loss="mse"))
    mean = line.train.targets.double().mean()
    assert observed(line)["guess"] == pytest.approx(float((line.validation.targets.double() - mean).square().mean()))
    yes = prepare(tw.Problem(model=lambda: nn.Linear(4, 1), train=(X, CLASSES[:, None].float()), loss="bce"))
    two = prepare(tw.Problem(model=model, train=(X, CLASSES)))
    assert observed(yes)["guess"] == pytest.approx(0.693, abs=0.05)
    assert observed(two)["guess"] == pytest.approx(0.693, abs=0.05)
    own = prepare(tw.Problem(model=model, train=(X, CLASSES), loss=lambda outputs, targets: outputs.mean()))
    assert "guess" not in observed(own)
