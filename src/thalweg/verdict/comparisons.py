"""Which settings are reliably better than which, and the order and places that follow.

All settings share a seed's initial weights and order of samples, so differences are taken seed by seed. Each
pair is tested by its paired differences (Student's t), and because many pairs are tested, some would differ by
chance alone; so the p-values are adjusted as Shaffer (1986, "Modified sequentially rejective multiple test
procedures", S1) does for all pairs of means: as Holm, but counting only as many hypotheses as can still be true
together. The chance that any two equal settings are told apart stays below 5%, however many there are.

A setting is better than another if their adjusted p-value is below 5%. Settings that none is better than are tied for
the first place, and so on down, so no two of a group can be told apart. A place is at least one after all better
settings and at most one before all worse ones: simultaneous intervals of the ranks, as Mogstad, Romano, Shaikh &
Wilhelm (2024) derive them from pairs.

A run that diverged has an infinite loss, and so has every mean with one in it; that decides the order. In the test it
counts as the worst loss that any run here reached. One that always diverged is worse than one that never did.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
from scipy import special, stats

from .intervals import LEVEL, Interval, estimate, interval

RESAMPLES = 10_000
MOST_SEEDS = 1000  # more than so many further seeds is not worth it
POWER = 0.8
_MANY = 60  # above, the refinement over Holm is small and long to compute


@dataclass(frozen=True)
class Ranking:
    """For each column of a table of losses, where it stands.

    Attributes:
        rank: 1 for the group of the best, 2 for the next group, …
        places: first and last place it may have, 95% simultaneous.
        mean, difference: with intervals; the difference is to the best, paired, each interval for itself.
        probability: share of resamples of seeds (and folds) in which it is the best.
        more_seeds: how many more seeds would tell it from the best; 0 where they are already told apart, ∞ for more
            than `MOST_SEEDS`.
        comparisons: how many pairs were tested.
    """

    rank: list[int]
    places: list[tuple[int, int]]
    mean: list[Interval]
    difference: list[Interval]
    probability: list[float]
    more_seeds: list[float]
    comparisons: int


def rank(losses: np.ndarray, seed: int = 0, overlap: float = 0.0) -> tuple[list[int], Ranking]:
    """Order columns from best to worst, with intervals, tie groups and places.

    A candidate's group is the one after the last group that holds a better one. So no two of a group can be told
    apart, and the first group holds all that none is better than.

    Args:
        losses: (seeds, candidates) or (seeds, folds, candidates); inf for a run that diverged.
        overlap: of the folds, as `intervals.estimate` takes it.

    Returns:
        The order (best first), and the ranking by column.
    """
    cells = losses.reshape(len(losses), -1, losses.shape[-1])  # (seeds, folds, candidates)
    width = cells.shape[-1]
    flat = cells.reshape(-1, width)
    by_mean = sorted(range(width), key=lambda k: (*badness(flat[:, k]), k))
    pairs = _Pairs.of(cells, by_mean, overlap)
    groups = [1] * width
    for place, k in enumerate(by_mean):
        groups[k] = 1 + max((groups[j] for j in by_mean[:place] if pairs.better[j, k]), default=0)
    order = sorted(by_mean, key=lambda k: groups[k])
    ahead, behind = pairs.better.sum(axis=0), pairs.better.sum(axis=1)
    return order, Ranking(
        rank=groups,
        places=[(1 + int(ahead[k]), width - int(behind[k])) for k in range(width)],
        mean=[interval(cells[..., k], overlap=overlap) for k in range(width)],
        difference=[
            Interval(0.0, 0.0, 0.0) if k == order[0] else paired(cells[..., k], cells[..., order[0]], overlap)
            for k in range(width)
        ],
        probability=_chances(cells, seed, overlap),
        more_seeds=[pairs.more_seeds(cells, k, order[0], overlap) for k in range(width)],
        comparisons=width * (width - 1) // 2,
    )


def badness(losses: np.ndarray) -> tuple[int, float]:
    """On how many seeds it diverged, then the mean loss over the others."""
    finite = losses[np.isfinite(losses)]
    return losses.size - finite.size, float(finite.mean()) if finite.size else math.inf


def paired(losses: np.ndarray, others: np.ndarray, overlap: float = 0.0) -> Interval:
    """How much higher the losses are, seed by seed; both (seeds,) or (seeds, folds)."""
    # Two infinite losses are counted as equal.
    with np.errstate(invalid="ignore"):
        gap = np.nan_to_num(losses - others, nan=0.0, posinf=np.inf, neginf=-np.inf)
    if np.isposinf(gap).any() and np.isneginf(gap).any():
        return Interval(math.inf, -math.inf, math.inf)  # each diverged where the other did not
    return interval(gap, skewed=False, overlap=overlap)


def _chances(cells: np.ndarray, seed: int, overlap: float) -> list[float]:
    """In which share of resamples each is the best.

    A resample gives every seed and every fold, as a whole, a random weight with a normal distribution and divides
    by a spread drawn with it, so that a difference varies as Student's t does: the chance of being better than
    another never contradicts the test. A candidate that diverged is out of a resample as often as a diverged seed is
    among as many drawn with replacement.
    """
    seeds, folds, width = cells.shape
    draw = np.random.default_rng(seed)
    lost = ~np.isfinite(cells)
    centre = np.array([badness(cells[..., k])[1] for k in range(width)])
    centre = np.where(np.isfinite(centre), centre, 0.0)
    apart = np.where(lost, 0.0, cells - centre)
    several = [
        (n, math.sqrt((1 / n + more) / (n - 1)) * apart.mean(axis=axis))
        for n, axis, more in ((seeds, 1, 0.0), (folds, 0, overlap))
        if n > 1
    ]
    means = np.tile(centre, (RESAMPLES, 1))
    if several:
        freedom = min(n for n, _ in several) - 1
        spread = np.sqrt(freedom / draw.chisquare(freedom, (RESAMPLES, 1)))
        means += spread * sum(draw.normal(size=(RESAMPLES, n)) @ by for n, by in several)
    by_seed = lost.any(axis=1)  # (seeds, candidates)
    drawn = draw.multinomial(seeds, [1 / seeds] * seeds, RESAMPLES) > 0
    means[drawn @ by_seed] = math.inf
    lowest = means == means.min(axis=1, keepdims=True)
    return (lowest / lowest.sum(axis=1, keepdims=True)).mean(axis=0).tolist()


@dataclass(frozen=True)
class _Pairs:
    """What the tests of all pairs say.

    Attributes:
        better: (candidates, candidates) whether the row is reliably better than the column.
        factor: (candidates, candidates) what its p-value was multiplied with.
    """

    better: np.ndarray
    factor: np.ndarray

    @classmethod
    def of(cls, cells: np.ndarray, by_mean: list[int], overlap: float) -> _Pairs:
        width = cells.shape[-1]
        better, factor = np.zeros((width, width), dtype=bool), np.ones((width, width))
        # The first of a pair is the one before the other in the order.
        before, after = (np.array(by_mean)[index] for index in np.triu_indices(width, 1))
        if len(before):
            p, times = _adjusted(_p_values(cells, before, after, overlap), width)
            better[before, after] = p < 1 - LEVEL
            factor[before, after] = factor[after, before] = times
        return cls(better, factor)

    def more_seeds(self, cells: np.ndarray, k: int, leader: int, overlap: float) -> float:
        """How many more seeds would tell `k` from the leader if their difference stays the same; 0 if none needed."""
        if k == leader or self.better[leader, k] or len(cells) < 2:
            return 0.0
        if not np.isfinite(cells[..., [k, leader]]).all():
            return math.inf
        gaps = cells[..., k] - cells[..., leader]
        gap, by_fold = gaps.mean(axis=1), gaps.mean(axis=0)
        folds = len(by_fold)  # whose part of the variance no further seed takes away
        stays = by_fold.var(ddof=1) * (1 / folds + overlap) if folds > 1 else 0.0
        counts = np.arange(len(gap) + 1, len(gap) + MOST_SEEDS + 1)
        spread = np.sqrt(gap.var(ddof=1) + counts * stays)
        enough = abs(gap.mean()) > _needed(len(gap), self.factor[leader, k]) * spread
        return 1.0 + int(enough.argmax()) if enough.any() else math.inf


@functools.lru_cache(maxsize=256)
def _needed(seeds: int, factor: float) -> np.ndarray:
    """How large a difference must be, in its standard deviations, with 1 … `MOST_SEEDS` more seeds.

    So large that its t exceeds the quantile that it has to in `POWER` of all studies.
    """
    counts = np.arange(seeds + 1, seeds + MOST_SEEDS + 1)
    level = 1 - (1 - LEVEL) / (2 * factor)
    return (special.stdtrit(counts - 1, level) + special.stdtrit(counts - 1, POWER)) / np.sqrt(counts)


def _p_values(cells: np.ndarray, before: np.ndarray, after: np.ndarray, overlap: float) -> np.ndarray:
    """For each pair, of its paired differences; 1 where these do not agree with the order."""
    lost = ~np.isfinite(cells)
    p = np.ones(len(before))
    if cells[..., 0].size > 1 and not lost.all():
        capped = np.where(lost, cells[~lost].max(), cells)
        gaps = np.moveaxis(capped[..., after] - capped[..., before], -1, 0)  # (pairs, seeds, folds)
        gap = estimate(gaps, overlap)
        with np.errstate(divide="ignore", invalid="ignore"):
            t = gap.mean / gap.error  # nan where the losses are equal
        p = np.where(t > 0, 2 * special.stdtr(gap.freedom, -t), 1.0)
    always, never = np.asarray(lost.all(axis=(0, 1))), np.asarray(~lost.any(axis=(0, 1)))
    seeds = lost.any(axis=1).sum(axis=0)  # on how many seeds it diverged
    for at in np.flatnonzero(always[after] & ~always[before]):
        # Two that are alike would part so on one of n seeds in 4⁻ⁿ of all studies at the most.
        if never[before[at]]:
            p[at] = 0.0 if len(cells) > 2 else 1.0
        else:
            p[at] = _barnard(int(seeds[after[at]]), int(seeds[before[at]]), len(cells))
    return p


@functools.cache
def _barnard(one: int, other: int, count: int) -> float:
    """Whether two chances to diverge differ: the exact test of Barnard (1945)."""
    if one == other:
        return 1.0
    return float(stats.barnard_exact([[one, other], [count - one, count - other]]).pvalue)


def _adjusted(p: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Shaffer's adjusted p-values of all pairs of `width` means, and the factor of each."""
    order = np.argsort(p, kind="stable")
    true = _true_together(width)
    left = len(p) - np.arange(len(p))
    factor = true[np.searchsorted(true, left, side="right") - 1].astype(float)
    factor = np.maximum(factor, 1)
    adjusted, times = np.empty_like(p), np.empty_like(p)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(factor * p[order]))
    times[order] = factor
    return adjusted, times


@functools.cache
def _true_together(width: int) -> np.ndarray:
    """How many of the pairs of `width` means can be equal at once, ascending; as bits of one number.

    >>> _true_together(4)
    array([0, 1, 2, 3, 6])
    """
    if width > _MANY:
        return np.arange(math.comb(width, 2) + 1)
    bits = [1]
    for n in range(1, width + 1):
        # A group of j that are equal, and any partition of the rest.
        bits.append(functools.reduce(int.__or__, (bits[n - j] << math.comb(j, 2) for j in range(1, n + 1))))
    return np.flatnonzero([int(bit) for bit in reversed(f"{bits[width]:b}")])
