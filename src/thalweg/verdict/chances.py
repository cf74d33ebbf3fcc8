"""The chance of each candidate to be the best, with shrinkage.

The lowest of several means is low partly by luck, and the more so the closer the true means lie together. So the
true means are taken to scatter normally about a common one, with a spread τ of which nothing is known beforehand but
its order of magnitude, and that two candidates are never quite alike: its density is proportional to
τ / (1 + τ²)^1.5, in errors of a mean, which has the tail of a half-Cauchy (Gelman 2006) and vanishes at 0 (Chung et al.
2013). The chance is that of the posterior, integrated over τ: where the candidates differ by no more than their errors
do, τ is small and all chances are alike; where they lie far apart, nothing is shrunk.

A candidate that was picked among several settings of its own is low by luck as well. So all of these are in the
posterior, those of one candidate about a centre of their own with a second spread, and the chance is that of the picked
ones: a posterior is of the true means, however one came to look at some of them.

The covariance of the means' errors is that of a few seeds, which would leave directions without any error; so it is
shrunk towards equal errors of all, by as much as the oracle approximation of Chen, Wiesel, Eldar & Hero (2010) says.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from .repeats import covariance

RESAMPLES = 10_000
_SPREADS = np.geomspace(0.03, 30, 25)  # of τ, in errors of the means; even over log τ, which gives each a weight of τ
_PRIOR = 2 * np.log(_SPREADS) - 1.5 * np.log1p(_SPREADS**2)


def chances(
    cells: np.ndarray,
    centre: np.ndarray,
    seed: int,
    overlap: float,
    paired: bool = True,
    rivals: Sequence[np.ndarray] | None = None,
) -> list[float]:
    """In which share of draws from the posterior each of several is the best.

    A candidate that diverged on some seeds is out of a draw as often as one of those seeds is among as many drawn with
    replacement.

    Args:
        cells: (seeds, folds or parts of the samples, candidates), infinite where a run diverged.
        centre: (candidates,) the means of the finite ones.
        overlap: as `intervals.estimate` takes it.
        paired: else these are independent repeats, as `repeats` takes them, and each is out by its own.
        rivals: for each candidate the settings (seeds, folds or parts, rivals) among which it was picked, of paired
            cells; those that diverged at times are left out.
    """
    seeds, _, width = cells.shape
    draw, lost = np.random.default_rng(seed), np.isposinf(cells)
    centre = np.where(np.isfinite(centre), centre, 0.0)
    if paired:
        ran = [some[..., np.isfinite(some).all(axis=(0, 1))] for some in rivals or ()]
        of = np.r_[np.arange(width), np.repeat(np.arange(len(ran)), [some.shape[-1] for some in ran])]
        every = np.concatenate([np.where(lost, centre, cells), *ran], axis=-1)
        centres = np.r_[centre, every[..., width:].mean(axis=(0, 1))]
        means = _drawn(centres, *_covariance(every - centres, overlap), of, draw)[:, :width]
        drawn = draw.multinomial(seeds, [1 / seeds] * seeds, RESAMPLES) > 0
        means[drawn @ lost.any(axis=1)] = math.inf
    else:
        means = _drawn(centre, *covariance(cells[:, 0]), np.arange(width), draw)
        counts = (~np.isnan(cells[:, 0])).sum(axis=0)
        out = 1 - (1 - lost[:, 0].sum(axis=0) / counts) ** counts
        means = np.where(draw.random((RESAMPLES, width)) < out, math.inf, means)
    lowest = means == means.min(axis=1, keepdims=True)
    return (lowest / lowest.sum(axis=1, keepdims=True)).mean(axis=0).tolist()


def _covariance(apart: np.ndarray, overlap: float) -> tuple[np.ndarray, float]:
    """Of the means' differences to their common mean, as `intervals.estimate` has variances; its degrees of freedom.

    Args:
        apart: (seeds, folds or parts, candidates), less the candidates' means.
    """
    seeds, parts, width = apart.shape
    apart = apart - apart.mean(axis=2, keepdims=True)  # what all have in common says nothing of which is the best
    total, freedom = np.zeros((width, width)), 0.0
    for mean, count, more in ((apart.mean(axis=1), seeds, 0.0), (apart.mean(axis=0), parts, overlap)):
        if count > 1:
            one, share = _shrunk(mean)
            one *= 1 / count + more
            # Each part's degrees of freedom count by its share of the variance (Satterthwaite 1946); what is shrunk is
            # known from all candidates.
            freedom += np.trace(one) ** 2 / ((count - 1) * (1 + share * (width - 2)))
            total += one
    if min(seeds, parts) > 1:  # what both count
        rest = apart - apart.mean(axis=1, keepdims=True) - apart.mean(axis=0, keepdims=True)
        cells = rest.reshape(-1, width)
        values, vectors = np.linalg.eigh(total - cells.T @ cells / ((seeds - 1) * (parts - 1) * seeds * parts))
        total_trace, total = np.trace(total), (vectors * np.maximum(values, 0)) @ vectors.T
    else:
        total_trace = np.trace(total)
    return total, max(1.0, total_trace**2 / freedom) if freedom > 0 else math.inf


def _shrunk(means: np.ndarray) -> tuple[np.ndarray, float]:
    """The covariance of rows of contrasts, and by which share it was shrunk towards equal variances of all."""
    count, width = len(means) - 1, means.shape[1] - 1  # both less what the means took
    plain = means.T @ means / count
    trace, square = np.trace(plain), float((plain**2).sum())
    excess = (count + 1 - 2 / width) * (square - trace**2 / width)
    share = min(1.0, ((1 - 2 / width) * square + trace**2) / excess) if width > 1 and excess > 0 else 0.0
    equal = (np.eye(width + 1) - 1 / (width + 1)) * trace / width
    return (1 - share) * plain + share * equal, share


def _drawn(
    centre: np.ndarray, noise: np.ndarray, freedom: float, of: np.ndarray, draw: np.random.Generator
) -> np.ndarray:
    """(draws, means) from the posterior of the true means.

    Args:
        of: (means,) the candidate whose setting each is.
    """
    width = len(centre)
    scale = math.sqrt(max(0.0, np.trace(noise)) / (width - 1))
    if scale <= 1e-12 * np.ptp(centre):
        return np.tile(centre, (RESAMPLES, 1))
    spreads = scale * _SPREADS
    alike, alone, prior = of[:, None] == of, np.eye(width), _PRIOR
    scatters = [tau**2 * alike for tau in spreads]
    if alike.sum() > width:  # of candidates, and of the settings of one
        scatters = [scatter + tau**2 * alone for scatter in scatters for tau in spreads[::2]]
        prior = np.add.outer(_PRIOR, _PRIOR[::2]).ravel()
    each = [_posterior(centre, noise, scatter, freedom) for scatter in scatters]
    weight = np.array([evidence for evidence, *_ in each]) + prior
    weight = np.exp(weight - weight.max())
    counts = draw.multinomial(RESAMPLES, weight / weight.sum())
    rows = [
        mean + draw.normal(size=(count, width)) @ root.T
        for (_, mean, root), count in zip(each, counts, strict=True)
        if count
    ]
    return np.concatenate(rows)


def _posterior(
    centre: np.ndarray, noise: np.ndarray, scatter: np.ndarray, freedom: float
) -> tuple[float, np.ndarray, np.ndarray]:
    """Where true means scatter so: the log evidence of these, the posterior's mean, and a root of its covariance."""
    width, ones = len(centre), np.ones(len(centre))
    inverse = np.linalg.inv(noise + scatter)
    precision = ones @ inverse @ ones
    common = ones @ inverse @ centre / precision
    apart = centre - common
    square = apart @ inverse @ apart
    _, size = np.linalg.slogdet(inverse)
    finite = math.isfinite(freedom)
    tail = (freedom + width - 1) * math.log1p(square / freedom) if finite else square
    evidence = 0.5 * (size - math.log(precision) - tail)
    gain = noise @ inverse
    covariance = noise - gain @ noise + np.outer(gain @ ones, gain @ ones) / precision
    if finite:  # heavier tails: the errors are themselves estimated
        covariance = covariance * (freedom + square) / (freedom + width - 1)
    values, vectors = np.linalg.eigh((covariance + covariance.T) / 2)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T  # the symmetric one, which rounding hardly moves
    return evidence, centre - gain @ apart, root
