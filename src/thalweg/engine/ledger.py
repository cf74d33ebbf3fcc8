"""The only writer of a study's store: what workers report goes in here, and from here to the progress shown.

All that is finished is in the store at any moment: a pass over the data is one transaction, checkpoints are named
only when they are whole, and blocks are put together anew in one transaction with all their past.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import StoreError, TrainingError
from ..store.file import ENDED, BlockRow, Compacted, Store
from .deadline import Deadline
from .members import Members
from .messages import Ended, Event, Failed, Follow, Job, Lost, Passed, Saved, Steps, StopFlag, TooLarge, Workers
from .outlook import Outlook
from .pace import Pace, judging_parts
from .processes import Processes
from .progress import Progress

if TYPE_CHECKING:
    from .cluster import Cluster


class Ledger:
    """A study's store while it is written, and the progress shown of it.

    Args:
        follow: hears of each pass in the store.
        cluster: in place of this machine.
    """

    def __init__(
        self, store: Store, progress: Progress, pace: Pace, follow: Follow | None = None, cluster: Cluster | None = None
    ) -> None:
        self.store, self.progress, self.follow, self.cluster = store, progress, follow, cluster
        self.deadline: Deadline | None = None
        self.processes: Processes | None = None  # once begun, for all that follows
        self._waiting: deque[BlockRow] = deque()
        self._steps: dict[int, int] = {}  # where each block at work stands
        self._begun: set[int] = set()
        self.outlook = Outlook(pace, store, self._steps)

    def close(self) -> None:
        """Nothing more is trained."""
        if self.processes is not None:
            self.processes.close()

    def train(
        self, workers: Workers, programs: Members, rows: Sequence[BlockRow], until: int | None, stop: StopFlag
    ) -> None:
        """Train blocks to the end, or to the end of the pass `until`; one that does not fit into memory becomes two."""
        self._waiting = deque(rows)
        with closing(workers.run(partial(self._next, programs, until), stop)) as events:
            for job, event in events:
                self._write(programs, job, event)

    def _next(self, programs: Members, until: int | None) -> Job | None:
        while self._waiting:
            row = self._waiting.popleft()
            if self.deadline is not None and not self.deadline.begins(programs, row):
                continue
            if programs.fits(row.settings[0], len(row.settings)):
                self.outlook.seed_begins(programs, row)
                self._steps[row.id] = row.step
                self._begun.discard(row.id)
                parts = judging_parts(programs.plan, row.stage, row.fold)
                content, epochs = self.store.load_checkpoint(row), programs.plan.epochs_of(row.stage)
                others = 0 if self.cluster is None else programs.at_once - 1
                return Job(row.id, row.settings, row.seed, epochs, row.fold, until, parts, content, row.stage, others)
            self._halve(programs, row.id)
        return None

    def _write(self, programs: Members, job: Job, event: Event) -> None:
        match event:
            case Steps():
                self._show(programs, job, event)
            case Passed():
                work = event.diverged, event.seconds, event.finished, event.parts
                self.store.record(job.block, event.step, event.values, *work)
                if event.parts:
                    self.outlook.pace.judged(job.parts)
                if self.follow is not None:
                    self.follow(job, event)
            case Saved():
                self.store.save_checkpoint(job.block, event.step, event.content)
            case TooLarge():
                self._halve(programs, job.block)
                self.outlook.update(programs, job.stage)
                self.progress.block(job.block, 0)
            case Lost():
                self._waiting.appendleft(self._row(job.block))
                self.progress.block(job.block, 0)
            case Failed():
                if event.advice is None:
                    raise event.error
                raise TrainingError(
                    f"{event.error}; what is done is safe: {event.advice}`{self.store.onward}`."
                ) from event.error.__cause__
            case Ended():
                pass

    def _show(self, programs: Members, job: Job, event: Steps) -> None:
        members, steps = len(job.settings), event.step - self._steps[job.block]
        self._steps[job.block] = event.step
        if job.block in self._begun:
            self.outlook.pace.done(programs, job.settings, job.fold, steps, event.alive)
            self.progress.advance(job.block, members, event.alive, steps * members)
        else:
            self._begun.add(job.block)
            self.outlook.begins(programs, job.settings, steps)
            self.progress.block(job.block, members)

    def _halve(self, programs: Members, block: int) -> None:
        """Let a block go on as two, from its checkpoint or anew."""
        row = self._row(block)
        count = len(row.settings)
        if count == 1:
            raise TrainingError(
                f"a single run on {programs.problem.name} does not fit into memory; what is done is safe: free some, "
                f"or begin a study with smaller batches or a smaller model, then `{self.store.onward}`."
            )
        programs.limit(row.settings[0], -(-count // 2))
        halves = [[(row, k) for k in places] for places in (range(count // 2), range(count // 2, count))]
        self._waiting += self.regroup(programs, [row], halves, anew=True)

    def _row(self, block: int) -> BlockRow:
        """A block with what has been saved since."""
        (row,) = (row for row in self.store.blocks() if row.id == block)
        return row

    def regroup(
        self,
        programs: Members,
        rows: Sequence[BlockRow],
        groups: Sequence[Sequence[tuple[BlockRow, int]]],
        meta: Mapping[str, Any] | None = None,
        anew: bool = False,
    ) -> list[BlockRow]:
        """Put members of blocks together as new blocks, with all their past; those in no group are stopped.

        Args:
            rows: blocks at the end of the same pass, or one alone.
            groups: for each new block the block and the place in it that each member comes from.
            meta: noted in the same transaction.
            anew: whether members whose checkpoint is lost begin anew, with the same results.
        """
        first = max(row.id for row in self.store.blocks()) + 1
        new = []
        for number, origins in enumerate(groups, first):
            name = None
            sources = {row.id: row for row, _ in origins}
            contents = {block: self.store.load_checkpoint(row) for block, row in sources.items()}
            if None not in contents.values():
                step, content = programs.joined(origins, {k: c for k, c in contents.items() if c is not None})
                name = self.store.write_checkpoint(number, step, content)
            elif not (anew or programs.restarts):
                raise StoreError(
                    f"a checkpoint in {self.store.checkpoints} is missing or damaged; what {self.store.path} holds is "
                    f"safe: `{self.store.onward}` trains that block again."
                )
            status = origins[0][0].status if anew else "started"
            new.append(Compacted(number, [(row.id, place) for row, place in origins], status, name))
        self.store.compact(rows, new, meta or {})
        for row in rows:
            self.store.drop_checkpoint(row.checkpoint)
        return [row for row in self.store.blocks() if row.id >= first]

    def point(self, block: int, step: int, metric: str) -> np.ndarray:
        """The values of a block's members at a step that the store must have."""
        values = self.store.point(block, step, metric)
        if values is None:
            raise StoreError(f"{self.store.path} lacks what a rung is decided by; it is damaged, and left as it was.")
        return values

    def waiting(self, stage: str) -> list[BlockRow]:
        """The blocks of a stage that have not ended."""
        return [row for row in self.store.blocks(stage) if row.status not in ENDED]
