"""By which metric, and at which epochs, runs are judged: in the choice, the verdict, the store and at rungs."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor
from typer.testing import CliRunner

import thalweg as tw
from tests.studies import TINY
from thalweg.cli.main import app
from thalweg.engine.halving import losses_at
from thalweg.engine.programs import Programs
from thalweg.errors import PlanError
from thalweg.plan.criterion import Criterion
from thalweg.problem.find import load
from thalweg.problem.prepare import prepare
from thalweg.report.ranking import ranking
from thalweg.store.file import Store

NAMES = ["optimizer", "lr", "schedule", "seed"]


def study(path: Path, **changes: Any) -> tw.Study:
    return tw.compare(**{**TINY, "epochs": 4, "rates": [0.001, 0.01, 0.1], **changes}, store=path)


def error_rate(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs.argmax(dim=1) != targets).float().mean()


def judged_epochs(one: tw.Study, metric: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The curves of a metric as (members, epochs), of runs that did not diverge, and their rows of the table."""
    curves, table = one.curves(), one.table().set_index("member")
    wide = curves[curves["metric"] == metric].pivot(index="member", columns="step", values="value")
    wide = wide[table.loc[wide.index, "status"] == "finished"]
    return wide, table.loc[wide.index]


@pytest.fixture(scope="module")
def by_accuracy(tmp_path_factory: pytest.TempPathFactory) -> tw.Study:
    return study(tmp_path_factory.mktemp("accuracy") / "a.db", by_metric="accuracy", confirmation=3)


@pytest.fixture(scope="module")
def at_best(tmp_path_factory: pytest.TempPathFactory) -> tw.Study:
    return study(tmp_path_factory.mktemp("best") / "b.db", by_metric="accuracy", judge="best", confirmation=3)


@pytest.fixture(scope="module")
def averaged(tmp_path_factory: pytest.TempPathFactory) -> tw.Study:
    return study(tmp_path_factory.mktemp("average") / "c.db", judge="average of the last 2", confirmation=3)


@pytest.mark.slow
def test_settings_are_chosen_and_ranked_by_the_metric(by_accuracy: tw.Study) -> None:
    table = by_accuracy.table()
    search, fresh = (table[table["stage"] == stage] for stage in ("search", "confirmation"))
    means = search.groupby(["optimizer", "lr", "schedule"])["validation_accuracy"].mean()
    for entry in by_accuracy.verdict.entries:
        assert means[entry.optimizer, entry.lr, entry.schedule] == means[entry.optimizer].max() == entry.search_value
        runs = fresh.query("optimizer == @entry.optimizer and lr == @entry.lr and schedule == @entry.schedule")
        assert entry.value.mean == pytest.approx(runs["validation_accuracy"].mean())
        assert entry.validation_loss.mean == pytest.approx(runs["validation_loss"].mean())
    order = [entry.value.mean for entry in by_accuracy.verdict.entries]
    assert order == sorted(order, reverse=True)
    last = by_accuracy.verdict.entries[-1]
    assert last.difference.mean == pytest.approx(order[-1] - order[0])
    assert last.regret >= -last.difference.mean - 1e-12
    assert last.metrics.keys() == {"loss"}


@pytest.mark.slow
def test_it_says_by_what(by_accuracy: tw.Study) -> None:
    verdict = by_accuracy.verdict
    assert "validation accuracy 0.9" in verdict.sentence
    assert any(note.startswith("By loss instead of accuracy: ") for note in verdict.notes)
    seen = CliRunner().invoke(app, ["show", str(by_accuracy.path)], env={"COLUMNS": "200"})
    assert "validation accuracy" in seen.output
    plain = json.loads(CliRunner().invoke(app, ["show", str(by_accuracy.path), "--json"]).output)
    assert (plain["verdict"]["by_metric"], plain["verdict"]["judge"]) == ("accuracy", "last")
    assert plain["plan"]["by_metric"] == "accuracy"
    page = by_accuracy.report(by_accuracy.path.with_suffix(".html")).read_text()
    assert "Accuracy against rate" in page
    assert "Higher is better" in page


@pytest.mark.slow
def test_another_metric_ranks_what_was_chosen(by_accuracy: tw.Study) -> None:
    by_loss = by_accuracy.verdict_by("optimizer", by_metric="loss")
    settings = {e.setting for e in by_accuracy.verdict.entries}
    assert {e.setting for e in by_loss.entries} == settings
    order = [e.validation_loss.mean for e in by_loss.entries]
    assert order == sorted(order) == [e.value.mean for e in by_loss.entries]
    seen = CliRunner().invoke(app, ["show", str(by_accuracy.path), "--by-metric", "loss"])
    assert "validation loss" in seen.output


@pytest.mark.slow
def test_each_run_counts_at_its_best_epoch(at_best: tw.Study) -> None:
    curves, table = judged_epochs(at_best, "validation_accuracy")
    best = curves.to_numpy().argmax(axis=1)
    assert (best < curves.shape[1] - 1).any()  # some run was better before its end
    assert table["validation_accuracy"].tolist() == curves.max(axis=1).tolist()
    for metric in ("validation_loss", "test_loss", "test_accuracy"):
        others, rows = judged_epochs(at_best, metric)
        places = pd.Series(best, curves.index)[others.index]
        assert rows[metric].tolist() == others.to_numpy()[np.arange(len(others)), places].tolist()
    assert any("counts at its best epoch" in note for note in at_best.verdict.notes)
    assert "(each run at its best epoch)" in at_best.verdict.sentence


@pytest.mark.slow
def test_the_last_epochs_are_averaged(averaged: tw.Study) -> None:
    for metric in ("validation_loss", "test_accuracy"):
        curves, table = judged_epochs(averaged, metric)
        last = curves.to_numpy()[:, -2:].mean(axis=1)
        assert table[metric].tolist() == pytest.approx(last.tolist(), rel=1e-12)
    entry = averaged.verdict.best
    assert entry.value.mean == pytest.approx(entry.validation_loss.mean)
    assert "(mean of the last 2 epochs)" in averaged.verdict.sentence


@pytest.mark.parametrize("name", ["by_accuracy", "at_best", "averaged"])
def test_parts_of_the_samples_are_of_the_same_epochs(name: str, request: pytest.FixtureRequest) -> None:
    one = request.getfixturevalue(name)
    with Store.open(one.path) as store:
        parts = store.parts()
    table = one.table().set_index("member")
    assert one.verdict.samples > 0
    for metric in ("validation_loss", "validation_accuracy", "test_loss"):
        means = parts[metric].mean(axis=1)
        assert means.tolist() == pytest.approx(table.loc[means.index, metric].tolist(), rel=1e-6)


def test_where_higher_is_better_most_seeds_are_above(by_accuracy: tw.Study) -> None:
    section = ranking(by_accuracy.verdict)
    assert "90% of seeds above" in section.glossary
    assert {column.title for column in section.columns if "of seeds" in column.title} == {"90% of seeds above"}


@pytest.mark.slow
def test_the_margin_of_a_study_and_of_a_view(by_accuracy: tw.Study, tmp_path: Path) -> None:
    """It is the study's until another is asked for; the runs stay."""
    copy, twice = tmp_path / "a.db", 2.0  # the best value on either side
    shutil.copy(by_accuracy.path, copy)
    assert (by_accuracy.verdict.margin, by_accuracy.plan.margin) == (0.01, 0.01)
    again = study(copy, by_metric="accuracy", confirmation=3, margin=twice)
    assert (again.verdict.margin, again.plan.margin, again.verdict_by("optimizer", 0.5).margin) == (twice, twice, 0.5)
    assert [entry.standing for entry in again.verdict.entries] == ["best", "practically the same"]
    assert again.table().equals(by_accuracy.table())
    call, page = CliRunner().invoke, tmp_path / "a.html"
    assert json.loads(call(app, ["show", str(copy), "--json", "--margin", "50%"]).stdout)["verdict"]["margin"] == 0.5
    assert call(app, ["report", str(copy), "-o", str(page), "--margin", "0.75"]).exit_code == 0
    assert "within 75% of the highest accuracy" in page.read_text()
    refused = {
        "-1%": "margin is -0.01; give a number of at least 0.",
        "1 %%": "give a share of the best value, e.g. 0.02",
    }
    for margin, words in refused.items():
        assert words in call(app, ["show", str(copy), "--margin", margin]).stderr


def test_rungs_are_decided_by_it(by_accuracy: tw.Study, at_best: tw.Study) -> None:
    ready = prepare(load("breast-cancer"))
    for one in (by_accuracy, at_best):
        programs = Programs(one.plan, ready)
        with Store.open(one.path) as store:
            points: dict[tuple[int, int, str], Any] = {}
            rows = store.blocks("search")

            def point(block: int, step: int, metric: str, store: Store = store, points: Any = points) -> np.ndarray:
                return points.setdefault((block, step, metric), store.point(block, step, metric))

            bad = losses_at(programs, rows, 3, point)
        assert {metric for *_, metric in points} == {"validation_accuracy"}
        curves, table = judged_epochs(one, "validation_accuracy")
        upto = curves.to_numpy()[:, :3]
        values, compared = upto.max(axis=1) if one is at_best else upto[:, -1], 0
        for setting, losses in bad.items():
            rows_of = (table["stage"] == "search") & (table["optimizer"] == setting.optimizer)
            rows_of &= (table["lr"] == setting.lr) & (table["schedule"] == setting.schedule)
            if rows_of.sum() == len(losses):
                assert losses.tolist() == (-values[rows_of.to_numpy()]).tolist()
                compared += 1
        assert compared > 5


def test_a_metric_of_ones_own_says_its_direction(tmp_path: Path) -> None:
    x = torch.randn(200, 3, generator=torch.Generator().manual_seed(0))
    data = x, (x[:, 0] > 0).long()
    problem = tw.Problem(
        model=lambda: torch.nn.Linear(3, 2), train=data, validation=data, test=data, metrics=(error_rate,)
    )
    options: dict[str, Any] = {"optimizers": ["sgd", "adam"], "rates": [0.01, 0.1], "schedules": ["constant"]}
    options |= {"seeds": 2, "epochs": 2, "confirmation": 2, "progress": False}
    one = tw.compare(problem, **options, store=tmp_path / "a.db", by_metric="error_rate:min")
    values = [entry.value.mean for entry in one.verdict.entries]
    assert values == sorted(values)
    assert "lowest validation error_rate" in one.verdict.sentence or "validation error_rate" in one.verdict.sentence
    for wrong, words in {
        "error_rate": r"leaves open which values are better, .* of loss, accuracy, .*; give 'error_rate:max'",
        "error_rate:up": "ends in 'up'; give 'error_rate:max' or 'error_rate:min'",
        "f1:max": "metric of problem",
        "erorr_rate": "'erorr_rate' is not a metric of problem: did you mean error_rate. Known: loss, error_rate",
        "error_rat:max": "'error_rat' is not a metric of problem: did you mean error_rate",
        "f2": "'f2' is not a metric of problem; known: loss, error_rate",
    }.items():
        with pytest.raises(PlanError, match=words):
            tw.compare(problem, **options, store=tmp_path / "b.db", by_metric=wrong)
    for wrong in ("accuracy", "f2", "f2:max"):
        with pytest.raises(PlanError, match="metric of this study"):
            one.verdict_by("optimizer", by_metric=wrong)
    with pytest.raises(PlanError, match="settings by error_rate:min, and wave by loss; all problems"):
        tw.suite([one.path, "wave"], store=tmp_path, progress=False, optimizers=["sgd", "adam"])
    with pytest.raises(PlanError, match="problem compares sgd and adam, and wave compares sgd, momentum,"):
        tw.suite([one.path, "wave"], store=tmp_path, progress=False)
    assert not (tmp_path / "wave.db").exists()  # refused before anything is trained


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"by_metric": ""}, "give a metric's name"),
        ({"by_metric": "accuracy:min"}, "the other end is the better one"),
        ({"judge": "mean"}, "give 'last', 'best' or 'average of the last k'"),
        ({"judge": "average of the last 1"}, "k of at least 2"),
        ({"judge": "average of the last 9"}, "and a run has 4"),
        ({"margin": -0.01}, "margin is -0.01; give a number of at least 0."),
        ({"margin": "2%"}, "margin is '2%'; give a number of at least 0."),
    ],
)
def test_mistakes_are_one_sentence(arguments: dict[str, str], words: str, tmp_path: Path) -> None:
    with pytest.raises(PlanError) as error:
        study(tmp_path / "a.db", **arguments)
    assert words in str(error.value)
    assert not (tmp_path / "a.db").exists()


def test_what_a_store_keeps_gives_the_same_criterion() -> None:
    for by_metric, judge in (("loss", "last"), ("accuracy", "best"), ("mine:max", "average of the last 12")):
        one = Criterion.of(by_metric, judge)
        assert (one.by_metric, one.judge) == (by_metric, judge)
        assert Criterion.of(one.by_metric, one.judge) == one


def test_a_run_without_a_number_is_never_the_best_epoch() -> None:
    one = Criterion.of("accuracy", "best")
    assert one.badness(np.array([[math.nan, 0.5], [0.2, math.nan]])).tolist() == [-0.2, -0.5]
