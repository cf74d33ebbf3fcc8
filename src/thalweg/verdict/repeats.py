"""Runs that share no seeds: independent repeats, a few of each candidate, and not the same number of each.

The difference of two means then has the sum of both variances, and the degrees of freedom of Welch (1947, "The
generalization of Student's problem when several different population variances are involved"). Nothing that seeds have
in common is taken out, so the same runs tell less than paired ones. Where a few repeats happen to agree, those degrees
are too many; so an interval is never narrower than that of either candidate alone with its own. A candidate with one
run shows no scatter, and nothing can be told from it.

Everywhere cells are (repeats, candidates), infinite where a run diverged, and NaN where a candidate has fewer.
"""

from __future__ import annotations

import math

import numpy as np

from .intervals import LEVEL, ROUNDING, Interval, estimate, reach


def variances(cells: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each candidate's finite repeats: mean, squared error of the mean, degrees of freedom; (candidates,) each.

    The squared error is infinite where there are fewer than two.
    """
    means, squares, freedoms = np.zeros(cells.shape[1]), *np.full((2, cells.shape[1]), np.inf)
    for k, column in enumerate(cells.T):
        values = column[np.isfinite(column)]
        means[k] = values.mean() if len(values) else 0.0
        if len(values) > 1:
            some = estimate(values[:, None])
            squares[k], freedoms[k] = some.error**2, some.freedoms[0]
    return means, squares, freedoms


def differences(cells: np.ndarray, before: np.ndarray, after: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each pair by how much the later one is higher, with standard errors and degrees of freedom, (ways, pairs):
    those of both candidates together, then those of each alone."""
    if not np.isfinite(cells).any():
        return np.zeros(len(before)), np.full((1, len(before)), np.inf), np.ones((1, len(before)))
    means, squares, freedoms = variances(np.where(np.isposinf(cells), cells[np.isfinite(cells)].max(), cells))
    rounding = ROUNDING * abs(means)
    stable = np.sqrt(squares * (freedoms + 1)) <= rounding  # its repeats agree
    rounding = np.maximum(rounding[before], rounding[after])
    gap, square = means[after] - means[before], squares[before] + squares[after]
    equal = abs(gap) <= rounding
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = squares[before] ** 2 / freedoms[before] + squares[after] ** 2 / freedoms[after]
        freedom = np.where(np.isfinite(square) & (square > 0), square**2 / shares, 1.0)
    nothing = stable[before] & stable[after] & ~equal
    errors = np.sqrt(np.stack([square, squares[before], squares[after]]))
    ways = np.stack([freedom, *(np.where(np.isfinite(freedoms[one]), freedoms[one], 1.0) for one in (before, after))])
    return np.where(equal, 0.0, gap), np.where(nothing, np.inf, np.maximum(errors, rounding)), ways


def difference(
    losses: np.ndarray, others: np.ndarray, errors: np.ndarray, freedoms: np.ndarray, picked_from: float = 1
) -> Interval:
    """How much higher the mean of some losses is, with its 95% interval; see `comparisons.paired`.

    Args:
        losses, others: (repeats,) of each.
        errors, freedoms: (ways,) of the difference.
    """
    lost = ~np.isfinite(losses).all(), ~np.isfinite(others).all()
    if any(lost):
        return Interval(math.inf, -math.inf if all(lost) else math.inf, math.inf)
    gap, tail = float(losses.mean() - others.mean()), (1 - LEVEL) / 2
    if not np.isfinite(errors).all():
        return Interval(gap, -math.inf, math.inf)
    low, high = (reach(errors, freedoms, share) for share in (tail / picked_from, tail))
    return Interval(gap, gap - float(low), gap + float(high))


def covariance(cells: np.ndarray) -> tuple[np.ndarray, float]:
    """Of the means' differences to their common mean, and its degrees of freedom, as `chances` takes them.

    A candidate with one run is taken to scatter as much as the one that scatters most.
    """
    _, squares, freedoms = variances(cells)
    known, counts = np.isfinite(squares), np.maximum(1, np.isfinite(cells).sum(axis=0))
    width = len(squares)
    if not known.any():
        return np.zeros((width, width)), math.inf
    widest = (squares * counts)[known].max()
    squares = np.where(known, squares, widest / counts)
    centred = np.eye(width) - 1 / width
    shares = (squares[known] ** 2 / freedoms[known]).sum()
    freedom = max(1.0, squares[known].sum() ** 2 / shares) if shares > 0 else math.inf
    return centred @ np.diag(squares) @ centred, freedom
