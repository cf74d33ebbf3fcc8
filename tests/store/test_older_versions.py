"""Stores written by older versions, as they were: they open, are carried on and run again, with the same numbers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import thalweg as tw

STORES = Path(__file__).parent / "stores"
EXPECTED = json.loads((STORES / "schema-2.json").read_text())


@pytest.fixture
def stopped(tmp_path: Path) -> Path:
    """A study by halving, killed between its second and its last rung, with the checkpoints of two blocks."""
    for part in ("schema-2-stopped.db", "schema-2-stopped.db.checkpoints"):
        source = STORES / part
        shutil.copytree(source, tmp_path / part) if source.is_dir() else shutil.copy(source, tmp_path / part)
    return tmp_path / "schema-2-stopped.db"


def values(study: tw.Study) -> list[list[object]]:
    table = study.table().sort_values(["stage", "optimizer", "lr", "seed"])
    return table[["stage", "optimizer", "lr", "seed", "status", "step", "validation_loss"]].values.tolist()


def same(found: list[list[object]], expected: list[list[object]]) -> None:
    assert [row[:-1] for row in found] == [row[:-1] for row in expected]
    np.testing.assert_allclose([row[-1] for row in found], [row[-1] for row in expected], rtol=1e-3)


def test_a_finished_store_reads_as_it_did(tmp_path: Path) -> None:
    study = tw.Study.open(shutil.copy(STORES / "schema-2.db", tmp_path / "a.db"))
    assert study.finished
    assert values(study) == EXPECTED["finished"]
    assert study.verdict.sentence == EXPECTED["sentence"]


@pytest.mark.slow
def test_a_store_with_values_on_parts_of_the_samples(tmp_path: Path) -> None:
    """Of schema 3: refined, with a grid that has grown."""
    study = tw.Study.open(shutil.copy(STORES / "schema-3.db", tmp_path / "a.db"))
    assert study.finished
    assert (len(study.plan.refinement), study.plan.grown) == (4, (10.0,))
    assert (study.verdict.seeds, study.verdict.samples) == (2, 91)
    assert [entry.optimizer for entry in study.verdict.entries] == ["sgd", "adam"]
    again = tw.rerun(study.path, progress=False)
    assert again.same_verdict
    assert study.extend(1, progress=False).verdict.seeds == 3


@pytest.mark.slow
def test_a_stopped_store_is_carried_on(stopped: Path) -> None:
    before, table = tw.Study.open(stopped).curves(), tw.Study.open(stopped).table()
    study = tw.resume(stopped, progress=False)
    assert study.finished
    same(values(study), EXPECTED["stopped"])
    ended = table.query("status == 'stopped'")["member"]
    assert len(ended) > 4
    kept, now = (curves[curves["member"].isin(ended)] for curves in (before, study.curves("search")))
    pd.testing.assert_frame_equal(now.reset_index(drop=True), kept.reset_index(drop=True))
    assert not list(stopped.parent.glob("*.checkpoints"))


@pytest.mark.slow
def test_a_store_runs_again(tmp_path: Path) -> None:
    shutil.copy(STORES / "schema-2.db", tmp_path / "a.db")
    again = tw.rerun(tmp_path / "a.db", progress=False)
    assert again.same_verdict
    assert again.largest < 1e-3
