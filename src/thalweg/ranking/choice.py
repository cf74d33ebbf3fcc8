"""The best setting of each candidate, and the runs that it is judged by.

A candidate's settings are compared by the runs of the search: by how many diverged, then by the mean of the others, as
in a study. Only those with the most runs (of different seeds) take part, since the mean of fewer is low more often by
luck. Where a column marks runs of a confirmation, these judge, and had no part in the choice; without one the runs that
chose also judge. Of several settings that were confirmed on the same seeds the best represents its candidate, as in a
study, and what is said allows for the pick.

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
from ..verdict.comparisons import badness
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
        rivals: of each candidate its other confirmed settings, as `comparisons.rank` takes them; None where the search
            alone has chosen.
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
    rivals: list[np.ndarray] | None = None


def choose(runs: Runs) -> Choice:
    """The best setting of each candidate, and its runs."""
    frame = _averaged(runs.frame)
    fresh = frame[frame["fresh"]]
    search = frame if fresh.empty or fresh.shape[0] == len(frame) else frame[~frame["fresh"]]
    means = by_setting(search).fillna({"mean": math.inf})
    if confirmed := search is not frame:
        # What was chosen elsewhere was confirmed.
        means = means[means.index.isin(fresh["setting"])]
    best, unequal = _best(means)
    missing = [level for level in runs.frame["candidate"].unique() if level not in set(best["candidate"])]
    judging = fresh if confirmed else search
    each = [judging.loc[judging["setting"] == setting].set_index("seed")["badness"] for setting in best.index]
    shared, rivals = _shared(each) if runs.seeded else None, None
    if shared is None:
        cells = _repeats(each)
    elif confirmed:
        best, cells, rivals = _picked(best, fresh, shared)
    else:
        cells = np.column_stack([one.loc[shared] for one in each])
    both = fresh.merge(search, on=["setting", "seed"]) if confirmed else fresh[:0]
    return Choice(
        candidates=[plain(level) for level in best["candidate"]],
        rows=best["row"].tolist(),
        cells=cells,
        paired=shared is not None,
        confirmed=confirmed,
        search=means["mean"].mask(means["lost"] > 0, math.inf).reindex(best.index).tolist(),
        left_out=0 if shared is None else sum(map(len, each)) - cells.size,
        unequal=unequal,
        reused=int(both["setting"].isin(best.index).sum()),
        missing=[plain(level) for level in missing],
        rivals=rivals,
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


def by_setting(frame: pd.DataFrame) -> pd.DataFrame:
    """setting → candidate, a row, how many runs it has and how many diverged; of the others the mean and the ends."""
    rows = frame.assign(lost=np.isinf(frame["badness"]), finite=frame["badness"].where(np.isfinite(frame["badness"])))
    return rows.groupby("setting").agg(
        candidate=("candidate", "first"),
        row=("row", "first"),
        count=("row", "size"),
        lost=("lost", "sum"),
        mean=("finite", "mean"),
        low=("finite", "min"),
        high=("finite", "max"),
    )


def _best(means: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """The best of each candidate, and how many settings have too few runs to be it."""
    enough = means["count"] == means.groupby("candidate")["count"].transform("max")
    order = means[enough].sort_values(["lost", "mean", "row"], kind="stable")
    best = order.drop_duplicates("candidate")
    return best.sort_values("row"), int((~enough).sum())


def _shared(each: Sequence[pd.Series]) -> pd.Index | None:
    """The seeds on which settings are compared; None where they share too few."""
    if not each:
        return None
    fewest = min(map(len, each))
    shared = functools.reduce(pd.Index.intersection, (one.index for one in each))
    return shared if len(shared) == fewest or (len(shared) > 1 and 2 * len(shared) >= fewest) else None


def _repeats(each: Sequence[pd.Series]) -> np.ndarray:
    """(repeats, candidates); NaN where a candidate has fewer."""
    cells = np.full((max(map(len, each), default=0), len(each)), math.nan)
    for k, one in enumerate(each):
        cells[: len(one), k] = one
    return cells


def _picked(
    best: pd.DataFrame, fresh: pd.DataFrame, shared: pd.Index
) -> tuple[pd.DataFrame, np.ndarray, list[np.ndarray]]:
    """Of each candidate's confirmed settings the one that was best there, its values, and those of the others.

    Args:
        best: the search's choices; of equal means these stay.
        shared: their seeds; a setting that lacks one of them takes no part.
    """
    values = fresh.pivot(index="seed", columns="setting", values="badness").loc[shared].dropna(axis=1)
    facts = fresh.groupby("setting").first()
    order = {s: (*badness(values[s].to_numpy()), s not in best.index, facts["row"][s]) for s in values}
    candidates = facts["candidate"][values.columns]
    of_each = [sorted(values.columns[candidates == one], key=order.__getitem__) for one in best["candidate"]]
    picked = [some[0] for some in of_each]
    rivals = [values[some[1:]].to_numpy()[:, None] for some in of_each]
    return facts.loc[picked], values[picked].to_numpy(), rivals
