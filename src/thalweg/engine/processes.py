"""Worker processes for members that are trained one by one: plain loops in threads would wait for one another.

Each process prepares the problem anew from where it came from, or is sent it, opens the store beside the others, and
trains whole blocks with one thread. A process that loses its parent ends at once, so that nobody writes into a
store that may have been taken up again.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import connection
from typing import Any

import torch

from ..errors import PlanError, TrainingError
from ..plan.plan import Plan
from ..problem.find import load
from ..problem.prepare import Prepared, prepare
from ..store.file import BlockRow, Store
from .batching import decide
from .programs import Programs
from .progress import Progress
from .training import attempt

SHARE_SECONDS = 0.2  # between two words on progress


def portable(programs: Programs) -> bytes | None:
    """What a process needs to train the same; None where it could not be made again there.

    A problem or a formula that a script or a notebook holds itself exists nowhere else.
    """
    plan, problem = programs.plan, programs.problem
    kept: Any = plan.to_json()
    try:
        for factor in Plan.from_json(kept).factors:
            for level in factor.levels:
                _ = factor.found[level]
    except PlanError:
        kept = plan
    spec = problem.source.get("spec") if problem.source.get("kind", "object") != "object" else None
    try:
        content = pickle.dumps((kept, spec or problem, problem.fingerprint))
    except Exception:  # whatever a user's objects may raise
        return None
    return None if b"__main__" in content else content


class Processes:
    """Workers that are running; `attempt` is `training.attempt` in one of them, for several threads at once."""

    def __init__(self, pool: ProcessPoolExecutor, progress: Progress, store: Store) -> None:
        self.pool, self.progress, self.store = pool, progress, store

    def attempt(self, row: BlockRow, until: int | None) -> bool:
        try:
            with _MAIN, _without_main():
                job = self.pool.submit(_work, row.id, until)
            return job.result()
        except BrokenProcessPool as error:
            raise TrainingError(
                "a worker process ended by force, perhaps for want of memory; what is done is safe: "
                f"`thalweg resume {self.store.path}`."
            ) from error


@contextmanager
def processes(content: bytes, count: int, store: Store, progress: Progress, stop: Any) -> Iterator[Processes]:
    """Start workers, and hear how far they are.

    Args:
        content: what `portable` gave.
        stop: an event of multiprocessing's "spawn" context that asks them to stop.
    """
    context = multiprocessing.get_context("spawn")
    told = context.SimpleQueue()
    pool = ProcessPoolExecutor(count, context, _begin, (content, str(store.path), told, stop))
    listening = threading.Thread(target=_listen, args=(told, progress), daemon=True)
    listening.start()
    try:
        yield Processes(pool, progress, store)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        told.put(None)
        listening.join()


def _listen(told: Any, progress: Progress) -> None:
    while (said := told.get()) is not None:
        name, *given = said
        getattr(progress, name)(*given)


_MAIN = threading.Lock()


@contextmanager
def _without_main() -> Iterator[None]:
    """Processes that start inside do not run the user's script again; what they need of it, they are sent."""
    main = sys.modules["__main__"]
    kept = {name: vars(main)[name] for name in ("__spec__", "__file__") if name in vars(main)}
    main.__spec__ = None
    if "__file__" in kept:
        del main.__file__
    try:
        yield
    finally:
        vars(main).update(kept)


# In a worker


class _Told(Progress):
    """Passes on what is said; steps are counted up for a moment first."""

    def __init__(self, told: Any) -> None:
        self.told, self.steps, self.since = told, 0, time.monotonic()

    def block(self, block: int, seed: int, members: int, ahead: int) -> None:
        self.flush()
        self.told.put(("block", block, seed, members, ahead))

    def advance(self, block: int, members: int, alive: int, steps: int | None = None) -> None:
        self.steps += members if steps is None else steps
        self.last = (block, members, alive)
        if time.monotonic() - self.since > SHARE_SECONDS:
            self.flush()

    def flush(self) -> None:
        if self.steps:
            block, members, alive = self.last
            self.told.put(("advance", block, members, alive, self.steps))
        self.steps, self.since = 0, time.monotonic()


_HERE: dict[str, Any] = {}


def _begin(content: bytes, path: str, told: Any, stop: Any) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent says when to stop
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    kept, given, fingerprint = pickle.loads(content)
    plan: Plan = Plan.from_json(kept) if isinstance(kept, dict) else kept
    problem: Prepared = prepare(load(given)) if isinstance(given, str) else given
    if problem.fingerprint != fingerprint:
        raise TrainingError(
            f"the problem {problem.name} is another each time it is made; give its data and its model a seed."
        )
    store, programs = Store.open(path, write=True), Programs(plan, problem)
    decide(store, programs)
    _HERE.update(store=store, programs=programs, progress=_Told(told), asked=stop.is_set)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


def _work(block: int, until: int | None) -> bool:
    (row,) = (row for row in _HERE["store"].blocks() if row.id == block)
    try:
        return attempt(_HERE["store"], _HERE["programs"], row, _HERE["progress"], _HERE["asked"], until)
    finally:
        _HERE["progress"].flush()
