"""What a smaller search would have given: the best of k settings drawn from the grid, for every k.

A search of n settings says more than its lowest loss: a search of only k of them, picked at random, ends with the
lowest of k. Its distribution is known exactly, because the grid is complete: of the n losses in ascending order, the
lowest of k drawn without replacement is above the j-th with probability C(n − j, k) / C(n, k).
Dodge et al. (2019, "Show your work") report the expected value of it, with replacement. The expected value is infinite
as long as k settings might all diverge, however unlikely that is; so the median is reported, with the middle half and
the middle 80%, which infinities leave in place. The expected value stands beside them where it is finite.

A setting's loss is its mean over the search's seeds, infinite if one diverged; one that halving stopped counts with the
losses it had then. The lowest of many means is low partly by luck, here as in the search.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import Any

import numpy as np
import pandas as pd

from ..language import say
from ..plan.factors import Factor, Level
from ..plan.plan import Plan
from .losses import search_losses
from .sentences import MOST_CHANGES
from .verdict import rankable
from .words import listed

QUANTILES = {"median": 0.5, "low_50": 0.25, "high_50": 0.75, "low_80": 0.1, "high_80": 0.9}
MOST_POINTS = 64  # each number of settings up to it, and about so many beyond
SLACK = 1e-12  # of chances that are added up, by rounding
_COLUMNS = ("tried", "settings", *QUANTILES, "seed_low", "seed_high", "mean", "all_diverged")


@dataclass(frozen=True)
class BestOf:
    """The distribution of the lowest loss among some of the settings.

    Attributes:
        losses: of all settings, ascending.
        chances: that the lowest is each of them.
    """

    losses: np.ndarray
    chances: np.ndarray

    @property
    def mean(self) -> float:
        """Infinite where all that are drawn may have diverged."""
        possible = self.chances > 0
        return float(self.losses[possible] @ self.chances[possible])

    @property
    def all_diverged(self) -> float:
        """The chance that every setting drawn diverged."""
        return float(self.chances[~np.isfinite(self.losses)].sum())

    def quantile(self, share: float) -> float:
        """The smallest loss that the lowest is at or below with that probability."""
        return float(self.losses[int(np.argmax(np.cumsum(self.chances) >= share - SLACK))])


def best_of(losses: np.ndarray, count: int) -> BestOf:
    """The lowest of so many settings, drawn uniformly without replacement.

    Args:
        losses: (settings,), infinite where one diverged.
        count: of the settings drawn, from 1 to their number.

    >>> two = best_of(np.array([1.0, np.inf, 3.0, 2.0]), 2)
    >>> two.chances.round(4).tolist(), two.quantile(0.5), round(two.mean, 4)
    ([0.5, 0.3333, 0.1667, 0.0], 1.0, 1.6667)
    """
    ordered, total = np.sort(losses), len(losses)
    drawn_before = np.arange(total)
    # the factors of C(n − j, k) / C(n, k), from one j to the next
    above = np.cumprod(np.clip((total - count - drawn_before) / (total - drawn_before), 0, 1))
    return BestOf(ordered, np.append(1.0, above[:-1]) - above)


def expected_best(plan: Plan, members: pd.DataFrame, by: str = "optimizer") -> pd.DataFrame:
    """One row per level of the factor and number of settings tried; see `Results.expected_best`."""
    factor = rankable(plan, by)
    each = [signed(row, plan.criterion.sign) for row in rows(plan, members, factor)]
    return pd.DataFrame(each, columns=[factor.name, *_COLUMNS])


def signed(row: Mapping[str, Any], sign: float) -> Mapping[str, Any]:
    """A row of what is the lower the better in the metric's own direction."""
    if sign > 0:
        return row
    ends = (("low_50", "high_50"), ("low_80", "high_80"), ("seed_low", "seed_high"))
    turned = {one: -row[other] for pair in ends for one, other in (pair, pair[::-1])}
    return {**row, **turned, "median": -row["median"], "mean": -row["mean"]}


def rows(plan: Plan, members: pd.DataFrame, factor: Factor) -> list[dict[str, Any]]:
    """The rows of `expected_best`, the lower the better, with `alone`: the median that each seed gives."""
    search = search_losses(plan, members, factor.name, stopped=True, grid=True)
    by_seed = search.values.mean(axis=2) if search.settings else np.zeros((0, 0))
    result = []
    for level in factor.levels:
        losses = by_seed[[setting[factor.name] == level for setting in search.settings]]  # (settings, seeds)
        if losses.size and not np.isnan(losses).any():
            result += [{factor.name: level, **_row(losses, count)} for count in _counts(len(losses))]
    return result


def _counts(most: int) -> list[int]:
    """The numbers of settings: each of the first, then evenly on a logarithmic axis, up to all of them."""
    beyond = np.geomspace(min(most, MOST_POINTS), most, MOST_POINTS).round().astype(int)
    return sorted({*range(1, min(most, MOST_POINTS) + 1), *beyond.tolist()})


def _row(losses: np.ndarray, count: int) -> dict[str, Any]:
    """Of losses (settings, seeds)."""
    best = best_of(losses.mean(axis=1), count)
    alone = tuple(best_of(seed, count).quantile(0.5) for seed in losses.T)
    return {
        "tried": count,
        "settings": len(losses),
        **{name: best.quantile(share) for name, share in QUANTILES.items()},
        "seed_low": min(alone),
        "seed_high": max(alone),
        "mean": best.mean,
        "all_diverged": best.all_diverged,
        "alone": alone,
    }


@dataclass(frozen=True)
class Lead:
    """The level with the lowest median, from so many settings tried to so many.

    Attributes:
        median: with the first of these numbers of settings.
        agree: how many seeds, each judged alone, have the same level in front there; of `seeds`.
    """

    level: Level
    first: int
    last: int
    median: float
    agree: int
    seeds: int

    def __str__(self) -> str:
        return say(
            "median {median:.4g}, in front on {agree} of {seeds} seeds alone",
            median=self.median,
            agree=self.agree,
            seeds=self.seeds,
        )


def leads(of_levels: Sequence[Mapping[str, Any]], factor: Factor) -> list[Lead]:
    """Which level is ahead with how few settings; a grid that is used up stays at its best.

    Of equal medians the lower expected value leads, then the level that led before.

    Args:
        of_levels: as `rows` gives them.
    """
    order: list[Lead] = []
    latest: dict[Level, Mapping[str, Any]] = {}
    count = itemgetter("tried")
    for tried, several in itertools.groupby(sorted(of_levels, key=count), key=count):
        latest |= {row[factor.name]: row for row in several}
        before = order[-1].level if order else None
        level = min(latest, key=lambda one: (latest[one]["median"], latest[one]["mean"], one != before))
        if not math.isfinite(latest[level]["median"]):
            continue
        if order and level == before:
            order[-1] = replace(order[-1], last=tried)
        else:
            alone = np.array([latest[one]["alone"] for one in (level, *latest)])  # (levels, seeds)
            agree = int((alone[0] <= alone.min(axis=0)).sum())
            order.append(Lead(level, tried, tried, latest[level]["median"], agree, alone.shape[1]))
    return order


def sentence(of_levels: Sequence[Mapping[str, Any]], factor: Factor, sign: float = 1.0) -> str:
    """Which is ahead with few settings tried, and where that turns over; of a single level, what more settings give.

    Args:
        of_levels: as `rows` gives them.
        sign: −1 where higher is better.
    """
    if len({row[factor.name] for row in of_levels}) != 1:
        return turns([replace(one, median=sign * one.median) for one in leads(of_levels, factor)], factor)
    few = [row for row in of_levels if row["tried"] in (1, 2, 4, 8) or row["tried"] == row["settings"]]
    words = [
        say("{median:.4g} of {tried}", median=sign * row["median"], tried=row["tried"]).replace("inf", "∞")
        for row in few
    ]
    return say(
        "The median of the best is {medians} settings of {level}.",
        medians=listed(words),
        level=factor.called(few[0][factor.name]),
    )


def turns(order: Sequence[Lead], factor: Factor) -> str:
    """Which is ahead, in words."""
    if not order:
        return say("No number of settings gives a finite loss in half of the draws.")
    names = [factor.called(one.level) for one in order]
    first, last = order[0], order[-1]
    if len(order) == 1:
        return say(
            "{name} is ahead however many settings are tried (with {count}: {how}).",
            name=names[0],
            count=first.first,
            how=first,
        )
    few = say("at most {count} settings", count=first.last) if first.last > 1 else say("a single setting")
    end = say("{name} from {first} on ({how})", name=names[-1], first=last.first, how=last)
    if len(order) > MOST_CHANGES + 1:
        changes = say("in between the lead changes {count} times", count=len(order) - 1)
        return say(
            "With {few} tried {name} is ahead ({how}), {end}; {changes}.",
            few=few,
            name=names[0],
            how=first,
            end=end,
            changes=changes,
        )
    between = [
        say("{name} with {first} to {last}", name=name, first=one.first, last=one.last)
        if one.last > one.first
        else say("{name} with {first}", name=name, first=one.first)
        for name, one in zip(names[1:-1], order[1:-1], strict=True)
    ]
    return say(
        "With {few} tried {name} is ahead ({how}), {later}.",
        few=few,
        name=names[0],
        how=first,
        later=listed([*between, end]),
    )
