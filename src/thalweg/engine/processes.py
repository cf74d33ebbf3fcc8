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
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import replace
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


def portable(programs: Members) -> tuple[bytes, bytes] | None:
    """What a process needs to train the same, the problem and the plan; None where these could not be made again there.

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
            of_problem = cloudpickle.dumps((problem.spec if found else problem, problem.fingerprint))
            return of_problem, cloudpickle.dumps((portable_plan, None))
        assert isinstance(programs, Programs)
        spec = problem.source.get("spec") if problem.source.get("kind", "object") != "object" else None
        of_problem = pickle.dumps((spec or problem, problem.fingerprint))
        of_plan = pickle.dumps((portable_plan, programs.ways))
    except Exception:  # whatever a user's objects may raise
        return None
    return None if b"__main__" in of_problem + of_plan else (of_problem, of_plan)


class Processes:
    """Workers in processes of their own, which stay from one stage of a study to the next: to start takes seconds.

    Args:
        problem: the first of what `portable` gave.
        count: of processes.
        devices: that these take in turn.

    Attributes:
        plan: the second, of the jobs that come next.
    """

    def __init__(self, problem: bytes, count: int, devices: Sequence[str]) -> None:
        context = multiprocessing.get_context("spawn")
        self.count, self.plan = count, b""
        self._queue, self._stopping = context.SimpleQueue(), context.Event()
        self._events: Events = SimpleQueue()
        self._listener = threading.Thread(target=_listen, args=(self._queue, self._events), daemon=True)
        self._listener.start()
        places = context.SimpleQueue()
        for k in range(count):
            places.put(devices[k % len(devices)])
        arguments = pickle.dumps(_begin), problem, self._queue, self._stopping, places
        self._pool = ProcessPoolExecutor(count, context, begin, arguments)

    def run(self, jobs: Callable[[], Job | None], stop: StopFlag) -> Generator[tuple[Job, Event], None, None]:
        self._stopping.clear()
        stop.share(self._stopping)
        yield from relay(jobs, self._submit, self._events, self.count, stop, _explain)

    def _submit(self, job: Job) -> Future[None]:
        try:
            with _without_main():
                return self._pool.submit(_work, job, self.plan)
        except BrokenProcessPool as error:
            broken: Future[None] = Future()
            broken.set_exception(error)
            return broken

    def close(self) -> None:
        """End the processes."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._queue.put(None)
        self._listener.join()


def _listen(queue: Any, events: Events) -> None:
    for event in iter(queue.get, None):
        events.put((*event, int))


def _explain(error: BaseException) -> Failed:
    if not isinstance(error, BrokenProcessPool):
        return Failed(error)
    failure = TrainingError("a worker process ended by force, perhaps for want of memory")
    failure.__cause__ = error
    return Failed(failure, "")


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


def _begin(problem: bytes, queue: Any, stopping: Any, places: Any) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent says when to stop
    torch.set_num_threads(1)
    _HERE.update(problem=problem, queue=queue, stopping=stopping, device=places.get())


@functools.lru_cache(maxsize=1)
def _members(content: bytes) -> Members:
    """Made with the first job and not before: an error there ends the job, and has its sentence."""
    plan, ways = pickle.loads(content)
    if isinstance(plan, dict):
        remember(spec for specs in plan["specs"].values() for spec in specs.values())  # the parent has loaded them
        plan = Plan.from_json(plan)
    plan = replace(plan, device=_HERE["device"])
    before: Members | None = _HERE.get("members")
    members = _HERE["members"] = _made(plan, ways) if before is None else before.wider(plan)
    if isinstance(members, Programs):
        members.train_as(ways)
    return members


def _made(plan: Plan, ways: Any) -> Members:
    problem, fingerprint = pickle.loads(_HERE["problem"])
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


def _work(job: Job, plan: bytes) -> None:
    def tell(event: Event) -> None:
        if isinstance(event, Failed) and event.error.__cause__ is not None:  # which would be lost on the way
            event.error.add_note("".join(traceback.format_exception(event.error.__cause__)))
        _HERE["queue"].put((job.block, event))

    work(job, _members(plan), _HERE["stopping"], tell)
