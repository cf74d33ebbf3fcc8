"""Simulations on populations whose truth is known: how often intervals hold, and how often alike is called a tie."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from thalweg.verdict import comparisons, intervals
from thalweg.verdict.comparisons import rank
from thalweg.verdict.intervals import bounds

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
        assert (ranked.mean[k].low, ranked.mean[k].high) == (low, high)
    low, high = bounds((losses[:, order[2]] - losses[:, order[0]])[:, None], skewed=False)
    assert (ranked.difference[order[2]].low, ranked.difference[order[2]].high) == (low, high)


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
    patch.setattr(comparisons, "RESAMPLES", 1)
    rng = RNG(optimizers * 100 + seeds)
    shared = 5 * rng.normal(size=(studies, seeds, 1))
    return [rank(table)[1] for table in shared + draw(rng, studies, seeds, optimizers)]


def tied(rankings: list[comparisons.Ranking]) -> float:
    return float(np.mean([max(ranked.rank) == 1 for ranked in rankings]))


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
    assert all(ranked.places == [(1, optimizers)] * optimizers for ranked in rankings if max(ranked.rank) == 1)


def test_without_the_adjustment_eight_alike_are_not_tied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparisons, "_adjusted", lambda p, width: (p, np.ones_like(p)))
    assert tied(alike(POPULATIONS["normal"], 8, 10, 100, monkeypatch)) < 0.7


def test_true_places_lie_in_their_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of all candidates at once, in 95% of studies; and the intervals do say something."""
    monkeypatch.setattr(comparisons, "RESAMPLES", 1)
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


@pytest.mark.parametrize(("gap", "optimizers"), [(0.8, 2), (0.4, 2), (0.8, 4)])
def test_so_many_more_seeds_do_settle_it(gap: float, optimizers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the difference and the spread that the estimate was made from, about four of five studies settle it."""
    monkeypatch.setattr(comparisons, "RESAMPLES", 1)
    rng = RNG(1)
    gaps = np.array([0.0, *[gap] * (optimizers - 1)])
    noise = rng.normal(size=(6, optimizers))
    # Differences to the first of exactly this mean and a standard deviation of exactly 1.
    noise -= noise[:, :1] - noise[:, :1].mean()
    noise[:, 1:] -= noise[:, 1:].mean(axis=0)
    noise[:, 1:] /= noise[:, 1:].std(axis=0, ddof=1)
    _, ranked = rank(gaps + np.column_stack([np.zeros(6), noise[:, 1:]]))
    more = ranked.more_seeds[1]
    assert 5 < more < 120
    told = []
    for _ in range(300):
        table = np.column_stack([np.zeros(6 + int(more)), gaps[1:] + rng.normal(size=(6 + int(more), optimizers - 1))])
        told.append(rank(table)[1].rank[1] > 1)
    # With several, those that are told apart first make it easier for the rest.
    assert 0.72 <= np.mean(told) <= (0.88 if optimizers == 2 else 0.95)


def test_what_no_number_of_seeds_would_settle(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = RNG(2)
    noise = rng.normal(size=10)
    noise -= noise.mean()
    _, ranked = rank(np.column_stack([np.zeros(10), noise + 0.01]))
    assert ranked.more_seeds == [0, math.inf]
    _, ranked = rank(np.column_stack([np.zeros(10), 0.1 * noise + 5]))
    assert ranked.more_seeds == [0, 0]  # settled
    assert intervals.LEVEL == 0.95
