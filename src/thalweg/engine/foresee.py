"""What a study would take, tried out: a few steps of each of its programs, and what is to be counted beside them.

Each program is tried out as a study begins: the way is chosen (`batching.py`), a block takes a few steps in it, and its
validation part is evaluated. What follows from the search is counted as if it took the most: the confirmation of every
level that is ranked and of every optimizer's defaults, and all rounds of refinement.
"""

from __future__ import annotations

import statistics
import time
import timeit
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ..errors import ThalwegError
from ..plan.factors import Setting
from ..plan.plan import FEWEST
from ..population.block import EVALUATION_BATCH, Block
from ..programs.native import single_threaded
from ..samples import Samples
from .batching import STEPS
from .block_run import failure
from .disk import disk_bytes, table_bytes
from .footprint import at_work, data_bytes, free_memory, too_large
from .forecast import CONFIRMING, GROWTH, REFINEMENT, SEARCHING, Forecast, ProgramForecast, Stage
from .halving import planned_epochs
from .loops import Loops
from .members import Members
from .memory import out_of_memory
from .pace import Pace, each_of
from .programs import ALONE, FEW, Programs
from .trial import try_out

SECONDS = 0.3  # for which the steps of a block are timed
LONG = 10_000  # epochs of a block that is timed, so that it does not end


def foresee(programs: Members) -> Forecast:
    """Foresee a study by trying a few steps of each of its programs, whose ways are decided; nothing is stored.

    What is compiled for it is there for the study.

    Raises:
        ThalwegError: its members cannot be trained.
    """
    if isinstance(programs, Loops):
        return _of(programs, try_out(programs))
    try:
        foreseen = [_program(programs, settings) for settings in programs.all.values()]
    except ThalwegError:
        raise
    except Exception as error:  # whatever a user's model, loss or loader may raise
        raise failure(error, programs.problem.name) from error
    return _of(programs, foreseen)


def smaller(programs: Members, would: Forecast) -> Forecast:
    """What programs of a smaller plan would take, by the steps that were tried for a larger one."""
    plan, foreseen = programs.plan, []
    for settings, one in zip(programs.all.values(), would.programs, strict=True):
        blocks = len(programs.blocks(settings, range(plan.seeds), plan.search_folds))
        foreseen.append(replace(one, settings=len(settings), blocks=blocks))
    return _of(programs, foreseen)


def _of(programs: Members, foreseen: Sequence[Any]) -> Forecast:
    stages = tuple(stages_of(programs, Pace(each_of(programs, foreseen))))
    facts = programs.problem.name, max(one.at_once for one in foreseen), stages, tuple(foreseen)
    if isinstance(programs, Loops):
        disk = table_bytes(programs.plan, sum(stage.runs for stage in stages), max(one.reported for one in foreseen))
        return Forecast(*facts, data=None, disk=disk, free=free_memory(), warnings=(), opening=programs.opening)
    disk = disk_bytes(programs, stages, [(one.saved, one.members * one.at_once) for one in foreseen])
    free, warnings = free_memory(programs.place.device), tuple(too_large(programs))
    return Forecast(*facts, data=data_bytes(programs), disk=disk, free=free, warnings=warnings)


def _program(programs: Programs, settings: Sequence[Setting]) -> ProgramForecast:
    plan, (size, loss, model, _, own), way = programs.plan, programs.of(settings[0]), programs.way(settings[0])
    blocks = programs.blocks(settings, range(plan.seeds), plan.search_folds)
    (_, largest, fold), *_ = sorted(blocks, key=lambda block: -len(block[1]))
    free = free_memory(programs.place.device)
    fits = free is None or at_work(programs, blocks)[0].total < free
    members = largest if fits else largest[:: -(-len(largest) // FEW)]
    members = members[:1] if way.name == ALONE else members
    with single_threaded():  # as workers are
        step, evaluation = _timed_that_fit(programs, members, fold)
    taken = at_work(programs, blocks, step)
    return ProgramForecast(
        batch_size=size,
        loss=loss,
        model=model,
        regularizer=plan.level(settings[0], "regularizer") if plan["regularizer"].varied else None,
        own=" and ".join(sorted({str(s.optimizer) for s in settings})) if own else None,
        way=way.name,
        why=way.why,
        settings=len(settings),
        blocks=len(blocks),
        members=len(largest),
        step_seconds=step,
        evaluation_seconds=evaluation,
        at_once=len(taken),
        footprint=taken[0],
        memory=sum(one.total for one in taken),
    )


def _timed_that_fit(programs: Programs, settings: Sequence[Setting], fold: int | None) -> tuple[float, float]:
    """`_timed` of as many settings as fit into memory."""
    while True:
        try:
            return _timed(programs, settings, fold)
        except Exception as error:
            if len(settings) == 1 or not out_of_memory(error):
                raise
            settings = settings[: len(settings) // 2]


def _timed(programs: Programs, settings: Sequence[Setting], fold: int | None) -> tuple[float, float]:
    """Seconds of a member's step, and of its evaluation on the validation part, in a block of these settings."""
    task = programs.task(settings[0], fold)
    block = Block(replace(task, validation=None), [programs.plan.member(s, 0) for s in settings], LONG)
    steps = block.train()
    next(steps)  # which is compiled
    programs.place.wait()
    each, begun = [], time.perf_counter()
    while time.perf_counter() - begun < SECONDS or not each:
        start, first = time.perf_counter(), block.step
        next(steps)
        programs.place.wait()
        if block.step > first:  # else a pass has ended
            each.append((time.perf_counter() - start) / (block.step - first))
    return statistics.median(each) / len(settings), _evaluation(block) / len(settings)


def _evaluation(block: Block) -> float:
    """Seconds of all samples that a block is judged on, by those of the first."""
    if block.task.validation is None:
        return 0.0
    validation = Samples(*block.task.validation)
    part = validation.take(slice(EVALUATION_BATCH))
    block.evaluate(*part)  # which is compiled
    seconds = min(timeit.repeat(lambda: block.evaluate(*part), repeat=STEPS, number=1))
    return seconds * validation.size / part.size


def stages_of(programs: Members, pace: Pace) -> list[Stage]:
    """Search, growth, refinement and confirmation, what follows the search at most; its settings are not known, so they
    count as usual ones."""
    plan, steps, seconds = programs.plan, 0, 0.0
    usual_steps, usual_seconds = 0.0, 0.0  # of a whole run
    for settings in programs.all.values():
        passes = planned_epochs(plan, settings, programs.anew)
        for fold in plan.search_folds:
            per_pass = programs.steps(settings[0], fold)
            steps += plan.seeds * passes * per_pass
            seconds += plan.seeds * pace.cost(programs, settings[:1], passes * per_pass)
        whole = plan.epochs * programs.steps(settings[0], plan.search_folds[0]) * len(settings) / len(plan.settings)
        usual_steps += whole
        usual_seconds += pace.cost(programs, settings[:1], whole)

    def stage(name: str, settings: int, repeats: int) -> Stage:
        runs = settings * repeats
        return Stage(name, settings, runs, round(runs * usual_steps), runs * usual_seconds, at_most=True)

    levels = sum(len(factor.levels) for factor in plan.ranked)
    widens = len(plan.requested_rates) >= FEWEST and not plan.points
    finer, wider = (
        (2 * levels * plan.rounds, 2 * plan.grow * len(plan.settings) // len(plan.rates)) if widens else (0, 0)
    )
    chosen, repeats = levels + len(plan.optimizers), plan.seeds * len(plan.search_folds)
    followed = [stage(GROWTH, wider, repeats), stage(REFINEMENT, finer, repeats)]
    followed += [stage(CONFIRMING, chosen, look.seeds * len(plan.fresh_folds(look))) for look in plan.confirmations]
    search = Stage(SEARCHING, len(plan.settings), plan.runs, steps, seconds)
    return [search, *(one for one in followed if one.runs)]
