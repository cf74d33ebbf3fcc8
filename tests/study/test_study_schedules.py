"""Schedules in a study: given by name, object or mapping; stored, found again, resumed; and in the recipe."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import thalweg as tw
from thalweg import schedules as S
from thalweg.errors import PlanError
from thalweg.plan.plan import Setting, plan
from thalweg.recipe import recipe as recipes
from thalweg.store.file import Store
from thalweg.study.study import Study, compare, resume

PROBLEM = """
import torch, thalweg as tw
from torch import nn

def make():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(120, 4, generator=generator, dtype=torch.float64)
    return tw.Problem(lambda: nn.Linear(4, 3, dtype=torch.float64), (x, x[:, :3].argmax(1)))
"""
GIVEN: list[Any] = [
    "constant",
    "warmup(cosine, steps=2)",
    S.Step(size=3, gamma=0.5),
    "one_cycle",
    {"lr": "cosine", "momentum": S.Ramp(0.5, 0.95), "beta1": "ramp(end=0.9)"},
    "plateau(patience=0, threshold=0.5)",
    "lr: plateau(patience=0, threshold=0.5); weight_decay: linear",
]


def halve(step: int) -> float:
    return 0.5 ** (step // 3)


@pytest.fixture(scope="module")
def problem(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("schedules") / "small.py"
    path.write_text(PROBLEM)
    return f"{path}:make"


ARGUMENTS: dict[str, Any] = {
    "optimizers": ["momentum", "adam"],
    "rates": [0.05],
    "seeds": 1,
    "epochs": 4,
    "batch_size": 16,
    "confirmation": 0,
    "progress": False,
}


@pytest.fixture(scope="module")
def study(problem: str, tmp_path_factory: pytest.TempPathFactory) -> Study:
    store = tmp_path_factory.mktemp("store") / "s.db"
    return compare(problem, schedules=GIVEN, store=store, **ARGUMENTS)


def test_labels_are_stored_and_found_again(study: Study) -> None:
    labels = [S.get(one).label for one in GIVEN]
    again = Study.open(study.path)
    assert list(again.plan.schedules) == labels
    assert [again.plan["schedule"].objects[label] for label in labels] == [S.get(one) for one in GIVEN]
    assert set(again.table()["schedule"]) == set(labels)
    assert len(again.verdict.entries) == 2


@pytest.mark.parametrize("given", GIVEN, ids=lambda one: S.get(one).label)
@pytest.mark.parametrize("optimizer", ["momentum", "adam"])
def test_the_recipe_repeats_the_member(given: Any, optimizer: str, study: Study) -> None:
    """The printed script, run, passes through the losses that the member had in the population."""
    label = S.get(given).label
    setting = Setting(optimizer, 0.05, label)
    text = recipes.recipe(study.plan, study.problem, setting).code
    said = io.StringIO()
    shown = text.replace(":.6f}", ":.15g}")
    with contextlib.redirect_stdout(said):
        exec(compile(shown, "recipe", "exec"), {"__name__": "recipe"})
    losses = [float(line.split()[-1]) for line in said.getvalue().splitlines()]
    table = study.table()
    member = table.loc[(table["optimizer"] == optimizer) & (table["schedule"] == label), "member"].item()
    curve = study.curves().query(f"member == {member} and metric == 'validation_loss'").sort_values("step")["value"]
    np.testing.assert_allclose(losses, curve, rtol=1e-9)


def test_recipe_builds_any_schedule(study: Study) -> None:
    for given in GIVEN:
        made = recipes.recipe(study.plan, study.problem, Setting("momentum", 0.05, S.get(given).label))
        _, scheduler = made.build(nn.Linear(2, 2), total_steps=20)
        assert isinstance(scheduler, torch.optim.lr_scheduler.LRScheduler)


def test_a_function_of_your_own_has_to_be_given_again(problem: str, tmp_path: Path) -> None:
    own = S.Warmup(S.Lambda(halve), steps=2)
    store = tmp_path / "own.db"
    study = compare(problem, schedules=[own], store=store, **{**ARGUMENTS, "optimizers": ["sgd"]})
    (label,) = study.plan.schedules
    assert label == "warmup(lambda(halve), steps=2)"
    again = Study.open(store)
    assert len(again.table()) == 1
    assert again.verdict.best.schedule == label
    with pytest.raises(
        PlanError, match=r"compares warmup\(lambda\(halve\), steps=2\), a schedule of your own: pass it again"
    ) as e:
        again.plan["schedule"].objects[label]
    assert "\n" not in str(e.value)
    assert Study.open(store, schedules=[own]).plan["schedule"].objects[label] is own
    with Store.open(study.path, write=True) as opened:
        opened.set_meta("costs", None)
    with pytest.raises(PlanError, match="pass it again"):
        resume(store, progress=False)
    assert resume(store, schedules=[own], progress=False).finished


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (["warmup(cosin)"], "did you mean cosine"),
        (["ramp"], "gives values, not factors"),
        (["momentum: ramp"], "'momentum' is not a hyperparameter of these optimizers"),
        ([{"lr": "cosine", "weight_decai": "linear"}], "did you mean weight_decay"),
        (["cosine", S.Cosine()], "schedule cosine is listed twice"),
        ([S.Lambda(halve), S.Lambda(halve)], "listed twice"),
    ],
)
def test_refused(wrong: list[Any], words: str) -> None:
    with pytest.raises(PlanError, match=words) as caught:
        plan(["sgd", "adam"], schedule_names=wrong)
    assert "\n" not in str(caught.value)


def test_one_schedule_need_not_be_a_list() -> None:
    assert plan(["sgd"], schedule_names=S.Cosine()).schedules == ("cosine",)  # type: ignore[arg-type]
    assert plan(["momentum"], schedule_names={"momentum": "ramp"}).schedules == ("momentum: ramp",)  # type: ignore[arg-type]


def test_a_store_with_a_schedule_that_cannot_be_is_refused_when_it_is_needed(study: Study, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    copy.write_bytes(study.path.read_bytes())
    damaged = Study(copy)
    with Store.open(damaged.path, write=True) as opened:
        opened.set_meta("plan", {**opened.meta("plan"), "schedules": ["step(size=-1)"]})
    with pytest.raises(PlanError, match=r"this study compares step\(size=-1\)"):
        damaged.plan["schedule"].objects["step(size=-1)"]


def test_a_rule_moves_only_what_it_has() -> None:
    both = {"lr": "cosine", "momentum": "ramp", "beta1": "ramp(end=0.9)"}
    made = plan(["sgd", "momentum", "adam"], rates=[0.1], schedule_names=[both])
    moved = {s.optimizer: list(made.member(s, 0).schedules) for s in made.settings}
    assert moved == {"sgd": ["lr"], "momentum": ["lr", "momentum"], "adam": ["lr", "beta1"]}
    assert tw.schedules.get(made.schedules[0]) == S.Several(both)
