"""What a study says of the time that is left."""

from __future__ import annotations

import io
import re
import sys
from dataclasses import dataclass
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


@dataclass
class Ahead:
    """What is still to come, as a test says."""

    share: float = 0.0
    left: float | None = None


def begun(ahead: Ahead) -> Lines:
    lines = Lines()
    lines.begin("search", ahead)
    lines.block(0, members=10)
    return lines


@pytest.mark.parametrize(
    ("left", "words"), [(None, "?"), (97.2, "1:37"), (4000.0, "1:06:40"), (1e6, "over 99 hours")], ids=str
)
def test_the_time_left_is_that_of_the_whole_study(left: float | None, words: str, clock: Clock) -> None:
    assert begun(Ahead(left=left)).left() == words


def test_lines_say_how_far_all_is(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    lines = begun(ahead := Ahead(0.01))
    clock.now += 60
    lines.advance(0, 10, 9)
    ahead.share = 0.4
    lines.cut(3)
    lines.begin("confirmation", ahead)
    ahead.share = 0.3  # what was expected has become more
    lines.block(1, members=5)
    clock.now += 20
    lines.advance(1, 5, 5, steps=1000)
    lines.end()
    assert capsys.readouterr().err.splitlines() == [
        "search: 1%, ? left, 10 runs, 1 of them diverged, 0 steps/s",
        "search: 40%, took 1:00, 0 runs, 3 stopped, 0 steps/s",
        "confirmation: 40%, ? left, 5 runs, 50 steps/s",
        "confirmation: 100%, took 0:20, 5 runs, 50 steps/s",
        "done in 1:20",
    ]


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
    bar.begin("search", ahead := Ahead(0.5, 83.0))
    bar.block(0, members=10)
    clock.now += 100
    bar.advance(0, 10, 8, steps=500)
    bar._bar.refresh()
    assert screen.last().startswith("search ")
    assert screen.last().endswith(" 50% 1:23 left, 10 runs, 2 of them diverged, 5 steps/s")
    bar.begin("confirmation", ahead)
    bar.block(1, members=5)
    clock.now += 83
    bar.advance(1, 5, 5, steps=1000)
    bar.end()
    assert screen.last().startswith("confirmation ")
    assert screen.last().endswith("100% done in 3:03, 5 runs, 12 steps/s")
    assert screen.getvalue().count("\n") == 1, "one bar for all parts"


def test_a_notebook_gets_a_bar_below_its_cell(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """In IPython's own shell, as a kernel has it: one display, which is updated in its place."""
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
        ahead = Ahead()
        for stage, done in (("search", 0.2), ("confirmation", 0.7)):
            bar.begin(stage, ahead)
            bar.block(0, members=10)
            clock.now += 2
            ahead.share, ahead.left = done, 5.0
            bar.advance(0, 10, 9, steps=50)
        bar.end()
        bar.stop()
    finally:
        InteractiveShell.clear_instance()
    pages = [(output["update"], output["data"]["text/html"]) for output in publisher.outputs]
    assert [update for update, _ in pages] == [False, True, True, True]
    assert "search" in pages[1][1]
    assert "20%" in pages[1][1]
    assert "0:05 left, 10 runs, 1 of them diverged" in pages[1][1]
    assert "confirmation" in pages[2][1]
    assert "100%" in pages[3][1]
    assert "done in 0:04" in pages[3][1]
    assert len({output["transient"]["display_id"] for output in publisher.outputs}) == 1
    assert isinstance(progress_for(False), progress.Progress)
    assert not progress_for(False).shown
