"""Workers that are processes, for members trained one by one: plain loops in threads would wait for one another.

Each process prepares the problem anew from its source, or is sent it, and trains whole blocks with one thread. Events
come back through a queue, so only the first process knows the store; a worker that loses its parent ends at once.
"""

from __future__ import annotations

import functools
import multiprocessing
import pickle
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any

import cloudpickle
import torch

from ..errors import PlanError, TrainingError
from ..plan.plan import Plan
from ..problem.find import declared, load
from ..problem.loop import Loop
from ..problem.prepare import prepare
from ..problem.trust import remember
from .loops import Loops
from .messages import Event, Failed, Job, StopFlag
from .orphans import begin
from .programs import Members, Programs
from .relay import Events, relay
from .work import work


def portable(programs: Members) -> bytes | None:
    """What a process needs to train the same; None where it could not be made again there.

    A problem or a formula that a script or a notebook holds itself exists nowhere else. A loop of the user's own is
    sent with all that it refers to there.
    """
    plan, problem = programs.plan, programs.problem
    portable_plan: Any = plan.to_json()
    try:
        for factor in Plan.from_json(portable_plan).factors:
            for level in factor.levels:
                _ = factor.objects[level]
    except PlanError:
        portable_plan = plan
    try:
        if isinstance(programs, Loops):
            found = problem.kind in ("file", "module")
            return cloudpickle.dumps((portable_plan, problem.spec if found else problem, problem.fingerprint, None))
        assert isinstance(programs, Programs)
        spec = problem.source.get("spec") if problem.source.get("kind", "object") != "object" else None
        content = pickle.dumps((portable_plan, spec or problem, problem.fingerprint, programs.ways))
    except Exception:  # whatever a user's objects may raise
        return None
    return None if b"__main__" in content else content


class Processes:
    """Workers in processes of their own.

    Args:
        content: what `portable` gave.
        count: of processes.
    """

    def __init__(self, content: bytes, count: int) -> None:
        self.content, self.count = content, count

    def run(self, jobs: Callable[[], Job | None], stop: StopFlag) -> Generator[tuple[Job, Event], None, None]:
        context = multiprocessing.get_context("spawn")
        queue, stopping, events = context.SimpleQueue(), context.Event(), SimpleQueue()
        stop.share(stopping)
        listener = threading.Thread(target=_listen, args=(queue, events), daemon=True)
        listener.start()
        pool = ProcessPoolExecutor(self.count, context, begin, (pickle.dumps(_begin), self.content, queue, stopping))
        try:
            yield from relay(jobs, lambda job: _submit(pool, job), events, self.count, stop, _explain)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
            queue.put(None)
            listener.join()


def _listen(queue: Any, events: Events) -> None:
    for event in iter(queue.get, None):
        events.put((*event, int))


def _explain(error: BaseException) -> Failed:
    if not isinstance(error, BrokenProcessPool):
        return Failed(error)
    failure = TrainingError("a worker process ended by force, perhaps for want of memory")
    failure.__cause__ = error
    return Failed(failure, "")


def _submit(pool: ProcessPoolExecutor, job: Job) -> Future[None]:
    try:
        with _without_main():
            return pool.submit(_work, job)
    except BrokenProcessPool as error:
        broken: Future[None] = Future()
        broken.set_exception(error)
        return broken


@contextmanager
def _without_main() -> Iterator[None]:
    """Processes that start inside do not run the user's script again; what they need of it, they are sent."""
    main = vars(sys.modules["__main__"])
    names = {name: main.pop(name) for name in ("__spec__", "__file__") if name in main}
    main["__spec__"] = None
    try:
        yield
    finally:
        main.update(names)


# In a worker

_HERE: dict[str, Any] = {}


def _begin(content: bytes, queue: Any, stopping: Any) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent says when to stop
    torch.set_num_threads(1)
    _HERE.update(content=content, queue=queue, stopping=stopping)


@functools.cache
def _members() -> Members:
    """Made with the first job and not before: an error there ends the job, and has its sentence."""
    plan, problem, fingerprint, ways = pickle.loads(_HERE["content"])
    if isinstance(plan, dict):
        remember(spec for specs in plan["specs"].values() for spec in specs.values())  # the parent has loaded them
        plan = Plan.from_json(plan)
    if ways is None:
        loop = declared(problem)
        assert isinstance(loop, Loop)
        return Loops(plan, loop)
    if isinstance(problem, str):
        problem = prepare(load(problem))
    if problem.fingerprint != fingerprint:
        raise TrainingError(
            f"the problem {problem.name} is another each time it is made; give its data and its model a seed."
        )
    return Programs(plan, problem, ways)


def _work(job: Job) -> None:
    def tell(event: Event) -> None:
        if isinstance(event, Failed) and event.error.__cause__ is not None:  # which would be lost on the way
            event.error.add_note("".join(traceback.format_exception(event.error.__cause__)))
        _HERE["queue"].put((job.block, event))

    work(job, _members(), _HERE["stopping"], tell)
