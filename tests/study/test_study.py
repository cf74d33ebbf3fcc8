"""The main job: what a study leaves behind, what it refuses, and that stopping it changes nothing."""

from __future__ import annotations

import itertools
import json
import math
import re
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

import thalweg as tw
from thalweg.engine import block_run
from thalweg.engine import execute as run
from thalweg.engine.progress import Progress
from thalweg.errors import PlanError, StoreError, TrainingError, UsageError
from thalweg.population.block import Block
from thalweg.problem.prepare import prepare
from thalweg.store.file import Store
from thalweg.study.study import Study, _free_path, compare, resume

from ..cases import mostly_slow
from ..studies import TINY, steps_recorded, stopped_at, wait_for

INPUTS = torch.randn(60, 4, generator=torch.Generator().manual_seed(0))
CLASSES = (INPUTS.sum(1) > 0).long()
SMALL: dict[str, Any] = {
    "optimizers": ["sgd"],
    "rates": [0.1],
    "schedules": ["constant"],
    "seeds": 1,
    "epochs": 2,
    "batch_size": 16,
    "confirmation": 1,
    "progress": False,
}


def network() -> nn.Module:
    return nn.Linear(4, 2)


def problem(**changes: Any) -> tw.Problem:
    return tw.Problem(**{"model": network, "train": (INPUTS, CLASSES), "metrics": ("accuracy",), **changes})


@tw.formula()
def halved(g, a, *, lr=1e-3):
    a = a / 2 + g
    return tw.Update(-lr * a, a=a)


def content(study: Study) -> tuple[pd.DataFrame, pd.DataFrame]:
    return study.table(), study.curves()


def same(one: Study, other: Study) -> None:
    """Bit for bit; times are not results."""
    for a, b in zip(content(one), content(other), strict=True):
        pd.testing.assert_frame_equal(a, b, check_exact=True)
    before, after = (  # advice names the store
        json.loads(json.dumps(study.verdict.to_json()).replace(str(study.path), "a.db")) for study in (one, other)
    )
    for entry in (*before["entries"], *after["entries"]):
        entry.pop("seconds_per_step")
    assert before == after


def training_is_forbidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise AssertionError("something was trained")

    monkeypatch.setattr(Block, "_advance", fail)


# What is left behind


def test_table_and_curves_are_complete(tiny: Study) -> None:
    table, curves = content(tiny)
    search, fresh = (table[table["stage"] == stage] for stage in ("search", "confirmation"))
    assert (len(search), len(fresh), len(table)) == (
        16,
        10,
        26,
    )  # two optimizers, the other schedule's best, and two defaults
    assert not search.duplicated(["optimizer", "lr", "schedule", "seed"]).any()
    assert set(search["seed"]) == {0, 1}
    assert set(fresh["seed"]) == {2, 3}
    assert set(table["status"]) == {"finished"}
    per_epoch = table["step"].iloc[0] // 2
    assert set(table["step"]) == {2 * per_epoch}
    trained = curves[~curves["metric"].str.startswith("test")]
    assert trained.groupby(["member", "step", "metric"], observed=True).size().eq(1).all()
    assert len(trained) == 26 * 2 * 3
    assert set(trained["step"]) == {per_epoch, 2 * per_epoch}
    assert curves["value"].notna().all()
    last = curves[curves["step"] == 2 * per_epoch].pivot(index="member", columns="metric", values="value")
    for metric in last:
        np.testing.assert_array_equal(table.set_index("member")[metric], last[metric])


def test_the_curves_of_a_stage(tiny: Study) -> None:
    stage, every = tiny.table().set_index("member")["stage"], tiny.curves()
    for name in ("search", "confirmation"):
        found = tiny.curves(name)
        own = every[every["member"].map(stage) == name].reset_index(drop=True)
        assert len(found) > 0
        assert found.astype({"metric": str}).equals(own.astype({"metric": str}))
    with pytest.raises(PlanError, match="stage"):
        tiny.curves("test")


def test_members_of_a_seed_share_their_first_weights_and_differ_between_seeds(tiny: Study) -> None:
    table = tiny.table().query("stage == 'search' and optimizer == 'sgd' and lr == 0.01 and schedule == 'constant'")
    assert table["train_loss"].nunique() == 2


def test_only_the_confirmation_meets_the_test_part(tiny: Study) -> None:
    table, curves = content(tiny)
    assert table.loc[table["stage"] == "search", ["test_loss", "test_accuracy"]].isna().all(axis=None)
    assert table.loc[table["stage"] == "confirmation", ["test_loss", "test_accuracy"]].notna().all(axis=None)
    assert curves[curves["metric"].str.startswith("test")]["step"].nunique() == 1


def test_verdict_is_confirmed(tiny: Study) -> None:
    verdict = tiny.verdict
    assert tiny.finished
    assert (verdict.confirmed, verdict.seeds) == (True, 2)
    assert {e.optimizer for e in verdict.entries} == {"sgd", "adam"}
    fresh = tiny.table().query("stage == 'confirmation'")
    for entry in verdict.entries:
        own = fresh[(fresh["optimizer"] == entry.optimizer) & (fresh["schedule"] == entry.schedule)]
        default = own[own["lr"] == 0.001]  # outside of the grid
        assert entry.default is not None
        untuned = fresh.query(f"optimizer == '{entry.optimizer}' and lr == 0.001 and schedule == 'constant'")
        assert entry.default.value.mean == pytest.approx(untuned["validation_loss"].mean(), rel=1e-6)
        own = own.drop(default.index)
        assert entry.validation_loss.mean == pytest.approx(own["validation_loss"].mean(), rel=1e-6)
        assert set(entry.test) == {"loss", "accuracy"}
        assert entry.test["loss"].mean == pytest.approx(own["test_loss"].mean(), rel=1e-6)
        assert 0 < entry.seconds_per_step < 1
        assert (own["lr"] == entry.lr).all()


def test_provenance_says_with_what(tiny: Study) -> None:
    known = tiny.provenance
    assert known["torch"] == torch.__version__
    assert known["problem name"] == "breast-cancer"
    assert len(known["problem fingerprint"]) == 64
    with Store.open(tiny.path) as store:
        assert len(store.meta("sessions")) == 1


def test_nothing_but_the_store_is_left(tiny: Study) -> None:
    assert {p.name.removeprefix("tiny.db") for p in tiny.path.parent.iterdir()} == {""}


def test_without_confirmation_the_test_part_is_untouched(tmp_path: Path) -> None:
    study = compare(problem(), **{**SMALL, "confirmation": 0}, store=tmp_path / "a.db")
    assert study.finished
    assert not study.verdict.confirmed
    assert not [c for c in study.table() if c.startswith("test")]


def test_the_callers_random_numbers_are_left_alone(tmp_path: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    compare(problem(), **SMALL, store=tmp_path / "a.db")
    assert torch.equal(torch.rand(3), expected)


def test_layers_that_are_not_trained_are_the_same_each_time(tmp_path: Path) -> None:
    def half_frozen() -> nn.Module:
        model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))
        model[0].requires_grad_(False)
        return model

    one = compare(problem(model=half_frozen), **SMALL, store=tmp_path / "one.db")
    torch.rand(1)  # another process would stand elsewhere
    other = compare(problem(model=half_frozen), **SMALL, store=tmp_path / "other.db")
    same(one, other)


def test_a_diverged_member_is_shown_and_harms_nobody(tmp_path: Path) -> None:
    line = problem(loss="mse", model=lambda: nn.Linear(4, 1), train=(INPUTS, INPUTS[:, :1]), metrics=())
    asked = {**SMALL, "rates": [0.01, 1e3], "epochs": 12, "confirmation": 0}
    wild = compare(line, **asked, store=tmp_path / "a.db")
    table = wild.table()
    assert table["status"].tolist() == ["finished", "diverged"]
    assert math.isnan(table["validation_loss"].iloc[1])
    assert 0 < table["step"].iloc[1] < table["step"].iloc[0]
    assert math.isfinite(table["validation_loss"].iloc[0])
    assert wild.verdict.best.lr == 0.01


# Running it again


def test_a_run_that_explodes_and_stays_finite_is_shown_as_diverged(tmp_path: Path) -> None:
    study = compare(
        "breast-cancer",
        ["adam"],
        rates=[0.01, 31.6],
        schedules=["constant"],
        seeds=2,
        epochs=3,
        confirmation=2,
        store=tmp_path / "far.db",
        progress=False,
    )
    table = study.table()
    far = table[table["lr"] == 31.6]
    assert far["status"].tolist() == ["diverged"] * 2
    assert np.isfinite(far["validation_loss"]).all()
    assert far["validation_loss"].min() > 10
    assert (table.loc[table["lr"] != 31.6, "status"] == "finished").all()
    assert study.sensitivity()["diverged"].tolist() == [0.5]


def test_again_trains_nothing(copied: Path, tiny: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    training_is_forbidden(monkeypatch)
    again = compare(**TINY, store=copied)
    resumed = resume(copied)
    same(again, tiny)
    same(resumed, tiny)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seeds": 3}, "with other seeds"),
        ({"epochs": 3}, "with other epochs"),
        ({"batch_size": 32}, "batch size"),
        ({"rates": [0.01]}, "rates"),
        ({"optimizers": ["sgd"]}, "optimizers and equations"),
        ({"schedules": ["constant"]}, "schedules"),
        ({"confirmation": 0}, "confirmation"),
        ({"problem": "diabetes"}, "problem"),
    ],
    ids=str,
)
def test_another_study_in_the_store_is_refused(change: dict[str, Any], words: str, copied: Path) -> None:
    before = copied.read_bytes()
    with pytest.raises(StoreError, match=f"already holds another study .*{words}.*name another file"):
        compare(**{**TINY, **change}, store=copied)
    assert copied.read_bytes() == before


def test_paths_are_numbered(tiny: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    facts, wanted = tiny.problem, tiny.plan
    other = replace(wanted, seeds=9)
    runs = Path("runs")
    assert _free_path(facts, wanted, None) == runs / "breast-cancer.db"
    assert not runs.exists()
    runs.mkdir()
    shutil.copy(tiny.path, runs / "breast-cancer.db")
    assert _free_path(facts, wanted, None) == runs / "breast-cancer.db"
    assert _free_path(facts, other, None) == runs / "breast-cancer-2.db"
    (runs / "breast-cancer-2.db").write_text("a note")
    assert _free_path(facts, other, None) == runs / "breast-cancer-3.db"
    assert _free_path({**facts, "name": "../été: 1"}, wanted, None) == runs / "été-1.db"
    assert _free_path({**facts, "name": "///"}, wanted, None) == runs / "study.db"


def test_bad_problem_or_plan_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="adm"):
        compare("digits", optimizers=["adm"])
    with pytest.raises(tw.ThalwegError, match="nope"):
        compare("nope")
    with pytest.raises(tw.ThalwegError):
        compare(problem(train=(INPUTS, CLASSES + 7)), **SMALL)
    assert list(tmp_path.iterdir()) == []


# Problems and formulas of one's own


@pytest.mark.slow
def test_objects_are_needed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "own.db"
    asked = {**SMALL, "optimizers": [halved, "sgd"], "seeds": 2}
    with monkeypatch.context() as patch:
        stop_at(patch, 3)
        with pytest.raises(KeyboardInterrupt) as stopped:
            compare(problem(), **asked, store=path)
    advised = f"tw.resume({str(path)!r}, problem=…, optimizers=…)"
    assert f"carry on with `{advised}`" in str(stopped.value)
    with pytest.raises(PlanError, match=re.escape(f"is unfinished; `{advised}` first, then extend it")):
        Study.open(path).extend(2)
    with pytest.raises(PlanError, match=r"halved, an optimizer of your own: pass it again from Python"):
        resume(path, problem())
    with pytest.raises(PlanError, match=r"begun with a tw.Problem object; resume it from Python"):
        resume(path, optimizers=[halved])
    with pytest.raises(PlanError, match=r"is not the one .* was begun with"):
        resume(path, problem(train=(INPUTS + 1, CLASSES)), [halved])
    study = resume(path, problem(), [halved], progress=False)
    same(study, compare(problem(), **asked, store=tmp_path / "whole.db"))
    shown = Study.open(path)  # to be shown it needs neither
    assert {e.optimizer for e in shown.verdict.entries} == {"halved", "sgd"}
    assert shown.verdict.to_json() == study.verdict.to_json()


AGAIN: dict[str, Callable[..., Any]] = {
    "ensemble": lambda study, **given: study.ensemble("seeds", 2, **given),
    "bias_variance": lambda study, **given: study.bias_variance(2, **given),
    "landscape": lambda study, **given: study.landscape(points=3, samples=8, **given),
    "sharpness": lambda study, **given: study.sharpness(seeds=1, **given),
}


@pytest.fixture(scope="module")
def of_object(tmp_path_factory: pytest.TempPathFactory) -> Study:
    few = {**SMALL, "optimizers": ["sgd"], "seeds": 1, "epochs": 1, "confirmation": 1}
    return compare(problem(), **few, store=tmp_path_factory.mktemp("object") / "own.db")


@pytest.mark.slow
@pytest.mark.parametrize("call", mostly_slow(AGAIN, "landscape"))
def test_what_trains_again_needs_an_object_only_where_it_is_not_at_hand(call: str, of_object: Study) -> None:
    again, opened = AGAIN[call], Study.open(of_object.path)
    again(of_object)
    again(resume(of_object.path, problem(), progress=False))
    again(opened, problem=problem())
    with pytest.raises(PlanError, match=r"own\.db was begun with a tw.Problem object; give that object as problem="):
        again(opened)
    with pytest.raises(PlanError, match=r"is not the one .*own\.db was begun with .*bring the old one back"):
        again(opened, problem=problem(train=(INPUTS + 1, CLASSES)))


FILE = """
import torch, thalweg as tw

def mine():
    inputs = torch.arange(40.0).reshape(40, 1) / {scale}
    return tw.Problem(model=lambda: torch.nn.Linear(1, 1), train=(inputs, 2 * inputs), loss="mse")
"""


def test_a_file_that_changed_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, path = tmp_path / "mine.py", tmp_path / "mine.db"
    source.write_text(FILE.format(scale=40))
    monkeypatch.chdir(tmp_path)
    with monkeypatch.context() as patch:
        stop_at(patch, 2)
        with pytest.raises(KeyboardInterrupt):
            compare("mine.py:mine", **SMALL, store=path)
    monkeypatch.chdir("/")
    source.write_text(FILE.format(scale=41))
    with pytest.raises(PlanError, match=r"mine\.py:mine, which never ran on this machine as it is now"):
        resume(path)
    with pytest.raises(PlanError, match=r"the problem mine is not the one .*mine\.db was begun with"):
        resume(path, trust=True)
    source.unlink()
    with pytest.raises(tw.ThalwegError, match="there is no file"):
        resume(path)
    assert not Study.open(path).finished
    source.write_text(FILE.format(scale=40))
    assert resume(path, progress=False).finished
    assert "arange" in Study.open(path).problem["text"]


@pytest.mark.slow
def test_a_data_loader_is_used_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def loaded() -> tw.Problem:
        loader = DataLoader(TensorDataset(INPUTS, CLASSES), batch_size=8, shuffle=True, drop_last=True)
        return problem(train=loader, validation=(INPUTS, CLASSES))

    asked = {**SMALL, "optimizers": ["sgd", "adam"], "seeds": 2}
    whole = compare(loaded(), **asked, store=tmp_path / "whole.db")
    assert whole.plan.batch_sizes == (0,)
    assert set(whole.table()["step"]) == {2 * (60 // 8)}
    with monkeypatch.context() as patch:
        stop_at(patch, 10)
        with pytest.raises(KeyboardInterrupt):
            compare(loaded(), **asked, store=tmp_path / "cut.db")
    same(whole, resume(tmp_path / "cut.db", loaded(), progress=False))


# Stopping


def stop_at(patch: pytest.MonkeyPatch, step: int) -> None:
    """As if Ctrl-C were pressed when that many steps are taken."""
    taken, real = itertools.count(1), Block._advance  # which several threads may share

    def counted(self: Any, batches: Any) -> None:
        real(self, batches)
        if next(taken) == step:
            signal.raise_signal(signal.SIGINT) if run.threading.current_thread() is run.threading.main_thread() else (
                signal.pthread_kill(run.threading.main_thread().ident, signal.SIGINT)  # type: ignore[arg-type]
            )
            time.sleep(0.1)  # the main thread takes notice

    patch.setattr(Block, "_advance", counted)
    patch.setattr(block_run, "STEPS_SECONDS", 0.0)  # one at a time


@pytest.mark.parametrize("step", mostly_slow([1, 4, 9, 24], 9))
def test_taken_up_from_a_checkpoint(
    step: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cores: Callable[[int], None]
) -> None:
    """In the middle of an epoch, at its end, in the confirmation: the same bits as never stopped."""
    cores(2)  # for two blocks of one member each
    asked = {**SMALL, "optimizers": ["sgd", "adam"], "epochs": 3}
    ready = prepare(problem())
    whole = compare(problem(), **asked, store=tmp_path / "whole.db")
    with monkeypatch.context() as patch:
        patch.setattr(block_run, "CHECKPOINT_SECONDS", 0.0)
        study = stopped_at(step, problem(), tmp_path / "cut.db", **asked)
    with Store.open(study.path) as store:
        assert step == 1 or any(row.checkpoint for row in store.blocks())
    again = Progress()
    with Store.open(study.path, write=True) as store:
        run.execute(store, study.plan, ready, again)
    same(study, whole)
    assert not list(tmp_path.glob("*.checkpoints"))


@pytest.mark.slow
def test_a_lost_or_damaged_checkpoint_only_costs_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = compare(problem(), **SMALL, store=tmp_path / "whole.db")
    for damage in (Path.unlink, lambda file: file.write_bytes(file.read_bytes()[:-1] + b"\1")):
        path = tmp_path / f"cut{damage.__name__.strip('<>')}.db"
        with monkeypatch.context() as patch:
            stop_at(patch, 3)
            with pytest.raises(KeyboardInterrupt):
                compare(problem(), **SMALL, store=path)
        (file,) = path.with_name(path.name + ".checkpoints").iterdir()
        damage(file)
        same(resume(path, problem(), progress=False), whole)


class Breaking(Dataset):
    """Good for one epoch, bad in the next."""

    asked = 0

    def __len__(self) -> int:
        return len(INPUTS)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        self.asked += 1
        if self.asked > 400:
            raise LookupError("the disk went away")
        return INPUTS[index], CLASSES[index]


def test_what_fails_in_a_worker_is_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    broken = problem(train=DataLoader(Breaking(), batch_size=10), validation=(INPUTS, CLASSES))
    words = r"LookupError \(the disk went away\) at .*test_study\.py, line \d+; what is done"
    with pytest.raises(TrainingError, match=words):
        compare(broken, **{**SMALL, "epochs": 50}, store=path)
    study = Study.open(path)
    assert not study.finished
    assert len(study.curves()) > 0
    assert "no seed is complete" in study.verdict.sentence


ARGUMENTS = [
    "--optimizers",
    "sgd,adam",
    "--rates",
    "0.01,0.1",
    "--seeds",
    "2",
    "--epochs",
    "100",
    "--confirmation",
    "1",
]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Study:
    asked = {**TINY, "epochs": 100, "confirmation": 1}
    return compare(**asked, store=tmp_path_factory.mktemp("whole") / "whole.db")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["ctrl-c", "kill"])
def test_interrupted_process(
    number: signal.Signals, uninterrupted: Study, started: Callable[..., Any], tmp_path: Path
) -> None:
    path = tmp_path / "runs" / "cut.db"
    process = started("compare", "breast-cancer", *ARGUMENTS, "--store", "runs/cut.db")
    wait_for(lambda: steps_recorded(path) > 20, process)
    process.send_signal(number)
    output, errors = process.communicate(timeout=30)
    assert output == ""
    if number == signal.SIGINT:
        assert process.returncode == 130
        assert errors.strip().splitlines()[-1].endswith("carry on with `thalweg resume runs/cut.db`.")
        assert "\nthalweg: stopped; what is done is safe" in errors
    else:
        assert process.returncode == -signal.SIGKILL
    study = Study.open(path)
    assert not study.finished
    assert len(study.curves()) > 0
    assert study.verdict.sentence
    same(resume(path, progress=False), uninterrupted)
    assert {p.name for p in path.parent.iterdir()} == {"cut.db"}


def test_stopped_store_says_how_to_carry_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.db"
    stop_at(monkeypatch, 1)
    with pytest.raises(KeyboardInterrupt):
        compare(problem(), **SMALL, store=path)
    with pytest.raises(StoreError, match=re.escape(f"so nothing is chosen; `tw.resume({str(path)!r}, problem=…)`")):
        Study.open(path).recipe()
    assert Store.open(path).meta("costs") is None
