"""Simulations on populations whose truth is known: how often intervals hold, and how often alike is called a tie."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest

from thalweg.verdict import chances, comparisons, intervals, pairs
from thalweg.verdict.comparisons import rank
from thalweg.verdict.intervals import bounds
from thalweg.verdict.sentences import uneven

from ..cases import mostly_slow, times

Draw = Callable[..., np.ndarray]
STUDIES = 20_000
RNG = np.random.default_rng


def lognormal(rng: np.random.Generator, shape: tuple[int, ...], sigma: float = 0.25) -> np.ndarray:
    """Losses of a median of 1 with skewed noise; the mean is exp(σ²/2)."""
    return np.exp(sigma * rng.normal(size=shape))


def coverage(values: np.ndarray, truth: float, skewed: bool = True) -> float:
    low, high = bounds(values, skewed)
    return float(np.mean((low <= truth) & (truth <= high)))


# The mean


@pytest.mark.parametrize("seeds", [3, 5, 10, 20])
@pytest.mark.parametrize("shared", [0.0, 3.0])
def test_the_mean_of_normal_losses(seeds: int, shared: float) -> None:
    """A seed's own effect is part of what varies."""
    rng = RNG(seeds)
    values = 1 + shared * rng.normal(size=(STUDIES, seeds, 1)) + rng.normal(size=(STUDIES, seeds, 1))
    assert 0.93 <= coverage(values, 1.0) <= 0.97


@pytest.mark.parametrize(
    ("sigma", "least"), [(0.25, {3: 0.93, 5: 0.93, 10: 0.93, 20: 0.93}), (0.5, {3: 0.92, 5: 0.92, 10: 0.93, 20: 0.93})]
)
def test_the_mean_of_skewed_losses(sigma: float, least: dict[int, float]) -> None:
    """What `docs/method.md` says of the seeds from which it holds."""
    for seeds, bound in least.items():
        values = lognormal(RNG(seeds), (STUDIES, seeds, 1), sigma)
        assert bound <= coverage(values, math.exp(sigma**2 / 2)) <= 0.97


def test_the_correction_for_skewness_is_what_holds_it() -> None:
    """Student's interval alone, and the plain bootstrap, do not."""
    values = lognormal(RNG(0), (STUDIES, 10, 1), 0.5)
    truth = math.exp(0.125)
    assert coverage(values, truth, skewed=False) < 0.925 < coverage(values, truth)
    few = values[:400, :, 0]
    means = few[:, RNG(1).integers(0, 10, (1000, 10))].mean(axis=-1)  # (studies, resamples)
    low, high = np.quantile(means, [0.025, 0.975], axis=1)
    assert np.mean((low <= truth) & (truth <= high)) < 0.92


@pytest.mark.parametrize(("seeds", "folds"), [(5, 5), (10, 5), (20, 5), (10, 3)])
@pytest.mark.parametrize("skewed", [False, True])
def test_the_mean_over_seeds_and_folds(seeds: int, folds: int, skewed: bool) -> None:
    """Every seed on every fold; both have effects of their own, so cells are no independent evidence."""
    rng = RNG(seeds * folds)

    def effect(*shape: int) -> np.ndarray:
        noise = rng.normal(size=(STUDIES // 2, *shape))
        return np.exp(0.5 * noise) - math.exp(0.125) if skewed else noise

    values = effect(seeds, 1) + effect(1, folds) + effect(seeds, folds)
    assert 0.93 <= coverage(values, 0.0) <= 0.97
    cells = values.reshape(len(values), -1, 1)  # as if each run stood for itself
    assert coverage(cells, 0.0) < 0.8


# The paired difference


@pytest.mark.parametrize("seeds", [3, 5, 10, 20])
@pytest.mark.parametrize("sigmas", [(0.25, 0.25), (0.25, 0.4)])
def test_the_paired_difference_of_skewed_losses(seeds: int, sigmas: tuple[float, float]) -> None:
    rng = RNG(seeds)
    shared = rng.normal(size=(STUDIES, seeds, 1))  # far larger than the difference; pairing takes it out
    one, other = (lognormal(rng, (STUDIES, seeds, 1), sigma) + 5 * shared for sigma in sigmas)
    truth = math.exp(sigmas[1] ** 2 / 2) - math.exp(sigmas[0] ** 2 / 2)
    assert 0.93 <= coverage(other - one, truth, skewed=False) <= 0.97


@pytest.mark.parametrize("seeds", [3, 5, 10, 20])
def test_the_paired_difference_of_normal_losses(seeds: int) -> None:
    gap = RNG(seeds).normal(0.3, 1.0, size=(STUDIES, seeds, 1))
    assert 0.93 <= coverage(gap, 0.3, skewed=False) <= 0.97


def test_ranking_gives_these_very_intervals() -> None:
    losses = lognormal(RNG(0), (7, 3))
    order, ranked = rank(losses)
    for k in range(3):
        low, high = bounds(losses[:, [k]])
        assert ranked.mean[k].low == low
        assert ranked.mean[k].high == high if k != order[0] else high < ranked.mean[k].high
    low, high = bounds((losses[:, order[0]] - losses[:, order[2]])[:, None], skewed=False, picked_from=3)
    assert (ranked.difference[order[2]].low, ranked.difference[order[2]].high) == (-high, -low)


# Ties


POPULATIONS: dict[str, Draw] = {
    "normal": lambda rng, *shape: rng.normal(size=shape),
    "lognormal": lambda rng, *shape: lognormal(rng, shape, 0.5),
    "heavy tails": lambda rng, *shape: rng.standard_t(3, size=shape),
    "one in ten diverges": lambda rng, *shape: np.where(rng.random(shape) < 0.1, np.inf, rng.normal(size=shape)),
}


def alike(
    draw: Draw, optimizers: int, seeds: int, studies: int, patch: pytest.MonkeyPatch
) -> list[comparisons.Ranking]:
    """The rankings of optimizers that are identical but for noise."""
    patch.setattr(chances, "RESAMPLES", 1)
    rng = RNG(optimizers * 100 + seeds)
    shared = 5 * rng.normal(size=(studies, seeds, 1))
    return [rank(table)[1] for table in shared + draw(rng, studies, seeds, optimizers)]


def tied(rankings: list[comparisons.Ranking]) -> float:
    return float(np.mean([len(ranked.groups) == 1 for ranked in rankings]))


@pytest.mark.everyday(of=8)
@pytest.mark.share(of=3)
@pytest.mark.parametrize("draw", POPULATIONS.values(), ids=POPULATIONS)
@pytest.mark.parametrize(
    ("optimizers", "seeds"),
    [(2, 5), *(pytest.param(*two, marks=pytest.mark.slow) for two in ((2, 10), (8, 3), (8, 10)))],
)
def test_identical_optimizers_are_tied(
    draw: Draw, optimizers: int, seeds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    studies = 500 if optimizers == 2 else 150
    rankings = alike(draw, optimizers, seeds, studies, monkeypatch)
    # At least 95%; of so few studies, less by two and a half standard errors at the most.
    assert tied(rankings) >= 0.95 - 2.5 * math.sqrt(0.95 * 0.05 / studies)
    assert all(ranked.places == [(1, optimizers)] * optimizers for ranked in rankings if len(ranked.groups) == 1)


def test_without_the_adjustment_eight_alike_are_not_tied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairs, "_adjusted", lambda p, width: (p, np.ones_like(p)))
    assert tied(alike(POPULATIONS["normal"], 8, 10, 100, monkeypatch)) < 0.7


@pytest.mark.slow
def test_true_places_lie_in_their_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of all candidates at once, in 95% of studies; and the intervals do say something."""
    monkeypatch.setattr(chances, "RESAMPLES", 1)
    rng, means = RNG(0), np.array([0.0, 0.0, 1.0, 2.0, 2.5])
    first, last = np.array([1, 1, 3, 4, 5]), np.array([2, 2, 3, 4, 5])
    held, width = [], []
    for _ in range(300):
        _, ranked = rank(means + rng.normal(size=(10, 1)) + 0.5 * rng.normal(size=(10, 5)))
        low, high = np.array(ranked.places).T
        # Two that are equal have both places.
        held.append(np.all((low <= first) & (last <= high)))
        width.append(np.mean(high - low))
    assert np.mean(held) >= 0.95 - 2.5 * math.sqrt(0.95 * 0.05 / 300)
    assert np.mean(width) < 1.5


# How many more seeds


@pytest.mark.share(of=3)
@pytest.mark.parametrize(
    ("gap", "optimizers"), [(1.0, 2), *(pytest.param(*two, marks=pytest.mark.slow) for two in ((0.5, 2), (1.0, 4)))]
)
@pytest.mark.slow
def test_so_many_more_seeds_do_settle_it(gap: float, optimizers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of those that are given a number and follow it, four of five at least, although the number is from few seeds."""
    monkeypatch.setattr(chances, "RESAMPLES", 1)
    rng = RNG(1)
    means = np.array([0.0, *[gap] * (optimizers - 1)])

    def seeds(count: int) -> np.ndarray:
        return 5 + means + 3 * rng.normal(size=(count, 1)) + rng.normal(size=(count, optimizers)) / math.sqrt(2)

    settled = []
    studies = times(1500)
    for _ in range(studies):
        table = seeds(8)
        order, ranked = rank(table)
        more = ranked.more_seeds[1]
        if order[0] == 0 and 0 < more < math.inf:
            after = rank(np.concatenate([table, seeds(int(more))]), looks=1)[1]
            settled.append(after.standing[1] != "open")
    assert len(settled) > studies // 40
    assert np.mean(settled) >= 0.8 - 2.5 * math.sqrt(0.16 / len(settled))


@pytest.mark.slow
@pytest.mark.parametrize("optimizers", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_looking_again_four_times_keeps_false_separations_rare(
    optimizers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Identical optimizers, extended until they are told apart or four times; without the levels of each look, more."""
    monkeypatch.setattr(chances, "RESAMPLES", 1)
    rng = RNG(optimizers)

    studies = times(500, of=4)

    def apart(spent: bool) -> float:
        told = []
        for _ in range(studies):
            table = rng.normal(size=(50, optimizers)) + 5
            looks = [rank(table[: 10 * (k + 1)], looks=k if spent else 0)[1] for k in range(5)]
            told.append(any(len(ranked.groups) > 1 for ranked in looks))
        return float(np.mean(told))

    assert apart(spent=True) <= 0.05 + 2.5 * math.sqrt(0.05 * 0.95 / studies)
    assert apart(spent=False) > 0.07


def test_what_no_number_of_seeds_would_settle() -> None:
    rng = RNG(2)
    noise = rng.normal(size=10)
    noise -= noise.mean()
    _, ranked = rank(np.column_stack([np.zeros(10), noise + 0.01]) + 5)
    assert ranked.more_seeds == [0, math.inf]
    _, ranked = rank(np.column_stack([np.zeros(10), 0.1 * noise + 5]))
    assert ranked.more_seeds == [0, 0]  # settled
    assert intervals.LEVEL == 0.95


# Seeds × samples


@pytest.mark.slow
@pytest.mark.everyday(of=4)
@pytest.mark.share(of=3)
@pytest.mark.parametrize("noise", ["normal", "lognormal"])
@pytest.mark.parametrize("seeds", mostly_slow([3, 10], 3))
def test_what_a_verdict_over_seeds_and_samples_says(noise: str, seeds: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mean, the leader's mean, its regret and the best among those that may be; samples matter more than seeds."""
    monkeypatch.setattr(chances, "RESAMPLES", 1)
    rng, held = RNG(seeds), {"mean": [], "leader": [], "regret": [], "best": [], "seeds alone": []}
    for _ in range(400):
        truth = 1 + 0.03 * rng.normal(size=5)
        samples = (
            rng.normal(size=(60, 5)) if noise == "normal" else 2 * (lognormal(rng, (60, 5), 0.5) - math.exp(0.125))
        )
        common = 0.5 * rng.normal(size=(60, 1))
        cells = (
            truth
            + common
            + 0.1 * samples
            + 0.02 * rng.normal(size=(seeds, 1, 5))
            + 0.1 * rng.normal(size=(seeds, 60, 5))
        )
        order, ranked = rank(cells)
        leader, other = order[0], 1 if order[0] != 1 else 2
        inside = [one.low <= true <= one.high for one, true in zip(ranked.mean, truth, strict=True)]
        alone = rank(cells.mean(axis=1))[1].mean[other]
        held["mean"].append(inside[other])
        held["leader"].append(inside[leader])
        held["regret"].append(bool(np.all(truth - truth.min() <= np.array(ranked.regret))))
        held["best"].append(ranked.may_be_best[int(truth.argmin())])
        held["seeds alone"].append(alone.low <= truth[other] <= alone.high)
    shares = {name: float(np.mean(each)) for name, each in held.items()}
    least = 0.95 - 2.5 * math.sqrt(0.95 * 0.05 / 400)
    assert min(shares["mean"], shares["leader"], shares["regret"], shares["best"]) >= least, shares
    assert shares["seeds alone"] < 0.7


@pytest.mark.slow
def test_few_seeds_that_happen_to_agree_tell_nothing_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seeds make most of the noise, and samples a little of it; the errors of both together alone would be too sure."""
    monkeypatch.setattr(chances, "RESAMPLES", 1)

    def apart() -> float:
        rng, told = RNG(3), []
        for _ in range(300):
            own = rng.normal(size=(3, 1, 8)) + 2.5 * rng.normal(size=(1, 64, 8)) + 0.5 * rng.normal(size=(3, 64, 8))
            told.append(len(rank(own + 50)[1].groups) > 1)
        return float(np.mean(told))

    assert apart() <= 0.05
    monkeypatch.setattr(pairs, "estimate", lambda gaps, overlap: together(intervals.estimate(gaps, overlap)))
    assert apart() > 0.12


def together(one: intervals.Estimate) -> intervals.Estimate:
    """Without the errors of seeds alone and samples alone."""
    return intervals.Estimate(one.mean, one.errors[:1], one.freedoms[:1], one.skewness)


@pytest.mark.parametrize("seeds", [5, 10, 20])
def test_differences_of_runs_that_scatter_and_are_skewed_unequally_are_warned_of(seeds: int) -> None:
    rng = RNG(seeds)
    narrow, wide = (lognormal(rng, (STUDIES, seeds, 1), sigma) - math.exp(sigma**2 / 2) for sigma in (0.25, 0.8))
    assert 0.87 < coverage(wide - narrow, 0.0, skewed=False) < 0.93

    def warned(one: np.ndarray, other: np.ndarray) -> float:
        spreads = ([(float(each.std(ddof=1)), math.nan) for each in runs[:2000]] for runs in (one, other))
        return float(np.mean([uneven(*two) for two in zip(*spreads, strict=True)]))

    assert warned(wide, narrow) > {5: 0.65, 10: 0.75, 20: 0.87}[seeds]
    alike = lognormal(rng, (STUDIES, seeds, 1), 0.25)
    assert warned(alike, narrow) < {5: 0.15, 10: 0.03, 20: 0.002}[seeds]


def test_seeds_that_agree_are_no_evidence() -> None:
    """Five equal seeds of a deterministic problem do not make a best; equal losses are practically the same."""
    _, ranked = rank(np.tile([1.0, 1.5, 1.0 + 1e-8], (5, 1)))
    assert ranked.standing == ["best", "open", "practically the same"]
    assert ranked.letters == ["a", "a", "a"]
    assert ranked.regret == [math.inf] * 3
    assert ranked.more_seeds == [0, math.inf, 0]


def test_the_margin_says_what_does_not_matter() -> None:
    rng = RNG(3)
    cells = 1 + np.array([0, 0.004, 0.03]) + 0.0005 * rng.normal(size=(10, 3))
    assert rank(cells)[1].standing == ["best", "practically the same", "worse"]
    assert rank(cells, margin=0.001)[1].standing == ["best", "worse", "worse"]
    assert rank(cells, margin=0.05)[1].standing == ["best", "practically the same", "practically the same"]


@pytest.mark.whole
def test_the_chance_of_being_best_is_shrunk_where_nothing_differs() -> None:
    """What is shown for the leader and how often that is true, for means that scatter as their errors do, and less."""
    rng = RNG(4)
    for spread, allowed in ((0.0, 0.35), (1.0, 0.07), (4.0, 0.07)):
        shown, true = [], []
        for _ in range(250 if spread else 60):
            means = spread * rng.normal(size=6) / math.sqrt(10)
            order, ranked = rank(5 + means + rng.normal(size=(10, 6)))
            shown.append(ranked.probability[order[0]])
            true.append(means[order[0]] == means.min() if spread else 1 / 6)
        assert abs(np.mean(shown) - np.mean(true)) <= allowed, (spread, np.mean(shown), np.mean(true))
        assert spread or np.mean(shown) > np.mean(true)  # the leader of identical ones, as docs/method.md says


@pytest.mark.parametrize("seeds", [7, 10, 20])
def test_the_loss_that_nine_of_ten_seeds_stay_below_is_about_as_often_too_high_as_too_low(seeds: int) -> None:
    """Whatever the distribution: here one with a long tail."""
    draws = np.exp(np.random.default_rng(0).normal(size=(4000, seeds)))
    truth = math.exp(1.2815515655)  # of the standard normal's 90%
    above = np.mean([intervals.quantile(draw, 0.9) > truth for draw in draws])
    assert 0.45 < above < 0.58


def test_runs_that_diverged_are_beyond_every_loss() -> None:
    of_ten = np.array([*range(1, 10), math.inf])
    assert intervals.quantile(of_ten, 0.9) == math.inf
    # of 19 at place 17.73, between 9 and 9.5
    assert intervals.quantile(np.append(of_ten, of_ten[:-1] + 0.5), 0.9) == pytest.approx(9 + 0.5 * 0.7333, abs=1e-4)
    assert intervals.quantile(np.full(3, math.inf), 0.9) == math.inf
    assert intervals.quantile(np.array([2.0, 1.0]), 0.9) == 2.0


@pytest.mark.whole
@pytest.mark.parametrize("levels", mostly_slow([(6, 1, 1), (8, 1)], (8, 1)))
def test_picks_among_unequally_many_hold(levels: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings that are alike, of which each level is represented by the lowest: none is told apart too often for
    having been picked among more, and what a choice may cost holds against all."""
    monkeypatch.setattr(chances, "RESAMPLES", 1)
    rng, studies = np.random.default_rng(0), 250
    ends = np.cumsum([0, *levels])
    apart = naive = wrong = outside = 0
    for study in range(studies):
        true = 5 + (0.05 * rng.normal(size=ends[-1]) if study % 2 else np.zeros(ends[-1]))
        cells = true + 0.2 * rng.normal(size=(5, 1)) + 0.05 * rng.normal(size=(5, ends[-1]))
        places = [start + int(cells[:, start:end].mean(axis=0).argmin()) for start, end in itertools.pairwise(ends)]
        rivals = [
            np.delete(cells[:, None, start:end], at - start, axis=-1)
            for (start, end), at in zip(itertools.pairwise(ends), places, strict=True)
        ]
        _, ranked = rank(cells[:, places], rivals=rivals)
        if study % 2:
            wrong += any(true[at] - true.min() > most for at, most in zip(places, ranked.regret, strict=True))
            outside += sum(not one.low <= true[at] <= one.high for at, one in zip(places, ranked.mean, strict=True))
        else:
            apart += len(ranked.groups) > 1
            naive += len(rank(cells[:, places])[1].groups) > 1
    assert apart < 0.09 * studies / 2  # 5%, and a binomial's play
    assert naive > apart
    assert wrong < 0.09 * studies / 2
    assert outside < 0.08 * len(levels) * studies / 2


@pytest.mark.slow
def test_chances_allow_for_picks_among_settings_of_ones_own() -> None:
    """Three settings that are alike behind each of eight: the lowest of three is low by luck, and the leader's chance
    of being best is on average the share of studies in which it is."""
    rng, shown, true = np.random.default_rng(1), [], []
    for _ in range(60):
        own = 0.05 * rng.normal(size=(8, 1)) * rng.choice([0.5, 1, 2, 4]) * np.ones((8, 3))
        cells = 5 + own + 0.05 * 10**0.5 * rng.normal(size=(10, 1, 8, 3)) + rng.normal(size=(10, 1, 1, 1))
        lowest = cells.mean(axis=(0, 1)).argmin(axis=1)
        picked = np.take_along_axis(cells, lowest[None, None, :, None], axis=3)[..., 0]
        rivals = [np.delete(cells[:, :, k], at, axis=-1) for k, at in enumerate(lowest)]
        means = picked.mean(axis=(0, 1))
        alone, among = (chances.chances(picked, means, 0, 0.0, rivals=some) for some in (None, rivals))
        leader = int(means.argmin())
        shown.append((alone[leader], among[leader]))
        true.append(own[leader, 0] == own.min())
    alone, among = np.mean(shown, axis=0)
    assert abs(among - np.mean(true)) < 0.12  # two standard errors of 60 studies
    assert among > alone + 0.04


def test_settings_that_diverged_at_times_tell_a_chance_nothing() -> None:
    cells = 1 + 0.1 * np.random.default_rng(0).normal(size=(5, 1, 3))
    lost = cells[..., :1].copy()
    lost[0] = math.inf
    none = np.empty((5, 1, 0))
    means = cells.mean(axis=(0, 1))
    assert chances.chances(cells, means, 0, 0.0, rivals=[lost, none, none]) == chances.chances(cells, means, 0, 0.0)


def test_a_choice_costs_no_more_than_the_scale_allows() -> None:
    wild = np.array([[0.3, 9.0], [0.31, 0.2], [0.29, 30.0]])
    (leader, _), free = rank(wild)
    _, bounded = rank(wild, floor=0.0)
    assert leader == 0
    assert free.regret[0] > 10
    assert bounded.regret[0] == pytest.approx(bounded.mean[0].high)
    assert rank(-wild, floor=0.0)[1].regret == rank(-wild)[1].regret  # a mean off the scale is of something else


@pytest.mark.slow
def test_whoever_was_tuned_over_more_settings_is_first_more_often_but_not_told_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All settings are alike; those of the search meet the samples on which they are judged again."""
    monkeypatch.setattr(chances, "RESAMPLES", 1)
    rng, studies, apart, first = np.random.default_rng(0), 150, 0, 0
    for _ in range(studies):
        parts = 0.07 * rng.normal(size=(32, 42))
        search = parts.mean(axis=0) + 0.0075 * rng.normal(size=42)
        chosen = [int(search[:35].argmin()), 35 + int(search[35:].argmin())]
        cells = 0.3 + parts[:, chosen] + 0.013 * rng.normal(size=(10, 1, 2)) + 0.02 * rng.normal(size=(10, 32, 2))
        order, ranked = rank(cells)
        apart += len(ranked.groups) > 1
        first += order[0] == 0
    assert apart < 0.08 * studies  # 5%, and a binomial's play
    assert first > 0.6 * studies  # which the note on unequal counts says
