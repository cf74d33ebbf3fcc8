"""What a finished study trains again, of the settings that it chose.

A store keeps what runs were worth, and not their weights, so models are trained anew, from the same problem.
Read next: `bagging.py`, `boosting.py`.
"""

from __future__ import annotations

from ..engine.programs import Programs
from ..errors import PlanError
from ..problem.declaration import Problem
from ..results import Results
from ..unknown import unknown
from .bagging import averaged_members
from .bias_variance import BiasVariance, taken_apart
from .boosting import boosted
from .ensemble import Ensemble

KINDS = ("bagging", "boosting", "seeds")


def ensemble(
    results: Results, kind: str, members: int, optimizer: str | None, problem: Problem | str | None
) -> Ensemble:
    """As `Study.ensemble`."""
    if kind not in KINDS:
        raise PlanError(unknown("kind of ensemble", str(kind), KINDS))
    setting = results.chosen(optimizer)
    _, ready = results.to_train(problem)
    programs = Programs(results.judged_plan.anywhere, ready)
    if kind != "boosting":
        return averaged_members(programs, setting, kind, members)
    every = [entry.setting for entry in results.verdict.entries]
    return boosted(programs, [setting] if optimizer is not None else every, members)


def bias_variance(results: Results, members: int, noise: float | None, problem: Problem | str | None) -> BiasVariance:
    """As `Study.bias_variance`."""
    plan, ready = results.to_train(problem)
    programs = Programs(plan.anywhere, ready)
    return taken_apart(programs, programs.plan.settings, members, noise)
