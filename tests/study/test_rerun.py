"""A study run again from its store: the same verdict, bit for bit; and what is said where it is not."""

from __future__ import annotations

import itertools
import json
import math
import sqlite3
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from typer.testing import CliRunner

import thalweg as tw
from thalweg.cli.main import app
from thalweg.engine import batching, block_run, execute
from thalweg.errors import PlanError, StoreError
from thalweg.store.file import Store
from thalweg.study.rerun import compared
from thalweg.study.study import Study, compare

FILE = """
import torch, thalweg as tw
from torch import nn

SCALE = 1.0

def network():
    return nn.Linear(4, 2)

def mine():
    inputs = torch.randn(60, 4, generator=torch.Generator().manual_seed(0))
    return tw.Problem(model=network, train=(inputs, (inputs.sum(1) * SCALE > 0).long()))

@tw.formula()
def halved(g, a, *, lr=1e-3):
    a = a / 2 + g
    return tw.Update(-lr * a, a=a)
"""
ASKED: dict[str, Any] = {
    "schedules": ["cosine"],
    "seeds": 2,
    "epochs": 2,
    "confirmation": 2,
    "batch_size": 16,
    "progress": False,
}


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A file with a problem and a formula, and the store of a study of both."""
    file = tmp_path_factory.mktemp("own") / "own.py"
    file.write_text(FILE)
    compare(f"{file}:mine", ["adam", f"{file}:halved"], [0.01, 3e38], **ASKED, store=file.with_name("own.db"))
    return file, file.with_name("own.db")


def edit(path: Path, sql: str) -> Study:
    db = sqlite3.connect(path)
    db.execute(sql)
    db.commit()
    db.close()
    return Study.open(path)


def test_the_same_to_the_last_bit(own: tuple[Path, Path], tmp_path: Path) -> None:
    """With a formula from a file, and runs that diverge."""
    before = own[1].read_bytes()
    done = tw.rerun(own[1], tmp_path / "new.db", progress=False)
    assert (done.same_verdict, done.same_curves, done.largest, done.differences) == (True, True, 0.0, ())
    assert str(done).startswith("The same verdict: every point of every run is the same, bit for bit.")
    assert (done.study.table()["status"] == "diverged").any()
    assert done.study.verdict.sentence == Study.open(own[1]).verdict.sentence
    assert own[1].read_bytes() == before


def test_one_bit_is_seen(own: tuple[Path, Path], copied: Path, tiny: Study) -> None:
    with Store.open(tiny.path) as store:
        (value,) = store._db.execute("SELECT value FROM curves WHERE block = 1 AND metric = 'train_loss'").fetchone()
    changed = bytearray(value)
    changed[0] ^= 1  # the last bit of a float64
    done = compared(
        tiny,
        edit(
            copied,
            f"UPDATE curves SET value = x'{changed.hex()}' WHERE block = 1 AND "
            "metric = 'train_loss' AND step = (SELECT min(step) FROM curves)",
        ),
    )
    assert (done.same_verdict, done.same_curves) == (True, False)
    assert 0 < done.largest < 1e-15
    assert "the curves differ by at most" in str(done)


def test_another_verdict_is_seen(tiny: Study, copied: Path) -> None:
    swap = "CASE optimizer WHEN 'sgd' THEN 'adam' ELSE 'sgd' END"
    done = compared(tiny, edit(copied, f"UPDATE members SET optimizer = {swap}"))
    assert not done.same_verdict
    assert not done.same_curves
    assert done.largest > 1e-3
    assert str(done).startswith(f"Another verdict than {tiny.path}: ")


def test_a_run_that_one_of_them_lost(tiny: Study, copied: Path) -> None:
    done = compared(tiny, edit(copied, "DELETE FROM curves WHERE block = 1 AND metric = 'train_loss'"))
    assert (done.same_curves, done.largest) == (False, math.inf)
    assert done.to_json()["largest"] is None
    assert "some points are there, or are numbers, in one of the two alone" in str(done)


def test_other_versions_and_machines_are_named(tiny: Study, copied: Path) -> None:
    changed = edit(
        copied, "UPDATE meta SET value = replace(value, '\"torch\": \"', '\"torch\": \"0.') WHERE key = 'sessions'"
    )
    (difference,) = compared(tiny, changed).differences
    assert difference == f"torch {torch.__version__} → 0.{torch.__version__}"
    assert f"What is not as it was: {difference}." in str(compared(tiny, changed))


@pytest.mark.parametrize("shown", [False, True])
@pytest.mark.parametrize("batched", ["stacked", "alone"])
def test_trained_in_the_ways_of_the_store(
    shown: bool, batched: str, own: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which way is fastest is measured when a study begins: measured again it could come out another one."""
    asked = ASKED | {"batched": batched, "confirmation": 0, "seeds": 1}
    compare(f"{own[0]}:mine", ["adam"], [0.01], **asked, store=tmp_path / "a.db")
    for module in (execute, batching):
        monkeypatch.setattr(module, "decide", lambda *_: pytest.fail("measured again"))
    again = tw.rerun(tmp_path / "a.db", progress=shown)
    assert again.same_curves
    assert {name for name, *_ in again.study.ways["ways"]} == {batched}
    assert again.study.ways == Study.open(tmp_path / "a.db").ways


def test_another_problem_is_refused(own: tuple[Path, Path], tmp_path: Path) -> None:
    file, store = own
    try:
        file.write_text(FILE.replace("SCALE = 1.0", "SCALE = -1.0"))
        with pytest.raises(PlanError, match=r"own\.py:halved, which never ran on this machine as it is now"):
            tw.rerun(store, tmp_path / "new.db", progress=False)
        with pytest.raises(PlanError, match=r"the problem mine is not the one .*own\.db was begun with"):
            tw.rerun(store, tmp_path / "new.db", progress=False, trust=True)
        file.write_text(FILE.replace("a / 2 + g", "a / 3 + g"))
        with pytest.raises(PlanError, match=r"the formula of that name is no longer the same"):
            tw.rerun(store, tmp_path / "new.db", progress=False, trust=True)
        file.write_text(f"{FILE}# a remark\n")
        done = tw.rerun(store, tmp_path / "new.db", progress=False, trust=True)
        assert (done.same_curves, done.differences) == (True, (f"the text of {file}:mine",))
        file.unlink()
        with pytest.raises(PlanError, match=r"it cannot be found again: .*there is no file"):
            tw.rerun(store, tmp_path / "another.db", progress=False)
    finally:
        file.write_text(FILE)
    assert [p.name for p in tmp_path.iterdir() if "-" not in p.name] == ["new.db"]


def test_the_text_in_a_store_is_never_run(own: tuple[Path, Path], tmp_path: Path) -> None:
    target = tmp_path / "sent.db"
    target.write_bytes(own[1].read_bytes())
    mark = tmp_path / "ran"
    edit(target, f"UPDATE meta SET value = json_set(value, '$.text', 'open(''{mark}'', ''w'')') WHERE key = 'problem'")
    study = Study.open(target)
    assert str(mark) in study.problem["text"]
    assert tw.rerun(target, tmp_path / "new.db", progress=False).same_curves
    assert not mark.exists()


@pytest.mark.slow
def test_a_problem_given_as_an_object(tmp_path: Path) -> None:
    inputs = torch.randn(60, 4, generator=torch.Generator().manual_seed(0))
    problem = tw.Problem(model=lambda: nn.Linear(4, 2), train=(inputs, (inputs.sum(1) > 0).long()), name="mine")
    store = tmp_path / "a.db"
    compare(problem, ["sgd"], [0.1], **ASKED, store=store)
    with pytest.raises(PlanError, match=r"rerun it from Python: tw\.rerun\(.*, problem=…\)"):
        tw.rerun(store, progress=False)
    assert tw.rerun(store, problem=problem, progress=False).same_curves


@pytest.mark.slow
def test_where_it_goes(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PlanError, match="is the study that is to be run again; name another file"):
        tw.rerun(copied, copied, progress=False)
    other = copied.with_name("other.db")
    compare("breast-cancer", ["sgd"], [0.1], **ASKED, store=other)
    with pytest.raises(StoreError, match="already holds another study"):
        tw.rerun(copied, other, progress=False)
    right, steps = block_run.Block._advance, itertools.count(1)  # which several threads may share

    def stopped(self: Any, *batch: Any) -> None:
        if next(steps) == 20:
            raise KeyboardInterrupt
        right(self, *batch)

    monkeypatch.setattr(block_run.Block, "_advance", stopped)
    monkeypatch.setattr(block_run, "STEPS_SECONDS", 0.0)  # one at a time
    with pytest.raises(KeyboardInterrupt, match=r"thalweg resume .*copy-rerun\.db"):
        tw.rerun(copied, progress=False)
    monkeypatch.undo()
    with pytest.raises(PlanError, match="is unfinished; `thalweg resume"):
        tw.rerun(copied.with_name("copy-rerun.db"), progress=False)
    carried = tw.rerun(copied, progress=False)
    assert (carried.study.path.name, carried.same_curves) == ("copy-rerun.db", True)
    assert tw.rerun(copied, progress=False).study.path.name == "copy-rerun-2.db"


@pytest.mark.slow
def test_on_the_command_line(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = CliRunner().invoke(app, ["rerun", str(copied), "-q", "--json"])
    result = json.loads(done.stdout)
    assert (done.exit_code, result["rerun"]["same_verdict"]) == (0, True)
    assert result["store"] == str(copied.with_name("copy-rerun.db"))
    edit(copied, "UPDATE members SET optimizer = CASE optimizer WHEN 'sgd' THEN 'adam' ELSE 'sgd' END")
    other = CliRunner().invoke(app, ["rerun", str(copied), "-q", "--store", str(copied.with_name("b.db"))])
    assert other.exit_code == 1
    assert "Another verdict than" in other.stdout
