"""The hyperparameters of a plan's optimizers, the rate apart: those that vary, and those left at their defaults."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from .. import schedules
from ..errors import PlanError, UsageError
from ..formulas import Formula
from ..formulas.registry import elsewhere
from ..numbers import rounded
from ..unknown import unknown
from .factors import FIXED, Factor, factor, hyperparameter
from .folds import FOLD

# Columns of the table of members, which no hyperparameter may be called.
COLUMNS = {*(kind.name for kind in FIXED), "member", "stage", "seed", FOLD, "status", "step"}
# Arguments of `tw.optim` that a study has as regularizers.
CLIPPING = {
    "max_norm": "Clipping is a regularizer: clip_norm(1).",
    "clip_value": "Clipping is a regularizer: clip_value(1).",
}


def varied_by(
    rules: Mapping[str, Formula], levels: Mapping[str, Sequence[Any]] | None, own: bool = False
) -> list[Factor]:
    """A factor for each, applying to the formulas that have it.

    Args:
        own: whether one that no formula has is the training loop's, and applies to all.
    """
    if not isinstance(levels, Mapping | None):
        raise PlanError(
            "hyperparameters must map names to values, e.g. {{'beta2': [0.99, 0.999]}}, not {levels}.",
            levels=repr(levels),
        )
    factors = []
    for name, values in (levels or {}).items():
        if name == "lr":
            raise PlanError("hyperparameters names lr; give its values as rates.")
        if name in COLUMNS:
            raise PlanError(
                "{name} is a column of the study's table; give that hyperparameter another name.", name=repr(name)
            )
        labels = tuple(label for label, rule in rules.items() if name in rule.arguments)
        if not labels and own:
            factors.append(replace(factor(hyperparameter(name), values), only=tuple(rules)))
            continue
        if not labels:
            names = dict.fromkeys(n for rule in rules.values() for n in rule.arguments if n != "lr")
            words = unknown("hyperparameter of these optimizers", str(name), names)
            hint = next(filter(None, (elsewhere(rule, {name: None}) for rule in rules.values())), "")
            raise PlanError(f"{words} {CLIPPING[name]}" if name in CLIPPING else words + hint)
        for label in labels:
            if name in dict(rules[label].changed):
                raise PlanError(
                    "{label} sets {name}, and hyperparameters varies it; name it {name2}, or leave {name} out "
                    "of hyperparameters.",
                    label=label,
                    name=name,
                    name2=rules[label].name,
                )
        varied = replace(factor(hyperparameter(name), values), only=labels)
        for label, value in itertools.product(labels, varied.levels):
            rules[label].with_(**{name: value})  # refuses a value of the wrong kind
        factors.append(varied)
    return factors


def accepted(rule: Formula, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the changes that the formula has."""
    return {name: value for name, value in changes.items() if name in rule.arguments}


def defaults_of(rules: Mapping[str, Formula], factors: Sequence[Factor]) -> dict[str, dict[str, Any]]:
    """Each formula's own rate, and its values of what varies and it has."""
    varied = [f for f in factors if f.varied]
    names = {label: ("lr", *(f.name for f in varied if label in (f.only or ()))) for label in rules}
    return {
        label: {n: rule.arguments[n] for n in names[label] if n in rule.arguments}
        for label, rule in rules.items()
        if rule.hyperparameters["lr"] > 0
    }


def at_defaults(
    rules: Mapping[str, Formula], factors: Sequence[Factor], compared: Mapping[str, schedules.Schedule]
) -> dict[str, list[str]]:
    """The numbers of each formula's equations that nothing varies or sets: no factor, schedule or argument of its own.

    >>> from thalweg import formulas
    >>> at_defaults({"adam(beta2=0.99)": formulas.get("adam(beta2=0.99)")}, [], {})
    {'adam(beta2=0.99)': ['beta1', 'eps', 'weight_decay']}
    """
    names = {label: {"lr", *dict(rule.changed)} for label, rule in rules.items()}
    for label, rule in rules.items():
        names[label] |= {f.name for f in factors if label in (f.only or ())}
        names[label] |= {name for one in compared.values() for name in one.on(rule.hyperparameters)}
    return {label: [n for n in rule.hyperparameters if n not in names[label]] for label, rule in rules.items()}


DECAY, MOMENTA = "weight_decay", ("momentum", "beta1")  # what the literature finds to decide beside the rate
_EPOCHS, _LONG = 10**6, 10**9  # and steps, within which every schedule comes to its end
TRIED = 2  # settings, as in a round of finer rates


def others(usual: Mapping[str, float]) -> list[tuple[str, float]]:
    """What is tried in place of an optimizer's usual values: a weight decay of 0.001, or of ten times as much as usual,
    and a momentum whose memory is half as long; where it has no momentum, ten times that weight decay.

    >>> others({"weight_decay": 0.01, "beta1": 0.9}), others({"weight_decay": 0.0})
    ([('weight_decay', 0.1), ('beta1', 0.8)], [('weight_decay', 0.001), ('weight_decay', 0.01)])
    """
    decay = 10 * usual[DECAY] or 1e-3 if DECAY in usual else None
    decays = [] if decay is None else [(DECAY, decay), (DECAY, 10 * decay)]
    momenta = [(name, 2 * usual[name] - 1) for name in MOMENTA if usual.get(name, 0) > 0.5]
    return [(name, rounded(value)) for name, value in [*decays[:1], *momenta, *decays[1:]][:TRIED]]


def tuned_beside(
    rules: Mapping[str, Formula], factors: Sequence[Factor], compared: Mapping[str, schedules.Schedule]
) -> list[Factor]:
    """The hyperparameters of which other values are tried around each best rate, where nothing else varies them."""
    names = at_defaults(rules, factors, compared)
    usual: dict[str, dict[str, float]] = {}
    for label, rule in rules.items():
        numbers = {n: rule.hyperparameters[n] for n in (DECAY, *MOMENTA) if n in names[label]}
        numbers = {n: float(v) for n, v in numbers.items() if isinstance(v, int | float)}
        for name in dict.fromkeys(name for name, value in others(numbers) if _allowed(rule, name, value)):
            usual.setdefault(name, {})[label] = numbers[name]
    result = []
    for name, values in usual.items():
        levels = dict.fromkeys(values.values())
        of_all = ({n: at[label] for n, at in usual.items() if label in at} for label in values)
        levels |= dict.fromkeys(value for one in of_all for n, value in others(one) if n == name)
        result.append(replace(factor(hyperparameter(name), list(levels)), only=tuple(values), usual=values))
    return result


def _allowed(rule: Formula, name: str, value: float) -> bool:
    try:
        rule.with_(**{name: value})
    except UsageError:
        return False
    return True


def check_scheduled(compared: Iterable[schedules.Schedule], rules: Iterable[Formula]) -> None:
    """Each hyperparameter that is scheduled must be of one of the optimizers, and begin and end within its range."""
    every = list(rules)
    names = {name for rule in every for name in rule.hyperparameters}
    for schedule in compared:
        schedule.on(names)  # refuses what cannot move a rate
        if isinstance(schedule, schedules.Several):
            for name, one in schedule.schedules:
                if name not in names:
                    raise PlanError(unknown("hyperparameter of these optimizers", name, sorted(names)))
                ends = one.over(_EPOCHS, _LONG).factor(np.array([0, _LONG - 1]), _LONG) if one.absolute else ()
                for rule, value in itertools.product(every, map(float, ends)):
                    if name in rule.hyperparameters:
                        within(rule, name, value, one.label)


def within(rule: Formula, name: str, value: float, of: str) -> None:
    """Refuse a number that is out of its range, saying of what it is."""
    try:
        rule.within(name, value)
    except UsageError as error:
        raise PlanError(f"{of}: {error}") from error
