"""The documents' own names, as a student types them from the slides: understood, or one sentence that helps."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from typer.testing import CliRunner

import thalweg as tw
from thalweg import losses, regularizers, schedules
from thalweg.cli.main import app
from thalweg.errors import FormulaError, UsageError


def answer(*words: str) -> str:
    result = CliRunner(env={"COLUMNS": "100", "TERM": "dumb"}).invoke(app, list(words))
    assert result.exit_code == 0, result.output
    return result.output


RULES = {
    "sgd": ["SGD", "GD", "gradient descent", "경사하강법", "확률적 경사 하강법"],
    "momentum": ["Momentum", "모멘텀", "heavy ball"],
    "nesterov": ["NAG", "Nesterov", "네스테로프", "nesterov momentum"],
    "adagrad": ["AdaGrad", "Adagrad"],
    "adadelta": ["AdaDelta"],
    "rmsprop": ["RMSProp", "RMSprop", "rms-prop"],
    "adam": ["Adam", "ADAM"],
}


@pytest.mark.parametrize(("given", "name"), [(given, name) for name, all_ in RULES.items() for given in all_])
def test_rules(given: str, name: str) -> None:
    assert answer("formula", given) == answer("formula", name)
    assert answer("descend", "x^2-4x+6", "--start", "4", "--optimizer", given, "--steps", "3", "--json")


LOSSES = [("l2", "mse"), ("MSELoss", "mse"), ("mae", "l1"), ("L1Loss", "l1"), ("CrossEntropyLoss", "cross_entropy")]
LOSSES += [("KLDivLoss", "kl_div"), ("BCEWithLogitsLoss", "bce"), ("TripletMarginLoss", "triplet_margin")]
LOSSES += [("교차 엔트로피", "cross_entropy"), ("평균제곱오차", "mse")]


@pytest.mark.parametrize(("given", "name"), LOSSES)
def test_losses(given: str, name: str) -> None:
    assert losses.name_of(losses.get(given)) == name
    assert answer("loss", given) == answer("loss", name)


SCHEDULES = ["StepLR(size=10)", "MultiStepLR(milestones=(3, 6))", "ExponentialLR(gamma=0.9)", "CosineAnnealingLR"]
SCHEDULES += [
    "PolynomialLR(power=2)",
    "OneCycleLR",
    "LinearLR(start=0.5, end=1, steps=5)",
    "ConstantLR(scale=0.5, steps=5)",
]


@pytest.mark.parametrize("given", SCHEDULES)
def test_schedules_of_the_list_of_torch(given: str) -> None:
    kind = schedules.get(given)
    assert kind.label.partition("(")[0] in schedules.names()
    assert kind.label in answer("schedule", given)


REGULARIZERS = [("Ridge(0.1)", "l2"), ("Lasso(0.1)", "l1"), ("CutMix", "cutmix"), ("EarlyStopping", "early_stopping")]
REGULARIZERS += [
    ("Dropout(0.3)", "dropout"),
    ("weight decay(0.1)", "decoupled_decay"),
    ("label smoothing(0.1)", "label_smoothing"),
]
REGULARIZERS += [("드롭아웃(0.3)", "dropout"), ("조기 종료", "early_stopping")]


@pytest.mark.parametrize(("given", "name"), REGULARIZERS)
def test_regularizers(given: str, name: str) -> None:
    kind: Any = regularizers.get(given)
    assert kind.name == name


def test_distributions() -> None:
    outputs, targets = torch.zeros(3, 1), torch.tensor([[1.0], [2.0], [5.0]])
    for given, due in (("gaussian", "normal"), ("가우시안", "normal"), ("Laplace", "laplace")):
        made, same = (tw.losses.from_distribution(name, fixed={"scale": 1.0}) for name in (given, due))
        assert torch.equal(made(outputs, targets), same(outputs, targets))


def test_a_function_as_the_notebook_writes_it() -> None:
    assert "f = 2" in answer("minimum", "f(x)=x^2-4x+6")
    assert "9x² − 2" in answer("derivative", "f(x) = 3x^3-2x+1")
    assert "12x² + 3y²" in answer("derivative", "3x*y²+4x³-5y²+1")


@pytest.mark.parametrize(
    ("text", "spelling"), [("x*sinx", "sin(x)"), ("x sin x", "x*sin(x)"), ("xsin(x)", "x*sin(…)"), ("3xy²", "x*y")]
)
def test_what_could_mean_two_things_is_asked_back_with_the_spelling_that_works(text: str, spelling: str) -> None:
    for command in ("derivative", "minimum"):
        result = CliRunner(env={"COLUMNS": "300", "TERM": "dumb"}).invoke(app, [command, text])
        assert result.exit_code != 0
        assert spelling in result.output
        assert len(result.output.strip().splitlines()) == 1


def test_a_misspelt_name_is_answered_by_what_is_near_in_meaning() -> None:
    with pytest.raises(FormulaError, match="rmsprop"):
        tw.descend("x^2", start=1.0, optimizer="rmspropp", lr=0.1, steps=1)
    with pytest.raises(UsageError, match="did you mean mse"):
        losses.get("l22")
    for given, name in (("모멘틈", "momentum"), ("heavybal", "momentum"), ("네스테로브", "nesterov")):
        with pytest.raises(FormulaError, match=f"did you mean {name}"):
            tw.descend("x^2", start=1.0, optimizer=given, lr=0.1, steps=1)
    with pytest.raises(UsageError, match="did you mean dropout"):
        regularizers.get("드랍아웃(0.3)")
