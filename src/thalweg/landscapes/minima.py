"""The minima that walkers come to: where many end, the end polished, and only if nothing around is lower."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from .surface import Surface

SHARE = 1e-4  # of the ends, that have to crowd at a place for a minimum to be looked for there
CANDIDATES = 512  # such places, at most
DIRECTIONS = 64  # around a point, in which nothing may be lower


def minima_among(surface: Surface, ends: np.ndarray, radius: float) -> np.ndarray:
    """(minima, dimensions), the lowest first: those known of the surface, and those near the ends.

    Args:
        ends: (points, dimensions), finite.
        radius: minima closer than that are one.
    """
    known = np.array(surface.minima).reshape(-1, surface.dimensions)
    candidates = _crowded(ends, radius)
    candidates = candidates[nearest(known, candidates, radius) < 0]
    with np.errstate(all="ignore"):  # a point that runs away is not taken
        polished = _polished(surface, candidates, radius)
    stayed = np.linalg.norm(polished - candidates, axis=1) < 10 * radius
    points = list(known)
    for point in polished[stayed & _lowest_around(surface, polished, radius)]:
        if not points or np.linalg.norm(np.stack(points) - point, axis=1).min() >= radius:
            points.append(point)
    minima = np.array(points).reshape(-1, surface.dimensions)
    return minima[np.lexsort((*minima.T[::-1], np.round(surface(minima), 9)))]


def nearest(minima: np.ndarray, ends: np.ndarray, radius: float) -> np.ndarray:
    """For each end the number of the nearest minimum within the radius, or −1."""
    labels = np.full(len(ends), -1, dtype=np.int64)
    near = np.isfinite(ends).all(axis=1)
    if len(minima) and near.any():
        distance, which = cKDTree(minima).query(ends[near], distance_upper_bound=radius, workers=-1)
        labels[near] = np.where(np.isfinite(distance), which, -1)
    return labels


def _crowded(ends: np.ndarray, radius: float) -> np.ndarray:
    """An end of each of the cells in which the most ends lie."""
    if not len(ends):
        return ends
    cells = np.floor((ends - ends.min(axis=0)) / radius)
    _, first, counts = np.unique(cells @ [1.0, 2.0**26][: ends.shape[1]], return_index=True, return_counts=True)
    chosen = np.argsort(-counts, kind="stable")[:CANDIDATES]
    return ends[first[chosen[counts[chosen] >= SHARE * len(ends)]]]


def _polished(surface: Surface, points: np.ndarray, radius: float) -> np.ndarray:
    """Newton's steps with |H|, so that they go down; one that does not is taken back, and the next is shorter."""
    points, reach = points.copy(), np.full(len(points), radius)
    heights, slopes = surface.evaluate(points)
    for _ in range(60):
        step = -_newton(surface, points, slopes, 1e-4 * radius)
        length = np.linalg.norm(step, axis=1)
        step *= np.minimum(1, reach / np.maximum(length, 1e-300))[:, None]
        higher, sloped = surface.evaluate(points + step)
        better = higher < heights
        points[better] += step[better]
        heights[better], slopes[better] = higher[better], sloped[better]
        reach[~better] /= 4
    return points


def _newton(surface: Surface, points: np.ndarray, slopes: np.ndarray, h: float) -> np.ndarray:
    """|H|⁻¹g, with H from differences of the gradient."""
    shifts = h * np.eye(points.shape[1])
    second = np.stack([(surface.gradient(points + s) - surface.gradient(points - s)) / (2 * h) for s in shifts], -1)
    values, vectors = np.linalg.eigh(np.nan_to_num(second + second.swapaxes(1, 2)) / 2)
    along = np.einsum("nij,ni->nj", vectors, np.nan_to_num(slopes)) / np.maximum(np.abs(values), 1e-12)
    return np.einsum("nij,nj->ni", vectors, along)


def _lowest_around(surface: Surface, points: np.ndarray, radius: float) -> np.ndarray:
    directions = np.random.default_rng(0).standard_normal((DIRECTIONS, points.shape[1]))
    directions *= radius / 10 / np.linalg.norm(directions, axis=1, keepdims=True)
    around = surface(points[:, None] + np.concatenate([directions, -directions]))
    return np.all(around > surface(points)[:, None], axis=1)
