"""Everything a study can vary: how levels multiply, collapse where they do not apply, and are found again."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import thalweg as tw
from thalweg.errors import PlanError, ProblemError, StoreError, UsageError
from thalweg.plan import plan as plans
from thalweg.plan.factors import shown
from thalweg.plan.plan import Plan, Setting, grid, plan
from thalweg.results import Results
from thalweg.store.file import Store
from thalweg.study.study import Study, compare

BOTH = {"optimizers": ["sgd", "adam"], "rates": [0.1], "schedule_names": ["constant"], "seeds": 3}
INPUTS = torch.randn(40, 4, generator=torch.Generator().manual_seed(0))
CLASSES = (INPUTS.sum(1) > 0).long()


def everything(**changes: Any) -> Plan:
    asked: dict[str, Any] = {
        **BOTH,
        "losses": ["cross_entropy", "mse"],
        "batch_sizes": [1, 16, "full"],
        "hyperparameters": {"beta2": [0.99, 0.999], "weight_decay": [0, 1e-4]},
    }
    return plan(**{**asked, **changes})


def own_loss(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return (outputs.softmax(-1) - nn.functional.one_hot(targets, outputs.shape[-1])).square().sum(-1)


# The product


def test_a_text_of_names_is_split_as_the_command_line_splits_it() -> None:
    made = plan(
        "sgd, adam(beta1=0.8, beta2=0.99)",
        [0.1],
        "constant,warmup(cosine, steps=10)",
        losses="cross_entropy,mse",
        regularizers="none,mixup(0.2) + l2(1e-4)",
    )
    assert made.optimizers == ("sgd", "adam(beta1=0.8, beta2=0.99)")
    assert made["schedule"].levels == ("constant", "warmup(cosine, steps=10)")
    assert made["loss"].levels == ("cross_entropy", "mse")
    assert len(made["regularizer"].levels) == 2
    assert plan("def mine(g, *, lr=0.01): return Update(-lr * g)").optimizers == ("mine",)
    with pytest.raises(UsageError, match=r"line 2: before its return a rule has only lines"):
        plan("def mine(g, *, lr=0.01):\n    a, b = g, g\n    return Update(-lr * a)")
    with pytest.raises(UsageError, match=r"'sgd,' has an empty part; give some, separated by commas, e.g. sgd,adam"):
        plan("sgd,")


def test_everything_multiplies_where_it_applies() -> None:
    made = everything()
    own = {label: [s for s in made.settings if s.optimizer == label] for label in made.optimizers}
    assert {label: len(settings) for label, settings in own.items()} == {"sgd": 2 * 3 * 2, "adam": 2 * 3 * 2 * 2}
    assert made.runs == len(made.settings) * 3 == 108
    assert len(set(made.settings)) == len(made.settings)
    assert {s["beta2"] for s in own["sgd"]} == {None}
    assert {s["beta2"] for s in own["adam"]} == {0.99, 0.999}
    assert {s["batch_size"] for s in made.settings} == {1, 16, "full"}
    assert [f.name for f in made.further] == ["loss", "batch_size", "beta2", "weight_decay"]
    assert [f.name for f in made.ranked] == ["optimizer", "loss", "batch_size", "beta2", "weight_decay"]
    assert grid(made) == (
        "2 optimizers × 1 rate × 1 schedule × 2 losses × 3 batch sizes × 2 values of beta2 (where it applies)"
        " × 2 values of weight_decay × 3 seeds"
    )


def test_a_level_that_is_alone_is_no_column_and_still_acts() -> None:
    made = plan(**BOTH, losses=["huber"], batch_sizes=[8], hyperparameters={"weight_decay": [0.1]})
    assert made.further == ()
    setting = made.settings[0]
    assert setting == Setting("sgd", 0.1, "constant")
    levels = {name: made.level(setting, name) for name in ("loss", "batch_size", "weight_decay")}
    assert levels == {"loss": "huber", "batch_size": 8, "weight_decay": 0.1}
    assert made.formula(setting).hyperparameters["weight_decay"] == 0.1


def test_hyperparameters_reach_the_member_and_leave_the_rate_alone() -> None:
    made = everything()
    for setting in made.settings:
        rule = made.member(setting, 1).formula
        assert rule.hyperparameters["weight_decay"] == setting["weight_decay"]
        assert rule.hyperparameters.get("beta2") == setting["beta2"]
        assert rule.equations == made.formulas[setting.optimizer].equations
        assert made.member(setting, 1).hyperparameters == {"lr": 0.1}


def test_a_hyperparameter_that_is_absent_until_given_brings_its_state() -> None:
    made = plan(["rmsprop", "momentum"], [0.1], ["constant"], hyperparameters={"momentum": [0.5, 0.9]})
    setting = next(s for s in made.settings if s.optimizer == "rmsprop")
    assert made.formula(setting).hyperparameters["momentum"] == 0.5
    assert made.states_of(setting) == len(made.formula(setting).states) == 2
    assert made.states["rmsprop"] == 1
    assert Plan.from_json(json.loads(json.dumps(made.to_json()))).states_of(setting) == 2


def test_options_are_hyperparameters_too() -> None:
    made = plan(["adam"], [0.1], ["constant"], hyperparameters={"amsgrad": [False, True]})
    without, having = (made.formula(s) for s in made.settings)
    assert len(having.states) == len(without.states) + 1


# What is refused, each in a sentence


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"batch_sizes": []}, "batch_sizes is empty"),
    ({"batch_sizes": 16}, "batch_sizes must be a list, not 16"),
    ({"batch_sizes": [0]}, "batch_size is 0; give a whole number of at least 1"),
    ({"batch_sizes": [1.5]}, "batch_size is 1.5; give a whole number of at least 1"),
    ({"batch_sizes": ["all"]}, "batch size 'all' is not allowed: give a number of samples, or 'full'"),
    ({"batch_sizes": [16, 16]}, "batch size 16 is listed twice"),
    ({"batch_sizes": ["full", "full"]}, "batch size full is listed twice"),
    ({"batch_sizes": [16], "batch_size": 32}, "both batch_size=32 and batch_sizes are given"),
    ({"losses": ["hubr"]}, "'hubr' is not a loss: did you mean huber"),
    ({"losses": [None]}, "the loss is of type NoneType"),
    ({"losses": []}, "losses is empty"),
    ({"losses": ["mse", "mse"]}, "loss mse is listed twice"),
    ({"hyperparameters": ["beta2"]}, "hyperparameters must map names to values"),
    (
        {"optimizers": ["sgd"], "hyperparameters": {"momentum": [0.5, 0.9]}},
        "known: weight_decay. A rule that grew from sgd has it: momentum or nesterov.",
    ),
    ({"hyperparameters": {"bta2": [0.9]}}, "'bta2' is not a hyperparameter of these optimizers: did you mean beta2"),
    ({"hyperparameters": {"lr": [0.1]}}, "hyperparameters names lr; give its values as rates"),
    ({"hyperparameters": {"seed": [1]}}, "'seed' is a column of the study's table"),
    ({"hyperparameters": {"beta2": []}}, r"hyperparameters\['beta2'\] is empty"),
    ({"hyperparameters": {"beta2": 0.9}}, r"hyperparameters\['beta2'\] must be a list, not 0.9"),
    ({"hyperparameters": {"beta2": [0.9, 0.9]}}, "beta2 0.9 is listed twice"),
    ({"hyperparameters": {"beta2": ["high"]}}, "formula adam: hyperparameter beta2 must be a number, not 'high'"),
    ({"hyperparameters": {"beta2": [math.nan]}}, "formula adam: hyperparameter beta2 must be finite"),
    ({"hyperparameters": {"beta2": [None]}}, "None is not a value of a hyperparameter"),
    ({"hyperparameters": {"beta2": [2]}}, r"beta2 of adam is 2\.0; give a number of at least 0 and below 1"),
    (
        {"schedule_names": ["lr: cosine; beta2: ramp(start=0.9, end=1, steps=2 epochs)"]},
        r"ramp\(.*\): beta2 of adam is 1\.0; give a number of at least 0 and below 1",
    ),
    ({"hyperparameters": {"amsgrad": [0.5]}}, "option amsgrad must be True or False"),
    (
        {"optimizers": ["sgd", "adam(beta2=0.9)"], "hyperparameters": {"beta2": [0.9]}},
        r"adam\(beta2=0\.9\) sets beta2, and hyperparameters varies it; name it adam",
    ),
    (
        {"hyperparameters": {"eps": [10.0**-k for k in range(20)]}, "batch_sizes": [*range(1, 401)], "seeds": 200},
        r"the plan has 1,680,000 runs \(2 optimizers × .* 200 seeds\), and at most 1,000,000 are allowed",
    ),
]


@pytest.mark.parametrize(("wrong", "words"), REFUSED, ids=[words[:40] for _, words in REFUSED])
def test_refused(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        plan(**{**BOTH, **wrong})
    assert "\n" not in str(caught.value)


def test_the_size_is_known_before_the_plan_is_written_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plans, "MOST_RUNS", 10)
    with pytest.raises(PlanError, match="the plan has 12 runs"):
        plan(["sgd"], [0.1], ["constant"], seeds=3, batch_sizes=[1, 2, 3, 4])
    assert plan(["sgd"], [0.1], ["constant"], seeds=5, batch_sizes=[1, 2]).runs == 10


def problem(**changes: Any) -> tw.Problem:
    return tw.Problem(**{"model": lambda: nn.Linear(4, 2), "train": (INPUTS, CLASSES), **changes})


SMALL: dict[str, Any] = {
    "optimizers": ["sgd"],
    "rates": [0.1],
    "schedules": ["constant"],
    "seeds": 1,
    "epochs": 2,
    "confirmation": 0,
    "progress": False,
}


@pytest.mark.parametrize(
    ("wrong", "error", "words"),
    [
        ({"losses": ["mse"]}, ProblemError, "mse"),
        ({"batch_sizes": [8, 40]}, PlanError, "batch size 40 is all 25 training samples or more; give 'full'"),
        ({"batch_sizes": [8, 25]}, PlanError, "batch size 25 is all 25 training samples or more"),
    ],
)
def test_what_does_not_fit_the_problem_is_refused_and_leaves_nothing(
    wrong: dict[str, Any], error: type[Exception], words: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=words):
        compare(problem(), **{**SMALL, **wrong}, store=tmp_path / "a.db")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_data_loader_has_its_own_batches(tmp_path: Path) -> None:
    loader = DataLoader(TensorDataset(INPUTS, CLASSES), batch_size=8)
    loaded = problem(train=loader, validation=(INPUTS, CLASSES))
    with pytest.raises(PlanError, match="are a DataLoader, which makes its own batches, so batch_sizes cannot"):
        compare(loaded, **SMALL, batch_sizes=[8, 16], store=tmp_path / "a.db")
    study = compare(
        loaded,
        **SMALL,
        losses=["cross_entropy", own_loss],
        hyperparameters={"weight_decay": [0, 0.1]},
        store=tmp_path / "b.db",
    )
    assert len(study.table()) == 4


# From a store


def test_round_trip() -> None:
    made = everything()
    again = Plan.from_json(json.loads(json.dumps(made.to_json())))
    assert again == made
    assert again.settings == made.settings
    assert again.runs == made.runs
    assert [again.member(s, 1) for s in again.settings] == [made.member(s, 1) for s in made.settings]
    assert [again["loss"].objects[label] for label in again["loss"].levels] == [
        made["loss"].objects[label] for label in made["loss"].levels
    ]


def test_a_loss_of_ones_own_is_found_by_its_file_or_passed_again(tmp_path: Path) -> None:
    file = tmp_path / "own.py"
    file.write_text("def halved(outputs, targets):\n    return (outputs - targets).abs().mean() / 2\n")
    made = plan(**BOTH, losses=["mse", f"{file}:halved"])
    assert made["loss"].levels == ("mse", "halved")
    kept = json.loads(json.dumps(made.to_json()))
    value = Plan.from_json(kept)["loss"].objects["halved"](torch.ones(4), torch.zeros(4))
    assert value == 0.5
    file.unlink()
    with pytest.raises(PlanError, match=r"compares halved, and it cannot be found again: .* there is no file"):
        Plan.from_json(kept)["loss"].objects["halved"]
    passed = Plan.from_json(json.loads(json.dumps(plan(**BOTH, losses=[own_loss]).to_json())))
    with pytest.raises(PlanError, match=r"own_loss, a loss of your own: pass it again from Python, losses=\["):
        passed["loss"].objects["own_loss"]


@pytest.mark.parametrize(
    "damage",
    [
        {"batch_sizes": ["x"]},
        {"batch_sizes": None},
        {"losses": 3},
        {"hyperparameters": 3},
        {"applies": {}},
        {"hyperparameters": {"beta2": [[1]]}},
        {"specs": 3},
    ],
    ids=str,
)
def test_a_damaged_plan_is_refused(damage: dict[str, Any], tmp_path: Path) -> None:
    kept = json.loads(json.dumps(everything().to_json()))
    meta = {"plan": kept | damage, "problem": {"name": "hills"}, "provenance": {}}
    Store.create(tmp_path / "a.db", meta).close()
    with pytest.raises(StoreError, match=r"cannot be read.*damaged"):
        _ = Results(tmp_path / "a.db").plan


# In a study


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """sgd and adam; two losses, two batch sizes, beta2 where there is one."""
    return compare(
        "breast-cancer",
        ["sgd", "adam"],
        [0.01, 0.1],
        ["constant"],
        seeds=2,
        epochs=2,
        confirmation=3,
        losses=["cross_entropy", own_loss],
        batch_sizes=[64, "full"],
        hyperparameters={"beta2": [0.9, 0.999]},
        store=tmp_path_factory.mktemp("mixed") / "mixed.db",
        progress=False,
    )


@pytest.mark.slow
def test_each_factor_is_a_column_with_plain_values(mixed: Study) -> None:
    table = mixed.table()
    assert list(table.columns)[:8] == ["member", "stage", "optimizer", "lr", "schedule", "loss", "batch_size", "beta2"]
    search = table[table["stage"] == "search"]
    assert len(search) == mixed.plan.runs == 2 * (2 * 2 * 2 + 2 * 2 * 2 * 2)
    assert set(search["loss"]) == {"cross_entropy", "own_loss"}
    assert set(search["batch_size"]) == {64, "full"}
    assert search["beta2"].dtype == np.float64
    assert search.loc[search["optimizer"] == "sgd", "beta2"].isna().all()
    assert set(search.loc[search["optimizer"] == "adam", "beta2"]) == {0.9, 0.999}
    steps = search.groupby("batch_size")["step"].unique()
    assert steps["full"].tolist() == [2]  # one step in each of two epochs
    assert steps[64].tolist() == [12]


def test_a_block_holds_what_one_program_can_train(mixed: Study) -> None:
    with Store.open(mixed.path) as store:
        blocks = store.blocks("search")
    for block in blocks:
        assert len({(s["loss"], s["batch_size"]) for s in block.settings}) == 1
    assert len(blocks) == 2 * 4  # seeds × programs
    together = blocks[0].settings
    assert {(s.optimizer, s["beta2"]) for s in together} == {("sgd", None), ("adam", 0.9), ("adam", 0.999)}
    assert {b.settings[0]["batch_size"] for b in blocks[:2]} == {64}, "those with the most steps come first"


def test_the_choice_of_every_level_is_run_again_once(mixed: Study) -> None:
    with Store.open(mixed.path) as store:
        settings = [s for b in store.blocks("confirmation") for s in b.settings if b.seed == 2]
    assert len(settings) == len(set(settings))
    for factor in ("optimizer", "loss", "batch_size", "beta2"):
        verdict = mixed.verdict_by(factor)
        assert verdict.confirmed
        assert verdict.seeds == 3
        assert verdict.factor == factor
        assert {e.setting for e in verdict.entries} <= set(settings)
        assert [verdict.level(e) for e in verdict.entries] == [name for g in verdict.groups for name in g]
        assert {e.setting[factor] for e in verdict.entries} == set(mixed.plan[factor].levels)
        assert all(set(e.test) == {"loss", "accuracy"} for e in verdict.entries)
        assert all(0 < e.seconds_per_step < 1 for e in verdict.entries)
    assert {e.optimizer for e in mixed.verdict_by("beta2").entries} == {"adam"}
    assert len(settings) < 2 + 2 + 2 + 2  # some are the choice of several levels


def test_it_is_the_same_study_again(mixed: Study) -> None:
    again = compare(
        "breast-cancer",
        ["sgd", "adam"],
        [0.01, 0.1],
        ["constant"],
        seeds=2,
        epochs=2,
        confirmation=3,
        losses=["cross_entropy", own_loss],
        batch_sizes=[64, "full"],
        hyperparameters={"beta2": [0.9, 0.999]},
        store=mixed.path,
        progress=False,
    )
    assert again.verdict.to_json() == mixed.verdict.to_json()
    other = {"batch_sizes": [32, "full"], "losses": ["cross_entropy"]}
    with pytest.raises(tw.ThalwegError, match="with other losses and batch sizes and hyperparameters"):
        compare(
            "breast-cancer",
            ["sgd", "adam"],
            [0.01, 0.1],
            ["constant"],
            seeds=2,
            epochs=2,
            confirmation=3,
            **other,
            store=mixed.path,
            progress=False,
        )


def test_stopped_and_taken_up_again(mixed: Study, tmp_path: Path) -> None:
    """From a store whose blocks are half done: the same numbers, the user's loss passed again."""
    import sqlite3

    path = tmp_path / "cut.db"
    path.write_bytes(mixed.path.read_bytes())
    db = sqlite3.connect(path)
    later = "(SELECT id FROM blocks WHERE stage = 'confirmation' OR id % 3 = 0)"
    db.execute(f"DELETE FROM curves WHERE block IN {later}")
    db.execute("DELETE FROM members WHERE block IN (SELECT id FROM blocks WHERE stage = 'confirmation')")
    db.execute("DELETE FROM blocks WHERE stage = 'confirmation'")
    db.execute("UPDATE blocks SET status = 'waiting', step = 0 WHERE id % 3 = 0")
    db.execute("DELETE FROM meta WHERE key = 'costs'")
    db.commit()
    db.close()
    assert not Study.open(path).finished
    with pytest.raises(PlanError, match="own_loss, a loss of your own"):
        tw.resume(path, progress=False)
    again = tw.resume(path, losses=[own_loss], progress=False)
    assert again.finished
    wanted, found = mixed.table(), again.table()
    pd.testing.assert_frame_equal(wanted, found, check_exact=True)


def test_shown() -> None:
    assert [shown(level) for level in (None, 1e-4, 16, "full", True)] == ["–", "0.0001", "16", "full", "True"]
