"""Random and Sobol search: as many settings for all, the same ones each time, and spread as each number asks for."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import thalweg as tw
from thalweg.errors import PlanError, StoreError
from thalweg.plan.plan import Plan, grid, log_range, plan
from thalweg.report.contents import Parts, contents
from thalweg.study.study import Study, compare, resume

from ..cases import mostly_slow
from ..studies import stopped_at, with_plan_changed
from ..study.test_study import problem, same

ASKED: dict[str, Any] = {
    "optimizers": ["sgd", "momentum", "adam"],
    "rates": [1e-4, 1],
    "hyperparameters": {"weight_decay": (1e-6, 1e-2), "momentum": (0.5, 0.99), "amsgrad": [True, False]},
}


def made(**changes: Any) -> Plan:
    return plan(**{**ASKED, "search": "sobol", "settings": 16, **changes})


@pytest.mark.parametrize("search", ["random", "sobol"])
def test_every_optimizer_has_as_many_settings(search: str) -> None:
    wanted = made(search=search, settings=20)
    assert Counter(s.optimizer for s in wanted.settings) == dict.fromkeys(ASKED["optimizers"], 2 * 20)
    assert Counter(s.schedule for s in wanted.settings) == {"constant": 60, "cosine": 60}
    assert len(set(wanted.settings)) == len(wanted.settings)
    assert wanted.runs == wanted.seeds * len(wanted.settings)
    assert [f.name for f in wanted.ranked] == ["optimizer", "schedule"]
    assert "3 optimizers × 20 points" in grid(wanted)


def test_points_are_the_same_for_all_as_far_as_each_has_the_numbers() -> None:
    wanted = made()
    for setting in wanted.settings:
        (point,) = [point for point in wanted.points if point["lr"] == setting.lr]
        own = {"sgd": {"weight_decay"}, "momentum": {"weight_decay", "momentum"}, "adam": {"weight_decay", "amsgrad"}}
        expected = {name: point[name] if name in own[setting.optimizer] else None for name in wanted.drawn[1:]}
        assert dict(setting.further) == expected
        assert wanted.changes(setting) == {name: value for name, value in expected.items() if value is not None}
        assert wanted.formula(setting).label.startswith(setting.optimizer)


def test_the_same_points_each_time_and_others_for_another_search() -> None:
    assert made() == made()
    assert made().points == made().points
    assert made().points != made(search="random").points
    assert made(search="random", settings=8).points == made(search="random", settings=16).points[:8]


@pytest.mark.parametrize("search", ["random", "sobol"])
def test_each_number_is_spread_as_it_acts(search: str) -> None:
    """Evenly over log lr, log weight_decay, log(1 − momentum), lambd itself from 0; options equally often."""
    asked = {"weight_decay": (1e-6, 1e-2), "momentum": (0.5, 0.99), "amsgrad": [True, False], "lambd": [0, 1]}
    wanted = made(optimizers=["asgd", "momentum", "adam"], hyperparameters=asked, settings=256, search=search)
    columns = {name: np.array([point[name] for point in wanted.points], dtype=float) for name in wanted.drawn}
    unit = {
        "lr": np.log10(columns["lr"]) / 4 + 1,
        "weight_decay": np.log10(columns["weight_decay"]) / 4 + 1.5,
        "momentum": np.log((1 - columns["momentum"]) / 0.5) / np.log(0.01 / 0.5),
        "lambd": columns["lambd"],
    }
    for name, values in unit.items():
        counts = np.histogram(values, 8, (0, 1))[0]
        assert counts.sum() == 256, name
        assert counts.min() > 16, name
        if search == "sobol":
            assert set(counts) == {32}, name
    assert 96 <= columns["amsgrad"].sum() <= 160
    for one, other in itertools.combinations(unit, 2):
        assert abs(np.corrcoef(unit[one], unit[other])[0, 1]) < 0.2


def test_sobol_is_more_even_than_chance() -> None:
    """The 16 cells of a 4 × 4 square: 2 of 32 points in each, but for the rounding of numbers that are shown."""

    def empty(search: str) -> int:
        points = made(hyperparameters={"weight_decay": (1e-4, 1)}, search=search, settings=32).points
        x, y = (np.log10([point[name] for point in points]) + 4 for name in ("lr", "weight_decay"))
        return int((np.histogram2d(x, y, 4, ((0, 4), (0, 4)))[0] == 0).sum())

    assert empty("sobol") == 0
    assert empty("random") > 0


def test_as_many_as_the_grid_but_at_most_32() -> None:
    assert len(made(settings=None, hyperparameters=None, rates=log_range(1e-3, 1, 5)).points) == 5
    assert len(made(settings=None, rates=log_range(1e-3, 1, 13)).points) == 32


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"search": "sobel"}, "'sobel' is not a search: did you mean sobol"),
        ({"search": "grid"}, "settings=16 is for a search that draws them"),
        ({"settings": 1}, "settings is 1; give a whole number from 2 to 10,000"),
        ({"settings": 2.5}, "settings is 2.5"),
        ({"rates": [0.1]}, "give a lowest and a highest rate"),
        ({"rates": [1.0, 1.000001]}, "16 rates do not fit"),
        ({"settings": 10_000, "seeds": 50}, "at most 1,000,000 are allowed"),
    ],
)
def test_what_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(PlanError, match=words):
        made(**changes)


def test_states_of_each_setting() -> None:
    wanted = made(optimizers=["sgd", "rmsprop"], hyperparameters={"momentum": [0.5, 0.9], "centered": [True, False]})
    for setting in wanted.settings:
        assert wanted.states_of(setting) == len(wanted.formula(setting).states)
    assert len({wanted.states_of(s) for s in wanted.settings if s.optimizer == "rmsprop"}) == 2


def test_a_store_has_the_points() -> None:
    wanted = made()
    again = Plan.from_json(wanted.to_json())
    assert again == wanted
    assert again.settings == wanted.settings


# In a study

SMALL: dict[str, Any] = {**ASKED, "search": "sobol", "settings": 6, "seeds": 2, "epochs": 2, "batch_size": 16}
SMALL |= {"confirmation": 2, "progress": False}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return compare(problem(), **SMALL, store=tmp_path_factory.mktemp("drawn") / "a.db")


@pytest.mark.slow
def test_a_study_runs_at_its_points(study: Study, tmp_path: Path) -> None:
    search = study.table().query("stage == 'search'")
    assert len(search) == study.plan.runs == 3 * 6 * 2 * 2
    assert {e.settings for e in study.verdict.entries} == {12}
    assert study.plan.grown == study.plan.refined == ()
    (note,) = [note for note in study.verdict.notes if "points" in note]
    assert note.startswith("Every optimizer was tried at the same 6 points (sobol): rate from 0.000")
    assert note.endswith(" and amsgrad.")
    assert not [note for note in study.verdict.notes if "tuned over" in note]
    assert all(entry.default is not None for entry in study.verdict.entries)
    names = [section.name for section in contents(Parts(study))]
    assert "rates" in names
    assert "sensitivity" not in names  # no two rates have the rest in common
    page = study.report(tmp_path / "a.html").read_text(encoding="utf-8")
    assert "A mark for each point that was drawn" in page
    assert set(study.sensitivity()["rates"]) == {1}
    compile(study.recipe().code, "recipe", "exec")
    with pytest.raises(PlanError, match="momentum"):
        study.verdict_by("momentum")


@pytest.mark.slow
def test_rates_alone_have_a_valley(tmp_path: Path) -> None:
    asked = {**SMALL, "hyperparameters": None, "schedules": ["constant"], "search": "random"}
    alone = compare(problem(), **asked, store=tmp_path / "a.db")
    assert set(alone.sensitivity()["rates"]) == {6}
    assert "sensitivity" in [section.name for section in contents(Parts(alone))]


@pytest.mark.slow
def test_the_same_arguments_ask_for_this_very_study(study: Study) -> None:
    same(compare(problem(), **SMALL, store=study.path), study)
    with pytest.raises(StoreError, match="search"):
        compare(problem(), **{**SMALL, "search": "random"}, store=study.path)
    assert tw.rerun(study.path, problem=problem(), progress=False).same_curves


@pytest.mark.slow
@pytest.mark.parametrize("step", mostly_slow([3, 8], 8))
def test_stopped_and_carried_on(step: int, study: Study, tmp_path: Path) -> None:
    cut = stopped_at(step, problem(), tmp_path / "cut.db", **SMALL)
    same(resume(cut.path, problem(), progress=False), study)


@pytest.mark.slow
def test_halving_stops_points(tmp_path: Path) -> None:
    halved = compare(problem(), **{**SMALL, "epochs": 4, "budget": "halving"}, store=tmp_path / "a.db")
    assert {e.stopped > 0 for e in halved.verdict.entries} == {True}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda plan: plan["points"][0].update(lr=0.5), "values that are not in it"),
        (lambda plan: plan["points"][0].pop("lr"), "not all of the same hyperparameters"),
        (lambda plan: plan["points"].append(plan["points"][0]), "the same rate twice"),
        (lambda plan: plan["points"][0].update(lr=[]), "its plan"),
        (lambda plan: plan.update(search="hills"), "not 'grid', 'random' or 'sobol'"),
    ],
)
def test_a_damaged_plan_is_refused(
    change: Callable[[dict[str, Any]], object], words: str, study: Study, tmp_path: Path
) -> None:
    damaged = with_plan_changed(study.path, tmp_path / "a.db", change)
    with pytest.raises(StoreError, match=words):
        damaged.verdict  # noqa: B018
