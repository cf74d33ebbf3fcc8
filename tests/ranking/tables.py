"""Tables of finished runs as Optuna, W&B, MLflow and Ray Tune lay them out; the losses are drawn at random."""

from __future__ import annotations

import numpy as np
import pandas as pd

LEVELS = {"adam": 0.30, "sgd": 0.36}
RATES = (0.001, 0.01, 0.1)


def loss(optimizer: str, lr: float, noise: float) -> float:
    """Lowest at 0.01, where adam is 0.06 below sgd."""
    return LEVELS[optimizer] + 0.2 * abs(np.log10(lr) + 2) + noise


def plain(seeds: int = 5, noise: float = 0.01, draw: int = 0) -> pd.DataFrame:
    """A script's own table: optimizer, lr, seed, val_loss, val_acc; a seed is alike for all."""
    noises = np.random.default_rng(draw).normal(0, noise, (seeds, 8))
    rows = []
    for seed in range(seeds):
        for k, (name, lr) in enumerate((name, lr) for name in LEVELS for lr in RATES):
            value = loss(name, lr, noises[seed, 6] + 0.3 * noises[seed, k])
            rows.append({"optimizer": name, "lr": lr, "seed": seed, "val_loss": value, "val_acc": 1 - value})
    return pd.DataFrame(rows)


def optuna(seeds: int = 4) -> pd.DataFrame:
    """`Study.trials_dataframe()`: one trial was pruned, one failed, one still runs."""
    runs = plain(seeds)
    start = pd.Timestamp("2025-03-01 10:00") + pd.to_timedelta(runs.index * 61, unit="s")
    table = pd.DataFrame(
        {
            "number": runs.index,
            "value": runs["val_loss"],
            "datetime_start": start,
            "datetime_complete": start + pd.Timedelta("60.5s"),
            "duration": pd.Timedelta("60.5s"),
            "params_lr": runs["lr"],
            "params_optimizer": runs["optimizer"],
            "user_attrs_epochs_run": 20,
            "user_attrs_seed": runs["seed"],
            "system_attrs_grid_id": runs.index,
            "state": "COMPLETE",
        }
    )
    more = table.iloc[[0, 2, 5]].assign(
        number=[len(table), len(table) + 1, len(table) + 2],
        value=[0.9, np.nan, np.nan],
        params_lr=[0.5, 1.0, 0.3],
        state=["PRUNED", "FAIL", "RUNNING"],
        datetime_complete=[start[1], start[1], pd.NaT],
    )
    return pd.concat([table, more], ignore_index=True)


def wandb(seeds: int = 4) -> pd.DataFrame:
    """The CSV that a project's page exports: config and summary side by side; one run crashed."""
    runs = plain(seeds)
    crashed = (runs["lr"] == 0.1) & (runs["optimizer"] == "sgd") & (runs["seed"] == 1)
    return pd.DataFrame(
        {
            "Name": [f"brisk-lake-{k}" for k in runs.index],
            "State": np.where(crashed, "crashed", "finished"),
            "Notes": "-",
            "User": "kim",
            "Tags": "",
            "Created": "2025-03-01T10:00:00.000Z",
            "Runtime": 60 + runs.index,
            "Sweep": "8a2b1c",
            "batch_size": 64,
            "learning_rate": runs["lr"],
            "optimizer": runs["optimizer"],
            "seed": runs["seed"],
            "_step": 400,
            "epoch": 20,
            "train_loss": runs["val_loss"] / 2,
            "val_acc": runs["val_acc"],
            "val_loss": runs["val_loss"].where(~crashed),
        }
    )


def mlflow(seeds: int = 4) -> pd.DataFrame:
    """`mlflow.search_runs()`: parameters are text; one run failed before it logged a metric."""
    runs = plain(seeds)
    failed = (runs["lr"] == 0.1) & (runs["optimizer"] == "adam") & (runs["seed"] == 0)
    return pd.DataFrame(
        {
            "run_id": [f"{k:032x}" for k in runs.index],
            "experiment_id": "1",
            "status": np.where(failed, "FAILED", "FINISHED"),
            "artifact_uri": "mlruns/1",
            "start_time": pd.Timestamp("2025-03-01 10:00", tz="UTC"),
            "end_time": pd.Timestamp("2025-03-01 10:01", tz="UTC"),
            "metrics.val_loss": runs["val_loss"].where(~failed),
            "metrics.train_loss": runs["val_loss"] / 2,
            "params.lr": runs["lr"].map(lambda rate: f"{rate:g}" if rate < 0.1 else "1e-1"),
            "params.optimizer": runs["optimizer"],
            "params.seed": runs["seed"].astype(str),
            "tags.mlflow.runName": [f"run-{k}" for k in runs.index],
            "tags.mlflow.user": "kim",
        }
    )


def ray_tune(seeds: int = 4) -> pd.DataFrame:
    """`ResultGrid.get_dataframe()`."""
    runs = plain(seeds)
    return pd.DataFrame(
        {
            "val_loss": runs["val_loss"],
            "timestamp": 1740000000 + runs.index,
            "done": True,
            "training_iteration": 20,
            "trial_id": [f"f1e2_{k:05}" for k in runs.index],
            "date": "2025-03-01_10-00-00",
            "time_total_s": 60.0 + runs.index,
            "pid": 4000 + runs.index,
            "hostname": "node-1",
            "config/lr": runs["lr"],
            "config/optimizer": runs["optimizer"],
            "config/seed": runs["seed"],
            "logdir": [f"f1e2_{k:05}" for k in runs.index],
        }
    )


def history(seeds: int = 4, epochs: int = 3) -> pd.DataFrame:
    """A row for each epoch of the runs of `plain`, whose losses fall to those; epochs are not in order."""
    runs = plain(seeds)
    each = [runs.assign(epoch=epoch, val_loss=runs["val_loss"] + epochs - epoch) for epoch in range(1, epochs + 1)]
    return pd.concat(each[::-1], ignore_index=True).drop(columns="val_acc")
