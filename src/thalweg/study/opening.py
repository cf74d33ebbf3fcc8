"""What is said of a new study, and asked, before anything of it is stored."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..engine.progress import Progress
from ..errors import WorkError
from ..plan.plan import Plan
from ..problem.prepare import Prepared
from .limit import Limit, fitted

if TYPE_CHECKING:
    from ..engine.forecast import Forecast
    from ..engine.pace import Opened

Ask = Callable[["Forecast"], bool]
HOUR = 3600.0  # seconds, from which a study is long
SHORTER = "a time (minutes=30, --minutes 30) plans a study that fits; --dry-run says what takes how long"


def opened(
    planned: Plan,
    ready: Prepared,
    batched: bool | str,
    display: Progress,
    ask: Ask | None = None,
    limit: Limit | None = None,
) -> Opened:
    """Say what a study takes, fit it into its time, and ask before a long one.

    Raises:
        PlanError: there is too little time.
        WorkError: the answer was no.
    """
    from ..engine.batching import decide  # what only training needs is imported when it begins
    from ..engine.forecast import duration
    from ..engine.foresee import foresee
    from ..engine.pace import Opened
    from ..engine.programs import Programs

    programs = Programs(planned, ready)
    programs.train_as(decide(programs, batched))
    would, words = foresee(programs), list[str]()
    if limit is not None:
        programs, would, words = fitted(programs, would, limit)
    for line in (*filter(None, [ready.facts.get("data")]), would.line, *words):
        display.note(line)
    if would.seconds > HOUR and ask is None:
        display.note(f"That is {duration(would.seconds)}: {SHORTER}.")
    elif would.seconds > HOUR and ask is not None and not ask(would):
        raise WorkError(f"nothing was trained, and nothing is stored; {SHORTER}.")
    return Opened(programs, would, words, None if limit is None else limit.end)
