"""The grid of rates grows for all alike, within its limit, and stopping in between changes nothing."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from thalweg.engine import growth
from thalweg.engine.growth import further
from thalweg.errors import PlanError, StoreError
from thalweg.plan.plan import MOST_RUNS, log_range
from thalweg.store.file import Store
from thalweg.study.study import Study, compare, resume
from thalweg.verdict.verdict import judge

from ..cases import mostly_slow
from ..studies import stopped_at
from ..study.test_study import problem, same, training_is_forbidden
from ..verdict.test_verdict import made, table

GRID: dict[str, Any] = {
    "optimizers": ["sgd", "adam"],
    "rates": [1e-4, 1e-3, 1e-2],
    "schedules": ["constant"],
    "seeds": 2,
    "epochs": 2,
    "batch_size": 16,
    "confirmation": 2,
    "refine": 0,
    "progress": False,
}


def best_at(**rates: float) -> Any:
    """A loss with the valley of each optimizer at that rate."""
    return lambda optimizer, lr, schedule, seed: abs(math.log10(lr / rates[optimizer])) + (schedule == "constant")


# Which rates come next


def tried(grown: list[float], **rates: float) -> list[float]:
    wanted = made(optimizers=list(rates), rates=log_range(1e-3, 0.1, 5)).grown_to(grown)
    return further(wanted, table(wanted, best_at(**rates)))


def test_it_grows_on_the_side_where_a_best_rate_is() -> None:
    assert tried([], sgd=0.01, adam=0.01) == []
    assert tried([], sgd=0.01, adam=0.1) == [0.316227766017]
    assert tried([0.316227766017], sgd=0.01, adam=10) == [1.0]
    assert tried([0.316227766017], sgd=0.01, adam=0.1) == []
    assert tried([], sgd=1e-9, adam=10) == [0.000316227766017, 0.316227766017]


def test_it_stops_at_its_limit() -> None:
    wanted, steps = made(optimizers=["sgd"], rates=[0.01, 0.1, 1.0], grow=2), []
    while more := further(wanted, table(wanted, best_at(sgd=1e9))):
        steps.append(more)
        wanted = wanted.grown_to([*wanted.grown, *more])
    assert steps == [[10.0], [100.0]]
    assert further(made(rates=[0.01, 0.1, 1.0], grow=0), table(made(), best_at(sgd=9, momentum=9, adam=9))) == []


def test_an_optimizer_that_always_diverges_is_tried_lower() -> None:
    wanted = made(optimizers=["sgd"])
    assert further(wanted, table(wanted, lambda *_: math.nan)) == [0.001]


@pytest.mark.parametrize("rates", [[0.1], [0.01, 0.1]])
def test_one_or_two_rates_are_no_grid(rates: list[float]) -> None:
    wanted = made(optimizers=["sgd"], rates=rates)
    assert further(wanted, table(wanted, best_at(sgd=1.0))) == []


def test_it_never_grows_beyond_what_a_study_may_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = made(optimizers=["sgd"])
    monkeypatch.setattr(growth, "MOST_RUNS", wanted.runs + 3)
    assert further(wanted, table(wanted, best_at(sgd=9.0))) == []
    assert wanted.runs < MOST_RUNS


# In a study


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return compare(problem(), **GRID, store=tmp_path_factory.mktemp("grown") / "a.db")


def test_every_optimizer_has_the_same_grown_grid(grown: Study) -> None:
    made = grown.plan
    assert made.requested_rates == (1e-4, 1e-3, 1e-2)
    assert made.grown
    assert min(made.grown) > 1e-2
    assert made.rates == (*made.requested_rates, *sorted(made.grown))
    search = grown.table().query("stage == 'search'")
    for _, own in search.groupby(["optimizer", "seed"]):
        assert tuple(sorted(own["lr"])) == made.rates
    assert set(search["status"]) <= {"finished", "diverged"}
    for entry in grown.verdict.entries:
        assert entry.edge is None or len(made.grown) == made.grow
    (note,) = [note for note in grown.verdict.notes if "edge of the grid" in note]
    assert f"by {len(made.grown)} above 0.01, up to {max(made.grown):.3g} (at most 6 on each side)" in note


def test_the_store_says_what_was_asked_and_what_was_grown(grown: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    with Store.open(grown.path) as store:
        kept = store.meta("plan")
    assert kept["rates"] == [1e-4, 1e-3, 1e-2]
    assert (kept["grow"], kept["grown"]) == (6, list(grown.plan.grown))
    training_is_forbidden(monkeypatch)
    same(compare(problem(), **GRID, store=grown.path), grown)  # the same arguments ask for this very study
    with pytest.raises(StoreError, match=r"already holds another study \(with other grow\)"):
        compare(problem(), **GRID, grow=0, store=grown.path)


@pytest.mark.slow
def test_zero_leaves_the_grid_as_it_is(tmp_path: Path) -> None:
    study = compare(problem(), **{**GRID, "optimizers": ["sgd"]}, grow=0, store=tmp_path / "a.db")
    assert study.plan.rates == (1e-4, 1e-3, 1e-2)
    assert study.verdict.best.edge == "highest"
    with pytest.raises(PlanError, match="grow is -1; give a whole number of at least 0"):
        compare(problem(), **GRID, grow=-1, store=tmp_path / "b.db")


@pytest.mark.slow
@pytest.mark.parametrize("step", mostly_slow([26, 40], 40))
def test_stopped_while_it_grows(step: int, grown: Study, tmp_path: Path) -> None:
    """The search of the rates that were asked for takes 24 steps of its blocks; the verdict on them stays."""
    study = stopped_at(step, problem(), tmp_path / "cut.db", **GRID)
    table = study.table()
    assert set(table["stage"]) == {"search"}
    assert len(set(table["lr"])) > 3
    assert set(table.loc[table["lr"] > 0.01, "status"]) != {"finished"}
    assert len(study.verdict.entries) == 2
    same(resume(study.path, problem(), progress=False), grown)


def test_while_it_grows_the_verdict_is_on_what_is_complete() -> None:
    wanted = made(optimizers=["sgd", "adam"]).grown_to([10.0])
    members = table(wanted, best_at(sgd=10.0, adam=0.1))
    whole = judge(wanted, "hills", members, {})
    assert {e.optimizer: e.lr for e in whole.entries} == {"sgd": 10.0, "adam": 0.1}
    members.loc[(members["lr"] == 10.0) & (members["seed"] == 3), "status"] = "waiting"
    before = judge(wanted, "hills", members, {})
    assert {e.optimizer: e.lr for e in before.entries} == {"sgd": 1.0, "adam": 0.1}
    assert before.seeds == 4
