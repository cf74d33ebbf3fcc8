"""What a study will run: the product of what is compared, the seeds, and the budget."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .. import formulas, schedules
from ..errors import FormulaError, PlanError, StoreError, unknown
from ..formulas import Formula
from ..population.member import Member
from .source import is_spec, opened


@dataclass(frozen=True, order=True)
class Setting:
    """One way to train: what stays the same when only the seed changes."""

    optimizer: str
    lr: float
    schedule: str


@dataclass(frozen=True)
class Plan:
    """Every optimizer at every rate under every schedule, for every seed.

    Attributes:
        optimizers: labels, e.g. ``("sgd", "adam(beta2=0.99)")``.
        rates: learning rates, ascending.
        schedules: labels, e.g. ``("cosine", "warmup(cosine, steps=100)")``.
        seeds: seeds 0 … seeds − 1 search; `confirmation` further ones confirm.
        epochs: passes over the training data, for every run alike.
        batch_size: samples per step; 0 where a DataLoader decides.
        confirmation: fresh seeds for each optimizer's chosen setting, reported on the test part.
        formulas: label → formula; those of a store are looked up when they are asked for.
        specs: label → "file.py:name" for formulas that come from a user's file.
        states: label → how many states the formula keeps per weight.
        scheduled: label → schedule, of those that were given.
    """

    optimizers: tuple[str, ...]
    rates: tuple[float, ...]
    schedules: tuple[str, ...]
    seeds: int
    epochs: int
    batch_size: int
    confirmation: int
    formulas: Mapping[str, Formula] = field(repr=False, compare=False)
    specs: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)
    states: Mapping[str, int] = field(default_factory=dict, repr=False, compare=False)
    scheduled: Mapping[str, schedules.Schedule] = field(default_factory=dict, repr=False, compare=False)

    @property
    def settings(self) -> list[Setting]:
        return [Setting(o, r, s) for o in self.optimizers for r in self.rates for s in self.schedules]

    @property
    def runs(self) -> int:
        return len(self.settings) * self.seeds

    def member(self, setting: Setting, seed: int) -> Member:
        formula = self.formulas[setting.optimizer]
        varies = self.schedule(setting.schedule).on(formula.hyperparameters)
        return Member(formula, {"lr": setting.lr}, varies, seed)

    def schedule(self, label: str) -> schedules.Schedule:
        """The schedule of that label; one made of a function of your own has to be given again."""
        if label in self.scheduled:
            return self.scheduled[label]
        try:
            return schedules.get(label)
        except PlanError as error:
            raise PlanError(
                f"this study compares {label}, a schedule of your own: pass it again from Python, "
                f"schedules=[{label}, …]."
            ) from error

    def to_json(self) -> dict[str, Any]:
        known = {n: v for n, v in vars(self).items() if n not in ("formulas", "scheduled")}
        plain = {n: list(v) if isinstance(v, tuple) else v for n, v in known.items()}
        plain |= {"specs": dict(self.specs), "states": dict(self.states)}
        return plain | {"equations": {label: equations_text(f) for label, f in self.formulas.items()}}

    @classmethod
    def from_json(
        cls, stored: Mapping[str, Any], given: Sequence[str | Formula] = (),
        scheduled: Sequence[schedules.Given] = (),
    ) -> Plan:  # fmt: skip
        """The plan of a store; `given` and `scheduled` are what the store knows only by label.

        Nothing is looked up before it is needed: a store that somebody sent can be shown without
        running the files it names.
        """
        own = _labelled([*given])[0]

        def find(label: str) -> Formula:
            return own.get(label) or _one(stored["specs"].get(label, label))

        try:
            return cls(
                optimizers=tuple(map(str, stored["optimizers"])), rates=_rates(stored["rates"]),
                schedules=tuple(
                    label if schedules.own_function(label) else schedules.get(label).label
                    for label in stored["schedules"]
                ),
                seeds=_count("seeds", stored["seeds"]), epochs=_count("epochs", stored["epochs"]),
                batch_size=_count("batch_size", stored["batch_size"], least=0),
                confirmation=_count("confirmation", stored["confirmation"], least=0),
                formulas=_Sought(stored["equations"], find), specs=dict(stored["specs"]),
                states=dict(stored["states"]), scheduled={s.label: s for s in map(schedules.get, scheduled)},
            )  # fmt: skip
        except (PlanError, KeyError, TypeError, AttributeError) as error:
            raise StoreError(f"the plan in the store cannot be read ({error}); it is damaged.") from error


class _Sought(Mapping[str, Formula]):
    """The formulas of a store: each is found when it is asked for, and must be the one that was stored."""

    def __init__(self, equations: Mapping[str, list[str]], find: Callable[[str], Formula]) -> None:
        self._equations, self._find = equations, find
        self._found: dict[str, Formula] = {}

    def __getitem__(self, label: str) -> Formula:
        wanted = self._equations[label]
        if label not in self._found:
            try:
                rule = self._find(label)
            except PlanError as error:
                raise PlanError(
                    f"this study compares {label}, and it cannot be found again: {error}"
                ) from error
            except FormulaError as error:
                raise PlanError(
                    f"this study compares {label}, a formula of your own: "
                    f"pass it again from Python, optimizers=[{label}, …]."
                ) from error
            if equations_text(rule) != wanted:
                raise PlanError(
                    f"this study compares {label}, and the formula of that name is no longer the same; "
                    "bring back the one it was begun with, or start a new study."
                )
            self._found[label] = rule
        return self._found[label]

    def __iter__(self) -> Iterator[str]:
        return iter(self._equations)

    def __len__(self) -> int:
        return len(self._equations)


def plan(
    optimizers: Sequence[str | Formula] | None = None,
    rates: Sequence[float] | None = None,
    schedule_names: Sequence[schedules.Given] = ("constant", "cosine"),
    seeds: int = 5,
    epochs: int = 20,
    batch_size: int = 64,
    confirmation: int = 10,
) -> Plan:
    """Check every part of a plan; PlanError says in a sentence what cannot be meant."""
    chosen = _sequence("optimizers", optimizers if optimizers is not None else formulas.CLASSIC)
    found, specs = _labelled(chosen)
    for label, rule in found.items():
        if "lr" not in rule.hyperparameters:
            raise PlanError(
                f"{label} has no hyperparameter lr, so there is no rate to compare it at; add lr to it."
            )
    scheduled = _scheduled(schedule_names, found)
    return Plan(
        optimizers=tuple(found), rates=_rates(rates if rates is not None else log_range(1e-4, 1, 13)),
        schedules=tuple(scheduled), seeds=_count("seeds", seeds), epochs=_count("epochs", epochs),
        batch_size=_count("batch_size", batch_size), confirmation=_count("confirmation", confirmation, least=0),
        formulas=found, specs=specs, states={label: len(rule.states) for label, rule in found.items()},
        scheduled=scheduled,
    )  # fmt: skip


def _scheduled(
    given: Sequence[schedules.Given], rules: Mapping[str, Formula]
) -> dict[str, schedules.Schedule]:
    """Label → schedule, each once; each hyperparameter that is scheduled must be of one of the optimizers."""
    known = {name for rule in rules.values() for name in rule.hyperparameters}
    found: dict[str, schedules.Schedule] = {}
    for item in _sequence("schedules", given):
        schedule = schedules.get(item)
        schedule.on(known)  # refuses what cannot move a rate
        if isinstance(schedule, schedules.Several):
            for name, _ in schedule.schedules:
                if name not in known:
                    raise PlanError(unknown("hyperparameter of these optimizers", name, sorted(known)))
        if schedule.label in found:
            raise PlanError(f"schedule {schedule.label} is listed twice; each may be listed once.")
        found[schedule.label] = schedule
    return found


def log_range(low: float, high: float, count: int) -> list[float]:
    """`count` rates from `low` to `high`, evenly spaced on a logarithmic axis.

    >>> log_range(1e-3, 1, 4)
    [0.001, 0.01, 0.1, 1.0]
    """
    if not all(isinstance(v, int | float) and math.isfinite(v) and v > 0 for v in (low, high)):
        raise PlanError(f"rates from {low} to {high}: both ends must be positive numbers.")
    if low > high:
        raise PlanError(f"rates from {low:g} to {high:g}: the low end is above the high end; swap them.")
    _count("number of rates", count)
    if (count == 1) != (low == high):
        raise PlanError(
            f"rates from {low:g} to {high:g}, {count} of them: one rate has equal ends, and several have different ones."
        )
    # Twelve digits: so that a rate reads as it is written, and 0.1 is 0.1.
    return [float(f"{v:.12g}") for v in np.geomspace(low, high, count)]


def parse_rates(text: str) -> list[float]:
    """``1e-4:1:13`` is a logarithmic range, ``0.01,0.1`` a list.

    >>> parse_rates("0.01,0.1")
    [0.01, 0.1]
    """
    form = "give LOW:HIGH:COUNT, e.g. 1e-4:1:13, or a list, e.g. 0.01,0.1"
    try:
        if ":" in text:
            low, high, count = text.split(":")
            return log_range(float(low), float(high), int(count))
        return [float(part) for part in text.split(",")]
    except PlanError:
        raise
    except ValueError as error:
        raise PlanError(f"rates {text!r} cannot be read: {form}.") from error


def equations_text(rule: Formula) -> list[str]:
    """A formula's equations and defaults as text, to recognise it by."""
    e = rule.equations
    defaults = [f"{name}={value!r}" for name, value in rule.hyperparameters.items() if name != "lr"]
    return [
        f"step = {e.step}",
        *(f"{n} = {v}" for n, v in e.states),
        *(f"{n}0 = {v}" for n, v in e.initial),
        *defaults,
    ]


def _labelled(chosen: Sequence[str | Formula]) -> tuple[dict[str, Formula], dict[str, str]]:
    found: dict[str, Formula] = {}
    specs: dict[str, str] = {}
    for item in chosen:
        rule = _one(item)
        if rule.label in found:
            raise PlanError(f"optimizer {rule.label} is listed twice; name each once.")
        found[rule.label] = rule
        if isinstance(item, str) and is_spec(item):
            path, _, name = item.rpartition(":")
            specs[rule.label] = f"{Path(path).resolve()}:{name}" if path.endswith(".py") else item
    return found, specs


def _one(item: str | Formula) -> Formula:
    if isinstance(item, str) and is_spec(item):
        with opened(item, PlanError) as found:
            rule = found.get()
        if not isinstance(rule, Formula):
            raise PlanError(
                f"{item} is a {type(rule).__name__}, not a formula; decorate the function with @tw.formula()."
            )
        return rule
    if not isinstance(item, str | Formula):
        raise PlanError(
            f"an optimizer is a name or a formula, not {item!r}; known names: {', '.join(formulas.names())}."
        )
    return formulas.get(item)


def _rates(rates: Sequence[float]) -> tuple[float, ...]:
    values = _sequence("rates", rates)
    for value in values:
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float | np.number)
            or not 0 < value < math.inf
        ):
            raise PlanError(f"rate {value!r} is not allowed: a learning rate is a positive number.")
    if len(set(values)) < len(values):
        raise PlanError(f"rates {', '.join(f'{v:g}' for v in values)}: each may be listed once.")
    return tuple(sorted(float(v) for v in values))


def _sequence(what: str, values: Any) -> list[Any]:
    if isinstance(values, str | Formula | schedules.Schedule | Mapping):
        values = [values]
    try:
        listed = list(values)
    except TypeError as error:
        raise PlanError(f"{what} must be a list, not {values!r}.") from error
    if not listed:
        raise PlanError(f"{what} is empty; name at least one.")
    return listed


def _count(what: str, value: Any, least: int = 1) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise PlanError(f"{what} must be a whole number of at least {least}, not {value!r}.")
    return int(value)


__all__ = ["Plan", "Setting", "log_range", "parse_rates", "plan"]
