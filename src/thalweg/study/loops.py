"""What `compare` makes of a training loop of the user's own: its plan, and what the store notes of it."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from ..errors import PlanError
from ..formulas.registry import word
from ..plan.factors import shown
from ..plan.plan import Plan, plan
from ..problem.code import code_of
from ..problem.command import PLACES, Command
from ..problem.loop import Loop
from ..problem.printed import base_of
from ..unknown import unknown

# arguments of `compare` that act on what only a `tw.Problem` has
_UNKNOWN = {
    "losses": "its loss is its own: give each as one of hyperparameters, and read it from run.hyperparameters",
    "regularizers": "its steps are its own: give each as one of hyperparameters, and read it from run.hyperparameters",
    "models": "its model is its own: give each as one of hyperparameters, and read it from run.hyperparameters",
    "groups": "its model is its own: give run.optimizer groups of parameters",
    "folds": "its data are its own: give folds as one of hyperparameters, and read it from run.hyperparameters",
}


def loop_plan(given: Mapping[str, Any], loop: Loop) -> Plan:
    """The plan that the arguments of `compare`, by name, ask for.

    Raises:
        PlanError: one of them acts on a loss, data or a model, which are not known.
    """
    if isinstance(loop.train, Command):
        given = _of_command(given, loop.train)
    for name, reason in _UNKNOWN.items():
        if given.get(name) is not None:
            raise PlanError(f"{name} is given, and {loop.name} is {loop.what}: {reason}.")
    if given["batched"] not in ("auto", "alone", False):
        raise PlanError(
            "batched is {given}, and runs of {loop}, {what}, are trained one by one; leave it out.",
            given=repr(given["batched"]),
            loop=loop.name,
            what=loop.what,
        )
    names = [name for name in inspect.signature(plan).parameters if name in given]
    planned = plan(schedule_names=given["schedules"], own=True, **{name: given[name] for name in names})
    if isinstance(loop.train, Command):
        _check_places(planned, loop.train)
    return planned


def _of_command(given: Mapping[str, Any], made: Command) -> dict[str, Any]:
    """The arguments, of which those that a command is not told have one level: its optimizers are words."""
    names = given["optimizers"]
    if names is None and "optimizer" in made.places:
        raise PlanError("the command is told {optimizer}; give the words for it as optimizers.")
    names = [made.name] if names is None else [names] if isinstance(names, str) else names
    if odd := [name for name in names if not isinstance(name, str)]:
        raise PlanError(
            "a command is told words, and {odd} is none; give optimizers as the command names them.", odd=repr(odd[0])
        )
    values = {**given, "optimizers": [word(name) for name in names]}
    if "schedule" not in made.places and tuple(given["schedules"]) == ("constant", "cosine"):  # nobody asked for them
        values["schedules"] = ["constant"]
    if given["by_metric"] == "loss":
        metric, colon, direction = made.metric.partition(":")
        values["by_metric"] = base_of(metric) + colon + direction
    return values


def _check_places(planned: Plan, made: Command) -> None:
    """Refuse what is varied and not told, and places that nothing fills."""
    for factor in planned.factors:
        if factor.varied and factor.name not in made.places:
            levels = ", ".join(map(shown, factor.levels[:3])) + ", …" * (len(factor.levels) > 3)
            raise PlanError(
                "the command does not say {{{factor}}}, so {many} {levels} would be trained alike; write it "
                "where the command takes it, or give one.",
                factor=factor.name,
                many=factor.kind.many,
                levels=levels,
            )
    known = [*PLACES, *(f.name for f in planned.hyperparameters)]
    if odd := [name for name in sorted(made.places) if name not in known]:
        words = unknown("word that a command is told", f"{{{odd[0]}}}", known).rstrip(".")
        raise PlanError(f"{words}; give the values of one of its own as hyperparameters ({odd[0]}=…).")


def loop_facts(loop: Loop) -> dict[str, Any]:
    """What a store notes of it, where it has model and data of a problem."""
    return {
        "name": loop.name,
        "kind": loop.kind,
        "spec": loop.spec,
        "fingerprint": loop.fingerprint,
        "code": "" if loop.is_command else code_of(loop.train),
        "loss": "",
        "metrics": [],
        "text": loop.text,
        "loop": True,
    }
