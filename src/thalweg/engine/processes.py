"""Workers that are processes, for members trained one by one: plain loops in threads would wait for one another.

Each process prepares the problem anew from its source, or is sent it, and trains whole blocks with one thread. Events
come back through a queue, so only the first process knows the store; a worker that loses its parent ends at once.
"""

from __future__ import annotations

import multiprocessing
import pickle
import signal
import sys
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any

import torch

from .messages import Event, Failed, Job, StopFlag, failed, told
from .orphans import begin
from .portable import Received
from .relay import Events, relay
from .work import work


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
        yield from relay(jobs, self._submit, self._events, lambda: self.count, stop, _explain)

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
    return Failed(failed("a worker process ended by force, perhaps for want of memory", error), "")


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
    _HERE.update(received=Received(problem, places.get()), queue=queue, stopping=stopping)


def _work(job: Job, plan: bytes) -> None:
    def tell(event: Event) -> None:
        _HERE["queue"].put((job.block, told(event)))

    work(job, _HERE["received"].members(plan), _HERE["stopping"], tell)
