"""What a study would take, before it begins."""

from __future__ import annotations

import inspect
import shlex
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..engine.forecast import Forecast
from ..engine.progress import Progress
from ..problem.command import Command
from ..problem.declaration import Problem
from ..problem.loop import Loop
from ..recipe.own import command_line
from .limit import limit_of
from .opening import opened
from .study import asked, compare, joined

if TYPE_CHECKING:
    from ..problem.run import Run


def forecast(problem: Problem | Loop | str | Callable[[Run], Any], **options: Any) -> Forecast:
    """How many runs and steps `tw.compare` would train with these arguments, how, in what time and memory.

    A few steps of each program are tried out on this machine, or of runs of your own one as far as its second report,
    for about a minute at most; nothing is stored. With ``cluster`` the workers of that are counted.

    Args:
        problem, options: as `tw.compare` takes them; with ``minutes`` or ``until`` it is of the plan that fits, and
            the first of its `warnings` says what that leaves out.

    Raises:
        PlanError, ProblemError: the arguments do not fit together.

    >>> would = forecast("breast-cancer", optimizers=["sgd", "adam"], rates=[0.01, 0.1], seeds=2, epochs=2)
    >>> [(stage.name, stage.settings, stage.runs) for stage in would.stages]
    [('search', 8, 16), ('confirmation', 6, 60)]
    """
    given = inspect.signature(compare).bind(problem, **options)
    given.apply_defaults()
    limit = limit_of(given.arguments["minutes"], given.arguments["until"])
    batching = {"asked": given.arguments["batched"]}
    _, planned, ready = asked(given.arguments)
    with joined(given.arguments["cluster"]) as workers:
        new = opened(planned, ready, batching, Progress(), lambda would: True, limit, workers)
    first = []
    if isinstance(ready, Loop) and isinstance(ready.train, Command):
        first = [f"The first: {shlex.join(command_line(ready.train, planned, planned.settings[0]))}"]
    return replace(new.would, warnings=(*new.words, *first, *new.would.warnings))
