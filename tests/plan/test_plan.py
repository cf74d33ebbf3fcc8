"""What a plan accepts, how it refuses the rest, and how it is read back from a store."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import thalweg as tw
from thalweg.errors import PlanError, StoreError, UsageError
from thalweg.plan.plan import Plan, log_range, parse_rates, plan
from thalweg.problem import trust
from thalweg.results import Results
from thalweg.store.file import Store


@tw.formula()
def mine(g, a, *, lr=1e-3, k=0.5):
    a = k * a + g
    return tw.Update(-lr * a, a=a)


@tw.formula()
def without_rate(g, *, k=0.5):
    return tw.Update(-k * g)


RULES = """
import thalweg as tw

@tw.formula()
def filed(g, a, *, lr=1e-3, k={k}):
    a = k * a + g
    return tw.Update(-lr * a, a=a)

number = 3
"""


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    path = tmp_path / "rules.py"
    path.write_text(RULES.format(k=0.5))
    return path


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"optimizers": ["adm"]}, "'adm' is not an optimizer: did you mean .*adam.*Known: sgd"),
    ({"optimizers": []}, "optimizers is empty"),
    ({"optimizers": ["sgd", "sgd"]}, "sgd is listed twice"),
    ({"optimizers": ["adam", "adam()"]}, "adam is listed twice"),
    ({"optimizers": [3]}, "an optimizer is a name, a formula, a class .* not 3"),
    ({"optimizers": 3}, "optimizers must be a list, not 3"),
    ({"optimizers": ["adam(beta3=1)"]}, "beta3"),
    ({"optimizers": ["adam("]}, "form name"),
    ({"optimizers": [without_rate]}, "without_rate has no hyperparameter lr"),
    ({"optimizers": ["nowhere.py:mine"]}, "there is no file nowhere.py"),
    ({"optimizers": ["no_such_module:mine"]}, "there is no module no_such_module"),
    ({"schedule_names": ["cosin"]}, "'cosin' is not a schedule: did you mean cosine"),
    ({"schedule_names": []}, "schedules is empty"),
    ({"schedule_names": ["cosine", "cosine"]}, "schedule cosine is listed twice"),
    ({"schedule_names": None}, "schedules must be a list"),
    ({"rates": []}, "rates is empty"),
    ({"rates": [0]}, "rate 0 is not allowed"),
    ({"rates": [-0.1]}, "rate -0.1 is not allowed"),
    ({"rates": [math.nan]}, "rate nan is not allowed"),
    ({"rates": [math.inf]}, "rate inf is not allowed"),
    ({"rates": [True]}, "rate True is not allowed"),
    ({"rates": ["0.1"]}, "rate '0.1' is not allowed"),
    ({"rates": [0.1, 0.1]}, "rate 0.1 is listed twice"),
    ({"rates": [np.float32(0.1), float(np.float32(0.1))]}, "rate 0.1 is listed twice"),
    ({"rates": 0.1}, "rates must be a list, not 0.1"),
    *(
        ({what: wrong}, f"{what} is {wrong!r}; give a whole number of at least {least}")
        for what, least in {"seeds": 1, "epochs": 1, "batch_size": 1, "confirmation": 0}.items()
        for wrong in (least - 1, -5, 1.0, True, "3", None, math.nan)
    ),
]


@pytest.mark.parametrize(("wrong", "words"), REFUSED, ids=[str(wrong) for wrong, _ in REFUSED])
def test_refused(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        plan(**wrong)
    assert "\n" not in str(caught.value)


def test_refused_things_in_files(rules: Path) -> None:
    with pytest.raises(PlanError, match="is of type int, not an optimizer; name a formula"):
        plan(optimizers=[f"{rules}:number"])
    with pytest.raises(PlanError, match="'file' is not a function or formula there"):
        plan(optimizers=[f"{rules}:file"])
    rules.write_text("1 / 0")
    with pytest.raises(PlanError, match="fails with ZeroDivisionError"):
        plan(optimizers=[f"{rules}:filed"])


def test_default_is_the_one_in_the_readme() -> None:
    made = plan()
    assert made.optimizers == tw.formulas.CLASSIC
    assert (len(made.rates), made.rates[0], made.rates[-1]) == (13, 1e-4, 1.0)
    assert made.schedules == ("constant", "cosine")
    assert (made.runs, made.epochs, made.batch_sizes) == (1040, 20, (64,))


def test_rates_are_sorted_and_numbers_may_be_numpy() -> None:
    made = plan(optimizers="sgd", rates=np.array([1, 0.1]), seeds=np.int64(3))  # type: ignore[arg-type]
    assert made.rates == (0.1, 1.0)
    assert made.seeds == 3
    assert type(made.seeds) is int


def test_member_carries_rate_and_schedule() -> None:
    made = plan(["adam"], rates=[0.1])
    constant, cosine = (made.member(setting, 4) for setting in made.settings)
    assert constant.hyperparameters == cosine.hyperparameters == {"lr": 0.1}
    assert (constant.seed, dict(constant.schedules), list(cosine.schedules)) == (4, {}, ["lr"])


def test_log_range() -> None:
    assert log_range(1e-4, 1, 13)[6] == 0.01
    assert log_range(0.5, 0.5, 1) == [0.5]
    np.testing.assert_allclose(np.diff(np.log(log_range(1e-5, 7, 9))), math.log(7e5) / 8)


@pytest.mark.parametrize(
    ("low", "high", "count", "words"),
    [
        (0, 1, 3, "both ends must be positive"),
        (1, math.inf, 3, "both ends"),
        (math.nan, 1, 3, "both ends"),
        ("a", 1, 3, "both ends"),
        (1, 0.1, 3, "swap them"),
        (0.1, 1, 0, "at least 1"),
        (0.1, 1, 2.5, "whole number"),
        (0.1, 0.1, 3, "several have different ones"),
        (0.1, 1, 1, "one rate has equal ends"),
    ],
)
def test_log_range_refuses(low: Any, high: Any, count: Any, words: str) -> None:
    with pytest.raises(PlanError, match=words):
        log_range(low, high, count)


def test_parse_rates() -> None:
    assert parse_rates("1e-2:1:3") == [0.01, 0.1, 1.0]
    assert parse_rates(" 0.1, 1e-3 ") == [0.1, 1e-3]


@pytest.mark.parametrize("text", ["", "a", "0.1,", "1:2", "1:2:3:4", "a:b:c", "1e-4:1:2.5", "0.1;0.2"])
def test_parse_rates_says_the_form(text: str) -> None:
    with pytest.raises(PlanError, match="cannot be read: give LOW:HIGH:COUNT") as caught:
        parse_rates(text)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize("text", ["1:0.1:3", "0:1:3", "-1:1:3", "nan:1:3", "1e-4:1:0", "1e-4:inf:4"])
def test_parse_rates_passes_on_what_the_range_refuses(text: str) -> None:
    with pytest.raises(PlanError, match=r"rates from|number of rates"):
        parse_rates(text)


# From a store


def stored(made: Plan) -> dict[str, Any]:
    return json.loads(json.dumps(made.to_json()))


def own(*rules: tw.Formula) -> dict[str, Any]:
    return {"optimizers": {rule.label: rule for rule in rules}}


def same(one: Plan, other: Plan) -> None:
    assert one == other
    assert dict(one.formulas) == dict(other.formulas)
    assert one.states == other.states
    assert [one.member(s, 1) for s in one.settings] == [other.member(s, 1) for s in other.settings]


def test_round_trip() -> None:
    made = plan(["sgd", "adam(beta2=0.99)"], rates=[0.1, 1 / 3], seeds=2, epochs=3, confirmation=0)
    same(made, Plan.from_json(stored(made)))
    assert made.states == {"sgd": 0, "adam(beta2=0.99)": 2}


def test_round_trip_with_a_formula_object() -> None:
    made = plan([mine, "sgd", mine.with_(k=0.9)], rates=[0.1])
    same(made, Plan.from_json(stored(made), own(mine, mine.with_(k=0.9))))


def test_round_trip_with_a_file_from_another_folder(rules: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(rules.parent)
    made = plan(["rules.py:filed"], rates=[0.1])
    monkeypatch.chdir("/")
    again = Plan.from_json(stored(made))
    assert again == made
    assert again.formulas["filed"].equations == made.formulas["filed"].equations


def test_nothing_is_run_before_a_formula_is_wanted(rules: Path) -> None:
    kept = stored(plan([f"{rules}:filed", "sgd"], rates=[0.1]))
    trace = rules.parent / "ran"
    rules.write_text(f"open({str(trace)!r}, 'w')")
    again = Plan.from_json(kept)
    assert (again.optimizers, again.states["filed"], len(again.formulas)) == (("filed", "sgd"), 1, 2)
    assert again.formulas["sgd"].name == "sgd"
    assert not trace.exists()


def test_a_formula_object_must_be_passed_again() -> None:
    again = Plan.from_json(stored(plan([mine], rates=[0.1])))
    with pytest.raises(PlanError, match=r"mine, an optimizer of your own: pass it again from Python, optimizers="):
        again.formulas["mine"]


def test_a_changed_formula_is_refused(rules: Path) -> None:
    kept = stored(plan([f"{rules}:filed"], rates=[0.1]))
    rules.write_text(RULES.format(k=0.6))
    with pytest.raises(PlanError, match="filed, which never ran on this machine as it is now"):
        Plan.from_json(kept).formulas["filed"]
    trust.remember([f"{rules}:filed"])
    with pytest.raises(PlanError, match="filed, and the formula of that name is no longer the same"):
        Plan.from_json(kept).formulas["filed"]
    other = tw.Formula(**{**vars(mine), "hyperparameters": {**mine.hyperparameters, "k": 0.6}})
    again = Plan.from_json(stored(plan([mine], rates=[0.1])), own(other))
    for _ in range(2):  # each time, not at the first use alone
        with pytest.raises(PlanError, match="no longer the same"):
            again.formulas["mine"]


def test_a_lost_formula_is_refused(rules: Path) -> None:
    kept = stored(plan([f"{rules}:filed"], rates=[0.1]))
    rules.unlink()
    with pytest.raises(PlanError, match=r"filed, and it cannot be found again: .*there is no file"):
        Plan.from_json(kept).formulas["filed"]


@pytest.mark.parametrize(
    "damage",
    [
        {"rates": "x"},
        {"seeds": "2); import os"},
        {"schedules": 3},
        {"epochs": -1},
        {"optimizers": 3},
        {"specs": 3},
        {"states": None},
    ],
    ids=str,
)
def test_a_damaged_plan_is_refused(damage: dict[str, Any], tmp_path: Path) -> None:
    kept = stored(plan(["sgd"], rates=[0.1]))
    less = [{k: v for k, v in kept.items() if k != key} for key in damage]
    for k, damaged in enumerate([kept | damage, *less]):
        path = tmp_path / f"{k}.db"
        Store.create(path, {"plan": damaged, "problem": {"name": "hills"}, "provenance": {}}).close()
        with pytest.raises(StoreError, match=r"cannot be read.*damaged"):
            _ = Results(path).plan


LOOKS = "looks do not have less and less of what the confirmation has"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"optimizers": ["sgd", "sgd"]}, "optimizers are listed twice"),
        ({"looks": [10]}, "looks do not have less and less of what the confirmation has"),
        ({"looks": [3, 2]}, "looks do not have less and less of what the confirmation has"),
        (
            {"looks": [{"seeds": 3, "epochs": 99, "swaps": 0}]},
            "looks do not have less and less of what the confirmation has",
        ),
        (
            {"looks": [{"seeds": 3, "epochs": 20, "swaps": 1}]},
            "looks do not have less and less of what the confirmation has",
        ),
        ({"confirmation_epochs": 1}, "the confirmation has fewer epochs than the search"),
        ({"hyperparameters": ["seed"], "applies": {"seed": {}}}, "seed is not a hyperparameter"),
    ],
)
def test_a_stored_plan_whose_parts_do_not_fit_together_is_damaged(changes: dict[str, Any], words: str) -> None:
    stored = plan(["sgd", "adam"]).to_json()
    assert Plan.from_json(stored).optimizers == ("sgd", "adam")
    with pytest.raises(StoreError, match=rf"the plan in the store cannot be read \({words}\); it is damaged"):
        Plan.from_json({**stored, **changes})
