"""What a study would take: its runs, how their members are trained, and the seconds and memory that they need.

Each program is tried out as a study begins: the way is chosen (`batching.py`), a block takes a few steps in it, and its
validation part is evaluated. What follows from the search is counted as if it took the most: the confirmation of every
level that is ranked and of every optimizer's defaults, and all rounds of refinement. Rates by which the grid may grow
are a stage of their own, which is not part of the sums: it comes only where a best rate lies on an edge.
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
from ..plan.plan import FEWEST
from ..population.block import EVALUATION_BATCH, Block
from ..programs.native import single_threaded
from ..samples import Samples
from .batching import STEPS
from .block_run import failure
from .disk import disk_bytes
from .footprint import Footprint, at_work, data_bytes, free_memory, shown, too_large
from .halving import planned_epochs
from .memory import out_of_memory
from .programs import ALONE, FEW, Programs

GROWTH = "growth"
SECONDS = 0.3  # for which the steps of a block are timed
LONG = 10_000  # epochs of a block that is timed, so that it does not end


@dataclass(frozen=True)
class Stage:
    """A part of a study.

    Attributes:
        name: search, growth, refinement or confirmation.
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
        most = "at most " * self.at_most
        where = " more, if best rates lie on the edges of the grid" * (self.name == GROWTH)
        return (
            f"{self.name}: {most}{self.settings:,} settings, {self.runs:,} runs, {self.steps:,} steps{where}; "
            f"about {duration(self.seconds)}"
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

    @property
    def saved(self) -> int:
        """Bytes that a checkpoint has of a member."""
        block = self.footprint
        return (block.weights + block.states + block.further) // self.members

    def __str__(self) -> str:
        names = {"loss": self.loss, "regularizer": self.regularizer, "optimizer": self.own}
        what = ", ".join([f"batch size {self.batch_size}", *(f"{k} {v}" for k, v in names.items() if v is not None)])
        way = self.way if self.why is None else f"{self.way} ({self.why.rstrip('.')})"
        return (
            f"{what}: {way}; {_step(self.step_seconds)} for a member's step; {self.blocks:,} blocks of at most "
            f"{self.members:,} members; {shown(self.memory)} for {self.at_once} at once"
        )


@dataclass(frozen=True)
class Forecast:
    """What a study would take; `str` of it says it, `to_json` has all numbers.

    Attributes:
        problem: its name.
        cores: that train.
        stages: search, growth, refinement and confirmation, those that there may be.
        programs: one for each batch size, loss and kind of regularizer.
        data: bytes of the samples, which are in memory before anything is trained.
        disk: bytes of the store and of the checkpoints beside it while it runs, growth included.
        free: bytes of memory; None where the system does not say.
        warnings: a sentence for each program whose blocks do not fit.
    """

    problem: str
    cores: int
    stages: tuple[Stage, ...]
    programs: tuple[ProgramForecast, ...]
    data: int
    disk: int
    free: int | None
    warnings: tuple[str, ...]

    @property
    def runs(self) -> int:
        return sum(stage.runs for stage in self._likely)

    @property
    def seconds(self) -> float:
        """On all cores, unless the grid grows."""
        return sum(stage.seconds for stage in self._likely)

    @property
    def longest(self) -> float:
        """Seconds if the grid grows on both sides as far as it may."""
        return sum(stage.seconds for stage in self.stages)

    @property
    def _likely(self) -> list[Stage]:
        return [stage for stage in self.stages if stage.name != GROWTH]

    @property
    def memory(self) -> int:
        """Bytes by which the process grows: by the largest blocks at work; programs train one after another."""
        return max(program.memory for program in self.programs)

    @property
    def line(self) -> str:
        """What opens a study."""
        search, *others = self._likely
        counts = [f"{search.runs:,} runs of {search.steps // search.runs:,} steps for the search"]
        counts += ["at most " + " and ".join(f"{one.runs:,} of {one.name}" for one in others)] if others else []
        steps = sorted(one.step_seconds for one in self.programs)
        each = f"{_step(steps[0])}" if len(steps) == 1 else f"{_step(steps[0])} to {_step(steps[-1])}"
        ways = ", ".join(dict.fromkeys(one.way for one in self.programs))
        return (
            f"{self.problem}: {', '.join(counts)}; {ways}, {each} for a member's step: {self._time}, "
            f"{shown(self.memory)} of memory, {shown(self.disk)} of disk."
        )

    @property
    def _time(self) -> str:
        cores = f"{self.cores} core{'s' * (self.cores > 1)}"
        grown = f" (at most {duration(self.longest)}, if the grid grows)" if self.longest > self.seconds else ""
        return f"about {duration(self.seconds)}{grown} on {cores}"

    def of(self, *names: str) -> float:
        """Seconds of the stages of these names."""
        return sum(stage.seconds for stage in self.stages if stage.name in names)

    def to_json(self) -> dict[str, Any]:
        sums = {"runs": self.runs, "seconds": self.seconds, "longest": self.longest, "memory": self.memory}
        return {**asdict(self), **sums}

    def __str__(self) -> str:
        free = "" if self.free is None else f", of {shown(self.free)} that are free"
        head = f"{self.problem}: {self._time}; {shown(self.memory)} of memory{free}; {shown(self.disk)} of disk."
        data = f"data: {shown(self.data)}"
        return "\n".join([head, *self.warnings, *map(str, self.stages), *map(str, self.programs), data])


def foresee(programs: Programs) -> Forecast:
    """Foresee a study by trying a few steps of each of its programs, whose ways are decided; nothing is stored.

    What is compiled for it is there for the study.

    Raises:
        ThalwegError: its members cannot be trained.
    """
    try:
        foreseen = [_program(programs, settings) for settings in programs.all.values()]
    except ThalwegError:
        raise
    except Exception as error:  # whatever a user's model, loss or loader may raise
        raise failure(error, programs.problem.name) from error
    return _of(programs, foreseen)


def smaller(programs: Programs, would: Forecast) -> Forecast:
    """What programs of a smaller plan would take, by the steps that were tried for a larger one."""
    plan, foreseen = programs.plan, []
    for settings, one in zip(programs.all.values(), would.programs, strict=True):
        blocks = len(programs.blocks(settings, range(plan.seeds), plan.search_folds))
        foreseen.append(replace(one, settings=len(settings), blocks=blocks))
    return _of(programs, foreseen)


def _of(programs: Programs, foreseen: Sequence[ProgramForecast]) -> Forecast:
    stages = [_search(programs, foreseen), *_followed(programs, foreseen)]
    return Forecast(
        problem=programs.problem.name,
        cores=max(one.at_once for one in foreseen),
        stages=tuple(stages),
        programs=tuple(foreseen),
        data=data_bytes(programs),
        disk=disk_bytes(programs, stages, [(one.saved, one.members * one.at_once) for one in foreseen]),
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
    members = members[:1] if way.name == ALONE else members
    with single_threaded():  # as workers are
        step, evaluation = _timed_that_fit(programs, members, fold)
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
    """Growth, refinement and confirmation, at most; their settings are not known, so they count as usual ones."""
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
    widens = len(plan.requested_rates) >= FEWEST and not plan.points
    finer, wider = (
        (2 * levels * plan.rounds, 2 * plan.grow * len(plan.settings) // len(plan.rates)) if widens else (0, 0)
    )
    chosen, repeats = levels + len(plan.optimizers), plan.seeds * len(plan.search_folds)
    stages = [stage(GROWTH, wider, repeats), stage("refinement", finer, repeats)]
    stages += [stage("confirmation", chosen, look.seeds * len(plan.fresh_folds(look))) for look in plan.confirmations]
    return [one for one in stages if one.runs]


def _step(seconds: float) -> str:
    return (
        f"{seconds:.2g} s"
        if seconds >= 1
        else f"{seconds * 1e3:.3g} ms"
        if seconds >= 1e-3
        else f"{seconds * 1e6:.3g} µs"
    )


def duration(seconds: float) -> str:
    """For people.

    >>> duration(7.93), duration(600), duration(2e4), duration(1e6)
    ('7.9 s', '10.0 min', '5.6 h', '11.6 days')
    """
    if seconds >= 3 * 24 * 3600:
        return f"{seconds / (24 * 3600):.1f} days"
    if seconds >= 90 * 60:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 60:.1f} min" if seconds >= 90 else f"{seconds:.2g} s"
