"""Columns are guessed by their names, what is guessed is said, and two that fit equally well are asked about."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

from thalweg.errors import UsageError
from thalweg.ranking.columns import Columns, find_columns
from thalweg.ranking.names import Name

from . import tables

READ: dict[Callable[[], pd.DataFrame], dict[str, Any]] = {
    tables.plain: {"by": "optimizer", "metric": "val_loss", "seed": "seed", "settings": ["lr"], "status": None},
    tables.optuna: {
        "by": "params_optimizer",
        "metric": "value",
        "seed": "user_attrs_seed",
        "settings": ["params_lr"],
        "status": "state",
    },
    tables.wandb: {
        "by": "optimizer",
        "metric": "val_loss",
        "seed": "seed",
        "settings": ["learning_rate"],
        "status": "State",
    },
    tables.mlflow: {
        "by": "params.optimizer",
        "metric": "metrics.val_loss",
        "seed": "params.seed",
        "settings": ["params.lr"],
        "status": "status",
    },
    tables.ray_tune: {
        "by": "config/optimizer",
        "metric": "val_loss",
        "seed": "config/seed",
        "settings": ["config/lr"],
        "status": None,
    },
}


def columns(*names: str, rows: int = 4, **more: Any) -> Columns:
    """As found in a table with these columns, in which all values differ."""
    return find_columns(pd.DataFrame({n: [k + 10 * at for k in range(rows)] for at, n in enumerate(names)}), **more)


@pytest.mark.parametrize("export", READ, ids=lambda one: one.__name__)
def test_exports_are_read_as_they_are(export: Callable[[], pd.DataFrame]) -> None:
    found, wanted = find_columns(export()), READ[export]
    assert found.by == (wanted["by"],)
    assert (found.metric, found.sign) == (wanted["metric"], 1.0)
    assert (found.seed, found.status, list(found.settings)) == (wanted["seed"], wanted["status"], wanted["settings"])
    assert found.confirmation is None
    assert (found.ranked, [found.title(column) for column in found.settings]) == ("optimizer", ["lr"])
    every = {*found.by, found.metric, *found.settings, *found.ignored, found.seed, found.status}
    assert every - {None} == set(export().columns)


def test_what_is_guessed_is_said_in_a_line() -> None:
    assert find_columns(tables.optuna()).sentence == (
        "Read as: optimizer from 'params_optimizer'; judged by 'value' (lower is better, as Optuna minimizes unless it "
        "is told otherwise); seed from 'user_attrs_seed'; settings from 'params_lr'; state from 'state'."
    )
    told = find_columns(tables.optuna(), maximize=True).sentence
    assert "judged by 'value' (higher is better);" in told
    assert "no seed column" in find_columns(tables.plain().drop(columns="seed")).sentence


@pytest.mark.parametrize(
    ("name", "sign"),
    [
        *(("val_loss", 1), ("valid/nll", 1), ("eval_error", 1), ("Validation Loss", 1), ("val-perplexity", 1)),
        *(("best_val_acc", -1), ("valAccuracy", -1), ("metrics.val_f1", -1), ("val_top1", -1), ("dev_AUROC", -1)),
        *(("loss", 1), ("objective_value", 1), ("test_rmse", 1), ("summary/val_recall", -1)),
    ],
)
def test_the_direction_of_a_metric_is_known_by_its_name(name: str, sign: float) -> None:
    found = columns("optimizer", "lr", name)
    assert (found.metric, found.sign) == (name, sign)


def test_a_direction_that_is_not_known_is_asked_for() -> None:
    with pytest.raises(UsageError, match="'bits' does not say which values are better; give metric='bits:max' if the"):
        columns("optimizer", "bits", metric="bits")
    assert columns("optimizer", "bits", metric="bits:min").sign == 1
    assert columns("optimizer", "bits", metric="bits", maximize=True).sign == -1
    assert columns("optimizer", "val_acc", metric="val_acc:min").sign == 1


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (
            ["optimizer", "val_loss", "valid_loss"],
            "'val_loss' and 'valid_loss' could both be the metric; say which with",
        ),
        (
            ["params.optimizer", "tags.optimizer", "loss"],
            "'params.optimizer' and 'tags.optimizer' could both be the opt",
        ),
        (["optimizer", "loss", "params_seed", "user_attrs_seed"], "'params_seed' and 'user_attrs_seed' could both be"),
        (
            ["optimizer", "loss", "state", "status"],
            "'state' and 'status' could both be the status column; say which wi",
        ),
        (
            ["optimizer", "values_0", "values_1"],
            "'values_0' and 'values_1' could both be the metric; say which with metric",
        ),
    ],
)
def test_two_that_fit_equally_well_are_asked_about(names: list[str], said: str) -> None:
    with pytest.raises(UsageError) as error:
        columns(*names)
    assert said in str(error.value)


def test_two_columns_that_are_alike_are_one() -> None:
    frame = tables.plain()
    assert find_columns(frame.assign(valid_loss=frame["val_loss"])).metric == "val_loss"


def test_an_earlier_tier_is_better() -> None:
    assert columns("optimizer", "train_loss", "test_loss", "val_acc", "loss").metric == "loss"
    assert columns("optimizer", "train_loss", "test_loss", "val_acc").metric == "val_acc"
    assert columns("optimizer", "train_loss", "test_loss").metric == "test_loss"
    assert columns("optimizer", "loss", "seed", "random_state", "data_seed").seed == "seed"
    assert columns("optimizer", "loss", "data_seed").seed == "data_seed"
    with pytest.raises(UsageError, match="no column is called val_loss, loss or value"):
        columns("optimizer", "train_loss")


def test_what_is_no_setting_is_left_out() -> None:
    names = ("lr", "weight_decay", "val_loss", "train_loss", "val_accuracy", "epoch", "run_id", "_step", "data_seed")
    found = columns(
        "optimizer", "seed", *names, "start_time", "Unnamed: 0", "loss_weight", "max_grad_norm", "precision"
    )
    assert found.settings == ("lr", "weight_decay", "loss_weight", "max_grad_norm", "precision")
    frame = tables.plain().assign(title=lambda t: [f"run {k}" for k in t.index], note="same", loss="mse")
    assert find_columns(frame).settings == ("lr",)
    assert columns("optimizer", "val_loss", "lr", "wd", settings="wd").settings == ("wd",)
    assert columns("params.lr", "params.optimizer", "metrics.val_loss", "machine").settings == ("params.lr",)


def test_columns_can_be_named_with_or_without_their_prefix() -> None:
    found = find_columns(tables.mlflow(), by="lr", metric="train_loss", seed="params.seed", settings=["optimizer"])
    assert (found.by, found.metric, found.settings) == (("params.lr",), "metrics.train_loss", ("params.optimizer",))
    assert find_columns(tables.wandb(), by=["optimizer", "lr"]).by == ("optimizer", "learning_rate")
    assert find_columns(tables.plain(), seed=False).seed is None
    assert find_columns(tables.plain(), seed=False).settings == ("lr",)
    assert find_columns(tables.optuna(), status=False).status is None


def test_mistakes_are_one_sentence() -> None:
    frame = tables.plain()
    for given, said in (
        (
            {"by": "optimiser"},
            "'optimiser' is not a column of this table: did you mean optimizer? Known: optimizer, lr",
        ),
        ({"by": []}, "[] is not a column"),
        ({"metric": "optimizer:max", "by": "optimizer"}, "column 'optimizer' is given two parts to play"),
        ({"settings": ["seed"]}, "settings names 'seed', which is read as something else"),
        ({"confirmation": "nope"}, "'nope' is not a column of this table"),
    ):
        with pytest.raises(UsageError) as error:
            find_columns(frame, **given)  # pyright: ignore[reportArgumentType]
        assert said in str(error.value)
    with pytest.raises(UsageError, match="no column is called optimizer; say with by= or --by what is compared"):
        find_columns(frame.drop(columns="optimizer"))


def test_a_stage_is_a_confirmation_only_where_it_says_so() -> None:
    frame = tables.plain()
    assert find_columns(frame.assign(stage="warmup")).confirmation is None
    assert find_columns(frame.assign(stage=["search", "confirmation"] * 15)).confirmation == "stage"
    assert find_columns(frame.assign(confirm=[True, False] * 15)).confirmation == "confirm"


@pytest.mark.parametrize(
    ("column", "kind", "base"),
    [
        *(("params_lr", "parameter", "lr"), ("config/batch_size", "parameter", "batch_size")),
        *(("metrics.val/loss", "metric", "val_loss"), ("user_attrs_seed", "attribute", "seed")),
        *(
            ("Learning Rate", "plain", "learning_rate"),
            ("params", "plain", "params"),
            ("weightDecay", "plain", "weight_decay"),
        ),
    ],
)
def test_names_are_taken_apart(column: str, kind: str, base: str) -> None:
    name = Name.of(column)
    assert (name.kind, name.base) == (kind, base)
