"""Settings of one's own choice as one population: the runs are those of a study, and a search learns from them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
import pytest
import torch
from torch import nn

import thalweg as tw
from thalweg.errors import FormulaError, PlanError, UsageError
from thalweg.study import population as module


@pytest.fixture(scope="module")
def population() -> tw.Population:
    return tw.Population("breast-cancer", epochs=2, seeds=2)


def test_the_runs_are_those_of_a_study(population: tw.Population, tmp_path: Path) -> None:
    asked: dict[str, Any] = {"schedules": ["constant", "cosine"], "hyperparameters": {"weight_decay": [0, 1e-3]}}
    study = tw.compare(
        "breast-cancer",
        ["adam", "sgd"],
        [0.01, 0.1],
        seeds=2,
        epochs=2,
        batch_sizes=[32, 64],
        confirmation=0,
        store=tmp_path / "a.db",
        progress=False,
        grow=0,
        refine=0,
        **asked,
    )
    names = ["optimizer", "lr", "schedule", "batch_size", "weight_decay"]
    table = study.table()
    settings = table[names].drop_duplicates().sample(frac=1, random_state=0)
    runs = population.train(settings.to_dict("records"))
    assert len(runs) == len(table) == 2 * len(settings)
    pd.testing.assert_frame_equal(runs[names].iloc[::2].reset_index(drop=True), settings.reset_index(drop=True))
    both = runs.merge(table, on=[*names, "seed"], suffixes=("", "_there"))
    assert len(both) == len(table)
    for name in ("train_loss", "validation_loss", "validation_accuracy"):
        np.testing.assert_array_equal(both[name], both[f"{name}_there"])
    assert (runs["step"] == both["step_there"]).all()


def test_settings_say_what_differs_and_the_rest_is_usual(population: tw.Population) -> None:
    runs = population.train(
        [
            {"optimizer": "adam", "lr": 0.01},
            {"optimizer": "adam", "lr": 0.01, "beta1": 0.5},
            {"optimizer": "adam(beta1=0.5)", "lr": 0.01},
            {"optimizer": tw.formulas.get("sgd"), "lr": 0.1},
            {"optimizer": "momentum", "lr": 0.1, "schedule": "cosine", "weight_decay": 0.1},
        ]
    )
    losses = runs.groupby(runs.index // 2)["validation_loss"].first()
    assert losses[1] == losses[2] != losses[0]
    assert runs["optimizer"].tolist()[::2] == ["adam", "adam", "adam(beta1=0.5)", "sgd", "momentum"]
    assert runs["beta1"].fillna(-1).tolist()[::2] == [0.9, 0.5, -1, -1, -1]
    assert runs["weight_decay"].tolist()[::2] == [0, 0, 0, 0, 0.1]
    again = population.train([{"optimizer": "adam", "lr": 0.01, "beta1": 0.5}])
    assert again["validation_loss"][0] == losses[1]


@pytest.mark.slow
def test_losses_and_regularizers() -> None:
    population = tw.Population("breast-cancer", epochs=1)
    one = {"optimizer": "adam", "lr": 0.01, "loss": "cross_entropy"}
    runs = population.train(
        [one, one | {"loss": "cross_entropy(label_smoothing=0.1)"}, one | {"regularizer": "l2(0.1)"}]
    )
    assert runs["loss"].tolist() == ["cross_entropy", "cross_entropy(label_smoothing=0.1)", "cross_entropy"]
    assert runs["regularizer"].tolist() == ["none", "none", "l2(0.1)"]
    assert runs["validation_loss"].nunique() == 3
    with pytest.raises(PlanError, match="some settings name a loss and others do not"):
        population.train([one, {"optimizer": "adam", "lr": 0.01}])


def test_a_run_that_diverges_is_infinitely_bad() -> None:
    population = tw.Population("breast-cancer", epochs=2)
    for settings in ([1e30], [1e30, 0.01]):
        runs = population.train([{"optimizer": "sgd", "lr": lr} for lr in settings])
        assert runs["status"].tolist() == ["diverged", "finished"][: len(runs)]
        assert runs["validation_loss"][0] == math.inf


def test_what_is_compiled_is_compiled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    decided: list[Any] = []
    monkeypatch.setattr(module, "decide", lambda *given: decided.append(given) or decide(*given))
    population = tw.Population("breast-cancer", epochs=1)
    for size in (64, 64, 32, 64):
        population.train([{"optimizer": "adam", "lr": lr, "batch_size": size} for lr in (0.01, 0.1)])
    assert len(decided) == 2


decide = module.decide


def test_models_that_cannot_be_stacked_and_optimizers_without_equations() -> None:
    class Branches(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x) if float(x.sum()) > 0 else -super().forward(x)

    inputs = torch.randn(60, 4, generator=torch.Generator().manual_seed(0))
    problem = tw.Problem(model=lambda: Branches(4, 2), train=(inputs, (inputs[:, 0] > 0).long()))
    population = tw.Population(problem, epochs=2, batch_size=8)
    runs = population.train([{"optimizer": "lbfgs", "lr": 1e-3}, {"optimizer": "sgd", "lr": 0.1}])
    assert runs["status"].tolist() == ["finished", "finished"]
    assert np.isfinite(runs["validation_loss"]).all()


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ([], PlanError, "settings is empty; give at least one"),
        ([{"optimizer": "adam"}], PlanError, "the setting {'optimizer': 'adam'} has no lr; give it one."),
        ([{"lr": 0.1}], PlanError, "has no optimizer"),
        ([{"optimizer": "adm", "lr": 0.1}], FormulaError, "'adm' is not an optimizer"),
        ([{"optimizer": "sgd", "lr": 0.1, "beta1": 0.9}], FormulaError, "beta1"),
        ([{"optimizer": "sgd", "lr": -1}], PlanError, "rate -1 is not allowed"),
        ([{"optimizer": "sgd", "lr": 0.1, "schedule": "cosin"}], UsageError, "cosin"),
    ],
)
def test_settings_that_cannot_be(
    settings: list[dict[str, Any]], error: type[Exception], words: str, population: tw.Population
) -> None:
    with pytest.raises(error) as refused:
        population.train(settings)
    assert words in str(refused.value)


def test_what_the_model_raises_is_a_sentence() -> None:
    class Fails(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if failing and self.training:
                raise ValueError("no such cable")
            return super().forward(x)

    failing = False
    inputs = torch.randn(60, 4, generator=torch.Generator().manual_seed(0))
    population = tw.Population(tw.Problem(model=lambda: Fails(4, 2), train=(inputs, (inputs[:, 0] > 0).long())))
    failing = True
    with pytest.raises(tw.ThalwegError, match="no such cable"):
        population.train([{"optimizer": "lbfgs", "lr": 0.1}])


def test_optuna_learns_from_populations() -> None:
    """Three rounds of 24 trials; the last has a lower median than the first, which is drawn at random."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    search = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0, constant_liar=True, n_startup_trials=24))
    population, medians = tw.Population("breast-cancer", epochs=2), []
    for _ in range(3):
        trials = [search.ask() for _ in range(24)]
        settings = [
            {
                "optimizer": trial.suggest_categorical("optimizer", ["adam", "momentum"]),
                "lr": trial.suggest_float("lr", 1e-5, 10, log=True),
                "weight_decay": trial.suggest_float("weight_decay", 1e-6, 1e-2, log=True),
            }
            for trial in trials
        ]
        runs = population.train(settings)
        for trial, loss in zip(trials, runs["validation_loss"], strict=True):
            search.tell(trial, loss)
        medians.append(float(runs["validation_loss"].median()))
    assert medians[2] < 0.7 * medians[0]
    assert search.best_value == min(trial.value for trial in search.trials if trial.value is not None)
    assert tw.rank(runs).verdict.entries


@pytest.mark.parametrize("given", [{"optimizer": "adam", "lr": 0.1}, ["adam"], "adam", 3, None])
def test_settings_of_another_form_are_refused(population: tw.Population, given: Any) -> None:
    form = r"settings is .*; give a list of mappings, e\.g\. \[\{'optimizer': 'adam', 'lr': 0\.01\}\]\."
    with pytest.raises(PlanError, match=form) as caught:
        population.train(given)
    assert "\n" not in str(caught.value)
