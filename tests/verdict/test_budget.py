"""The best of k settings: exact, whatever diverges, and as drawing them would give."""

from __future__ import annotations

import doctest
import itertools
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from thalweg.errors import PlanError
from thalweg.study.study import Study
from thalweg.verdict import budget
from thalweg.verdict.budget import Lead, best_of, expected_best, leads, rows, sentence, turns
from thalweg.verdict.verdict import rankable

from .test_verdict import made, table


@pytest.mark.parametrize("count", range(1, 8))
def test_every_draw_is_counted(count: int) -> None:
    """All C(7, k) draws, one by one."""
    losses = np.array([3.0, math.inf, 1.0, 2.0, 2.0, math.inf, 5.0])
    lowest = np.sort([min(draw) for draw in itertools.combinations(losses, count)])
    best = best_of(losses, count)
    assert best.mean == pytest.approx(lowest.mean())
    assert best.all_diverged == pytest.approx(np.isinf(lowest).mean())
    for share in (0.1, 0.25, 0.5, 0.75, 0.9):
        assert best.quantile(share) == lowest[math.ceil(share * len(lowest) - 1e-9) - 1]


def test_the_expected_value_is_finite_from_one_more_than_diverge_on() -> None:
    losses = np.array([1.0, 2.0, math.inf, math.inf])
    assert [math.isfinite(best_of(losses, count).mean) for count in (1, 2, 3, 4)] == [False, False, True, True]
    assert [best_of(losses, count).quantile(0.5) for count in (1, 2)] == [2.0, 1.0]
    assert best_of(losses, 4).mean == 1.0


def test_large_grids_stay_exact() -> None:
    """Of n losses 1 … n the lowest of k has the mean (n + 1) / (k + 1)."""
    losses = np.arange(1.0, 5001.0)
    for count in (1, 7, 300, 4999, 5000):
        assert best_of(losses, count).mean == pytest.approx(5001 / (count + 1))


def searched(**changes: Any) -> tuple[Any, pd.DataFrame]:
    """sgd is 1 at one rate and infinite at two of five; adam is 2 at all of them."""
    wanted = made(
        optimizers=["sgd", "adam"], rates=[0.001, 0.01, 0.1, 1.0, 10.0], schedule_names=["constant"], **changes
    )
    at = {0.001: 4.0, 0.01: 3.0, 0.1: 1.0, 1.0: math.nan, 10.0: math.nan}
    return wanted, table(wanted, lambda optimizer, lr, _, seed: (2.0 if optimizer == "adam" else at[lr]) + 0.01 * seed)


def test_of_a_search() -> None:
    found = expected_best(*searched()).set_index(["optimizer", "tried"])
    assert len(found) == 10
    assert found.loc["sgd", "median"].tolist() == pytest.approx([4.015, 3.015, 1.015, 1.015, 1.015])
    assert found.loc["sgd", "all_diverged"].tolist() == pytest.approx([0.4, 0.1, 0, 0, 0])
    assert found.loc["sgd", "mean"].tolist()[:2] == [math.inf, math.inf]
    assert found.loc[("sgd", 3), "mean"] == pytest.approx(0.6 * 1.015 + 0.3 * 3.015 + 0.1 * 4.015)
    assert found.loc[("sgd", 1), ["low_50", "high_50", "low_80", "high_80"]].tolist() == pytest.approx(
        [3.015, math.inf, 1.015, math.inf]
    )
    assert found.loc[("adam", 1), ["seed_low", "seed_high"]].tolist() == pytest.approx([2.0, 2.03])
    assert (found["settings"] == 5).all()


def test_where_the_order_turns_over() -> None:
    wanted, members = searched()
    factor = rankable(wanted, "optimizer")
    order = leads(rows(wanted, members, factor), factor)
    assert [(one.level, one.first, one.last, one.agree, one.seeds) for one in order] == [
        ("adam", 1, 2, 4, 4),
        ("sgd", 3, 5, 4, 4),
    ]
    assert turns(order, factor) == (
        "With at most 2 settings tried adam is ahead (median 2.015, in front on 4 of 4 seeds alone), sgd from 3 on "
        "(median 1.015, in front on 4 of 4 seeds alone)."
    )
    assert sentence(rows(wanted, members, factor), factor) == turns(order, factor)
    alone = [row for row in rows(wanted, members, factor) if row["optimizer"] == "sgd"]
    assert sentence(alone, factor) == (
        "The median of the best is 4.015 of 1, 3.015 of 2, 1.015 of 4 and 1.015 of 5 settings of sgd."
    )
    assert turns(order[:1], factor).startswith("adam is ahead however many settings are tried (with 1: median 2.015")
    many = [Lead(level, 2 * k + 1, 2 * k + 2, 2.0, 1, 4) for k, level in enumerate(["sgd", "adam"] * 3)]
    assert turns(many, factor).endswith("adam from 11 on (median 2, in front on 1 of 4 seeds alone); in between the "
                                           "lead changes 5 times.")  # fmt: skip
    assert "adam with 3 to 4, sgd with 5 to 6 and adam from 7 on" in turns(many[:4], factor)
    assert turns([], factor) == "No number of settings gives a finite loss in half of the draws."


def test_a_lead_of_few_seeds_says_so() -> None:
    """On average adam is ahead of sgd, by one seed alone."""
    wanted = made(optimizers=["sgd", "adam"], rates=[0.1], schedule_names=["constant"], seeds=3)
    members = table(wanted, lambda optimizer, lr, _, seed: 1.0 + (0.0 if optimizer == "sgd" else (0.1, 0.1, -1)[seed]))
    factor = rankable(wanted, "optimizer")
    (lead,) = leads(rows(wanted, members, factor), factor)
    assert (lead.level, lead.agree, lead.seeds) == ("adam", 1, 3)


def test_what_halving_stopped_counts_with_the_loss_it_had() -> None:
    wanted, members = searched()
    members.loc[(members["optimizer"] == "adam") & (members["lr"] > 0.05), "status"] = "stopped"
    found = expected_best(wanted, members)
    assert found.loc[found["optimizer"] == "adam", "settings"].tolist() == [5] * 5


def test_along_another_factor_and_of_nothing(tiny: Study) -> None:
    found = tiny.expected_best("schedule")
    assert found["schedule"].tolist() == ["constant"] * 4 + ["cosine"] * 4
    last = tiny.expected_best().groupby("optimizer")["median"].last()
    assert last.to_dict() == {entry.optimizer: entry.search_value for entry in tiny.verdict.entries}
    with pytest.raises(PlanError, match="factor that this study varies"):
        tiny.expected_best("momentum")
    wanted = made()
    nothing = table(wanted, lambda *_: 1.0, status=lambda *_: "started")
    assert expected_best(wanted, nothing).empty


def test_example() -> None:
    assert doctest.testmod(budget) == (0, 2)
