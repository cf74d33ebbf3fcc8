"""How far a study is: a bar on a terminal or in a notebook, plain lines elsewhere, or nothing."""

from __future__ import annotations

import sys
import threading
import time
from typing import Any

from ..language import say

LINE_SECONDS = 10.0
TIMED_SECONDS = 1.0  # of steps, before the time left is estimated
LONGEST = 99 * 3600  # seconds that are given as a time


class Progress:
    """Says nothing; `Bar` and `Lines` say more.

    A study calls `begin` for each stage, `cut` when members are stopped for good, `block` before each block,
    `advance` after every step of all its members, or with the member-steps of several steps, `note` once for
    what should be known, `end` after the stage, and `stop` whatever happened. Several threads may call at once.
    """

    shown = False

    def begin(self, stage: str, total: int, done: int) -> None: ...

    def block(self, block: int, seed: int, members: int, ahead: int) -> None: ...

    def advance(self, block: int, members: int, alive: int, steps: int | None = None) -> None: ...

    def cut(self, total: int, stopped: int) -> None:
        """Members have been stopped for good, `stopped` in all; the rest goes on, in blocks yet to come."""

    def note(self, sentence: str) -> None:
        """What the user should know once."""

    def end(self) -> None: ...

    def stop(self) -> None:
        """The study has ended, or was broken off in the middle of a stage."""


class Lines(Progress):
    """A plain line on standard error every few seconds and at the end of a stage."""

    shown = True
    interval = LINE_SECONDS

    def note(self, sentence: str) -> None:
        print(sentence, file=sys.stderr, flush=True)

    def begin(self, stage: str, total: int, done: int) -> None:
        self.stage, self.total, self.steps, self.first = say(stage), total, done, done
        self.members: dict[int, int] = {}
        self.diverged: dict[int, int] = {}
        self.start = self.last_line = time.monotonic()
        self.first_step: tuple[float, int] | None = None  # when it was done, and the steps done by then
        self.lock, self.stopped = threading.Lock(), 0

    def cut(self, total: int, stopped: int) -> None:
        with self.lock:
            self.total, self.stopped = total, stopped
            self.members, self.diverged = {}, {}

    def block(self, block: int, seed: int, members: int, ahead: int) -> None:
        with self.lock:
            self.members[block], self.diverged[block] = members, 0
            self.steps += ahead
            self.first += ahead
            if self.first_step is not None:
                self.first_step = self.first_step[0], self.first_step[1] + ahead

    def advance(self, block: int, members: int, alive: int, steps: int | None = None) -> None:
        with self.lock:
            self.steps += members if steps is None else steps
            self.diverged[block] = members - alive
            if self.first_step is None:
                self.first_step = time.monotonic(), self.steps
            if time.monotonic() - self.last_line > self.interval:
                self.last_line = time.monotonic()
                self.say(say("{time} left", time=self.left()))

    def end(self) -> None:
        if self.steps > self.first:
            self.say(say("done in {time}", time=_clock(time.monotonic() - self.start)))

    def say(self, what: str) -> None:
        print(f"{self.stage}: {self.steps / max(1, self.total):.0%}, {self.facts(what)}", file=sys.stderr, flush=True)

    def facts(self, what: str) -> str:
        members, diverged = sum(self.members.values()), sum(self.diverged.values())
        rate = (self.steps - self.first) / max(1e-9, time.monotonic() - self.start)
        stopped = say(", {count} stopped", count=self.stopped) if self.stopped else ""
        return say(
            "{alive} of {members} members alive{stopped}, {rate:,.0f} member-steps/s, {what}",
            alive=members - diverged,
            members=members,
            stopped=stopped,
            rate=rate,
            what=what,
        )

    def left(self) -> str:
        """The time left at the speed of the steps after the first, which includes compiling."""
        if self.first_step is None:
            return "?"
        start, steps = self.first_step
        seconds = time.monotonic() - start
        if self.steps == steps or seconds < TIMED_SECONDS:
            return "?"
        rest = (self.total - self.steps) * seconds / (self.steps - steps)
        return _clock(rest) if rest <= LONGEST else say("over {hours} hours", hours=LONGEST // 3600)


class Bar(Lines):
    """A progress bar with members alive, member-steps per second and the time left."""

    interval = 0.2
    _bar: Any = None

    def begin(self, stage: str, total: int, done: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TaskProgressColumn, TextColumn
        from rich.progress import Progress as RichProgress

        super().begin(stage, total, done)
        stage_column, facts_column = TextColumn("{task.description:<12}"), TextColumn("{task.fields[facts]}")
        columns = (stage_column, BarColumn(bar_width=20), TaskProgressColumn(), facts_column)
        self._bar = RichProgress(*columns, console=Console(stderr=True), refresh_per_second=5)
        self._task: Any = self._bar.add_task(self.stage, total=total, completed=done, facts="")
        self._bar.start()

    def say(self, what: str) -> None:
        self._bar.update(self._task, total=self.total, completed=self.steps, facts=self.facts(what))

    def end(self) -> None:
        self.say(f"{_clock(time.monotonic() - self.start)}")
        self._bar.stop()

    def stop(self) -> None:
        if self._bar is not None:
            self._bar.stop()


class Notebook(Lines):
    """A bar below a notebook's cell, one for each stage."""

    interval = 0.5

    def note(self, sentence: str) -> None:
        print(sentence)  # not on standard error, which notebooks show as if something were wrong

    def begin(self, stage: str, total: int, done: int) -> None:
        from IPython.display import display

        super().begin(stage, total, done)
        self._cell: Any = display(self._page(""), display_id=True)

    def say(self, what: str) -> None:
        self._cell.update(self._page(self.facts(what)))

    def _page(self, facts: str) -> Any:
        from IPython.display import HTML

        share = min(1.0, self.steps / max(1, self.total))
        return HTML(
            f'<div style="display:flex;gap:1ch;align-items:center"><span style="min-width:12ch">{self.stage}</span>'
            f'<progress value="{share:.4f}" style="width:20ch">{share:.0%}</progress>'
            f'<span style="min-width:4ch">{share:.0%}</span><span style="opacity:.7">{facts}</span></div>'
        )


def in_notebook() -> bool:
    """Whether what is displayed appears below a cell."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return getattr(shell, "kernel", None) is not None


def progress_for(shown: bool | None) -> Progress:
    """A bar on a terminal or in a notebook, plain lines elsewhere; nothing if `shown` is False."""
    if shown is False:
        return Progress()
    if in_notebook():
        return Notebook()
    return Bar() if sys.stderr.isatty() else Lines()


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
