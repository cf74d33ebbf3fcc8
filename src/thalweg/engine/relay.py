"""Jobs to whatever runs them and their events back, in one loop for all kinds of workers."""

from __future__ import annotations

from collections.abc import Callable, Generator
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue

from .messages import LAST, Event, Failed, Job, StopFlag

SIGNAL_SECONDS = 0.5  # within which Ctrl-C is heard
# The number of the job's block, what happened to it, and what is called once that has been dealt with.
Events = SimpleQueue[tuple[int, Event, Callable[[], object]]]


def relay(
    jobs: Callable[[], Job | None],
    submit: Callable[[Job], Future[None]],
    events: Events,
    workers: Callable[[], int],
    stop: StopFlag,
    explain: Callable[[BaseException], Failed] = Failed,
) -> Generator[tuple[Job, Event], None, None]:
    """As `Workers.run`, over a queue that the workers fill.

    After a failure the other jobs are stopped, and all that they learned comes before it. Where the caller breaks
    off, they are waited for, and their last words are lost.

    Args:
        workers: how many jobs may be at work, which may change.
        submit: starts a job; its future ends after the job's last event is in the queue, or with an error.
        explain: of an error that ended a job without a last event.
    """
    busy: dict[int, Job] = {}
    failure: tuple[Job, Failed] | None = None

    def report(block: int, future: Future[None]) -> None:
        if not future.cancelled() and (error := future.exception()) is not None:
            events.put((block, explain(error), int))

    try:
        while True:
            while len(busy) < workers() and not stop.is_set() and (job := jobs()) is not None:
                busy[job.block] = job
                submit(job).add_done_callback(partial(report, job.block))
            if not busy:
                break
            block, event, handled = _next(events)
            if block not in busy:
                continue  # a second last word
            job = busy.pop(block) if isinstance(event, LAST) else busy[block]
            try:
                if isinstance(event, Failed):
                    failure = failure or (job, event)
                    stop.set()
                else:
                    yield job, event
            finally:
                handled()
        if failure is not None:
            yield failure
    finally:
        if busy:
            stop.set()
        while busy:
            block, event, handled = _next(events)
            handled()
            if isinstance(event, LAST):
                busy.pop(block, None)


def _next(events: Events) -> tuple[int, Event, Callable[[], object]]:
    """The next event. A signal that comes just before a wait without an end would be heard only after it."""
    while True:
        with suppress(Empty):
            return events.get(timeout=SIGNAL_SECONDS)
