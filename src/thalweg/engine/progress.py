"""How far a study is: a bar on a terminal, plain lines elsewhere, nothing where nobody wants to know."""

from __future__ import annotations

import sys
import threading
import time
from typing import Any

LINE_SECONDS = 10.0
TIMED_SECONDS = 1.0  # of steps, before the time left is estimated
LONGEST = 99 * 3600  # seconds that are given as a time


class Progress:
    """Says nothing; `Bar` and `Lines` say more.

    A study calls `begin` for each stage, `cut` when members are stopped for good, `block` before each block,
    `advance` after every step of all its members, or with the member-steps of several steps, `note` once for
    what should be known, `end` after the stage, and `stop` whatever happened. Several threads may call at once.
    """

    def begin(self, stage: str, total: int, done: int) -> None: ...

    def block(self, block: int, seed: int, members: int, ahead: int) -> None: ...

    def advance(self, block: int, members: int, alive: int, steps: int | None = None) -> None: ...

    def cut(self, total: int, stopped: int) -> None:
        """Members have been stopped for good, `stopped` in all; the rest goes on, in blocks yet to be told."""

    def note(self, sentence: str) -> None:
        """What the user should know once."""

    def end(self) -> None: ...

    def stop(self) -> None:
        """The study has ended, or was broken off in the middle of a stage."""


class Lines(Progress):
    """A plain line on standard error every few seconds and at the end of a stage."""

    interval = LINE_SECONDS

    def note(self, sentence: str) -> None:
        print(sentence, file=sys.stderr, flush=True)

    def begin(self, stage: str, total: int, done: int) -> None:
        self.stage, self.total, self.done, self.first = stage, total, done, done
        self.seeds: dict[int, int] = {}
        self.lost: dict[int, int] = {}
        self.members: dict[int, int] = {}
        self.begun = self.said = time.monotonic()
        self.first_step: tuple[float, int] | None = None  # when it was done, and what was done by then
        self.lock, self.stopped = threading.Lock(), 0

    def cut(self, total: int, stopped: int) -> None:
        with self.lock:
            self.total, self.stopped = total, stopped
            self.seeds, self.lost, self.members = {}, {}, {}

    def block(self, block: int, seed: int, members: int, ahead: int) -> None:
        with self.lock:
            self.seeds[block], self.members[block], self.lost[block] = seed, members, 0
            self.done += ahead
            self.first += ahead
            if self.first_step is not None:
                self.first_step = self.first_step[0], self.first_step[1] + ahead

    def advance(self, block: int, members: int, alive: int, steps: int | None = None) -> None:
        with self.lock:
            self.done += members if steps is None else steps
            self.lost[block] = members - alive
            if self.first_step is None:
                self.first_step = time.monotonic(), self.done
            if time.monotonic() - self.said > self.interval:
                self.said = time.monotonic()
                self.say(f"{self.left()} left")

    def end(self) -> None:
        if self.done > self.first:
            self.say(f"done in {_clock(time.monotonic() - self.begun)}")

    def say(self, what: str) -> None:
        print(f"{self.stage}: {self.done / max(1, self.total):.0%}, {self.facts(what)}", file=sys.stderr, flush=True)

    def facts(self, what: str) -> str:
        begun = sum(self.members.values())
        rate = (self.done - self.first) / max(1e-9, time.monotonic() - self.begun)
        alive = f"{begun - sum(self.lost.values())} of {begun} members alive"
        if self.stopped:
            alive += f", {self.stopped} stopped"
        return f"{alive}, {rate:,.0f} member-steps/s, {what}"

    def left(self) -> str:
        """The time left at the speed of the steps after the first, which includes compiling."""
        if self.first_step is None:
            return "?"
        begun, done = self.first_step
        seconds = time.monotonic() - begun
        if self.done == done or seconds < TIMED_SECONDS:
            return "?"
        left = (self.total - self.done) * seconds / (self.done - done)
        return _clock(left) if left <= LONGEST else f"over {LONGEST // 3600} hours"


class Bar(Lines):
    """A progress bar with members alive, member-steps per second and the time left."""

    interval = 0.2
    _bar: Any = None

    def begin(self, stage: str, total: int, done: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TaskProgressColumn, TextColumn
        from rich.progress import Progress as RichProgress

        super().begin(stage, total, done)
        self._bar = RichProgress(
            TextColumn("{task.description:<12}"),
            BarColumn(bar_width=20),
            TaskProgressColumn(),
            TextColumn("{task.fields[facts]}"),
            console=Console(stderr=True),
            refresh_per_second=5,
        )
        self._task: Any = self._bar.add_task(stage, total=total, completed=done, facts="")
        self._bar.start()

    def say(self, what: str) -> None:
        self._bar.update(self._task, total=self.total, completed=self.done, facts=self.facts(what))

    def end(self) -> None:
        self.say(f"{_clock(time.monotonic() - self.begun)}")
        self._bar.stop()

    def stop(self) -> None:
        if self._bar is not None:
            self._bar.stop()


def progress_for(wanted: bool | None) -> Progress:
    """A bar on a terminal or in a notebook, plain lines elsewhere; nothing if `wanted` is False."""
    if wanted is False:
        return Progress()
    return Bar() if sys.stderr.isatty() else Lines()


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
