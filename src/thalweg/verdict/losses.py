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
    search, finer = _behind(plan, members, () if grid else plan.finer(by))
    # While the grid grows, or is refined, what it had before stands.
    common = _common_rates(plan, search)
    growing = set(plan.grown) & set(common[~search["status"].isin(ENDED)])
    search = search[~common.isin(growing)]
    search = search.drop(_unfinished_rounds(plan, search, finer, by))
    unfinished = search.loc[~search["status"].isin(ENDED), "seed"]
    whole = search[~search["seed"].isin(unfinished)]
    if stopped:
        return losses_of(plan, whole, criterion or plan.criterion)
    # A setting that was stopped is stopped on every seed, those on which it had diverged before among them.
    names = setting_columns(plan)
    halted = whole.loc[whole["status"] == "stopped", names].drop_duplicates()
    return losses_of(plan, whole[~_among(whole[names], halted)], criterion or plan.criterion)


def searched(plan: Plan, members: pd.DataFrame, by: str = "optimizer") -> pd.DataFrame:
    """The runs of the search behind a ranking by that factor: without those by which it was refined for others."""
    search, _ = _behind(plan, members, plan.finer(by))
    return search


def _behind(plan: Plan, members: pd.DataFrame, finer: Sequence[Setting]) -> tuple[pd.DataFrame, pd.Series]:
    """The runs of the search on the grid and at these finer settings, and the settings of the latter."""
    search = members[members["stage"] == "search"]
    columns = [name for name in setting_columns(plan) if name not in search]  # which an empty table lacks
    search = search.assign(**dict.fromkeys(columns, math.nan)) if columns else search
    beside = search.loc[~_on_grid(plan, search), setting_columns(plan)]
    settings = pd.Series([setting_of(row) for row in beside.to_dict("records")], beside.index, dtype=object)
    others = settings.isin({*plan.refinement} - {*finer})
    return search.drop(settings.index[others]), settings[~others]


def _common_rates(plan: Plan, search: pd.DataFrame) -> pd.Series:
    """The rate of the common grid in whose place that of each run stands; NaN where it is not of a grid."""
    if not plan["lr"].scales:
        return search["lr"].where(search["lr"].isin(plan.rates))
    pairs = zip(search["optimizer"], search["lr"], strict=True)
    return pd.Series([plan.on_common_grid.get(pair, math.nan) for pair in pairs], search.index, dtype=float)


def _on_grid(plan: Plan, search: pd.DataFrame) -> pd.Series:
    """Which runs have a rate of the grid, and usual values of what is tuned around the best."""
    rows = _common_rates(plan, search).notna()
    for f in plan.tuned:
        rows &= search[f.name].isna() | (search[f.name] == search["optimizer"].map(f.usual))
    return rows


def _unfinished_rounds(plan: Plan, search: pd.DataFrame, finer: pd.Series, by: str) -> list[int]:
    """Which runs belong to a round of the refinement that is not complete."""
    rounds = [finer.index[finer.isin([*one.get(by, ())])] for one in plan.refined]
    return [run for runs in rounds if not search.loc[runs, "status"].isin(ENDED).all() for run in runs]


def setting_columns(plan: Plan) -> list[str]:
    return ["optimizer", "lr", "schedule", *(f.name for f in plan.further)]


def _among(rows: pd.DataFrame, others: pd.DataFrame) -> pd.Series:
    """Which rows are among the others."""
    if others.empty:
        return pd.Series(False, index=rows.index)
    both = pd.concat([others, rows])
    codes = both.groupby(list(rows), sort=False, dropna=False).ngroup().to_numpy()
    return pd.Series(np.isin(codes[len(others) :], codes[: len(others)]), index=rows.index)


def losses_of(plan: Plan, members: pd.DataFrame, criterion: Criterion) -> Losses:
    if plan.folds is not None:
        members = members[members[FOLD].notna()]
    if members.empty or criterion.column not in members:
        return Losses([], np.zeros((0, 0, 0)), [])
    names = setting_columns(plan)
    code = members.groupby(names, sort=False, dropna=False).ngroup().to_numpy()
    _, first = np.unique(code, return_index=True)
    settings = [setting_of(row) for row in members.iloc[first][names].to_dict("records")]
    seeds, column = np.unique(members["seed"], return_inverse=True)
    loss = (criterion.sign * members[criterion.column]).where(members["status"] != "diverged").fillna(math.inf)
    folds, fold = np.unique(fold_codes(members), return_inverse=True)
    values = np.full((len(settings), len(seeds), len(folds)), math.nan)
    values[code, column, fold] = loss.to_numpy(float)
    steps = members["step"].where(members["status"] == "finished", 0).to_numpy()
    longest = np.zeros(len(settings), dtype=np.int64)
    np.maximum.at(longest, code, steps.astype(np.int64))
    return Losses(settings, values, longest.tolist())


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
    names = setting_columns(plan)
    groups = members.groupby(names, sort=False, dropna=False) if len(members) else []
    return {setting_of(rows[names].iloc[:1].to_dict("records")[0]): rows for _, rows in groups}


def matching(members: pd.DataFrame, setting: Setting) -> pd.Series:
    """Which rows of the table of members have that setting."""
    return having(members, setting.levels)


def having(members: pd.DataFrame, levels: Mapping[str, Level]) -> pd.Series:
    """Which rows have these levels; None stands for a factor that does not apply."""
    rows = pd.Series(True, index=members.index)
    for name, level in levels.items():
        rows &= members[name].isna() if level is None else members[name] == level
    return rows


def points(curves: pd.DataFrame, members: pd.DataFrame) -> pd.DataFrame:
    """The points of these members, beside each its member's row; infinite from where a run diverged on."""
    rows = curves.merge(members.rename(columns={"step": "last"}), on="member")
    lost = (rows["status"] == "diverged") & (rows["step"] >= rows["last"])
    return rows.assign(value=rows["value"].mask(lost, math.inf))
