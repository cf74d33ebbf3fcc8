"""Independent repeats: Welch's test, whatever their numbers, and alike candidates are seldom told apart."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from thalweg.verdict import repeats
from thalweg.verdict.comparisons import paired, rank, spent
from thalweg.verdict.intervals import interval, spread
from thalweg.verdict.pairs import Pairs

INF, NAN = math.inf, math.nan


def ragged(*columns: list[float]) -> np.ndarray:
    cells = np.full((max(map(len, columns)), len(columns)), NAN)
    for k, column in enumerate(columns):
        cells[: len(column), k] = column
    return cells


def drawn(draw: np.random.Generator, counts: tuple[int, ...], scatter: tuple[float, ...]) -> np.ndarray:
    pairs = zip(counts, scatter, strict=True)
    return ragged(*(draw.normal(1, wide, count).tolist() for count, wide in pairs))


def test_two_candidates_have_the_interval_of_welch() -> None:
    one, other = [0.5, 0.52, 0.47, 0.55, 0.49], [0.61, 0.58, 0.64, 0.59, 0.61, 0.6]
    order, ranked = rank(ragged(other, one), independent=True)
    truth = stats.ttest_ind(other, one, equal_var=False)
    gap, errors, freedoms = repeats.differences(ragged(one, other), np.array([0]), np.array([1]))
    assert gap[0] / errors[0, 0] == pytest.approx(truth.statistic, rel=1e-12)
    assert freedoms[0, 0] == pytest.approx(truth.df, rel=1e-12)
    assert order == [1, 0]
    assert ranked.difference[0].high == pytest.approx(truth.confidence_interval(0.95).high, rel=1e-9)
    assert ranked.difference[0].mean == pytest.approx(truth.statistic * errors[0, 0])
    assert ranked.mean[0].mean == pytest.approx(np.mean(other))


def test_an_interval_is_not_narrower_than_that_of_either_alone() -> None:
    """Two repeats that scatter widely have one degree of freedom, however many the other candidate has."""
    steady, wild = [0.5, 0.51, 0.5, 0.49, 0.5, 0.5, 0.51, 0.49], [0.6, 0.7]
    ranked = rank(ragged(steady, wild), independent=True)[1]
    alone = stats.ttest_1samp(wild, 0).confidence_interval(0.95)
    assert ranked.difference[1].high - ranked.difference[1].mean >= (alone.high - alone.low) / 2 * (1 - 1e-9)
    assert ranked.standing == ["best", "open"]


@pytest.mark.parametrize(
    ("counts", "scatter"),
    [
        pytest.param((5, 5), (0.1, 0.1), marks=pytest.mark.slow),
        ((3, 12), (0.3, 0.05)),
        pytest.param((3, 4, 5, 8), (0.1, 0.2, 0.1, 0.05), marks=pytest.mark.slow),
    ],
)
def test_candidates_that_are_alike_are_seldom_told_apart(counts: tuple[int, ...], scatter: tuple[float, ...]) -> None:
    """In at most 5% of 1,000 tables; taken for pairs, sorted repeats would be told apart far more often."""
    draw, told, sorted_told = np.random.default_rng(3), 0, 0
    fewest, studies = min(counts), 1000
    for _ in range(studies):
        cells = drawn(draw, counts, scatter)
        order = np.nanmean(cells, axis=0).argsort().tolist()
        told += Pairs.of(cells[:, None], order, 0.0, spent(0), paired=False).better.any()
        wrong = np.sort(cells[:fewest], axis=0)
        by_mean = wrong.mean(axis=0).argsort().tolist()
        sorted_told += Pairs.of(wrong[:, None], by_mean, 0.0, spent(0)).better.any()
    assert told / studies < 0.06
    assert sorted_told > 1.5 * told


def test_the_truly_best_may_be_best() -> None:
    draw, good = np.random.default_rng(0), 0
    for _ in range(100):
        cells = drawn(draw, (3, 5, 4), (0.1, 0.2, 0.1))
        cells[:, 1] -= 0.03
        good += rank(cells, independent=True)[1].may_be_best[1]
    assert good >= 93


def test_one_run_alone_tells_nothing_and_harms_no_other() -> None:
    with_it = rank(ragged([0.1], [0.5, 0.52, 0.51, 0.5], [0.9, 0.91, 0.9, 0.92]), independent=True)[1]
    assert with_it.may_be_best == [True, True, False]
    assert with_it.letters[0] == "ab"
    assert with_it.mean[0].high == INF
    assert with_it.more_seeds[1:] == [0.0, 0.0]
    assert with_it.standing == ["best", "open", "open"]
    alone = rank(ragged([0.5, 0.52, 0.51, 0.5], [0.9, 0.91, 0.9, 0.92]), independent=True)[1]
    assert alone.standing == ["best", "worse"]


def test_runs_that_diverged_count_by_their_share() -> None:
    order, ranked = rank(ragged([0.1, 0.1, INF], [0.5, 0.6, 0.5, 0.5, 0.6], [INF] * 4), independent=True)
    assert order == [1, 0, 2]
    assert [one.mean for one in ranked.mean] == [INF, pytest.approx(0.54), INF]
    assert ranked.standing[2] == "worse"
    assert ranked.probability[2] == 0.0
    assert 0 < ranked.probability[0] < ranked.probability[1]
    assert rank(ragged([0.5, 0.6], [INF, INF]), independent=True)[1].standing[1] == "open"
    # 1 of 3 is less than 3 of 5
    assert rank(ragged([0.1, INF, INF, INF, 0.1], [0.9, INF, 0.9]), independent=True)[0] == [1, 0]


def test_chances_of_alike_candidates_are_alike() -> None:
    values = [0.5, 0.55, 0.45]
    chances = rank(ragged(values, values, [*values, *values]), independent=True)[1].probability
    assert sum(chances) == pytest.approx(1)
    assert max(chances) < 0.45


def test_so_many_more_repeats_would_settle_it() -> None:
    draw = np.random.default_rng(1)
    cells = ragged([0.5, 0.6, 0.55], [0.68, 0.6, 0.72])
    more = rank(cells, independent=True)[1].more_seeds[1]
    assert 1 <= more < 50
    settled, studies = 0, 400
    for _ in range(studies):
        one = [*draw.normal(0.55, 0.05, 3 + int(more))]
        other = [*draw.normal(0.6667, 0.0611, 3 + int(more))]
        settled += stats.ttest_ind(one, other, equal_var=False).pvalue < 0.04
    assert settled / studies >= 0.8


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("independent", [False, True])
@pytest.mark.parametrize("picked", [False, True])
def test_losses_of_any_size_have_the_same_verdict(independent: bool, picked: bool) -> None:
    """Squares of huge ones would overflow: nothing is told apart then, and warnings are all that is said of it."""
    draw, size = np.random.default_rng(0), 2.0**987  # about 1e297
    losses = draw.normal([1, 1.02, 1.5], 0.05, (6, 3))
    losses[2, 2] = INF
    rivals = [draw.normal(1.6, 0.05, (6, 1, 2)) for _ in range(3)] if picked and not independent else None
    huge = None if rivals is None else [size * some for some in rivals]
    order, usual = rank(losses, independent=independent, rivals=rivals, floor=0.0)
    same, ranked = rank(size * losses, independent=independent, rivals=huge, floor=0.0)
    assert same == order == [0, 1, 2]
    assert (ranked.groups, ranked.standing, ranked.places) == (usual.groups, usual.standing, usual.places)
    assert ranked.probability == pytest.approx(usual.probability, abs=1e-3)
    assert [one / size for one in ranked.regret] == pytest.approx(usual.regret)
    for some, others in ((ranked.mean, usual.mean), (ranked.difference, usual.difference)):
        assert some == [one.times(size) for one in others]


@pytest.mark.filterwarnings("error")
def test_huge_losses_have_intervals_and_errors() -> None:
    losses, size = np.random.default_rng(0).normal(1, 0.1, (5, 4)), 2.0**987
    assert interval(size * losses) == interval(losses).times(size)
    assert paired(size * losses, 2 * size * losses) == paired(losses, 2 * losses).times(size)
    assert spread(size * losses) == tuple(size * one for one in spread(losses))
