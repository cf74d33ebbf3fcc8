"""MLflow: a run for the study, and within it one for each confirmed setting."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from .base import check_installed

if TYPE_CHECKING:
    from mlflow import MlflowClient

STUDY, NAME, PARENT = "thalweg.study", "thalweg.run", "mlflow.parentRunId"
LONGEST = 500  # characters of a parameter, which every server takes


@dataclass(frozen=True)
class MLflow:
    """Runs in MLflow, for `compare(callbacks=…)`: one for the study, and nested in it one for each confirmed setting.

    Settings are parameters, curves and means over seeds metrics; the verdict is the note of the study's run, and the
    ranking and the table of all runs are its artifacts, as CSV files.

    Args:
        uri: of the tracking server or database, ``"sqlite:///mlflow.db"``; what MLflow is set to unless given.
        experiment: by its name; made unless it is there.

    Raises:
        WorkError: the package mlflow is missing; mlflow-skinny does as well.

    >>> MLflow("sqlite:///mlflow.db")
    MLflow(uri='sqlite:///mlflow.db', experiment='thalweg')
    """

    uri: str = ""
    experiment: str = "thalweg"

    def __post_init__(self) -> None:
        check_installed("mlflow", "logging to MLflow", "mlflow")

    def run(self, study: str, key: str, name: str | None, config: Mapping[str, Any]) -> _Run:
        from mlflow import MlflowClient

        client = MlflowClient(tracking_uri=self.uri or None)
        there = client.get_experiment_by_name(self.experiment)
        experiment = client.create_experiment(self.experiment) if there is None else there.experiment_id
        number = _before(client, experiment, key, name)
        if number is None:
            tags = {STUDY: key, NAME: name or ""}
            if name is not None:
                tags[PARENT] = _before(client, experiment, key, None) or ""
            number = client.create_run(experiment, run_name=name or study, tags=tags).info.run_id
            for parameter, value in config.items():
                client.log_param(number, _plain(parameter), str(value)[:LONGEST])
        else:
            client.update_run(number, status="RUNNING")
        return _Run(client, number)


def _before(client: MlflowClient, experiment: str, key: str, name: str | None) -> str | None:
    """The run of that study and name, if there is one."""
    for run in client.search_runs([experiment], f"tags.`{STUDY}` = '{key}'", max_results=1000):
        if run.data.tags.get(NAME, "") == (name or ""):
            return run.info.run_id
    return None


def _plain(name: str) -> str:
    """With the letters that MLflow allows in names."""
    return re.sub(r"[^\w\-. /]", "_", name)


@dataclass(frozen=True)
class _Run:
    client: MlflowClient
    number: str

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        metrics = [Metric(_plain(name), value, now, step) for name, value in values.items()]
        for start in range(0, len(metrics), 1000):  # as many as a server takes at once
            self.client.log_batch(self.number, metrics=metrics[start : start + 1000])

    def summary(self, values: Mapping[str, Any]) -> None:
        numbers = {k: float(v) for k, v in values.items() if isinstance(v, int | float) and not isinstance(v, bool)}
        self.scalars(0, {f"result/{name}": value for name, value in numbers.items()})
        for name in values.keys() - numbers.keys():
            self.client.set_tag(self.number, f"thalweg.{_plain(name)}", str(values[name])[:LONGEST])

    def table(self, name: str, rows: pd.DataFrame) -> None:
        self.client.log_text(self.number, rows.to_csv(index=False), f"{name}.csv")

    def text(self, name: str, words: str) -> None:
        self.client.log_text(self.number, words, f"{name}.txt")
        self.client.set_tag(self.number, "mlflow.note.content", words)

    def close(self, finished: bool) -> None:
        self.client.set_terminated(self.number, "FINISHED" if finished else "KILLED")
