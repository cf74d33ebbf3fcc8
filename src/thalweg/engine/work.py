"""A job to its end, whatever it is of: a block of a problem's members, or a run of a loop of the user's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import loops
from .block_run import train
from .members import Members
from .messages import Event, Job
from .programs import Programs


def work(job: Job, members: Members, stop: Any, tell: Callable[[Event], None]) -> None:
    """Train, and tell each event of it.

    Args:
        stop: whose `is_set` says whether to stop.
    """
    if isinstance(members, Programs):
        for event in train(job, members, stop):
            tell(event)
    else:
        loops.train(job, members, stop, tell)
