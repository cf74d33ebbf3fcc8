"""Studies of tables: folds, further samples, stores and recipes, with preprocessing fitted anew for each of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.compose import ColumnTransformer
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from torch import nn

import thalweg as tw
from thalweg.engine.programs import Programs
from thalweg.errors import PlanError
from thalweg.problem.prepare import prepare

ROWS = 90
_draw = np.random.default_rng(1)
FRAME = pd.DataFrame(
    {"a": _draw.normal(size=ROWS) * 100, "city": np.array(["Rome", "Oslo", "Bern"])[np.arange(ROWS) % 3]}
)
FRAME["kind"] = np.where(FRAME["a"] + 50 * (FRAME["city"] == "Rome") > 0, "yes", "no")
SMALL: dict[str, Any] = {
    "optimizers": ["sgd", "adam"],
    "rates": [0.01, 0.1],
    "schedules": ["constant"],
    "seeds": 2,
    "epochs": 2,
    "confirmation": 2,
    "batch_size": 16,
    "progress": False,
    "refine": 0,
    "grow": 0,
}


def preprocess() -> ColumnTransformer:
    return ColumnTransformer([("numbers", StandardScaler(), ["a"]), ("words", OneHotEncoder(), ["city"])])


def model() -> nn.Module:
    return nn.Linear(4, 2, dtype=torch.float64)


def problem(**changes: Any) -> tw.Problem:
    given = {"train": FRAME, "target": "kind", "preprocess": preprocess(), "metrics": ("accuracy",), "name": "table"}
    return tw.Problem(**{"model": model} | given | changes)


@pytest.mark.slow
def test_a_recipe_has_the_losses_of_its_member(tmp_path: Path) -> None:
    study = tw.compare(problem(), **SMALL, store=tmp_path / "a.db")
    assert study.recipe_run is not None
    assert not study.recipe_run.reason
    assert study.recipe_run.largest < 1e-9
    assert study.problem["classes"] == ["no", "yes"]
    assert study.problem["columns"] == ["a", "city"]
    assert "OneHotEncoder()" in study.problem["preprocess"]
    report = study.report(tmp_path / "report.html").read_text()
    assert "no, yes" in report


def test_each_fold_is_preprocessed_by_what_it_trains_on(tmp_path: Path) -> None:
    study = tw.compare(problem(), **SMALL, folds=3, store=tmp_path / "folds.db")
    assert study.recipe_run is not None
    assert not study.recipe_run.reason
    assert study.recipe_run.compared == "test"
    assert study.recipe_run.largest < 1e-9
    plan, ready = study.plan, prepare(problem())
    programs = Programs(plan, ready)
    assert plan.folds is not None
    for fold, (training, judging) in enumerate(plan.folds.rows(ready)):
        task = programs.task(plan.settings[0], fold)
        raw = FRAME["a"].to_numpy()[np.sort(ready.order)]
        scaled = (raw - raw[training].mean()) / raw[training].std()
        assert task.validation is not None
        np.testing.assert_allclose(task.validation.inputs[:, 0], scaled[judging], rtol=1e-12)
    everything = programs.task(plan.settings[0])
    assert everything.validation is None
    np.testing.assert_allclose(programs.test(None).inputs, ready.fitted()[1].inputs)
    assert not torch.equal(programs.test(None).inputs, ready.test.inputs)


@pytest.mark.slow
def test_a_stopped_study_goes_on_with_the_same_table_alone(tmp_path: Path) -> None:
    store = tmp_path / "a.db"
    study = tw.compare(problem(), **SMALL, store=store)
    assert tw.rerun(store, tmp_path / "again.db", problem=problem(), progress=False).same_curves
    changed = FRAME.assign(a=FRAME["a"].where(FRAME.index != 7, 1.0))
    for other in (
        {"train": changed},
        {"train": FRAME.replace("Rome", "Roma")},
        {"preprocess": ColumnTransformer(preprocess().transformers[::-1])},
    ):
        with pytest.raises(PlanError, match="the problem table is not the one"):
            study.prepared(problem(**other))
    extended = study.extend(samples=40, problem=problem(), progress=False)
    assert extended.verdict.samples >= 40


@pytest.mark.slow
def test_ensembles_and_probes_take_tables() -> None:
    named = problem(model="mlp(width=8)")
    bag = tw.bag(named, "adam", lr=0.01, members=2, epochs=1)
    assert bag.predict(prepare(named).test.inputs).shape == (18,)
    assert tw.range_test(named, "adam", rates=3, steps=2).losses.shape[0] == 3
    assert tw.size(named).parameters == 8 * 5 + 8 * 9 + 2 * 9
