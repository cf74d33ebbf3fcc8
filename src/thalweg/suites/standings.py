"""Where each optimizer stands over all problems: its average rank, its ratio to the best, its score."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..verdict.intervals import Interval, interval
from . import profiles
from .ranks import Ranks


@dataclass(frozen=True)
class Standing:
    """One optimizer over all problems.

    Attributes:
        average_rank: over the problems, 1 for the lowest loss, ties at the mean of their ranks.
        ratio: geometric mean over problems of its loss over the lowest of all optimizers there, with its 95% interval;
            None where no problem has ratios.
        best_on: the number of problems on which it has the lowest loss.
        score: AlgoPerf's, by median steps to the target of each problem, with its 95% interval.
        score_seconds: the same by seconds; None where a study lacks them.
        apart: whether its average rank is told apart from the best one.
    """

    optimizer: str
    average_rank: float
    ratio: Interval | None
    best_on: int
    score: Interval
    score_seconds: float | None
    apart: bool


def standings(
    losses: pd.DataFrame, ranked: Ranks, ratios: pd.DataFrame, steps: pd.DataFrame, seconds: pd.DataFrame
) -> tuple[Standing, ...]:
    """One for each optimizer, the best average rank first, and of equal ones the lowest ratio.

    Args:
        losses, ratios, steps, seconds: tables as of `SuiteVerdict`.
    """
    timed = bool(seconds.notna().all(axis=None))
    steps, seconds = profiles.to_best(steps), profiles.to_best(seconds)
    lowest = losses.eq(losses.min(axis=1), axis=0) & np.isfinite(losses)
    rows = [
        Standing(
            optimizer=name,
            average_rank=float(rank),
            ratio=geometric(ratios[name].to_numpy()) if len(ratios) else None,
            best_on=int(lowest[name].sum()),
            score=profiles.score(steps[name]),
            score_seconds=profiles.score(seconds[name]).mean if timed else None,
            apart=ranked.apart(name, str(ranked.mean.index[0])),
        )
        for name, rank in ranked.mean.items()
    ]
    return tuple(sorted(rows, key=lambda row: (row.average_rank, row.ratio.mean if row.ratio else 0.0)))


def geometric(ratios: np.ndarray) -> Interval:
    """The geometric mean of ratios to the best, which are 1 or more, with its 95% interval over problems.

    Without a spread, as of an optimizer that is the best everywhere, they say as little about other problems as one of
    them does, and the interval lacks an upper end.

    >>> print(geometric(np.array([1.0, 1.2, 1.1])), "and", geometric(np.array([1.0, 1.0, 1.0])))
    1.097 [1, 1.362] and 1 [1, ∞]
    """
    logs = interval(np.log(ratios if np.ptp(ratios) else ratios[:1]))
    with np.errstate(over="ignore"):
        mean, low, high = map(float, np.exp([logs.mean, logs.low, logs.high]))
    return Interval(mean, max(1.0, low), high)
