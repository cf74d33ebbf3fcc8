"""Random and Sobol search: numbers drawn from ranges, in place of all combinations of lists.

A grid of k numbers has nᵏ settings and tries only n values of each; where one of them decides, which one is not known
beforehand, the other k − 1 dimensions repeat the same n values. Points drawn in all dimensions at once have another
value of each number at every point (Bergstra & Bengio 2012, "Random search for hyper-parameter optimization"), and a
scrambled Sobol sequence spreads them more evenly than chance does (Bousquet et al. 2017, "Critical hyper-parameters:
no random, no cry"). All optimizers are tried at the same points, each with as many of their numbers as it has, so that
all have equally many settings and the same rates. Every point is tried with each schedule, batch size, loss and
regularizer.

A number is spread evenly over its logarithm if its range lies above 0. A share of the past (momentum, beta2, whatever a
formula declares to lie in [0, 1)) is spread over the logarithm of 1 − share, because its horizon is 1/(1 − share). All
others are spread evenly, and an option takes each of its values about equally often.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np

from ..errors import PlanError
from ..formulas import Formula
from ..formulas.meanings import SHARE
from ..numbers import Range
from ..unknown import unknown
from .factors import Factor, Level, factor

Point = Mapping[str, Level]
GRID, RANDOM, SOBOL = "grid", "random", "sobol"
SEARCHES = (GRID, RANDOM, SOBOL)
MOST = 32  # points, unless more are asked for
SETTINGS = Range(2, 10_000, whole=True)


def drawn(
    factors: Sequence[Factor], rules: Mapping[str, Formula], search: str, count: int | None
) -> tuple[list[Factor], tuple[Point, ...]]:
    """The factors with the levels that were drawn for them, each between the lowest and the highest given; the points.

    Args:
        factors: rates and hyperparameters; one that does not vary is left as it is.
        rules: label → formula, for what the hyperparameters mean.
        count: points; as many as the grid of the same factors has, up to 32, unless given.

    Raises:
        PlanError: unknown search, count out of range, or a single rate.
    """
    if search not in SEARCHES:
        raise PlanError(unknown("search", str(search), SEARCHES))
    if search == GRID:
        if count is not None:
            words = f"is for a search that draws them; give search={SOBOL!r}, or leave it out"
            raise PlanError(f"settings={count!r} {words}.")
        return [*factors], ()
    if not factors[0].varied:
        raise PlanError(
            "search={search} draws rates from a range; give a lowest and a highest rate.", search=repr(search)
        )
    varied = [f for f in factors if f.varied]
    most = min(MOST, math.prod(len(f.levels) for f in varied))
    number = most if count is None else SETTINGS.check("settings", count, PlanError)
    unit = _unit(search, number, len(varied))
    columns = {f.name: _values(f, u, rules) for f, u in zip(varied, unit, strict=True)}
    if len(set(columns[factors[0].name])) < number:
        raise PlanError(
            "{number:,} rates do not fit between the lowest and the highest given; give a wider range.", number=number
        )
    levels = {f.name: factor(f.kind, list(dict.fromkeys(columns[f.name]))) for f in varied}
    points = tuple(dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True))
    return [replace(levels.get(f.name, f), only=f.only, scales=f.scales) for f in factors], points


def _values(f: Factor, unit: np.ndarray, rules: Mapping[str, Formula]) -> list[Level]:
    """The level of a factor at each point."""
    if all(isinstance(level, float) for level in f.levels):
        return [*_spread(f, unit, _is_share(f, rules))]
    return [f.levels[int(u * len(f.levels))] for u in unit]


def _is_share(f: Factor, rules: Mapping[str, Formula]) -> bool:
    """Whether a formula declares it as a share of the past, and its range ends below 1."""
    meanings = [rules[label].meanings for label in f.only or ()]
    shares = any(f.name in words and words[f.name].range == SHARE for words in meanings)
    return shares and min(f.levels) >= 0 and max(f.levels) < 1


def _unit(search: str, count: int, dimensions: int) -> np.ndarray:
    """(dimensions, count) numbers from 0 to 1, the same ones each time."""
    generator = np.random.default_rng(0)
    if search == RANDOM:
        return generator.random((count, dimensions)).T
    from scipy.stats import qmc  # which takes a second, and descents and pictures need a plan's names alone

    sequence = qmc.Sobol(dimensions, scramble=True, seed=generator)
    return sequence.random_base2(math.ceil(math.log2(count)))[:count].T  # its balance is that of powers of 2


def _spread(f: Factor, unit: np.ndarray, share: bool) -> list[float]:
    """Values of a factor between its lowest and its highest level.

    >>> from thalweg.plan.factors import RATE
    >>> rates = factor(RATE, [0.01, 1])
    >>> _spread(rates, np.array([0.0, 0.5, 1.0]), share=False)
    [0.01, 0.1, 1.0]
    >>> _spread(factor(RATE, [0.9, 0.999]), np.array([0.0, 0.5, 1.0]), share=True)
    [0.9, 0.99, 0.999]
    """
    low, high = min(f.levels), max(f.levels)
    if share:
        values = 1 - (1 - low) * ((1 - high) / (1 - low)) ** unit
    elif low > 0:
        values = low * (high / low) ** unit
    else:
        values = low + (high - low) * unit
    return [min(high, max(low, float(f"{value:.6g}"))) for value in values]


def checked_points(points: Sequence[Point], levels: Mapping[str, Collection[Level]]) -> None:
    """Refuse points of a store that are not of its plan.

    Args:
        levels: of the rate and each hyperparameter.
    """
    for point in points:
        if point.keys() != points[0].keys() or "lr" not in point or not levels.keys() >= point.keys():
            raise PlanError("its points are not all of the same hyperparameters")
        if any(value not in levels[name] for name, value in point.items()):
            raise PlanError("its points have values that are not in it")
    if len({point["lr"] for point in points}) < len(points):
        raise PlanError("its points have the same rate twice")
