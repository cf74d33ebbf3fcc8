"""Halving: who is stopped and who never is, that survivors are as if nobody had been, and that kills change nothing."""

from __future__ import annotations

import math
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import thalweg as tw
from thalweg.engine import execute as run
from thalweg.engine import halving
from thalweg.engine.outlook import Outlook
from thalweg.engine.progress import Lines
from thalweg.errors import PlanError, StoreError
from thalweg.pictures.rates import rate_table, rates
from thalweg.plan.plan import plan
from thalweg.store.file import Store
from thalweg.study.study import Study, compare, resume
from thalweg.verdict.verdict import chosen_settings

from ..cases import mostly_slow
from ..studies import steps_recorded, wait_for

SETTING = ["optimizer", "lr", "schedule", "seed"]
# Schedules that follow steps and loss, states of several kinds: all that survivors have to take along.
BUILT_IN: dict[str, dict[str, Any]] = {
    "breast-cancer": {
        "optimizers": ["adam", "adadelta"],
        "rates": tw.log_range(1e-4, 1, 7),
        "schedules": ["cosine", "plateau(patience=1)"],
    },
    "diabetes": {
        "optimizers": ["sgd", "rmsprop"],
        "rates": tw.log_range(1e-4, 1, 8),
        "schedules": ["constant", "cosine"],
    },
}
BUDGET: dict[str, Any] = {"seeds": 2, "epochs": 8, "grow": 0, "refine": 0, "progress": False}


def curves(study: Study) -> pd.DataFrame:
    table = study.table()
    search = table.loc[table["stage"] == "search", ["member", *SETTING]]
    return study.curves().merge(search, on="member").drop(columns="member")


def steps(study: Study) -> int:
    with Store.open(study.path) as store:
        return sum(row.step * len(row.settings) for row in store.blocks("search"))


@pytest.fixture(scope="module", params=mostly_slow(BUILT_IN, "breast-cancer"))
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, Study]:
    """A built-in problem's study in full, and by halving."""
    folder, wanted = tmp_path_factory.mktemp("halving"), {**BUILT_IN[request.param], **BUDGET}
    return tuple(  # type: ignore[return-value]
        compare(request.param, **wanted, confirmation=4, budget=budget, store=folder / f"{budget}.db")
        for budget in ("full", "halving")
    )


@pytest.mark.slow
def test_the_same_winner_for_less_than_half_the_steps(both: tuple[Study, Study]) -> None:
    full, half = both
    assert steps(half) <= 0.45 * steps(full)
    ours, theirs = half.verdict, full.verdict
    assert len(ours.entries) == len(theirs.entries)
    same = next(entry for entry in theirs.entries if entry.optimizer == ours.best.optimizer)
    assert same.may_be_best
    assert same.validation_loss.low <= ours.best.validation_loss.mean <= same.validation_loss.high


def test_survivors_are_the_runs_of_the_full_study(both: tuple[Study, Study]) -> None:
    full, half = map(curves, both)
    joined = half.merge(full, on=[*SETTING, "step", "metric"], how="left", suffixes=("", "_full"))
    assert len(joined) == len(half) > 0
    np.testing.assert_allclose(joined["value"], joined["value_full"], rtol=1e-6, atol=1e-9)
    assert joined["step"].max() == full["step"].max()


def test_what_is_stopped_says_so(both: tuple[Study, Study]) -> None:
    _, half = both
    table, verdict = half.table(), half.verdict
    search = table[table["stage"] == "search"]
    stopped = search[search["status"] == "stopped"]
    per_epoch = search["step"].max() // 8
    assert set(stopped["step"]) == {per_epoch * epoch for epoch in (1, 2, 4)}
    assert np.isfinite(stopped["validation_loss"]).all()
    assert sum(entry.stopped for entry in verdict.entries) == len(stopped)
    assert verdict.to_json()["entries"][0]["stopped"] > 0
    assert any(f"{len(stopped)} of {len(search)} runs were stopped early" in note for note in verdict.notes)
    assert half.finished
    assert not (table[table["stage"] == "confirmation"]["status"] == "stopped").any()
    assert not Path(f"{half.path}.checkpoints").exists()


@pytest.mark.slow
def test_report_and_picture_show_what_was_stopped(both: tuple[Study, Study], tmp_path: Path) -> None:
    full, half = both
    page = half.report(tmp_path / "half.html").read_text(encoding="utf-8")
    table = half.table()
    search = table[table["stage"] == "search"]
    assert f"{(search['status'] == 'stopped').sum()} stopped early" in page
    assert "not finished" not in page
    assert "stopped early" not in full.report(tmp_path / "full.html").read_text(encoding="utf-8")
    best = half.verdict.best
    rows = rate_table(search).query("stopped > 0 and optimizer == @best.optimizer and schedule == @best.schedule")
    figure = rates(search, {best.optimizer: (best.lr, best.schedule)})
    (marks,) = [t for t in figure.data if t.name == f"{best.optimizer}: stopped early"]
    (line,) = [t for t in figure.data if t.name == f"{best.optimizer}: {best.schedule}"]
    assert set(marks.x) <= set(rows["lr"])
    assert len(marks.x) > 0
    assert not {x for x, y in zip(line.x, line.y, strict=True) if y is not None} & set(rows["lr"])


# Who is stopped


def made(**changes: Any) -> Any:
    return plan(
        **{
            "optimizers": ["sgd", "adam"],
            "rates": tw.log_range(1e-4, 1, 5),
            "seeds": 2,
            "epochs": 8,
            "budget": "halving",
            **changes,
        }
    )


def falling(wanted: Any) -> dict[Any, np.ndarray]:
    """Losses that rank settings in the plan's order, sgd before adam."""
    return {s: np.array([k, k + 1.0]) for k, s in enumerate(wanted.settings)}


def test_the_better_half_of_each_group_goes_on() -> None:
    wanted = made()
    kept = halving.survivors(wanted, falling(wanted))
    expected = [s for s in wanted.settings if s.lr in wanted.rates[:3]]
    assert kept == expected


def test_the_mean_over_all_seeds_decides_and_divergence_is_worst() -> None:
    wanted = made(optimizers=["sgd"], rates=[0.1, 0.2, 0.3, 0.4], schedule_names=["constant"])
    a, b, c, d = wanted.settings
    losses = {a: [1.0, math.inf], b: [5.0, 5.0], c: [9.0, 0.0], d: [5.0, 6.0]}
    assert halving.survivors(wanted, {s: np.array(v) for s, v in losses.items()}) == [b, c]


def test_no_level_of_anything_ranked_loses_its_last_setting() -> None:
    wanted = made(hyperparameters={"beta2": [0.9, 0.99, 0.999]}, schedule_names=["constant"])
    losses = {s: np.full(2, float(dict(s.further)["beta2"] or 0) + s.lr / 1e4) for s in wanted.settings}
    kept = halving.survivors(wanted, losses)
    assert {s.optimizer for s in kept} == {"sgd", "adam"}
    assert {dict(s.further)["beta2"] for s in kept} == {None, 0.9, 0.99, 0.999}
    adam = [s for s in kept if s.optimizer == "adam"]
    assert len(adam) == math.ceil(15 / 2) + 1  # the worst beta2 has one left, beyond the better half


@pytest.mark.slow
def test_a_study_along_other_factors_keeps_them_all(tmp_path: Path) -> None:
    study = compare(
        "breast-cancer",
        ["sgd"],
        tw.log_range(1e-3, 1, 4),
        ["constant"],
        seeds=2,
        epochs=4,
        confirmation=2,
        batch_sizes=[64, "full"],
        regularizers=[None, "l2(1e-3)+early_stopping(1)"],
        budget="halving",
        grow=0,
        refine=0,
        store=tmp_path / "a.db",
        progress=False,
    )
    assert [len(study.verdict_by(name).entries) for name in ("batch_size", "regularizer", "optimizer")] == [2, 2, 1]
    full = compare(
        "breast-cancer",
        ["sgd"],
        tw.log_range(1e-3, 1, 4),
        ["constant"],
        seeds=2,
        epochs=4,
        confirmation=0,
        batch_sizes=[64, "full"],
        regularizers=[None, "l2(1e-3)+early_stopping(1)"],
        store=tmp_path / "b.db",
        grow=0,
        refine=0,
        progress=False,
    )
    keys = ["lr", "batch_size", "regularizer", "seed", "step", "metric"]
    one, other = (
        s.curves().merge(s.table().query("stage == 'search'"), on="member", suffixes=("", "_last"))[[*keys, "value"]]
        for s in (study, full)
    )
    joined = one.merge(other, on=keys, suffixes=("", "_full"))
    assert len(joined) == len(one)
    np.testing.assert_allclose(joined["value"], joined["value_full"], rtol=1e-6, atol=1e-9)


@pytest.mark.slow
def test_a_stopped_setting_is_never_chosen(whole: Study) -> None:
    table = whole.table()
    table.loc[table["status"] == "stopped", "validation_loss"] = 0.0
    table.loc[table.query("status == 'stopped' and seed == 0").index[:3], "status"] = "diverged"
    assert chosen_settings(whole.plan, table) == chosen_settings(whole.plan, whole.table())


@pytest.mark.slow
def test_folds_live_and_die_together(tmp_path: Path) -> None:
    asked: dict[str, Any] = {
        "optimizers": ["sgd"],
        "rates": tw.log_range(1e-3, 1, 4),
        "schedules": ["constant"],
        "seeds": 1,
        "epochs": 4,
        "folds": 3,
        "grow": 0,
        "refine": 0,
        "progress": False,
    }
    half = compare("diabetes", **asked, confirmation=2, budget="halving", store=tmp_path / "half.db")
    full = compare("diabetes", **asked, confirmation=0, store=tmp_path / "full.db")
    tables = [s.table().query("stage == 'search'") for s in (half, full)]
    assert tables[0].groupby("lr")["status"].nunique().eq(1).all()
    one, other = (
        s.curves().merge(t[["member", "lr", "fold"]], on="member").drop(columns="member")
        for s, t in zip((half, full), tables, strict=True)
    )
    joined = one.merge(other, on=["lr", "fold", "step", "metric"], suffixes=("", "_full"))
    assert len(joined) == len(one)
    np.testing.assert_allclose(joined["value"], joined["value_full"], rtol=1e-6, atol=1e-9)


@pytest.mark.slow
def test_rates_that_were_added_are_stopped_like_others(tmp_path: Path) -> None:
    study = compare(
        "breast-cancer",
        ["sgd", "adam"],
        tw.log_range(1e-3, 1, 5),
        seeds=2,
        epochs=8,
        confirmation=3,
        budget="halving",
        store=tmp_path / "grown.db",
        progress=False,
    )
    table = study.table().query("stage == 'search'")
    assert study.plan.grown
    assert (table[table["lr"].isin(study.plan.grown)]["status"] == "stopped").any()
    assert study.finished


@pytest.mark.parametrize(
    ("epochs", "rungs"), [(20, [3, 5, 10]), (8, [1, 2, 4]), (3, [1, 2]), (2, [1]), (1000, [125, 250, 500])]
)
def test_rungs(epochs: int, rungs: list[int]) -> None:
    assert halving.rungs(made(epochs=epochs)) == rungs
    assert halving.rungs(made(epochs=epochs, budget="full")) == []


def test_bad_budgets() -> None:
    with pytest.raises(PlanError, match="the budget is 'half'; give 'full', or 'halving'"):
        made(budget="half")
    with pytest.raises(PlanError, match="give 2 epochs or more"):
        made(epochs=1)


# Nothing is lost

WANTED: dict[str, Any] = {
    "optimizers": ["sgd", "adam"],
    "rates": tw.log_range(1e-3, 1, 5),
    "seeds": 2,
    "epochs": 8,
    "confirmation": 2,
    "budget": "halving",
    "grow": 0,
    "refine": 0,
    "progress": False,
}


def same(one: Study, other: Study) -> None:
    """Bit for bit, runs and their numbering included."""
    pd.testing.assert_frame_equal(one.table(), other.table(), check_exact=True)
    sort = ["member", "step", "metric"]
    first, second = (s.curves().astype({"metric": str}).sort_values(sort, ignore_index=True) for s in (one, other))
    pd.testing.assert_frame_equal(first, second, check_exact=True)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return compare("breast-cancer", **WANTED, store=tmp_path_factory.mktemp("whole") / "whole.db")


@pytest.mark.slow
@pytest.mark.parametrize(
    "when",
    mostly_slow(
        ["before the rung is decided", "as blocks are put together", "after it is decided"],
        "as blocks are put together",
    ),
)
def test_a_kill_at_a_rung_changes_no_decision(
    when: str, whole: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def dies(before: Callable[..., Any] | None) -> Callable[..., Any]:
        def call(*given: Any, **named: Any) -> None:
            if before is not None:
                before(*given, **named)
            raise Killed

        return call

    path = tmp_path / "killed.db"
    with monkeypatch.context() as patch:
        if when == "before the rung is decided":
            patch.setattr(run, "_halve", dies(None))
        elif when == "as blocks are put together":
            patch.setattr(Store, "compact", dies(None))
        else:
            patch.setattr(Store, "compact", dies(Store.compact))
        with pytest.raises(Killed):
            compare("breast-cancer", **WANTED, store=path)
    same(resume(path, progress=False), whole)
    assert not Path(f"{path}.checkpoints").exists()


@pytest.mark.slow
def test_a_killed_process_goes_on_to_the_same_end(whole: Study, tmp_path: Path, started: Callable[..., Any]) -> None:
    path = tmp_path / "killed.db"
    process = started(
        "compare",
        "breast-cancer",
        "--optimizers",
        "sgd,adam",
        "--rates",
        "1e-3:1:5",
        "--seeds",
        2,
        "--epochs",
        8,
        "--confirmation",
        2,
        "--budget",
        "halving",
        "--grow",
        0,
        "--refine",
        0,
        "--store",
        path,
        "-q",
    )
    with Store.open(whole.path) as store:
        blocks = sum(row.step for row in store.blocks())
    wait_for(lambda: steps_recorded(path) > 0.5 * blocks, process)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    same(resume(path, progress=False), whole)


@pytest.mark.slow
def test_a_rung_whose_checkpoint_is_gone_is_trained_again(
    whole: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "gone.db"
    with monkeypatch.context() as patch:
        patch.setattr(Store, "load_checkpoint", lambda self, row: None)
        with pytest.raises(StoreError, match=r"missing or damaged; .* trains that block again"):
            compare("breast-cancer", **WANTED, store=path)
    same(resume(path, progress=False), whole)


def test_another_budget_is_another_study(whole: Study) -> None:
    with pytest.raises(StoreError, match="another study"):
        compare("breast-cancer", **{**WANTED, "budget": "full"}, store=whole.path)


def test_progress_counts_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is foreseen of a part, with the rungs that are to come, is what is done of it."""
    first, last, stops = dict[str, float](), dict[str, float](), list[int]()

    class Told(Lines):
        def advance(self, block: int, members: int, alive: int, steps: int | None = None) -> None:
            assert isinstance(self.ahead, Outlook)
            first.setdefault(self.part, self.ahead.present)
            last[self.part] = self.ahead.present

        def cut(self, stopped: int) -> None:
            stops.append(stopped)

    monkeypatch.setattr("thalweg.study.study.progress_for", lambda wanted: Told())
    compare("breast-cancer", **WANTED, store=tmp_path / "told.db")
    assert first.keys() == {"search", "confirmation"}
    assert last == pytest.approx(dict.fromkeys(first, 0.0), abs=1e-9)
    assert all(seconds > 1e-6 for seconds in first.values())
    assert stops == sorted(stops)
    assert len(stops) == 4  # three rungs and the end
