"""Studies with parameter groups: recipes, optimizers of one's own, frozen layers, what is tuned, folds, stores."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import Optimizer
from typer.testing import CliRunner

import thalweg as tw
from tests.cases import mostly_slow
from tests.studies import stopped_at, with_plan_changed
from thalweg.cli.main import app
from thalweg.errors import PlanError, StoreError

_draw = torch.Generator().manual_seed(0)
X = torch.randn(150, 6, generator=_draw, dtype=torch.float64)
Y = (X[:, :2] * X[:, 2:4]).sum(1, keepdim=True)
BOTH = "no decay on biases and norms; 4.*: rate_factor=3"


def network() -> nn.Module:
    return nn.Sequential(
        nn.Linear(6, 8, bias=False),
        nn.BatchNorm1d(8),
        nn.Tanh(),
        nn.Linear(8, 4).requires_grad_(False),
        nn.Linear(4, 1),
    ).double()


PROBLEM = tw.Problem(model=network, train=(X, Y), loss="mse", name="grouped")


def study(store: Path, **asked: Any) -> tw.Study:
    few = {"rates": [1e-2, 1e-1], "schedules": ["cosine"], "epochs": 2, "seeds": 1, "confirmation": 1}
    return tw.compare(PROBLEM, store=store, progress=False, grow=0, refine=0, **(few | asked))


def recipes_agree(done: tw.Study) -> None:
    run = done.recipe_run
    assert run is not None
    assert not run.reason
    assert run.largest < 1e-9, run


def powers(params: Any, lr: float) -> Optimizer:
    return torch.optim.Adafactor(params, lr=lr, weight_decay=0.1)


@pytest.mark.parametrize("way", mostly_slow(["compiled", "stacked", False], "compiled"))
def test_the_recipe_is_torch_with_its_groups(way: Any, tmp_path: Path) -> None:
    """A tuned decay where no group fixes it, a frozen layer, decoupled decay, clipping and a penalty."""
    done = study(
        tmp_path / "a.db",
        optimizers=["adamw"],
        hyperparameters={"weight_decay": [0.3]},
        regularizers=["decoupled_decay(0.1) + clip_norm(0.5) + l2(0.01)"],
        schedules=["one_cycle"],
        confirmation=0,  # the optimizer's defaults have another schedule
        groups=f"{BOTH}, beta1=0.5; 4.weight: weight_decay_factor=2; 0.weight: frozen",
        batched=way,
    )
    recipes_agree(done)
    recipe = done.recipe()
    model = network()
    optimizer, _ = recipe.build(model, 10)
    assert recipe.optimizer.startswith("torch.optim.AdamW(groups, lr=")
    assert not model[0].weight.requires_grad
    lr = done.verdict.best.lr
    numbers = [(g["max_lr"], g["weight_decay"], g["betas"][0]) for g in optimizer.param_groups]
    assert [len(group["params"]) for group in optimizer.param_groups] == [2, 1, 1]
    assert [decay for _, decay, _ in numbers] == [0.0, 0.6, 0.0]
    assert [rate / lr for rate, _, _ in numbers] == pytest.approx([1, 3, 3])
    assert done.verdict.notes[0].startswith(f"Parameter groups ({BOTH}, beta1=0.5; 4.weight: weight_decay_factor=2;")


def frozen_stay(model: nn.Module, start: nn.Module, names: set[str]) -> None:
    before = dict(start.named_parameters())
    same = {name for name, p in model.named_parameters() if torch.equal(p, before[name])}
    assert same == names


def test_frozen_parameters_stay_as_they_were(tmp_path: Path) -> None:
    """Those that the model freezes, and those of groups, whatever decays the others."""
    done = study(
        tmp_path / "a.db",
        optimizers=["adamw"],
        groups={"0.*": {"frozen": True}},
        epochs=1,
        regularizers=["decoupled_decay(0.5)"],
    )
    recipes_agree(done)
    scope: dict[str, Any] = {"YOUR_PROBLEM": PROBLEM}
    exec(done.recipe().code, scope)
    torch.manual_seed(0)
    frozen_stay(scope["model"], network(), {"0.weight", "3.weight", "3.bias"})


@pytest.mark.parametrize("optimizer", [torch.optim.Adafactor, powers], ids=["class", "function"])
def test_optimizers_of_ones_own_are_given_torchs_groups(optimizer: Any, tmp_path: Path) -> None:
    """A schedule moves each group's rate."""
    done = study(
        tmp_path / "a.db", optimizers=[optimizer], schedules=["cosine"], groups="4.*: weight_decay=0.5, rate_factor=3"
    )
    ready = tw.prepare(PROBLEM)
    for _, row in done.table().query("stage == 'search'").iterrows():
        torch.manual_seed(int(row["seed"]))
        model = network()
        others = [p for name, p in model.named_parameters() if p.requires_grad and not name.startswith("4.")]
        decay = {"weight_decay": 0.1} if optimizer is powers else {}
        params = [{"params": others}, {"params": model[4].parameters(), "weight_decay": 0.5, "lr": 3 * row["lr"]}]
        made = torch.optim.Adafactor(params, lr=row["lr"], **decay)
        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(made, 4)
        inputs, targets = ready.train
        for epoch in range(2):
            order = torch.randperm(len(inputs), generator=torch.Generator().manual_seed(epoch))
            for rows in order.split(64):
                made.zero_grad()
                nn.functional.mse_loss(model(inputs[rows]), targets[rows]).backward()
                made.step()
                scheduler.step()
        with torch.no_grad():
            expected = float(nn.functional.mse_loss(model.eval()(ready.validation[0]), ready.validation[1]))
        assert row["validation_loss"] == pytest.approx(expected, rel=1e-9)
    if optimizer is torch.optim.Adafactor:
        recipes_agree(done)


def test_a_schedule_of_the_decay_moves_that_of_each_group(tmp_path: Path) -> None:
    done = study(
        tmp_path / "a.db",
        optimizers=["adafactor", "adamw"],
        schedules=["lr: cosine; weight_decay: linear(end=0.2)"],
        hyperparameters={"weight_decay": [0.9]},
        groups="4.*: weight_decay=0.05; 1.*: weight_decay_factor=0.5",
        epochs=3,
        confirmation=0,
    )
    recipes_agree(done)
    for optimizer in ("adafactor", "adamw"):
        scope: dict[str, Any] = {"YOUR_PROBLEM": PROBLEM}
        exec(done.recipe(optimizer).code, scope)
        rate = next(entry.lr for entry in done.verdict.entries if entry.optimizer == optimizer)
        rows = done.table().set_index(["stage", "optimizer", "lr"])["validation_loss"]
        assert scope["losses"][-1] == pytest.approx(rows["search", optimizer, rate].item(), rel=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("asked", [{"folds": 3}, {"budget": "halving", "rates": [1e-3, 1e-2, 1e-1], "epochs": 8}])
def test_folds_and_halving_have_the_groups(asked: dict[str, Any], tmp_path: Path) -> None:
    done = study(
        tmp_path / "a.db", optimizers=["nadam"], groups="0.*: frozen; 4.*: beta1=0.5, rate_factor=0.1", **asked
    )
    recipes_agree(done)
    again = tw.rerun(tmp_path / "a.db", problem=PROBLEM, progress=False)
    assert again.same_curves
    assert again.study.plan.groups == done.plan.groups


@pytest.mark.slow
@pytest.mark.parametrize("own", mostly_slow(["nadam", "adafactor"], "nadam"))
def test_a_study_that_was_stopped_goes_on_bit_for_bit(own: str, tmp_path: Path) -> None:
    """The store holds the names, so that the function is not asked again."""

    def split(model: Any) -> list[dict[str, Any]]:
        return [{"params": [*model[:4].parameters()]}, {"params": model[4].parameters(), "rate_factor": 3}]

    asked = {"optimizers": [own], "rates": [1e-2], "schedules": ["cosine"], "epochs": 4, "seeds": 1, "confirmation": 1}
    whole = tw.compare(PROBLEM, store=tmp_path / "whole.db", progress=False, groups=split, **asked)
    stopped = stopped_at(5, PROBLEM, tmp_path / "cut.db", groups=split, **asked)
    again = tw.resume(stopped.path, problem=PROBLEM, progress=False)
    assert again.curves()["value"].equals(whole.curves()["value"])
    groups = again.plan.groups
    assert groups is not None
    assert groups.label.endswith("split")
    assert groups.groups[0].names == ("4.weight", "4.bias")
    with pytest.raises(StoreError, match="already holds another study \\(with other groups\\)"):
        tw.compare(PROBLEM, store=stopped.path, progress=False, **asked)


def test_stores_without_groups_and_with_damaged_ones(tmp_path: Path) -> None:
    done = study(tmp_path / "a.db", optimizers=["sgd"], groups="4.bias: rate_factor=3")
    older = with_plan_changed(done.path, tmp_path / "older.db", lambda plan: plan.pop("groups"))
    assert older.plan.groups is None

    def renamed(plan: dict[str, Any]) -> None:
        plan["groups"] = copy.deepcopy(plan["groups"])
        plan["groups"]["groups"][0]["names"] = ["5.bias"]

    other = with_plan_changed(done.path, tmp_path / "other.db", renamed)
    with pytest.raises(PlanError, match=r"the parameter groups name 5\.bias, which is not a parameter of this model"):
        other.extend(seeds=1, problem=PROBLEM, progress=False)
    for wrong in ({"label": 3}, {"groups": [{"names": ["4.bias"], "values": {"lr": "no"}, "factors": {}}]}):
        path = tmp_path / f"{len(str(wrong))}.db"
        with pytest.raises(StoreError):
            print(with_plan_changed(done.path, path, lambda plan, new=wrong: plan["groups"].update(new)).plan)


@pytest.mark.slow
def test_on_the_command_line(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("def split(model):\n    return [{'params': model.parameters(), 'weight_decay': 0.5}]\n")
    few = ["compare", "breast-cancer", "--optimizers", "adamw", "--rates", "0.01", "--epochs", "1", "--quiet"]
    few += ["--seeds", "1", "--confirmation", "1"]
    for given, label in ((BOTH.replace("4.", "2."), BOTH.replace("4.", "2.")), (f"{file}:split", f"{file}:split")):
        store = tmp_path / f"{len(given)}.db"
        ran = CliRunner(env={"COLUMNS": "80"}).invoke(app, [*few, "--store", str(store), "--groups", given])
        assert ran.exit_code == 0, ran.output
        assert "Parameter groups" in " ".join(ran.output.split())
        stored = tw.Study.open(store).plan.groups
        assert stored is not None
        assert stored.label == label
    wrong = CliRunner().invoke(app, [*few, "--groups", "head.*: rate_factor=3"])
    assert wrong.exit_code == 2
    assert "groups: 'head.*' is not a parameter of this model" in " ".join(wrong.output.split())
