"""More samples that judge: what a verdict promises of them, and how often it is true, by simulation.

A study is (seeds, parts of the samples, candidates): `PARTS` parts of the validation samples, and as many of each part
of the training samples that changes places with them.
"""

from __future__ import annotations

import functools
import math

import numpy as np
import pytest

from thalweg.verdict import chances
from thalweg.verdict.comparisons import paired, rank

from ..cases import times

PARTS, MOST = 20, 25


@pytest.fixture(autouse=True)
def _no_chances(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which take time, and are not looked at here."""
    monkeypatch.setattr(chances, "RESAMPLES", 1)


def study(rng: np.random.Generator, gap: float, candidates: int, judged: int, seeds: int = 8) -> np.ndarray:
    """Losses: what seeds, samples, and both together change for all alike and for each candidate; and what each
    training set does to each seed, which all samples that one model judges have in common."""
    means = 5 + gap * (np.arange(candidates) > 0)
    of_seed = rng.normal(size=(seeds, 1, 1)) + 0.02 * rng.normal(size=(seeds, 1, candidates))
    shared = 3 * rng.normal(size=(1, judged * PARTS, 1))
    of_sample = rng.normal(size=(1, judged * PARTS, candidates)) / math.sqrt(2)
    of_model = 0.05 * rng.normal(size=(seeds, judged, candidates)).repeat(PARTS, axis=1)
    return means + of_seed + shared + of_sample + of_model + 0.1 * rng.normal(size=(seeds, judged * PARTS, candidates))


@pytest.mark.slow
@pytest.mark.parametrize("candidates", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_so_many_samples_do_settle_it(candidates: int) -> None:
    """Of those that are told a number and extend until it judges, in whole parts, four of five at least."""
    rng, settled = np.random.default_rng(candidates), []
    for _ in range(400):
        table = study(rng, 0.6, candidates, MOST)
        order, ranked = rank(table[:, :PARTS])
        times = ranked.more_parts[order[1]]
        if order[0] == 0 and 1 < times <= MOST:
            after = rank(table[:, : math.ceil(times) * PARTS], looks=1)[1]
            settled.append(after.standing[order[1]] != "open")
    assert len(settled) > 30
    assert np.mean(settled) >= 0.8 - 2.5 * math.sqrt(0.16 / len(settled))


@pytest.mark.whole
@pytest.mark.parametrize("candidates", [2, 4])
def test_looking_again_at_more_samples_four_times_keeps_false_separations_rare(candidates: int) -> None:
    """Identical candidates, extended until they are told apart or four times; without the levels of each look, more."""
    rng, studies = np.random.default_rng(candidates), times(400)
    apart = {True: 0, False: 0}
    for _ in range(studies):
        table = study(rng, 0.0, candidates, 5)
        for spent in apart:
            looks = (rank(table[:, : (k + 1) * PARTS], looks=k if spent else 0)[1] for k in range(5))
            apart[spent] += any(len(ranked.groups) > 1 for ranked in looks)
    assert apart[True] / studies <= 0.05 + 2.5 * math.sqrt(0.05 * 0.95 / studies)
    assert apart[False] / studies > 0.06


# Real learners: ridge regressions, whose true losses are known


FEATURES, VALIDATION, NOISE = 10, 50, 1.0


def fitted(inputs: np.ndarray, targets: np.ndarray, strength: float) -> np.ndarray:
    return np.linalg.solve(inputs.T @ inputs + strength * np.eye(FEATURES), inputs.T @ targets)


def judged_by_parts(rng: np.random.Generator, judged: int, seeds: int) -> tuple[np.ndarray, float]:
    """Losses (seeds, samples, two strengths), and by how much the second's models are truly worse, on average."""
    true = rng.normal(size=FEATURES) / math.sqrt(FEATURES)
    inputs = rng.normal(size=(5 * VALIDATION, FEATURES))
    targets = inputs @ true + NOISE * rng.normal(size=len(inputs))
    jitter = 0.05 * rng.normal(size=(seeds, judged, 2, FEATURES))  # what a seed does to weights
    columns, gaps = [], []
    for part in range(judged):
        held = np.arange(len(inputs)) // VALIDATION == part
        fits = [fitted(inputs[~held], targets[~held], strength) for strength in (1.0, 40.0)]
        weights = np.stack(fits) + jitter[:, part]  # (seeds, 2, features)
        columns.append((np.einsum("nf,skf->snk", inputs[held], weights) - targets[held, None]) ** 2)
        risks = [np.square(one - true).sum() for one in fits]  # beyond the noise; that of the jitter is the same
        gaps.append(risks[1] - risks[0])
    return np.concatenate(columns, axis=1), float(np.mean(gaps))


@functools.cache
def coverage(judged: int, flat: bool = False) -> tuple[float, float]:
    """How often the interval of the difference holds the true one of these models, and its mean width."""
    rng, held, widths = np.random.default_rng(judged), [], []
    for _ in range(400):
        values, gap = judged_by_parts(rng, judged, 5)
        one, other = values[..., 1], values[..., 0]
        difference = paired(one.reshape(-1, 1), other.reshape(-1, 1)) if flat else paired(one, other)
        held.append(difference.low <= gap <= difference.high)
        widths.append(difference.high - difference.low)
    return float(np.mean(held)), float(np.mean(widths))


@pytest.mark.slow
def test_the_true_difference_of_the_models_lies_in_its_interval() -> None:
    for judged in (1, 3, 5):
        assert coverage(judged)[0] >= 0.95 - 2.5 * math.sqrt(0.95 * 0.05 / 400), judged
    assert coverage(5, flat=True)[0] < 0.8  # each run's value on each sample as evidence of its own


def test_all_samples_make_it_as_narrow_as_so_many_samples_do() -> None:
    assert coverage(5)[1] == pytest.approx(coverage(1)[1] / math.sqrt(5), rel=0.1)
