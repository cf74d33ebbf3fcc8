"""How far a study is: a bar on a terminal or in a notebook, plain lines elsewhere, or nothing."""

from __future__ import annotations

import sys
import threading
import time
from typing import Any, Protocol

from ..language import say, tell

LINE_SECONDS = 10.0
LONGEST = 99 * 3600  # seconds that are given as a time


class Ahead(Protocol):
    """What is still to come of a study."""

    @property
    def share(self) -> float:
        """Of its time that is over."""
        ...

    @property
    def left(self) -> float | None:
        """Seconds; None where nothing is known yet."""
        ...


class Progress:
    """Says nothing; `Bar` and `Lines` say more.

    A study calls `begin` for each part, `cut` when members are stopped for good, `block` before each block,
    `advance` after every step of all its members, or with the member-steps of several steps, `note` once for
    what should be known, `end` after the last part, and `stop` whatever happened. Several threads may call at once.
    """

    shown = False

    def begin(self, part: str, ahead: Ahead) -> None: ...

    def block(self, block: int, members: int) -> None: ...

    def advance(self, block: int, members: int, alive: int, steps: int | None = None) -> None: ...

    def cut(self, stopped: int) -> None:
        """Members have been stopped for good, so many in all; the rest goes on, in blocks yet to come."""

    def note(self, sentence: str) -> None:
        """What the user should know once."""

    def end(self) -> None:
        """The study is complete."""

    def stop(self) -> None:
        """The study has ended, or was broken off in the middle."""


class Lines(Progress):
    """A plain line on standard error every few seconds, and at the end of a part."""

    shown = True
    interval = LINE_SECONDS

    def __init__(self) -> None:
        self.part, self.share = "", 0.0
        self.lock = threading.Lock()

    def note(self, sentence: str) -> None:
        tell(sentence)

    def begin(self, part: str, ahead: Ahead) -> None:
        now = time.monotonic()
        if not self.part:
            self.start = now
        self.changed(now)
        self.part, self.ahead = say(part), ahead
        self.begun = self.last_line = now
        self.members: dict[int, int] = {}
        self.diverged: dict[int, int] = {}
        self.steps = self.stopped = 0

    def changed(self, now: float) -> None:
        """A part has ended, unless there was none."""
        if self.part and self.steps:
            self.show(say("took {time}", time=_clock(now - self.begun)))

    def cut(self, stopped: int) -> None:
        with self.lock:
            self.stopped = stopped
            self.members, self.diverged = {}, {}

    def block(self, block: int, members: int) -> None:
        with self.lock:
            self.members[block], self.diverged[block] = members, 0

    def advance(self, block: int, members: int, alive: int, steps: int | None = None) -> None:
        with self.lock:
            self.steps += members if steps is None else steps
            self.diverged[block] = members - alive
            if time.monotonic() - self.last_line > self.interval:
                self.last_line = time.monotonic()
                self.show(say("{time} left", time=self.left()))

    def end(self) -> None:
        if self.part:
            now, self.share = time.monotonic(), 1.0
            self.changed(now)
            print(say("done in {time}", time=_clock(now - self.start)), file=sys.stderr, flush=True)

    def show(self, time: str) -> None:
        print(f"{self.part}: {self.done():.0%}, {time}, {self.facts()}", file=sys.stderr, flush=True)

    def done(self) -> float:
        """The share of the study that is done, which never falls."""
        self.share = max(self.share, min(1.0, self.ahead.share))
        return self.share

    def facts(self) -> str:
        members, diverged = sum(self.members.values()), sum(self.diverged.values())
        facts = [say("{count:,} runs", count=members)]
        facts += [say("{count:,} of them diverged", count=diverged)] if diverged else []
        facts += [say("{count:,} stopped", count=self.stopped)] if self.stopped else []
        rate = self.steps / max(1e-9, time.monotonic() - self.begun)
        return ", ".join([*facts, say("{rate:,.0f} steps/s", rate=rate)])

    def left(self) -> str:
        """The time that the whole study still takes."""
        seconds = self.ahead.left
        if seconds is None:
            return "?"
        return _clock(seconds) if seconds <= LONGEST else say("over {hours} hours", hours=LONGEST // 3600)


class _OneBar(Lines):
    """One bar over all parts: the share of the study that is done, the time left, and what the present part does."""

    def changed(self, now: float) -> None:
        """The bar goes on."""

    def end(self) -> None:
        if self.part:
            self.share = 1.0
            self.show(say("done in {time}", time=_clock(time.monotonic() - self.start)))


class Bar(_OneBar):
    """A bar on a terminal."""

    interval = 0.2
    _bar: Any = None

    def begin(self, part: str, ahead: Ahead) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TaskProgressColumn, TextColumn
        from rich.progress import Progress as RichProgress
        from rich.table import Column

        super().begin(part, ahead)
        if self._bar is None:
            facts = TextColumn("{task.fields[facts]}", table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1))
            columns = (TextColumn("{task.description:<12}"), BarColumn(bar_width=20), TaskProgressColumn(), facts)
            self._bar = RichProgress(*columns, console=Console(stderr=True), refresh_per_second=5, expand=True)
            self._task: Any = self._bar.add_task(self.part, total=1.0, facts="")
            self._bar.start()
        self._bar.update(self._task, description=self.part)

    def show(self, time: str) -> None:
        self._bar.update(self._task, completed=self.done(), facts=f"{time}, {self.facts()}")

    def end(self) -> None:
        super().end()
        self.stop()

    def stop(self) -> None:
        if self._bar is not None:
            self._bar.stop()


class Notebook(_OneBar):
    """A bar below a notebook's cell."""

    interval = 0.5
    _cell: Any = None

    def note(self, sentence: str) -> None:
        print(sentence)  # not on standard error, which notebooks show as if something were wrong

    def begin(self, part: str, ahead: Ahead) -> None:
        from IPython.display import display

        super().begin(part, ahead)
        if self._cell is None:
            self._cell = display(self._page(""), display_id=True)

    def show(self, time: str) -> None:
        self._cell.update(self._page(f"{time}, {self.facts()}"))

    def _page(self, facts: str) -> Any:
        from IPython.display import HTML

        share = self.done()
        return HTML(
            f'<div style="display:flex;gap:1ch;align-items:center"><span style="min-width:12ch">{self.part}</span>'
            f'<progress value="{share:.4f}" style="width:20ch">{share:.0%}</progress>'
            f'<span style="min-width:4ch">{share:.0%}</span><span style="opacity:.7">{facts}</span></div>'
        )


def in_notebook() -> bool:
    """Whether what is displayed appears below a cell."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return getattr(shell, "kernel", None) is not None


def progress_for(shown: bool | Progress | None) -> Progress:
    """A bar on a terminal or in a notebook, plain lines elsewhere; nothing if `shown` is False; or the one given."""
    if isinstance(shown, Progress):
        return shown
    if shown is False:
        return Progress()
    if in_notebook():
        return Notebook()
    return Bar() if sys.stderr.isatty() else Lines()


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
