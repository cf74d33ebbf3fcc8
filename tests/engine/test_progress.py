"""What a study says of the time that is left."""

from __future__ import annotations

import io
import re
import sys
from types import SimpleNamespace

import pytest

from thalweg.engine import progress
from thalweg.engine.progress import Bar, Lines, progress_for


class Clock:
    """Stands in for `time.monotonic`."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=clock))
    return clock


def begun(total: int = 1000, done: int = 0) -> Lines:
    lines = Lines()
    lines.begin("search", total, done)
    lines.block(0, seed=0, members=10, ahead=0)
    return lines


def test_no_time_is_given_before_steps_were_timed_and_compiling_does_not_count(clock: Clock) -> None:
    lines = begun()
    assert lines.left() == "?"
    clock.now += 300  # the first step is compiled
    lines.advance(0, 10, 10)
    assert lines.left() == "?"
    clock.now += 0.1
    lines.advance(0, 10, 10)
    assert lines.left() == "?"  # too short a time to say
    clock.now += 1.9
    lines.advance(0, 10, 10)
    assert lines.left() == "1:37"  # 970 at 10 a second


def test_steps_of_before_are_not_timed(clock: Clock) -> None:
    lines = begun(done=500)
    lines.advance(0, 10, 10)
    lines.block(1, seed=0, members=10, ahead=300)
    clock.now += 10
    lines.advance(1, 10, 10)
    assert lines.left() == "3:00"  # 180 at 1 a second


def test_no_time_is_given_that_nobody_can_wait_for(clock: Clock) -> None:
    lines = begun(total=10_000_000)
    lines.advance(0, 10, 10)
    clock.now += 10
    lines.advance(0, 10, 10)
    assert lines.left() == "over 99 hours"


def test_lines_say_that_the_time_is_unknown(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    lines = begun()
    clock.now += 60
    lines.advance(0, 10, 9)
    assert capsys.readouterr().err == "search: 1%, 9 of 10 members alive, 0 member-steps/s, ? left\n"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True

    def last(self) -> str:
        """The last line, without colours."""
        return re.sub(r"\x1b\[[\d;?]*\w", "", self.getvalue()).strip().splitlines()[-1]


def test_a_terminal_gets_a_bar_that_ends_with_the_time(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr(sys, "stderr", screen := Terminal())
    bar = progress_for(None)
    assert isinstance(bar, Bar)
    bar.stop()  # before it began, which says nothing
    assert screen.getvalue() == ""
    bar.begin("search", 1000, 0)
    bar.block(0, seed=0, members=10, ahead=0)
    clock.now += 100
    bar.advance(0, 10, 8, steps=500)
    bar.stop()
    assert screen.last().endswith(" 50% 8 of 10 members alive, 5 member-steps/s, ? left")
    bar.begin("confirmation", 1000, 0)
    bar.block(1, seed=0, members=5, ahead=0)
    clock.now += 83
    bar.advance(1, 5, 5, steps=1000)
    bar.end()
    assert screen.last().startswith("confirmation ")
    assert screen.last().endswith("100% 5 of 5 members alive, 12 member-steps/s, 1:23")


def test_a_notebook_gets_a_bar_below_its_cell(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """In IPython's own shell, as a kernel has it: one display for each stage, which is updated in its place."""
    from IPython.core.displaypub import CapturingDisplayPublisher
    from IPython.core.interactiveshell import InteractiveShell

    assert not isinstance(progress_for(None), progress.Notebook)
    shell = InteractiveShell.instance()
    try:
        assert not isinstance(progress_for(None), progress.Notebook)  # IPython on a terminal
        shell.kernel = object()
        shell.display_pub = publisher = CapturingDisplayPublisher(parent=shell)
        bar = progress_for(None)
        assert isinstance(bar, progress.Notebook)
        for stage in ("search", "confirmation"):
            bar.begin(stage, 100, 0)
            bar.block(0, seed=0, members=10, ahead=0)
            clock.now += 2
            bar.advance(0, 10, 9, steps=50)
            clock.now += 2
            bar.advance(0, 10, 9, steps=50)
            bar.end()
        bar.stop()
    finally:
        InteractiveShell.clear_instance()
    pages = [(output["update"], output["data"]["text/html"]) for output in publisher.outputs]
    assert [update for update, _ in pages] == [False, True, True, True] * 2
    assert "search" in pages[0][1]
    assert "50%" in pages[1][1]
    assert "9 of 10 members alive" in pages[1][1]
    assert "100%" in pages[3][1]
    assert "done in 0:04" in pages[3][1]
    assert "confirmation" in pages[4][1]
    assert len({output["transient"]["display_id"] for output in publisher.outputs}) == 2
    assert isinstance(progress_for(False), progress.Progress)
    assert not progress_for(False).shown
