"""Times to a target whose estimate is known, with runs that never reach it."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from thalweg.errors import PlanError
from thalweg.plan.folds import Folds
from thalweg.study.study import Study
from thalweg.verdict.targets import race, reached
from thalweg.verdict.verdict import judge

from .test_verdict import made, table


def test_without_censoring_it_is_the_median_and_the_mean() -> None:
    found = reached(np.array([10.0, 30.0, 20.0, 50.0, 40.0]), 100)
    assert (found.reached, found.runs, found.median.mean, found.restricted_mean) == (5, 5, 30, 30)
    assert found.median.low <= 30 <= found.median.high
    assert np.array(found.curve).T.tolist() == [[0, 10, 20, 30, 40, 50], pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1])]


def test_runs_that_never_arrive_are_not_dropped() -> None:
    """Dropping them would give a median of 20."""
    found = reached(np.array([10.0, 20.0, 30.0, math.inf, math.inf, math.inf]), 100)
    assert (found.reached, found.runs, found.median.mean) == (3, 6, 30)
    assert found.restricted_mean == pytest.approx((10 + 20 + 30 + 300) / 6)
    assert found.median.high == math.inf
    most = reached(np.array([10.0, math.inf, math.inf]), 100)
    assert most.median.mean == math.inf
    assert most.restricted_mean == pytest.approx(70)
    none = reached(np.full(4, math.inf), 100)
    assert (none.reached, none.median.mean, none.restricted_mean) == (0, math.inf, 100)
    assert none.curve == ((0, 0),)


@pytest.mark.parametrize("reaching", [0.6, 0.9])
def test_the_interval_of_the_median_covers_it(reaching: float) -> None:
    """Waiting times of which some exceed the budget: the median lies in its interval about 95 times of 100."""
    rng = np.random.default_rng(0)
    budget = -math.log(1 - reaching)  # of exponential times
    held = []
    for _ in range(300):
        times = rng.exponential(size=20)
        median = reached(np.where(times > budget, np.inf, times), budget).median
        held.append(median.low <= math.log(2) <= median.high)
    assert 0.92 <= np.mean(held) <= 0.99


def raced(target: float | None = None, **changes: Any) -> pd.DataFrame:
    """adam ends at 1, 1.1, 1.2 on three fresh seeds and passes 2 at step 20; sgd ends at 3 and diverges once."""
    wanted = made(optimizers=["sgd", "adam"], **changes)

    def loss(optimizer: str, lr: float, schedule: str, seed: int) -> float:
        best = 1.0 if optimizer == "adam" else 3.0
        if optimizer == "sgd" and seed == 5:
            return math.nan
        return best + 0.1 * (seed - 4) + abs(math.log10(lr) + 1) + (schedule == "constant")

    members = table(wanted, loss, {"loss": loss})
    points = [
        (row.member, step, "validation_loss", value)
        for row in members.itertuples()
        for step, value in ((10, 5.0), (20, row.validation_loss + 0.9), (30, row.validation_loss))
        if not (row.status == "diverged" and step > 10)
    ]
    curves = pd.DataFrame(points, columns=["member", "step", "metric", "value"])
    members["step"] = np.where(members["status"] == "finished", 30, 10)
    costs = {"seconds_per_step": {"adam": 0.5, "sgd": 0.25}}
    found = race(judge(wanted, "hills", members, costs), members, curves, target)
    assert found is not None
    return found.table().set_index("optimizer")


def test_the_target_is_the_median_of_the_best_unless_given() -> None:
    found = raced()
    assert found["target"].tolist() == pytest.approx([1.1, 1.1])
    assert found["reached"].to_dict() == {"adam": 2, "sgd": 0}
    assert found["runs"].tolist() == [3, 3]
    assert found["steps_median"].to_dict() == {"adam": 30, "sgd": math.inf}


def test_a_run_that_diverged_never_arrives_and_is_no_faster_for_it() -> None:
    found = raced(4.5)
    assert found["reached"].to_dict() == {"adam": 3, "sgd": 2}
    assert found["steps_median"].to_dict() == {"adam": 20, "sgd": 20}
    assert found["steps_restricted_mean"]["sgd"] == pytest.approx((20 + 20 + 30) / 3)  # not 10 for the lost one
    assert found["seconds_median"].to_dict() == {"adam": 10.0, "sgd": 5.0}


def test_the_folds_of_a_seed_are_one_run() -> None:
    """Each fold passes 2 at another step; the mean of both does so at 20 on seed 0, and never on seed 1."""
    wanted = made(optimizers=["sgd"], rates=[0.1], schedule_names=["constant"], seeds=2, confirmation=0)
    wanted = replace(wanted, folds=Folds("KFold", {"n_splits": 2}, 2, 1.0, ""))
    points, rows = [], []
    for seed, fold, values in ((0, 0, (1, 1, 1)), (0, 1, (5, 2.5, 2)), (1, 0, (1, 1, 1)), (1, 1, (9, 9, math.nan))):
        member = len(rows) + 1
        status = "diverged" if math.isnan(values[-1]) else "finished"
        rows.append(
            {
                "member": member,
                "stage": "search",
                "optimizer": "sgd",
                "lr": 0.1,
                "schedule": "constant",
                "seed": seed,
                "fold": fold,
                "status": status,
                "step": 30 + fold if seed == 0 else 25,
                "validation_loss": values[-1],
            }
        )
        points += [(member, step + fold, "validation_loss", v) for step, v in zip((10, 20, 30), values, strict=True)]
    members = pd.DataFrame(rows)
    curves = pd.DataFrame(points, columns=["member", "step", "metric", "value"])
    found = race(judge(wanted, "hills", members, {}), members, curves, 2.0)
    assert found is not None
    one = found.reached["sgd"]
    assert (one.runs, one.times) == (2, (21.0,))


@pytest.mark.parametrize("target", [math.nan, math.inf, "low", True, [1]])
def test_a_target_is_a_number(target: Any) -> None:
    with pytest.raises(PlanError, match=r"target is .*; give a number"):
        raced(target)


def test_of_a_study(tiny: Study) -> None:
    found = tiny.time_to_target()
    assert set(found["optimizer"]) == {"sgd", "adam"}
    assert (found["runs"] == 2).all()
    assert found.loc[found["optimizer"] == tiny.verdict.best.optimizer, "reached"].item() >= 1
    assert (tiny.time_to_target(1e-9)["reached"] == 0).all()
