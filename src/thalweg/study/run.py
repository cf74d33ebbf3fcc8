"""Carrying a plan out: search, choose, confirm; stopping and taking up again.

The search goes seed by seed, so that a study stopped half way holds whole seeds of everything rather
than all seeds of something. Then the chosen settings, of each optimizer and each level of whatever else is
ranked, run again with fresh seeds, and only those runs ever meet the test part.
"""

from __future__ import annotations

import itertools
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from types import FrameType

import numpy as np
import torch
from torch.utils.data import DataLoader

from ..errors import ThalwegError, TrainingError
from ..population.block import Block, activations_of, arranged, block_size
from .costs import measure_costs
from .data import first_line
from .factors import Setting
from .plan import Plan
from .prepare import Prepared
from .programs import Program, Programs, built
from .progress import Progress
from .recipe_run import run_recipe
from .store import BlockRow, Store
from .verdict import to_confirm

CHECKPOINT_SECONDS = 30.0


def execute(store: Store, plan: Plan, problem: Prepared, progress: Progress) -> None:
    """Do whatever the plan still wants done. The store holds all that is finished at any moment.

    After Ctrl-C the block at work is saved as it stands, and KeyboardInterrupt raised.
    """
    programs = Programs(plan, problem)
    if store.meta("recipe_run") is None:
        store.set_meta("recipe_run", None)  # still to be run; a finished study of old has not even this
    if not store.blocks("search"):
        blocks = _blocks(programs, plan.settings, range(plan.seeds), plan.search_folds)
        store.add_blocks("search", blocks)
    _stage(store, programs, "search", progress)
    if plan.confirmation:
        if not store.blocks("confirmation"):
            fresh = range(plan.seeds, plan.seeds + plan.confirmation)
            settings = to_confirm(plan, store.members())
            store.add_blocks("confirmation", _blocks(programs, settings, fresh, plan.fresh_folds))
        _stage(store, programs, "confirmation", progress)
    for row in store.blocks():
        store.drop_checkpoints(row.id)  # one may be left of a block that was killed as it finished
    if store.meta("costs") is None:
        store.set_meta("costs", measure_costs(store, programs))
    if not store.meta("recipe_run"):
        ran = run_recipe(store, programs)
        store.set_meta("recipe_run", {} if ran is None else ran.to_json())


def _blocks(
    programs: Programs, settings: Sequence[Setting], seeds: Sequence[int], folds: Sequence[int | None]
) -> list[tuple[int, list[Setting], int | None]]:
    """Each seed's and fold's settings, cut into blocks of about equal size that share a program: small enough for the
    cache, and at least as many as there are cores. Those with the most steps come first, so that no long
    one is begun last."""
    plan, problem = programs.plan, programs.problem
    groups: dict[Program, list[Setting]] = {}
    for setting in settings:
        groups.setdefault(programs.of(setting), []).append(setting)
    outputs = activations_of(built(problem), problem.validation[0][:8])
    repeats = list(itertools.product(seeds, folds))
    states = max(map(plan.states_of, settings))
    blocks: list[list[Setting]] = []
    for group in sorted(groups.values(), key=lambda g: -programs.task(g[0], folds[0]).batches.steps):
        order = [group[k] for k in arranged([plan.member(s, 0) for s in group])]
        size = block_size(problem.weights, states, int(programs.samples(group[0]) * outputs))
        count = max(-(-len(order) // size), torch.get_num_threads() // (len(repeats) * len(groups)))
        cuts = np.linspace(0, len(order), min(count, len(order)) + 1).round().astype(int).tolist()
        blocks += [order[a:b] for a, b in itertools.pairwise(cuts)]
    return [(seed, block, fold) for seed, fold in repeats for block in blocks]


def _stage(store: Store, programs: Programs, stage: str, progress: Progress) -> None:
    plan, problem, rows = programs.plan, programs.problem, store.blocks(stage)
    runs = [
        (len(r.settings), plan.epochs * programs.task(r.settings[0], r.fold).batches.steps, r.step)
        for r in rows
    ]
    progress.begin(
        stage,
        sum(members * steps for members, steps, _ in runs),
        sum(members * step for members, _, step in runs),
    )
    with _interrupts() as asked, _workers(problem) as workers:

        def work(row: BlockRow) -> None:
            if asked():
                return
            try:
                task = programs.task(row.settings[0], row.fold)
                block = Block(task, [plan.member(s, row.seed) for s in row.settings], plan.epochs)
                _train(store, row, block, problem, progress, asked)
            except ThalwegError:
                raise
            except Exception as error:  # whatever a user's model, loss or loader may raise
                raise TrainingError(
                    f"training on {problem.name} fails with {type(error).__name__} ({first_line(error)}); what "
                    f"is done is safe: repair it, then `thalweg resume {store.path}`."
                ) from error

        jobs = [workers.submit(work, row) for row in rows if row.status != "finished"]
        try:
            for job in as_completed(jobs):
                job.result()
        finally:
            asked.stop = True  # one that failed, or a second Ctrl-C: nobody begins another block
            workers.shutdown(wait=True, cancel_futures=True)
        if asked.interrupted:
            raise KeyboardInterrupt
    progress.end()


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
    store: Store, row: BlockRow, block: Block, problem: Prepared, progress: Progress, asked: _Asked
) -> None:
    saved = store.load_checkpoint(row)
    if saved is not None:
        block.load(saved)
    members = len(block.members)
    progress.block(row.id, row.seed, members, (block.step - row.step) * members)
    begun = since = time.monotonic()
    for epoch in block.train():
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
