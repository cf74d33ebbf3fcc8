"""Which leads after each epoch, on curves that cross where they are made to."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import thalweg as tw
from thalweg.errors import PlanError
from thalweg.plan.folds import Folds
from thalweg.study.study import Study
from thalweg.verdict.leaders import Reign, Standing, leaders, reigns, sentence, settled
from thalweg.verdict.leaders import table as as_table
from thalweg.verdict.verdict import judge

from .test_verdict import made, table

Curve = Callable[[int, int], float]  # epoch, seed → loss
FALLS: Mapping[str, Curve] = {
    "adam": lambda epoch, seed: 1.0 + 0.1 / epoch + 0.001 * seed,
    "sgd": lambda epoch, seed: 0.7 + 2.0 / epoch + 0.001 * seed,  # crosses adam after epoch 6.33
}


def raced(falls: Mapping[str, Curve] = FALLS, epochs: int = 10, **changes: Any) -> tuple[Any, list[Standing]]:
    """The standings of optimizers whose curves are given; a run diverges where its curve is NaN."""
    asked = {"rates": [0.1], "schedule_names": ["constant"], "confirmation": 3, "epochs": epochs}
    wanted = made(optimizers=[*falls], **asked | changes)

    def loss(optimizer: str, lr: float, schedule: str, seed: int) -> float:
        return falls[optimizer](epochs, seed)

    members = table(wanted, loss, {"loss": loss} if wanted.confirmation else None)
    members["step"] = 10 * epochs
    points = []
    for row in members.itertuples():
        values = np.array([falls[str(row.optimizer)](epoch, int(row.seed)) for epoch in range(1, epochs + 1)])
        if np.isnan(values).any():
            first = int(np.flatnonzero(np.isnan(values))[0])
            members.loc[members["member"] == row.member, "step"] = 10 * first + 5
            values = values[: first + 1]
        points += [(row.member, 10 * k, "validation_loss", value) for k, value in enumerate(values, start=1)]
    curves = pd.DataFrame(points, columns=["member", "step", "metric", "value"])
    return wanted, leaders(wanted, judge(wanted, "hills", members, {}), members, curves)


def test_the_lead_turns_over_where_the_curves_cross() -> None:
    """0.1 / t + 1 is below 2 / t + 0.7 until t = 6.33."""
    wanted, standings = raced()
    assert [(one.level, one.first, one.last, one.reliable) for one in reigns(standings)] == [
        ("adam", 1, 6, 6),
        ("sgd", 7, 10, 0),
    ]
    assert settled(standings) == 7
    assert sentence(standings, wanted["optimizer"]) == (
        "adam leads until epoch 6 (reliably ahead of sgd in 6 of 6) and sgd from 7 on."
    )
    found = as_table(standings, "optimizer").set_index(["epoch", "optimizer"])
    assert len(found) == 20
    assert found.loc[(1, "sgd"), ["validation_loss", "behind", "rank"]].tolist() == pytest.approx([2.705, 1.6, 2])
    assert found.loc[(10, "sgd"), ["behind", "behind_low", "behind_high", "rank"]].tolist() == [0, 0, 0, 1]


def test_a_lead_that_other_seeds_may_turn_over_is_not_reliable() -> None:
    noise = {"adam": lambda epoch, seed: 1.0 + 0.1 / epoch + (-1) ** seed, "sgd": FALLS["sgd"]}
    wanted, standings = raced(noise, seeds=4, confirmation=4)
    assert [(one.level, one.reliable) for one in reigns(standings)] == [("adam", 0), ("sgd", 0)]
    assert "(reliably ahead of sgd in 0 of 6)" in sentence(standings, wanted["optimizer"])


def test_one_that_diverges_falls_back_from_there_on() -> None:
    lost = {"sgd": lambda epoch, seed: math.nan if epoch > 3 and seed == 5 else 0.5, "adam": lambda epoch, seed: 1.0}
    _, standings = raced(lost)
    sgd = [one for one in standings if one.level == "sgd"]
    assert [one.rank for one in sgd] == [1, 1, 1] + [2] * 7
    assert [one.value for one in sgd] == pytest.approx([0.5] * 3 + [math.inf] * 7)
    assert not any(one.reliably_behind for one in sgd[3:])
    _, both = raced({name: lambda epoch, seed: math.nan if epoch > 3 else 1.0 for name in ("sgd", "adam")})
    assert {one.rank for one in both} == {1}


def test_where_all_diverge_the_one_that_does_on_fewer_seeds_is_ahead() -> None:
    worse = {
        "sgd": lambda epoch, seed: math.nan if epoch > 3 and seed > 4 else 1.0,
        "adam": lambda epoch, seed: math.nan if epoch > 3 and seed > 5 else 2.0,
    }
    _, standings = raced(worse)
    assert [(one.level, one.first, one.last) for one in reigns(standings)] == [("sgd", 1, 3), ("adam", 4, 10)]


def test_equal_ones_share_a_rank_and_the_lead_stays() -> None:
    def late(epoch: int, seed: int) -> float:
        return 2.0 if epoch < 3 else 1.0

    _, standings = raced({"sgd": lambda epoch, seed: 1.0, "adam": late, "rmsprop": lambda epoch, seed: 3.0})
    assert reigns(standings) == [Reign("sgd", 1, 10)]
    assert [one.rank for one in standings if one.epoch == 3] == [1, 1, 3]
    assert settled(standings) == 3
    later = {"sgd": lambda epoch, seed: 1.0 + (epoch == 10), "adam": late}  # adam is the first of the verdict
    assert [(one.level, one.first) for one in reigns(raced(later)[1])] == [("sgd", 1), ("adam", 10)]


def test_many_changes_are_counted() -> None:
    falls = {"sgd": lambda epoch, seed: 1.0, "adam": lambda epoch, seed: 1.0 + 0.1 * (-1) ** epoch}
    wanted, standings = raced(falls)
    assert sentence(standings, wanted["optimizer"]) == (
        "adam leads at first; the lead changes 9 times in 10 epochs, and it is sgd from 10 on."
    )
    three = {**FALLS, "rmsprop": lambda epoch, seed: 5.0 if epoch < 9 else 0.95}
    wanted, standings = raced(three)
    assert sentence(standings, wanted["optimizer"]).endswith(
        "The order of all is that of the end from epoch 9 of 10 on."
    )
    once = {"sgd": lambda epoch, seed: 2.0 - (epoch in (1, 4, 5)), "adam": lambda epoch, seed: 1.5}
    wanted, standings = raced(once)
    assert sentence(standings, wanted["optimizer"]) == (
        "sgd leads at epoch 1 (reliably ahead of adam in 1 of 1), adam leads at epochs 2 to 3 (reliably ahead of sgd "
        "in 2 of 2), sgd leads at epochs 4 to 5 (reliably ahead of adam in 2 of 2) and adam from 6 on."
    )
    wanted, standings = raced({"sgd": FALLS["sgd"]})
    assert sentence(standings, wanted["optimizer"]) == "sgd leads after every epoch."
    assert sentence([], wanted["optimizer"]) == "No epoch of these runs has been recorded."


def test_folds_are_averaged_and_may_differ_in_steps() -> None:
    wanted = made(optimizers=["sgd"], rates=[0.1], schedule_names=["constant"], seeds=2, confirmation=0)
    wanted = replace(wanted, folds=Folds("KFold", {"n_splits": 2}, 2, 1.0, ""))
    rows, points = [], []
    for seed in (0, 1):
        for fold in (0, 1):
            member, lost = len(rows) + 1, (seed, fold) == (1, 1)
            row = {"member": member, "stage": "search", "optimizer": "sgd", "lr": 0.1, "schedule": "constant"}
            row |= {
                "seed": seed,
                "fold": fold,
                "status": "diverged" if lost else "finished",
                "step": 25 if lost else 30,
            }
            rows.append(row | {"validation_loss": math.nan if lost else 1.0 + fold})
            values = [4.0 + fold, 2.0 + fold, 1.0 + fold][: 2 if lost else 3]
            points += [(member, 10 * k + fold, "validation_loss", value) for k, value in enumerate(values, start=1)]
    members = pd.DataFrame(rows)
    curves = pd.DataFrame(points, columns=["member", "step", "metric", "value"])
    standings = leaders(wanted, judge(wanted, "hills", members, {}), members, curves)
    assert [one.value for one in standings] == [4.5, 2.5, math.inf]


def test_of_a_study_and_along_another_factor(tiny: Study) -> None:
    found = tiny.leaders()
    assert found["epoch"].tolist() == [1, 1, 2, 2]
    last = found[found["epoch"] == 2].set_index("optimizer")["validation_loss"].to_dict()
    assert last == pytest.approx({entry.optimizer: entry.validation_loss.mean for entry in tiny.verdict.entries})
    assert found.groupby("epoch")["leads"].sum().tolist() == [1, 1]
    assert set(tiny.leaders("schedule")["schedule"]) == {"constant", "cosine"}
    with pytest.raises(PlanError, match="factor that this study varies"):
        tiny.leaders("momentum")


def test_levels_without_fresh_runs_are_judged_by_the_search(tmp_path: Path) -> None:
    """Which has runs of every rate; the confirmation has those that were chosen."""
    plan: dict[str, Any] = {"schedules": ["constant"], "seeds": 2, "epochs": 1, "confirmation": 2, "progress": False}
    rates = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3]
    study = tw.compare("breast-cancer", ["sgd", "adam"], rates, **plan, store=tmp_path / "a.db")
    verdict = study.verdict_by("lr")
    assert study.verdict.stage == "confirmation"
    assert (verdict.confirmed, verdict.stage, verdict.looks) == (False, "search", 0)
    levels = {entry.lr for entry in verdict.entries}
    assert levels >= set(rates)
    assert set(study.leaders("lr")["lr"]) == levels
    assert len(study.generalization("lr")) == len(levels)
