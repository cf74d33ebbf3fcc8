"""The last round of the search: another weight decay and another momentum, at each best setting alone."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import thalweg as tw
from thalweg.engine.refinement import next_round
from thalweg.errors import PlanError, StoreError
from thalweg.plan.factors import Setting
from thalweg.plan.plan import Plan, log_range, plan
from thalweg.report.ranking import ranking
from thalweg.study.study import Study, compare, resume
from thalweg.verdict.importance import importance
from thalweg.verdict.sensitivity import sensitivity
from thalweg.verdict.verdict import judge

from ..cases import mostly_slow
from ..studies import stopped_at, with_plan_changed
from ..study.test_study import problem, same
from ..verdict.test_verdict import made, table
from .test_refinement import GRID, at, searched

TUNED: dict[str, Any] = {"optimizers": ["sgd", "adam"], "rates": log_range(1e-3, 1, 4), "tune": True}


def decays(setting: Setting, seed: int) -> float:
    """What is best with a weight decay of 0.001."""
    return 1 - 0.5 * (dict(setting.further)["weight_decay"] == 1e-3)


def last(wanted: Plan, extra: Callable[[Setting, int], float] | None = None) -> tuple[Plan, dict[str, list[Setting]]]:
    """The plan after all rounds, and the settings of the last one by optimizer."""
    loss = at(**dict.fromkeys(wanted.optimizers, 0.02))
    while (finer := next_round(wanted, table(wanted, loss, extra=extra))) is not None:
        wanted = replace(wanted, refined=(*wanted.refined, finer))
    settings: dict[str, list[Setting]] = {}
    for setting in wanted.refined[-1]["optimizer"]:
        settings.setdefault(setting.optimizer, []).append(setting)
    return wanted, settings


def test_two_values_of_what_decides_are_tried_at_the_best_setting_of_each() -> None:
    rules = ["sgd", "momentum", "adam", "adamw", "qhadam", "rprop", "adam(beta1=0.5)"]
    wanted, settings = last(made(**TUNED | {"optimizers": rules}))
    assert {name: [wanted.told(one) for one in two] for name, two in settings.items()} == {
        "sgd": [{"weight_decay": 0.001}, {"weight_decay": 0.01}],
        "momentum": [{"weight_decay": 0.001}, {"momentum": 0.8}],
        "adam": [{"weight_decay": 0.001}, {"beta1": 0.8}],
        "adamw": [{"weight_decay": 0.1}, {"beta1": 0.8}],
        "qhadam": [{"weight_decay": 0.001}, {"beta1": 0.99}],
        "rprop": [{}, {}],  # it has neither, and has two finer rates
        "adam(beta1=0.5)": [{"weight_decay": 0.001}, {"weight_decay": 0.01}],  # its own is its user's
    }
    assert len(wanted.refined) == wanted.rounds == 3
    for name, two in settings.items():
        rates = {setting.lr for setting in two}
        before = {one.lr for round_ in wanted.refined[:2] for one in round_["optimizer"] if one.optimizer == name}
        assert rates <= {*before, *wanted.rates} if name != "rprop" else not rates & {*before, *wanted.rates}
        assert {wanted.formula(one).hyperparameters.get("weight_decay") for one in two} != {0.0}
    assert Counter(one.optimizer for one in wanted.finer("optimizer")) == dict.fromkeys(rules, 6)
    assert wanted.runs == wanted.seeds * len({*wanted.settings})
    assert Plan.from_json(json.loads(json.dumps(wanted.to_json()))) == wanted


def test_a_schedule_of_momentum_keeps_its_momentum() -> None:
    wanted = made(**TUNED, schedule_names=[{"lr": "cosine", "beta1": "linear(end=0.9)"}])
    assert {f.name: sorted(f.usual) for f in wanted.tuned} == {"weight_decay": ["adam", "sgd"]}


def test_the_best_of_it_is_chosen_named_and_confirmed() -> None:
    wanted, _ = last(made(**TUNED), decays)
    loss = at(sgd=0.02, adam=0.02)
    verdict = judge(wanted, "hills", table(wanted, loss, extra=decays), {})
    assert {e.optimizer: e.further["weight_decay"] for e in verdict.entries} == {"sgd": 1e-3, "adam": 1e-3}
    assert {e.runs for e in verdict.entries} == {(2 * 4 + 6) * wanted.seeds}
    assert "weight_decay 0.001" in verdict.sentence
    assert "beta1" not in verdict.sentence
    assert (verdict.usual, verdict.further) == (("beta1",), ["weight_decay"])
    assert [c.name for c in ranking(verdict).columns if c.name in ("weight_decay", "beta1")] == ["weight_decay"]
    (note,) = [note for note in verdict.notes if "tried at" in note]
    assert note.endswith("There it was also tried with another weight_decay or beta1.")
    assert not [note for note in verdict.notes if "Left at their defaults" in note and "weight_decay" in note]


def test_where_usual_values_stay_no_table_and_sentence_names_them() -> None:
    wanted, _ = last(made(**TUNED))
    loss = at(sgd=0.02, adam=0.02)
    verdict = judge(wanted, "hills", table(wanted, loss, extra=lambda setting, _: len(wanted.told(setting))), {})
    assert verdict.further == []
    assert "weight_decay" not in verdict.sentence


def test_rates_are_those_of_usual_values() -> None:
    """The valley, what the factors explain, and a ranking by rate know no other ones."""
    with_round, _ = last(made(**TUNED), decays)
    without = searched(made(**{**TUNED, "tune": False}), at(sgd=0.02, adam=0.02))
    loss, tables = at(sgd=0.02, adam=0.02), []
    for wanted in (with_round, without):
        members = table(wanted, lambda *s: 1 + loss(*s))
        tables.append((sensitivity(wanted, members), importance(wanted, members)))
    (wide, shares), (before, shares_before) = tables
    assert wide[[*before]].equals(before)
    assert [one.effects for one in shares] == [one.effects for one in shares_before]


def test_until_the_round_is_whole_the_verdict_is_on_rates() -> None:
    wanted, _ = last(made(**TUNED), decays)
    members = table(wanted, at(sgd=0.02, adam=0.02), extra=decays)
    (row, *_) = members.index[(members["weight_decay"] == 1e-3) & (members["optimizer"] == "sgd")]
    members.loc[row, "status"] = "waiting"
    verdict = judge(wanted, "hills", members, {})
    assert {e.further["weight_decay"] for e in verdict.entries} == {0.0}
    assert verdict.seeds == wanted.seeds


@pytest.mark.parametrize(
    ("given", "tuned"),
    [
        ({}, True),
        ({"refine": 0}, False),
        ({"rates": [0.01, 0.1]}, False),
        ({"hyperparameters": {"eps": [1e-8, 1e-6]}}, False),
        ({"search": "sobol"}, False),
        ({"tune": False}, False),
        ({"tune": True, "hyperparameters": {"eps": [1e-8, 1e-6]}}, True),
    ],
)
def test_when_it_is_done(given: dict[str, Any], tuned: bool) -> None:
    assert bool(plan(**{"optimizers": ["adam"], **given}).tuned) == tuned


@pytest.mark.parametrize("given", [{"refine": 0}, {"rates": [0.01, 0.1]}, {"search": "sobol"}])
def test_where_it_cannot_be_done_a_sentence_says_so(given: dict[str, Any]) -> None:
    with pytest.raises(PlanError, match="grid of 3 rates or more, after refine rounds"):
        plan(optimizers=["adam"], tune=True, **given)


# In a study


ASKED: dict[str, Any] = {**GRID, "schedules": ["constant"], "tune": None}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return compare(problem(), **ASKED, store=tmp_path_factory.mktemp("tuned") / "a.db")


@pytest.mark.slow
def test_a_study_trains_confirms_and_hands_over_what_was_chosen(study: Study) -> None:
    assert len(study.plan.refined) == 3
    search = study.table().query("stage == 'search'")
    decay = search["optimizer"].map({"sgd": 1e-3, "adam": 1e-3})
    assert (search["weight_decay"] == decay).sum() == 2 * study.plan.seeds
    assert set(search["status"]) == {"finished"}
    run = study.recipe_run
    assert run is not None
    assert run.largest is not None
    assert run.largest < 2e-4
    again = tw.Study(study.path)
    assert again.plan.tuned
    assert again.plan.told(again.verdict.best.setting) == study.plan.told(study.verdict.best.setting)


@pytest.mark.slow
@pytest.mark.parametrize("step", mostly_slow([52, 58], 52))
def test_a_study_stopped_in_it_goes_on_as_it_would_have(step: int, study: Study, tmp_path: Path) -> None:
    cut = stopped_at(step, problem(), tmp_path / "cut.db", **ASKED)
    assert len(cut.plan.refined) == 3
    assert set(cut.table()["stage"]) == {"search"}
    same(resume(cut.path, problem(), progress=False), study)


@pytest.mark.parametrize(
    "usual", [{"weight_decay": {"sgd": 0.0}}, {"eps": {"adam": 1e-8}}, {"weight_decay": {"sgd": "0", "adam": 0.0}}, {}]
)
def test_usual_values_of_others_are_damage(usual: dict[str, Any], study: Study, tmp_path: Path) -> None:
    damaged = with_plan_changed(study.path, tmp_path / "a.db", lambda stored: stored.update(usual=usual))
    with pytest.raises(StoreError, match="damaged"):
        damaged.verdict  # noqa: B018
