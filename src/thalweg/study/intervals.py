"""Means over seeds with their intervals, and the order they allow: who is reliably better than whom.

Intervals resample seeds: all settings share a seed's initial weights and order of samples, so differences are
taken seed by seed. The plain percentile interval is too narrow for few seeds; its ends are moved away from
the mean by the factor that makes it right for normal data (after Hesterberg 2015, section 5.3, who moves
the quantiles instead, which cannot help where the resamples of three or five values end). One level is
reliably better than another if their paired difference's interval lies on one side of zero; those that
nobody is reliably better than are tied for the first place, and so on down.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

LEVEL = 0.95
RESAMPLES = 10_000


@dataclass(frozen=True)
class Interval:
    """A mean over seeds and its 95% interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.4g} [{self.low:.4g}, {self.high:.4g}]"


@dataclass(frozen=True)
class Ranking:
    """For each column of a table of losses: its group, mean, paired difference and chance to be best."""

    rank: list[int]
    mean: list[Interval]
    difference: list[Interval]
    probability: list[float]


def rank(losses: np.ndarray, seed: int = 0) -> tuple[list[int], Ranking]:
    """Order columns from best to worst, with intervals and tie groups.

    A candidate's group is the one after the last group that holds somebody reliably better. So within a
    group nobody can be told from anybody, and the first group holds all that nobody is reliably better than.

    Args:
        losses: (seeds, candidates); inf for a run that diverged.

    Returns:
        The order (best first), and the ranking by column.
    """
    count, width = losses.shape
    drawn = np.random.default_rng(seed).integers(0, count, (RESAMPLES, count))
    resampled = losses[drawn].mean(axis=1)  # (resamples, candidates)
    # Widened like the intervals, so that the chance of being best never contradicts them.
    centre = losses.mean(axis=0)
    finite = np.isfinite(losses).all(axis=0)
    spread = resampled.copy()
    spread[:, finite] = centre[finite] + _wider(count) * (resampled[:, finite] - centre[finite])
    lowest = spread == spread.min(axis=1, keepdims=True)
    probability = (lowest / lowest.sum(axis=1, keepdims=True)).mean(axis=0)

    def difference(k: int, leader: int) -> Interval:
        if k == leader:
            return Interval(0.0, 0.0, 0.0)
        # Both infinite is no difference that could be told.
        with np.errstate(invalid="ignore"):
            gap = np.nan_to_num(losses[:, k] - losses[:, leader], nan=0.0, posinf=np.inf, neginf=-np.inf)
        if np.isposinf(gap).any() and np.isneginf(gap).any():
            return Interval(math.inf, -math.inf, math.inf)  # each diverged where the other did not
        return interval(gap, gap[drawn].mean(axis=1))

    by_mean = sorted(range(width), key=lambda k: (*badness(losses[:, k]), k))
    groups = [1] * width
    for place, k in enumerate(by_mean):
        better = [groups[j] for j in by_mean[:place] if difference(k, j).low > 0]
        groups[k] = 1 + max(better, default=0)
    order = sorted(by_mean, key=lambda k: groups[k])
    return order, Ranking(
        rank=groups,
        mean=[interval(losses[:, k], resampled[:, k]) for k in range(width)],
        difference=[difference(k, order[0]) for k in range(width)],
        probability=[float(p) for p in probability],
    )


def interval(values: np.ndarray, resampled: np.ndarray) -> Interval:
    """The mean of `values` with the percentile interval of its bootstrap means, widened for few values.

    One value alone gives an interval without ends: a single seed says nothing about others.
    """
    count = len(values)
    mean = float(values.mean())
    if count < 2:
        return Interval(mean, -math.inf, math.inf)
    if not np.isfinite(mean):
        return Interval(mean, mean, mean)
    above = (1 + LEVEL) / 2
    low, high = np.quantile(resampled, [1 - above, above])
    wider = _wider(count)
    return Interval(mean, float(mean + wider * (low - mean)), float(mean + wider * (high - mean)))


def _wider(count: int) -> float:
    """The factor by which the bootstrap of `count` values is too narrow.

    It divides by n where n − 1 is right, and has the normal's tails where Student's are right.
    """
    if count < 2:
        return 1.0
    above = (1 + LEVEL) / 2
    return math.sqrt(count / (count - 1)) * stats.t.ppf(above, count - 1) / stats.norm.ppf(above)


def alone(values: np.ndarray) -> Interval:
    drawn = np.random.default_rng(0).integers(0, len(values), (RESAMPLES, len(values)))
    return interval(values, values[drawn].mean(axis=1))


def badness(losses: np.ndarray) -> tuple[int, float]:
    """On how many seeds it diverged, then the mean loss over the others."""
    finite = losses[np.isfinite(losses)]
    return len(losses) - len(finite), float(finite.mean()) if len(finite) else math.inf
