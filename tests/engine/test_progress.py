"""What a study says of the time that is left."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from thalweg.engine import progress
from thalweg.engine.progress import Lines


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
