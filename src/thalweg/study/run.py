"""Carrying a plan out: search, choose, confirm; stopping and taking up again.

The search goes seed by seed, so that a study stopped half way holds whole seeds of everything rather
than all seeds of something. Then each optimizer's chosen setting runs again with fresh seeds, and only
those runs ever meet the test part.
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
from torch import nn
from torch.utils.data import DataLoader

from ..errors import ThalwegError, TrainingError
from ..kernels import numba_cpu
from ..kernels.lower import lower
from ..population.batched import Batched
from ..population.batches import RANDOM, Batches, LoaderBatches, TensorBatches
from ..population.block import Block, Task, activations_of, arranged, block_size
from .data import first_line
from .plan import Plan, Setting
from .prepare import Prepared
from .progress import Progress
from .store import BlockRow, Store
from .verdict import chosen_settings

CHECKPOINT_SECONDS = 30.0


def execute(store: Store, plan: Plan, problem: Prepared, progress: Progress) -> None:
    """Do whatever the plan still wants done. The store holds all that is finished at any moment.

    After Ctrl-C the block at work is saved as it stands, and KeyboardInterrupt raised.
    """
    task = make_task(plan, problem)
    if not store.blocks("search"):
        store.add_blocks("search", _blocks(plan, problem, plan.settings, range(plan.seeds)))
    _stage(store, plan, task, problem, "search", progress)
    if plan.confirmation:
        if not store.blocks("confirmation"):
            chosen = chosen_settings(plan, store.members())
            settings = [Setting(label, lr, schedule) for label, (lr, schedule, _) in chosen.items()]
            fresh = range(plan.seeds, plan.seeds + plan.confirmation)
            store.add_blocks("confirmation", _blocks(plan, problem, settings, fresh))
        _stage(store, plan, task, problem, "confirmation", progress)
    for row in store.blocks():
        store.drop_checkpoints(row.id)  # one may be left of a block that was killed as it finished
    if store.meta("costs") is None:
        store.set_meta("costs", measure_costs(store, plan, problem))


def make_task(plan: Plan, problem: Prepared) -> Task:
    """The problem as a population trains it."""
    batches: Batches
    if isinstance(problem.train, DataLoader):
        batches = LoaderBatches(problem.train)
    else:
        batches = TensorBatches(*problem.train, plan.batch_size)
    batched = Batched(_built(problem), problem.loss, problem.metrics)
    return Task(problem.model, batched, batches, problem.validation)


def _built(problem: Prepared) -> nn.Module:
    """A model for its structure; the same each time, and nobody's random numbers change."""
    with RANDOM, torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return problem.model()


def _dtype(problem: Prepared) -> torch.dtype:
    return next(p for p in _built(problem).parameters() if p.requires_grad).dtype


def _blocks(
    plan: Plan, problem: Prepared, settings: Sequence[Setting], seeds: Sequence[int]
) -> list[tuple[int, list[Setting]]]:
    """Each seed's settings, cut into blocks of about equal size: small enough for the cache, and at
    least as many as there are cores."""
    order = [settings[k] for k in arranged([plan.member(s, 0) for s in settings])]
    states = max(plan.states.values())
    samples = (plan.batch_size or getattr(problem.train, "batch_size", None) or 1) * activations_of(
        _built(problem), problem.validation[0][:8]
    )
    size = block_size(problem.weights, states, int(samples))
    count = max(-(-len(order) // size), torch.get_num_threads() // len(seeds))
    cuts = np.linspace(0, len(order), min(count, len(order)) + 1).round().astype(int).tolist()
    return [(seed, order[a:b]) for seed in seeds for a, b in itertools.pairwise(cuts)]


def _stage(store: Store, plan: Plan, task: Task, problem: Prepared, stage: str, progress: Progress) -> None:
    rows = store.blocks(stage)
    per_run = plan.epochs * task.batches.steps
    progress.begin(
        stage, sum(len(r.settings) for r in rows) * per_run, sum(r.step * len(r.settings) for r in rows)
    )
    with _interrupts() as asked, _workers(problem) as workers:

        def work(row: BlockRow) -> None:
            if asked():
                return
            try:
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
            if finished and row.stage == "confirmation":
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


def measure_costs(store: Store, plan: Plan, problem: Prepared) -> dict[str, dict[str, float]]:
    """Seconds per member and step: an equal share of the batched program, plus the formula's own update."""
    rows = [r for r in store.blocks("search") if r.status == "finished" and r.seconds > 0]
    steps = sum(r.step * len(r.settings) for r in rows)
    # A block's time is one thread's: what a member costs on one core.
    whole = sum(r.seconds for r in rows) / steps if steps else float("nan")
    dtype = _dtype(problem)
    update = {label: _update_seconds(plan, label, problem.weights, dtype) for label in plan.optimizers}
    shared = max(0.0, whole - float(np.mean(list(update.values()))))
    return {
        "seconds_per_step": {label: shared + own for label, own in update.items()},
        "update_seconds": update,
    }


def _update_seconds(plan: Plan, label: str, weights: int, dtype: torch.dtype, rows: int = 16) -> float:
    """The median time of one member's update, among a few that share a launch as in a block."""
    formula = plan.formulas[label]
    program = lower(formula.equations)
    tensors = [torch.zeros(rows, weights, dtype=dtype) for _ in range(2 + len(program.states))]
    w, g, *states = tensors
    address, length = numba_cpu.segment_table(list(w), list(g), [[s[k] for s in states] for k in range(rows)])
    row = np.arange(rows, dtype=np.int64)
    table = np.tile([formula.hyperparameters[n] for n in formula.equations.hyperparameters], (rows, 1))
    ones = np.ones(rows)
    kernel, times = numba_cpu.compiled(formula.equations, dtype), []
    for _ in range(9):
        begun = time.perf_counter()
        launch = kernel.launch(
            address, length, row, ones > 0, ones, ones, table, kept=np.ones((rows, len(program.kept)))
        )
        numba_cpu.run([launch], threads=1)
        times.append((time.perf_counter() - begun) / rows)
    return float(np.median(times))
