"""Workers that are threads of this process, each with a block of its own and single-threaded tensor operations.

Threads that share each operation would wait for one another dozens of times in a step, which on a machine that has
other work to do costs more than the arithmetic; blocks never wait. What a block gives is also the same on any number
of cores.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from queue import SimpleQueue

import torch

from ..programs.native import single_threaded
from .members import Members
from .messages import Event, Job, Saved, StopFlag
from .relay import Events, relay
from .work import work as work_on


class Threads:
    """Workers in this process: one for every core unless told otherwise.

    What cannot run side by side gets a single one: a DataLoader, which is one thing, and plain loops.
    """

    def __init__(self, programs: Members, count: int | None = None) -> None:
        self.programs, self.count = programs, count or torch.get_num_threads()

    def run(self, jobs: Callable[[], Job | None], stop: StopFlag) -> Generator[tuple[Job, Event], None, None]:
        events: Events = SimpleQueue()

        def work(job: Job) -> None:
            handled = threading.Semaphore(0)

            def tell(event: Event) -> None:
                saved = isinstance(event, Saved)
                events.put((job.block, event, handled.release if saved else int))
                if saved:
                    handled.acquire()  # until it is on disk, so that checkpoints are as rare as they are slow

            work_on(job, self.programs, stop, tell)

        with threads(self.count) as pool:
            yield from relay(jobs, lambda job: pool.submit(work, job), events, lambda: self.count, stop)


@contextmanager
def threads(count: int) -> Iterator[ThreadPoolExecutor]:
    """So many threads of one core each, or one alone, which then has all cores for its operations."""
    each = 1 if count > 1 else torch.get_num_threads()
    pool = ThreadPoolExecutor(count, "thalweg-block", initializer=torch.set_num_threads, initargs=(each,))
    with single_threaded():
        try:
            yield pool
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
