"""What goes to a worker and what comes back: a job, and the events of training its block.

Training knows no store. A worker is given a `Job` with all that it needs, and answers with events, those of one job
in their order; the last is `Ended`, `TooLarge`, `Failed` or `Lost`. What carries them (threads, processes, other
machines) need not look inside. Read next: `block_run.py`, which makes the events, and `ledger.py`, which writes them
down.
"""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from ..errors import TrainingError
from ..plan.factors import Setting
from ..plan.looks import SEARCH


@dataclass(frozen=True)
class Job:
    """A block to train.

    Attributes:
        block: its number in the store.
        settings: of its members, in their order; they share a program.
        seed, fold: of all its members.
        epochs: of a whole run.
        until: the pass over the data at whose end to stop; None goes on to the last.
        parts: of the data, "validation" and "test", on which it is also judged by parts of the samples where it may
            be judged; the test part is used at no other time.
        checkpoint: the content of a safetensors file to go on from; None begins anew.
        stage: of the study.
        others: blocks at work elsewhere on a cluster, whose checkpoints go to the same disk.
    """

    block: int
    settings: tuple[Setting, ...]
    seed: int
    epochs: int
    fold: int | None = None
    until: int | None = None
    parts: tuple[str, ...] = ()
    checkpoint: bytes | None = None
    stage: str = SEARCH
    others: int = 0


@dataclass(frozen=True)
class Steps:
    """The block stands at this step, and so many of its members have not diverged; the first says where it begins."""

    step: int
    alive: int


@dataclass(frozen=True)
class Passed:
    """A pass over the data has ended: the values (members,) of each metric, the step at which each member diverged
    (−1: not), and the seconds since the pass before; with the last pass of a confirmation, `parts`: the values
    (members, parts) of metrics on parts of the samples."""

    step: int
    values: Mapping[str, np.ndarray]
    diverged: np.ndarray
    seconds: float
    finished: bool
    parts: Mapping[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class Saved:
    """A checkpoint: the content of a safetensors file."""

    step: int
    content: bytes


@dataclass(frozen=True)
class TooLarge:
    """The block does not fit into memory."""


@dataclass(frozen=True)
class Failed:
    """Training raised an error; with `advice`, its sentence is completed by what to do and the store's name."""

    error: BaseException
    advice: str | None = None


@dataclass(frozen=True)
class Lost:
    """The worker is gone, with its machine or without: the block goes on elsewhere, from its checkpoint."""


@dataclass(frozen=True)
class Ended:
    """The block has come to its end, to the end of the pass `until`, or was stopped; its state has been saved."""


Event = Steps | Passed | Saved | TooLarge | Failed | Lost | Ended
LAST = (TooLarge, Failed, Lost, Ended)
Follow = Callable[[Job, Passed], None]  # called after each pass that the store has


def failed(sentence: str, cause: BaseException | None) -> TrainingError:
    """An error with its cause, to be reported and not raised."""
    error = TrainingError(sentence)
    error.__cause__ = cause
    return error


def told(event: Event) -> Event:
    """The event as another process is told it: with the cause of an error as a note, which would be lost on the way."""
    if isinstance(event, Failed) and event.error.__cause__ is not None:
        event.error.add_note("".join(traceback.format_exception(event.error.__cause__)))
    return event


class StopFlag:
    """A request to stop, checked by workers after every step; `interrupted` if Ctrl-C made it."""

    def __init__(self) -> None:
        self.interrupted = False
        self._events: list[Any] = [threading.Event()]

    def set(self) -> None:
        for event in self._events:
            event.set()

    def is_set(self) -> bool:
        return self._events[0].is_set()

    def share(self, event: Any) -> None:
        """Set another event too, which workers elsewhere watch."""
        self._events.append(event)
        if self.is_set():
            event.set()


class Workers(Protocol):
    """Trains jobs side by side."""

    def run(self, jobs: Callable[[], Job | None], stop: StopFlag) -> Generator[tuple[Job, Event], None, None]:
        """Take a job whenever a worker is free, until there is none and all have ended; their events as they come.

        `jobs` gives None where nothing is waiting; it is called again after each event. Once `stop` is set no job is
        taken, and those at work save their state and end.
        """
        ...
