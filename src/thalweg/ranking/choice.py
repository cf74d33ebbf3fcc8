"""The best setting of each candidate, and the runs that it is judged by.

A candidate's settings are compared by the runs of the search: by how many diverged, then by the mean of the others, as
in a study. Only those with the most runs (of different seeds) take part, since the mean of fewer is low more often by
luck. Where a column marks runs of a confirmation, these judge, and had no part in the choice; without one the runs that
chose also judge.

Candidates are compared seed by seed where their chosen settings share seeds, at least two and half of those of the
candidate with the fewest. Otherwise runs are independent repeats.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..plan.factors import Level
from .runs import STOPPED, Runs, plain


@dataclass(frozen=True, eq=False)
class Choice:
    """The settings that are compared, one for each candidate.

    Attributes:
        candidates: those that are.
        rows: of the table, one with the chosen setting of each.
        cells: (seeds or repeats, candidates), the lower the better, infinite where a run diverged; NaN where a
            candidate has fewer repeats.
        paired: whether a row is of one seed.
        confirmed: whether the runs had no part in the choice.
        search: (candidates,) the mean by which each was chosen.
        left_out: how many runs of the chosen settings have a seed that not all share.
        unequal: how many settings could not be chosen because they have fewer runs than others of their candidate.
        reused: how many runs of the confirmation have a seed that also chose their setting.
        missing: candidates that are not compared: each setting was pruned, or none was confirmed.
    """

    candidates: list[Level]
    rows: list[int]
    cells: np.ndarray
    paired: bool
    confirmed: bool
    search: list[float]
    left_out: int
    unequal: int
    reused: int
    missing: list[Level]


def choose(runs: Runs) -> Choice:
    """The best setting of each candidate, and its runs."""
    frame = _averaged(runs.frame)
    fresh = frame[frame["fresh"]]
    search = frame if fresh.empty or fresh.shape[0] == len(frame) else frame[~frame["fresh"]]
    means = _means(search)
    if confirmed := search is not frame:
        # What was chosen elsewhere was confirmed; of several the search decides.
        means = means[means.index.isin(fresh["setting"])]
    best, unequal = _best(means)
    missing = [level for level in runs.frame["candidate"].unique() if level not in set(best["candidate"])]
    judging = fresh if confirmed else search
    each = [judging.loc[judging["setting"] == setting].set_index("seed")["badness"] for setting in best.index]
    cells, paired, left_out = _cells(each, runs.seeded)
    both = fresh.merge(search, on=["setting", "seed"]) if confirmed else fresh[:0]
    return Choice(
        candidates=[plain(level) for level in best["candidate"]],
        rows=best["row"].tolist(),
        cells=cells,
        paired=paired,
        confirmed=confirmed,
        search=[mean if not lost else math.inf for mean, lost in zip(best["mean"], best["lost"], strict=True)],
        left_out=left_out,
        unequal=unequal,
        reused=int(both["setting"].isin(best.index).sum()),
        missing=[plain(level) for level in missing],
    )


def _averaged(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per setting, seed and stage: runs that repeat all three are one piece of evidence, their mean.

    Without seeds each run has one of its own. Settings of which a run was pruned are left out.
    """
    frame = frame.assign(row=np.arange(len(frame)))
    frame = frame.assign(seed=frame["seed"].where(frame["seed"].notna(), "run " + frame["row"].astype(str)))
    halted = frame.loc[frame["status"] == STOPPED, "setting"]
    frame = frame[~frame["setting"].isin(halted)]
    rows = frame.groupby(["setting", "seed", "fresh"], sort=False)
    return rows.agg({"candidate": "first", "badness": "mean", "row": "first"}).reset_index()


def _means(search: pd.DataFrame) -> pd.DataFrame:
    """setting → candidate, on how many seeds it diverged, the mean of the others, how many seeds, and a row."""
    rows = search.assign(
        lost=~np.isfinite(search["badness"]), mean=search["badness"].where(search["badness"] < math.inf)
    )
    means = rows.groupby("setting", sort=True).agg(
        candidate=("candidate", "first"),
        lost=("lost", "sum"),
        mean=("mean", "mean"),
        count=("seed", "size"),
        row=("row", "first"),
    )
    return means.fillna({"mean": math.inf})


def _best(means: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """The best of each candidate, and how many settings have too few runs to be it."""
    enough = means["count"] == means.groupby("candidate")["count"].transform("max")
    order = means[enough].sort_values(["lost", "mean", "row"], kind="stable")
    best = order.drop_duplicates("candidate")
    return best.sort_values("row"), int((~enough).sum())


def _cells(each: Sequence[pd.Series], seeded: bool) -> tuple[np.ndarray, bool, int]:
    """(seeds or repeats, candidates), whether rows are seeds, and how many runs are left out."""
    fewest = min(map(len, each), default=0)
    if seeded and each:
        shared = functools.reduce(pd.Index.intersection, (one.index for one in each))
        if len(shared) == fewest or (len(shared) > 1 and 2 * len(shared) >= fewest):
            cells = np.column_stack([one.loc[shared] for one in each])
            return cells, True, sum(map(len, each)) - cells.size
    cells = np.full((max(map(len, each), default=0), len(each)), math.nan)
    for k, one in enumerate(each):
        cells[: len(one), k] = one
    return cells, False, 0
