"""How long what was done took, beside what was foreseen for it: so what is left can be told.

A forecast knows what a step of each program costs beside those of others; the machine may be faster or slower than
while that was measured, or busy. Work is counted in the seconds foreseen, and what is left takes as many times those
as what was done did. A pass of a block takes something beside its steps, whatever its size, so that the small blocks
of a confirmation take longer than their steps: how long is told apart by how parts of different blocks went. Where
nothing was foreseen, in a study that is carried on, what its blocks took stands for it.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import nnls

from ..plan.factors import Setting
from ..plan.looks import SEARCH
from ..plan.plan import Plan
from ..store.file import ENDED, BlockRow
from .forecast import Forecast, ProgramForecast, RunForecast
from .halving import mean_epochs
from .members import Members
from .programs import Program, Programs, Way

PAUSE = 0.1  # seconds between two parts of a study, before one was seen
PASS = 1e-3  # seconds of a pass beside its steps, likewise
JUDGED = 20  # passes that take as long as to judge a block on the samples of a part of the data, one by one
BELIEF = 0.5  # seconds of work that weigh as much as what is believed of a step, or of a pass
WITHIN = 3.0  # times its own size that what is believed of a pass may be wrong by, where a step's is by one
RECENT = 0.8  # what a part counts for beside the one that follows it, which is more like those to come
SHORT = 1.0  # seconds of work, before which what was foreseen is believed


def judging_parts(plan: Plan, stage: str, fold: int | None) -> tuple[str, ...]:
    """The parts of the data on whose samples the runs of a block count one by one."""
    if stage == SEARCH or (plan.folds is not None and fold is not None):
        return ()
    return ("validation", "test") if fold is None else ("validation",)


class Opened(NamedTuple):
    """A study that is about to begin.

    Attributes:
        programs: of its plan; a few of their steps were tried.
        would: what it takes.
        words: what was left out to fit it into its time.
        end: of that time, by `time.monotonic`; None where it has no limit.
    """

    programs: Members
    would: Forecast
    words: Sequence[str] = ()
    end: float | None = None

    @property
    def ways(self) -> list[Way]:
        """How members of each program are trained."""
        return self.programs.ways if isinstance(self.programs, Programs) else []


def each_of(programs: Members, foreseen: Iterable[ProgramForecast | RunForecast]) -> dict[Program, float]:
    """Seconds of all cores for a member's step of each program, with its share of an evaluation."""
    steps = {p: programs.steps(settings[0], programs.plan.search_folds[0]) for p, settings in programs.all.items()}
    return {
        program: (one.step_seconds + one.evaluation_seconds / steps[program]) / one.at_once
        for program, one in zip(programs.all, foreseen, strict=True)
    }


class Done(NamedTuple):
    """Work of a part of a study: its seconds, those foreseen of members that have not diverged, and its passes."""

    seconds: float
    work: float
    passes: float


class Pace:
    """The work of a study, in the seconds foreseen of all cores.

    Args:
        each: what a member's step of each program takes, with its share of an evaluation.
        known: whether these are seconds, and not only in proportion to them.

    Attributes:
        pauses: seconds between parts of the study, up to the first step that is told of one.
        spent: what was done since the pace was made, as if no member had diverged.
        alive: the same, of members that have not.
        passed: passes of blocks.
    """

    def __init__(self, each: Mapping[Program, float], known: bool = True) -> None:
        self._each, self._known, self._began = dict(each), known, time.monotonic()
        self._last = self._began  # when the last step ended
        self._first: Done | None = None  # of the present part, up to its first step
        self._parts, self.pauses = list[Done](), list[float]()
        self._usual = statistics.fmean(self._each.values()) if self._each else 1.0
        self.spent = self.alive = self.passed = 0.0

    @classmethod
    def of_rows(cls, programs: Members, rows: Iterable[BlockRow]) -> Pace:
        """By what the blocks of a store took so far."""
        seconds: dict[Program, list[float]] = {}
        for row in rows:
            if row.seconds > 0 and row.step:
                both = seconds.setdefault(programs.of(row.settings[0]), [0.0, 0.0])
                both[0] += row.seconds
                both[1] += row.step * len(row.settings)
        return cls({program: took / steps for program, (took, steps) in seconds.items()}, known=False)

    def cost(self, programs: Members, settings: Iterable[Setting], steps: float) -> float:
        """Seconds foreseen for members of these settings that take so many steps each."""
        return steps * sum(self._each.get(programs.of(setting), self._usual) for setting in settings)

    def rest(self, programs: Members, rows: Iterable[BlockRow], upcoming: Sequence[int] = ()) -> tuple[float, float]:
        """Seconds foreseen of what blocks of a stage still take, if these rungs are to come, and their passes."""
        plan, waiting = programs.plan, [row for row in rows if row.status not in ENDED]
        halved = mean_epochs(plan, dict.fromkeys(s for row in waiting for s in row.settings), upcoming, programs.anew)
        seconds = passes = 0.0
        for row in waiting:  # whose settings share a program
            per_pass = programs.steps(row.settings[0], row.fold)
            whole = plan.epochs_of(row.stage) * per_pass
            each = [halved[s] / plan.epochs * whole if upcoming else whole for s in row.settings]
            steps = sum(each) - row.step * len(row.settings)  # of all its members together
            seconds += self.cost(programs, row.settings[:1], steps)
            passes += steps / len(row.settings) / per_pass
            passes += JUDGED * len(judging_parts(plan, row.stage, row.fold))
        return max(0.0, seconds), passes

    def done(self, programs: Members, settings: Sequence[Setting], fold: int | None, steps: int, alive: int) -> None:
        """A block took so many steps, of which so many members have not diverged."""
        cost = self.cost(programs, settings[:1], steps * len(settings))  # which share a program
        last, self._last = self._last, time.monotonic()
        self.spent += cost
        self.alive += cost * alive / len(settings)
        self.passed += steps / programs.steps(settings[0], fold)
        if self._first is None:
            self._first = Done(self._last, self.alive, self.passed)
            self.pauses.append(self._last - last)

    def judged(self, parts: Sequence[str]) -> None:
        """A block was judged sample by sample on these parts of the data, at its end."""
        self.passed += JUDGED * len(parts)

    def part_begins(self) -> None:
        """What is up to the first step is a pause, in which results are read, the part is planned and compiled."""
        self._parts = self._done
        self._first = None

    @property
    def _done(self) -> list[Done]:
        """What was done, by parts."""
        if (first := self._first) is None:
            return self._parts
        now = Done(self._last - first.seconds, self.alive - first.work, self.passed - first.passes)
        return [*self._parts, now]

    @property
    def pause(self) -> float:
        """Seconds that usually pass between two parts."""
        return statistics.median([PAUSE, *self.pauses[1:]])

    @property
    def elapsed(self) -> float:
        """Seconds since the pace was made."""
        return time.monotonic() - self._began

    @property
    def factor(self) -> float:
        """Seconds that a foreseen one takes, where some members diverge as they did before."""
        busy = sum(part.seconds for part in self._done)
        trusted = busy > SHORT and self.spent > 0 and (self.spent > SHORT or not self._known)
        return busy / self.spent if trusted else 1.0

    @property
    def seconds(self) -> tuple[float, float] | None:
        """Those that a foreseen one takes of members that do not diverge, and those of a pass; None where nothing is
        known yet.

        Least squares over the parts so far, by the share that each is missed by, the newest the most, beside what is
        believed.
        """
        parts = [part for part in self._done if part.seconds > 0]
        if not self._known and sum(part.seconds for part in parts) <= SHORT:
            return None
        belief = [math.sqrt(BELIEF if self._known else 1e-3 * BELIEF), math.sqrt(BELIEF)]
        done = np.array([(part.work, part.passes, part.seconds) for part in parts]).reshape(-1, 3)
        done *= (RECENT ** np.arange(len(parts))[::-1] / np.sqrt(done[:, 2]))[:, None]
        believed = np.array([[belief[0], 0.0, belief[0]], [0.0, belief[1] / (WITHIN * PASS), belief[1] / WITHIN]])
        table = np.concatenate([done, believed])
        step, passed = nnls(table[:, :2], table[:, 2])[0]
        return float(step), float(passed)
