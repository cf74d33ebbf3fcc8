"""Regularizers as something a study varies: like every other factor, from the plan to the recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import thalweg as tw
from thalweg.errors import PlanError
from thalweg.plan.factors import Setting
from thalweg.plan.plan import plan
from thalweg.recipe.recipe import recipe
from thalweg.store.file import Store
from thalweg.study.study import Study, compare

from ..cases import mostly_slow

GIVEN = [
    None,
    "mixup(0.2) + l2(1e-3)",
    "mixup(0.5) + l2(0.1)",
    tw.regularizers.LabelSmoothing(0.1),
    "early_stopping(1)",
]
LABELS = ("none", "mixup(0.2) + l2(0.001)", "mixup(0.5) + l2(0.1)", "label_smoothing(0.1)", "early_stopping(1)")
ARGUMENTS: dict[str, Any] = {
    "optimizers": ["sgd", "adam"],
    "rates": [0.05],
    "schedules": ["constant"],
    "seeds": 2,
    "epochs": 3,
    "confirmation": 2,
    "progress": False,
}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    store = tmp_path_factory.mktemp("regularizers") / "s.db"
    return compare("breast-cancer", regularizers=GIVEN, store=store, **ARGUMENTS)


@pytest.mark.slow
def test_levels_are_labels_and_are_found_again(study: Study) -> None:
    again = Study.open(study.path)
    assert again.plan["regularizer"].levels == LABELS
    assert [again.plan["regularizer"].objects[label] for label in LABELS] == list(map(tw.regularizers.get, GIVEN))
    assert set(again.table()["regularizer"]) == set(LABELS)


def test_kinds_share_a_block_and_others_do_not(study: Study) -> None:
    with Store.open(study.path) as store:
        blocks = [{dict(s.further)["regularizer"] for s in row.settings} for row in store.blocks("search")]
    assert {LABELS[1], LABELS[2]} in blocks
    assert all(len(kinds) == 1 or kinds == {LABELS[1], LABELS[2]} for kinds in blocks)


def test_each_level_is_ranked_on_fresh_seeds(study: Study) -> None:
    ranked = study.verdict_by("regularizer")
    assert {entry.setting["regularizer"] for entry in ranked.entries} == set(LABELS)
    assert "egularizer" in str(ranked)


@pytest.mark.parametrize("label", mostly_slow(LABELS, LABELS[1], LABELS[-1]))
def test_the_recipe_repeats_the_member(label: str, study: Study) -> None:
    setting = Setting("adam", 0.05, "constant", (("regularizer", label),))
    made = recipe(study.plan, study.problem, setting, 1)
    assert (label in made.code.splitlines()[0]) is (label != "none")
    lines: list[str] = []
    exec(compile(made.code.replace(":.6f}", ":.17g}"), "recipe", "exec"), {"print": lines.append})
    table = study.table().query("optimizer == 'adam' and stage == 'search' and seed == 1")
    (member,) = table[table["regularizer"] == label]["member"]
    curve = study.curves().query(f"member == {member} and metric == 'validation_loss'").sort_values("step")
    losses = [float(line.split()[-1]) for line in lines]
    if label == "early_stopping(1)":  # stops after a worse pass, and goes back to the best
        *losses, _, best = losses
        np.testing.assert_allclose(curve["value"].iloc[-1], best, rtol=2e-4)
    np.testing.assert_allclose(curve["value"][: len(losses)], losses, rtol=2e-4)


def test_what_does_not_fit_is_refused_before_a_store_is_made(tmp_path: Path) -> None:
    store = tmp_path / "s.db"
    for wrong, words in (
        ("dropout(0.2)", "has none; add nn.Dropout"),
        ("cutmix", "image"),
        ("mixup(-1)", "mixup"),
        ("mixpu", "did you mean mixup"),
    ):
        with pytest.raises(PlanError, match=words) as caught:
            compare("breast-cancer", regularizers=[wrong], store=store, **ARGUMENTS)
        assert "\n" not in str(caught.value)
        assert not store.exists()
    problem = tw.Problem(lambda: nn.Linear(3, 1), (torch.randn(30, 3), torch.randn(30, 1)), loss="mse", name="own")
    with pytest.raises(PlanError, match="label_smoothing"):
        compare(problem, regularizers=["label_smoothing(0.1)"], store=store, **ARGUMENTS)


def test_one_need_not_be_a_list() -> None:
    assert plan(["sgd"], regularizers="mixup(0.2)")["regularizer"].levels == ("mixup(0.2)",)
    assert plan(["sgd"], regularizers=tw.regularizers.L2(0.1))["regularizer"].levels == ("l2(0.1)",)
    with pytest.raises(PlanError, match="listed twice"):
        plan(["sgd"], regularizers=[None, "none"])


def test_a_store_of_before_has_none() -> None:
    kept = plan(["sgd"]).to_json()
    del kept["regularizers"]
    assert type(plan(["sgd"])).from_json(kept)["regularizer"].levels == ("none",)
