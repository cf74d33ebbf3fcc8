"""Studies that have a time."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from thalweg.engine.batching import decide
from thalweg.engine.foresee import foresee, smaller
from thalweg.engine.pace import Pace
from thalweg.engine.programs import Programs
from thalweg.errors import PlanError, StoreError
from thalweg.plan.plan import log_range, plan
from thalweg.plan.shorter import left_out, shorter
from thalweg.problem.find import load
from thalweg.problem.prepare import prepare
from thalweg.study.forecast import forecast
from thalweg.study.limit import Limit, fitted, limit_of
from thalweg.study.rerun import rerun
from thalweg.study.study import Study, compare, resume

from ..studies import TINY

WIDE: dict[str, Any] = {
    **TINY,
    "optimizers": ["sgd"],
    "rates": log_range(1e-4, 1e-2, 5),
    "schedules": ["constant"],
    "seeds": 5,
    "epochs": 8,
    "confirmation": 6,
    "grow": 4,
    "refine": 2,
    "minutes": 60,
}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"minutes": 0}, "minutes is 0; give a number above 0"),
        ({"minutes": float("nan")}, "minutes is nan; give a number above 0"),
        ({"minutes": "30"}, "minutes is '30'; give a number above 0"),
        ({"minutes": 30, "until": "18:00"}, "both minutes=30 and until='18:00' are given; give one of them"),
        ({"until": "soon"}, "until is 'soon'; give HH:MM, e.g. 18:00"),
        ({"until": "25:00"}, "until is '25:00'; give HH:MM"),
        ({"until": 18}, "until is 18; give HH:MM"),
        ({"until": "2001-01-31T18:00"}, "until is 2001-01-31T18:00, and it is .* now; give a time to come"),
    ],
    ids=str,
)
def test_what_is_not_a_time_is_one_sentence(given: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(PlanError, match=words):
        compare(**TINY, **given, store=tmp_path / "a.db")
    assert list(tmp_path.iterdir()) == []


def test_a_time_of_day_is_the_next_one() -> None:
    now = datetime.now()
    for hours in (-1, 1):
        limit = limit_of(None, f"{now + timedelta(hours=hours):%H:%M}")
        assert limit is not None
        assert limit.end - time.monotonic() == pytest.approx(3600 * (hours % 24), abs=61)
    limit = limit_of(None, now + timedelta(days=3))
    assert limit is not None
    assert limit.end - time.monotonic() == pytest.approx(3 * 24 * 3600, abs=61)
    assert limit_of(None, None) is None


def test_the_largest_plan_that_fits_is_taken() -> None:
    programs = Programs(plan(["sgd", "adam"], epochs=200), prepare(load("breast-cancer")))
    programs.train_as(decide(programs, "compiled"))
    would, plans = foresee(programs), list(shorter(programs.plan))
    before, smallest = 3 * would.seconds, smaller(programs.wider(plans[-1]), would).seconds / 0.8
    sizes = []
    while before > 1.3 * smallest:
        limit = Limit(before / 60, None, time.monotonic() + before)
        narrower, less, (words,) = fitted(programs, would, limit)
        assert less.seconds <= 0.8 * before
        assert narrower.plan in plans
        assert (
            left_out(programs.plan, narrower.plan) == [] or ", ".join(left_out(programs.plan, narrower.plan)) in words
        )
        sizes.append(plans.index(narrower.plan))
        before *= 0.6
    assert sizes == sorted(sizes)
    assert sizes[0] == 0
    assert len(set(sizes)) > 3
    least = plans[-1]
    assert (least.seeds, least.confirmation, least.budget) == (3, 3, "halving")
    assert least.optimizers == programs.plan.optimizers
    assert least.rates[0] == programs.plan.rates[0]
    assert least.rates[-1] == programs.plan.rates[-1]


def test_drawn_points_become_fewer_of_the_same() -> None:
    asked = plan(
        ["adam", "sgd"],
        [1e-4, 1.0],
        search="sobol",
        settings=16,
        hyperparameters={"beta2": [0.9, 0.999]},
        confirmation=2,
    )
    *_, least = shorter(asked)
    assert least.points == asked.points[:4]
    assert len(least.settings) == len(asked.settings) / 4
    assert (least.seeds, least.confirmation) == (3, 2)
    assert "4 of 16 points" in left_out(asked, least)


@pytest.mark.slow
def test_what_fits_is_the_study_that_was_asked_for(tiny: Study, tmp_path: Path) -> None:
    study = compare(**TINY, minutes=600, store=tmp_path / "a.db")
    assert study.curves().equals(tiny.curves())
    assert study.batching == ["It fits into 600 minutes as it is."]
    again = compare(**TINY, minutes=600, store=tmp_path / "a.db")
    assert again.revision == study.revision
    for other in ({"minutes": 700}, {}, {"minutes": 600, "seeds": 3}):
        with pytest.raises(StoreError, match=r"already holds another study .with other (time|settings)"):
            compare(**{**TINY, **other}, store=tmp_path / "a.db")


@pytest.mark.slow
def test_too_short_a_time_is_one_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match=r"^[^\n]* minutes are too short: [^\n]*; give [\d.]+ minutes, fewer [^\n]*$"):
        compare(**TINY, minutes=1e-9, store=tmp_path / "a.db")
    assert list(tmp_path.iterdir()) == []
    assert forecast(**TINY, minutes=600).warnings == ("It fits into 600 minutes as it is.",)


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """All takes for ever, once it has begun."""
    monkeypatch.setattr(Pace, "factor", 1e9)


@pytest.mark.parametrize("budget", ["full", "halving"])
@pytest.mark.slow
def test_where_it_is_slower_less_is_done_and_it_can_be_run_again(
    budget: str, slow: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = compare(**WIDE, budget=budget, store=tmp_path / "a.db")
    assert study.finished
    assert (study.plan.seeds, study.plan.confirmation) == (3, 3)
    assert (study.plan.grown, study.plan.refined) == ((), ())
    assert study.verdict.confirmed
    assert study.verdict.seeds == 3
    said = " ".join(study.batching)
    for words in ("3 of 5 seeds", "3 of 6 fresh seeds", "no further rates", "no further rounds"):
        assert f"It takes longer than was foreseen: {words}" in said
    assert ("only the best of each level" in said) == (budget == "halving")
    runs = study.table()
    assert set(runs.loc[runs["stage"] == "search", "seed"]) == {0, 1, 2}
    finished = runs[(runs["stage"] == "search") & (runs["status"] == "finished")]
    assert len(finished) == (15 if budget == "full" else 3)
    monkeypatch.undo()
    again = rerun(study.path, progress=False)
    assert again.same_verdict
    assert again.same_curves
    assert again.study.plan == study.plan


@pytest.mark.slow
def test_growth_that_ends_for_want_of_time_is_repeated_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Pace, "factor", 1e-9)
    given = {**WIDE, "seeds": 3, "confirmation": 3, "budget": "full"}
    free = compare(**given, store=tmp_path / "free.db")
    assert len(free.plan.grown) > 1
    assert free.plan.grow_total is None

    class Tires:
        """In time until the first round of growth is done."""

        def __get__(self, pace: Pace, of: object) -> float:
            return 1e9 if pace.spent and grew else 1e-9

    grew: list[bool] = []
    monkeypatch.setattr(Pace, "factor", Tires())
    monkeypatch.setattr("thalweg.engine.execute.grown", _noting(grew))
    study = compare(**given, store=tmp_path / "a.db")
    monkeypatch.undo()
    assert study.plan.grown == free.plan.grown[: len(study.plan.grown)]
    assert 0 < len(study.plan.grown) == study.plan.grow_total < len(free.plan.grown)
    assert rerun(study.path, progress=False).same_curves


def _noting(grew: list[bool]) -> Any:
    from thalweg.engine.growth import grown

    def noted(plan: Any, members: Any) -> Any:
        wider = grown(plan, members)
        grew.extend([True] * bool(plan.grown))
        return wider

    return noted


@pytest.mark.slow
def test_a_limited_study_is_resumed_without_a_clock(
    slow: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("thalweg.engine.execute._search", stop)
        with pytest.raises(KeyboardInterrupt):
            compare(**WIDE, store=tmp_path / "a.db")
    study = resume(tmp_path / "a.db", progress=False)
    assert study.finished
    assert study.plan.seeds == 5
    assert study.limit["minutes"] == 60
    assert replace(study.plan.as_asked, grow_total=None).seeds == 5


def test_one_minute_is_one() -> None:
    assert [str(limit_of(minutes, None)) for minutes in (1, 1.5, 30)] == ["1 minute", "1.5 minutes", "30 minutes"]
