"""`descend`: starts × optimizers × rates go down a surface together, by the kernels of training.

All paths are one array of points. Gradients come from one compiled loop over all of them; each formula's points are
moved by that formula's kernel. Points never mix, so that each path has the bits it would have alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import calls, formulas, schedules
from ..errors import SurfaceError
from ..formulas import Formula
from ..language import mark
from ..numbers import COUNT, Range
from ..schedules import Schedule
from .path import Path
from .surface import Surface
from .surfaces import surface as surface_of
from .walkers import Walkers, needs_rows

MEMORY = 2 * 2**30  # bytes that paths may take
FAR = 1e6  # times the drawn width: a path that far away has diverged
ALIASES = {"gradient_descent": "sgd"}

DEFAULTS = mark("each rule at its own default rate")
SAME = mark("the same rates for all")
CHOSEN = mark("rates chosen for each rule")


def descend(
    surface: Any,
    start: Any = None,
    optimizer: Any = "sgd",
    lr: Any = None,
    schedule: Any = "constant",
    steps: int = 100,
    *,
    noise: float = 0.0,
    seed: int = 0,
    bounds: Any = None,
) -> Path:
    """Go down a surface from each start, with each optimizer, at each rate.

    Args:
        surface: a built-in's name (`tw.landscapes.names`), an expression, a function in torch operations, or a
            `Surface`.
        start: a point, or points (starts, dimensions). On a surface of one variable, a number or a list of starts.
            The surface's own unless given.
        optimizer: a name, ``"momentum(momentum=0.5)"``, a formula, or a list of them; or a mapping from these to
            the rate, or the rates, of each. ``gradient_descent`` is `sgd`.
        lr: a rate, or a list of rates for every optimizer; each formula's own default unless given.
        schedule: of the rate, or of several hyperparameters; a name or a schedule.
        steps: taken by every path.
        noise: σ of a normal number added to every coordinate of the gradient, as mini-batches add some. The
            numbers depend on seed, step and start alone: every optimizer and rate meets the same.
        seed: of the noise.
        bounds: (low, high) for all variables or for each, between which pictures show the surface; its own by default.

    Raises:
        SurfaceError: an invalid surface, start or bounds, or more paths than memory holds.
        FormulaError, PlanError: an unknown optimizer or schedule.

    >>> import thalweg as tw
    >>> path = tw.descend("x*sin(x)", start=[2.5, 1.5], optimizer="gradient_descent", lr=0.25, steps=10)
    >>> path.points.shape, path.points[:, -1].round(3)
    ((2, 11), array([4.913, 0.005]))
    """
    surface, starts = _on(surface, start)
    surface = surface.within(bounds)
    rules = rules_of(optimizer, lr)
    schedule = schedules.get(schedule)
    COUNT.check("steps", steps, SurfaceError)
    Range(0).check("noise", noise, SurfaceError)
    Range(0, whole=True).check("seed", seed, SurfaceError)
    schedule.check(steps)
    return _Walk(surface, starts, rules, schedule, steps).path(float(noise), seed)


@dataclass(frozen=True)
class Rules:
    """Formulas with their rates, (optimizers, rates); NaN for a formula without a rate."""

    formulas: tuple[Formula, ...]
    rates: np.ndarray
    fairness: str


def rules_of(optimizer: Any, lr: Any) -> Rules:
    """Optimizers and rates in whatever form a user may give them."""
    mapped = isinstance(optimizer, Mapping)
    if mapped and lr is not None:
        raise SurfaceError("lr is given twice: leave it out where the optimizers have rates of their own.")
    one = isinstance(optimizer, str) or not isinstance(optimizer, Sequence | Mapping)
    rules = tuple(formula_of(each) for each in ([optimizer] if one else optimizer))
    labels = [rule.label for rule in rules]
    if not rules:
        raise SurfaceError("no optimizer was given; name one, e.g. 'sgd'.")
    if twice := next((name for name in labels if labels.count(name) > 1), None):
        raise SurfaceError("optimizer {name} is given twice; name each once.", name=twice)
    if mapped:
        rates = [_rates(rate) for rate in optimizer.values()]
        if len({len(row) for row in rates}) > 1:
            counts = ", ".join(str(len(row)) for row in rates)
            raise SurfaceError("the optimizers have {counts} rates; give each equally many.", counts=counts)
        return Rules(rules, np.array(rates), CHOSEN)
    if lr is None:
        return Rules(rules, np.array([[rule.hyperparameters.get("lr", np.nan)] for rule in rules]), DEFAULTS)
    for rule in rules:
        if "lr" not in rule.hyperparameters:
            raise SurfaceError(
                "{rule} has no hyperparameter lr; leave lr out, or leave it out of the list.", rule=rule.label
            )
    return Rules(rules, np.array([_rates(lr)] * len(rules)), SAME)


def formula_of(optimizer: Any) -> Formula:
    """A formula by its name, also by the name that courses have for it."""
    if not isinstance(optimizer, str | Formula):
        raise SurfaceError(
            "{given} is not an optimizer; give a name, e.g. 'adam', or a formula.", given=repr(optimizer)
        )
    if isinstance(optimizer, str):
        name, bracket, rest = optimizer.strip().partition("(")
        optimizer = ALIASES.get(name.strip(), name) + bracket + rest
    return formulas.known(optimizer)


def _rates(lr: Any) -> list[float]:
    try:
        rates = np.atleast_1d(np.asarray(lr, dtype=np.float64))
        if rates.ndim != 1 or not len(rates):
            raise ValueError("not a list of numbers")
    except (TypeError, ValueError) as error:
        allowed = mark("a positive number or a list of them")
        raise SurfaceError(
            "{what} is {value}; give {allowed}.", what="lr", value=calls.short(repr(lr)), allowed=allowed
        ) from error
    wrong = rates[~((rates > 0) & np.isfinite(rates))]
    if len(wrong):
        raise SurfaceError("lr is {rate:g}, and must be a positive number.", rate=wrong[0])
    return rates.tolist()


def _on(surface: Any, start: Any) -> tuple[Surface, np.ndarray]:
    """The surface, and the starts on it (starts, dimensions)."""
    if start is None:
        resolved = surface_of(surface)
        if not resolved.start:
            raise SurfaceError(
                "{surface} has no start of its own; give one, e.g. start={example} (--start {typed}).",
                surface=resolved,
                example=(example := _example(resolved)),
                typed=example.strip("[]").replace(" ", ""),
            )
        return resolved, starts_on(resolved, np.array(resolved.start))
    numbers = _numbers(start)
    resolved = surface_of(surface, None if numbers.ndim == 0 else numbers.shape[-1])
    return resolved, starts_on(resolved, numbers)


def starts_on(surface: Surface, numbers: np.ndarray) -> np.ndarray:
    """(starts, dimensions) on this surface; a plain list is a start, or with one variable several."""
    count = surface.dimensions
    if count == 1 and numbers.ndim < 2:
        numbers = numbers.reshape(-1, 1)
    elif numbers.ndim == 1:
        numbers = numbers[None, :]
    if numbers.ndim != 2 or numbers.shape[1] != count or not len(numbers):
        raise SurfaceError(
            "a start of shape {shape} is not a point on {surface}, which has {count} variable{s}; give e.g. "
            "start={example} (--start {words}), or an array (starts, {count}).",
            shape=numbers.shape,
            surface=surface,
            count=count,
            s="s" * (count > 1),
            example=_example(surface),
            words=_example(surface).strip("[]").replace(" ", ""),
        )
    broken = ~np.isfinite(surface(numbers))
    if broken.any():
        place = _written(numbers[broken][0])
        raise SurfaceError(
            "{surface} has no finite value at the start {place}; start elsewhere.", surface=surface, place=place
        )
    return np.array(numbers, dtype=np.float64)


def _numbers(start: Any) -> np.ndarray:
    try:
        numbers = np.asarray(start, dtype=np.float64)
    except (TypeError, ValueError) as error:
        allowed = mark("numbers, equally many for each start")
        raise SurfaceError(
            "{what} is {value}; give {allowed}.", what="start", value=calls.short(repr(start)), allowed=allowed
        ) from error
    if not np.isfinite(numbers).all():
        raise SurfaceError(
            "start has {value} in it; give finite numbers.", value=str(numbers[~np.isfinite(numbers)][0])
        )
    return numbers


def _example(surface: Surface) -> str:
    middle = [float(f"{low + 0.7 * (high - low):.2g}") for low, high in surface.bounds]
    return _written(surface.start or middle)


def _written(point: Sequence[float] | np.ndarray) -> str:
    inside = ", ".join(f"{x:g}" for x in point)
    return inside if len(point) == 1 else f"[{inside}]"


class _Walk:
    """All paths of a descent while they are walked.

    Points are (optimizers, rates, starts, dimensions): those of one formula lie side by side, and in them those of
    one rate. Records have the step in front of that.
    """

    def __init__(self, surface: Surface, starts: np.ndarray, rules: Rules, schedule: Schedule, steps: int) -> None:
        self.surface, self.rules, self.schedule, self.steps = surface, rules, schedule, steps
        self.shape = shape = (*rules.rates.shape, *starts.shape)
        self.far = FAR * max(np.ptp(surface.bounds), 2 * np.abs(starts).max())
        forms = [rule.of_shape(shape[3:]) for rule in rules.formulas]
        self.lookahead = any(form.equations.lookahead or form.equations.second for form in forms)
        states = sum(len(form.states) for form in forms)
        paths, dimensions = shape[1] * shape[2], shape[3]
        numbers = shape[0] * (dimensions * (2 + self.lookahead) + 1) + states * dimensions
        needed = 8 * (steps + 1) * paths * numbers
        if needed > MEMORY:
            raise SurfaceError(
                "{paths:,} paths of {steps:,} steps take {needed:,} bytes, and at most {most:,} are taken; give "
                "fewer, or take tw.basins, which keeps only where they end.",
                paths=shape[0] * paths,
                steps=steps,
                needed=needed,
                most=MEMORY,
            )
        self.points = np.empty(shape)
        self.points[:] = starts
        self.groups = [self._group(k) for k in range(len(rules.formulas))]
        records = (steps + 1, *shape)
        self.all_points, self.all_gradients = np.empty(records), np.empty(records)
        self.all_lookaheads = np.empty(records) if self.lookahead else self.all_points
        self.all_losses, self.all_rates = np.empty(records[:-1]), np.empty((steps, *shape[:2]))
        self.all_states = [{n: np.empty((steps + 1, *shape[1:])) for n in g.shown_states} for g in self.groups]

    def _group(self, k: int) -> Walkers:
        rule, rates = self.rules.formulas[k], self.rules.rates[k]
        rates = np.repeat(rates, self.shape[2] if needs_rows(rule, self.schedule) else 1)
        levels = {"lr": rates} if "lr" in rule.hyperparameters else {}
        points = self.points[k].reshape(-1, self.shape[3])
        return Walkers(rule, len(rates), levels, points, self.schedule, self.steps)

    def path(self, noise: float, seed: int) -> Path:
        """Walk to the end."""
        diverged = np.full(self.shape[:3], -1)
        with np.errstate(all="ignore"):  # what a path does after it diverged does not count
            for k in range(self.steps + 1):
                losses, gradients = self._record(k, _noise(noise, seed, k, (self.shape[2], self.shape[3])))
                broken = ~(np.isfinite(losses) & (np.abs(self.points) < self.far).all(axis=-1))
                diverged[broken & (diverged < 0)] = k
                for o, group in enumerate(self.groups if k < self.steps else ()):
                    group.step(gradients[o].reshape(group.points.shape), losses[o].ravel(), k)
                    self.all_rates[k, o] = self._rates_of(group)
        self._cut(diverged)
        rules = self.rules
        states = {
            rule.label: {name: np.moveaxis(v, (2, 0), (0, 2)) for name, v in values.items()}
            for rule, values in zip(rules.formulas, self.all_states, strict=True)
        }
        records = (self.all_points, self.all_losses, self.all_gradients, self.all_lookaheads)
        # (steps + 1, optimizers, rates, starts, …) → (starts, optimizers, rates, steps + 1, …)
        points, losses, gradients, lookaheads = (np.moveaxis(values, (3, 0), (0, 3)) for values in records)
        at, rates = np.moveaxis(diverged, 2, 0), np.moveaxis(self.all_rates, 0, -1)
        about = (self.surface, rules.formulas, rules.rates, self.schedule, noise, seed, rules.fairness)
        return Path(*about, points, losses, gradients, lookaheads, at, rates, states)

    def _record(self, k: int, noise: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
        """Write down where the points are and what their rules are given there."""
        losses, gradients = self.surface.evaluate(self.points)
        if self.lookahead:
            step = min(k, self.steps - 1)  # at the end, as the next step would begin
            self.all_lookaheads[k] = [g.lookahead(step).reshape(self.shape[1:]) for g in self.groups]
            gradients = self.surface.gradient(self.all_lookaheads[k])
            if any(g.formula.equations.second for g in self.groups):
                firsts = zip(self.groups, self.all_lookaheads[k], gradients + noise, strict=True)
                seconds = [g.second(p.reshape(g.points.shape), d.reshape(g.points.shape), step) for g, p, d in firsts]
                self.all_lookaheads[k] = [points.reshape(self.shape[1:]) for points in seconds]
                gradients = self.surface.gradient(self.all_lookaheads[k])
        gradients += noise
        self.all_points[k], self.all_losses[k], self.all_gradients[k] = self.points, losses, gradients
        for group, records in zip(self.groups, self.all_states, strict=True):
            for name, values in group.states_by_name().items():
                records[name][k] = values.reshape(self.shape[1:])
        return losses, gradients

    def _rates_of(self, group: Walkers) -> np.ndarray:
        names = group.formula.equations.hyperparameters
        rates = self.shape[1]
        if "lr" not in names:
            return np.full(rates, np.nan)
        return group.table[:, names.index("lr")].reshape(rates, -1)[:, 0]

    def _cut(self, diverged: np.ndarray) -> None:
        """NaN from the step of divergence on."""
        steps = np.arange(self.steps + 1).reshape(-1, 1, 1, 1)
        gone = (diverged >= 0) & (steps >= diverged)
        for values in (self.all_points, self.all_gradients, self.all_lookaheads, self.all_losses):
            values[gone] = np.nan
        for k, states in enumerate(self.all_states):
            for values in states.values():
                values[gone[:, k]] = np.nan


def _noise(sigma: float, seed: int, step: int, shape: tuple[int, int]) -> np.ndarray | float:
    """Normal numbers (starts, dimensions) of this step; those of a start do not depend on how many follow it."""
    if not sigma:
        return 0.0
    return sigma * np.random.Generator(np.random.Philox(key=[seed, step])).standard_normal(shape)
