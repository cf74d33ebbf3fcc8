"""A table with a row for each epoch is read as one run each, at its last one."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import thalweg as tw
from thalweg.errors import UsageError

from . import tables


def verdict(runs: pd.DataFrame, **given: object) -> tuple[str, list[str]]:
    ranked = tw.rank(runs, **given)  # pyright: ignore[reportArgumentType]
    return ranked.sentence, [str(entry.value) for entry in ranked.verdict.entries]


@pytest.mark.parametrize("column", ["epoch", "step", "global_step", "training_iteration", "_step", "Epoch"])
def test_the_last_row_of_each_run_is_read_and_that_is_said(column: str) -> None:
    runs, history = tables.plain(4), tables.history(4).rename(columns={"epoch": column})
    assert verdict(history) == verdict(runs)
    ranked = tw.rank(history)
    assert f"seed from 'seed'; settings from 'lr'; each run at its last {column!r}." in ranked.columns.sentence
    assert len(ranked.table()) == len(runs)
    assert ranked.to_json()["columns"]["progress"] == column
    assert column not in ranked.columns.ignored


def test_runs_that_are_named_are_told_apart_without_seeds() -> None:
    history = tables.history(4).assign(run_id=lambda t: t["optimizer"] + t["lr"].astype(str) + t["seed"].astype(str))
    assert verdict(history.drop(columns="seed")) == verdict(tables.plain(4).drop(columns="seed"))
    assert verdict(history.drop(columns="seed"), seed=False) == verdict(tables.plain(4), seed=False)


def test_without_seeds_runs_cannot_be_told_apart() -> None:
    history = tables.history(4).drop(columns="seed")
    said = r"rows of one setting have the same 'epoch', and nothing says which rows are of one run; name the column of "
    with pytest.raises(
        UsageError, match=said + r"seeds with seed=, or give seed=False \(--seed none\) if each row is a run"
    ):
        tw.rank(history)
    assert len(tw.rank(history, seed=False).table()) == len(history)
    assert verdict(tables.history(1).drop(columns="seed")) == verdict(tables.plain(1).drop(columns="seed"))


def test_runs_of_different_lengths_end_at_their_own_last_epoch() -> None:
    history = tables.history(4)
    stopped = (history["optimizer"] == "sgd") & (history["epoch"] == 3) & (history["seed"] == 0)
    ranked = tw.rank(history[~stopped])
    assert len(ranked.table()) == len(tables.plain(4))
    assert (ranked.table()["val_loss"] > 1).sum() == 3  # at an epoch before, where it is 1 higher


def test_a_run_that_diverges_at_its_end_diverged_and_what_nobody_measured_is_no_divergence() -> None:
    history = tables.history(4)
    lost = (history["optimizer"] == "sgd") & (history["epoch"] == 3) & (history["seed"] == 0)
    assert tw.rank(history.assign(val_loss=history["val_loss"].mask(lost))).to_json()["runs"]["diverged"] == 3
    between = history.assign(epoch=history["epoch"] + 0.5, val_loss=np.nan)
    assert verdict(pd.concat([history, between])) == verdict(tables.plain(4))


def test_rows_of_training_beside_those_of_validation_are_no_divergence() -> None:
    history = tables.history(4)
    logged = pd.concat([history, history.assign(val_loss=np.nan, train_loss=0.1)])
    assert verdict(logged) == verdict(tables.plain(4))


def test_runs_that_ended_early_are_not_epochs_of_one() -> None:
    runs = tables.plain(4).drop(columns="seed")
    ended = runs.assign(epoch=np.arange(len(runs)) + 5)
    assert len(tw.rank(ended).table()) == len(runs)
    assert verdict(ended) == verdict(runs)


def test_one_row_for_each_run_is_left_as_it_is() -> None:
    runs = tables.plain(4)
    for more in ({"epoch": 20}, {"epoch": np.arange(len(runs)) % 7}, {"epoch": 3, "run_id": range(len(runs))}):
        assert verdict(runs.assign(**more)) == verdict(runs)
        assert "at its last" not in tw.rank(runs.assign(**more)).columns.sentence
    named = pd.concat([runs, runs]).assign(step=range(2 * len(runs)), run_id=range(2 * len(runs)))
    assert len(tw.rank(named).table()) == 2 * len(runs)
