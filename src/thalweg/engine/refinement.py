"""A finer search around the best: rates half-way between each best one and its neighbours.

The rates of a grid are one choice among many: a grid shifted by half a step has other ones, and the optimizer whose
valley happens to lie between two rates looks worse than it is. So when the grid needs no further growth, two more rates
are tried for each optimizer, and for each level of whatever else is ranked: half-way, on the logarithmic axis, from its
best rate to the next lower and to the next higher one that was tried, with everything else as in its best setting, and
with every seed. That is one round; the next one goes on around what is best then, with half the step. Where the best is
the last one tried, the rate beyond is as far away as the one inside, so that all levels have equally many settings.

What a round tries follows from the losses of all before it, and the store has it before the round begins, so a study
that is stopped in between goes on as it would have. Halving stops none of these runs: they are few, and near the best.
One or two rates are a list, not a grid, and are not refined; and neither are rates drawn from a range.

After the last round of rates one more tries, at each best setting, what decides most beside the rate: another weight
decay, and another momentum, each alone (`thalweg.plan.hyperparameters.others`). An optimizer with fewer than two such
values has finer rates instead, so that all have equally many settings.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import replace

import pandas as pd

from ..numbers import rounded
from ..plan.factors import Setting
from ..plan.hyperparameters import TRIED, others
from ..plan.plan import FEWEST, MOST_RUNS, Plan
from ..plan.rounds import Round
from ..verdict.verdict import chosen_settings


def next_round(plan: Plan, members: pd.DataFrame) -> Round | None:
    """The settings to try next, for each factor that is ranked; None if nothing is to be refined any more."""
    if len(plan.refined) >= plan.rounds or len(plan.requested_rates) < FEWEST or plan.points:
        return None
    chosen = {factor.name: chosen_settings(plan, members, factor.name) for factor in plan.ranked}
    near = _beside if len(plan.refined) < plan.refine else _otherwise
    finer = {
        name: tuple(one for setting, _ in levels.values() for one in near(plan, setting, name))
        for name, levels in chosen.items()
    }
    return finer if replace(plan, refined=(*plan.refined, finer)).runs <= MOST_RUNS else None


def _otherwise(plan: Plan, setting: Setting, by: str) -> list[Setting]:
    """The setting with other values of what is tuned around the best, or else at finer rates."""
    usual = {f.name: f.usual[setting.optimizer] for f in plan.tuned if f.applies(setting.optimizer)}
    levels = dict(setting.further)
    tried = [replace(setting, further=tuple({**levels, name: value}.items())) for name, value in others(usual)]
    return [*tried, *itertools.islice(_beside(plan, setting, by), TRIED - len(tried))]


def _beside(plan: Plan, setting: Setting, by: str) -> Iterator[Setting]:
    """The setting at the two rates half-way to its neighbours, the lower one first."""
    rates = plan.rates_of(setting, by)
    place = rates.index(setting.lr)
    inside = rates[1] if place == 0 else rates[place - 1]
    beyond = setting.lr * setting.lr / inside
    ends = (beyond, rates[1]) if place == 0 else (inside, rates[place + 1] if place + 1 < len(rates) else beyond)
    for end in ends:
        yield replace(setting, lr=halfway(setting.lr, end))


def halfway(a: float, b: float) -> float:
    """The rate between two, on a logarithmic axis.

    >>> halfway(0.01, 1.0), halfway(0.1, 0.2)
    (0.1, 0.141421356237)
    """
    return rounded(math.sqrt(a) * math.sqrt(b))


def refined(plan: Plan, members: pd.DataFrame) -> Plan | None:
    """The plan with another round; None if there is none."""
    finer = next_round(plan, members)
    return None if finer is None else replace(plan, refined=(*plan.refined, finer))
