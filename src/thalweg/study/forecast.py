"""What a study would take, before it begins."""

from __future__ import annotations

import inspect
from typing import Any

from ..engine.batching import AUTO
from ..engine.forecast import Forecast
from ..engine.forecast import forecast as foreseen
from ..problem.declaration import Problem
from .study import asked, compare


def forecast(problem: Problem | str, **options: Any) -> Forecast:
    """How many runs and steps `tw.compare` would train with these arguments, how, in what time and memory.

    A few steps of each program are tried out on this machine; nothing is stored.

    Args:
        problem, options: as `tw.compare` takes them.

    Raises:
        PlanError, ProblemError: the arguments do not fit together.

    >>> would = forecast("breast-cancer", optimizers=["sgd", "adam"], rates=[0.01, 0.1], seeds=2, epochs=2)
    >>> [(stage.name, stage.settings, stage.runs) for stage in would.stages]
    [('search', 8, 16), ('confirmation', 6, 60)]
    """
    given = inspect.signature(compare).bind(problem, **options)
    given.apply_defaults()
    _, planned, ready = asked(given.arguments)
    return foreseen(planned, ready, given.arguments.get("batched", AUTO))
