"""More seeds in the same store: the runs are those of a study that had them from the start, and nothing is lost."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner

import thalweg as tw
from tests.studies import PROGRAM, TINY, steps_recorded, wait_for
from thalweg.cli.main import app
from thalweg.errors import PlanError, StoreError
from thalweg.verdict.comparisons import spent


def study(path: Path, **changes: Any) -> tw.Study:
    return tw.compare(**{**TINY, **changes}, store=path)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return study(tmp_path_factory.mktemp("extend") / "base.db").path


@pytest.fixture
def copied(base: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(base, tmp_path / "study.db"))


def runs(one: tw.Study) -> pd.DataFrame:
    names = ["stage", "optimizer", "lr", "schedule", "seed"]
    return one.table().drop(columns="member").sort_values(names).reset_index(drop=True)


def test_the_runs_are_those_of_a_study_that_had_the_seeds_from_the_start(copied: Path, tmp_path: Path) -> None:
    extended = tw.Study.open(copied).extend(3, progress=False)
    whole = study(tmp_path / "whole.db", confirmation=5)
    pd.testing.assert_frame_equal(runs(extended), runs(whole), rtol=1e-5)
    assert extended.finished
    assert (extended.plan.confirmation, extended.plan.looks, whole.plan.looks) == (5, (2,), ())
    assert (extended.verdict.seeds, extended.verdict.looks, whole.verdict.looks) == (5, 1, 0)
    means = [[e.validation_loss.mean for e in one.verdict.entries] for one in (extended, whole)]
    assert means[0] == pytest.approx(means[1], rel=1e-5)


@pytest.mark.slow
def test_again_and_again(copied: Path) -> None:
    one = tw.Study.open(copied)
    for _ in range(2):
        one.extend(1, progress=False)
    assert (one.plan.looks, one.verdict.looks, one.verdict.seeds) == ((2, 3), 2, 4)
    assert sorted(one.table().query("stage == 'confirmation'")["seed"].unique()) == [2, 3, 4, 5]
    assert spent(2) < spent(1) < spent(0) < 0.05


def test_the_same_comparison_goes_on_with_it(copied: Path) -> None:
    extended = tw.Study.open(copied).extend(2, progress=False)
    for confirmation in (2, 4):
        again = study(copied, confirmation=confirmation)
        assert again.verdict.seeds == extended.verdict.seeds == 4
    with pytest.raises(StoreError, match="with other confirmation"):
        study(copied, confirmation=3)


@pytest.mark.slow
def test_killed_in_between_it_is_resumed(copied: Path, tmp_path: Path) -> None:
    before = steps_recorded(copied)
    arguments = ["extend", str(copied), "--seeds", "40", "-q"]
    with subprocess.Popen([sys.executable, "-c", PROGRAM, *arguments], stderr=subprocess.PIPE, text=True) as process:
        wait_for(lambda: steps_recorded(copied) > before, process)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    half = tw.Study.open(copied)
    assert not half.finished
    assert (half.verdict.seeds, half.verdict.confirmed, half.verdict.looks) == (2, True, 0)  # as before
    with pytest.raises(PlanError, match="is unfinished; `thalweg resume"):
        half.extend(1)
    assert tw.resume(copied, progress=False).verdict.seeds == 42


@pytest.mark.slow
def test_a_study_without_a_confirmation_is_given_one(tmp_path: Path) -> None:
    one = study(tmp_path / "a.db", confirmation=0)
    assert not one.verdict.confirmed
    one.extend(2, progress=False)
    assert (one.verdict.confirmed, one.verdict.seeds, one.plan.looks) == (True, 2, ())


@pytest.mark.slow
def test_a_rerun_repeats_it(copied: Path) -> None:
    tw.Study.open(copied).extend(1, progress=False)
    again = tw.rerun(copied, progress=False)
    assert again.same_verdict
    assert again.study.verdict.looks == 1


@pytest.mark.slow
def test_with_folds(tmp_path: Path) -> None:
    one = study(tmp_path / "a.db", folds=3, optimizers=["sgd"], rates=[0.1], schedules=["constant"])
    assert one.extend(1, progress=False).verdict.seeds == 3


@pytest.mark.parametrize("seeds", [0, -1, 1.5, True, "many", 10**9])
def test_a_number_that_makes_no_sense_is_refused(copied: Path, seeds: Any) -> None:
    before = copied.read_bytes()
    with pytest.raises(PlanError, match="seeds"):
        tw.Study.open(copied).extend(seeds, progress=False)
    assert tw.Study.open(copied).finished
    assert copied.read_bytes() == before or seeds == 10**9


def test_a_problem_that_changed_is_refused(tmp_path: Path) -> None:
    given = tw.Problem(**(problem := {"model": network, "train": blobs(0), "name": "blobs"}))
    one = study(tmp_path / "a.db", problem=given)
    other = tw.Problem(**problem | {"train": blobs(1)})
    with pytest.raises(PlanError, match=r"is not the one .* was begun with"):
        tw.Study.open(one.path).extend(1, problem=other, progress=False)
    with pytest.raises(PlanError, match=r"was begun with a tw\.Problem object; give that object as problem="):
        tw.Study.open(one.path).extend(1, progress=False)
    assert tw.Study.open(one.path).extend(1, problem=given, progress=False).verdict.seeds == 3


def test_from_the_command_line(copied: Path) -> None:
    done = CliRunner().invoke(app, ["extend", str(copied), "--seeds", "2", "--json", "-q"])
    assert done.exit_code == 0, done.output
    verdict = json.loads(done.stdout)["verdict"]
    assert (verdict["seeds"], verdict["looks"]) == (4, 1)
    wrong = CliRunner().invoke(app, ["extend", str(copied), "--seeds", "0"])
    assert wrong.exit_code != 0


def network() -> Any:
    import torch

    return torch.nn.Linear(4, 2)


def blobs(seed: int) -> Any:
    from sklearn.datasets import make_blobs

    inputs, classes = make_blobs(200, 4, centers=2, random_state=seed)
    return inputs.astype("float32"), classes
