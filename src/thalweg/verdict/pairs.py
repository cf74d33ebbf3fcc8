"""All pairs of candidates, compared by their paired differences: which is reliably better, and how far apart they are.

All candidates share a seed's initial weights and order of samples, and they are judged on the same samples (or folds),
so differences are taken cell by cell; runs that share no seeds are in `repeats.py`. Each pair is tested by them
(Student's t), and because many pairs are tested, some would differ by chance alone; so the p-values are adjusted as
Shaffer (1986, "Modified sequentially rejective multiple test procedures", S1) does for all pairs of means: as Holm, but
counting only as many hypotheses as can still be true together. The chance that any two equal candidates are told apart
stays below the level, however many there are.

Losses that agree to float rounding are equal, and where all seeds agree to rounding they are no evidence. A run
that diverged has an infinite loss; in the test it counts as the worst loss that any run here reached. One that always
diverged is worse than one that never did.
"""

from __future__ import annotations

import functools
import math
import string
from dataclasses import dataclass

import numpy as np
from scipy import special, stats

from . import repeats
from .intervals import ROUNDING, estimate, reach

_MANY = 60  # above, the refinement over Holm is small and long to compute


@dataclass(frozen=True)
class Pairs:
    """What the tests of all pairs say, (candidates, candidates) each.

    Attributes:
        gap: mean loss of the row less that of the column; infinite losses count as the worst that was reached.
        errors, freedoms: (ways, candidates, candidates) of the gap, as an `intervals.Estimate` has them. The errors are
            infinite without evidence.
        better: whether the row is reliably better than the column.
        factor: what the pair's p-value was multiplied with.
    """

    gap: np.ndarray
    errors: np.ndarray
    freedoms: np.ndarray
    better: np.ndarray
    factor: np.ndarray

    @classmethod
    def of(
        cls,
        cells: np.ndarray,
        by_mean: list[int],
        overlap: float,
        level: float,
        paired: bool = True,
        picked: np.ndarray | None = None,
    ) -> Pairs:
        """Test them all.

        Args:
            cells: (seeds, folds or parts of the samples, candidates).
            paired: else these are independent repeats, without folds, as `repeats` takes them.
            by_mean: the candidates in the order of their means.
            overlap: as `intervals.estimate` takes it.
            level: of significance, for all pairs together.
            picked: (candidates,) of how many each is the one with the lowest mean: to be the better one of a pair is
                then as easy for it as that many chances make it (Bonferroni); 1 unless given.
        """
        width = cells.shape[-1]
        gap, factor = np.zeros((width, width)), np.ones((width, width))
        errors, freedoms = np.ones((2, 1, width, width))
        better = np.zeros((width, width), dtype=bool)
        # The first of a pair is the one before the other in the order.
        before, after = (np.array(by_mean)[index] for index in np.triu_indices(width, 1))
        if len(before):
            lost = np.isposinf(cells)
            if paired:
                apart, spreads, free = _differences(cells, lost, before, after, overlap)
            else:
                apart, spreads, free = repeats.differences(cells[:, 0], before, after)
            p = _p_values(apart, spreads, free)
            _p_of_divergence(p, lost, ~np.isnan(cells), before, after)
            chances = 1.0 if picked is None else picked[before]
            p, times = _adjusted(np.minimum(1, chances * p), width)
            times = chances * times
            better[before, after] = p < level
            errors, freedoms = np.ones((2, len(spreads), width, width))
            for table, values in ((errors, spreads), (freedoms, free), (factor, times)):
                table[..., before, after] = table[..., after, before] = values
            gap[after, before], gap[before, after] = apart, -apart
        return cls(gap, errors, freedoms, better, factor)

    def most(self, level: float) -> np.ndarray:
        """(rows, columns) how much worse than the column the row is at the most: the one-sided bound at that level."""
        most = self.gap + reach(self.errors, self.freedoms, level)
        return np.where(np.eye(len(most), dtype=bool), -np.inf, most)


def above(one: np.ndarray, others: np.ndarray, overlap: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """By how much the mean of the one is above those of others, (others,), with (ways, others) errors and freedoms.

    Args:
        one, others: (seeds, folds or parts), and with a last axis of candidates; all finite.
    """
    cells = np.concatenate([others, one[..., None]], axis=-1)
    last = cells.shape[-1] - 1
    return _differences(cells, np.zeros(cells.shape, dtype=bool), np.arange(last), np.full(last, last), overlap)


def _differences(
    cells: np.ndarray, lost: np.ndarray, before: np.ndarray, after: np.ndarray, overlap: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each pair by how much the later one is higher, with standard errors and degrees of freedom, (ways, pairs)."""
    nothing_known = np.full((1, len(before)), np.inf), np.ones((1, len(before)))
    if lost.all():
        return np.zeros(len(before)), *nothing_known
    capped = np.where(lost, cells[~lost].max(), cells)
    gaps = np.moveaxis(capped[..., after] - capped[..., before], -1, 0)  # (pairs, seeds, folds or parts)
    if cells[..., 0].size < 2:
        return gaps[:, 0, 0], *nothing_known
    rounding = ROUNDING * abs(capped.mean(axis=(0, 1)))
    stable = capped.mean(axis=1).std(axis=0) <= rounding  # its seeds agree
    rounding = np.maximum(rounding[before], rounding[after])
    some = estimate(gaps, overlap)
    equal = abs(some.mean) <= rounding
    nothing = stable[before] & stable[after] & (some.error <= rounding) & ~equal
    errors = np.where(nothing, np.inf, np.maximum(some.errors, rounding))
    return np.where(equal, 0.0, some.mean), errors, some.freedoms


def _p_values(gap: np.ndarray, errors: np.ndarray, freedoms: np.ndarray) -> np.ndarray:
    """Of each pair's difference, the largest of all ways; 1 where it does not agree with the order."""
    with np.errstate(divide="ignore", invalid="ignore"):  # losses may all be 0
        t = gap / errors
    return np.where(t > 0, 2 * special.stdtr(freedoms, -t), 1.0).max(axis=0)


def _p_of_divergence(p: np.ndarray, lost: np.ndarray, ran: np.ndarray, before: np.ndarray, after: np.ndarray) -> None:
    """Put in the p-values of pairs of which the later always diverged and the earlier did not."""
    seeds, counts = lost.any(axis=1).sum(axis=0), ran.any(axis=1).sum(axis=0)  # on how many each diverged, of how many
    always, never = np.asarray((lost | ~ran).all(axis=(0, 1))), np.asarray(~lost.any(axis=(0, 1)))
    for at in np.flatnonzero(always[after] & ~always[before]):
        one, other = after[at], before[at]
        # Two that are alike would part so on one of n seeds in 4⁻ⁿ of all studies at the most.
        if never[other]:
            p[at] = 0.0 if min(counts[one], counts[other]) > 2 else 1.0
        else:
            p[at] = _barnard(int(seeds[one]), int(counts[one]), int(seeds[other]), int(counts[other]))


@functools.cache
def _barnard(one: int, runs: int, other: int, of_other: int) -> float:
    """Whether two chances to diverge differ: the exact test of Barnard (1945)."""
    if one * of_other == other * runs:
        return 1.0
    return float(stats.barnard_exact([[one, other], [runs - one, of_other - other]]).pvalue)


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


def groups(better: np.ndarray, order: list[int]) -> list[list[int]]:
    """The largest groups of which no two candidates are told apart, as a compact letter display has (Piepho 2004).

    Args:
        better: (candidates, candidates) whether the row is reliably better than the column.
        order: the candidates, best first; so are those of a group, and the groups by their first.

    >>> apart = np.zeros((3, 3), dtype=bool)
    >>> apart[0, 2] = True
    >>> groups(apart, [0, 1, 2])
    [[0, 1], [1, 2]]
    """
    place = {k: at for at, k in enumerate(order)}
    whole = [frozenset(order)]
    for one, other in np.argwhere(better).tolist():
        parted = {group - {k} for group in whole if {one, other} <= group for k in (one, other)}
        whole = [group for group in whole if not {one, other} <= group]
        for group in sorted(parted, key=len, reverse=True):
            if not any(group <= larger for larger in whole):
                whole.append(group)
    return sorted((sorted(group, key=place.__getitem__) for group in whole), key=lambda g: [place[k] for k in g])


def letters(grouped: list[list[int]], count: int) -> list[str]:
    """The letters of each candidate, one for each of its groups: those that share one cannot be told apart.

    >>> letters([[0, 1], [1, 2]], 3)
    ['a', 'ab', 'b']
    """
    names = [string.ascii_letters[n] if n < 52 else chr(0x3B1 + n - 52) for n in range(len(grouped))]
    return ["".join(name for name, group in zip(names, grouped, strict=True) if k in group) for k in range(count)]
