"""What a tool's books say of a study.

A run of the tool for every run of a study would be thousands. So there is

- one run for the study: while it searches, the best value so far of each optimizer, over the passes of all runs; in the
  end the verdict, the ranking, and a table of all runs with their settings and last values;
- one run for each setting that is confirmed: each fresh seed's curves as they are trained, the mean over them in the
  end, and what the setting is: optimizer, rate, schedule and whatever else varies.

Values that are not finite are left out: the curve of a run that diverged ends there, and tables have its status.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from ..engine.messages import Job, Passed
from ..plan.factors import Level, Setting, shown
from ..plan.looks import CONFIRMATION, SEARCH
from ..results import Results
from ..verdict.entries import Entry, Verdict
from ..verdict.losses import by_setting, fold_codes
from .base import Callback, Run, Tool

MOST_ROWS = 10_000  # of the table of all runs; the best ones


class Journal(Callback):
    """Keeps a tool's books of a study."""

    def __init__(self, tool: Tool) -> None:
        self.tool = tool

    def __str__(self) -> str:
        return f"logging to {self.tool}"

    def __repr__(self) -> str:
        return f"Journal({self.tool!r})"

    def begin(self, study: Results) -> None:
        self._study, self._criterion = study, study.plan.criterion
        self._key = _key_of(study)
        self._runs: dict[tuple[str, Setting], Run] = {}
        self._passes, self._best = _so_far(study)
        about = {"problem": study.name, "store": str(study.path), **study.plan.described()}
        self._whole = self.tool.run(study.path.stem, self._key, None, about)

    def passed(self, job: Job, event: Passed) -> None:
        if job.stage == SEARCH:
            self._searched(job, event)
            return
        where = f"seed {job.seed}" + ("" if job.fold is None else f" fold {job.fold}")
        for k, setting in enumerate(job.settings):
            values = {f"{name}/{where}": float(of[k]) for name, of in event.values.items()}
            self._run(job.stage, setting).scalars(event.step, _finite(values))

    def _searched(self, job: Job, event: Passed) -> None:
        """The best so far is told where it has changed."""
        self._passes += len(job.settings)
        column, sign = self._criterion.column, self._criterion.sign
        changed = {}
        for setting, value in zip(job.settings, event.values.get(column, ()), strict=False):
            label, before = setting.optimizer, self._best.get(setting.optimizer, math.inf)
            if math.isfinite(value) and sign * value < before:
                self._best[label] = sign * float(value)
                changed[f"best {column} so far/{label}"] = float(value)
        if changed:
            self._whole.scalars(self._passes, changed)

    def end(self, study: Results) -> None:
        finished = study.finished
        if finished:
            for (stage, setting), rows in _confirmed(study):
                _sum_up(study, self._run(stage, setting), rows)
            _sum_up_study(study, self._whole)
        for run in (*self._runs.values(), self._whole):
            run.close(finished)

    def _run(self, stage: str, setting: Setting) -> Run:
        """The run of a setting, opened where it is first met."""
        if (stage, setting) not in self._runs:
            longer = stage.removeprefix(CONFIRMATION)
            config = {"problem": self._study.name, **_levels(setting)}
            name = f"{called(setting)}{longer}"
            self._runs[stage, setting] = self.tool.run(self._study.path.stem, self._key, name, config)
        return self._runs[stage, setting]


def _key_of(study: Results) -> str:
    """Of this study alone, and the same for as long as its store has its name."""
    about = [study.path.stem, study.problem["fingerprint"], study.provenance.get("started")]
    return hashlib.sha256(json.dumps(about).encode()).hexdigest()[:12]


def called(setting: Setting) -> str:
    """
    >>> called(Setting("adam", 0.01, "cosine", (("batch_size", 16), ("beta2", None))))
    'adam lr=0.01 cosine batch_size=16'
    """
    further = [f"{name}={shown(level)}" for name, level in setting.further if level is not None]
    return " ".join([setting.optimizer, f"lr={setting.lr:.6g}", setting.schedule, *further])


def _levels(setting: Setting) -> dict[str, Level]:
    return {name: level for name, level in setting.levels.items() if level is not None}


def _finite(values: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in values.items() if math.isfinite(value)}


def _so_far(study: Results) -> tuple[int, dict[str, float]]:
    """Passes of all runs of the search, and each optimizer's best value, the lower the better."""
    criterion, runs = study.plan.criterion, study.table()
    curves = study.curves(SEARCH)
    points = curves[(curves["metric"] == criterion.column) & np.isfinite(curves["value"])]
    labels = points["member"].map(runs.set_index("member")["optimizer"])
    best = (criterion.sign * points["value"]).groupby(labels).min()
    return len(points), {str(label): float(value) for label, value in best.items()}


def _confirmed(study: Results) -> Iterator[tuple[tuple[str, Setting], pd.DataFrame]]:
    """Each confirmed setting with its rows of the table of runs, by stage."""
    table, plan = study.table(), study.plan
    fresh = table[table["stage"] != SEARCH]
    for stage, runs in fresh.groupby("stage", sort=False):
        for setting, rows in by_setting(plan, runs).items():
            yield (str(stage), setting), rows


def _sum_up(study: Results, run: Run, rows: pd.DataFrame) -> None:
    """The means over fresh seeds: curves, and the last values."""
    for step, values in _means(study, rows):
        run.scalars(step, _finite(values))
    diverged = int((rows["status"] == "diverged").sum())
    columns = [name for name in rows if name.startswith(("train_", "validation_", "test_"))]
    ended = [name for name in columns if not (diverged and name.endswith("_loss"))]  # else the mean is infinite
    means = {name: float(rows[name].mean()) for name in ended if rows[name].notna().any()}
    run.summary({**_finite(means), "diverged": diverged, "seeds": int(rows["seed"].nunique())})


def _means(study: Results, rows: pd.DataFrame) -> Iterator[tuple[int, dict[str, float]]]:
    """Step → the mean over the runs of a setting of each metric, where all have that pass."""
    folds = fold_codes(rows)
    runs = rows[folds >= 0] if study.plan.folds is not None else rows[folds < 0]
    curves = study.curves()
    points = curves[curves["member"].isin(runs["member"])]
    points = points.assign(epoch=points.groupby(["member", "metric"], observed=True)["step"].rank("dense"))
    for _, of_epoch in points.groupby("epoch"):
        by_metric = of_epoch.groupby("metric", observed=True)["value"]
        values = {f"{name}/mean": float(some.mean(skipna=False)) for name, some in by_metric if len(some) == len(runs)}
        yield round(float(of_epoch["step"].mean())), values


# The run of the whole study


def _sum_up_study(study: Results, run: Run) -> None:
    verdict, runs = study.verdict, study.table()
    run.text("verdict", str(verdict))
    if verdict.entries:
        run.summary(_answer(verdict))
        run.table("ranking", pd.DataFrame([_row(verdict, entry) for entry in verdict.entries]))
    by = verdict.criterion
    if by.column in runs:
        runs = runs.sort_values(by.column, ascending=not by.higher, kind="stable")
    run.table("runs", runs[:MOST_ROWS])


def _answer(verdict: Verdict) -> dict[str, Any]:
    best = verdict.best
    value = {verdict.criterion.column: best.value.mean, "low": best.value.low, "high": best.value.high}
    rivals = ", ".join(verdict.level(entry) for entry in verdict.entries[1:] if entry.may_be_best)
    told = {"confirmed": verdict.confirmed, "seeds": verdict.seeds, "may be as good": rivals}
    return {**_levels(best.setting), **_finite(value), **told}


def _row(verdict: Verdict, entry: Entry) -> dict[str, Any]:
    """Of the ranking, as a tool's table."""
    column = verdict.criterion.column
    return {
        **_levels(entry.setting),
        column: entry.value.mean,
        f"{column} low": entry.value.low,
        f"{column} high": entry.value.high,
        "behind the best": entry.difference.mean,
        "letters": entry.letters,
        "may be best": entry.may_be_best,
        "chance of best": entry.probability_best,
        **{f"test {name}": value.mean for name, value in entry.test.items()},
    }
