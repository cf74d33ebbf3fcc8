"""How far a mean over seeds (or over seeds and folds) can be trusted: its 95% interval.

A seed gives every run the same initial weights and order of samples, and a fold the same data, so runs of one
seed or fold are one piece of evidence: the standard error is that of seeds and folds, not of runs. For seeds
alone it is the usual one. Where every seed meets every fold, the variances of both add, less what they count
twice (Cameron, Gelbach & Miller 2011, eq. 2.11), with the degrees of freedom of Satterthwaite (1946). Where the few
seeds at hand happen to agree, that is too narrow; so an interval is never narrower than that of the seeds alone with
their own freedom, nor than that of the folds alone.

Folds train on samples in common, so their losses are alike and show too little of their variance, which no estimate
from one cross-validation gets right (Bengio & Grandvalet 2004, section 4). The variance of the mean over F folds is
taken to be (1/F + n₂/n₁) s² in place of s²/F, where a fold judges on n₂ samples and trains on n₁ (Nadeau & Bengio
2003, section 3; for k folds Bouckaert & Frank 2004, section 3.3); n₂/n₁ is the `overlap`.

Losses are skewed: now and then a seed is much worse than the others, and seldom much better. Student's
interval then lies too low. It is corrected for the skewness seen, by the cubic transformation of Hall (1992,
"On the removal of skewness by transformation", eq. 2.3), which changes nothing for values that are not skewed.
For so few values this covers better than any bootstrap; `docs/method.md` has the measured coverage of each.
Differences of two settings are much less skewed, and keep Student's interval, by which ties are decided too.

Read next: `comparisons.py`, which settings are better than which.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from ..language import filled, say

if TYPE_CHECKING:
    from ..plan.criterion import Criterion

LEVEL = 0.95
ROUNDING = 1e-6  # relative: what float32 leaves uncertain of a mean loss

_LARGE = 1e60  # the fourth power of what is larger overflows, or of a few hundred such values their sum


@dataclass(frozen=True)
class Interval:
    """A mean over seeds and its 95% interval."""

    mean: float
    low: float
    high: float

    def times(self, factor: float) -> Interval:
        """Of so many times these values; of those that are higher where these are lower, for a factor of −1."""
        low, high = (self.low, self.high) if factor > 0 else (self.high, self.low)
        return Interval(factor * self.mean, factor * low, factor * high)

    def by(self, criterion: Criterion) -> Interval:
        """Of what is judged, the lower the better, in the metric's own values."""
        return self.times(criterion.sign).within(criterion.scale)

    def within(self, scale: tuple[float, float]) -> Interval:
        """Without the part that lies off the scale, where no mean can be: it covers the true one as often as before.

        A mean that lies off the scale itself is of something else of that name, and one value alone says nothing.

        >>> print(Interval(0.1, -0.2, 0.4).within((0.0, math.inf)))
        0.1 [0, 0.4]
        """
        low, high = scale
        if not low <= self.mean <= high or math.isinf(self.low) or math.isinf(self.high):
            return self
        return Interval(self.mean, max(low, self.low), min(high, self.high))

    def __str__(self) -> str:
        if math.isinf(self.low) and math.isinf(self.high) and math.isfinite(self.mean):
            return say("{mean:.4g} (one value, so no interval)", mean=self.mean)
        return filled("{mean:.4g} [{low:.4g}, {high:.4g}]", mean=self.mean, low=self.low, high=self.high)


@dataclass(frozen=True)
class Estimate:
    """Means of many sets of values at once.

    Attributes:
        mean, skewness: of each set.
        errors, freedoms: (ways, …) standard errors and degrees of freedom: those of seeds and folds together, then,
            where there are both, those of each alone.
    """

    mean: np.ndarray
    errors: np.ndarray
    freedoms: np.ndarray
    skewness: np.ndarray

    @property
    def error(self) -> np.ndarray:
        return self.errors[0]

    def reach(self, tail: float) -> np.ndarray:
        """How far above its mean the true one lies at the most, but for that share of studies."""
        return reach(self.errors, self.freedoms, tail)


def reach(errors: np.ndarray, freedoms: np.ndarray, tail: float) -> np.ndarray:
    """As of an `Estimate`: the widest over the ways (first axis) of estimating an error; negative above a half."""
    if tail > 0.5:
        return -reach(errors, freedoms, 1 - tail)
    return (special.stdtrit(freedoms, 1 - tail) * errors).max(axis=0)


def unit(values: np.ndarray) -> float:
    """What to count values in, so that no square of a square overflows: a power of two, which changes no digit.

    It is 1 where that is so already, whatever else the values are.

    >>> unit(np.array([1e-9, 1e9])), 1 <= 1e297 / unit(np.array([1e297, np.inf])) < 2
    (1.0, True)
    """
    largest = abs(values[np.isfinite(values)]).max(initial=0.0)
    return 2.0 ** (math.frexp(largest)[1] - 1) if largest > _LARGE else 1.0


def estimate(values: np.ndarray, overlap: float = 0.0) -> Estimate:
    """Means over the last two axes.

    Args:
        values: (…, seeds, folds), finite, more than one of them.
        overlap: of the folds: samples that one judges on per sample it trains on.
    """
    size = unit(values)
    values = values / size
    seeds, folds = values.shape[-2:]
    by_seed, by_fold, mean = values.mean(axis=-1), values.mean(axis=-2), values.mean(axis=(-2, -1))
    squares, freedoms = _mean_squares(values, by_seed, by_fold, mean, 1 + overlap * folds)
    # Third and second central moments of the mean: those of the seeds' means and of the folds' means add.
    third = sum(_moment(one, 3) / one.shape[-1] ** 2 for one in (by_seed, by_fold))
    second = sum(_moment(one, 2) / one.shape[-1] for one in (by_seed, by_fold))
    skewness = np.divide(third, second**1.5, out=np.zeros_like(mean), where=second > 0)
    return Estimate(mean * size, np.sqrt(squares / (seeds * folds)) * size, freedoms, skewness)


def _mean_squares(
    values: np.ndarray, by_seed: np.ndarray, by_fold: np.ndarray, mean: np.ndarray, common: float
) -> tuple[np.ndarray, np.ndarray]:
    """The mean squares that belong to the mean of all values, and their degrees of freedom, (ways, …) each.

    `common` is what the variance of folds is too small by.
    """
    seeds, folds = values.shape[-2:]
    if 1 in (seeds, folds):
        square = values.var(axis=(-2, -1), ddof=1) * (common if folds > 1 else 1.0)
        return square[None], np.full((1, *mean.shape), seeds * folds - 1.0)
    rest = values - by_seed[..., None] - by_fold[..., None, :] + mean[..., None, None]
    several = (seeds - 1) * (folds - 1)
    of_seeds, of_folds = folds * by_seed.var(axis=-1, ddof=1), common * seeds * by_fold.var(axis=-1, ddof=1)
    both = (rest**2).sum(axis=(-2, -1)) / several
    # Never less than either alone, which chance can make of the difference.
    square = np.maximum(of_seeds + of_folds - both, np.maximum(of_seeds, of_folds))
    noise = of_seeds**2 / (seeds - 1) + of_folds**2 / (folds - 1) + both**2 / several
    together = np.divide(square**2, noise, out=np.full(mean.shape, 1.0), where=noise > 0)
    each = [np.full(mean.shape, count - 1.0) for count in (seeds, folds)]
    return np.stack([square, of_seeds, of_folds]), np.stack([together, *each])


def _moment(values: np.ndarray, order: int) -> np.ndarray:
    return ((values - values.mean(axis=-1, keepdims=True)) ** order).mean(axis=-1)


def bounds(
    values: np.ndarray, skewed: bool = True, overlap: float = 0.0, picked_from: float = 1
) -> tuple[np.ndarray, np.ndarray]:
    """The ends of the 95% intervals of means over the last two axes.

    Args:
        values, overlap: as `estimate` takes them.
        skewed: correct for skewness; differences are left uncorrected.
        picked_from: of how many independent means each is the lowest, which makes it too low: the upper end is then at
            a level divided by their number.
    """
    means = estimate(values, overlap)
    skewness = means.skewness if skewed else np.zeros_like(means.mean)
    tail = (1 - LEVEL) / 2
    error = np.where(means.error > 0, means.error, 1.0)
    quantiles = means.reach(tail) / error, -means.reach(tail / picked_from) / error
    low, high = (means.mean - _untransformed(q, skewness) * means.error for q in quantiles)
    return low, high


def _untransformed(quantile: np.ndarray, skewness: np.ndarray) -> np.ndarray:
    """The t whose skewness-corrected value is that quantile: the inverse of t + at²/3 + a²t³/27 + a/6."""
    straight = abs(skewness) < 1e-6
    a = np.where(straight, 1.0, skewness)
    return np.where(straight, quantile, 3 * (np.cbrt(1 + a * (quantile - a / 6)) - 1) / a)


def interval(values: np.ndarray, skewed: bool = True, overlap: float = 0.0, picked_from: float = 1) -> Interval:
    """The mean of values (seeds,) or (seeds, folds) with its 95% interval; arguments are those of `bounds`.

    One value alone gives an unbounded interval: a single seed says nothing about others.

    >>> print(interval(np.array([1.0, 2.0, 3.0])))
    2 [−0.4841, 4.484]
    """
    table = values.reshape(len(values), -1)
    mean = float(table.mean())
    if table.size < 2:
        return Interval(mean, -math.inf, math.inf)
    if not math.isfinite(mean):
        return Interval(mean, mean, mean)
    low, high = bounds(table, skewed, overlap, picked_from)
    return Interval(mean, float(low), float(high))


def spread(values: np.ndarray, overlap: float = 0.0) -> tuple[float, float]:
    """The standard errors of the mean that come from the seeds, and from the folds or parts of the samples.

    Args:
        values: (seeds, folds or parts).

    NaN where there is only one, or a mean is infinite.
    """
    if not np.isfinite(values).all():
        return math.nan, math.nan
    size, (seeds, parts) = unit(values), values.shape
    values = values / size
    of_seeds = math.sqrt(values.mean(axis=1).var(ddof=1) / seeds) if seeds > 1 else math.nan
    of_parts = math.sqrt(values.mean(axis=0).var(ddof=1) * (1 / parts + overlap)) if parts > 1 else math.nan
    return of_seeds * size, of_parts * size


def quantile(values: np.ndarray, share: float) -> float:
    """The value that such a share of all seeds stays below, from a few of them.

    Between the two nearest of the values in ascending order, at place (n + 1/3) share + 1/3 of n (definition 8 of
    Hyndman & Fan 1996), so that the estimate is about as often too high as too low, whatever their distribution. Where
    that lies beyond the last, as for 90% of at most 6 values, it is the largest, and the truth is mostly higher.

    Args:
        values: (seeds,); infinite ones are the largest.

    >>> quantile(np.arange(1.0, 11.0), 0.9), quantile(np.array([1.0, 3.0, 2.0]), 0.9)
    (9.633333333333333, 3.0)
    """
    with np.errstate(invalid="ignore"):  # between two that are infinite
        result = np.quantile(values, share, method="median_unbiased")
    return math.inf if np.isnan(result) else float(result)
