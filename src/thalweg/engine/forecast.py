"""What a study would take: its runs, how their members are trained, and the seconds and memory that they need.

Each program is tried out as a study begins: the way is chosen (`batching.py`), a block takes a few steps in it, and its
validation part is evaluated. What follows from the search is counted as if it took the most: the confirmation of every
level that is ranked and of every optimizer's defaults, and all rounds of refinement. Rates by which the grid grows are
not foreseen.
"""

from __future__ import annotations

import statistics
import time
import timeit
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from ..errors import ThalwegError
from ..plan.factors import Setting
from ..plan.plan import Plan
from ..population.block import EVALUATION_BATCH, Block
from ..problem.prepare import Prepared
from ..programs.native import single_threaded
from ..samples import Samples
from .batching import AUTO, STEPS, decide
from .block_run import failure
from .footprint import Footprint, at_work, data_bytes, free_memory, shown, too_large
from .growth import FEWEST
from .halving import planned_epochs
from .programs import FEW, Programs

SECONDS = 0.3  # for which the steps of a block are timed
LONG = 10_000  # epochs of a block that is timed, so that it does not end


@dataclass(frozen=True)
class Stage:
    """A part of a study.

    Attributes:
        name: search, refinement or confirmation.
        settings, runs, steps: how many; steps of all runs together.
        seconds: on all cores.
        at_most: whether there may be fewer.
    """

    name: str
    settings: int
    runs: int
    steps: int
    seconds: float
    at_most: bool = False

    def __str__(self) -> str:
        return (
            f"{self.name}: {'at most ' * self.at_most}{self.settings:,} settings, {self.runs:,} runs, "
            f"{self.steps:,} steps; about {_time(self.seconds)}"
        )


@dataclass(frozen=True)
class ProgramForecast:
    """Members that are trained by one program.

    Attributes:
        batch_size, loss, regularizer: what they share; None for the problem's own loss, and for a regularizer
            that all share.
        own: optimizers whose update is their own code, of members that step one by one; None of others.
        way, why: as `programs.Way` has them.
        settings, blocks, members: of the search; members of its largest block.
        step_seconds, evaluation_seconds: of one member on one core; of its update too, and of the validation part.
        at_once: blocks that train at the same time.
        footprint: of the largest block.
        memory: bytes of as many blocks at work.
    """

    batch_size: int | str
    loss: str | None
    regularizer: str | None
    own: str | None
    way: str
    why: str | None
    settings: int
    blocks: int
    members: int
    step_seconds: float
    evaluation_seconds: float
    at_once: int
    footprint: Footprint
    memory: int

    def __str__(self) -> str:
        names = {"loss": self.loss, "regularizer": self.regularizer, "optimizer": self.own}
        what = ", ".join([f"batch size {self.batch_size}", *(f"{k} {v}" for k, v in names.items() if v is not None)])
        way = self.way if self.why is None else f"{self.way} ({self.why.rstrip('.')})"
        return (
            f"{what}: {way}; {self.step_seconds * 1e6:.3g} µs for a member's step; {self.blocks:,} blocks of at most "
            f"{self.members:,} members; {shown(self.memory)} for {self.at_once} at once"
        )


@dataclass(frozen=True)
class Forecast:
    """What a study would take; `str` of it says it, `to_json` has all numbers.

    Attributes:
        problem: its name.
        cores: that train.
        stages: search, refinement and confirmation, those that there are.
        programs: one for each batch size, loss and kind of regularizer.
        data: bytes of the samples, which are in memory before anything is trained.
        free: bytes of memory; None where the system does not say.
        warnings: a sentence for each program whose blocks do not fit.
    """

    problem: str
    cores: int
    stages: tuple[Stage, ...]
    programs: tuple[ProgramForecast, ...]
    data: int
    free: int | None
    warnings: tuple[str, ...]

    @property
    def runs(self) -> int:
        return sum(stage.runs for stage in self.stages)

    @property
    def seconds(self) -> float:
        return sum(stage.seconds for stage in self.stages)

    @property
    def memory(self) -> int:
        """Bytes by which the process grows: by the largest blocks at work; programs train one after another."""
        return max(program.memory for program in self.programs)

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "runs": self.runs, "seconds": self.seconds, "memory": self.memory}

    def __str__(self) -> str:
        free = "" if self.free is None else f", of {shown(self.free)} that are free"
        cores = f"{self.cores} core{'s' * (self.cores > 1)}"
        head = f"{self.problem}: about {_time(self.seconds)} on {cores}, {shown(self.memory)} of memory{free}."
        data = f"data: {shown(self.data)}"
        return "\n".join([head, *self.warnings, *map(str, self.stages), *map(str, self.programs), data])


def forecast(plan: Plan, problem: Prepared, batched: Any = AUTO) -> Forecast:
    """Foresee a study by trying a few steps of each of its programs; nothing is stored.

    Raises:
        ThalwegError: its members cannot be trained.
    """
    programs = Programs(plan, problem)
    programs.train_as(decide(programs, batched))
    try:
        foreseen = [_program(programs, settings) for settings in programs.all.values()]
    except ThalwegError:
        raise
    except Exception as error:  # whatever a user's model, loss or loader may raise
        raise failure(error, problem.name) from error
    stages = [_search(programs, foreseen), *_followed(programs, foreseen)]
    return Forecast(
        problem=problem.name,
        cores=max(one.at_once for one in foreseen),
        stages=tuple(stages),
        programs=tuple(foreseen),
        data=data_bytes(programs),
        free=free_memory(),
        warnings=tuple(too_large(programs)),
    )


def _program(programs: Programs, settings: Sequence[Setting]) -> ProgramForecast:
    plan, (size, loss, _, own), way = programs.plan, programs.of(settings[0]), programs.way(settings[0])
    blocks = programs.blocks(settings, range(plan.seeds), plan.search_folds)
    (_, largest, fold), *_ = sorted(blocks, key=lambda block: -len(block[1]))
    free = free_memory()
    fits = free is None or at_work(programs, blocks)[0].total < free
    members = largest if fits else largest[:: -(-len(largest) // FEW)]
    with single_threaded():  # as workers are
        step, evaluation = _timed(programs, members, fold)
    taken = at_work(programs, blocks, step)
    return ProgramForecast(
        batch_size=size,
        loss=loss,
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


def _timed(programs: Programs, settings: Sequence[Setting], fold: int | None) -> tuple[float, float]:
    """Seconds of a member's step, and of its evaluation on the validation part, in a block of these settings."""
    task = programs.task(settings[0], fold)
    block = Block(replace(task, validation=None), [programs.plan.member(s, 0) for s in settings], LONG)
    steps = block.train()
    next(steps)  # which is compiled
    each, begun = [], time.perf_counter()
    while time.perf_counter() - begun < SECONDS or not each:
        start, first = time.perf_counter(), block.step
        next(steps)
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


def _search(programs: Programs, foreseen: Sequence[ProgramForecast]) -> Stage:
    plan, steps, seconds = programs.plan, 0, 0.0
    for settings, one in zip(programs.all.values(), foreseen, strict=True):
        passes = planned_epochs(plan, settings)
        for fold in plan.search_folds:
            per_pass = programs.steps(settings[0], fold)
            steps += plan.seeds * passes * per_pass
            each = per_pass * one.step_seconds + one.evaluation_seconds
            seconds += plan.seeds * passes * each / one.at_once
    return Stage("search", len(plan.settings), plan.runs, steps, seconds)


def _followed(programs: Programs, foreseen: Sequence[ProgramForecast]) -> list[Stage]:
    """Refinement and confirmation, at most; which settings they have is not known, so they count as usual ones."""
    plan, total, counts = programs.plan, 0.0, 0.0
    for settings, one in zip(programs.all.values(), foreseen, strict=True):
        per_pass = programs.steps(settings[0], plan.search_folds[0])
        counts += len(settings) * per_pass
        total += len(settings) * (per_pass * one.step_seconds + one.evaluation_seconds)
    cores = max(one.at_once for one in foreseen)
    usual, seconds = (plan.epochs * each / len(plan.settings) for each in (counts, total))

    def stage(name: str, settings: int, repeats: int) -> Stage:
        runs = settings * repeats
        return Stage(name, settings, runs, round(runs * usual), runs * seconds / cores, at_most=True)

    levels = sum(len(factor.levels) for factor in plan.ranked)
    refines = len(plan.requested_rates) >= FEWEST and not plan.points
    finer = 2 * levels * plan.refine if refines else 0
    chosen = levels + len(plan.optimizers)
    stages = [stage("refinement", finer, plan.seeds * len(plan.search_folds))]
    stages += [stage("confirmation", chosen, look.seeds * len(plan.fresh_folds(look))) for look in plan.confirmations]
    return [one for one in stages if one.runs]


def _time(seconds: float) -> str:
    if seconds >= 90 * 60:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 60:.1f} min" if seconds >= 90 else f"{seconds:.2g} s"
