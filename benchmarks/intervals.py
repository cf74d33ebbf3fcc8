"""How often 95% intervals of a mean hold, by method, population and number of seeds.

Each cell is the share of 4,000 made-up studies whose interval holds the population's true mean. The study's own
intervals are the first column; where losses cannot be negative what lies below 0 is cut off, which no true mean is in,
so that they hold as often and are shorter: by the second column, where they reach below 0 (the third). The others are
what else could have been used; the last column is the length of intervals of logarithms beside the study's. Losses are
normal, or lognormal with σ = 0.25, 0.5 and 1 (a skewness of 0.8, 1.8, 6.2).

    python benchmarks/intervals.py
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy import special

from thalweg.verdict.intervals import bounds

STUDIES, RESAMPLES, SEEDS = 4000, 1000, (2, 3, 5, 10, 20)
HIGH = 0.975
Ends = tuple[np.ndarray, np.ndarray]


def own(values: np.ndarray, drawn: np.ndarray) -> Ends:
    return bounds(values[..., None])


def student(values: np.ndarray, drawn: np.ndarray) -> Ends:
    return bounds(values[..., None], skewed=False)


def percentile(values: np.ndarray, drawn: np.ndarray) -> Ends:
    low, high = np.quantile(drawn.mean(axis=-1), [1 - HIGH, HIGH], axis=1)
    return low, high


def widened(values: np.ndarray, drawn: np.ndarray) -> Ends:
    """Percentile, with its ends moved away from the mean by what it is too narrow for normal data."""
    n, mean = values.shape[1], values.mean(axis=1)
    factor = math.sqrt(n / (n - 1)) * special.stdtrit(n - 1, HIGH) / special.ndtri(HIGH)
    low, high = percentile(values, drawn)
    return mean + factor * (low - mean), mean + factor * (high - mean)


def accelerated(values: np.ndarray, drawn: np.ndarray) -> Ends:
    """BCa (Efron 1987)."""
    means, mean = drawn.mean(axis=-1), values.mean(axis=1, keepdims=True)
    below = (means < mean).mean(axis=1) + (means == mean).mean(axis=1) / 2
    bias = special.ndtri(np.clip(below, 1e-3, 1 - 1e-3))
    apart = values - mean
    spread = (apart**2).sum(axis=1) ** 1.5
    acceleration = (apart**3).sum(axis=1) / (6 * spread)
    ends = []
    for z in (special.ndtri(1 - HIGH), special.ndtri(HIGH)):
        level = special.ndtr(bias + (bias + z) / (1 - acceleration * (bias + z)))
        place = np.clip((level * (RESAMPLES - 1)).round().astype(int), 0, RESAMPLES - 1)
        ends.append(np.take_along_axis(np.sort(means, axis=1), place[:, None], 1)[:, 0])
    return ends[0], ends[1]


def bootstrap_t(values: np.ndarray, drawn: np.ndarray) -> Ends:
    """Efron & Tibshirani 1993, chapter 12; a resample without spread has an infinite t."""
    n, mean = values.shape[1], values.mean(axis=1)
    error = values.std(axis=1, ddof=1) / math.sqrt(n)
    gap, spread = drawn.mean(axis=-1) - mean[:, None], drawn.std(axis=-1, ddof=1) / math.sqrt(n)
    flat = spread < 1e-9 * error[:, None]
    t = np.where(flat, np.copysign(1e9, gap) * (gap != 0), gap / np.where(flat, 1.0, spread))
    low, high = np.quantile(t, [1 - HIGH, HIGH], axis=1, method="nearest")
    return mean - high * error, mean - low * error


def of_logarithms(values: np.ndarray, drawn: np.ndarray) -> Ends:
    """Cox's interval of a lognormal mean (Zhou & Gao 1997, method 4), with Student's quantile; above 0 by itself."""
    if (values <= 0).any():
        return np.full(len(values), np.nan), np.full(len(values), np.nan)
    logs, n = np.log(values), values.shape[1]
    mean, square = logs.mean(axis=1), logs.var(axis=1, ddof=1)
    reach = special.stdtrit(n - 1, HIGH) * np.sqrt(square / n + square**2 / (2 * (n - 1)))
    return np.exp(mean + square / 2 - reach), np.exp(mean + square / 2 + reach)


METHODS: dict[str, Callable[[np.ndarray, np.ndarray], Ends]] = {
    "thalweg": own,
    "Student's t": student,
    "percentile": percentile,
    "percentile, widened": widened,
    "BCa": accelerated,
    "bootstrap-t": bootstrap_t,
    "of logarithms": of_logarithms,
}


def covered(method: Callable[..., Ends], sigma: float | None, seeds: int) -> float:
    rng = np.random.default_rng([seeds, round(100 * (sigma or 0))])
    held = []
    for _ in range(STUDIES // 500):
        noise = rng.normal(size=(500, seeds))
        values, truth = (noise, 0.0) if sigma is None else (np.exp(sigma * noise), math.exp(sigma**2 / 2))
        rows = np.arange(500)[:, None, None]
        drawn = values[rows, rng.integers(0, seeds, (500, RESAMPLES, seeds))]
        low, high = method(values, drawn)
        held.append((low <= truth) & (truth <= high))
    return float(np.mean(held))


def lengths(sigma: float, seeds: int) -> list[str]:
    """Of losses above 0: by how much cutting at 0 shortens the intervals that reach below it (median), the share that
    does, and how long intervals of logarithms are beside them (ratio of medians)."""
    noise = np.random.default_rng([seeds, round(100 * sigma)]).normal(size=(STUDIES, seeds))
    low, high = own(np.exp(sigma * noise), noise)
    below = low < 0
    shorter = float(np.median(1 - high[below] / (high - low)[below])) if below.any() else 0.0
    other_low, other_high = of_logarithms(np.exp(sigma * noise), noise)
    ratio = np.median(other_high - other_low) / np.median(high - np.maximum(low, 0))
    return [f"{shorter:.0%}", f"{below.mean():.0%}", f"{ratio:.3g}×"]


def main() -> None:
    lines = [__doc__.strip().split("\n\n    python")[0], ""] if __doc__ else []
    first, *others = METHODS
    names = [first, "shorter from 0", "reach below 0", *others, "their length"]
    lines += [f"| losses | seeds | {' | '.join(names)} |", f"|---|---|{'---|' * len(names)}"]
    for name, sigma in (("normal", None), *((f"lognormal {s}", s) for s in (0.25, 0.5, 1.0))):
        for seeds in SEEDS:
            held = [covered(method, sigma, seeds) for method in METHODS.values()]
            *cut, longer = ["–"] * 3 if sigma is None else lengths(sigma, seeds)
            shares = [f"{held[0]:.1%}", *cut, *(f"{one:.1%}" for one in held[1:-1])]
            shares += ["–" if sigma is None else f"{held[-1]:.1%}", longer]
            lines.append(f"| {name} | {seeds} | {' | '.join(shares)} |")
            print(lines[-1], flush=True)
    target = Path(__file__).parent / "results" / "coverage.md"
    target.write_text("# How often intervals hold\n\n" + "\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
