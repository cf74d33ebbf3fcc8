"""The recipe: plain PyTorch that follows the very path of the member it was taken from."""

from __future__ import annotations

import ast
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import thalweg as tw
from thalweg import formulas
from thalweg.errors import PlanError
from thalweg.plan.plan import Setting, plan
from thalweg.recipe.recipe import Recipe, recipe
from thalweg.study.study import Study, compare
from thalweg.verdict.losses import matching

from ..cases import mostly_slow

# Rates at which each rule moves, and none leaves the ground.
RATES = {
    "sgd": 0.1,
    "momentum": 0.02,
    "nesterov": 0.02,
    "adagrad": 0.05,
    "adadelta": 1.0,
    "rmsprop": 0.005,
    "adam": 0.01,
    "adamw": 0.01,
}
PROBLEM = """
import torch, thalweg as tw
from torch import nn

def network():
    return nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 3)).double()

def mine():
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(90, 5, generator=generator, dtype=torch.float64)
    targets = (inputs @ torch.randn(5, 3, generator=generator, dtype=torch.float64)).argmax(1)
    return tw.Problem(model=network, train=(inputs, targets), metrics=("accuracy",))

def brier(outputs, targets):
    return (outputs.softmax(-1) - nn.functional.one_hot(targets, 3)).square().sum(-1)

def loaded():
    whole = mine()
    data = torch.utils.data.TensorDataset(*whole.train)
    loader = torch.utils.data.DataLoader(data, batch_size=7, shuffle=True, drop_last=True)
    return tw.Problem(model=network, train=loader, validation=whole.train)

class Stream(torch.utils.data.IterableDataset):
    def __iter__(self):
        return iter(torch.utils.data.TensorDataset(*mine().train))

def streamed():
    loader = torch.utils.data.DataLoader(Stream(), batch_size=7)
    return tw.Problem(model=network, train=loader, validation=mine().train)
"""
EPOCHS = 3
ALL = list(itertools.product(formulas.CLASSIC, ("constant", "cosine")))


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "own.py"
    path.write_text(PROBLEM)
    return path


def studied(spec: str, store: Path, **changes: Any) -> Study:
    asked: dict[str, Any] = {"seeds": 2, "epochs": EPOCHS, "confirmation": 0, "batch_size": 16}
    return compare(
        spec, formulas.CLASSIC, sorted(set(RATES.values())), **{**asked, **changes}, store=store, progress=False
    )


@pytest.fixture(scope="module")
def doubles(file: Path) -> Study:
    return studied(f"{file}:mine", file.with_name("doubles.db"))


@pytest.fixture(scope="module")
def floats(tmp_path_factory: pytest.TempPathFactory) -> Study:
    asked = {"seeds": 1, "epochs": 1, "batch_size": 64}
    return studied("digits", tmp_path_factory.mktemp("recipe") / "digits.db", **asked)


def alone(code: str) -> list[float]:
    """The validation losses that the script prints, with all their digits."""
    printed = "{value:.6f}"
    assert code.count(printed) == 1
    lines: list[str] = []
    exec(compile(code.replace(":.6f}", ":.17g}"), "recipe", "exec"), {"print": lines.append})
    return [float(line.split()[-1]) for line in lines]


def in_population(study: Study, setting: Setting, seed: int) -> np.ndarray:
    table = study.table()
    rows = table[matching(table, setting) & (table["stage"] == "search") & (table["seed"] == seed)]
    (member,) = rows["member"]
    curves = study.curves()
    mine = curves[(curves["member"] == member) & (curves["metric"] == "validation_loss")]
    return mine.sort_values("step")["value"].to_numpy()


def follows(study: Study, setting: Setting, seed: int, relative: float) -> None:
    made = recipe(study.plan, study.problem, setting, seed)
    losses, expected = alone(made.code), in_population(study, setting, seed)
    assert len(losses) == len(expected) == study.plan.epochs
    np.testing.assert_allclose(losses, expected, rtol=relative)


@pytest.mark.everyday(of=4)
@pytest.mark.parametrize(("optimizer", "schedule"), ALL)
def test_alone_equals_in_the_population(optimizer: str, schedule: str, doubles: Study) -> None:
    setting = Setting(optimizer, RATES[optimizer], schedule)
    follows(doubles, setting, seed=1, relative=1e-9)
    losses = in_population(doubles, setting, 1)
    assert len(set(losses)) == EPOCHS, "a path that stands still proves nothing"
    # The check can fail: another seed is another path.
    assert not np.allclose(losses, in_population(doubles, setting, 0), rtol=1e-6)


@pytest.mark.everyday(of=4)
@pytest.mark.parametrize(("optimizer", "schedule"), ALL)
def test_alone_equals_in_the_population_in_single_precision(optimizer: str, schedule: str, floats: Study) -> None:
    follows(floats, Setting(optimizer, RATES[optimizer], schedule), seed=0, relative=1e-4)


LACKED = {
    "schedule_free_sgd": 1.0,
    "schedule_free_adamw": 0.05,
    "lamb": 0.05,
    "muon": 0.05,
    "prodigy": 1.0,
    "soap(max_dim=5)": 0.05,  # of longer sides, what the first gradients leave open depends on rounding
    "adafactor": 0.05,
    "sophia_g(every=4, rho=0.5)": 0.05,  # estimates in the middle of a pass too
}


@pytest.fixture(scope="module")
def lacked(file: Path) -> Study:
    asked: dict[str, Any] = {"seeds": 2, "epochs": EPOCHS, "confirmation": 0, "batch_size": 16}
    rates = sorted(set(LACKED.values()))
    return compare(f"{file}:mine", list(LACKED), rates, **asked, store=file.with_name("lacked.db"), progress=False)


@pytest.mark.slow
@pytest.mark.everyday(of=4)
@pytest.mark.parametrize("optimizer", LACKED)
def test_rules_that_torch_lacks_go_alone_as_in_the_population(optimizer: str, lacked: Study) -> None:
    setting = Setting(optimizer, LACKED[optimizer], "cosine")
    follows(lacked, setting, seed=1, relative=1e-9)
    assert "tw.optim" not in recipe(lacked.plan, lacked.problem, setting).code
    assert len(set(in_population(lacked, setting, 1))) == EPOCHS, "a path that stands still proves nothing"


def test_a_wrong_recipe_is_seen(doubles: Study) -> None:
    made = recipe(doubles.plan, doubles.problem, Setting("adamw", 0.01, "cosine"), 1)
    wrong = made.code.replace("weight_decay=0.01", "weight_decay=0.0101")
    assert wrong != made.code
    expected = in_population(doubles, Setting("adamw", 0.01, "cosine"), 1)
    assert not np.allclose(alone(wrong), expected, rtol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("function", mostly_slow(["loaded", "streamed"], "streamed"))
def test_a_data_loader_follows_too(file: Path, function: str) -> None:
    study = studied(f"{file}:{function}", file.with_name(f"{function}.db"))
    follows(study, Setting("adam", 0.01, "cosine"), seed=1, relative=1e-9)


@pytest.mark.slow
def test_a_changed_default_is_in_the_recipe(file: Path) -> None:
    changed = ["adam(beta2=0.9, eps=1e-3)", "momentum(momentum=0.5)"]
    asked: dict[str, Any] = {"seeds": 1, "epochs": 2, "batch_size": 16, "confirmation": 0, "progress": False}
    study = compare(f"{file}:mine", changed, [0.01], ["linear"], **asked, store=file.with_name("other.db"))
    for label in study.plan.optimizers:
        follows(study, Setting(label, 0.01, "linear"), seed=0, relative=1e-9)


def test_the_study_gives_its_winner(tiny: Study) -> None:
    best = tiny.verdict.best
    made = tiny.recipe()
    assert best.optimizer in made.code.splitlines()[0]
    assert f"lr={best.lr!r}" in made.optimizer
    assert "SEED, EPOCHS = 0, 2" in made.code
    assert "torch.optim.SGD(model.parameters(), lr=" in tiny.recipe("sgd").optimizer
    assert "SEED, EPOCHS = 3, 2" in tiny.recipe(seed=3).code
    with pytest.raises(PlanError, match="'adamw' is not among this study's optimizers: adam, sgd"):
        tiny.recipe("adamw")


def test_only_torch_trains(tiny: Study) -> None:
    assert "thalweg" not in tiny.recipe().code
    assert "tw." not in tiny.recipe().code


def test_build(tiny: Study) -> None:
    made = tiny.recipe("adam")
    model = nn.Linear(2, 1)
    optimizer, scheduler = made.build(model, total_steps=10)
    assert type(optimizer) is torch.optim.Adam
    assert optimizer.param_groups[0]["params"] == list(model.parameters())
    rates = []
    for _ in range(11):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    lr, schedule = tiny.verdict.best.lr, tw.schedules.get(tiny.verdict.best.schedule)
    np.testing.assert_allclose(rates, lr * schedule.factor(np.arange(11), 10), rtol=1e-12, atol=1e-15)


@tw.formula()
def mine(g, *, lr=1e-3):
    return tw.Update(-2 * lr * g)


@tw.formula(name="adam")
def not_adam(g, *, lr=1e-3):
    return tw.Update(-2 * lr * g)


@tw.formula()
def shadows(g, group, *, lr=1e-3):
    return tw.Update(-2 * lr * g, group=group + g)


def test_a_formula_that_was_given_as_an_object() -> None:
    """Its equations are a class, unless its names are in the way; then no script can find it again."""
    facts = {"name": "hills", "kind": "built-in", "spec": "digits", "loader": False}
    for rule, name in ((mine, "Mine"), (not_adam, "Adam")):
        wanted = plan([rule], rates=[0.1])
        made = recipe(wanted, facts, wanted.settings[0])
        assert (made.optimizer, "w += -2*g*lr" in made.classes) == (f"{name}(model.parameters(), lr=0.1)", True)
    wanted = plan([shadows], rates=[0.1])
    with pytest.raises(PlanError, match=r"^\w+ was given as an object .*: name it as file\.py:name, or make it"):
        recipe(wanted, facts, wanted.settings[0])


RULES = """
import thalweg as tw

@tw.formula()
def heavy(g, a, *, lr=1e-3, beta=0.8):
    a = beta * a + g
    return tw.Update(-lr * a, a=a)
"""
# Every rule of the catalogue beyond the classic ones, and forms that torch.optim has or has not.
IN_TORCH = {
    "momentum(dampening=0.3)": "SGD",
    "rmsprop(momentum=0.8)": "RMSprop",
    "rmsprop(centered=True, eps=0.001)": "RMSprop",
    "adam(amsgrad=True, beta2=0.9)": "Adam",
    "adamw(amsgrad=True)": "AdamW",
    "adamax": "Adamax",
    "nadam(decoupled_weight_decay=True, weight_decay=0.1)": "NAdam",
    "radam": "RAdam",
    "asgd(lambd=0.1)": "ASGD",
    "rprop(eta_plus=1.3)": "Rprop",
}
NOT_IN_TORCH = [
    "lion(beta1=0.8)",
    "yogi",
    "adan",
    "qhadam(nu1=0.123456789)",
    "signsgd(momentum=0.5)",
    "adabelief",
    "adam(folded=True)",
    "nesterov(lookahead=True)",
    "momentum(rate_inside=True)",
    "adopt",
    "ademamix",
    "lars",
    "c_adamw(weight_decay=0.1)",
    "c_lion",
    "lookahead(adamw(beta2=0.99), steps=3)",
    "cautious(momentum)",
    "sam(sgd)",
    "sam(muon)",
    "halving",
]


@pytest.mark.slow
def test_every_form_has_a_recipe_that_follows_its_path(file: Path) -> None:
    rules = file.with_name("rules.py")
    rules.write_text(RULES)
    asked: dict[str, Any] = {"seeds": 1, "epochs": 2, "batch_size": 16, "confirmation": 0, "progress": False}
    chosen = [*IN_TORCH, *NOT_IN_TORCH, f"{rules}:heavy"]
    study = compare(f"{file}:mine", chosen, [0.01], ["linear"], **asked, store=file.with_name("forms.db"))
    for label, given in zip(study.plan.optimizers, chosen, strict=True):
        setting = Setting(label, 0.01, "linear")
        made = recipe(study.plan, study.problem, setting)
        if given in IN_TORCH:
            assert (made.classes, made.optimizer.startswith(f"torch.optim.{IN_TORCH[given]}(")) == ("", True), label
        else:
            name, _, _ = made.optimizer.partition("(")
            assert f"class {name}(torch.optim.Optimizer):" in made.classes, label
            assert "tw." not in made.optimizer + made.classes
        optimizer, _ = made.build(nn.Linear(2, 1), total_steps=4)
        assert optimizer.param_groups[0]["lr"] == 0.01
        loose = 1e-6 if given.startswith(("nadam", "asgd")) else 1e-9  # torch keeps a number of theirs in float32
        try:
            follows(study, setting, seed=0, relative=loose)
        except Exception as error:
            raise AssertionError(f"{label}: {error}") from error


@pytest.mark.parametrize("name", ['say """hi"""', "end\\", 'x"""\nimport os\n"""', "tab\tand\nline"])
def test_a_name_never_becomes_code(name: str) -> None:
    wanted = plan(["sgd"], rates=[0.1])
    facts = {"name": name, "kind": "file", "spec": "a'b\n.py:f", "loader": False}
    made = recipe(wanted, facts, wanted.settings[0])
    assert isinstance(made, Recipe)
    tree = ast.parse(made.code)
    imported = [a.name for n in ast.walk(tree) if isinstance(n, ast.Import | ast.ImportFrom) for a in n.names]
    assert imported == ["torch", "lr_scheduler", "thalweg"]


def test_an_object_must_be_put_in_by_hand() -> None:
    wanted = plan(["sgd"], rates=[0.1])
    facts = {"name": "hills", "kind": "object", "spec": "hills", "loader": False}
    assert "YOUR_PROBLEM" in recipe(wanted, facts, wanted.settings[0]).code


# Other factors


@pytest.fixture(scope="module")
def varied(file: Path) -> Study:
    rules = file.with_name("heavy.py")
    rules.write_text(RULES)
    return compare(
        f"{file}:mine",
        ["sgd", "adam", f"{rules}:heavy"],
        [0.01],
        ["linear"],
        seeds=2,
        epochs=EPOCHS,
        losses=["cross_entropy", f"{file}:brier"],
        batch_sizes=[1, "full"],
        hyperparameters={"beta": [0.5, 0.8], "beta2": [0.9, 0.95], "weight_decay": [0.1]},
        confirmation=0,
        store=file.with_name("varied.db"),
        progress=False,
    )


@pytest.mark.slow
def test_alone_equals_in_the_population_whatever_varies(varied: Study) -> None:
    """Every setting: other batch sizes, losses and hyperparameters, in one study with the others."""
    settings = varied.plan.settings
    assert len(settings) == 2 * 2 * (1 + 2 + 2)
    for setting in settings:
        try:
            follows(varied, setting, seed=1, relative=1e-9)
        except Exception as error:
            raise AssertionError(f"{setting}: {error}") from error
    paths = {tuple(in_population(varied, setting, 1)) for setting in settings}
    assert len(paths) == len(settings), "two settings that are one prove nothing"


def test_the_recipe_says_what_varies(varied: Study) -> None:
    def code(optimizer: str, *levels: Any) -> str:
        further = tuple(zip(("loss", "batch_size", "beta", "beta2"), levels, strict=True))
        return recipe(varied.plan, varied.problem, Setting(optimizer, 0.01, "linear", further)).code

    whole = code("adam", "brier", "full", None, 0.9)
    assert "order.split(len(inputs))" in whole
    assert "total_steps = EPOCHS * 1\n" in whole
    assert "betas=(0.9, 0.9), eps=1e-08, weight_decay=0.1)" in whole
    assert "loss = tw.losses.get(runpy.run_path(" in whole
    assert "value = loss(model(inputs), targets)" in whole
    one = code("heavy", "cross_entropy", 1, 0.5, None)
    assert "order.split(1)" in one
    assert "loss = tw.losses.get('cross_entropy')" in one
    assert "Heavy(model.parameters(), lr=0.01, beta=0.5)" in one


def test_a_loss_given_as_an_object_has_no_recipe() -> None:
    def mine(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return nn.functional.cross_entropy(outputs, targets) * 2

    wanted = plan(["sgd"], rates=[0.1], losses=[mine])
    facts = {"name": "hills", "kind": "built-in", "spec": "digits", "loader": False}
    with pytest.raises(PlanError, match=r"the loss mine was given as an object .*: name it as file\.py:name"):
        recipe(wanted, facts, wanted.settings[0])
