"""The grid of rates grows where an optimizer does best on its edge, because a better rate may lie beyond.

After the search, if the chosen rate of any optimizer is the lowest or the highest tried, one more rate is added on that
side, as far away as the two there are from each other on a logarithmic axis; and it is tried by every optimizer with
every seed and everything else that varies, so that all still have the same grid, or their own by as many rates longer.
That is repeated until every best rate lies inside, or the side has grown by as many rates as the plan allows. The rates
asked for and those added stand apart in the store; which rates come next follows from both, so a study that is stopped
in between grows as it would have.

One or two rates are a list, not a grid: they have no inside, and do not grow; and neither does a range.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

from ..numbers import rounded
from ..plan.plan import FEWEST, MOST_RUNS, Plan
from ..verdict.verdict import chosen_settings


def further(plan: Plan, members: pd.DataFrame) -> list[float]:
    """The rates to try next; none where every best rate lies inside of the grid, or the grid may grow no more."""
    requested = plan.requested_rates  # without those that were added
    if len(requested) < FEWEST or plan.points:
        return []
    chosen = (setting for setting, _ in chosen_settings(plan, members).values())
    best = {plan.on_common_grid.get((setting.optimizer, setting.lr)) for setting in chosen}
    below, above = (sum(rate < requested[0] for rate in plan.grown), sum(rate > requested[-1] for rate in plan.grown))
    rates = []
    if plan.rates[0] in best and below < plan.grow:
        rates.append(_beyond(requested, below + 1))
    if plan.rates[-1] in best and above < plan.grow:
        rates.append(_beyond(requested[::-1], above + 1))
    if plan.grow_total is not None and len(plan.grown) + len(rates) > plan.grow_total:
        return []
    return rates if plan.grown_to([*plan.grown, *rates]).runs <= MOST_RUNS else []


def _beyond(rates: Sequence[float], steps: int) -> float:
    """So many steps out of the grid, whose rates these are from the edge inwards.

    >>> from thalweg.plan.plan import log_range
    >>> _beyond((1.0, 0.1, 0.01), 2), _beyond((0.001, 0.01, 0.05), 1), _beyond(log_range(1e-3, 0.1, 5)[::-1], 2)
    (100.0, 0.0001, 1.0)
    """
    ratio, mean = rates[0] / rates[1], (rates[0] / rates[-1]) ** (1 / (len(rates) - 1))
    # Over an even grid the mean ratio is free of the rounding of single rates.
    step = mean if math.isclose(ratio, mean, rel_tol=1e-9) else ratio
    return rounded(rates[0] * step**steps)


def grown(plan: Plan, members: pd.DataFrame) -> Plan | None:
    """The plan with the rates to try next; None if there are none."""
    more = further(plan, members)
    return plan.grown_to([*plan.grown, *more]) if more else None
