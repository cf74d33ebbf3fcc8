"""What a study would take, before it begins."""

from __future__ import annotations

import inspect
import shlex
from dataclasses import replace
from typing import Any

from ..engine.forecast import Forecast
from ..engine.progress import Progress
from ..errors import PlanError
from ..problem.command import Command
from ..problem.declaration import Problem
from ..problem.loop import Loop
from ..recipe.own import command_line
from .limit import limit_of
from .loops import loop_line
from .opening import opened
from .study import asked, compare


def forecast(problem: Problem | str, **options: Any) -> Forecast:
    """How many runs and steps `tw.compare` would train with these arguments, how, in what time and memory.

    A few steps of each program are tried out on this machine; nothing is stored.

    Args:
        problem, options: as `tw.compare` takes them; with ``minutes`` or ``until`` it is of the plan that fits, and
            the first of its `warnings` says what that leaves out.

    Raises:
        PlanError, ProblemError: the arguments do not fit together.

    >>> would = forecast("breast-cancer", optimizers=["sgd", "adam"], rates=[0.01, 0.1], seeds=2, epochs=2)
    >>> [(stage.name, stage.settings, stage.runs) for stage in would.stages]
    [('search', 8, 16), ('confirmation', 6, 60)]
    """
    would = foreseen(problem, **options)
    if isinstance(would, str):
        raise PlanError(would)
    return would


def foreseen(problem: Problem | Loop | str, **options: Any) -> Forecast | str:
    """As `forecast`; of a training loop of the user's own, or a command, what is known before one has run, in words."""
    given = inspect.signature(compare).bind(problem, **options)
    given.apply_defaults()
    limit = limit_of(given.arguments["minutes"], given.arguments["until"])
    _, planned, ready = asked(given.arguments)
    if isinstance(ready, Loop):
        line = loop_line(planned, ready)
        if not isinstance(ready.train, Command):
            return line
        return f"{line}\nThe first: {shlex.join(command_line(ready.train, planned, planned.settings[0]))}"
    new = opened(planned, ready, given.arguments["batched"], Progress(), lambda would: True, limit)
    return replace(new.would, warnings=(*new.words, *new.would.warnings))
