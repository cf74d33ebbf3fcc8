"""What must end: hostile input may not hang whoever gave it.

How long anything takes is for benchmarks to say. A hang is told from a slow machine by a limit far above what any
machine needs, and ends the test instead of the suite.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

import pytest


@contextlib.contextmanager
def no_hang(seconds: int = 60) -> Iterator[None]:
    """Fail when what is done inside has not ended by then."""

    def late(signum: int, frame: FrameType | None) -> None:
        pytest.fail(f"still running after {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
