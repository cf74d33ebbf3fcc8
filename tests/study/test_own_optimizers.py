"""Optimizers that have no formula: classes of torch.optim, one's own class, a function (params, lr) → optimizer."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load, save
from torch import nn
from torch.optim import Optimizer

import thalweg as tw
from tests.studies import stopped_at
from thalweg import formulas
from thalweg.errors import FormulaError, PlanError
from thalweg.formulas import opaque
from thalweg.population.batched import Batched
from thalweg.population.batches import TensorBatches
from thalweg.population.block import Block, Task
from thalweg.population.member import Member
from thalweg.study.forecast import forecast

_draw = torch.Generator().manual_seed(0)
X = torch.randn(120, 6, generator=_draw, dtype=torch.float64)
Y = (X[:, :2] * X[:, 2:4]).sum(1, keepdim=True)


def network() -> nn.Module:
    return nn.Sequential(
        nn.Linear(6, 8, bias=False), nn.BatchNorm1d(8), nn.Tanh(), nn.Dropout(0.1), nn.Linear(8, 1)
    ).double()


def line() -> nn.Module:
    return nn.Linear(6, 1, bias=False).double()


PROBLEM = tw.Problem(model=network, train=(X, Y), loss="mse", name="own")
LINE = tw.Problem(model=line, train=(X, Y), loss="mse", name="line")


class SignDescent(Optimizer):
    """w ← w − lr sign(g); its step takes no closure."""

    def __init__(self, params: Any, lr: float = 0.1, power: int = 1) -> None:
        super().__init__(params, {"lr": lr, "power": power})

    def step(self) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for p in group["params"]:
                assert isinstance(group["power"], int)
                p.data.sub_(group["lr"] * p.grad.sign() ** group["power"])


def two_rates(params: Any, lr: float) -> Optimizer:
    first, *others = params
    return torch.optim.RAdam([{"params": [first], "lr": lr}, {"params": others, "lr": lr / 10}], lr=lr)


def study(problem: tw.Problem, store: Path, **asked: Any) -> tw.Study:
    few = {"rates": [1e-2, 1e-1], "schedules": ["cosine"], "epochs": 3, "seeds": 1, "confirmation": 2}
    return tw.compare(problem, store=store, progress=False, grow=0, refine=0, **(few | asked))


def test_names_and_classes_mean_formulas_where_there_are_some() -> None:
    for given in ("AdamW", "ADAMW", "adam_w"):
        assert formulas.get(given) == formulas.get("adamw")
    for kind, name in ((torch.optim.AdamW, "adamw"), (torch.optim.SGD, "sgd"), (tw.optim.Lion, "lion")):
        assert formulas.of(kind) == formulas.get(name)
    lbfgs = formulas.get("LBFGS(max_iter=5)")
    assert isinstance(lbfgs, opaque.Opaque)
    assert (lbfgs.label, lbfgs.hyperparameters["max_iter"]) == ("lbfgs(max_iter=5)", 5.0)
    with pytest.raises(FormulaError, match="is not an optimizer: did you mean adam"):
        formulas.get("adamm")
    with pytest.raises(FormulaError, match="number among the arguments of lbfgs"):
        lbfgs.with_(iterations=3)
    with pytest.raises(FormulaError, match="max_iter is 'many'; give a number"):
        lbfgs.with_(max_iter="many")


@pytest.mark.parametrize(
    "use",
    [
        lambda: tw.optim.from_formula("lbfgs"),
        lambda: tw.descend("x^2", optimizer="LBFGS", start=1.0),
        lambda: tw.basins("x^4 - x^2", "lbfgs"),
        lambda: tw.size(nn.Linear(2, 1), optimizers=["LBFGS(max_iter=5)"]),
    ],
)
def test_what_needs_equations_says_that_a_class_of_torch_has_none(use: Callable[[], Any]) -> None:
    with pytest.raises(FormulaError, match=r"is torch\.optim\.LBFGS, whose equations are not known here"):
        use()


SGD, ADAM = torch.optim.SGD, torch.optim.Adam


@pytest.mark.parametrize(
    ("given", "label"),
    [
        (partial(SGD, momentum=0.9), "momentum"),
        (partial(SGD, momentum=0.8, nesterov=True), "nesterov(momentum=0.8)"),
        (partial(SGD, momentum=0), "sgd"),
        (partial(ADAM, betas=(0.8, 0.99), amsgrad=True), "adam(amsgrad=True, beta1=0.8, beta2=0.99)"),
        (partial(ADAM, decoupled_weight_decay=True), "adamw"),
        (partial(torch.optim.AdamW, lr=0.1, fused=True), "adamw(lr=0.1)"),
    ],
)
def test_classes_of_torch_with_arguments_fixed_mean_formulas(given: Any, label: str) -> None:
    assert formulas.of(given) == formulas.get(label)
    assert formulas.of(given).label == label


def with_decay(params: Any, lr: float, weight_decay: float = 0.25, nesterov: bool = False) -> Optimizer:
    return torch.optim.SGD(params, lr=lr, weight_decay=weight_decay, momentum=0.5, nesterov=nesterov)


def by_place(weights: Any, rate: float, factor: float = 1.0) -> Optimizer:
    return torch.optim.SGD(weights, lr=rate * factor)


class Maker:
    def bound(self, params: Any, lr: float) -> Optimizer:
        return torch.optim.SGD(params, lr=lr)


@pytest.mark.parametrize(
    ("given", "label", "group"),
    [
        (with_decay, "with_decay", {"lr": 0.1, "weight_decay": 0.25, "nesterov": False}),
        (partial(with_decay, nesterov=True), "with_decay(nesterov=True)", {"nesterov": True, "weight_decay": 0.25}),
        (partial(with_decay, weight_decay=0.5), "with_decay(weight_decay=0.5)", {"weight_decay": 0.5}),
        (by_place, "by_place", {"lr": 0.1}),
        (partial(by_place, factor=3), "by_place(factor=3)", {"lr": 0.1 * 3}),
        (Maker().bound, "bound", {"lr": 0.1}),
        (partial(torch.optim.LBFGS, max_iter=5), "lbfgs(max_iter=5)", {"max_iter": 5, "lr": 0.1}),
        (lambda p, rate: torch.optim.SGD(p, lr=rate), "lambda", {"lr": 0.1}),
    ],
)
def test_functions_may_have_further_arguments_and_partial_fixes_some(given: Any, label: str, group: Any) -> None:
    rule = formulas.of(given)
    assert isinstance(rule, opaque.Opaque)
    assert rule.label == label
    made = rule.build([nn.Parameter(torch.zeros(1))], lr=0.1).param_groups[0]
    assert {name: made[name] for name in group} == group


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ([lambda p, r: SGD(p, r), lambda p, r: ADAM(p, r)], "two optimizers are called '<lambda>'; give each function"),
        ([SGD([nn.Parameter(torch.zeros(1))])], r"SGD is an optimizer of one model's weights.*give the class"),
        ([partial(SGD, [])], r"partial of SGD may fix numbers, words and tuples of these, by name"),
        ([partial(by_place, factor=nn.Linear(1, 1))], "partial of by_place may fix numbers"),
        ([lambda params: None], "an optimizer is a name, a formula"),
        ([print], "an optimizer is a name, a formula"),
    ],
)
def test_what_makes_no_optimizer_is_said(given: Any, sentence: str) -> None:
    with pytest.raises((PlanError, FormulaError), match=sentence):
        tw.compare(LINE, optimizers=given)


@pytest.mark.slow
def test_a_partial_is_resumed_and_its_recipe_has_what_it_fixes(tmp_path: Path) -> None:
    asked: dict[str, Any] = {"optimizers": [partial(torch.optim.LBFGS, max_iter=3)], "schedules": ["constant"]}
    done = study(LINE, tmp_path / "a.db", **asked)
    code = done.recipe().code
    assert "torch.optim.LBFGS" in code
    assert "max_iter=3" in code
    assert study(LINE, tmp_path / "a.db", **asked).table().equals(done.table())


@pytest.mark.parametrize("way", ["compiled", "stacked", False])
@pytest.mark.parametrize("own", ["LBFGS(max_iter=4)", torch.optim.Adafactor])
def test_a_class_of_torch_follows_its_recipe(own: Any, way: Any, tmp_path: Path) -> None:
    """Batch norm, dropout and a schedule beside it; the recipe is torch.optim's own class in a plain loop."""
    done = study(PROBLEM, tmp_path / "own.db", optimizers=[own], batched=way)
    run = done.recipe_run
    assert run is not None
    assert not run.reason
    assert run.largest < 1e-9, run
    assert np.isfinite(done.table()["validation_loss"]).all()


def torch_muon(params: Any, lr: float) -> Optimizer:
    return torch.optim.Muon(params, lr=lr)


@pytest.mark.slow
def test_matrices_alone_by_muon(tmp_path: Path) -> None:
    done = study(LINE, tmp_path / "muon.db", optimizers=[torch_muon, "sgd"])
    assert {entry.optimizer for entry in done.verdict.entries} == {"torch_muon", "sgd"}
    with pytest.raises(FormulaError, match=r"torch_muon cannot be made for this model: .*2D"):
        study(PROBLEM, tmp_path / "no.db", optimizers=[torch_muon])


def plain(problem: tw.Problem, make: Any, lr: float, seed: int, epochs: int) -> float:
    """The validation loss of the same run in a plain loop at a constant rate."""
    ready = tw.prepare(problem)
    torch.manual_seed(seed)
    model = ready.model()
    optimizer = make(list(model.parameters()), lr)
    inputs, targets = ready.train
    for epoch in range(epochs):
        order = torch.randperm(len(inputs), generator=torch.Generator().manual_seed(1_000_003 * seed + epoch))
        for rows in order.split(64):
            optimizer.zero_grad()
            nn.functional.mse_loss(model(inputs[rows]), targets[rows]).backward()
            optimizer.step()
    with torch.no_grad():
        return float(nn.functional.mse_loss(model(ready.validation[0]), ready.validation[1]))


@pytest.mark.slow
def test_own_classes_and_functions_train_as_in_a_plain_loop(tmp_path: Path) -> None:
    pair = tw.Problem(
        model=lambda: nn.Sequential(line(), nn.Linear(1, 1).double()), train=(X, Y), loss="mse", name="pair"
    )
    done = study(pair, tmp_path / "own.db", optimizers=[SignDescent, two_rates, "adam"], schedules=["constant"])
    table = done.table()
    for label, make in (("signdescent", SignDescent), ("two_rates", two_rates)):
        rows = table[(table["optimizer"] == label) & (table["stage"] == "search")]
        assert len(rows) == 2
        for _, row in rows.iterrows():
            expected = plain(pair, make, row["lr"], int(row["seed"]), 3)
            assert row["validation_loss"] == pytest.approx(expected, rel=1e-9)
    with pytest.raises(PlanError, match="two_rates was given as an object that a script cannot find again"):
        done.recipe("two_rates")


def test_whole_numbers_stay_whole_and_are_tuned(tmp_path: Path) -> None:
    done = study(LINE, tmp_path / "whole.db", optimizers=[SignDescent], hyperparameters={"power": [1, 3]})
    assert sorted(done.table()["power"].dropna().unique()) == [1.0, 3.0]


@pytest.mark.slow
@pytest.mark.parametrize("own", ["lbfgs(max_iter=2)", "adafactor"])
def test_a_run_that_was_stopped_goes_on_bit_for_bit(own: str, tmp_path: Path) -> None:
    asked = {"optimizers": [own], "rates": [1e-2], "schedules": ["cosine"], "epochs": 4, "seeds": 1, "confirmation": 1}
    whole = tw.compare(PROBLEM, store=tmp_path / "whole.db", progress=False, **asked)
    stopped = stopped_at(5, PROBLEM, tmp_path / "cut.db", **asked)
    again = tw.resume(stopped.path, problem=PROBLEM, progress=False)
    for a, b in zip(whole.curves()["value"], again.curves()["value"], strict=True):
        assert a == b or (np.isnan(a) and np.isnan(b))


@pytest.mark.slow
@pytest.mark.parametrize("order", [(two_rates, "adam"), ("adam", two_rates)])
def test_what_a_step_costs_is_known_whatever_comes_first(order: tuple[Any, Any], tmp_path: Path) -> None:
    """A step costs its share of the program, an optimizer of its own the rest of its steps' time."""
    asked = {"optimizers": list(order), "rates": [1e-2], "epochs": 2, "seeds": 1, "confirmation": 1}
    done = tw.compare(PROBLEM, store=tmp_path / "costs.db", progress=False, **asked)
    costs = done._meta("costs")
    (program,) = costs["programs"]
    seconds = {entry.optimizer: entry.seconds_per_step for entry in done.verdict.entries}
    assert program["seconds"] > 0
    for name in ("two_rates", "adam"):
        assert seconds[name] == pytest.approx(program["seconds"] + costs["update_seconds"][name])
    foreseen = forecast(PROBLEM, optimizers=list(order), rates=[1e-2], epochs=2, seeds=1, confirmation=1)
    assert sorted(str(one.own) for one in foreseen.programs) == ["None", "two_rates"]
    assert "batch size 64, optimizer two_rates: compiled;" in str(foreseen)


def block(problem: tw.Problem, own: Any, lr: float) -> Block:
    ready = tw.prepare(problem)
    batches = TensorBatches(*ready.train, 16)
    task = Task(ready.model, Batched(ready.model(), ready.loss, {}), batches, ready.validation)
    rule = formulas.of(own) if isinstance(own, type) else formulas.get(own)
    return Block(task, [Member(rule, {"lr": lr}, {}, 3), Member(rule, {"lr": lr / 2}, {}, 3)], 2)


@pytest.mark.parametrize("own", ["lbfgs(max_iter=2)", "adafactor"])
def test_a_checkpoint_has_all_that_an_optimizer_remembers(own: str) -> None:
    whole, first = block(LINE, own, 0.1), block(LINE, own, 0.1)
    for _ in whole.train():
        pass
    for _ in itertools.islice(first.train(), 3):
        pass
    again = block(LINE, own, 0.1)
    again.load(load(save({name: t.contiguous() for name, t in first.tensors().items()})))
    assert again.step == 3
    for _ in again.train():
        pass
    for a, b in zip(whole.weights, again.weights, strict=True):
        assert torch.equal(a, b)


def test_a_loss_that_is_not_finite_moves_nothing() -> None:
    lost = block(LINE, SignDescent, 1e200)
    for _ in lost.train():
        pass
    assert (lost.broken >= 0).all()
    assert all(bool(torch.isfinite(w).all()) for w in lost.weights)


def test_one_that_diverges_harms_no_other(tmp_path: Path) -> None:
    wild = study(LINE, tmp_path / "wild.db", optimizers=[SignDescent], rates=[1e-2, 1e200])
    calm = study(LINE, tmp_path / "calm.db", optimizers=[SignDescent], rates=[1e-2])
    a, b = (s.table().query("lr == 0.01 and stage == 'search'")["validation_loss"].tolist() for s in (wild, calm))
    assert a == b
    assert (wild.table().query("lr == 1e200")["status"] == "diverged").all()


def test_an_optimizer_in_a_file_has_a_recipe(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("import torch\n\n\ndef halved(params, lr):\n    return torch.optim.ASGD(params, lr=lr / 2)\n")
    done = study(PROBLEM, tmp_path / "file.db", optimizers=[f"{file}:halved"], schedules=["constant"])
    assert "runpy.run_path(" in done.recipe().optimizer
    assert done.recipe_run is not None
    assert done.recipe_run.largest < 1e-9
    file.write_text("halved = 3\n")
    with pytest.raises(PlanError, match="is of type int, not an optimizer; name a formula"):
        study(PROBLEM, tmp_path / "no.db", optimizers=[f"{file}:halved"])


@pytest.mark.slow
def test_the_text_of_a_rule_is_compared_and_read_again(tmp_path: Path) -> None:
    """As its formula, and from the store alone."""
    text = "def heavy(g, a, *, lr=0.01, beta=0.8):\n    a = beta * a + g\n    return Update(-lr * a, a=a)\n"

    @tw.formula
    def heavy(g, a, *, lr=0.01, beta=0.8):  # type: ignore[no-untyped-def]
        a = beta * a + g
        return tw.Update(-lr * a, a=a)

    store = tmp_path / "typed.db"
    typed, same = study(LINE, store, optimizers=[text]), study(LINE, tmp_path / "same.db", optimizers=[heavy])
    column = "validation_loss"
    np.testing.assert_array_equal(typed.table()[column], same.table()[column])
    again, before = tw.Study.open(store), len(typed.table())
    again.extend(seeds=1, problem=LINE, progress=False)
    assert len(again.table()) > before
    assert "class Heavy(torch.optim.Optimizer)" in again.recipe().code
    with pytest.raises(FormulaError, match="adam is a rule of the catalogue; give yours another name"):
        study(LINE, tmp_path / "no.db", optimizers=[text.replace("heavy", "adam")])
    with pytest.raises(PlanError, match="listed twice"):
        study(LINE, tmp_path / "no.db", optimizers=[text, text.replace("0.8", "0.9")])
