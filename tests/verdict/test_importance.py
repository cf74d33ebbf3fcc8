"""Analysis of variance on grids whose split is known."""

from __future__ import annotations

import doctest
import math
from typing import Any

import numpy as np
import pytest

from thalweg.study.study import Study
from thalweg.verdict import importance as module
from thalweg.verdict.importance import ALL, Shares, effects, importance, importance_table, sentence

from .test_verdict import made, table


def test_effects_are_those_of_the_textbook() -> None:
    """Sums of squares of a two-way table with interaction, computed by hand."""
    values = np.array([[1.0, 2.0, 6.0], [3.0, 2.0, 4.0]])
    rows, columns, grand = values.mean(axis=1), values.mean(axis=0), values.mean()
    found = effects(values)
    assert found[0,] == pytest.approx(((rows - grand) ** 2).mean())
    assert found[1,] == pytest.approx(((columns - grand) ** 2).mean())
    cross = values - rows[:, None] - columns + grand
    assert found[0, 1] == pytest.approx((cross**2).mean())
    assert sum(found.values()) == pytest.approx(values.var())


def test_effects_of_any_order_add_up() -> None:
    values = np.random.default_rng(0).normal(size=(3, 2, 4, 2))
    assert sum(effects(values, 4).values()) == pytest.approx(values.var())
    parity = np.indices((2, 2, 2)).sum(axis=0) % 2.0  # three factors together, none alone, no pair
    assert max(effects(parity).values()) == pytest.approx(0)
    assert effects(parity, 3)[0, 1, 2] == pytest.approx(parity.var())


def split(loss: Any, **changes: Any) -> dict[str, Shares]:
    wanted = made(**{"optimizers": ["sgd", "adam"], **changes})
    return {one.grid: one for one in importance(wanted, table(wanted, loss))}


def test_what_only_one_factor_moves_is_explained_by_it() -> None:
    found = split(lambda optimizer, lr, schedule, seed: lr)
    assert list(found) == [ALL, "sgd", "adam"]
    for one in found.values():
        assert one.main["lr"] == pytest.approx(1)
        assert (one.seeds, one.rest, one.specific) == pytest.approx((0, 0, 0))
    assert split(lambda optimizer, lr, schedule, seed: 2.0 - (optimizer == "sgd"))[ALL].main["optimizer"] == 1
    assert "sgd" not in split(lambda optimizer, lr, schedule, seed: 2.0 - (optimizer == "sgd"))
    assert split(lambda optimizer, lr, schedule, seed: float(seed))["adam"].seeds == pytest.approx(1)


def test_one_that_diverges_and_one_huge_loss_are_the_last_and_no_more() -> None:
    def loss(worst: float) -> Any:
        return lambda optimizer, lr, schedule, seed: worst if lr == 1.0 else lr + (schedule == "constant")

    huge, lost = split(loss(1e30)), split(loss(math.nan))
    assert lost[ALL].effects == huge[ALL].effects
    assert 0.1 < lost[ALL].main["schedule"] < lost[ALL].main["lr"] < 1


def test_ranks_do_not_change_with_the_scale() -> None:
    def loss(optimizer: str, lr: float, schedule: str, seed: int) -> float:
        return float(np.random.default_rng([seed, int(1000 * lr), len(schedule), len(optimizer)]).normal()) + lr

    plain, other = split(loss), split(lambda *at: math.exp(3 * loss(*at)))
    assert plain == other
    for one in plain.values():
        assert sum(one.effects.values()) + one.rest + one.seeds == pytest.approx(1)
        assert 0.1 < one.seeds < 0.9


def test_a_hyperparameter_that_one_optimizer_has_is_specific_to_it() -> None:
    wanted = made(optimizers=["sgd", "adam"], hyperparameters={"beta2": [0.9, 0.999]}, schedule_names=["constant"])
    extra = lambda setting, seed: 10.0 * (setting["beta2"] == 0.9)  # noqa: E731
    every, sgd, adam = importance(wanted, table(wanted, lambda optimizer, lr, schedule, seed: lr, extra=extra))
    assert list(sgd.main) == ["lr"]
    assert list(every.main) == ["optimizer", "lr"]
    assert 0 < every.specific < 1
    assert sum(every.effects.values()) + every.rest + every.seeds + every.specific == pytest.approx(1)
    assert adam.main["beta2"] > adam.main["lr"] > 0
    assert adam.specific == 0


def test_the_sentence_names_what_matters_most() -> None:
    effects = {("optimizer",): 0.1, ("lr",): 0.6, ("schedule",): 0.02, ("optimizer", "lr"): 0.2, ("lr", "schedule"): 0}
    assert sentence([Shares(ALL, effects, 0.03, 0.0, 0.05, 240)]) == (
        "The rate explains 60% of the variance of ranks among all runs, the optimizer 10% and the schedule 2%; "
        "optimizer and rate together explain 20% beyond that, and seeds 5%."
    )
    assert sentence([Shares("sgd", {("lr",): 0.9}, 0.0, 0.0, 0.1, 24)]) == (
        "The rate explains 90% of the variance of ranks among the runs of sgd, and seeds 10%."
    )
    assert sentence([]).startswith("Nothing differs")


def test_of_a_study_and_of_nothing(tiny: Study) -> None:
    found = tiny.importance()
    assert found["optimizer"].unique().tolist() == ["all", "sgd", "adam"]
    assert found.groupby("optimizer")["share"].sum().tolist() == pytest.approx([1, 1, 1])
    wanted = made()
    nothing = table(wanted, lambda *_: 1.0, status=lambda *_: "started")
    assert importance(wanted, nothing) == []
    assert importance_table([]).empty


def test_example() -> None:
    assert doctest.testmod(module) == (0, 2)
