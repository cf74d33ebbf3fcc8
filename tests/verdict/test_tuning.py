"""What a verdict says of its tuning: how many settings each optimizer had, and what was left at its default."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

import thalweg as tw
from thalweg.plan.plan import Plan
from thalweg.report.ranking import ranking
from thalweg.verdict.entries import Verdict
from thalweg.verdict.verdict import judge

from .test_verdict import made, table


def judged(by: str = "optimizer", **changes: Any) -> tuple[Plan, Verdict]:
    wanted = made(**changes)
    return wanted, judge(wanted, "hills", table(wanted, lambda optimizer, lr, *_: lr + len(optimizer)), {}, by)


def note(verdict: Verdict, words: str) -> list[str]:
    return [one for one in verdict.notes if words in one]


@tw.formula()
def plainest(g, *, lr=1e-3):
    return tw.Update(-lr * g)


# What was left at its default


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "weight_decay (all), momentum (momentum), beta1, beta2 and eps (adam)"),
        ({"optimizers": ["sgd"]}, "weight_decay (all)"),
        (
            {"optimizers": ["sgd", "adam(beta2=0.99, eps=1e-6)"]},
            "weight_decay (all), beta1 (adam(beta2=0.99, eps=1e-06))",
        ),
        ({"hyperparameters": {"weight_decay": [0, 1e-4], "beta2": [0.9]}}, "momentum (momentum), beta1 and eps (adam)"),
        ({"schedule_names": [{"lr": "cosine", "momentum": "ramp"}]}, "weight_decay (all), beta1, beta2 and eps (adam)"),
        ({"optimizers": ["sgd", plainest]}, "weight_decay (sgd)"),
    ],
)
def test_what_was_left_at_its_default(changes: dict[str, Any], words: str) -> None:
    _, verdict = judged(**changes)
    assert verdict.notes[-1] == f"Left at their defaults: {words}."


def test_nothing_left_is_not_mentioned() -> None:
    _, verdict = judged(optimizers=[plainest])
    assert not note(verdict, "Left at")
    _, verdict = judged("schedule", optimizers=["sgd"])
    assert not note(verdict, "Left at")


def test_a_store_says_it_without_its_formulas() -> None:
    """The formula in the store is not at hand; and an older store has nothing to say."""
    wanted, verdict = judged(optimizers=["sgd", halved := tw.formulas.get("halving")])
    stored = wanted.to_json() | {"equations": {"sgd": [], halved.label: []}}
    members = table(wanted, lambda optimizer, lr, *_: lr)
    assert judge(Plan.from_json(stored), "hills", members, {}).notes[-1] == verdict.notes[-1]
    assert "factor (halving)" in verdict.notes[-1]
    del stored["untuned"]
    assert not note(judge(Plan.from_json(stored), "hills", members, {}), "Left at")


# How many settings each had


def test_counts_that_differ_are_shown_and_explained() -> None:
    wanted, verdict = judged(hyperparameters={"beta2": [0.9, 0.99, 0.999], "momentum": [0.5, 0.9]})
    counts = {e.optimizer: e.settings for e in verdict.entries}
    assert counts == {"sgd": 6, "momentum": 12, "adam": 18}
    assert {e.optimizer: e.runs for e in verdict.entries} == {name: 4 * count for name, count in counts.items()}
    (words,) = note(verdict, "tuned over")
    assert words.startswith(
        "adam was tuned over 18 settings, momentum over 12, sgd over 6: the lowest of more is lower by"
    )
    assert "settings" in [column.name for column in ranking(verdict).columns]
    assert verdict.to_json()["entries"][0]["settings"] in counts.values()
    by_level = judge(wanted, "hills", table(wanted, lambda optimizer, lr, *_: lr), {}, "beta2")
    assert {e.settings for e in by_level.entries} == {6}
    assert not note(by_level, "tuned over")


def test_several_with_as_many_are_named_together() -> None:
    _, verdict = judged(optimizers=["sgd", "momentum", "adam", "adamw"], hyperparameters={"beta2": [0.9, 0.99]})
    (words,) = note(verdict, "tuned over")
    assert words.startswith("adam and adamw were tuned over 12 settings, sgd and momentum over 6: ")


def test_equal_counts_are_not_mentioned() -> None:
    _, verdict = judged(hyperparameters={"weight_decay": [0, 1e-4]})
    assert {e.settings for e in verdict.entries} == {12}
    assert not note(verdict, "tuned over")
    assert "settings" not in [column.name for column in ranking(verdict).columns]
    assert "settings" not in [column.name for column in ranking(replace(verdict, entries=())).columns]
