"""The rates of a grid: evenly spaced on a logarithmic axis, or a list."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from ..errors import PlanError
from ..formulas import Formula
from ..numbers import COUNT, rounded
from .factors import RATE, Factor, factor


def log_range(low: float, high: float, count: int) -> list[float]:
    """`count` rates from `low` to `high`, evenly spaced on a logarithmic axis.

    >>> log_range(1e-3, 1, 4)
    [0.001, 0.01, 0.1, 1.0]
    """
    if not all(isinstance(v, int | float) and math.isfinite(v) and v > 0 for v in (low, high)):
        raise PlanError("rates from {low} to {high}: both ends must be positive numbers.", low=str(low), high=str(high))
    if low > high:
        raise PlanError(
            "rates from {low:g} to {high:g}: the low end is above the high end; swap them.", low=low, high=high
        )
    COUNT.check("number of rates", count, PlanError)
    if (count == 1) != (low == high):
        raise PlanError(
            "rates from {low:g} to {high:g}, {count} of them: one rate has equal ends, and several have "
            "different ones.",
            low=low,
            high=high,
            count=count,
        )
    return [rounded(v) for v in np.geomspace(low, high, count)]


LOW, HIGH, COUNTED = 1e-4, 1.0, 13  # the common grid: four decades, three rates in each


def around_defaults(rules: Mapping[str, Formula]) -> Factor:
    """The grid of each rule where no rates are given: 13 rates over four decades.

    It is 1e-4 … 1 for every rule whose own default lies a decade or more inside of that, and for others by so many
    decades lower or higher that it does.

    >>> from thalweg import formulas
    >>> grid = around_defaults({name: formulas.get(name) for name in ("adam", "lion", "prodigy")})
    >>> [(min(grid.of(name)), max(grid.of(name))) for name in ("adam", "lion", "prodigy")]
    [(0.0001, 1.0), (1e-05, 0.1), (0.001, 10.0)]
    """
    shifts = {label: _decades(rule.hyperparameters["lr"]) for label, rule in rules.items()}
    common = 0 if 0 in shifts.values() else next(iter(shifts.values()))
    scales = {label: 10.0 ** (shift - common) for label, shift in shifts.items() if shift != common}
    grid = log_range(LOW * 10.0**common, HIGH * 10.0**common, COUNTED)
    return replace(factor(RATE, grid), scales=scales)


def _decades(default: float) -> int:
    """By how many decades the common grid is moved for a rule of this default rate; 0 where it has none."""
    if default <= 0:
        return 0
    place, close = math.log10(default), 1e-9
    low, high = math.log10(LOW) + 1, math.log10(HIGH) - 1
    return math.ceil(max(0.0, place - high) - close) + math.floor(min(0.0, place - low) + close)


def parse_rates(text: str) -> list[float]:
    """``1e-4:1:13`` is a logarithmic range, ``0.01,0.1`` a list.

    >>> parse_rates("0.01,0.1")
    [0.01, 0.1]
    """
    try:
        if ":" in text:
            low, high, count = text.split(":")
            return log_range(float(low), float(high), int(count))
        return [float(part) for part in text.split(",")]
    except PlanError:
        raise
    except ValueError as error:
        raise PlanError(
            "rates '{rates}' cannot be read: give LOW:HIGH:COUNT, e.g. 1e-4:1:13, or a list, e.g. 0.01,0.1.", rates=text
        ) from error
