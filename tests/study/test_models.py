"""Models as a factor: each trained as in a study of it alone, kept, carried on, and looked at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from torch import nn

import thalweg as tw
from thalweg.errors import PlanError, ProblemError, StoreError
from thalweg.study.study import Study

from ..studies import stopped_at

INPUTS = torch.randn(80, 4, generator=torch.Generator().manual_seed(0))
CLASSES = (INPUTS.sum(1) > 0).long()
DATA = (INPUTS, CLASSES)
ASKED: dict[str, Any] = {
    "optimizers": ["adam"],
    "rates": [0.01, 0.1],
    "schedules": ["constant"],
    "seeds": 2,
    "epochs": 2,
    "confirmation": 2,
    "batch_size": 16,
    "refine": 0,
    "grow": 0,
}
KEYS = ["stage", "optimizer", "lr", "seed"]


def plain() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))


def normed() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))


def dropped() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 2))


MODELS = {"plain": plain, "batch norm": normed, "dropout": dropped}
PROBLEM = tw.Problem(plain, DATA, name="signs")
SEVERAL = tw.Problem(MODELS, DATA, name="signs")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    store = tmp_path_factory.mktemp("models") / "study.db"
    return tw.compare(PROBLEM, **ASKED, models=MODELS, store=store, progress=False)


@pytest.mark.slow
@pytest.mark.parametrize("label", MODELS)
def test_each_is_trained_as_alone(label: str, study: Study, tmp_path: Path) -> None:
    alone = tw.compare(
        tw.Problem(MODELS[label], DATA), **(ASKED | {"confirmation": 0}), store=tmp_path / "alone.db", progress=False
    )
    runs = study.table().query("model == @label").merge(alone.table(), on=KEYS)
    assert len(runs) == 4
    for name in ("train_loss", "validation_loss"):
        assert (runs[f"{name}_x"] == runs[f"{name}_y"]).all()


def test_they_are_ranked_like_any_factor(study: Study) -> None:
    verdict = study.verdict_by("model")
    assert {entry.setting["model"] for entry in verdict.entries} == set(MODELS)
    assert verdict.confirmed
    assert sorted(study.table()["model"].unique()) == sorted(MODELS)
    assert "model" in str(study.verdict)


@pytest.mark.slow
def test_broken_off_and_carried_on_nothing_changes(study: Study, tmp_path: Path) -> None:
    stopped_at(25, SEVERAL, tmp_path / "study.db", **ASKED)
    resumed = tw.resume(tmp_path / "study.db", problem=SEVERAL, progress=False)
    keys = [*KEYS, "model"]
    runs, others = (one.table().set_index(keys).sort_index() for one in (resumed, study))
    columns = ["train_loss", "validation_loss", "test_loss"]
    pd.testing.assert_frame_equal(runs[columns], others[columns])


def test_another_model_under_a_label_is_another_study(study: Study) -> None:
    other = tw.Problem({**MODELS, "plain": dropped}, DATA, name="signs")
    with pytest.raises(StoreError, match="with other problem"):
        tw.compare(other, **ASKED, store=study.path, progress=False)
    with pytest.raises(PlanError, match="its model, data or loss changed"):
        tw.Study.open(study.path).landscape(problem=other)
    fewer = {label: MODELS[label] for label in ("plain", "dropout")}
    with pytest.raises(StoreError, match="problem and models"):
        tw.compare(PROBLEM, **ASKED, models=fewer, store=study.path, progress=False)


@pytest.mark.slow
def test_what_trains_again_trains_the_setting_s_model(study: Study) -> None:
    sharp = study.sharpness(by="model", seeds=2)
    assert set(sharp.levels) == set(MODELS)
    runs = study.table().query("stage == 'confirmation'").set_index(["model", "seed"])["train_loss"]
    best = {entry.setting["model"]: entry.setting for entry in study.verdict_by("model").entries}
    assert len(best) == 3
    assert runs.notna().all()
    chosen = study.verdict.best.setting["model"]
    landscape = study.landscape(points=3)
    assert landscape.losses.shape[-1] == 3
    ensemble = study.ensemble("seeds", members=2)
    weights = {name: tensor.shape[1:] for name, tensor in ensemble.state.items()}
    assert weights == {name: tensor.shape for name, tensor in MODELS[chosen]().state_dict().items()}
    parts = study.bias_variance(members=2)
    assert set(parts.table()["model"]) == set(MODELS)


FILE = """
import torch
import thalweg as tw
from torch import nn

def plain():
    return nn.Linear(4, 2)

def wide():
    return nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 2))

def signs():
    inputs = torch.randn(80, 4, generator=torch.Generator().manual_seed(0))
    return tw.Problem({"plain": plain, "wide": wide}, (inputs, (inputs[:, 0] * inputs[:, 1] > 0).long()))
"""


@pytest.mark.slow
@pytest.mark.parametrize("stands_alone", [True, False])
def test_a_recipe_trains_the_winner_s_model(stands_alone: bool, tmp_path: Path) -> None:
    file = tmp_path / "nets.py"
    own = "0).long()), loss=lambda outputs, targets: nn.functional.cross_entropy(outputs, targets))"
    file.write_text(FILE if stands_alone else FILE.replace("0).long()))", own))
    study = tw.compare(f"{file}:signs", **(ASKED | {"epochs": 8}), store=tmp_path / "s.db", progress=False)
    setting = study.verdict.best.setting
    script = study.recipe().code
    assert f"model {setting['model']}" in script.splitlines()[0]
    assert "import thalweg" not in script
    scope: dict[str, Any] = {}
    exec(compile(script, "recipe", "exec"), scope)
    runs = study.table().query("stage == 'search' and seed == 0")
    of_winner = runs[(runs["model"] == setting["model"]) & (runs["lr"] == setting.lr)]
    assert scope["losses"][-1] == pytest.approx(float(of_winner["validation_loss"].iloc[0]), rel=1e-4)


@pytest.mark.slow
def test_functions_without_labels_are_called_by_their_names(tmp_path: Path) -> None:
    asked = ASKED | {"seeds": 1, "epochs": 1, "confirmation": 0}
    study = tw.compare(PROBLEM, **asked, models=[plain, normed], store=tmp_path / "s.db", progress=False)
    assert sorted(study.table()["model"].unique()) == ["normed", "plain"]


def of_another_shape() -> nn.Module:
    return nn.Linear(5, 2)


@pytest.mark.parametrize(
    ("models", "words"),
    [
        ({}, "several models are a mapping of labels to functions"),
        ([plain, plain], "two models are called 'plain'"),
        ({"": plain}, "a model is called ''"),
        ({"a": plain, "b": plain()}, "of the models, b: the model is a module of type Sequential"),
        ({"a": plain, "b": of_another_shape}, "of the models, b: the model cannot take the train inputs"),
        ({"a": plain, "b": lambda: plain().double()}, "of different types"),
    ],
)
def test_what_cannot_be_is_a_sentence(models: Any, words: str, tmp_path: Path) -> None:
    with pytest.raises(ProblemError, match=words):
        tw.compare(PROBLEM, **ASKED, models=models, store=tmp_path / "s.db", progress=False)
    assert not (tmp_path / "s.db").exists()


def test_what_does_not_go_with_several(tmp_path: Path) -> None:
    def train(run: tw.Run) -> None: ...

    with pytest.raises(PlanError, match="models is given, and train is"):
        tw.compare(train, **ASKED, models=MODELS, store=tmp_path / "s.db", progress=False)
    with pytest.raises(PlanError, match="groups name parameters of one model"):
        tw.compare(
            PROBLEM,
            **ASKED,
            models=MODELS,
            groups="no decay on biases and norms",
            store=tmp_path / "s.db",
            progress=False,
        )
    with pytest.raises(PlanError, match="dropout"):
        tw.compare(
            PROBLEM, **ASKED, models=MODELS, regularizers=["dropout(0.2)"], store=tmp_path / "s.db", progress=False
        )
