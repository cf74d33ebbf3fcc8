"""How soon a validation loss is reached, with the runs that never reach it counted as such.

A run reaches the target at the first recorded step at which its validation loss is at most the target. A run that does
not is censored at the end of its budget: all that is known is that it takes longer. That holds for one that diverged
as well, since it would never get there; to censor it where it broke off would make diverging look fast.
The share of runs that are still on their way is estimated as Kaplan & Meier (1958) do, with log–log intervals; the
median is where it falls to a half, with the interval of Brookmeyer & Crowley (1982), and the restricted mean is the
area under it, the mean number of steps if all runs were stopped at the end of the budget.

With folds the runs of a seed are one: its loss after a pass is the mean over folds, as where settings are judged.
Runs of one seed share more than those of two, and to count each would make the interval too narrow.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from ..errors import PlanError
from ..numbers import Range
from .entries import Verdict
from .intervals import LEVEL, Interval
from .losses import matching, points, recorded


@dataclass(frozen=True)
class Reached:
    """When runs of one setting reached the target.

    Attributes:
        times: steps at which runs reached it, ascending; the others ran to `budget` without.
        median: infinite where half of them never did; its interval's end too, where that cannot be told.
        restricted_mean: mean number of steps, a run that never reached it counted with its budget.
        curve: steps, and the share of runs that had reached it by then.
    """

    times: tuple[float, ...]
    runs: int
    budget: float
    median: Interval
    restricted_mean: float
    curve: tuple[tuple[float, float], ...]

    @property
    def reached(self) -> int:
        return len(self.times)


def reached(steps: np.ndarray, budget: float) -> Reached:
    """The estimate from the steps at which runs reached the target; inf for those that never did.

    >>> result = reached(np.array([30.0, 10.0, 20.0, np.inf]), budget=100)
    >>> result.reached, result.median.mean, result.restricted_mean
    (3, 20.0, 40.0)
    """
    times = np.sort(steps[np.isfinite(steps)])
    data = stats.CensoredData(uncensored=times, right=np.full(len(steps) - len(times), budget))
    left = stats.ecdf(data).sf  # the share that is still on its way
    with warnings.catch_warnings():
        # Where no run, or every run, has arrived the formula lacks an interval.
        warnings.simplefilter("ignore", RuntimeWarning)
        ends = left.confidence_interval(LEVEL, method="log-log")
    places, shares = left.quantiles, left.probabilities
    low, high = (_falls(places, np.nan_to_num(end.probabilities, nan=0.0)) for end in (ends.low, ends.high))
    median = _falls(places, shares)
    whole = np.diff(np.concatenate([[0.0], places, [budget]])) @ np.concatenate([[1.0], shares])
    curve = [(0.0, 0.0), *((float(p), float(1 - s)) for p, s in zip(places, shares, strict=True) if p in times)]
    around = Interval(median, min(low, median), max(high, median))
    return Reached(tuple(times.tolist()), len(steps), budget, around, float(whole), tuple(curve))


def _falls(places: np.ndarray, shares: np.ndarray) -> float:
    """Where the share first is a half or less."""
    below = np.flatnonzero(shares <= 0.5)
    return float(places[below[0]]) if len(below) else math.inf


@dataclass(frozen=True)
class Race:
    """Every optimizer's way to one target, at its chosen setting.

    Attributes:
        target: the validation loss.
        reached: optimizer → when, in the order of the verdict.
        seconds_per_step: optimizer → seconds.
    """

    target: float
    reached: Mapping[str, Reached]
    seconds_per_step: Mapping[str, float]

    def table(self) -> pd.DataFrame:
        """One row per optimizer: runs, those that reached it, median and restricted mean, in steps and seconds."""
        return pd.DataFrame([self._row(name, one) for name, one in self.reached.items()])

    def _row(self, name: str, one: Reached) -> dict[str, Any]:
        median, second = one.median, self.seconds_per_step[name]
        times = {"median": median.mean, "low": median.low, "high": median.high, "restricted_mean": one.restricted_mean}
        facts = {"optimizer": name, "target": self.target, "runs": one.runs, "reached": one.reached}
        steps = {f"steps_{key}": value for key, value in times.items()}
        return facts | steps | {f"seconds_{key}": value * second for key, value in times.items()}


def race(verdict: Verdict, members: pd.DataFrame, curves: pd.DataFrame, target: float | None = None) -> Race | None:
    """See `Study.time_to_target`; None where no run has ended, or none reached anything.

    Raises:
        PlanError: the target is not a number.
    """
    if target is not None:
        target = float(Range().check("target", target, PlanError))
    if not verdict.entries:
        return None
    runs = recorded(members, verdict)
    runs = runs[runs["status"].isin(["finished", "diverged"])]
    rows = points(curves, runs, "validation_loss").fillna({"value": math.inf})
    means = {e.optimizer: _by_seed(rows, runs[matching(runs, e.setting)]) for e in verdict.entries}
    if target is None:
        best = means[verdict.best.optimizer]
        target = float(best.groupby("seed")["value"].last().median()) if len(best) else math.inf
        if not math.isfinite(target):
            return None
    ways = {}
    for name, losses in means.items():
        steps = losses["step"].where(losses["value"] <= target, math.inf).groupby(losses["seed"]).min()
        # Of a setting of which every run broke off, its steps so far are all that is known.
        budget = max((e.steps for e in verdict.entries if e.optimizer == name), default=0)
        ways[name] = reached(steps.to_numpy(float), float(budget or losses["step"].max()))
    return Race(target, ways, {e.optimizer: e.seconds_per_step for e in verdict.entries})


def _by_seed(rows: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """seed, step and value after each pass: the mean over the runs of a seed, infinite from where one diverged on."""
    rows = rows[rows["member"].isin(runs["member"])]
    return rows.groupby(["seed", "epoch"], as_index=False).agg(step=("step", "max"), value=("value", "mean"))
