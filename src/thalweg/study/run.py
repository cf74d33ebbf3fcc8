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
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader

from ..errors import ThalwegError, TrainingError
from ..formulas import Formula
from ..kernels import numba_cpu
from ..kernels.lower import lower
from ..population.batched import Batched
from ..population.batches import RANDOM, Batches, LoaderBatches, TensorBatches
from ..population.block import Block, Task, activations_of, arranged, block_size
from .data import first_line
from .factors import FULL, Setting
from .plan import Plan
from .prepare import Prepared
from .progress import Progress
from .store import BlockRow, Store
from .verdict import chosen_settings, seconds_per_step, to_confirm

CHECKPOINT_SECONDS = 30.0


def execute(store: Store, plan: Plan, problem: Prepared, progress: Progress) -> None:
    """Do whatever the plan still wants done. The store holds all that is finished at any moment.

    After Ctrl-C the block at work is saved as it stands, and KeyboardInterrupt raised.
    """
    programs = Programs(plan, problem)
    if not store.blocks("search"):
        store.add_blocks("search", _blocks(programs, plan.settings, range(plan.seeds)))
    _stage(store, programs, "search", progress)
    if plan.confirmation:
        if not store.blocks("confirmation"):
            fresh = range(plan.seeds, plan.seeds + plan.confirmation)
            settings = to_confirm(plan, store.members())
            store.add_blocks("confirmation", _blocks(programs, settings, fresh))
        _stage(store, programs, "confirmation", progress)
    for row in store.blocks():
        store.drop_checkpoints(row.id)  # one may be left of a block that was killed as it finished
    if store.meta("costs") is None:
        store.set_meta("costs", measure_costs(store, programs))


Program = tuple[Any, ...]


class Programs:
    """The batched programs of a study: one for each batch size and loss, made when it is first needed.

    Members whose settings differ in nothing else share a program, so only a block whose members share one
    can be trained as one.
    """

    def __init__(self, plan: Plan, problem: Prepared) -> None:
        self.plan, self.problem = plan, problem
        self._batched: dict[Any, Batched] = {}
        self._tasks: dict[Program, Task] = {}
        self._lock = threading.Lock()

    def of(self, setting: Setting) -> Program:
        """What tells the setting's program from others."""
        return self.plan.level(setting, "batch_size"), self.plan.level(setting, "loss")

    def task(self, setting: Setting) -> Task:
        """The problem as the setting's block trains it."""
        program = size, loss = self.of(setting)
        with self._lock:
            if program not in self._tasks:
                self._tasks[program] = Task(
                    self.problem.model, self._gradients(loss), self._batches(size), self.problem.validation
                )
            return self._tasks[program]

    def _gradients(self, loss: Any) -> Batched:
        """Programs that differ in batch size alone share what is traced."""
        if loss not in self._batched:
            problem = self.problem
            trained = problem.loss if loss is None else self.plan["loss"].found[loss]
            self._batched[loss] = Batched(_built(problem), trained, problem.metrics, problem.loss)
        return self._batched[loss]

    def _batches(self, size: int | str) -> Batches:
        train = self.problem.train
        if isinstance(train, DataLoader):
            return LoaderBatches(train)
        return TensorBatches(*train, len(train[0]) if size == FULL else int(size))

    def samples(self, setting: Setting) -> int:
        """Samples in the largest batch of the setting."""
        batches = self.task(setting).batches
        if isinstance(batches, TensorBatches):
            return batches.batch_size
        return getattr(self.problem.train, "batch_size", None) or 1


def _built(problem: Prepared) -> nn.Module:
    """A model for its structure; the same each time, and nobody's random numbers change."""
    with RANDOM, torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return problem.model()


def _dtype(problem: Prepared) -> torch.dtype:
    return next(p for p in _built(problem).parameters() if p.requires_grad).dtype


def _blocks(
    programs: Programs, settings: Sequence[Setting], seeds: Sequence[int]
) -> list[tuple[int, list[Setting]]]:
    """Each seed's settings, cut into blocks of about equal size that share a program: small enough for the
    cache, and at least as many as there are cores. Those with the most steps come first, so that no long
    one is begun last."""
    plan, problem = programs.plan, programs.problem
    groups: dict[Program, list[Setting]] = {}
    for setting in settings:
        groups.setdefault(programs.of(setting), []).append(setting)
    outputs = activations_of(_built(problem), problem.validation[0][:8])
    states = max(map(plan.states_of, settings))
    blocks: list[list[Setting]] = []
    for group in sorted(groups.values(), key=lambda g: -programs.task(g[0]).batches.steps):
        order = [group[k] for k in arranged([plan.member(s, 0) for s in group])]
        size = block_size(problem.weights, states, int(programs.samples(group[0]) * outputs))
        count = max(-(-len(order) // size), torch.get_num_threads() // (len(seeds) * len(groups)))
        cuts = np.linspace(0, len(order), min(count, len(order)) + 1).round().astype(int).tolist()
        blocks += [order[a:b] for a, b in itertools.pairwise(cuts)]
    return [(seed, block) for seed in seeds for block in blocks]


def _stage(store: Store, programs: Programs, stage: str, progress: Progress) -> None:
    plan, problem, rows = programs.plan, programs.problem, store.blocks(stage)
    runs = [(len(r.settings), plan.epochs * programs.task(r.settings[0]).batches.steps, r.step) for r in rows]
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
                task = programs.task(row.settings[0])
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


def measure_costs(store: Store, programs: Programs) -> dict[str, Any]:
    """Seconds per member and step: an equal share of the batched program, plus the formula's own update.

    `seconds_per_step` is each optimizer's at its chosen setting; `programs` holds the share for each
    program, and `update_seconds` the update of each optimizer, from which any setting's follows.
    """
    plan, dtype = programs.plan, _dtype(programs.problem)
    chosen = {str(o): s for o, (s, _) in chosen_settings(plan, store.members()).items()}
    update = {o: _update_seconds(plan.formula(s), programs.problem.weights, dtype) for o, s in chosen.items()}
    usual = float(np.mean(list(update.values())))
    shares = []
    for (size, loss), rows in _by_program(store, programs).items():
        steps = sum(r.step * len(r.settings) for r in rows)
        # A block's time is one thread's: what a member costs on one core.
        whole = sum(r.seconds for r in rows) / steps if steps else float("nan")
        shares.append({"batch_size": size, "loss": loss, "seconds": max(0.0, whole - usual)})
    costs = {"update_seconds": update, "programs": shares}
    return {"seconds_per_step": {o: seconds_per_step(plan, costs, s) for o, s in chosen.items()}, **costs}


def _by_program(store: Store, programs: Programs) -> dict[Program, list[BlockRow]]:
    found: dict[Program, list[BlockRow]] = {}
    for row in store.blocks("search"):
        if row.status == "finished" and row.seconds > 0:
            found.setdefault(programs.of(row.settings[0]), []).append(row)
    return found


def _update_seconds(formula: Formula, weights: int, dtype: torch.dtype, rows: int = 16) -> float:
    """The median time of one member's update, among a few that share a launch as in a block."""
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
