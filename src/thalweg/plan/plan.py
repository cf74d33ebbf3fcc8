"""What a study will run: the product of what is compared, the seeds, and the budget."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

from .. import formulas, schedules
from ..errors import PlanError, StoreError
from ..formulas import Formula
from ..formulas.opaque import Opaque
from ..language import mark, say
from ..losses.base import ANY, Scale
from ..losses.registry import scale_of
from ..numbers import COUNT, Range
from ..population.groups import ParameterGroups
from ..population.member import Member
from ..population.place import CPU, FLOAT32, check_device, check_precision, here
from .criterion import FINAL_LOSS, LAST, Criterion
from .factors import (
    BATCH_SIZE,
    FIXED,
    LOSS,
    MODEL,
    OPTIMIZER,
    RATE,
    REGULARIZER,
    SCHEDULE,
    Factor,
    Kind,
    Level,
    Setting,
    factor,
    hyperparameter,
    stored,
)
from .folds import Folds
from .hyperparameters import accepted, at_defaults, check_scheduled, defaults_of, tuned_beside, varied_by
from .looks import Look, check_looks, read_looks, stage_of
from .margin import MARGIN
from .points import GRID, checked_points, drawn
from .rates import around_defaults, log_range, parse_rates
from .rounds import Round, plain, read
from .stored import FULL_BUDGET, HALVING, as_now, check_stored, scales_of
from .swaps import Swaps

MOST_RUNS = 1_000_000
FEWEST = 3  # rates that have an inside, and so are a grid
GROW = 6  # rates on each side, at most; at three per decade two decades
REFINE = 2  # rounds, each with half the step of the one before
FINEST = 10  # rounds, at most: then the step is a thousandth of the grid's
CONSTANT = "constant"  # the schedule of a default setting
_ANY_COUNT = Range(0, whole=True)
# Attributes that a store has as they are.
_PLAIN = ("seeds", "epochs", "budget", "grow", "refine", "search", "margin", "device", "precision")


@dataclass(frozen=True)
class Plan:
    """Every optimizer at every level of every other factor that applies to it, for every seed.

    Attributes:
        factors: optimizer, lr, schedule, regularizer, loss, batch_size, model and hyperparameters, with their levels.
        seeds: seeds 0 … seeds − 1 search; `confirmation` further ones confirm.
        epochs: passes over the training data, for every run alike, whatever its batch size.
        confirmation: fresh seeds for each chosen setting, reported on the test part.
        states: optimizer (with its hyperparameters, where they change this) → states kept per weight.
        folds: of the cross-validation; None where the problem's own validation part judges.
        defaults: optimizer → its formula's own rate and the values of the hyperparameters that vary; an
            optimizer whose default rate is 0, at which nothing moves, has none.
        grow: at most so many rates are added on each side, where an optimizer does best on the edge of the grid.
        grown: the rates that were added to those asked for; `rates` has both.
        untuned: optimizer → hyperparameters that stayed at its formula's own values.
        grow_total: at most so many rates are added in all, where there was no time for more; None without such a limit.
        narrow: the rungs, each as the number of rates added and the epoch, from which only the best of each level
            went on, because time was short.
        refine: so many rounds try finer rates around each best one; then, where hyperparameters are tuned around the
            best (`Factor.usual`), one tries these.
        refine_total: at most so many rounds in all, as `grow_total`.
        refined: the settings of the rounds so far, beside those of the grid.
        search: "grid": all combinations of levels; "random" or "sobol": `points`.
        points: of such a search, the same for all optimizers: rate and hyperparameters → their values.
        looks: what the confirmation had at each time it was extended.
        confirmation_epochs: of its runs, where it was extended to more than `epochs`.
        swaps: parts of the training samples that judge beside the validation part; None where that alone does.
        directions: metric of the problem → −1 where higher is better, else 1, where its name alone does not say so.
        loss_scale: the lowest and the highest value that the problem's loss can have.
        criterion: by what runs are judged, where settings are chosen and ranked.
        margin: differences up to that share of the best value do not matter.
        budget: "full": every run goes to its end; "halving": those that cannot win any more are stopped.
        groups: parameters of the model with numbers of their own, the same for all runs; None without.
        device: "cpu", "cuda" for all GPUs of a machine, or one of them, "cuda:1".
        precision: of the model's products, "float32", "tf32" or "bf16".
    """

    factors: tuple[Factor, ...]
    seeds: int
    epochs: int
    confirmation: int
    states: Mapping[str, int] = field(default_factory=dict, repr=False, compare=False)
    folds: Folds | None = None
    defaults: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False, compare=False)
    budget: str = FULL_BUDGET
    grow: int = 0
    grown: tuple[float, ...] = ()
    looks: tuple[Look, ...] = ()
    confirmation_epochs: int | None = None
    swaps: Swaps | None = None
    criterion: Criterion = FINAL_LOSS
    untuned: Mapping[str, Sequence[str]] = field(default_factory=dict, repr=False, compare=False)
    refine: int = 0
    refined: tuple[Round, ...] = ()
    search: str = GRID
    points: tuple[Mapping[str, Level], ...] = ()
    directions: Mapping[str, float] = field(default_factory=dict)
    loss_scale: Scale = ANY
    groups: ParameterGroups | None = None
    grow_total: int | None = None
    refine_total: int | None = None
    narrow: tuple[tuple[int, int], ...] = ()
    margin: float = MARGIN
    device: str = CPU
    precision: str = FLOAT32

    def __post_init__(self) -> None:
        ranges = dict.fromkeys(("seeds", "epochs"), COUNT) | dict.fromkeys(("confirmation", "grow"), _ANY_COUNT)
        for name, allowed in {**ranges, "refine": Range(0, FINEST, whole=True), "margin": Range(0)}.items():
            object.__setattr__(self, name, allowed.check(name, getattr(self, name), PlanError))

    def __getitem__(self, name: str) -> Factor:
        return next(f for f in self.factors if f.name == name)

    def with_factor(self, other: Factor) -> Plan:
        """The plan with another factor in the place of the one of its name."""
        return replace(self, factors=tuple(other if f.name == other.name else f for f in self.factors))

    @property
    def requested_rates(self) -> tuple[float, ...]:
        """The rates that were asked for."""
        return tuple(rate for rate in self.rates if rate not in self.grown)

    def grown_to(self, grown: Iterable[float]) -> Plan:
        """The plan with these rates beside those asked for, in place of others that were."""
        added = tuple(map(float, grown))
        return replace(self.with_rates([*self.requested_rates, *added]), grown=added)

    def with_rates(self, rates: Sequence[float]) -> Plan:
        """The plan with these rates; an optimizer with a grid of its own has them multiplied as before."""
        return self.with_factor(replace(factor(RATE, rates), scales=self["lr"].scales))

    @cached_property
    def on_common_grid(self) -> Mapping[tuple[str, float], float]:
        """(optimizer, rate) → the rate of the common grid in whose place it stands."""
        each = ((label, zip(self.rates, self["lr"].of(label), strict=True)) for label in self.optimizers)
        return {(label, rate): common for label, pairs in each for common, rate in pairs}

    @property
    def anywhere(self) -> Plan:
        """The plan on its device where this machine has it, else on the CPU."""
        device, precision = here(self.device, self.precision)
        return replace(self, device=device, precision=precision)

    @property
    def as_asked(self) -> Plan:
        """The plan before its search added anything to it."""
        return replace(self.grown_to(()), refined=())

    def as_far_as(self, stored_plan: Mapping[str, Any]) -> Plan:
        """The plan with what the search of a store has added to it so far, and extensions have."""
        added = as_now(stored_plan)
        names = ("confirmation", "confirmation_epochs", "seeds", "refine_total", "grow_total")
        values = {name: added[name] for name in names} | {"narrow": tuple(map(tuple, added["narrow"]))}
        values |= {"looks": read_looks(added["looks"]), "swaps": Swaps.from_json(added["swaps"])}
        return replace(self.grown_to(added["grown"]), refined=read(added["refined"]), **values)

    def finer(self, by: str) -> tuple[Setting, ...]:
        """The settings by which the search was refined for the levels of that factor."""
        return tuple(setting for one in self.refined for setting in one.get(by, ()))

    @property
    def tuned(self) -> tuple[Factor, ...]:
        """The hyperparameters of which the search tries other values around the best settings alone."""
        return tuple(f for f in self.hyperparameters if f.usual)

    @property
    def rounds(self) -> int:
        """How often the search is refined, at most."""
        most = self.refine + bool(self.refine and self.tuned)
        return most if self.refine_total is None else min(most, self.refine_total)

    def on_grid(self, setting: Setting) -> Setting:
        """The setting with the hyperparameters that are tuned around the best at their usual values."""
        usual = {f.name: f.of(setting.optimizer)[0] for f in self.tuned}
        further = tuple((name, usual.get(name, level)) for name, level in setting.further)
        return replace(setting, further=further) if usual else setting

    def told(self, setting: Setting) -> dict[str, Level]:
        """The levels beyond optimizer, rate and schedule that words on the setting name: those that apply, and were
        chosen."""
        return {name: level for name, level in setting.further if self[name].tells(level, setting.optimizer)}

    def rates_of(self, setting: Setting, by: str = "optimizer") -> tuple[float, ...]:
        """The rates tried at the setting's other levels, where the levels of that factor are ranked; ascending. Those
        that are tuned around the best have their usual values."""
        setting, others = self.on_grid(setting), self.settings if self.points else self.finer(by)
        near = {one.lr for one in others if replace(one, lr=setting.lr) == setting}
        return tuple(sorted(near if self.points else {*self["lr"].of(setting.optimizer), *near}))

    @property
    def optimizers(self) -> tuple[str, ...]:
        return self["optimizer"].levels

    @property
    def rates(self) -> tuple[float, ...]:
        """The common grid: of every optimizer that has none of its own."""
        return self["lr"].levels

    @property
    def schedules(self) -> tuple[str, ...]:
        return self["schedule"].levels

    @property
    def batch_sizes(self) -> tuple[int | str, ...]:
        """Samples per step; 0 where a DataLoader decides."""
        return self["batch_size"].levels

    @property
    def formulas(self) -> Mapping[str, Formula]:
        """label → formula; those of a store are looked up when they are asked for."""
        return self["optimizer"].objects

    @property
    def hyperparameters(self) -> tuple[Factor, ...]:
        """The factors that are hyperparameters, the rate apart."""
        return self.factors[len(FIXED) :]

    @property
    def further(self) -> tuple[Factor, ...]:
        """The factors beyond optimizer, rate and schedule that have several levels: columns of the tables."""
        return tuple(f for f in self.factors[3:] if f.varied)

    @property
    def ranked(self) -> tuple[Factor, ...]:
        """The factors whose levels are run again with fresh seeds: optimizers, and whatever else varies.

        Rates apart, and hyperparameters that were drawn: they are tuned within everything else, and a rate that
        suits one optimizer says nothing about another.
        """
        drawn = {"lr", *self.drawn}
        return (self["optimizer"], *(f for f in self.factors[1:] if f.varied and not f.usual and f.name not in drawn))

    @property
    def drawn(self) -> tuple[str, ...]:
        """The rate and the hyperparameters that were drawn."""
        return tuple(self.points[0]) if self.points else ()

    @cached_property
    def settings(self) -> list[Setting]:
        """All of the search: the product's, or those of the points, then those by which it was refined."""
        factors = [self["lr"], self["schedule"], *self.further]
        names = [f.name for f in self.further]
        product = [
            Setting(optimizer, lr, schedule, tuple(zip(names, rest, strict=True)))
            for optimizer in self.optimizers
            for lr, schedule, *rest in self.combinations(optimizer, factors)
        ]
        return [*product, *self.refinement]

    def combinations(self, optimizer: str, factors: Sequence[Factor]) -> Iterator[tuple[Any, ...]]:
        """The levels of these factors that an optimizer is tried at; those that were drawn belong together."""
        for point in self.points or ({},):
            axes = [
                (f.scaled(point[f.name], optimizer),) if f.name in point and f.applies(optimizer) else f.of(optimizer)
                for f in factors
            ]
            yield from itertools.product(*axes)

    @property
    def refinement(self) -> list[Setting]:
        """The settings of all rounds so far, each once."""
        return list(dict.fromkeys(s for one in self.refined for settings in one.values() for s in settings))

    def scale(self, metric: str) -> Scale:
        """The lowest and the highest value that a metric, or the loss, can have."""
        return scale_of(metric, self.loss_scale)

    @property
    def runs(self) -> int:
        lists = [f for f in (self["lr"], self["schedule"], *self.further) if f.name not in self.drawn]
        product = sum(math.prod(len(f.of(optimizer)) for f in lists) for optimizer in self.optimizers)
        settings = product * max(1, len(self.points))
        return self.seeds * (settings + len(self.refinement)) * len(self.search_folds)

    @property
    def overlap(self) -> float:
        """What folds have in common, as `intervals.estimate` takes it."""
        return 0.0 if self.folds is None else self.folds.overlap

    @property
    def search_folds(self) -> tuple[int | None, ...]:
        """The folds of a run of the search; without cross-validation the one that is None."""
        return (None,) if self.folds is None else tuple(range(self.folds.count))

    def fresh_folds(self, look: Look) -> tuple[int | None, ...]:
        """Those of the confirmation at a look: each again, then None, which trains on all samples and meets the test
        part; without cross-validation None, judged on the validation part, then the parts that change places with it.
        """
        if self.folds is None:
            return (None, *range(look.swaps))
        return (*self.search_folds, None)

    @property
    def confirmations(self) -> tuple[Look, ...]:
        """What the confirmation had each time, and has now; nothing without one."""
        swaps = 0 if self.swaps is None else self.swaps.used
        now = Look(self.confirmation, self.confirmation_epochs or self.epochs, swaps)
        return (*self.looks, now) if self.confirmation or self.looks else ()

    def stage(self, look: Look) -> str:
        """The stage of that look's runs."""
        return stage_of(look.epochs, self.epochs)

    def epochs_of(self, stage: str) -> int:
        """To which the runs of a stage are trained."""
        return {self.stage(look): look.epochs for look in self.confirmations}.get(stage, self.epochs)

    def extended(self, seeds: int = 0, epochs: int | None = None, swaps: Swaps | None = None) -> Plan:
        """The plan with so many more fresh seeds, more epochs or more parts that judge; what the confirmation was
        before becomes a look."""
        return replace(
            self,
            looks=self.confirmations,
            confirmation=self.confirmation + seeds,
            confirmation_epochs=self.confirmation_epochs if epochs is None else epochs,
            swaps=self.swaps if swaps is None else swaps,
        )

    def level(self, setting: Setting, name: str) -> Any:
        """The level of any factor in a setting: its own, or the only one the plan has."""
        levels = setting.levels
        if name in levels:
            return levels[name]
        (only,) = self[name].of(setting.optimizer)
        return only

    def default(self, setting: Setting) -> Setting | None:
        """The setting with what is the optimizer's own at its default: rate, constant schedule, hyperparameters.

        Batch size, loss, regularizer and model stay, so that the difference is what tuning the optimizer gives.
        """
        defaults = self.defaults.get(setting.optimizer)
        if defaults is None:
            return None
        further = tuple((name, defaults.get(name, level)) for name, level in setting.further)
        return Setting(setting.optimizer, defaults["lr"], CONSTANT, further)

    def schedule(self, setting: Setting) -> schedules.Schedule:
        """The setting's schedule; the default, which need not be among those compared, is found by its name."""
        compared = self["schedule"]
        return compared.objects[setting.schedule] if setting.schedule in compared.levels else schedules.get(CONSTANT)

    def changes(self, setting: Setting) -> dict[str, Any]:
        """The hyperparameters, the rate apart, that the setting gives a value."""
        pairs = [(f, self.level(setting, f.name)) for f in self.hyperparameters]
        return {f.name: value for f, value in pairs if f.tells(value, setting.optimizer)}

    def formula(self, setting: Setting) -> Formula:
        """The setting's formula with its hyperparameters."""
        changes = self.changes(setting)
        key = _variant(setting.optimizer, changes)
        if key not in self._variants:
            rule = self.formulas[setting.optimizer]
            changes = accepted(rule, changes)  # others are of a training loop of the user's own
            self._variants[key] = rule.with_(**changes) if changes else rule
        return self._variants[key]

    @cached_property
    def _variants(self) -> dict[str, Formula]:
        return {}

    def states_of(self, setting: Setting) -> int:
        """How many states the setting's formula keeps per weight."""
        key = _variant(setting.optimizer, self.changes(setting))
        return self.states.get(key, self.states[setting.optimizer])

    def member(self, setting: Setting, seed: int) -> Member:
        formula = self.formula(setting)
        varies = self.schedule(setting).on(formula.hyperparameters)
        regularizer = self["regularizer"].objects[self.level(setting, "regularizer")]
        return Member(formula, {"lr": setting.lr}, varies, seed, regularizer, self.groups)

    def described(self) -> dict[str, Any]:
        """Plain values, for which no formula is loaded."""
        rates, scaled = self.requested_rates, self["lr"].scaled
        return {
            **{f.kind.argument: list(f.levels) for f in self.factors[: len(FIXED)]},
            **{name: getattr(self, name) for name in (*_PLAIN, "grow_total", "refine_total")},
            "rates": list(rates),
            "own_rates": {label: [scaled(rate, label) for rate in rates] for label in self["lr"].scales},
            "grown": list(self.grown),
            **self.extension(),
            "by_metric": self.criterion.by_metric,
            "judge": self.criterion.judge,
            "directions": dict(self.directions),
            "loss_scale": [end if math.isfinite(end) else None for end in self.loss_scale],
            "refined": plain(self.refined),
            "narrow": [list(rung) for rung in self.narrow],
            "points": [dict(point) for point in self.points],
            "hyperparameters": {f.name: list(f.levels) for f in self.hyperparameters},
            "applies": {f.name: list(f.only or ()) for f in self.hyperparameters},
            "usual": {f.name: dict(f.usual) for f in self.tuned},
            "states": dict(self.states),
            "untuned": {label: list(names) for label, names in self.untuned.items()},
            "folds": None if self.folds is None else self.folds.to_json(),
            "groups": None if self.groups is None else self.groups.to_json(),
            "defaults": {label: dict(values) for label, values in self.defaults.items()},
        }

    def extension(self) -> dict[str, Any]:
        """Of the plain values, those that an extension changes."""
        return {
            "confirmation": self.confirmation,
            "confirmation_epochs": self.confirmation_epochs,
            "swaps": None if self.swaps is None else self.swaps.to_json(),
            "looks": [asdict(look) for look in self.looks],
        }

    def to_json(self) -> dict[str, Any]:
        """What a store keeps: also where formulas come from, and what they are."""
        specs = {f.kind.argument: dict(f.specs) for f in self.factors if f.specs}
        equations = {label: equations_text(rule) for label, rule in self.formulas.items()}
        return self.described() | {"specs": specs, "equations": equations}

    @classmethod
    def from_json(cls, stored_plan: Mapping[str, Any], objects: Mapping[str, Mapping[str, Any]] | None = None) -> Plan:
        """The plan of a store.

        Args:
            objects: argument of `compare` → label → the user's own object, which the store knows by label alone.
        """
        now, objects = as_now(stored_plan), objects or {}
        specs, equations, applies = now["specs"], now["equations"], now["applies"]

        def check_formula(label: str, rule: Formula) -> None:
            if equations_text(rule) != equations[label]:
                raise PlanError(
                    "this study compares {label}, and the formula of that name is no longer the same; bring "
                    "back the one it was begun with, or start a new study.",
                    label=label,
                )

        def fixed(kind: Kind) -> Factor:
            name, check = kind.argument, check_formula if kind is OPTIMIZER else None
            return stored(kind, now[name], specs.get(name, {}), objects.get(name, {}), check=check)

        try:
            check_stored(now)
            usual = now["usual"]
            hyper = (
                stored(hyperparameter(name), levels, {}, only=applies[name], usual=usual.get(name))
                for name, levels in now["hyperparameters"].items()
            )
            names = (*_PLAIN, "confirmation", "states", "defaults", "untuned", "directions")
            values: dict[str, Any] = {name: now[name] for name in names} | {"points": tuple(now["points"])}
            low, high = now["loss_scale"]
            values["loss_scale"] = (-math.inf if low is None else low, math.inf if high is None else high)
            values["criterion"] = Criterion.of(now["by_metric"], now["judge"], loss_scale=values["loss_scale"])
            values |= {"folds": Folds.from_json(now["folds"]), "groups": ParameterGroups.from_json(now["groups"])}
            plan = cls((*map(fixed, FIXED), *hyper), **values)
            plan = plan.with_factor(replace(plan["lr"], scales=scales_of(now)))
            checked_points(plan.points, {f.name: f.levels for f in (plan["lr"], *plan.hyperparameters)})
            plan = checked(plan.as_far_as(now))
            check_looks(plan.confirmations, plan.epochs)
            _check_rounds(plan)
            return plan
        except PlanError as error:
            raise StoreError("the plan in the store cannot be read ({error}); it is damaged.", error=error) from error


def _check_rounds(plan: Plan) -> None:
    """Refuse rounds of a store that no study has."""
    grid = {*replace(plan, refined=()).settings}
    elsewhere = {replace(setting, lr=1.0) for setting in grid}
    values = {f.name: {*f.levels} for f in plan.tuned}
    if len(plan.refined) > plan.rounds:
        raise PlanError("it was refined more often than was asked for")
    for one in plan.refined:
        finer = [setting for each in one.values() for setting in each]
        known = {f.name for f in plan.ranked}.issuperset(one)
        known = known and all(replace(plan.on_grid(setting), lr=1.0) in elsewhere for setting in finer)
        if not known or any(level not in values.get(n, {level}) for s in finer for n, level in plan.told(s).items()):
            raise PlanError("it was refined by settings whose levels are not in it")
        if grid.intersection(finer):
            raise PlanError("it was refined by settings that it has already")


def _variant(optimizer: str, changes: Mapping[str, Any]) -> str:
    return f"{optimizer} {json.dumps(changes)}" if changes else optimizer


def plan(
    optimizers: Sequence[str | Formula] | None = None,
    rates: Sequence[float] | None = None,
    schedule_names: Sequence[schedules.Given] = ("constant", "cosine"),
    seeds: int = 5,
    epochs: int = 20,
    batch_size: int = 64,
    confirmation: int = 10,
    losses: Sequence[Any] | None = None,
    batch_sizes: Sequence[int | str] | None = None,
    hyperparameters: Mapping[str, Sequence[Any]] | None = None,
    regularizers: Sequence[Any] | None = None,
    budget: str = FULL_BUDGET,
    grow: int = GROW,
    by_metric: str = "loss",
    judge: str = LAST,
    margin: float = MARGIN,
    refine: int = REFINE,
    tune: bool | None = None,
    search: str = GRID,
    settings: int | None = None,
    directions: Mapping[str, float] | None = None,
    loss_scale: Scale = ANY,
    own: bool = False,
    device: Any = CPU,
    precision: str = FLOAT32,
) -> Plan:
    """Check every part of a plan; PlanError says in a sentence which part is invalid.

    Args:
        own: whether hyperparameters that no optimizer has are those of a training loop of the user's own.
    """
    rules = factor(OPTIMIZER, optimizers if optimizers is not None else formulas.CLASSIC)
    for label, rule in rules.objects.items():
        if "lr" not in rule.hyperparameters:
            raise PlanError(
                "{label} has no hyperparameter lr, so there is no rate to compare it at; add lr to it.", label=label
            )
    if batch_sizes is not None and batch_size != 64:
        raise PlanError(
            "both batch_size={batch_size} and batch_sizes are given; give batch_sizes alone, with all of them.",
            batch_size=repr(batch_size),
        )
    schedule = factor(SCHEDULE, schedule_names)
    check_scheduled(schedule.objects.values(), rules.objects.values())
    numbers = [factor(RATE, rates) if rates is not None else around_defaults(rules.objects)]
    numbers += varied_by(rules.objects, hyperparameters, own)
    (lr, *varied), points = drawn(numbers, rules.objects, search, settings)
    refines = bool(refine) and not points and len(lr.levels) >= FEWEST
    if tune and not refines:
        raise PlanError(
            "tune=True tries other values around the best of a grid of {fewest} rates or more, after "
            "refine rounds of finer rates; give these, or leave tune out.",
            fewest=FEWEST,
        )
    if tune or (tune is None and refines and not hyperparameters):
        varied += tuned_beside(rules.objects, varied, schedule.objects)
    fixed = (
        rules,
        lr,
        schedule,
        factor(REGULARIZER, [None] if regularizers is None else regularizers),
        Factor(LOSS, "loss", (None,), {None: None}) if losses is None else factor(LOSS, losses),
        factor(BATCH_SIZE, [COUNT.check("batch_size", batch_size, PlanError)] if batch_sizes is None else batch_sizes),
        factor(MODEL, [None]),
    )
    states = {label: len(rule.states) for label, rule in rules.objects.items()}
    directions = directions or {}
    criterion = Criterion.of(by_metric, judge, directions, loss_scale)
    more = {
        "directions": directions,
        "loss_scale": loss_scale,
        "defaults": defaults_of(rules.objects, varied),
        "untuned": at_defaults(rules.objects, varied, schedule.objects),
    }
    more |= {"budget": budget, "grow": grow, "refine": refine, "search": search, "points": points, "margin": margin}
    more |= {"device": (device := check_device(device)), "precision": check_precision(precision, device)}
    plan = Plan((*fixed, *varied), seeds, epochs, confirmation, states, criterion=criterion, **more)
    if criterion.epochs > plan.epochs:
        raise PlanError(
            "judge is {judge}, and a run has {epochs}; give more epochs, or average fewer.",
            judge=repr(judge),
            epochs=plan.epochs,
        )
    if budget not in (FULL_BUDGET, HALVING):
        raise PlanError(
            "the budget is {budget}; give {full_budget}, or {halving} to stop runs that cannot win.",
            budget=repr(budget),
            full_budget=repr(FULL_BUDGET),
            halving=repr(HALVING),
        )
    if budget == HALVING and plan.epochs < 2:
        raise PlanError("halving stops runs after some of their epochs, and there is one; give 2 epochs or more.")
    return _with_states(checked(plan))


def with_models(plan: Plan, problem: Any) -> Plan:
    """The plan with the models of a prepared problem as a factor, where it has several."""
    return checked(plan.with_factor(factor(MODEL, list(problem.models)))) if problem.models else plan


def checked(plan: Plan) -> Plan:
    """The plan, if it has no more runs than are allowed."""
    if plan.runs > MOST_RUNS:
        raise PlanError(
            "the plan has {runs:,} runs ({grid}), and at most {most_runs:,} are allowed; give fewer of something.",
            runs=plan.runs,
            grid=grid(plan),
            most_runs=MOST_RUNS,
        )
    return plan


def grid(plan: Plan) -> str:
    """The plan's size in words, e.g. ``2 optimizers × 13 rates × 1 schedule × 5 seeds``."""
    sizes = [_counted(len(f.levels), f.kind.many if f.varied else f.kind.words) for f in plan.factors[:3]]
    if plan.points:
        sizes[1] = say("{count} points ({search})", count=len(plan.points), search=plan.search)
    for f in [f for f in plan.further if f.name not in plan.drawn and not f.usual]:
        everywhere = f.only is None or len(f.only) == len(plan.optimizers)
        sizes.append(_counted(len(f.levels), f.kind.many) + ("" if everywhere else say(" (where it applies)")))
    sizes.append(_counted(plan.seeds, mark("seeds") if plan.seeds > 1 else mark("seed")))
    words = " × ".join([*sizes, _counted(plan.folds.count, mark("folds"))] if plan.folds else sizes)
    if not plan.refined:
        return words
    return say("{words}, and {count} finer settings", words=words, count=len(plan.refinement))


def _counted(count: int, what: str) -> str:
    return say("{count} {what}", count=count, what=what)


def _with_states(plan: Plan) -> Plan:
    """The plan with the number of states of every formula that its hyperparameters make."""
    states = dict(plan.states)
    for label in plan.optimizers if plan.hyperparameters else ():
        factors = [f for f in plan.hyperparameters if f.applies(label)]
        for levels in dict.fromkeys(plan.combinations(label, factors)):
            changes = {f.name: level for f, level in zip(factors, levels, strict=True)}
            count = len(plan.formulas[label].with_(**accepted(plan.formulas[label], changes)).states)
            if count != states[label]:
                states[_variant(label, changes)] = count
    return replace(plan, states=states)


def equations_text(rule: Formula) -> list[str]:
    """A formula's equations and defaults as text, to recognise it by."""
    if isinstance(rule, Opaque):
        return [rule.source, *(f"{name}={value!r}" for name, value in rule.hyperparameters.items() if name != "lr")]
    e = rule.equations
    defaults = [f"{name}={value!r}" for name, value in rule.hyperparameters.items() if name != "lr"]
    return [f"step = {e.step}", *(f"{n} = {v}" for n, v in e.states), *(f"{n}0 = {v}" for n, v in e.initial), *defaults]


__all__ = ["Plan", "Setting", "log_range", "parse_rates", "plan"]
