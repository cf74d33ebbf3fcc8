"""How long what was done took, beside what was foreseen for it: so what is left can be told.

A forecast knows what a step of each program costs beside those of others; the machine may be faster or slower than
while that was measured, or busy. Work is counted in the seconds foreseen, and what is left takes as many times those
as what was done did.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ..plan.factors import Setting
from ..store.file import ENDED, BlockRow
from .forecast import Forecast
from .halving import mean_epochs
from .programs import Members, Program, Programs

SHORT = 1.0  # seconds of work, before which what was foreseen is believed


class Opened(NamedTuple):
    """A study that is about to begin.

    Attributes:
        programs: of its plan; a few of their steps were tried.
        would: what it takes.
        words: what was left out to fit it into its time.
        end: of that time, by `time.monotonic`; None where it has no limit.
    """

    programs: Programs
    would: Forecast
    words: Sequence[str] = ()
    end: float | None = None


class Pace:
    """The work of a study, in the seconds foreseen of all cores.

    Attributes:
        spent: what was done since the pace was made.
    """

    def __init__(self, programs: Programs, would: Forecast) -> None:
        self.spent, self._began = 0.0, time.monotonic()
        self._each: dict[Program, float] = {}  # of a member's step, with its share of an evaluation
        for (program, settings), one in zip(programs.all.items(), would.programs, strict=True):
            steps = programs.steps(settings[0], programs.plan.search_folds[0])
            self._each[program] = (one.step_seconds + one.evaluation_seconds / steps) / one.at_once

    def cost(self, programs: Members, settings: Iterable[Setting], steps: float) -> float:
        """Seconds foreseen for members of these settings that take so many steps each."""
        return steps * sum(self._each[programs.of(setting)] for setting in settings)

    def rest(self, programs: Members, rows: Iterable[BlockRow], upcoming: Sequence[int] = ()) -> float:
        """Seconds foreseen of what blocks of a stage still take, if these rungs are to come."""
        seconds, plan = 0.0, programs.plan
        waiting = [row for row in rows if row.status not in ENDED]
        halved = mean_epochs(plan, dict.fromkeys(s for row in waiting for s in row.settings), upcoming)
        for row in waiting:
            whole = plan.epochs_of(row.stage) * programs.steps(row.settings[0], row.fold)
            each = [halved[s] / plan.epochs * whole if upcoming else whole for s in row.settings]
            seconds += sum(
                self.cost(programs, [s], steps - row.step) for s, steps in zip(row.settings, each, strict=True)
            )
        return max(0.0, seconds)

    @property
    def factor(self) -> float:
        """Seconds that a foreseen one takes."""
        elapsed = time.monotonic() - self._began
        return elapsed / self.spent if min(elapsed, self.spent) > SHORT else 1.0
