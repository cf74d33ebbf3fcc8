"""Callbacks hear of a study and cannot harm it; what the tools have in their books is what the study has."""

from __future__ import annotations

import math
import os
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import thalweg as tw
from tests.studies import TINY, stopped_at
from thalweg.callbacks import names
from thalweg.callbacks.base import Callback
from thalweg.callbacks.journal import Journal, called
from thalweg.callbacks.names import callbacks_of, named, text_of
from thalweg.callbacks.tensorboard import TensorBoard
from thalweg.cli.main import app
from thalweg.engine.messages import Job, Passed
from thalweg.engine.progress import Progress
from thalweg.errors import PlanError, WorkError
from thalweg.plan.looks import SEARCH
from thalweg.problem import trust
from thalweg.problem.find import load
from thalweg.results import Results
from thalweg.store.file import Store
from thalweg.study.study import Study, compare, resume

os.environ |= {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "WANDB_ERROR_REPORTING": "false"}
DIVERGES: dict[str, Any] = TINY | {"rates": [0.01, 1e30]}  # half of the runs


class Heard(Callback):
    """Remembers what it was told, and raises where it is told to."""

    def __init__(self, fails: str = "") -> None:
        self.fails, self.calls, self.runs = fails, [], []

    def __str__(self) -> str:
        return "this callback"

    def begin(self, study: Results) -> None:
        self._call("begin")

    def passed(self, job: Job, event: Passed) -> None:
        self.runs += [
            (job.stage, s, job.seed, event.step, event.values["validation_loss"][k]) for k, s in enumerate(job.settings)
        ]
        self._call("passed")

    def end(self, study: Results) -> None:
        self._call("end")

    def _call(self, name: str) -> None:
        self.calls.append(name)
        if name == self.fails:
            raise OSError("no space left. At all")


class Notes(Progress):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, sentence: str) -> None:
        self.notes.append(sentence)


class Books:
    """A tool that keeps everything in memory."""

    def __init__(self) -> None:
        self.runs: dict[str | None, Page] = {}

    def run(self, study: str, key: str, name: str | None, config: dict[str, Any]) -> Page:
        page = self.runs.setdefault(name, Page())
        page.config, page.key = config, key
        return page


class Page:
    def __init__(self) -> None:
        self.points: list[tuple[int, str, float]] = []
        self.result: dict[str, Any] = {}
        self.rest: dict[str, Any] = {}
        self.closed: list[bool] = []

    def scalars(self, step: int, values: dict[str, float]) -> None:
        self.points += [(step, name, value) for name, value in values.items()]

    def summary(self, values: dict[str, Any]) -> None:
        self.result |= values

    def table(self, name: str, rows: pd.DataFrame) -> None:
        self.rest[name] = rows

    def text(self, name: str, words: str) -> None:
        self.rest[name] = words

    def close(self, finished: bool) -> None:
        self.closed.append(finished)


@pytest.fixture(autouse=True)
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is trusted is remembered here, for this test."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(trust, "_session", set())


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, Heard, Books]:
    """A study of which runs diverge, and what was heard of it."""
    heard, books = Heard(), Books()
    store = tmp_path_factory.mktemp("told") / "study.db"
    return compare(**DIVERGES, store=store, callbacks=[heard, books]), heard, books


@pytest.mark.slow
def test_every_pass_of_every_run_is_told_once(told: tuple[Study, Heard, Books]) -> None:
    study, heard, _ = told
    assert heard.calls[0] == "begin"
    assert heard.calls[-1] == "end"
    curves = study.curves()
    losses = curves[curves["metric"] == "validation_loss"]
    assert len(heard.runs) == len(losses) == len(set(map(repr, heard.runs)))
    finite = [loss for *_, loss in heard.runs if math.isfinite(loss)]
    np.testing.assert_array_equal(np.sort(finite), np.sort(losses["value"].dropna()))
    stages = [stage for stage, *_ in heard.runs]
    assert stages == sorted(stages, key=["search", "confirmation"].index)


def test_one_run_for_each_confirmed_setting_and_one_for_the_study(told: tuple[Study, Heard, Books]) -> None:
    study, heard, books = told
    settings = {setting for stage, setting, *_ in heard.runs if stage != SEARCH}
    assert books.runs.keys() == {None, *map(called, settings)}
    assert all(page.closed == [True] for page in books.runs.values())
    assert len({page.key for page in books.runs.values()}) == 1
    runs = study.table()
    for setting in settings:
        page = books.runs[called(setting)]
        assert page.config["optimizer"] == setting.optimizer
        assert page.config["lr"] == setting.lr
        mine = [run for run in heard.runs if run[0] != SEARCH and run[1] == setting]
        assert [(step, f"validation_loss/seed {seed}", loss) for _, _, seed, step, loss in mine] == [
            point for point in page.points if point[1].startswith("validation_loss/seed")
        ]
        last = [loss for _, _, _, step, loss in mine if step == max(step for *_, step, _ in mine)]
        means = {step: value for step, name, value in page.points if name == "validation_loss/mean"}
        assert means[max(means)] == pytest.approx(np.mean(last), rel=1e-12)
        assert page.result["validation_loss"] == pytest.approx(np.mean(last), rel=1e-12)
        assert page.result["seeds"] == 2
        assert page.result["test_loss"] > 0
    whole = books.runs[None]
    assert whole.rest["verdict"] == str(study.verdict)
    assert len(whole.rest["runs"]) == len(runs)
    assert whole.rest["runs"]["validation_loss"].dropna().is_monotonic_increasing
    assert whole.rest["ranking"]["optimizer"].tolist() == [entry.optimizer for entry in study.verdict.entries]
    assert whole.result["lr"] == study.verdict.best.lr
    assert whole.result["validation_loss"] == study.verdict.best.value.mean


def test_the_best_so_far_is_that_of_the_search(told: tuple[Study, Heard, Books]) -> None:
    _, heard, books = told
    for label in ("sgd", "adam"):
        passes = [loss for stage, s, *_, loss in heard.runs if stage == SEARCH and s.optimizer == label]
        points = [(at, v) for at, name, v in books.runs[None].points if name == f"best validation_loss so far/{label}"]
        values = [value for _, value in points]
        assert values == sorted(values, reverse=True)
        assert values[-1] == np.nanmin(passes)
        assert points[-1][0] <= sum(stage == SEARCH for stage, *_ in heard.runs)


def test_points_that_are_not_finite_are_left_out(told: tuple[Study, Heard, Books]) -> None:
    _, heard, books = told
    assert not all(math.isfinite(loss) for *_, loss in heard.runs)
    assert all(math.isfinite(value) for page in books.runs.values() for _, _, value in page.points)


@pytest.mark.slow
@pytest.mark.parametrize("event", ["begin", "passed", "end"])
def test_one_that_raises_is_said_once_and_changes_nothing(
    event: str, told: tuple[Study, Heard, Books], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes, fails, other = Notes(), Heard(event), Heard()
    monkeypatch.setattr("thalweg.study.study.progress_for", lambda wanted: notes)
    study = compare(**DIVERGES, store=tmp_path / "a.db", callbacks=[fails, other])
    (said,) = (note for note in notes.notes if "callback" in note)
    place = r"at \S*test_callbacks\.py, line \d+"
    assert re.fullmatch(
        rf"this callback failed with OSError \(no space left\) {place}; the study goes on without it\.", said
    )
    assert fails.calls.count(event) == 1
    assert study.finished
    assert said in study.batching
    assert other.calls[-1] == "end"
    pd.testing.assert_frame_equal(study.curves(), told[0].curves())


@pytest.mark.slow
def test_ctrl_c_inside_a_callback_stops_the_study(tmp_path: Path) -> None:
    class Stops(Callback):
        def passed(self, job: Job, event: Passed) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt, match="carry on with `thalweg resume"):
        compare(**TINY, store=tmp_path / "a.db", callbacks=[Stops()])
    assert resume(tmp_path / "a.db", progress=False).finished


@pytest.mark.slow
def test_a_resumed_study_goes_on_with_the_same_books(tmp_path: Path) -> None:
    asked = {name: value for name, value in TINY.items() if name != "problem"}
    books = Books()
    stopped_at(25, load("breast-cancer"), tmp_path / "a.db", **asked, callbacks=[books])
    keys = {page.key for page in books.runs.values()}
    assert all(page.closed == [False] for page in books.runs.values())
    study = resume(tmp_path / "a.db", progress=False, callbacks=[books])
    assert {page.key for page in books.runs.values()} == keys
    assert all(page.closed[-1] for page in books.runs.values())
    search = study.curves(SEARCH)
    best = search.loc[search["metric"] == "validation_loss", "value"].min()
    told = [value for _, name, value in books.runs[None].points if name.startswith("best")]
    assert min(told) == best
    for label in ("sgd", "adam"):  # what was best before it stopped is known
        values = [v for _, name, v in books.runs[None].points if name.endswith(f"/{label}")]
        assert values == sorted(values, reverse=True)


@pytest.mark.slow
def test_what_a_store_names_is_logged_to_only_where_it_was_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {name: value for name, value in TINY.items() if name != "problem"}
    stopped_at(25, load("breast-cancer"), tmp_path / "a.db", **asked, callbacks=f"tensorboard:{tmp_path / 'tb'}")
    assert Study.open(tmp_path / "a.db").stored_callbacks == [f"tensorboard:{tmp_path / 'tb'}"]
    before = len(list((tmp_path / "tb").rglob("events*")))
    with Store.open(tmp_path / "a.db", write=True) as store:  # as one from elsewhere would
        store.set_meta("callbacks", [f"tensorboard:{tmp_path / 'tb'}", f"tensorboard:{tmp_path / 'evil'}", "rm:-rf"])
    notes = Notes()
    monkeypatch.setattr("thalweg.study.study.progress_for", lambda wanted: notes)
    resume(tmp_path / "a.db")
    assert not (tmp_path / "evil").exists()
    assert sum("Not logged to" in note for note in notes.notes) == 2
    assert len(list((tmp_path / "tb").rglob("events*"))) > before


@pytest.mark.slow
def test_an_extended_study_is_still_logged_and_a_rerun_is_not(tmp_path: Path) -> None:
    study = compare(**TINY, store=tmp_path / "a.db", callbacks=[TensorBoard(tmp_path / "tb")])
    files = len(list((tmp_path / "tb").rglob("events*")))
    study.extend(seeds=1, progress=False)
    more = len(list((tmp_path / "tb").rglob("events*")))
    assert more == 2 * files
    tw.rerun(tmp_path / "a.db", progress=False)
    assert len(list((tmp_path / "tb").rglob("events*"))) == more


def test_text_names_tools_and_back(tmp_path: Path) -> None:
    for text in (f"tensorboard:{tmp_path}", "wandb:team/digits mode=offline folder=w", "mlflow:sqlite:///ml.db"):
        pytest.importorskip(text.partition(":")[0])
        assert text_of(named(text)) == text
    assert text_of(named("mlflow")) == "mlflow:"
    assert [type(one) for one in callbacks_of(["tensorboard:a", Heard()])] == [Journal, Heard]
    assert text_of(Books()) is None


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("tensorbord:x", "'tensorbord:x' is not a place to log to: give tensorboard:DIR, mlflow:URI or wandb:PROJECT."),
        ("tensorboard:", "'tensorboard:' names no folder"),
        ("", "'' is not a place"),
        ("wandb:p mood=offline", "'mood' is not an option of wandb: did you mean mode?"),
        ("tensorboard:x a=b", "'a' is not an option of tensorboard"),
        (3, "3 is not a callback"),
        ([None], "None is not a callback"),
        ([TensorBoard], "is not a callback"),
    ],
)
def test_what_is_not_a_callback_is_refused_before_anything_is_trained(given: Any, said: str, tmp_path: Path) -> None:
    with pytest.raises(PlanError) as error:
        compare(**TINY, store=tmp_path / "a.db", callbacks=given)
    assert said in str(error.value)
    assert not (tmp_path / "a.db").exists()


@pytest.mark.parametrize(
    ("kind", "package"), [("tensorboard", "tensorboard"), ("mlflow", "mlflow"), ("wandb", "wandb")]
)
def test_a_missing_package_is_named(kind: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(WorkError, match=f"needs the package {package}; run pip install"):
        names.TOOLS[package]("x")


@pytest.mark.slow
def test_the_command_line_takes_several(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["compare", "breast-cancer", "--optimizers=sgd", "--rates=0.1", "--seeds=1", "--epochs=1", "-q"]
    words.append("--confirmation=1")
    done = CliRunner().invoke(app, [*words, "--log", "tensorboard:tb", "--log", "tensorboard:other"])
    assert done.exit_code == 0, done.output
    assert list(Path("tb").rglob("events*"))
    assert list(Path("other").rglob("events*"))
    refused = CliRunner().invoke(app, [*words, "--log", "nowhere"])
    assert refused.exit_code == 2
    assert "is not a place to log to" in refused.output


@pytest.mark.slow
def test_a_folder_that_cannot_be_written_is_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notes = Notes()
    monkeypatch.setattr("thalweg.study.study.progress_for", lambda wanted: notes)
    (tmp_path / "file").write_text("")
    study = compare(**TINY, store=tmp_path / "a.db", callbacks=[TensorBoard(tmp_path / "file" / "tb")])
    assert study.finished
    assert any("Not a directory" in note for note in notes.notes)


def test_callbacks_show_what_they_were_given() -> None:
    journal, other = callbacks_of(["wandb:digits", "tensorboard:runs/tb"])
    assert repr(journal) == "Journal(WandB(project='digits'))"
    assert str(journal) == "logging to WandB(project='digits')"
    assert repr(other) == "Journal(TensorBoard(folder='runs/tb'))"
