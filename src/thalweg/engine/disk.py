"""What a study takes on disk: the tables of its store, and the checkpoints that lie beside it while it runs."""

from __future__ import annotations

from collections.abc import Sequence

from ..plan.looks import CONFIRMATION
from ..plan.plan import Plan
from ..plan.stored import HALVING
from ..population.block import PARTS
from .forecast import Stage
from .programs import Programs

ROW, POINT = 200, 80  # bytes of a run and of a point of a block's curves beside its values, with their indexes
LOG = 4 * 2**20  # bytes, at most, of what SQLite has written ahead


def disk_bytes(programs: Programs, stages: Sequence[Stage], kept: Sequence[tuple[int, int]]) -> int:
    """Bytes of the store and its checkpoints, at the most.

    Args:
        stages: what there will be.
        kept: of each program, the bytes that a checkpoint has of a member, and the members at work at once.
    """
    plan, problem = programs.plan, programs.problem
    metrics, runs = 1 + len(problem.metrics), sum(stage.runs for stage in stages)
    curves = plan.epochs * (1 + metrics) * 8 * runs
    count = sum(len(programs.blocks(group, [0])) for group in programs.all.values())
    points = plan.epochs * (1 + metrics) * POINT * count * runs // len(plan.settings)
    judged = sum(stage.runs for stage in stages if stage.name == CONFIRMATION)
    parts = min(PARTS, problem.validation.size) + min(PARTS, problem.test.size)
    return LOG + ROW * runs + curves + points + 8 * metrics * parts * judged + _checkpoints(programs, kept)


def table_bytes(plan: Plan, runs: int, reported: int) -> int:
    """Bytes of the store of runs that are trained alone, each a block with so many values in a report."""
    return LOG + runs * (ROW + plan.epochs * reported * (POINT + 8))


def _checkpoints(programs: Programs, kept: Sequence[tuple[int, int]]) -> int:
    """Those of the blocks at work, each beside the one that it replaces; with halving, of all that waits at a rung."""
    plan = programs.plan
    repeats = plan.seeds * len(plan.search_folds) * (plan.budget == HALVING)
    waiting = sum(
        each * len(settings) * repeats for (each, _), settings in zip(kept, programs.all.values(), strict=True)
    )
    return waiting + max(2 * each * members for each, members in kept)
