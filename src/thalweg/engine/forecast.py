"""What a study would take: its runs, how their members are trained, and the seconds and memory that they need.

Rates by which the grid may grow are a stage of their own, which is not part of the sums: it comes only where a best
rate lies on an edge. Read next: `foresee.py`, how it is found out.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ..language import mark, say
from ..plan.factors import Level
from ..verdict.words import listed
from .footprint import Footprint, shown

SEARCHING, GROWTH, REFINEMENT, CONFIRMING = map(mark, ("search", "growth", "refinement", "confirmation"))


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
        counts = say(
            "{settings:,} settings, {runs:,} runs, {steps:,} steps",
            settings=self.settings,
            runs=self.runs,
            steps=self.steps,
        )
        if self.name == GROWTH:
            counts = say("{counts} more, if best rates lie on the edges of the grid", counts=counts)
        if self.at_most:
            counts = say("at most {counts}", counts=counts)
        time = say("about {time}", time=duration(self.seconds))
        return f"{say(self.name)}: {counts}; {time}"


@dataclass(frozen=True)
class ProgramForecast:
    """Members that are trained by one program.

    Attributes:
        batch_size, loss, model, regularizer: what they share; None for the problem's own loss and model, and for a
            regularizer that all share.
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
    model: Level
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
        names = {"model": self.model, "loss": self.loss, "regularizer": self.regularizer, "optimizer": self.own}
        what = ", ".join(
            [
                say("batch size {size}", size=self.batch_size),
                *(f"{say(name)} {level}" for name, level in names.items() if level is not None),
            ]
        )
        way = say(self.way) if self.why is None else f"{say(self.way)} ({self.why.rstrip('.')})"
        return say(
            "{what}: {way}; {time} for a member's step; {blocks:,} blocks of at most {members:,} members; {memory} for "
            "{count} at once",
            what=what,
            way=way,
            time=_step(self.step_seconds),
            blocks=self.blocks,
            members=self.members,
            memory=shown(self.memory),
            count=self.at_once,
        )


@dataclass(frozen=True)
class RunForecast:
    """Runs of the user's own that share a batch size.

    Attributes:
        batch_size: of them.
        settings, blocks: of the search.
        step_seconds: of a report, with a run's share of what comes before its first one.
        at_least: whether the tried run was ended before it said how long it takes.
        reported: names that it reported.
        at_once: runs at the same time.
        memory: bytes of as many; None where that is not known, as of commands.
    """

    batch_size: int | str
    settings: int
    blocks: int
    step_seconds: float
    at_least: bool
    reported: int
    at_once: int
    memory: int | None
    evaluation_seconds: float = 0.0  # which is part of a report

    def __str__(self) -> str:
        time = say("{seconds:.2g} s", seconds=self.step_seconds)
        words = say(
            "batch size {size}: {time} for a report, one by one",
            size=self.batch_size,
            time=say("at least {time}", time=time) if self.at_least else time,
        )
        if self.memory is None:
            return words
        return f"{words}; " + say("{memory} for {count} at once", memory=shown(self.memory), count=self.at_once)


@dataclass(frozen=True)
class Forecast:
    """What a study would take; `str` of it says it, `to_json` has all numbers.

    Attributes:
        problem: its name.
        cores: that train.
        stages: search, growth, refinement and confirmation, those that there may be.
        programs: one for each model, batch size, loss and kind of regularizer; of runs of the user's own, for each
            batch size.
        data: bytes of the samples, which are in memory before anything is trained; None where they are not known.
        disk: bytes of the store and of the checkpoints beside it while it runs, growth included.
        free: bytes of memory; None where the system does not say.
        warnings: a sentence for each program whose blocks do not fit.
        opening: what is known of runs of the user's own before one has run; None of a problem.
    """

    problem: str
    cores: int
    stages: tuple[Stage, ...]
    programs: tuple[ProgramForecast, ...] | tuple[RunForecast, ...]
    data: int | None
    disk: int
    free: int | None
    warnings: tuple[str, ...]
    opening: str | None = None

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
    def memory(self) -> int | None:
        """Bytes by which the process grows: by the largest blocks at work; programs train one after another. Of runs
        of the user's own what they take; None where that is not known."""
        return max((program.memory for program in self.programs if program.memory is not None), default=None)

    @property
    def at_least(self) -> bool:
        """Whether it takes longer than is foreseen: a run was tried that did not end in the time given to it."""
        return any(isinstance(program, RunForecast) and program.at_least for program in self.programs)

    @property
    def line(self) -> str:
        """What opens a study."""
        search, *others = self._likely
        counts = [
            say("{runs:,} runs of {steps:,} steps for the search", runs=search.runs, steps=search.steps // search.runs)
            if self.opening is None
            else self.opening
        ]
        if others:
            words = listed([say("{runs:,} of {stage}", runs=one.runs, stage=say(one.name)) for one in others])
            counts.append(say("at most {stages}", stages=words))
        if self.opening is not None:
            memory = "" if self.memory is None else say(", {memory} of memory", memory=shown(self.memory))
            each = self._about(self.run_seconds)
            return say(
                "{problem}: {counts}; a run takes {each}: {time}{memory}.",
                problem=self.problem,
                counts=", ".join(counts),
                each=each,
                time=self._time,
                memory=memory,
            )
        steps = sorted(one.step_seconds for one in self.programs)
        low, high = _step(steps[0]), _step(steps[-1])
        return say(
            "{problem}: {counts}; {ways}, {each} for a member's step: {time}, {memory} of memory, {disk} of disk.",
            problem=self.problem,
            counts=", ".join(counts),
            ways=", ".join(
                map(say, dict.fromkeys(one.way for one in self.programs if isinstance(one, ProgramForecast)))
            ),
            each=low if len(steps) == 1 else say("{low} to {high}", low=low, high=high),
            time=self._time,
            memory=shown(self.memory or 0),
            disk=shown(self.disk),
        )

    @property
    def _time(self) -> str:
        longer = self.longest > self.seconds
        grown = say(" (at most {time}, if the grid grows)", time=duration(self.longest)) if longer else ""
        about = self._about(self.seconds)
        s = "s" * (self.cores > 1)
        return say("{about}{grown} on {cores} core{s}", about=about, grown=grown, cores=self.cores, s=s)

    def _about(self, seconds: float) -> str:
        time = duration(seconds)
        return say("at least {time}", time=time) if self.at_least else say("about {time}", time=time)

    @property
    def run_seconds(self) -> float:
        """What a run of the search takes."""
        search, *_ = self.stages
        return self.cores * search.seconds / search.runs

    def of(self, *names: str) -> float:
        """Seconds of the stages of these names."""
        return sum(stage.seconds for stage in self.stages if stage.name in names)

    def to_json(self) -> dict[str, Any]:
        sums = {"runs": self.runs, "seconds": self.seconds, "longest": self.longest, "memory": self.memory}
        return {**asdict(self), **sums}

    def __str__(self) -> str:
        parts = [self._time]
        if self.memory is not None:
            memory = say("{memory} of memory", memory=shown(self.memory))
            free = "" if self.free is None else say(", of {free} that are free", free=shown(self.free))
            parts.append(memory + free)
        parts.append(say("{disk} of disk", disk=shown(self.disk)))
        head = f"{self.problem}: {'; '.join(parts)}."
        data = [] if self.data is None else [say("data: {size}", size=shown(self.data))]
        return "\n".join([head, *self.warnings, *map(str, self.stages), *map(str, self.programs), *data])


def _step(seconds: float) -> str:
    if seconds >= 1:
        return f"{seconds:.2g} s"
    return f"{seconds * 1e3:.3g} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.3g} µs"


def duration(seconds: float) -> str:
    """For people.

    >>> duration(7.93), duration(600), duration(2e4), duration(1e6)
    ('7.9 s', '10.0 min', '5.6 h', '11.6 days')
    """
    if seconds >= 3 * 24 * 3600:
        return say("{days:.1f} days", days=seconds / (24 * 3600))
    if seconds >= 90 * 60:
        return say("{hours:.1f} h", hours=seconds / 3600)
    if seconds >= 90:
        return say("{minutes:.1f} min", minutes=seconds / 60)
    return say("{seconds:.2g} s", seconds=seconds)
