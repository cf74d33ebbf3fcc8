"""Where each of several candidates stands: the order by mean, which can be told apart, and what a choice may cost.

Whatever is said of a candidate follows from its paired differences to all others (`pairs.py`):

- **letters**: two that share one cannot be told apart, all pairs together;
- **may be best**: no other is better by a one-sided test at level/(K − 1), of two at level/2 (Hsu 1981, "Simultaneous
  confidence intervals for all distances from the best"): the truly best of K is called so in 95% of studies at least;
- **regret at most**: the largest upper end, of those same tests, of what the candidate loses against any other, and no
  more than lies between the upper end of its mean and where the scale ends;
- **against the leader**: practically the same, where the 90% interval of the difference lies within the margin (two
  one-sided tests at 5%, Schuirmann 1987); worse, where the two are told apart; open else;
- **places**: at least one after all better ones and at most one before all worse ones, simultaneous intervals of the
  ranks, as Mogstad, Romano, Shaikh & Wilhelm (2024) derive them from pairs.

An infinite loss makes the mean infinite, and that decides the order. Read next: `chances.py`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import special

from ..language import mark
from ..plan.margin import MARGIN
from . import repeats
from .chances import chances
from .intervals import LEVEL, Interval, estimate, interval, reach, unit
from .pairs import Pairs, groups, letters
from .picked import Picked

MOST_SEEDS = 1000  # more than so many further seeds is not worth it
POWER = 0.8
_TIMES = np.geomspace(1, 1000, 700)  # as many samples: a hundredth more each
FIRST_LOOK = 0.04  # of the 5%; what is left is for later looks at more seeds
BEST, SAME, WORSE, OPEN = map(mark, ("best", "practically the same", "worse", "open"))


@dataclass(frozen=True)
class Ranking:
    """For each column of a table of losses, where it stands.

    Attributes:
        groups: the largest groups of which no two can be told apart; a column may be in several.
        letters: one for each of its groups: two that share one cannot be told apart.
        places: first and last place it may have, 95% simultaneous.
        mean, difference: with intervals; that of the leader's mean allows for its having been picked as the lowest. The
            difference is to the leader, paired, each interval for itself.
        probability: the chance that it is the best.
        may_be_best: whether none is reliably better, by tests against each alone.
        regret: how much higher than the best its true mean is at the most; infinite without evidence.
        standing: against the leader: `BEST`, `SAME`, `WORSE` or `OPEN`.
        more_seeds, more_parts: how many more seeds, or how many times as many samples, would tell it from the leader;
            0 where nothing is open, ∞ where none can be promised to.
        comparisons: how many pairs were tested.
    """

    groups: list[list[int]]
    letters: list[str]
    places: list[tuple[int, int]]
    mean: list[Interval]
    difference: list[Interval]
    probability: list[float]
    may_be_best: list[bool]
    regret: list[float]
    standing: list[str]
    more_seeds: list[float]
    more_parts: list[float]
    comparisons: int


def spent(looks: int) -> float:
    """The level of a look at the evidence, after so many before: all looks together stay at 5%.

    >>> [round(spent(looks), 6) for looks in range(4)]
    [0.04, 0.005, 0.0025, 0.00125]
    """
    return FIRST_LOOK if looks == 0 else (1 - LEVEL - FIRST_LOOK) / 2**looks


def rank(
    losses: np.ndarray,
    seed: int = 0,
    overlap: float = 0.0,
    margin: float = MARGIN,
    looks: int = 0,
    independent: bool = False,
    rivals: Sequence[np.ndarray] | None = None,
    floor: float = -math.inf,
) -> tuple[list[int], Ranking]:
    """Order columns by their means, and say of each where it stands.

    Args:
        losses: (seeds, candidates), or (seeds, folds or parts of the samples, candidates); inf for a run that diverged.
        overlap: of the folds, as `intervals.estimate` takes it.
        margin: a difference of so much of the leader's loss does not matter.
        looks: how often the same evidence, less of it, has been tested before.
        independent: whether rows are not of one seed each, but repeats, (repeats, candidates); NaN where a candidate
            has fewer.
        rivals: for each column the candidates (seeds, folds or parts, rivals) among which it was picked for its lowest
            mean; none unless given. What is said then allows for all of these picks.
        floor: below which no mean can be, so that a choice costs at most what lies between.

    Returns:
        The order (best first), and the ranking by column.
    """
    if (size := max(map(unit, [losses, *(rivals or ())]))) > 1:
        rivals = None if rivals is None else [some / size for some in rivals]
        order, ranking = rank(losses / size, seed, overlap, margin, looks, independent, rivals, floor / size)
        means, differences = ([one.times(size) for one in some] for some in (ranking.mean, ranking.difference))
        return order, replace(
            ranking, mean=means, difference=differences, regret=[size * one for one in ranking.regret]
        )
    cells = losses.reshape(len(losses), -1, losses.shape[-1])  # (seeds, folds or parts, candidates)
    width, level = cells.shape[-1], spent(looks)
    columns = [_runs(cells[..., k]) for k in range(width)]
    bad = [badness(column) for column in columns]
    order = sorted(range(width), key=lambda k: (bad[k][0] / columns[k].size, bad[k][1], k))
    luck = Picked.of(cells, rivals, overlap, level)
    of, whole = luck.counts, int(luck.counts.sum())
    leader, pairs = order[0], Pairs.of(cells, order, overlap, level, not independent, of)
    # Of two that are alike one alone would else be called the best in twice as many studies.
    grouped, each = groups(pairs.better, order), level / max(2, whole - 1)
    most = pairs.most(each)
    infinite = np.array([lost > 0 for lost, _ in bad])
    near, errors = abs(bad[leader][1]) * margin, pairs.errors[0, leader]
    chances_of = _picked_from(columns[leader], errors[np.isfinite(errors)] if independent else errors, overlap, whole)
    # What the others are the lowest of is known by its number alone.
    lucky = [chances_of if k == leader else float(of[k]) for k in range(width)]
    standing = [_standing(pairs, columns, k, leader, near) for k in range(width)]
    later = spent(looks + 1)
    if independent:
        advice = [(_more_repeats(pairs, columns, k, leader, later, near, standing[k]), math.inf) for k in range(width)]
        behind_leader = [
            repeats.difference(
                columns[k], columns[leader], pairs.errors[:, k, leader], pairs.freedoms[:, k, leader], width
            )
            for k in range(width)
        ]
    else:
        advice = [_more(pairs, cells, k, leader, overlap, later, near, standing[k]) for k in range(width)]
        behind_leader = [
            paired(columns[k], columns[leader], overlap, whole if width > 1 else 1, float(of[k])) for k in range(width)
        ]
    behind_leader[leader] = Interval(0.0, 0.0, 0.0)
    ahead, behind = pairs.better.sum(axis=0), pairs.better.sum(axis=1)
    regret = np.where(infinite, np.inf, np.where(infinite, -np.inf, most).max(axis=1, initial=0.0))
    regret = np.maximum(regret, luck.most(each))
    means = [interval(one, overlap=overlap, picked_from=lucky[k]) for k, one in enumerate(columns)]
    regret = np.minimum(regret, [one.high - floor if one.mean >= floor else math.inf for one in means])
    return order, Ranking(
        groups=grouped,
        letters=letters(grouped, width),
        places=[(1 + int(ahead[k]), width - int(behind[k])) for k in range(width)],
        mean=means,
        difference=behind_leader,
        probability=chances(cells, np.array([mean for _, mean in bad]), seed, overlap, not independent, rivals)
        if width > 1
        else [math.nan],  # of one alone no chance can be told
        may_be_best=((pairs.most(1 - each).max(axis=1, initial=-np.inf) <= 0) & (ahead == 0)).tolist(),
        regret=regret.tolist(),
        standing=standing,
        more_seeds=[seeds for seeds, _ in advice],
        more_parts=[parts for _, parts in advice],
        comparisons=width * (width - 1) // 2,
    )


def _runs(losses: np.ndarray) -> np.ndarray:
    """Without the repeats that a candidate does not have."""
    return losses[~np.isnan(losses).any(axis=1)]


def badness(losses: np.ndarray) -> tuple[int, float]:
    """On how many seeds it diverged, then the mean loss over the others."""
    finite = losses[np.isfinite(losses)]
    return losses.size - finite.size, float(finite.mean()) if finite.size else math.inf


def paired(
    losses: np.ndarray, others: np.ndarray, overlap: float = 0.0, picked_from: float = 1, picked: float = 1
) -> Interval:
    """How much higher the losses are, cell by cell; both (seeds,) or (seeds, folds or parts).

    Args:
        picked_from: of how many the others have the lowest mean, so that differences to them are too large.
        picked: of how many the losses have the lowest mean, so that differences are too small.
    """
    # Two infinite losses are counted as equal.
    with np.errstate(invalid="ignore"):
        gap = np.nan_to_num(others - losses, nan=0.0, posinf=np.inf, neginf=-np.inf)
    if np.isposinf(gap).any() and np.isneginf(gap).any():
        return Interval(math.inf, -math.inf, math.inf)  # each diverged where the other did not
    lower = interval(gap, skewed=False, overlap=overlap, picked_from=picked_from)
    upper = lower if picked == 1 else interval(-gap, skewed=False, overlap=overlap, picked_from=picked)
    return Interval(-lower.mean, -lower.high, -lower.low if picked == 1 else upper.high)


def _picked_from(values: np.ndarray, errors: np.ndarray, overlap: float, whole: int) -> float:
    """Of how many means the lowest is as lucky as the leader's is, which were independent of each other.

    A pick is lucky only in what is the leader's own: what seeds and samples add for all alike plays no part in it.

    Args:
        values: (seeds, folds or parts), of the leader.
        errors: (candidates,) of its differences to the others; that to itself is not used.
        whole: of how many it is the lowest, which may be more.
    """
    width = len(errors)
    if whole > width == 1:
        return float(whole)
    if width < 2 or values.size < 2 or not (np.isfinite(values).all() and np.isfinite(errors).all()):
        return 1.0
    total = float(estimate(values, overlap).error) ** 2
    own = (np.square(errors).sum() - 1) / (width - 1) / 2  # the diagonal holds ones
    share = min(1.0, own / total) if total > 0 else 1.0
    tail = (1 - LEVEL) / 2
    one, several = special.ndtri(tail), special.ndtri(tail / whole)
    return tail / float(special.ndtr(-math.sqrt((1 - share) * one**2 + share * several**2)))


def _standing(pairs: Pairs, columns: Sequence[np.ndarray], k: int, leader: int, near: float) -> str:
    """Against the leader, where differences up to `near` do not matter."""
    if k == leader:
        return BEST
    both = [columns[k], columns[leader]]
    finite = all(np.isfinite(one).all() for one in both)
    off = reach(pairs.errors[:, k, leader], pairs.freedoms[:, k, leader], 1 - LEVEL)
    if finite and min(one.size for one in both) > 1 and abs(pairs.gap[k, leader]) + off <= near:
        return SAME
    return WORSE if pairs.better[leader, k] else OPEN


def _more(
    pairs: Pairs, cells: np.ndarray, k: int, leader: int, overlap: float, level: float, near: float, standing: str
) -> tuple[float, float]:
    """How many more seeds, or times as many samples, would tell `k` from the leader in 4 of 5 studies at least.

    From the lower end of the difference's one-sided 80% interval: from the difference itself half of all studies would
    be promised too much.
    """
    if standing != OPEN or len(cells) < 2:
        return 0.0, 0.0
    if not np.isfinite(cells[..., [k, leader]]).all() or math.isinf(pairs.errors[0, k, leader]):
        return math.inf, math.inf
    gaps = cells[..., k] - cells[..., leader]
    some = estimate(gaps, overlap)
    least = float(some.mean - some.reach(1 - POWER))
    if least <= near:
        return math.inf, math.inf
    by_seed, by_part = gaps.mean(axis=1), gaps.mean(axis=0)
    seeds, parts = gaps.shape
    of_seeds = by_seed.var(ddof=1)
    of_parts = by_part.var(ddof=1) * (1 / parts + overlap) if parts > 1 else 0.0  # no further seed takes it away
    counts, each = np.arange(seeds + 1, seeds + MOST_SEEDS + 1), level / pairs.factor[leader, k]
    enough = least > _needed(seeds, each) * np.sqrt(of_seeds / counts + of_parts)
    more = 1.0 + int(enough.argmax()) if enough.any() else math.inf
    return more, math.inf if overlap or parts < 2 else _times(least, of_seeds / seeds, of_parts, gaps.shape, each)


def _times(least: float, of_seeds: float, of_parts: float, shape: tuple[int, ...], level: float) -> float:
    """Times as many samples with which a difference of that size exceeds what it has to, in `POWER` of all studies.

    By the errors of `intervals.estimate`, those of seeds and samples together, and those of the seeds alone.

    Args:
        of_seeds, of_parts: the variances of the mean that come from each.
        shape: seeds and parts behind them.
    """
    seeds, parts = shape
    share = of_parts / _TIMES
    freedom = (of_seeds + share) ** 2 / (of_seeds**2 / (seeds - 1) + share**2 / (parts * _TIMES - 1))
    together = _quantiles(freedom, level) * np.sqrt(of_seeds + share)
    enough = least > np.maximum(together, _quantiles(np.array(seeds - 1.0), level) * math.sqrt(of_seeds))
    return float(_TIMES[enough.argmax()]) if of_parts > 0 and enough.any() else math.inf


def _more_repeats(
    pairs: Pairs, columns: Sequence[np.ndarray], k: int, leader: int, level: float, near: float, standing: str
) -> float:
    """How many more repeats of both would; see `_more`."""
    both = [columns[k], columns[leader]]
    fewest = min(one.size for one in both)
    if standing != OPEN or fewest < 2:
        return 0.0
    errors = pairs.errors[:, k, leader]
    if not all(np.isfinite(one).all() for one in both) or not np.isfinite(errors).all():
        return math.inf
    least = pairs.gap[k, leader] - float(reach(errors, pairs.freedoms[:, k, leader], 1 - POWER))
    if least <= near:
        return math.inf
    more = np.arange(1, MOST_SEEDS + 1)
    squares = sum(one.var(ddof=1) / (one.size + more) for one in both)
    enough = least > _needed(fewest, level / pairs.factor[leader, k]) * np.sqrt(squares)
    return 1.0 + int(enough.argmax()) if enough.any() else math.inf


@functools.lru_cache(maxsize=256)
def _needed(seeds: int, level: float) -> np.ndarray:
    """How large a difference must be, in its standard errors, with 1 … `MOST_SEEDS` more seeds.

    So large that its t exceeds the quantile that it has to in `POWER` of all studies.
    """
    return _quantiles(np.arange(seeds, seeds + MOST_SEEDS), level)


def _quantiles(freedom: np.ndarray, level: float) -> np.ndarray:
    """How large a difference must be, in its standard errors, with these degrees of freedom."""
    return special.stdtrit(freedom, 1 - level / 2) + special.stdtrit(freedom, POWER)
