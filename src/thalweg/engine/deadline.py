"""A study that has to end at a given time, also where it is slower than was foreseen.

What is planned fits, by the forecast (`plan/shorter.py`). While it runs, seeds of the search and of the confirmation
that have not begun are left out where they would end too late; the grid grows and is refined only while that leaves
time to confirm; and where three seeds take too long, only the best of each level goes on from the next rung. Each
of these decisions is kept in the stored plan, so that the study runs again as it ran, and is said. Three seeds and
three fresh ones are trained even where the time is over.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from ..plan.factors import Setting
from ..plan.looks import SEARCH
from ..plan.shorter import LEAST
from ..store.file import BlockRow, Store
from .forecast import Forecast
from .halving import ahead, mean_epochs
from .members import Members
from .pace import Pace
from .progress import Progress

RESERVE = 0.9  # of what is left is given away: confirmed runs are judged in more detail, and the recipe runs


class Deadline:
    """The end of a study's time, and what is left out for it.

    Args:
        end: by `time.monotonic`.
        would: what was foreseen of the plan.
    """

    def __init__(self, end: float, pace: Pace, would: Forecast, store: Store, progress: Progress) -> None:
        self.end, self.pace, self.would = end, pace, would
        self.store, self.progress = store, progress
        self._begun: dict[str, int] = {}  # the last seed of each stage that has begun

    @property
    def _left(self) -> float:
        """Seconds foreseen for which there is time."""
        return RESERVE * (self.end - time.monotonic()) / self.pace.factor

    def _confirming(self, programs: Members) -> float:
        """Seconds foreseen of the least confirmation."""
        fresh = programs.plan.confirmation
        return self.would.of("confirmation") * min(1, LEAST / fresh) if fresh else 0.0

    def begins(self, programs: Members, row: BlockRow) -> bool:
        """Whether a block may be trained: where it would begin a seed for which there is no time, that seed and those
        after it are left out."""
        searching, stored = row.stage == SEARCH, self.store.meta("plan")
        name, first = ("seeds", 0) if searching else ("confirmation", stored["seeds"])
        number = row.seed - first  # of seeds before it
        if number >= stored[name]:
            return False
        widened = searching and (stored["grown"] or stored["refined"])  # where all settings have the same seeds
        begun = self._begun.get(row.stage, -1)
        if number < LEAST or widened or row.seed <= begun or self._in_time(programs, row.stage):
            self._begun[row.stage] = max(row.seed, begun)
            return True
        words = f"{number} of {stored[name]} {'seeds' if searching else 'fresh seeds'}"
        self.store.drop_seeds(row.stage, row.seed, self._meta({name: number}, words))
        return False

    def _in_time(self, programs: Members, stage: str) -> bool:
        """Whether all that a stage still has to do ends in time."""
        searching = stage == SEARCH
        upcoming = ahead(programs.plan, self.store.meta("rungs", [])) if searching else ()
        rest, _ = self.pace.rest(programs, self.store.blocks(stage), upcoming)
        return rest + (self._confirming(programs) if searching else 0.0) <= self._left

    def allows(self, programs: Members, settings: Sequence[Setting], limit: Mapping[str, Any], words: str) -> bool:
        """Whether there is time for further settings of the search; else the plan notes its limit.

        Args:
            programs: of the plan with them.
            limit: of the plan without them.
            words: what they are.
        """
        plan = programs.plan
        upcoming = ahead(plan, self.store.meta("rungs", []))
        epochs = mean_epochs(plan, settings, upcoming, programs.anew)
        steps = [(s, fold, epochs[s] * programs.steps(s, fold)) for s in settings for fold in plan.search_folds]
        need = plan.seeds * sum(self.pace.cost(programs, [s], count) for s, _, count in steps)
        if need + self._confirming(programs) <= self._left:
            return True
        self.store.note(self._meta(limit, f"no {words}"))
        return False

    def narrow(self, programs: Members, rows: Sequence[BlockRow], rung: Sequence[int]) -> dict[str, Any]:
        """What to note if only the best of each level goes on from a rung; nothing if there is time for more."""
        upcoming = [epoch for epoch in ahead(programs.plan, self.store.meta("rungs", [])) if epoch != rung[1]]
        rest, _ = self.pace.rest(programs, rows, [rung[1], *upcoming])
        if rest + self._confirming(programs) <= self._left:
            return {}
        narrow = [*self.store.meta("plan")["narrow"], [*rung]]
        return self._meta({"narrow": narrow}, f"after epoch {rung[1]} only the best of each level goes on")

    def fresh(self, programs: Members, settings: Sequence[Setting]) -> None:
        """Leave fresh seeds out for which there is no time."""
        plan = programs.plan
        (look,) = plan.confirmations
        steps = [(s, look.epochs * programs.steps(s, fold)) for s in settings for fold in plan.fresh_folds(look)]
        each = sum(self.pace.cost(programs, [s], count) for s, count in steps)
        count = min(plan.confirmation, max(LEAST, int(self._left / each)))
        if count < plan.confirmation:
            self.store.note(self._meta({"confirmation": count}, f"{count} of {plan.confirmation} fresh seeds"))

    def _meta(self, changes: Mapping[str, Any], words: str) -> dict[str, Any]:
        """The plan with these changes, and the words for them, which are said."""
        limit = self.store.meta("limit")
        sentence = f"It takes longer than was foreseen: {words}."
        self.progress.note(sentence)
        plan = {**self.store.meta("plan"), **changes}
        return {"plan": plan, "limit": {**limit, "words": [*limit["words"], sentence]}}
