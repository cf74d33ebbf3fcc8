"""The rates of a grid: evenly spaced on a logarithmic axis, or a list."""

from __future__ import annotations

import math

import numpy as np

from ..errors import PlanError
from ..numbers import COUNT


def log_range(low: float, high: float, count: int) -> list[float]:
    """`count` rates from `low` to `high`, evenly spaced on a logarithmic axis.

    >>> log_range(1e-3, 1, 4)
    [0.001, 0.01, 0.1, 1.0]
    """
    if not all(isinstance(v, int | float) and math.isfinite(v) and v > 0 for v in (low, high)):
        raise PlanError(f"rates from {low} to {high}: both ends must be positive numbers.")
    if low > high:
        raise PlanError(f"rates from {low:g} to {high:g}: the low end is above the high end; swap them.")
    COUNT.check("number of rates", count, PlanError)
    if (count == 1) != (low == high):
        raise PlanError(
            f"rates from {low:g} to {high:g}, {count} of them: one rate has equal ends, and several "
            "have different ones."
        )
    # Twelve digits: so that 0.1 is 0.1, and a rate reads like the number that was meant.
    return [float(f"{v:.12g}") for v in np.geomspace(low, high, count)]


def parse_rates(text: str) -> list[float]:
    """``1e-4:1:13`` is a logarithmic range, ``0.01,0.1`` a list.

    >>> parse_rates("0.01,0.1")
    [0.01, 0.1]
    """
    form = "give LOW:HIGH:COUNT, e.g. 1e-4:1:13, or a list, e.g. 0.01,0.1"
    try:
        if ":" in text:
            low, high, count = text.split(":")
            return log_range(float(low), float(high), int(count))
        return [float(part) for part in text.split(",")]
    except PlanError:
        raise
    except ValueError as error:
        raise PlanError(f"rates {text!r} cannot be read: {form}.") from error
