"""Smaller plans for the same question, for a study that has a time: what tells least is left out first.

Every optimizer, schedule, batch size, loss, regularizer and hyperparameter that was asked for stays, and so do the
epochs. Runs that cannot win are stopped; then the grid is coarser, and finer ones around the best are tried instead;
then there are fewer seeds, fewer fresh seeds, fewer finer rates, less growth. Three seeds stay, and three fresh ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from .factors import factor
from .plan import Plan
from .stored import FULL_BUDGET, HALVING

LEAST = 3  # seeds, fresh seeds, and rates, which then have an inside
LEAST_POINTS = 4  # that were drawn
FINER = 4  # rounds around the best, at most: then the step is a sixteenth of the coarse grid's


def shorter(plan: Plan) -> Iterator[Plan]:
    """The plan, and then ever smaller ones.

    >>> from thalweg.plan.plan import plan
    >>> [(p.budget, len(p.rates), p.seeds, p.confirmation) for p in shorter(plan())][:5]
    [('full', 13, 5, 10), ('halving', 13, 5, 10), ('halving', 7, 5, 10), ('halving', 7, 3, 10), ('halving', 4, 3, 10)]
    """
    yield plan
    for change in _CHANGES:
        plan = change(plan)
        yield plan


def _halved(plan: Plan) -> Plan:
    return replace(plan, budget=HALVING) if plan.epochs > 1 else plan


def _coarser(plan: Plan) -> Plan:
    """About half the rates, ends among them, and one more round of finer ones; or the first half of the points."""
    if plan.points:
        return _fewer_points(plan, max(LEAST_POINTS, -(-len(plan.points) // 2)))
    count = len(plan.rates)
    if count <= LEAST + 1:
        return plan
    places = np.linspace(0, count - 1, max(LEAST, -(-count // 2))).round().astype(int)
    coarse = plan.with_rates([plan.rates[k] for k in places])
    return replace(coarse, refine=min(plan.refine + 1, FINER)) if plan.refine else coarse


def _fewer_points(plan: Plan, count: int) -> Plan:
    points = plan.points[:count]
    for name in plan.drawn:
        f, levels = plan[name], list(dict.fromkeys(point[name] for point in points))
        plan = plan.with_factor(replace(factor(f.kind, levels), only=f.only, scales=f.scales))
    return replace(plan, points=points)


def _at_most(**counts: int) -> Callable[[Plan], Plan]:
    return lambda plan: replace(plan, **{name: min(count, getattr(plan, name)) for name, count in counts.items()})


_CHANGES = (
    _halved,
    _coarser,
    _at_most(seeds=LEAST),
    _coarser,
    _at_most(confirmation=5, refine=2),
    _at_most(grow=2, refine=1),
    _coarser,
    _at_most(confirmation=LEAST, refine=1),
    _at_most(grow=0, refine=0),
)


def left_out(asked: Plan, plan: Plan) -> list[str]:
    """What a smaller plan leaves out, in words.

    >>> from thalweg.plan.plan import plan
    >>> *_, least = shorter(plan(confirmation=4))
    >>> left_out(plan(confirmation=4), least)[:3]
    ['runs that cannot win are stopped early', '4 of 13 rates', '3 of 5 seeds']
    """
    words = ["runs that cannot win are stopped early"] if (asked.budget, plan.budget) == (FULL_BUDGET, HALVING) else []
    counts = {
        "points": (len(asked.points), len(plan.points)),
        "rates": (len(asked.rates), len(plan.rates)) if not asked.points else (0, 0),
        "seeds": (asked.seeds, plan.seeds),
        "fresh seeds": (asked.confirmation, plan.confirmation),
    }
    words += [f"{now} of {before} {name}" for name, (before, now) in counts.items() if now < before]
    words += [f"{plan.grow} of {asked.grow} rates beyond each edge"] if plan.grow < asked.grow else []
    words += ["no other weight decay or momentum"] if asked.tuned and asked.rounds and not plan.rounds else []
    return words + ([f"{plan.refine} of {asked.refine} rounds of finer rates"] if plan.refine < asked.refine else [])
