"""Carrying a plan out: search, choose, confirm; stopping and taking up again.

The search goes seed by seed, so that a study stopped half way holds whole seeds of everything rather
than all seeds of something; with halving (see `halving.py`) it goes rung by rung. Then the chosen settings, of
each optimizer and each level of whatever else is ranked, run again with fresh seeds, and only those runs ever
meet the test part.
"""

from __future__ import annotations

import multiprocessing
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import contextmanager
from types import FrameType
from typing import Any

import torch
from torch.utils.data import DataLoader

from ..plan.plan import HALVING, Plan
from ..problem.prepare import Prepared
from ..store.file import ENDED, BlockRow, Store
from ..verdict.verdict import to_confirm
from . import growth, halving
from .batching import WORTH, decide
from .costs import measure_costs
from .memory import halves
from .processes import portable, processes
from .programs import Programs
from .progress import Progress
from .recipe_run import run_recipe
from .training import attempt


def execute(store: Store, plan: Plan, problem: Prepared, progress: Progress) -> None:
    """Do whatever the plan still wants done. The store holds all that is finished at any moment.

    After Ctrl-C the block at work is saved as it stands, and KeyboardInterrupt raised.
    """
    plan = plan.grown_to(store.meta("plan").get("grown", ()))
    programs = Programs(plan, problem)
    for line in decide(store, programs):
        progress.note(line)
    if store.meta("recipe_run") is None:
        store.set_meta("recipe_run", None)  # still to be run; a finished study of old has not even this
    if not store.blocks("search"):
        store.add_blocks("search", programs.blocks(plan.settings, range(plan.seeds), plan.search_folds))
    _search(store, programs, progress)
    while (grown := growth.grow(store, programs)) is not None:
        programs, plan = grown, grown.plan
        decide(store, programs)
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
    """Train blocks to the end, or to the end of the pass `until`: those that are batched, then all others."""
    waiting = [row for row in rows if row.status not in ENDED]
    alone = [row for row in waiting if programs.of(row.settings[0]) in programs.one_by_one]
    batched = [row for row in waiting if row not in alone]
    with _interrupts() as asked:
        if batched:
            several = not isinstance(programs.problem.train, DataLoader)
            here = _here(store, programs, progress, asked, until)
            _all(store, programs, batched, here, asked, several)
        if alone and not asked():
            _one_by_one(store, programs, alone, progress, asked, until)
        if asked.interrupted:
            raise KeyboardInterrupt


def _here(
    store: Store, programs: Programs, progress: Progress, asked: _Asked, until: int | None
) -> Callable[[BlockRow], bool]:
    """Training a block in this process."""
    return lambda row: attempt(store, programs, row, progress, asked, until)


def _one_by_one(
    store: Store, programs: Programs, rows: Sequence[BlockRow], progress: Progress, asked: _Asked, until: int | None
) -> None:
    """Blocks whose members are not batched: in processes, or one after another where there can be none, or where
    they would take longer to start than to work."""
    cores, content = min(torch.get_num_threads(), len(rows)), portable(programs)
    seconds = sum(
        len(row.settings)
        * programs.steps(row.settings[0], row.fold)
        * (until or programs.plan.epochs)
        * programs.one_by_one[programs.of(row.settings[0])].seconds
        for row in rows
    )
    if content is None or cores == 1 or seconds < WORTH:
        if content is None and cores > 1 and seconds >= WORTH:
            progress.note(
                "They are trained one after another in this process, because the problem cannot be made again in "
                "another; give it as file.py:function to use all cores."
            )
        _all(store, programs, rows, _here(store, programs, progress, asked, until), asked, False)
        return
    stop = multiprocessing.get_context("spawn").Event()
    asked.others.append(stop)
    with processes(content, cores, store, progress, stop) as workers:
        _all(store, programs, rows, lambda row: workers.attempt(row, until), asked, True)


def _all(
    store: Store,
    programs: Programs,
    rows: Sequence[BlockRow],
    done: Callable[[BlockRow], bool],
    asked: _Asked,
    several: bool,
) -> None:
    """Do all blocks; one that does not fit into memory becomes two."""

    def work(row: BlockRow) -> list[BlockRow]:
        if asked() or (programs.fits(row.settings[0], len(row.settings)) and done(row)):
            return []
        return halves(store, programs, row)

    with threads(several) as workers:
        jobs = {workers.submit(work, row) for row in rows}
        try:
            while jobs:
                ended, jobs = wait(jobs, return_when=FIRST_COMPLETED)
                for job in ended:
                    jobs |= {workers.submit(work, row) for row in job.result()}
        except BaseException:
            asked.now()  # one that failed, or a second Ctrl-C: nobody begins another block
            raise
        finally:
            workers.shutdown(wait=True, cancel_futures=True)


@contextmanager
def threads(several: bool) -> Iterator[ThreadPoolExecutor]:
    """A thread for every core, each training a block of its own with single-threaded tensor operations.

    Threads that share each operation would wait for one another dozens of times in a step, which on a
    machine that has other work to do costs more than the arithmetic; blocks never wait. What a
    block gives is also the same on any number of cores. A DataLoader, which is one thing, gets one worker, and so
    do plain loops, which cannot run side by side in one process.
    """
    before = torch.get_num_threads()
    pool = ThreadPoolExecutor(
        before if several else 1,
        "thalweg-block",
        initializer=torch.set_num_threads,
        initargs=(1 if several else before,),
    )
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        torch.set_num_threads(before)


class _Asked:
    """Whether the workers have been asked to stop."""

    stop = interrupted = False

    def __init__(self) -> None:
        self.others: list[Any] = []  # events that other processes watch

    def now(self) -> None:
        self.stop = True
        for event in self.others:
            event.set()

    def __call__(self) -> bool:
        return self.stop


@contextmanager
def _interrupts() -> Iterator[_Asked]:
    """Ctrl-C asks every worker to stop at its next whole step; a second one stops at once."""
    asked = _Asked()

    def ask(number: int, frame: FrameType | None) -> None:
        if asked.interrupted:
            raise KeyboardInterrupt
        asked.interrupted = True
        asked.now()

    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    before = signal.signal(signal.SIGINT, ask)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, before)
