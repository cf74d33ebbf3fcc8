"""Opening and ranking a study costs what its runs cost, not what the points of its curves do."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from thalweg.plan.plan import Plan, plan
from thalweg.store.file import Store
from thalweg.study.study import Study

POINTS = 60
IO = Path("/proc/self/io")


def filled(path: Path, wanted: Plan, points: int) -> Study:
    """A finished search whose losses are drawn."""
    facts = {"problem": {"name": "drawn"}, "plan": wanted.to_json(), "provenance": {}, "costs": {}}
    store, rng = Store.create(path, facts), np.random.default_rng(0)
    cuts = np.array_split(np.arange(len(wanted.settings)), 8)
    settings = [[wanted.settings[k] for k in cut] for cut in cuts]
    store.add_blocks("search", [(seed, own) for seed in range(wanted.seeds) for own in settings])
    for row in store.blocks():
        for point in range(1, points + 1):
            value = rng.random(len(row.settings))
            store.record(
                row.id,
                point,
                dict.fromkeys(("train_loss", "validation_loss"), value),
                np.full(len(value), -1),
                0.0,
                point == points,
            )
    store.close()
    return Study.open(path)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Study:
    wanted = plan(["sgd", "adam"], np.geomspace(1e-4, 1, 1000).tolist(), ["constant"], seeds=2, confirmation=0)
    return filled(tmp_path_factory.mktemp("large") / "large.db", wanted, POINTS)


def read_by(call: object) -> int:
    """Bytes that this process reads from files meanwhile."""

    def count() -> int:
        return int(IO.read_text().split()[1])

    before = count()
    assert callable(call)
    call()
    return count() - before


@pytest.mark.skipif(not IO.exists(), reason="only Linux counts the bytes that a process reads")
def test_only_the_last_points_are_read(large: Study) -> None:
    size = large.path.stat().st_size
    _ = large.verdict  # imports what it needs
    assert size > 4000 * POINTS * 2 * 8
    assert read_by(lambda: Study.open(large.path)) < 0.01 * size
    assert read_by(lambda: large.finished) < 0.03 * size
    assert read_by(large.table) < 0.15 * size
    assert read_by(lambda: large.verdict) < 0.15 * size
    assert read_by(large.curves) > 0.9 * size  # the check can fail


def test_a_store_without_the_index_reads_the_same(large: Study, tmp_path: Path) -> None:
    old = tmp_path / "old.db"
    old.write_bytes(large.path.read_bytes())
    db = sqlite3.connect(old)
    db.execute("DROP INDEX curves_by_metric")
    db.commit()
    db.close()
    assert Study.open(old).table().equals(large.table())


def test_the_last_values_are_those_of_the_curves(large: Study) -> None:
    table, curves = large.table().set_index("member"), large.curves()
    last = curves[curves["step"] == POINTS].pivot(index="member", columns="metric", values="value")
    assert len(table) == 4000
    for metric in last:
        np.testing.assert_array_equal(table[metric], last[metric])


@pytest.mark.slow
def test_reading_a_study_imports_nothing_that_only_training_needs(tiny: Study) -> None:
    code = (
        "import sys; from thalweg.study.study import Study; study = Study.open(sys.argv[1]); study.verdict; "
        "study.finished, study.recipe_run; print({'numba', 'thalweg.population.batched'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code, tiny.path], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
