"""The time that a whole study still takes: what its present stage lacks, and what is expected of those to come.

Rounds that refine the search, and the confirmation, are known in number before they begin. Rates by which the grid may
grow are expected by the seeds that are complete: where a best rate lies on an edge, as many more as are usual.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch

from ..plan.factors import Setting
from ..plan.looks import SEARCH
from ..plan.plan import FEWEST, Plan
from ..store.file import BlockRow, Store
from .forecast import GROWTH, REFINEMENT, SEARCHING
from .growth import further
from .halving import ahead, planned_epochs
from .members import Members
from .pace import JUDGED, Pace, judging_parts
from .programs import Programs

UNKNOWN = 1.0  # rates that the grid is expected to grow by before any seed is complete
BEYOND = 1.5  # those that it usually grows by, where a best one lies on its edge
MORE = 0.5  # those that usually follow while it grows
LAST_NUMBERS = 0.3  # seconds
CALLS, ALONE = 3e-4, 2.0  # of a step of plain PyTorch: seconds of its calls, and a member's steps that it takes beside


def part_of_search(plan: Plan) -> str:
    """What the newest settings of a search are there for."""
    return REFINEMENT if plan.refined else GROWTH if plan.grown else SEARCHING


class Outlook:
    """What is still to come of a study, in seconds foreseen.

    Args:
        steps: how far each block at work is, beyond the last pass that the store has.
    """

    def __init__(self, pace: Pace, store: Store, steps: Mapping[int, int]) -> None:
        self.pace, self._store, self._steps = pace, store, steps
        self.part = ""  # of the study that is at work, by the name that a forecast has for it
        self._seed = 0  # that began last
        self._parts = 0  # that are to come
        self._present = self._later = 0.0
        self._passes = self._later_passes = 0.0
        self._counted = 0.0, 0.0  # what was spent, and the passes, when that was counted
        self._spent = self._alive = 0.0  # when the present part began
        self._ending = 0.0  # seconds of what follows the last part

    def seed_begins(self, programs: Members, row: BlockRow) -> None:
        """Look at the seeds of the first search that are complete."""
        if self.part == SEARCHING and row.seed != self._seed:
            self._seed = row.seed
            self.update(programs, row.stage)

    def update(self, programs: Members, stage: str) -> None:
        """Count what is to come from where the store stands.

        Args:
            stage: the one at work.
        """
        plan, pace, stages = programs.plan, self.pace, self._store.stages()
        if (part := part_of_search(plan) if stage == SEARCH else stage) != self.part:
            self.part, self._spent, self._alive = part, pace.spent, pace.alive
        upcoming = ahead(plan, self._store.meta("rungs", [])) if stage == SEARCH else ()
        rows = [replace(row, step=self._steps.get(row.id, row.step)) for row in self._store.blocks(stage)]
        self._present, self._passes = pace.rest(programs, rows, upcoming)
        self._counted, self._ending, self._parts = (pace.spent, pace.passed), ending(programs, pace), len(upcoming)
        others = [row for name in stages if name not in (SEARCH, stage) for row in self._store.blocks(name)]
        self._later, self._later_passes = pace.rest(programs, others)
        if stage == SEARCH:
            self._searching(programs)
            if not stages.keys() - {SEARCH}:
                self._confirming(programs)

    def _searching(self, programs: Members) -> None:
        """Add what the search is expected to take beyond the blocks that are there."""
        plan = programs.plan
        if len(plan.requested_rates) < FEWEST or plan.points:
            return
        levels, rounds = sum(len(factor.levels) for factor in plan.ranked), max(0, plan.rounds - len(plan.refined))
        growth = self._growth(plan)
        self._parts += rounds + round(growth)
        grown = growth * len(plan.settings) / len(plan.rates) * self._run(programs, halved=True)
        self._later += plan.seeds * (grown + 2 * levels * rounds * self._run(programs)) * _idle(plan.seeds)
        passes = len(programs.all) * len(plan.search_folds) * plan.epochs  # of a seed: few members of each program
        self._later_passes += plan.seeds * (growth + rounds) * passes

    def _growth(self, plan: Plan) -> float:
        """Rates by which the grid is expected to grow beyond those that are there."""
        if self.part != SEARCHING:
            return min(MORE, plan.grow) if self.part == GROWTH else 0.0
        members = self._store.members()
        if not (members["status"] == "finished").any():
            return min(UNKNOWN, plan.grow)
        return min(BEYOND, plan.grow) * len(further(plan, members))

    def _confirming(self, programs: Members) -> None:
        plan = programs.plan
        settings = 2 * len(plan.optimizers) + sum(len(factor.levels) - 1 for factor in plan.ranked[1:])
        each = self._run(programs) / len(plan.search_folds)
        for look in plan.confirmations:
            folds = plan.fresh_folds(look)
            judged = sum(len(judging_parts(plan, plan.stage(look), fold)) for fold in folds)
            self._parts += 1
            self._later += settings * look.seeds * len(folds) * _idle(look.seeds) * each
            self._later_passes += len(programs.all) * look.seeds * (len(folds) * plan.epochs + judged * JUDGED)

    def _run(self, programs: Members, halved: bool = False) -> float:
        """Of a run of each fold, on average over the plan's settings."""
        plan, total = programs.plan, 0.0
        for settings in programs.all.values():
            epochs = planned_epochs(plan, settings, programs.anew) if halved else plan.epochs * len(settings)
            steps = sum(programs.steps(settings[0], fold) for fold in plan.search_folds)
            total += self.pace.cost(programs, settings[:1], epochs * steps)
        return total / len(plan.settings)

    def begins(self, programs: Members, settings: Sequence[Setting], steps: int) -> None:
        """A block goes on from a checkpoint that is so many steps beyond the last pass that the store has."""
        self._present -= self.pace.cost(programs, settings[:1], steps * len(settings))
        self._passes -= steps / programs.steps(settings[0], programs.plan.search_folds[0])

    @property
    def present(self) -> float:
        """Seconds foreseen of what the part at work still takes."""
        return max(0.0, self._present - (self.pace.spent - self._counted[0]))

    @property
    def left(self) -> float | None:
        """Seconds, by how long the work so far took; None where nothing is known yet."""
        pace, each = self.pace, self.pace.seconds
        if each is None:
            return None
        spent = pace.spent - self._spent
        surviving = (pace.alive - self._alive) / spent if spent > 0 else 1.0
        passes = max(0.0, self._passes - (pace.passed - self._counted[1])) + self._later_passes
        steps = self.present * surviving + self._later
        return each[0] * (steps + self._ending) + each[1] * passes + self._parts * pace.pause

    @property
    def share(self) -> float:
        """Of the study's time in this process that is over."""
        left, elapsed = self.left, self.pace.elapsed
        return 0.0 if left is None else elapsed / max(1e-9, elapsed + left)


def ending(programs: Members, pace: Pace) -> float:
    """Seconds of the last numbers, and of the run that proves the recipe: as many operations of torch, one by one."""
    if not isinstance(programs, Programs):
        return 0.0
    plan = programs.plan
    steps = plan.epochs * programs.steps(plan.settings[0], plan.search_folds[0])
    return LAST_NUMBERS + steps * CALLS + ALONE * programs.at_once * pace.cost(programs, plan.settings[:1], steps)


def _idle(blocks: int) -> float:
    """How much longer so many blocks of one size take than they would if no core ever waited for another."""
    cores = torch.get_num_threads()
    return -(-blocks // cores) * cores / blocks if blocks else 1.0
