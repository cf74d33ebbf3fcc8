"""The tables of a study's runs as arrays: what each run is judged by, the lower the better."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ..plan.criterion import Criterion
from ..plan.factors import Level, Setting
from ..plan.folds import FOLD
from ..plan.plan import Plan
from .entries import Verdict

ENDED = ("finished", "diverged", "stopped")


@dataclass(frozen=True)
class Losses:
    """What runs are judged by (settings, seeds, folds), the lower the better, and how far they came.

    Infinite where a run diverged; a metric of which higher is better is negated. There is one fold without
    cross-validation, and one more for each part of the training samples that judges too.
    """

    settings: list[Setting]
    values: np.ndarray
    steps: list[int]

    def rows(self, settings: Sequence[Setting]) -> np.ndarray | None:
        """(seeds, folds, settings), or None if one of them is missing."""
        place = {setting: k for k, setting in enumerate(self.settings)}
        if any(setting not in place for setting in settings):
            return None
        rows = self.values[[place[setting] for setting in settings]]
        return None if np.isnan(rows).any() or not rows.size else np.moveaxis(rows, 0, -1)


def search_losses(
    plan: Plan,
    members: pd.DataFrame,
    by: str = "optimizer",
    criterion: Criterion | None = None,
    stopped: bool = False,
    grid: bool = False,
) -> Losses:
    """The losses of the search behind a ranking by that factor, for each seed that every setting has finished.

    Args:
        criterion: another than the plan's.
        stopped: whether settings that halving stopped count too, with the losses they had then.
        grid: whether to leave out those by which the search was refined.
    """
    search = _Search(plan, members, () if grid else plan.finer(by))
    runs, code = search.runs, search.code
    ended = runs["status"].isin(ENDED).to_numpy()
    out, unfinished = set(search.out), {*code[~ended].tolist()} - search.out
    # While the grid grows, or is refined, what it had before stands.
    growing = {*plan.grown} & {search.common[k] for k in unfinished}
    out |= {k for k, rate in enumerate(search.common) if rate in growing}
    for one in plan.refined:
        finer = {k for k in search.beside if search.settings[k] in one.get(by, ())}
        out |= finer if finer & unfinished else set()
    rows = ~np.isin(code, [*out])
    seeds = runs["seed"].to_numpy()
    rows &= ~np.isin(seeds, seeds[rows & ~ended])
    if not stopped:
        # A setting that was stopped is stopped on every seed, those on which it had diverged before among them.
        rows &= ~np.isin(code, code[rows & (runs["status"] == "stopped").to_numpy()])
    if plan.folds is not None:
        rows &= fold_codes(runs) >= 0
    return _losses(runs[rows], search.settings, code[rows], criterion or plan.criterion)


def searched(plan: Plan, members: pd.DataFrame, by: str = "optimizer") -> dict[Level, dict[str, Any]]:
    """`tried` of the search behind a ranking by that factor: without the runs by which it was refined for others."""
    search = _Search(plan, members, plan.finer(by))
    rows = ~np.isin(search.code, [*search.out])
    return tried(search.runs.loc[rows, by], search.code[rows], search.runs.loc[rows, "status"])


def tried(levels: pd.Series, settings: np.ndarray | pd.Series, status: pd.Series) -> dict[Level, dict[str, Any]]:
    """level → its runs and its settings, and how many of the runs ended early; of each run its level and setting."""
    ends = {end: status == end for end in ("diverged", "stopped")}
    groups = pd.DataFrame({"level": levels, "setting": settings, **ends}).groupby("level", sort=False)
    counts = groups.agg(
        runs=("setting", "size"), settings=("setting", "nunique"), **{end: (end, "sum") for end in ends}
    )
    return counts.to_dict("index")


class _Search:
    """The runs of the search by their settings.

    Attributes:
        settings: in the order in which they are met.
        code: (runs,) which of them each is of.
        common: the rate of the common grid in whose place that of each setting stands; None where it is not of a grid.
        beside: the settings that are not of the grid, or have other than usual values of what is tuned around the best.
        out: those among them by which the search was refined, but not for `finer`.
    """

    def __init__(self, plan: Plan, members: pd.DataFrame, finer: Sequence[Setting]) -> None:
        self.runs = members[members["stage"] == "search"]
        self.settings, self.code = _coded(plan, self.runs)
        self.common = [plan.on_common_grid.get((one.optimizer, one.lr)) for one in self.settings]
        tuned, others = {f.name: f for f in plan.tuned}, {*plan.refinement} - {*finer}

        def unusual(one: Setting) -> bool:
            return any(name in tuned and tuned[name].tells(level, one.optimizer) for name, level in one.further)

        pairs = zip(self.settings, self.common, strict=True)
        self.beside = {k for k, (one, rate) in enumerate(pairs) if rate is None or unusual(one)}
        self.out = {k for k in self.beside if self.settings[k] in others}


def losses_of(plan: Plan, members: pd.DataFrame, criterion: Criterion) -> Losses:
    if plan.folds is not None:
        members = members[members[FOLD].notna()]
    return _losses(members, *_coded(plan, members), criterion)


def _coded(plan: Plan, members: pd.DataFrame) -> tuple[list[Setting], np.ndarray]:
    """The settings in the order in which they are met, and (runs,) which of them each run has."""
    if members.empty:
        return [], np.zeros(0, dtype=np.intp)
    names = ["optimizer", "lr", "schedule", *(f.name for f in plan.further)]
    code = members.groupby(names, sort=False, dropna=False).ngroup().to_numpy()
    _, first = np.unique(code, return_index=True)
    return [setting_of(row) for row in members.iloc[first][names].to_dict("records")], code


def _losses(runs: pd.DataFrame, settings: Sequence[Setting], code: np.ndarray, criterion: Criterion) -> Losses:
    if runs.empty or criterion.column not in runs:
        return Losses([], np.zeros((0, 0, 0)), [])
    code, met = pd.factorize(code)
    seeds, column = np.unique(runs["seed"], return_inverse=True)
    loss = (criterion.sign * runs[criterion.column]).where(runs["status"] != "diverged").fillna(math.inf)
    folds, fold = np.unique(fold_codes(runs), return_inverse=True)
    values = np.full((len(met), len(seeds), len(folds)), math.nan)
    values[code, column, fold] = loss.to_numpy(float)
    steps = runs["step"].where(runs["status"] == "finished", 0).to_numpy()
    longest = np.zeros(len(met), dtype=np.int64)
    np.maximum.at(longest, code, steps.astype(np.int64))
    return Losses([settings[k] for k in met], values, longest.tolist())


def fold_codes(members: pd.DataFrame) -> np.ndarray:
    """The fold of each run, (runs,); −1 where it has none."""
    return members[FOLD].fillna(-1).to_numpy(int) if FOLD in members else np.full(len(members), -1)


def recorded(members: pd.DataFrame, verdict: Verdict) -> pd.DataFrame:
    """The runs behind a verdict whose curves are shown: of a cross-validation those of its folds, and else those that
    are judged on the validation part, without the ones that further samples judge."""
    runs = members[members["stage"] == verdict.stage]
    return runs[(fold_codes(runs) >= 0) == bool(verdict.folds)]


def setting_of(row: Mapping[str, Any]) -> Setting:
    """The setting of a row of the table, whose numbers are NumPy's and whose missing levels are NaN."""
    levels = tuple(
        (name, None if isinstance(value, float) and math.isnan(value) else value)
        for name, value in row.items()
        if name not in ("optimizer", "lr", "schedule")
    )
    return Setting(str(row["optimizer"]), float(row["lr"]), str(row["schedule"]), levels)


def by_setting(plan: Plan, members: pd.DataFrame) -> dict[Setting, pd.DataFrame]:
    """Setting → its rows of the table of members; settings in the order in which they are met."""
    settings, code = _coded(plan, members)
    return {setting: members[code == k] for k, setting in enumerate(settings)}


def matching(members: pd.DataFrame, setting: Setting) -> pd.Series:
    """Which rows of the table of members have that setting."""
    return having(members, setting.levels)


def having(members: pd.DataFrame, levels: Mapping[str, Level]) -> pd.Series:
    """Which rows have these levels; None stands for a factor that does not apply."""
    rows = pd.Series(True, index=members.index)
    for name, level in levels.items():
        rows &= members[name].isna() if level is None else members[name] == level
    return rows


def points(curves: pd.DataFrame, runs: pd.DataFrame, *metrics: str) -> pd.DataFrame:
    """The points of these runs, beside each what its run is, and its epoch; infinite from where a run diverged on.

    Epochs are counted, since a fold or a batch size has its own number of steps in one.
    """
    about = runs[["member", "optimizer", "seed", "status"]].assign(**{FOLD: fold_codes(runs)}, last=runs["step"])
    rows = curves[curves["metric"].isin(metrics)].merge(about, on="member")
    lost = (rows["status"] == "diverged") & (rows["step"] >= rows["last"])
    epochs = rows.groupby(["member", "metric"], observed=True)["step"].rank("dense").astype(int)
    return rows.assign(value=rows["value"].mask(lost, math.inf), epoch=epochs)
