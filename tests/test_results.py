"""Results: what a store holds, read-only, read anew only when its revision has risen."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

import thalweg as tw
from thalweg import results
from thalweg.errors import PlanError, StoreError
from thalweg.report import html
from thalweg.results import Results
from thalweg.store.file import Store
from thalweg.study.study import Study

WRITE = """
import sys
from thalweg.store.file import Store
with Store.open(sys.argv[1], write=True) as store, store.writing():
    store.set_meta("costs", None)
"""
INPUTS = torch.linspace(-1, 1, 60).reshape(60, 1)


def line(slope: float = 2.0) -> tw.Problem:
    return tw.Problem(model=lambda: torch.nn.Linear(1, 1), train=(INPUTS, slope * INPUTS + 1), loss="mse", name="line")


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """A study of a `tw.Problem` object, as README's first example is."""
    budget: dict[str, Any] = {"seeds": 2, "epochs": 4, "confirmation": 2, "batch_size": 8, "progress": False}
    return tw.compare(line(), ["sgd"], [0.1], ["constant"], **budget, store=tmp_path_factory.mktemp("given") / "a.db")


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The factors that were judged."""
    factors: list[str] = []
    right = results.judge

    def judge(*given: Any) -> Any:
        factors.append(given[4])
        return right(*given)

    monkeypatch.setattr(results, "judge", judge)
    return factors


@pytest.mark.slow
def test_each_factor_is_judged_once(copied: Path, judged: list[str]) -> None:
    study = Study.open(copied)
    assert study.verdict is study.verdict_by("optimizer")
    study.chosen(), study.recipe(), study.time_to_target(), study.generalization()
    assert html.page(study).startswith("<!doctype html>")
    assert sorted(judged) == ["optimizer", "schedule"]
    assert study.plan is study.plan


@pytest.mark.slow
def test_what_another_process_writes_is_seen(copied: Path, judged: list[str]) -> None:
    read = Results.open(copied)
    before, plan, revision = read.verdict, read.plan, read.revision
    assert read.verdict is before
    assert read.finished
    subprocess.run([sys.executable, "-c", WRITE, str(copied)], check=True, timeout=120)
    assert read.revision == revision + 1
    assert not read.finished
    assert read.verdict is not before
    assert read.plan is not plan
    assert judged == ["optimizer", "optimizer"]


def test_a_table_that_is_changed_changes_no_other(copied: Path) -> None:
    read = Results.open(copied)
    whole, changed = read.table().copy(), read.table()
    changed["lr"] = 0.0
    pd.testing.assert_frame_equal(read.table(), whole)


def test_reading_changes_nothing(copied: Path) -> None:
    before = copied.read_bytes()
    read = Results.open(copied)
    _ = read.verdict, read.curves(), read.recipe_run, read.provenance, read.sessions, read.batching, read.sensitivity()
    read.prepared()
    assert copied.read_bytes() == before
    with pytest.raises(StoreError, match="does not exist"):
        Results.open(copied.with_name("none.db"))


def test_a_problem_that_the_store_names_is_prepared_again(tiny: Study) -> None:
    assert Results.open(tiny.path).prepared().fingerprint == tiny.problem["fingerprint"]
    with pytest.raises(PlanError, match=r"the problem digits is not the one .* was begun with"):
        Results.open(tiny.path).prepared("digits")


def test_an_object_is_asked_for_where_it_is_not_at_hand(given: Study) -> None:
    read = Results.open(given.path)
    with pytest.raises(PlanError, match=r"was begun with a tw.Problem object; give that object as problem=\.$"):
        read.prepared()
    with pytest.raises(PlanError, match="is not the one"):
        read.prepared(line(slope=3.0))
    ready = read.prepared(line())
    assert ready.fingerprint == given.prepared().fingerprint
    assert tw.resume(given.path, line(), progress=False).prepared().fingerprint == ready.fingerprint


def test_a_store_without_a_revision_counts_from_0(copied: Path) -> None:
    with Store.open(copied, write=True) as store:
        store._db.execute("DELETE FROM meta WHERE key = 'revision'")
        assert store.revision == Results(copied).revision == 0
        store.set_meta("costs", None)
        store.set_meta("costs", None)
        with pytest.raises(ZeroDivisionError), store._transaction():
            _ = 1 / 0
        assert store.revision == Results(copied).revision == 2
