"""Other names, those of PyTorch, scikit-learn and the courses, mean what they name wherever a name is taken."""

from __future__ import annotations

from collections.abc import Collection

import pytest
import torch

import thalweg as tw
from thalweg import formulas, losses, regularizers, schedules
from thalweg.aliases import ALIASES, called
from thalweg.errors import FormulaError, PlanError, ProblemError
from thalweg.landscapes import surfaces
from thalweg.losses.registry import LOSSES, METRICS, get_metric
from thalweg.optim.rules import RULES
from thalweg.plan.plan import plan
from thalweg.unknown import GIVEN_BY, plain, unknown

NAMES: dict[str, Collection[str]] = {
    "optimizer": formulas.FORMULAS,
    "argument": [argument.name for argument in RULES["SOAP"].arguments],
    "schedule": schedules.names(),
    "regularizer": regularizers.registry.names(),
    "loss": LOSSES,
    "metric": {**METRICS, **LOSSES},
    "surface": surfaces.names(),
    "distribution of torch.distributions": torch.distributions.__all__,
}


@pytest.mark.parametrize("kind", ALIASES)
def test_each_means_something_there_is_and_hides_nothing(kind: str) -> None:
    names = NAMES[kind]
    for alias, name in ALIASES[kind].items():
        assert alias == plain(alias)
        assert called(kind, alias, names) == called(kind, alias.upper(), names) == name
        assert alias not in {plain(other) for other in names}


@pytest.mark.parametrize(
    ("kind", "given", "hint"),
    [
        ("optimizer", "AMSGrad", "adam(amsgrad=True)"),
        ("schedule", "noam", "inverse_sqrt"),
        ("regularizer", "ElasticNet", "l1 and l2 together"),
        ("regularizer", "BatchNorm", "a layer of the model"),
    ],
)
def test_what_is_no_name_is_told_what_gives_it(kind: str, given: str, hint: str) -> None:
    assert f"'{given}' is not" in (words := unknown(kind, given, NAMES[kind]))
    assert f": did you mean {hint}" in words


@pytest.mark.parametrize("kind", GIVEN_BY)
def test_what_gives_it_is_of_no_name(kind: str) -> None:
    for alias in GIVEN_BY[kind]:
        assert alias == plain(alias)
        assert called(kind, alias, NAMES[kind]) is None


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("SGD", "sgd"),
        ("RMSProp", "rmsprop"),
        ("NAG", "nesterov"),
        ("gradient_descent", "sgd"),
        ("Heavy-Ball", "momentum"),
        ("경사 하강법", "sgd"),
        ("AdamW(weight_decay=0.1)", "adamw(weight_decay=0.1)"),
    ],
)
def test_optimizers(given: str, name: str) -> None:
    assert formulas.get(given).label == name
    assert plan([given], confirmation=0).optimizers == (name,)
    assert tw.descend("x^2", start=1.0, optimizer=given, lr=0.1, steps=2) is not None


@pytest.mark.parametrize(
    ("given", "label"),
    [
        ("CosineAnnealingLR", "cosine"),
        ("OneCycleLR", "one_cycle"),
        ("onecycle", "one_cycle"),
        ("one-cycle", "one_cycle"),
        ("StepLR(size=30)", "step(size=30)"),
        ("warmup(CosineAnnealingLR, steps=10)", "warmup(cosine, steps=10)"),
        ("ReduceLROnPlateau", "plateau"),
    ],
)
def test_schedules(given: str, label: str) -> None:
    assert schedules.get(given).label == label


def test_losses_metrics_regularizers_and_surfaces() -> None:
    assert losses.name_of(losses.get("MSELoss")) == losses.name_of(losses.get("l2")) == "mse"
    assert losses.name_of(losses.get("KLDivLoss")) == "kl_div"
    assert losses.name_of(get_metric("Acc")) == "accuracy"
    assert str(regularizers.get("Ridge(0.1)").label) == "l2(0.1)"  # pyright: ignore[reportOptionalMemberAccess]
    assert surfaces.get("Banana").gradient([1.0, 2.0]) == pytest.approx(surfaces.get("rosenbrock").gradient([1.0, 2.0]))
    outputs, targets = torch.zeros(4, 1), torch.ones(4, 1)
    gaussian, normal = (losses.from_distribution(name, fixed={"scale": 1.0}) for name in ("gaussian", "Normal"))
    assert torch.equal(gaussian(outputs, targets), normal(outputs, targets))


def test_what_means_nothing_is_refused_as_before() -> None:
    with pytest.raises(FormulaError, match="did you mean adam"):
        formulas.get("adm")
    with pytest.raises(PlanError, match="did you mean cosine"):
        schedules.get("cosin")


def test_what_was_meant_is_told_by_its_letters_alone() -> None:
    with pytest.raises(FormulaError, match=r"did you mean adamw\?"):
        formulas.get("adam.w")
    with pytest.raises(PlanError, match=r"did you mean cosine_restarts\?"):
        schedules.get("cosine+restarts")
    with pytest.raises(ProblemError, match="leave the sigmoid out"):
        losses.get("bce.loss")


@pytest.mark.parametrize(
    ("kind", "given", "name"),
    [
        ("optimizer", "애덤", "adam"),
        ("optimizer", "아담W", "adamw"),
        ("optimizer", "알엠에스프롭", "rmsprop"),
        ("schedule", "지수 감쇠", "exponential"),
        ("schedule", "코사인 어닐링", "cosine"),
        ("schedule", "웜업", "warmup"),
        ("loss", "CE", "cross_entropy"),
        ("loss", "SmoothL1Loss", "huber"),
        ("loss", "이진 교차 엔트로피", "bce"),
    ],
)
def test_korean_and_short_names(kind: str, given: str, name: str) -> None:
    assert called(kind, given, NAMES[kind]) == name


@pytest.mark.parametrize(("given", "name"), [("협곡", "ravine"), ("안장", "saddle"), ("그릇", "quadratic")])
def test_a_short_name_of_a_surface_is_no_variable(given: str, name: str) -> None:
    assert surfaces.surface(given).name == surfaces.get(name).name
