"""How often an optimizer is close to the best: performance profiles, and the score of the AlgoPerf benchmark.

On each problem a value (a loss, or the time to a target) is divided by the best one there: r ≥ 1. The profile ρ(τ) is
the share of problems with r ≤ τ (Dolan & Moré 2002, "Benchmarking optimization software with performance profiles"):
ρ(1) is how often an optimizer is the best, and where the line ends how often it gets there at all.

The score is the area under the profile of the times to a target, for τ from 1 to 4, divided by 3 (Dahl et al. 2023,
"Benchmarking neural network training algorithms"): 1 for the fastest everywhere, 0 for one that
never takes less than four times the best. A target that is never reached has r = ∞. The area is exact here; the
benchmark's program adds up 100 trapezoids, which differs in the third digit.

Drawing problems again with replacement makes the number of problems within τ binomial, so bands need no simulation;
they are Wilson's (1927), which unlike the resamples' own quantiles keep a width where all problems agree.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats

from ..verdict.intervals import LEVEL, Interval

TAU = 4.0  # up to which the score looks


def to_best(values: pd.DataFrame) -> pd.DataFrame:
    """The values, one row per problem, divided by the lowest of their row; infinite where a value is.

    >>> to_best(pd.DataFrame({"adam": [10.0, np.inf], "sgd": [20.0, np.inf]})).to_numpy().tolist()
    [[1.0, 2.0], [inf, inf]]
    """
    best = values.min(axis=1)
    with np.errstate(all="ignore"):  # 0/0 and ∞/∞
        ratios = values.div(best, axis=0)
    return ratios.mask(values.eq(best, axis=0), 1.0).mask(np.isinf(values), np.inf)


def profile(ratios: pd.Series) -> pd.DataFrame:
    """tau, share, low, high: the profile of one optimizer, and its 95% band, at 1 and wherever it rises.

    >>> profile(pd.Series([1.0, 1.5, np.inf])).round(2).to_numpy().tolist()
    [[1.0, 0.33, 0.06, 0.79], [1.5, 0.67, 0.21, 0.94]]
    """
    taus = np.unique([1.0, *ratios[np.isfinite(ratios)]])
    counts = [int((ratios <= tau).sum()) for tau in taus]
    ends = [stats.binomtest(k, len(ratios)).proportion_ci(LEVEL, method="wilson") for k in counts]
    shares = [k / len(ratios) for k in counts]
    low, high = zip(*((end.low, end.high) for end in ends), strict=True)
    return pd.DataFrame({"tau": taus, "share": shares, "low": low, "high": high})


def score(ratios: pd.Series) -> Interval:
    """The score of one optimizer; the ends are the areas under those of the band.

    That is on the safe side: 97.6% to 99.7% of such intervals held the score of all problems, for 3 to 20 drawn from
    three distributions.

    >>> print(score(pd.Series([1.0, 2.5, np.inf, np.inf])))
    0.375 [0.09781, 0.7747]
    """
    table = profile(ratios.where(ratios <= TAU, np.inf))
    widths = np.diff([*table["tau"], TAU]) / (TAU - 1)
    return Interval(*(float(widths @ table[end]) for end in ("share", "low", "high")))
