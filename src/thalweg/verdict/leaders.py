"""Which setting is ahead after each epoch: whether a shorter study would have named another best.

The chosen settings are those for the whole budget; what leads early on is ahead at the setting that was best in the
end, with a schedule that was made for all of the epochs. A setting that was tuned for fewer epochs might lead there
instead.

Means are over the runs that the verdict is of, and a difference to the leader is paired by seed; each interval is for
itself. From where a run diverged on, its loss is infinite, and so is the mean; the level that did so on fewer runs is
then ahead.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from ..language import say
from ..plan.factors import Factor, Level
from ..plan.folds import FOLD
from ..plan.plan import Plan
from .comparisons import badness, paired
from .entries import Verdict
from .intervals import Interval
from .losses import fold_codes, matching, points, recorded
from .sentences import MOST_CHANGES
from .words import listed


@dataclass(frozen=True)
class Standing:
    """One level after one epoch.

    Attributes:
        value: the mean over seeds (and folds) of what the verdict judges by.
        rank: 1 for the best: of those that diverged on the fewest runs, the lowest mean over the others, as where
            settings are chosen; equal ones share the lowest rank.
        behind: the difference to the level that leads then, paired; zero for that one.
        leads: whether it is that one.
    """

    epoch: int
    level: Level
    value: float
    rank: int
    behind: Interval
    leads: bool

    @property
    def reliably_behind(self) -> bool:
        """By its interval; where a run diverged there is none."""
        return 0 < self.behind.low < math.inf


def leaders(plan: Plan, verdict: Verdict, members: pd.DataFrame, curves: pd.DataFrame) -> list[Standing]:
    """Every level after every epoch, the levels in the order of the verdict; see `Results.leaders`."""
    values, sign = _values(verdict, members, curves), verdict.criterion.sign  # (levels, epochs, seeds, folds)
    levels = [entry.setting[verdict.factor] for entry in verdict.entries]
    standings, first = [], 0
    for epoch, now in enumerate(np.moveaxis(values, 1, 0), start=1):
        keys = [badness(one) for one in now]
        first = min(range(len(now)), key=lambda k: (keys[k], k != first))
        for k, level in enumerate(levels):
            behind = Interval(0.0, 0.0, 0.0) if k == first else paired(now[k], now[first], plan.overlap)
            rank = 1 + sum(key < keys[k] for key in keys)
            standings.append(Standing(epoch, level, sign * float(now[k].mean()), rank, behind, k == first))
    return standings


def _values(verdict: Verdict, members: pd.DataFrame, curves: pd.DataFrame) -> np.ndarray:
    """What judges (levels, epochs, seeds, folds), the lower the better, of the seeds that all levels have."""
    runs = recorded(members, verdict)
    runs = runs[runs["status"].isin(["finished", "diverged"])]
    by = verdict.criterion
    rows = points(curves, runs, by.column)
    of_levels = [_by_epoch(rows, runs[matching(runs, entry.setting)]) for entry in verdict.entries]
    if not any(map(len, of_levels)):
        return np.zeros((0, 0, 0, 0))
    epochs = range(1, max(len(one) for one in of_levels) + 1)
    seeds = sorted(set.intersection(*({*one.columns.get_level_values("seed")} for one in of_levels)))
    values = [one.reindex(epochs)[seeds].to_numpy() for one in of_levels]
    values = [np.where(np.isfinite(one), by.sign * one, math.inf) for one in values]
    return np.stack(values).reshape(len(of_levels), len(epochs), len(seeds), -1)


def _by_epoch(rows: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """Losses (epochs, seeds and folds) of these runs; missing from where one that diverged has none."""
    rows = rows[rows["member"].isin(runs["member"])]
    wide = rows.pivot(index="epoch", columns=["seed", FOLD], values="value").sort_index(axis=1)
    lost = (runs.set_index(["seed", fold_codes(runs)])["status"].reindex(wide.columns) == "diverged").to_numpy()
    return wide.ffill().where(wide.notna() | ~lost)  # a run that stopped by itself stays where it is


def table(standings: Sequence[Standing], factor: str, metric: str = "validation_loss") -> pd.DataFrame:
    """The rows of `Results.leaders`."""
    rows = [(s.epoch, s.level, s.value, s.rank, s.leads, s.behind.mean, s.behind.low, s.behind.high) for s in standings]
    columns = ["epoch", factor, metric, "rank", "leads", "behind", "behind_low", "behind_high"]
    return pd.DataFrame(rows, columns=columns)


@dataclass(frozen=True)
class Reign:
    """Epochs, one after the other, in which one level leads.

    Attributes:
        reliable: in how many of them it is reliably ahead of the level that leads next; 0 for the last.
    """

    level: Level
    first: int
    last: int
    reliable: int = 0


def reigns(standings: Sequence[Standing]) -> list[Reign]:
    """Which level leads from when to when."""
    order = []
    for level, group in itertools.groupby((one for one in standings if one.leads), key=lambda one: one.level):
        epochs = [one.epoch for one in group]
        order.append(Reign(level, epochs[0], epochs[-1]))
    behind = {(one.epoch, one.level) for one in standings if one.reliably_behind}
    for k, (one, after) in enumerate(itertools.pairwise(order)):
        reliable = sum((epoch, after.level) in behind for epoch in range(one.first, one.last + 1))
        order[k] = replace(one, reliable=reliable)
    return order


def settled(standings: Sequence[Standing]) -> int:
    """The epoch from which on the ranks of all are those of the end."""
    by_epoch = [[one.rank for one in group] for _, group in itertools.groupby(standings, key=lambda one: one.epoch)]
    different = [epoch for epoch, ranks in enumerate(by_epoch, start=1) if ranks != by_epoch[-1]]
    return 1 + max(different, default=0)


def sentence(standings: Sequence[Standing], factor: Factor) -> str:
    """Which leads when, and from when on nothing changes."""
    order = reigns(standings)
    if not order:
        return say("No epoch of these runs has been recorded.")
    epochs, last = standings[-1].epoch, order[-1]
    if epochs == 1:
        return say("One epoch shows no course: {level} is ahead after it.", level=factor.called(last.level))
    end = say("{level} from {first} on", level=factor.called(last.level), first=last.first)
    if len(order) == 1:
        words = say("{level} leads after every epoch", level=factor.called(last.level))
    elif len(order) > MOST_CHANGES + 1:
        changes = say("the lead changes {count} times in {epochs} epochs", count=len(order) - 1, epochs=epochs)
        words = say(
            "{level} leads at first; {changes}, and it is {end}",
            level=factor.called(order[0].level),
            changes=changes,
            end=end,
        )
    else:
        words = listed([*(_reign(one, after, factor) for one, after in itertools.pairwise(order)), end])
    start = settled(standings)
    order_of_all = say(
        " The order of all is that of the end from epoch {start} of {epochs} on.", start=start, epochs=epochs
    )
    return f"{words}.{order_of_all * (len({one.level for one in standings}) > 2)}"


def _reign(one: Reign, after: Reign, factor: Factor) -> str:
    count = one.last - one.first + 1
    several = (
        say("until epoch {last}", last=one.last)
        if one.first == 1
        else say("at epochs {first} to {last}", first=one.first, last=one.last)
    )
    words = say(
        "{level} leads {when}",
        level=factor.called(one.level),
        when=several if count > 1 else say("at epoch {epoch}", epoch=one.first),
    )
    return say(
        "{words} (reliably ahead of {next} in {reliable} of {count})",
        words=words,
        next=factor.called(after.level),
        reliable=one.reliable,
        count=count,
    )
