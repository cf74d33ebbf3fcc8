"""How long what was done took, beside what was foreseen for it: so what is left can be told.

A forecast knows what a step of each program costs beside those of others; the machine may be faster or slower than
while that was measured, or busy. Work is counted in the seconds foreseen, and what is left takes as many times those
as what was done did. Where nothing was foreseen, in a study that is carried on, what its blocks took stands for it.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from ..plan.factors import Setting
from ..store.file import ENDED, BlockRow
from .forecast import Forecast, ProgramForecast, RunForecast
from .halving import mean_epochs
from .programs import Members, Program, Programs, Way

PAUSE = 0.3  # seconds between two parts of a study, before one was seen
SHORT = 1.0  # seconds of work, before which what was foreseen is believed


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


class Pace:
    """The work of a study, in the seconds foreseen of all cores.

    Args:
        each: what a member's step of each program takes, with its share of an evaluation.
        known: whether these are seconds, and not only in proportion to them.

    Attributes:
        pauses: seconds between parts of the study.
        spent: what was done since the pace was made, as if no member had diverged.
        alive: the same, of members that have not.
    """

    def __init__(self, each: Mapping[Program, float], known: bool = True) -> None:
        self._each, self._known, self._began = dict(each), known, time.monotonic()
        self._part = self._last = self._began  # when the present part began, and its last step ended
        self._busy, self.pauses = 0.0, list[float]()
        self._usual = statistics.fmean(self._each.values()) if self._each else 1.0
        self.spent = self.alive = 0.0

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

    def rest(self, programs: Members, rows: Iterable[BlockRow], upcoming: Sequence[int] = ()) -> float:
        """Seconds foreseen of what blocks of a stage still take, if these rungs are to come."""
        seconds, plan = 0.0, programs.plan
        waiting = [row for row in rows if row.status not in ENDED]
        halved = mean_epochs(plan, dict.fromkeys(s for row in waiting for s in row.settings), upcoming, programs.anew)
        for row in waiting:  # whose settings share a program
            whole = plan.epochs_of(row.stage) * programs.steps(row.settings[0], row.fold)
            each = [halved[s] / plan.epochs * whole if upcoming else whole for s in row.settings]
            seconds += self.cost(programs, row.settings[:1], sum(each) - row.step * len(row.settings))
        return max(0.0, seconds)

    def done(self, programs: Members, settings: Sequence[Setting], steps: int, alive: int) -> None:
        """A block took so many steps, of which so many members have not diverged."""
        cost = self.cost(programs, settings[:1], steps * len(settings))  # which share a program
        self._last = time.monotonic()
        self.spent += cost
        self.alive += cost * alive / len(settings)

    def part_begins(self) -> None:
        """What was since the last step is a pause, in which results were read and the next part planned."""
        now = time.monotonic()
        if self._last > self._part:
            self._busy += self._last - self._part
            self.pauses.append(now - self._last)
        self._part = self._last = now

    @property
    def pause(self) -> float:
        """Seconds that usually pass between two parts."""
        return statistics.fmean(self.pauses) if self.pauses else PAUSE

    @property
    def elapsed(self) -> float:
        """Seconds since the pace was made."""
        return time.monotonic() - self._began

    @property
    def factor(self) -> float:
        """Seconds that a foreseen one takes, where some members diverge as they did before."""
        return self._factor(self.spent) or 1.0

    @property
    def alive_factor(self) -> float | None:
        """Seconds that a foreseen one takes of members that do not diverge; None where nothing is known yet."""
        return self._factor(self.alive)

    def _factor(self, work: float) -> float | None:
        busy = self._busy + self._last - self._part
        if busy > SHORT and work > 0 and (work > SHORT or not self._known):
            return busy / work
        return 1.0 if self._known else None
