"""Widths of valleys whose width is known."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from thalweg.plan.plan import log_range
from thalweg.study.study import Study
from thalweg.verdict.sensitivity import SHARES, sensitivity, valley

from .test_verdict import made, table


@pytest.mark.parametrize("share", SHARES)
def test_the_width_of_a_valley_with_straight_sides(share: float) -> None:
    """1 + a·|decades from the best| is within a share s over 2 s / a decades."""
    rates = np.array(log_range(1e-4, 1, 9))
    losses = 1 + 0.5 * abs(np.log10(rates) + 2)
    found = valley(rates, losses, share)
    assert found is not None
    assert found.decades == pytest.approx(2 * share / 0.5)
    assert math.sqrt(found.low * found.high) == pytest.approx(0.01)
    assert not found.bounded


def test_the_end_of_the_grid_bounds_a_width_and_a_rate_that_diverges_ends_it() -> None:
    rates = np.array([0.001, 0.01, 0.1, 1.0])
    found = valley(rates, np.array([1.02, 1.0, 1.01, math.inf]), 0.05)
    assert found is not None
    assert (found.low, found.high) == (pytest.approx(0.001), pytest.approx(0.1))
    assert (found.open_below, found.open_above) == (True, False)
    assert valley(rates, np.full(4, math.inf), 0.05) is None
    only = valley(rates[:1], np.ones(1), 0.01)
    assert only is not None
    assert (only.decades, only.open_below, only.open_above) == (0, True, True)


def test_only_the_valley_around_the_best_counts_and_a_loss_may_be_negative() -> None:
    """A second one behind a ridge is none that a rate which is off would fall into."""
    rates = np.array(log_range(1e-4, 1, 5))
    found = valley(rates, np.array([-9.8, -5.0, -10.0, -9.0, -5.0]), 0.1)
    assert found is not None
    assert (found.low, found.high) == (pytest.approx(10 ** (-2 - 0.2)), pytest.approx(0.1))


def test_each_optimizer_at_its_chosen_schedule() -> None:
    wanted = made(rates=log_range(1e-3, 1, 7), optimizers=["sgd", "adam"])

    def loss(optimizer: str, lr: float, schedule: str, seed: int) -> float:
        if lr > (0.5 if optimizer == "sgd" else 9) or (schedule == "constant" and lr > 0.05):
            return math.nan
        slope = 1.0 if optimizer == "sgd" else 0.1
        return 2 + slope * abs(math.log10(lr) + 1.5) + (schedule == "constant") + 0.01 * seed

    found = sensitivity(wanted, table(wanted, loss)).set_index("optimizer").loc[["sgd", "adam"]]
    best = 2.015  # the mean over the seeds
    assert found["schedule"].tolist() == ["cosine", "cosine"]
    assert found["decades_1"].tolist() == pytest.approx([2 * 0.01 * best, 2 * 0.1 * best])
    assert found["at_least_10"].tolist() == [False, True]
    assert found["decades_10"]["adam"] == pytest.approx(3)
    assert found["diverged"].tolist() == pytest.approx([1 / 7, 0])
    assert found["rates"].tolist() == [7, 7]


def test_of_a_study_and_of_one_without_results(tiny: Study) -> None:
    found = tiny.sensitivity()
    assert set(found["optimizer"]) == {"sgd", "adam"}
    assert found["at_least_10"].all()  # two rates have no inside
    wanted = made()
    nothing = table(wanted, lambda *_: 1.0, status=lambda *_: "started")
    assert sensitivity(wanted, nothing).empty
    assert isinstance(sensitivity(wanted, nothing), pd.DataFrame)


def test_a_rate_that_was_stopped_leaves_the_width_open() -> None:
    rates = np.array([0.001, 0.01, 0.1, 1.0])
    found = valley(rates, np.array([math.nan, 1.02, 1.0, math.inf]), 0.05)
    assert found is not None
    assert (found.low, found.open_below, found.open_above) == (pytest.approx(0.01), True, False)
