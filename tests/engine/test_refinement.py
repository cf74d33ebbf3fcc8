"""The finer search: half-way rates, as many for all, which make it nearly irrelevant where the grid has its rates."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import thalweg as tw
from thalweg.engine import refinement
from thalweg.engine.refinement import next_round
from thalweg.errors import PlanError, StoreError
from thalweg.plan.plan import Plan, log_range
from thalweg.store.file import Store
from thalweg.study.study import Study, compare, resume
from thalweg.verdict.sensitivity import sensitivity
from thalweg.verdict.verdict import chosen_settings, judge, to_confirm

from ..cases import WHOLE, mostly_slow
from ..studies import stopped_at, with_plan_changed
from ..study.test_study import problem, same, training_is_forbidden
from ..verdict.test_verdict import made, table

Loss = Callable[[str, float, str, int], float]
GRID: dict[str, Any] = {
    "optimizers": ["sgd", "adam"],
    "rates": [1e-3, 1e-2, 1e-1],
    "schedules": ["constant", "cosine"],
    "seeds": 2,
    "epochs": 2,
    "batch_size": 16,
    "confirmation": 2,
    "grow": 1,
    "tune": False,
    "progress": False,
}


def at(**rates: float) -> Loss:
    """A loss with the valley of each optimizer at that rate; cosine is better."""
    return lambda optimizer, lr, schedule, seed: math.log10(lr / rates[optimizer]) ** 2 + (schedule == "constant")


def searched(wanted: Plan, loss: Loss) -> Plan:
    """The plan after all its rounds."""
    while (finer := next_round(wanted, table(wanted, loss))) is not None:
        wanted = replace(wanted, refined=(*wanted.refined, finer))
    return wanted


def rates(wanted: Plan, optimizer: str) -> list[list[float]]:
    """Those of each round."""
    return [[s.lr for s in one["optimizer"] if s.optimizer == optimizer] for one in wanted.refined]


# Which settings come next


def test_each_round_is_half_way_to_the_next_rates_on_both_sides() -> None:
    wanted = searched(made(optimizers=["sgd", "adam"], rates=log_range(1e-3, 1, 4)), at(sgd=0.01, adam=0.2))
    root, fourth = 10**0.5, 10**0.25
    expected = {
        "sgd": [[0.01 / root, 0.01 * root], [0.01 / fourth, 0.01 * fourth]],
        "adam": [[0.1 / root, 0.1 * root], [0.1 * root / fourth, 0.1 * root * fourth]],
    }
    for optimizer, rounds in expected.items():
        np.testing.assert_allclose(rates(wanted, optimizer), rounds, rtol=1e-11)
        assert {s.schedule for one in wanted.refined for s in one["optimizer"]} == {"cosine"}


def test_beyond_the_last_rate_the_step_is_that_inside() -> None:
    wanted = searched(made(optimizers=["sgd", "adam"], rates=[0.01, 0.04, 0.64], refine=1), at(sgd=1e-9, adam=1e9))
    assert rates(wanted, "sgd") == [[0.005, 0.02]]
    assert rates(wanted, "adam") == [[0.16, 2.56]]
    members = table(wanted, at(sgd=1e-9, adam=1e9))
    assert {e.optimizer: e.edge for e in judge(wanted, "hills", members, {}).entries} == {
        "sgd": "lowest",
        "adam": "highest",
    }
    members = table(wanted, at(sgd=0.01, adam=0.64))
    assert {e.edge for e in judge(wanted, "hills", members, {}).entries} == {None}  # a rate beyond was tried


@pytest.mark.parametrize("more", [{"batch_sizes": [8, 16]}, {"hyperparameters": {"momentum": [0.5, 0.9]}}, {}])
def test_every_level_has_equally_many(more: dict[str, Any]) -> None:
    """Those that are tried for the sake of a level of one factor do not count where another is ranked."""
    wanted = searched(made(rates=log_range(1e-3, 1, 4), **more), at(sgd=0.05, momentum=0.01, adam=0.002))
    for factor in wanted.ranked:
        counts = Counter(setting[factor.name] for setting in wanted.finer(factor.name))
        assert counts == dict.fromkeys(factor.levels, 4)
        members = table(wanted, at(sgd=0.05, momentum=0.01, adam=0.002))
        runs = {
            wanted.level(e.setting, factor.name): e.runs for e in judge(wanted, "x", members, {}, factor.name).entries
        }
        grid = Counter(s[factor.name] for s in replace(wanted, refined=()).settings)
        assert runs == {level: (grid[level] + 4) * wanted.seeds for level in factor.levels}
    assert wanted.runs == wanted.seeds * len(set(wanted.settings)) == len(table(wanted, at(sgd=1, momentum=1, adam=1)))


def test_rates_alone_are_ranked_on_the_grid() -> None:
    wanted = searched(made(optimizers=["sgd"], rates=log_range(1e-3, 1, 4)), at(sgd=0.03))
    members = table(wanted, at(sgd=0.03))
    assert sorted(e.lr for e in judge(wanted, "hills", members, {}, "lr").entries) == [0.001, 0.01, 0.1, 1.0]
    (best,) = judge(wanted, "hills", members, {}).entries
    assert best.lr not in wanted.rates


@pytest.mark.parametrize("few", [[0.1], [0.01, 0.1]])
def test_one_or_two_rates_are_not_refined(few: list[float]) -> None:
    wanted = made(optimizers=["sgd"], rates=few)
    assert next_round(wanted, table(wanted, at(sgd=0.02))) is None


def test_no_more_than_a_study_may_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = made(optimizers=["sgd"])
    monkeypatch.setattr(refinement, "MOST_RUNS", wanted.runs + 1)
    assert next_round(wanted, table(wanted, at(sgd=0.02))) is None


def test_an_optimizer_that_always_diverges_has_as_many() -> None:
    wanted = searched(
        made(optimizers=["sgd", "adam"], refine=1), lambda optimizer, *_: math.nan if optimizer == "sgd" else 1
    )
    assert [len(each) for optimizer in ("sgd", "adam") for each in rates(wanted, optimizer)] == [2, 2]


def test_while_a_round_runs_the_verdict_is_on_what_is_complete() -> None:
    loss = at(sgd=0.02, adam=0.3)
    wanted = searched(made(optimizers=["sgd", "adam"], rates=log_range(1e-3, 1, 4), refine=1), loss)
    members = table(wanted, loss)
    whole = judge(wanted, "hills", members, {})
    assert {e.optimizer: e.lr for e in whole.entries} == {"sgd": 0.0316227766017, "adam": 0.316227766017}
    (row, *_) = members.index[members["lr"] == 0.0316227766017]
    members.loc[row, "status"] = "waiting"
    before = judge(wanted, "hills", members, {})
    assert {e.optimizer: e.lr for e in before.entries} == {"sgd": 0.01, "adam": 0.1}
    assert before.seeds == wanted.seeds


def test_the_valley_is_drawn_finer() -> None:
    loss = at(sgd=0.02)
    coarse = made(optimizers=["sgd"], rates=log_range(1e-3, 1, 4))
    fine = searched(coarse, lambda *s: 1 + loss(*s))
    widths = [sensitivity(one, table(one, lambda *s: 1 + loss(*s))) for one in (coarse, fine)]
    truth = 2 * math.sqrt(0.1)  # decades in which 1 + x² is within 10% of 1
    errors = [abs(width["decades_10"].item() - truth) for width in widths]
    assert errors[1] < errors[0] / 2
    assert widths[0]["rates"].item() == widths[1]["rates"].item() == 4


# Where the grid has its rates


def verdicts(seed: int, refine: int, noise: float = 0.03) -> list[dict[str, tuple[float, str]]]:
    """Optimizer → (true loss, letters) on a grid of a step of 1/3 decade, and on the same one shifted by
    any part of a step.

    Each optimizer has a parabola over the logarithm of the rate, of random depth, width and place. Noise is the
    same at all rates of an optimizer, so that nothing but the grid decides.
    """
    rng = np.random.default_rng(seed)
    names = ["sgd", "momentum", "adam", "rmsprop"]
    middle, depth, width = rng.uniform(-3, -1, 4), rng.uniform(1, 1.05, 4), rng.uniform(0.5, 2, 4)

    def true(optimizer: str, lr: float) -> float:
        k = names.index(optimizer)
        return depth[k] + width[k] * (math.log10(lr) - middle[k]) ** 2

    def loss(optimizer: str, lr: float, schedule: str, seed: int) -> float:
        k = names.index(optimizer)
        return true(optimizer, lr) + noise * np.random.default_rng([seed, k]).normal()

    results = []
    for shift in (0.0, rng.uniform()):
        asked = made(
            optimizers=names,
            rates=[rate * 10 ** (shift / 3) for rate in log_range(1e-4, 1, 13)],
            schedule_names=["constant"],
            seeds=5,
            confirmation=10,
            refine=refine,
        )
        wanted = searched(asked, loss)
        verdict = judge(wanted, "hills", table(wanted, loss, {"loss": loss}), {})
        results.append({e.optimizer: (true(e.optimizer, e.lr), e.letters) for e in verdict.entries})
    return results


@pytest.mark.slow
@pytest.mark.parametrize("problems", mostly_slow([3, 40] if WHOLE else [3], 3))
def test_where_the_rates_are_changes_little_with_it_and_much_without(problems: int) -> None:
    gaps, changed = {}, {}
    for refine in (0, 2):
        pairs = [verdicts(seed, refine) for seed in range(problems)]
        gaps[refine] = np.mean([abs(a[name][0] / b[name][0] - 1) for a, b in pairs for name in a])
        changed[refine] = np.mean([any(a[name][1] != b[name][1] for name in a) for a, b in pairs])
    assert gaps[0] > 0.005
    assert gaps[2] < gaps[0] / 8
    assert changed[2] <= changed[0]
    if problems == 40:  # docs/method.md has these
        assert (round(100 * gaps[0], 1), round(100 * gaps[2], 2)) == (1.0, 0.07)
        assert (round(40 * changed[0]), round(40 * changed[2])) == (18, 1)


# In a study


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return compare(problem(), **GRID, store=tmp_path_factory.mktemp("refined") / "a.db")


def test_a_study_has_the_settings_of_its_rounds_with_every_seed(study: Study) -> None:
    wanted, search = study.plan, study.table().query("stage == 'search'")
    assert (wanted.refine, len(wanted.refined)) == (2, 2)
    assert set(search["status"]) <= {"finished", "diverged"}
    tried = Counter(search[["optimizer", "lr", "schedule"]].itertuples(index=False, name=None))
    assert tried == {(s.optimizer, s.lr, s.schedule): 2 for s in wanted.settings}
    assert not {s.lr for s in wanted.refinement} & set(wanted.rates)
    before = replace(wanted, refined=())
    for one in wanted.refined:  # what a round tries follows from all before it
        assert next_round(before, study.table()[study.table()["lr"].isin(rates_until(before))]) == one
        before = replace(before, refined=(*before.refined, one))
    for name in ("optimizer", "schedule"):
        confirmed = to_confirm(wanted, study.table())
        assert {*(setting for setting, _ in chosen_settings(wanted, study.table(), name).values())} <= {*confirmed}
        assert {e.setting for e in study.verdict_by(name).entries} <= {*confirmed}
    (note,) = [note for note in study.verdict.notes if "tried at" in note]
    assert note == "Around its best rate each optimizer was tried at 4 more, down to 1/4 of the grid's step."


def rates_until(wanted: Plan) -> set[float]:
    return {*wanted.rates, *(setting.lr for setting in wanted.refinement)}


def test_the_choice_is_better_or_as_good(study: Study, tmp_path: Path) -> None:
    coarse = compare(problem(), **GRID, refine=0, store=tmp_path / "a.db")
    assert coarse.plan.refined == ()
    chosen = (chosen_settings(one.plan, one.table()) for one in (coarse, study))
    before, after = ({name: value for name, (_, value) in levels.items()} for levels in chosen)
    assert all(after[name] <= before[name] for name in before)
    assert after != before


@pytest.mark.slow
def test_a_shifted_grid_has_the_same_choice(tmp_path: Path) -> None:
    """But for noise; it was another one before."""
    asked = {"optimizers": ["sgd", "adam"], "schedules": ["cosine"], "seeds": 2, "epochs": 10, "confirmation": 2}
    losses, letters = {}, {}
    for refine, shift in itertools.product((0, 2), (1, 10 ** (1 / 6))):
        grid = [rate * shift for rate in log_range(1e-3, 1, 7)]
        store = tmp_path / f"{refine} {shift}.db"
        result = compare("diabetes", rates=grid, refine=refine, store=store, progress=False, **asked)
        entries = {e.optimizer: e for e in result.verdict.entries}
        losses[refine, shift > 1] = np.array([entries[name].search_value for name in ("sgd", "adam")])
        letters[refine, shift > 1] = {name: (e.letters, e.may_be_best) for name, e in entries.items()}
    np.testing.assert_allclose(losses[2, True], losses[2, False], rtol=1e-3)
    assert letters[2, True] == letters[2, False]
    assert abs(losses[0, True] / losses[0, False] - 1).max() > 2e-3


def test_the_store_says_what_was_tried(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    with Store.open(study.path) as store:
        stored = store.meta("plan")
    assert (stored["refine"], len(stored["refined"])) == (2, 2)
    assert Plan.from_json(stored, {}).refined == study.plan.refined
    training_is_forbidden(monkeypatch)
    same(compare(problem(), **GRID, store=study.path), study)  # the same arguments ask for this very study
    with pytest.raises(StoreError, match=r"already holds another study \(with other refine\)"):
        compare(problem(), **GRID, refine=1, store=study.path)


def test_what_is_refused(tmp_path: Path) -> None:
    for refine in (-1, 11, 1.5):
        with pytest.raises(PlanError, match=f"refine is {refine}; give a whole number from 0 to 10"):
            compare(problem(), **GRID, refine=refine, store=tmp_path / "a.db")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda plan: plan.update(refine=1), "refined more often than was asked for"),
        (lambda plan: plan["refined"][0]["optimizer"][0].update(schedule="linear"), "levels are not in it"),
        (lambda plan: plan["refined"][0].update(lr=[]), "levels are not in it"),
        (lambda plan: plan["refined"][0]["optimizer"][0].update(lr=0.01), "settings that it has already"),
        (lambda plan: plan["refined"][0]["optimizer"][0].update(lr=-1), "not a positive number"),
        (lambda plan: plan["refined"][0]["optimizer"][0].pop("further"), "has no further"),
        (lambda plan: plan.pop("refined"), "which is not in the plan"),
    ],
)
def test_a_damaged_plan_is_refused(
    change: Callable[[dict[str, Any]], object], words: str, study: Study, tmp_path: Path
) -> None:
    damaged = with_plan_changed(study.path, tmp_path / "a.db", change)
    with pytest.raises(StoreError, match=words):
        damaged.verdict  # noqa: B018


@pytest.mark.slow
@pytest.mark.parametrize("step", mostly_slow([26, 34, 42], 42))
def test_stopped_while_it_is_refined(step: int, study: Study, tmp_path: Path) -> None:
    cut = stopped_at(step, problem(), tmp_path / "cut.db", **GRID)
    assert cut.plan.refined
    assert set(cut.table()["stage"]) == {"search"}
    assert len(cut.verdict.entries) == 2
    same(resume(cut.path, problem(), progress=False), study)


@pytest.mark.slow
@pytest.mark.parametrize("more", [{"budget": "halving", "epochs": 4}, {"folds": 3}], ids=["halving", "folds"])
def test_with_halving_and_folds(more: dict[str, Any], tmp_path: Path) -> None:
    wanted = {**GRID, "rates": log_range(1e-3, 1, 7), "refine": 1, "schedules": ["constant"], **more}
    result = compare(problem(), **wanted, store=tmp_path / "a.db")
    assert result.finished
    search = result.table().query("stage == 'search'")
    search = search[search["lr"].isin([setting.lr for setting in result.plan.refinement])]
    assert len(search) == 2 * 2 * 2 * (3 if "folds" in more else 1)
    assert set(search["status"]) == {"finished"}
    assert tw.rerun(result.path, problem=problem(), progress=False).same_curves
