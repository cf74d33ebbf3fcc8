"""What `compare` makes of a training loop of the user's own: its plan, and what the store notes of it."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from ..errors import PlanError
from ..plan.plan import Plan, plan
from ..problem.loop import Loop

# arguments of `compare` that act on what only a `tw.Problem` has
_UNKNOWN = {
    "losses": "its loss is its own: give each as one of hyperparameters, and read it from run.hyperparameters",
    "regularizers": "its steps are its own: give each as one of hyperparameters, and read it from run.hyperparameters",
    "groups": "its model is its own: give run.optimizer groups of parameters",
    "minutes": "what a run takes is not known before one has run; give fewer settings, or budget='halving'",
    "until": "what a run takes is not known before one has run; give fewer settings, or budget='halving'",
    "folds": "its data are its own: give folds as one of hyperparameters, and read it from run.hyperparameters",
}


def loop_plan(given: Mapping[str, Any], loop: Loop) -> Plan:
    """The plan that the arguments of `compare`, by name, ask for.

    Raises:
        PlanError: one of them acts on a loss, data or a model, which are not known.
    """
    for name, reason in _UNKNOWN.items():
        if given.get(name) is not None:
            raise PlanError(f"{name} is given, and {loop.name} is a training loop of your own: {reason}.")
    if given["batched"] not in ("auto", False):
        raise PlanError(
            f"batched is {given['batched']!r}, and runs of {loop.name}, a training loop of your own, are trained one "
            "by one; leave it out."
        )
    names = [name for name in inspect.signature(plan).parameters if name in given]
    return plan(schedule_names=given["schedules"], own=True, **{name: given[name] for name in names})


def loop_facts(loop: Loop) -> dict[str, Any]:
    """What a store notes of it, where it has model and data of a problem."""
    return {
        "name": loop.name,
        "kind": loop.kind,
        "spec": loop.spec,
        "fingerprint": loop.fingerprint,
        "loss": "",
        "metrics": [],
        "text": loop.text,
        "loop": True,
    }


def loop_line(planned: Plan, loop: Loop) -> str:
    """What opens its study."""
    runs = f"{planned.runs:,} runs of {planned.epochs:,} epochs for the search"
    return f"{loop.name}: {runs}; what a run of a training loop of your own takes is known once one has run."
