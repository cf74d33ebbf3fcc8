"""What runs of the user's own take, tried out: a run of each batch size, as far as its second report.

What comes before the first report (imports, data) is not repeated, so two reports say what a whole run takes. A run
that takes longer than a minute is ended after it, at its next report, or, where it is a command, there and then: what
is known then is the least that it takes. Nothing is stored. Read next: `foresee.py`, what follows from it.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Sequence

from ..errors import TrainingError
from ..plan.factors import Setting
from .forecast import RunForecast
from .loops import Loops, train
from .messages import Event, Failed, Job, Passed, Saved, StopFlag, TooLarge
from .portable import portable

ENOUGH = 2  # reports
PATIENCE = 60.0  # seconds


def try_out(loops: Loops) -> list[RunForecast]:
    """A forecast for each batch size.

    Raises:
        TrainingError: a run fails.
    """
    return [_tried(loops, settings) for settings in loops.all.values()]


def _tried(loops: Loops, settings: Sequence[Setting]) -> RunForecast:
    plan, stop = loops.plan, StopFlag()
    job = Job(0, (settings[0],), 0, plan.epochs, until=min(ENOUGH, plan.epochs))
    passes, before, kept = list[Passed](), _peak(), False

    def tell(event: Event) -> None:
        nonlocal kept
        kept = kept or isinstance(event, Saved)
        if isinstance(event, Failed):
            raise TrainingError(f"{event.error}; nothing is stored: repair it, and begin again.") from event.error
        if isinstance(event, TooLarge):
            raise TrainingError(f"a run of {loops.problem.name} does not fit into memory; nothing is stored.")
        if isinstance(event, Passed):
            passes.append(event)

    begun, timer = time.monotonic(), threading.Timer(PATIENCE, stop.set)
    timer.daemon = True
    timer.start()
    try:
        train(job, loops, stop, tell)
    finally:
        timer.cancel()
    each = [one.seconds for one in passes]
    ended = bool(passes) and passes[-1].finished
    cut = stop.is_set() and not ended and len(each) < ENOUGH
    if not each:
        each = [time.monotonic() - begun]
    seconds = sum(each) if ended or cut else each[0] + (plan.epochs - 1) * each[-1]
    at_once = _at_once(loops)
    loops.anew = loops.anew and not kept
    return RunForecast(
        batch_size=plan.level(settings[0], "batch_size"),
        settings=len(settings),
        blocks=len(settings) * plan.seeds,
        step_seconds=seconds / plan.epochs,
        at_least=cut,
        reported=max((len(one.values) for one in passes), default=1),
        at_once=at_once,
        memory=_memory(loops, before, at_once),
    )


def _at_once(loops: Loops) -> int:
    """Runs at the same time: in processes, or commands."""
    return loops.at_once if loops.problem.is_command or portable(loops) is not None else 1


def _memory(loops: Loops, before: int | None, at_once: int) -> int | None:
    """Bytes of so many runs: of processes as large as this one has been, or what this one has grown by. What a command
    takes is not known."""
    after = _peak()
    if before is None or after is None or loops.problem.is_command:
        return None
    return at_once * after if at_once > 1 else after - before


def _peak() -> int | None:
    """The most bytes that this process has had; None where the system does not say."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
