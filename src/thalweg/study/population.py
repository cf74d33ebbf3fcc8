"""Settings of your own choice, trained as one population: for searches that propose, and learn from what came of it.

Whatever proposes settings (Optuna's ask and tell, an evolution, a person) is given a table of their runs. Nothing is
stored; the problem is prepared and its step compiled once for all calls.
"""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any

import pandas as pd

from ..engine.batching import AUTO, decide
from ..engine.messages import Failed, Job, Passed, StopFlag, TooLarge
from ..engine.programs import Programs, Way
from ..engine.threads import Threads
from ..errors import PlanError, TrainingError, short
from ..formulas.registry import changed
from ..numbers import COUNT
from ..plan.factors import BATCH_SIZE, LOSS, OPTIMIZER, RATE, REGULARIZER, SCHEDULE, Setting, factor, hyperparameter
from ..plan.plan import Plan, plan
from ..population.place import FLOAT32, check_device, check_precision
from ..problem.declaration import Problem
from ..problem.find import load
from ..problem.prepare import prepare

_FIXED = {kind.name: kind for kind in (OPTIMIZER, RATE, SCHEDULE, BATCH_SIZE, REGULARIZER, LOSS)}


class Population:
    """A problem, and the runs of any settings on it, all of a call at once.

    Args:
        problem: as `tw.compare` takes it; not a training loop.
        epochs: passes over the training data.
        seeds: runs of each setting; a seed fixes initial weights and batch order, so settings are compared on the same.
        batch_size: samples per step of settings that say none.
        device, precision: as `tw.compare` takes them.

    Raises:
        ProblemError: the problem's parts do not fit together.

    >>> population = Population("breast-cancer", epochs=2)
    >>> settings = [{"optimizer": "adam", "lr": 0.01}, {"optimizer": "sgd", "lr": 0.1, "weight_decay": 1e-4}]
    >>> runs = population.train(settings)
    >>> runs["optimizer"].tolist(), runs["status"].tolist(), bool((runs["validation_loss"] < 0.6).all())
    (['adam', 'sgd'], ['finished', 'finished'], True)
    """

    def __init__(
        self,
        problem: Problem | str,
        epochs: int = 20,
        seeds: int = 1,
        batch_size: int | str = 64,
        device: str = AUTO,
        precision: str = FLOAT32,
    ) -> None:
        self.problem = prepare(load(problem))
        self.epochs = COUNT.check("epochs", epochs, PlanError)
        self.seeds = COUNT.check("seeds", seeds, PlanError)
        self.batch_size = batch_size
        self.device = check_device(device)
        self.precision = check_precision(precision, self.device)
        self._programs: Programs | None = None
        self._ways: dict[Any, Way] = {}

    def train(self, settings: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
        """Train them all, and give a row for each setting and seed, in their order.

        Args:
            settings: of each ``optimizer`` and ``lr``, and whatever else is not to be as usual: ``schedule``
                (constant), ``batch_size``, ``loss``, ``regularizer``, and hyperparameters of the optimizer by name.

        Returns:
            The settings' columns (missing where an optimizer lacks a hyperparameter), ``seed``, ``status`` (finished or
            diverged), ``step``, and each loss and metric after the last epoch; a run that diverged has an infinite
            validation loss. `tw.rank` takes it as it is.

        Raises:
            PlanError: a setting lacks optimizer or lr, or names what is not known.
            TrainingError: the model or the data failed.
        """
        each = [*settings] if isinstance(settings, Iterable) else [settings]
        if not all(isinstance(one, Mapping) for one in each):
            raise PlanError(
                "settings is {settings}; give a list of mappings, e.g. [{{'optimizer': 'adam', 'lr': 0.01}}].",
                settings=short(repr(settings)),
            )
        asked, given = _planned([dict(one) for one in each], self)
        programs, different = self._made(asked), [*dict.fromkeys(given)]
        rows: dict[tuple[Setting, int], dict[str, Any]] = {}
        for alone in (False, True):
            if chosen := [setting for setting in different if programs.alone(setting) is alone]:
                rows |= _trained(programs, chosen, alone)
        names = {name: None for setting in given for name in setting.levels}
        seeds = range(self.seeds)
        return pd.DataFrame([names | s.levels | {"seed": seed} | rows[s, seed] for s in given for seed in seeds])

    def _made(self, asked: Plan) -> Programs:
        """The programs of that plan; what was compiled for plans before is shared."""
        before = self._programs
        programs = Programs(asked, self.problem) if before is None else before.wider(asked)
        if not programs.all.keys() <= self._ways.keys():
            self._ways |= dict(zip(programs.all, decide(programs, AUTO), strict=True))
        programs.train_as([self._ways[program] for program in programs.all])
        self._programs = programs
        return programs


def _planned(given: list[dict[str, Any]], of: Population) -> tuple[Plan, list[Setting]]:
    """A plan of which these settings are points, and the settings."""
    if not given:
        raise PlanError("settings is empty; give at least one, such as {'optimizer': 'adam', 'lr': 0.01}.")
    known = {"schedule": "constant", "batch_size": of.batch_size}
    if any("regularizer" in one for one in given):
        known["regularizer"] = "none"
    for one in given:
        if missing := [name for name in ("optimizer", "lr") if name not in one]:
            raise PlanError(
                "the setting {one} has no {missing}; give it one.", one=short(repr(one)), missing=missing[0]
            )
        one |= {name: value for name, value in known.items() if name not in one}
        if ("loss" in one) != ("loss" in given[0]):
            raise PlanError("some settings name a loss and others do not; name one in each, or in none.")
    levels = [_levels(one) for one in given]
    tuned = list(dict.fromkeys(name for one in levels for name in one if name not in _FIXED))

    def different(name: str) -> list[Any]:
        """What was given, once for each level."""
        pairs = zip(levels, given, strict=True)
        return list({level[name]: one[name] for level, one in pairs if name in one}.values())

    first = plan(
        different("optimizer"),
        different("lr")[:1],
        different("schedule"),
        of.seeds,
        of.epochs,
        confirmation=0,
        batch_sizes=different("batch_size"),
        losses=different("loss") or None,
        regularizers=different("regularizer") or None,
        grow=0,
        refine=0,
        device=of.device,
        precision=of.precision,
    )
    has = {
        label: {n: v for n, v in rule.arguments.items() if n not in dict(rule.changed)}
        for label, rule in first.formulas.items()
    }
    for level in levels:
        usual = has[level["optimizer"]]
        level |= {name: usual[name] for name in tuned if name in usual and name not in level}
    every = {name: [*dict.fromkeys(level[name] for level in levels if name in level)] for name in ("lr", *tuned)}
    further = [
        replace(factor(hyperparameter(name), every[name]), only=tuple(label for label in has if name in has[label]))
        for name in tuned
    ]
    asked = first.with_factor(factor(RATE, every["lr"]))
    asked = replace(asked, factors=(*asked.factors, *further))
    points = [{name: level.get(name, every[name][0]) for name in every} for level in levels]
    asked = replace(asked, points=tuple({tuple(point.values()): point for point in points}.values()))
    names = [f.name for f in asked.further]
    return asked, [
        Setting(level["optimizer"], level["lr"], level["schedule"], tuple((n, level.get(n)) for n in names))
        for level in levels
    ]


def _levels(one: Mapping[str, Any]) -> dict[str, Any]:
    """The levels of a setting as a plan has them."""
    rule = OPTIMIZER.read(one["optimizer"])
    tuned = {name: value for name, value in one.items() if name not in _FIXED}
    if tuned:
        changed(rule, tuned)  # refuses what it lacks, and values of the wrong kind
    kinds = {name: _FIXED.get(name) or hyperparameter(name) for name in one}
    return {name: kinds[name].level(kinds[name].read(value)) for name, value in one.items()}


def _trained(programs: Programs, settings: Sequence[Setting], alone: bool) -> dict[tuple[Setting, int], dict[str, Any]]:
    """What came of each setting and seed; settings share whether their members are trained one by one."""
    plan, rows = programs.plan, dict[tuple[Setting, int], dict[str, Any]]()
    waiting = deque((seed, some) for seed, some, _ in programs.blocks(settings, range(plan.seeds)))
    numbers = itertools.count()

    def job() -> Job | None:
        if not waiting:
            return None
        seed, some = waiting.popleft()
        return Job(next(numbers), tuple(some), seed, plan.epochs)

    stop = StopFlag()
    with closing(Threads(programs, 1 if alone else None).run(job, stop)) as events:
        for block, event in events:
            if isinstance(event, Passed):
                rows |= _rows(block, event)
            elif isinstance(event, TooLarge):
                half = len(block.settings) // 2
                if not half:
                    raise TrainingError("a single run on {name} does not fit into memory.", name=programs.problem.name)
                programs.limit(block.settings[0], half)
                waiting.extend((block.seed, list(some)) for some in (block.settings[:half], block.settings[half:]))
            elif isinstance(event, Failed):
                raise event.error
    return rows


def _rows(job: Job, event: Passed) -> dict[tuple[Setting, int], dict[str, Any]]:
    """What a pass over the data says of each run of its block."""
    found = {}
    for k, setting in enumerate(job.settings):
        lost = int(event.diverged[k])
        values = {name: float(column[k]) for name, column in event.values.items()}
        if lost >= 0:
            values["validation_loss"] = math.inf
        status = {"status": "diverged" if lost >= 0 else "finished", "step": lost if lost >= 0 else event.step}
        found[setting, job.seed] = status | values
    return found
