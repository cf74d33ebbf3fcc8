"""What is said of a new study, and asked, before anything of it is stored."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ..engine.progress import Progress
from ..errors import WorkError
from ..language import mark, say
from ..plan.plan import Plan
from ..problem.loop import Loop
from ..problem.prepare import Prepared
from .limit import Limit, fitted

if TYPE_CHECKING:
    from ..engine.cluster import Cluster
    from ..engine.forecast import Forecast
    from ..engine.pace import Opened

Ask = Callable[["Forecast"], bool]
HOUR = 3600.0  # seconds, from which a study is long
SHORTER = mark("a time (minutes=30, --minutes 30) plans a study that fits; --dry-run says what takes how long")


def opened(
    planned: Plan,
    ready: Prepared | Loop,
    batching: Mapping[str, Any],
    display: Progress,
    ask: Ask | None = None,
    limit: Limit | None = None,
    cluster: Cluster | None = None,
) -> Opened:
    """Say what a study takes, fit it into its time, and ask before a long one.

    Raises:
        PlanError: there is too little time.
        WorkError: the answer was no, or the cluster lacks the device.
    """
    from ..engine.batching import decide, ways_of  # what only training needs is imported when it begins
    from ..engine.forecast import duration
    from ..engine.foresee import foresee
    from ..engine.loops import Loops
    from ..engine.pace import Opened
    from ..engine.programs import Programs

    if isinstance(ready, Loop):
        display.note(say("A run of {name} is tried out first.", name=ready.name))
        members, data = Loops(planned, ready), None
    else:
        members, data = Programs(planned, ready), ready.facts.get("data")
        members.train_as(ways_of(batching) or decide(members, batching["asked"]))
    if cluster is not None:
        members.workers = cluster.on(planned.device)
    would, words = foresee(members), list[str]()
    if limit is not None:
        members, would, words = fitted(members, would, limit)
    for line in (*filter(None, [data]), would.line, *words):
        display.note(line)
    if would.seconds > HOUR and ask is None:
        display.note(say("That is {time}: {shorter}.", time=duration(would.seconds), shorter=SHORTER))
    elif would.seconds > HOUR and ask is not None and not ask(would):
        raise WorkError("nothing was trained, and nothing is stored; {shorter}.", shorter=SHORTER)
    return Opened(members, would, words, None if limit is None else limit.end)
