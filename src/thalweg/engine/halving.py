"""Successive halving: settings that cannot win any more are stopped at rungs, and the rest goes on without them.

A run of E epochs has its rungs after E/8, E/4 and E/2 of them. There the settings that share everything but numbers
(rate, hyperparameters) compete: the better half of them, by the mean over all seeds and folds of what the study judges
by, goes on. Optimizers, schedules, losses, regularizers and batch sizes never compete before the end, because one that
decays its rate, or takes smaller steps, looks bad early on and may win all the same; and the best setting so far of
every level that is ranked stays. So no optimizer leaves the search, and at 13 rates it costs 36% of all member-steps.
Rates by which the grid grows later meet the same rungs, and what the others were there.

All seeds of a setting live and die together. Rungs cut the run, not its schedule: a run that goes on is the run
it would have been anyway. The survivors' weights, optimizer states and whatever else is kept between steps are
gathered into fewer blocks, on the device and in the store alike, so that a step costs what its survivors cost.

Jamieson & Talwalkar 2016, "Non-stochastic best arm identification and hyperparameter optimization", algorithm 1, is
the rule within each group, with η = 2; the rungs are those of one bracket of Hyperband (Li et al. 2018) that begins
with E/8. Unlike ASHA (Li et al. 2020) a rung waits for all, so that its decision does not depend on timing.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from ..plan.factors import Setting
from ..plan.plan import Plan
from ..plan.stored import HALVING
from ..store.file import BlockRow
from ..verdict.comparisons import badness
from .members import Members
from .programs import grouped

ETA = 2  # one in so many goes on
PARTS = (8, 4, 2)  # a rung after this part of the epochs
STOPPED = "stopped"


def rungs(plan: Plan) -> list[int]:
    """The epochs after which settings are stopped; none without halving.

    >>> from thalweg.plan.plan import plan
    >>> rungs(plan(epochs=20, budget="halving")), rungs(plan(epochs=20))
    ([3, 5, 10], [])
    """
    if plan.budget != HALVING:
        return []
    return sorted({end for part in PARTS if (end := math.ceil(plan.epochs / part)) < plan.epochs})


def ahead(plan: Plan, decided: Sequence[Sequence[int]]) -> list[int]:
    """The rungs that are still to be decided, where the store has these as decided."""
    return [epoch for epoch in rungs(plan) if [len(plan.grown), epoch] not in decided]


def stopped(rows: Sequence[BlockRow]) -> int:
    """How many runs have been stopped."""
    return sum(len(row.settings) for row in rows if row.status == STOPPED)


def planned_epochs(plan: Plan, settings: Iterable[Setting], anew: bool = False) -> int:
    """Epochs that settings take in all, of one seed each, if none of them diverges.

    Args:
        anew: whether a run that goes on from a rung begins anew, as one without checkpoints does.
    """
    return sum(_epochs(plan, len(group), rungs(plan), anew) for group in _groups(plan, settings))


def mean_epochs(
    plan: Plan, settings: Iterable[Setting], upcoming: Sequence[int], anew: bool = False
) -> dict[Setting, float]:
    """Epochs that each setting takes on average over those that it competes with, if these rungs are to come."""
    return {
        setting: _epochs(plan, len(group), upcoming, anew) / len(group)
        for group in _groups(plan, settings)
        for setting in group
    }


def _epochs(plan: Plan, count: int, upcoming: Sequence[int], anew: bool) -> int:
    """Epochs that a group of settings takes in all, of one seed each."""
    total = 0
    for start, end in itertools.pairwise([0, *upcoming, plan.epochs]):
        total, count = total + count * (end if anew else end - start), math.ceil(count / ETA)
    return total


def survivors(plan: Plan, losses: Mapping[Setting, np.ndarray], narrow: bool = False) -> list[Setting]:
    """The settings that go on, in the plan's order.

    Args:
        narrow: whether the best of each level alone do, because time is short.
        losses: (seeds and folds,) of each setting at the rung, as `losses_at` gives them.
    """
    order = sorted(losses, key=lambda s: (*badness(losses[s]), s.lr))
    better = set() if narrow else {s for group in _groups(plan, order) for s in group[: math.ceil(len(group) / ETA)]}
    levels = {(f.name, plan.level(s, f.name)): s for s in reversed(order) for f in plan.ranked}  # the best of each
    better.update(levels.values())
    return [setting for setting in losses if setting in better]


def _groups(plan: Plan, settings: Iterable[Setting]) -> list[list[Setting]]:
    """Settings that compete before the end: they share everything that is not a number of the update."""
    numbers = {"lr", *(f.name for f in plan.hyperparameters)}
    names = [f.name for f in plan.factors if f.name not in numbers]
    return list(grouped(lambda setting: tuple(plan.level(setting, name) for name in names), settings).values())


def regrouped(
    programs: Members, rows: Sequence[BlockRow], losses: Mapping[Setting, np.ndarray], narrow: bool = False
) -> list[list[tuple[BlockRow, int]]]:
    """What goes on from a rung, as new blocks: the block and the place in it that each member comes from.

    Args:
        rows: the blocks that have reached the rung.
        losses: of all settings that ever did; rates that were added later compete with what the others were there.
        narrow: as `survivors` takes it.
    """
    competitors = {setting for row in rows for setting in row.settings}
    best = [s for s in survivors(programs.plan, losses, narrow) if s in competitors]
    place = {(r.seed, r.fold, s): (r, k) for r in rows for k, s in enumerate(r.settings)}
    seeds, folds = (list(dict.fromkeys(values)) for values in zip(*((r.seed, r.fold) for r in rows), strict=True))
    blocks = programs.blocks(best, seeds, folds) if best else ()
    return [[place[seed, fold, setting] for setting in settings] for seed, settings, fold in blocks]


def losses_at(
    programs: Members, rows: Sequence[BlockRow], epoch: int, point: Callable[[int, int, str], np.ndarray]
) -> dict[Setting, np.ndarray]:
    """What each setting is judged by after that epoch, the lower the better, (seeds and folds,), in the plan's order.

    Args:
        point: block, step and metric → the values of its members.
    """
    losses: dict[Setting, list[float]] = {}
    for row in sorted(rows, key=lambda r: (r.seed, r.fold or 0)):
        per_epoch, criterion = programs.steps(row.settings[0], row.fold), programs.plan.criterion
        if epoch * per_epoch > row.step:
            continue  # stopped at a rung before
        steps = [per_epoch * each for each in range(criterion.first(epoch), epoch + 1)]
        values = np.stack([point(row.id, step, criterion.column) for step in steps])
        for setting, value in zip(row.settings, criterion.badness(values).tolist(), strict=True):
            losses.setdefault(setting, []).append(value if math.isfinite(value) else math.inf)
    return {setting: np.array(losses[setting]) for setting in programs.plan.settings if setting in losses}
