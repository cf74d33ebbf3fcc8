"""Carrying a plan out: search, choose, confirm; stopping and taking up again.

The search goes seed by seed, so that a study stopped half way holds whole seeds of everything rather
than all seeds of something; with halving (see `halving.py`) it goes rung by rung. Then the chosen settings, of
each optimizer and each level of whatever else is ranked, run again with fresh seeds, and only those runs ever
meet the test part.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from types import FrameType

import torch
from torch.utils.data import DataLoader

from ..errors import ThalwegError, TrainingError
from ..population.block import Block
from . import growth, halving
from .costs import measure_costs
from .data import first_line
from .plan import HALVING, Plan
from .prepare import Prepared
from .programs import Programs
from .progress import Progress
from .recipe_run import run_recipe
from .store import ENDED, BlockRow, Store
from .verdict import to_confirm

CHECKPOINT_SECONDS = 30.0


def execute(store: Store, plan: Plan, problem: Prepared, progress: Progress) -> None:
    """Do whatever the plan still wants done. The store holds all that is finished at any moment.

    After Ctrl-C the block at work is saved as it stands, and KeyboardInterrupt raised.
    """
    plan = plan.grown_to(store.meta("plan").get("grown", ()))
    programs = Programs(plan, problem)
    if store.meta("recipe_run") is None:
        store.set_meta("recipe_run", None)  # still to be run; a finished study of old has not even this
    if not store.blocks("search"):
        store.add_blocks("search", programs.blocks(plan.settings, range(plan.seeds), plan.search_folds))
    _search(store, programs, progress)
    while (grown := growth.grow(store, programs)) is not None:
        programs, plan = grown, grown.plan
        _search(store, programs, progress)
    if plan.confirmation:
        if not store.blocks("confirmation"):
            fresh = range(plan.seeds, plan.seeds + plan.confirmation)
            settings = to_confirm(plan, store.members())
            store.add_blocks("confirmation", programs.blocks(settings, fresh, plan.fresh_folds))
        rows = store.blocks("confirmation")
        progress.begin("confirmation", _member_steps(programs, rows), _taken(rows))
        _train_all(store, programs, rows, progress)
        progress.end()
    store.clear_checkpoints()
    if store.meta("costs") is None:
        store.set_meta("costs", measure_costs(store, programs))
    if not store.meta("recipe_run"):
        ran = run_recipe(store, programs)
        store.set_meta("recipe_run", {} if ran is None else ran.to_json())


def _search(store: Store, programs: Programs, progress: Progress) -> None:
    """Every block to the end, or with halving: to each rung in turn, and there on with those that are kept."""
    plan, rows = programs.plan, store.blocks("search")
    progress.begin("search", _member_steps(programs, rows), _taken(rows))
    for epoch in (*halving.ahead(store, plan), None):
        if plan.budget == HALVING:
            rows = store.blocks("search")
            progress.cut(halving.expected(store, programs), halving.stopped(rows))
        _train_all(store, programs, rows, progress, epoch)
        if epoch is not None:
            halving.halve(store, programs, epoch)
    progress.end()


def _member_steps(programs: Programs, rows: Sequence[BlockRow]) -> int:
    return sum(len(r.settings) * programs.plan.epochs * programs.steps(r.settings[0], r.fold) for r in rows)


def _taken(rows: Sequence[BlockRow]) -> int:
    return sum(len(row.settings) * row.step for row in rows)


def _train_all(
    store: Store, programs: Programs, rows: Sequence[BlockRow], progress: Progress, until: int | None = None
) -> None:
    """Train blocks to the end, or to the end of the pass `until`."""
    plan, problem = programs.plan, programs.problem
    with _interrupts() as asked, _workers(problem) as workers:

        def work(row: BlockRow) -> None:
            if asked():
                return
            try:
                task = programs.task(row.settings[0], row.fold)
                block = Block(task, [plan.member(s, row.seed) for s in row.settings], plan.epochs)
                _train(store, row, block, problem, progress, asked, until)
            except ThalwegError:
                raise
            except Exception as error:  # whatever a user's model, loss or loader may raise
                raise TrainingError(
                    f"training on {problem.name} fails with {type(error).__name__} ({first_line(error)}); what "
                    f"is done is safe: repair it, then `thalweg resume {store.path}`."
                ) from error

        jobs = [workers.submit(work, row) for row in rows if row.status not in ENDED]
        try:
            for job in as_completed(jobs):
                job.result()
        finally:
            asked.stop = True  # one that failed, or a second Ctrl-C: nobody begins another block
            workers.shutdown(wait=True, cancel_futures=True)
        if asked.interrupted:
            raise KeyboardInterrupt


@contextmanager
def _workers(problem: Prepared) -> Iterator[ThreadPoolExecutor]:
    """A thread for every core, each training a block of its own with single-threaded tensor operations.

    Threads that share each operation would wait for one another dozens of times in a step, which on a
    machine that has other work to do costs more than the arithmetic; blocks never wait. What a
    block gives is also the same on any number of cores. A DataLoader, which is one thing, gets one worker.
    """
    before = torch.get_num_threads()
    loader = isinstance(problem.train, DataLoader)
    pool = ThreadPoolExecutor(
        1 if loader else before,
        "thalweg-block",
        initializer=torch.set_num_threads,
        initargs=(before if loader else 1,),
    )
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        torch.set_num_threads(before)


def _train(
    store: Store, row: BlockRow, block: Block, problem: Prepared, progress: Progress, asked: _Asked,
    until: int | None = None,
) -> None:  # fmt: skip
    saved = store.load_checkpoint(row)
    if saved is not None:
        block.load(saved)
    members = len(block.members)
    progress.block(row.id, row.seed, members, (block.step - row.step) * members)
    begun = since = time.monotonic()
    for epoch in block.train(until):
        if epoch is None:
            progress.advance(row.id, members, int(block.active.sum()))
        else:
            finished = block.step == block.total
            values = dict(epoch.values)
            if finished and row.stage == "confirmation" and row.fold is None:
                values |= {f"test_{n}": v for n, v in block.evaluate(*problem.test).items()}
            store.record(row.id, block.step, values, block.diverged, time.monotonic() - begun, finished)
            begun = time.monotonic()
            if finished:  # a checkpoint now would make it look unfinished
                store.drop_checkpoints(row.id)
                return
        if asked() or time.monotonic() - since > CHECKPOINT_SECONDS:
            store.save_checkpoint(row.id, block.step, block.tensors())
            since = time.monotonic()
        if asked():
            return
    store.save_checkpoint(
        row.id, block.step, block.tensors()
    )  # at a rung, where others may still be on their way


class _Asked:
    """Whether the workers have been asked to stop."""

    stop = interrupted = False

    def __call__(self) -> bool:
        return self.stop


@contextmanager
def _interrupts() -> Iterator[_Asked]:
    """Ctrl-C asks every worker to stop at its next whole step; a second one stops at once."""
    asked = _Asked()

    def ask(number: int, frame: FrameType | None) -> None:
        if asked.interrupted:
            raise KeyboardInterrupt
        asked.stop = asked.interrupted = True

    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    before = signal.signal(signal.SIGINT, ask)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, before)
