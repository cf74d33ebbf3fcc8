"""Results: a study's store, read-only.

Whatever shows a study or trains its settings again (reports, the command line, exports, probes, ensembles) takes
`Results`. Another process may be writing the store meanwhile: each of its transactions raises the `revision`, and what
takes long to read or to judge is cached until then.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self, TypeVar

import pandas as pd

from .errors import PlanError, StoreError
from .formulas import Formula
from .formulas.registry import word
from .plan.factors import LOSS, OPTIMIZER, REGULARIZER, SCHEDULE, Setting, factor
from .plan.looks import CONFIRMATION, SEARCH
from .plan.looks import stages as stages_of
from .plan.plan import Plan
from .plan.stored import as_now
from .problem import trust as trusted
from .problem.declaration import Problem
from .problem.find import declared
from .problem.loop import Loop
from .problem.prepare import Prepared, prepare
from .recipe import recipe as recipes
from .recipe.own import command_recipe, loop_recipe
from .recipe.run import RecipeRun
from .schedules import Given
from .store.file import ENDED, Store
from .store.onward import is_object, objects_of, to_resume
from .unknown import unknown
from .verdict import sanity
from .verdict.budget import expected_best
from .verdict.entries import Verdict
from .verdict.generalization import Generalization, generalization
from .verdict.importance import importance, importance_table
from .verdict.leaders import leaders
from .verdict.leaders import table as leader_table
from .verdict.sensitivity import sensitivity
from .verdict.sentences import trained_as
from .verdict.targets import race
from .verdict.verdict import judge

T = TypeVar("T")


class Results:
    """What a store holds, as far as its study has come: `verdict`, `table`, `curves`, `recipe`, `prepared`.

    Attributes:
        path: of the store.
        declared: the problem or training loop, where it was given and not only named by the store.
    """

    def __init__(
        self, path: str | Path, objects: Mapping[str, Mapping[str, Any]] | None = None, declared: Any = None
    ) -> None:
        self.path, self.declared = Path(path), declared
        self._objects = objects or {}  # argument of `compare` → label → object of the user's own
        self._cache: tuple[int, dict[str, Any]] = (-1, {})  # a revision, and what was read or judged at it

    @classmethod
    def open(
        cls,
        path: str | Path,
        optimizers: Sequence[str | Formula] = (),
        schedules: Sequence[Given] = (),
        losses: Sequence[Any] = (),
        regularizers: Sequence[Any] = (),
        trust: bool = False,
    ) -> Self:
        """The study in that store.

        Args:
            optimizers, schedules, losses, regularizers: those of your own that it compared, if they were not given as
                file.py:name.
            trust: whether files and modules that the store names may be run although they never ran on this machine.

        Raises:
            StoreError: the file is missing, not a store, damaged or of another version; it is left as it was.
        """
        objects = {OPTIMIZER: optimizers, SCHEDULE: schedules, LOSS: losses, REGULARIZER: regularizers}
        results = cls(path, {kind.argument: factor(kind, levels).objects for kind, levels in objects.items() if levels})
        Store.open(path).close()
        if trust:
            trusted.remember(results.specs)
        return results

    @property
    def revision(self) -> int:
        """A number that each transaction of the store's writer raises."""
        with Store.open(self.path) as store:
            return store.revision

    def _once(self, what: str, read: Callable[[], T]) -> T:
        """What `read` gives; the same until the revision rises."""
        revision = self.revision
        if self._cache[0] != revision:
            self._cache = (revision, {})
        _, cache = self._cache
        if what not in cache:
            cache[what] = read()
        return cache[what]

    def _meta(self, key: str, default: Any = None) -> Any:
        with Store.open(self.path) as store:
            return store.meta(key, default)

    @property
    def stored_plan(self) -> dict[str, Any]:
        """The plan as the store has it, in plain values."""
        return self._meta("plan", {})

    @property
    def plan(self) -> Plan:
        """The plan that the study was begun with, and what the grid of rates has grown by."""
        return self._once("plan", lambda: Plan.from_json(self.stored_plan, {**self._objects, **self._words}))

    @property
    def _words(self) -> dict[str, dict[str, Formula]]:
        """The optimizers of a command, which are words and nothing else."""
        if self.problem["kind"] != "command":
            return {}
        return {OPTIMIZER.argument: {label: word(label) for label in as_now(self.stored_plan)[OPTIMIZER.argument]}}

    @property
    def problem(self) -> dict[str, Any]:
        """The problem as the store has it: name, kind, spec, source text, fingerprint, sizes."""
        empty = dict.fromkeys(("name", "kind", "spec", "fingerprint", "loss", "text"), "")
        return {**empty, **self._meta("problem", {})}

    @property
    def specs(self) -> list[str]:
        """What training would load: the problem and the formulas and losses that the store names by file or module."""
        by_factor = as_now(self.stored_plan)["specs"].values()
        return [self.problem["spec"], *(spec for specs in by_factor for spec in specs.values())]

    @property
    def onward(self) -> str:
        """How an unfinished study is carried on."""
        return to_resume(self.path, objects_of(self.problem, self.stored_plan))

    @property
    def stored_callbacks(self) -> list[str]:
        """The callbacks that the store names, as `thalweg.callbacks.named` takes them."""
        return self._meta("callbacks", [])

    def prepared(self, problem: Problem | str | None = None) -> Prepared:
        """The problem, ready to train; `problem` and errors are those of `trained`.

        Raises:
            PlanError: the study is of a training loop of the user's own.
        """
        ready = self.trained(problem)
        if isinstance(ready, Loop):
            raise PlanError(
                f"{self.path} is a study of {ready.name}, {ready.what}, whose model and data are not "
                "known; this needs a study of a tw.Problem."
            )
        return ready

    def trained(self, problem: Any = None, otherwise: str = "give that object as problem=.") -> Prepared | Loop:
        """The problem, ready to train, or the training loop. Here alone what a store names is loaded.

        Args:
            problem: needed only where the study was given an object or a function, which no store can name, and that is
                not at hand as `declared`.
            otherwise: what to do where it is needed and missing.

        Raises:
            PlanError: it is needed and missing, is not trusted, or is not what the study was begun with.
        """
        facts, source = self.problem, self.declared if problem is None else problem
        if source is None and is_object(facts):
            what = "a function of your own" if facts.get("loop") else "a tw.Problem object"
            raise PlanError(f"{self.path} was begun with {what}; {otherwise}")
        if source is None:
            trusted.check(facts["spec"])
        thing = declared(facts["spec"] if source is None else source)
        ready = thing if isinstance(thing, Loop) else prepare(thing)
        if ready.fingerprint != facts["fingerprint"]:
            what = "its name" if isinstance(ready, Loop) else "its model, data or loss"
            raise PlanError(
                f"the problem {ready.name} is not the one {self.path} was begun with ({what} changed); bring the old "
                "one back, or start a new study."
            )
        return ready

    def to_train(self, problem: Problem | str | None = None) -> tuple[Plan, Prepared]:
        """The plan and the problem, to train any of the settings with; `problem` and errors are those of `prepared`.

        Raises:
            PlanError: something of the plan cannot be found.
        """
        return self._whole_plan(), self.prepared(problem)

    def to_go_on(
        self, problem: Any = None, otherwise: str = "give that object as problem=."
    ) -> tuple[Plan, Prepared | Loop]:
        """As `to_train`, of a training loop too."""
        return self._whole_plan(), self.trained(problem, otherwise)

    def _whole_plan(self) -> Plan:
        """The plan, of which everything has been found: whatever cannot be is reported before anything is prepared."""
        plan = self.plan
        for each in plan.factors:
            for level in each.levels:
                _ = each.objects[level]
        return plan

    @property
    def name(self) -> str:
        return self.problem["name"]

    @property
    def provenance(self) -> dict[str, Any]:
        """Versions, machine and times, and the fingerprint of problem and data."""
        problem = {f"problem {k}": v for k, v in self.problem.items() if k != "text"}
        return {**self._meta("provenance"), **problem, "store": str(self.path)}

    @property
    def sessions(self) -> list[dict[str, Any]]:
        """The provenance of each session that wrote the store."""
        return self._meta("sessions", []) or [self._meta("provenance", {})]

    @property
    def finished(self) -> bool:
        """Whether nothing is left to run."""
        with Store.open(self.path) as store:
            stages = store.stages()
            planned = stages_of(as_now(store.meta("plan")))
            measured = store.meta("costs") is not None and store.meta("recipe_run", {}) is not None
        return measured and stages.keys() >= {*planned} and set().union(*stages.values()) <= set(ENDED)

    @property
    def limit(self) -> dict[str, Any]:
        """The time that the study was given, and `words` for what was left out for it; empty where it had no limit."""
        return self._meta("limit", {})

    @property
    def ways(self) -> dict[str, Any]:
        """How members are trained: what was asked for, and for each program what was measured to be best."""
        batching = self._meta("batching", {})
        return {"asked": "auto"} | {name: batching[name] for name in ("asked", "ways", "reasons") if name in batching}

    @property
    def batching(self) -> list[str]:
        """What was left out for want of time; how members were trained where that is not compiled, and why; what else
        slowed them down; which callbacks failed."""
        left_out = self.limit.get("words", ())
        return [*left_out, *trained_as(self._meta("batching", {})), *self._meta("unheard", [])]

    @property
    def verdict(self) -> Verdict:
        """Which optimizer is best here, and how sure that is; of what is finished so far."""
        return self.verdict_by("optimizer")

    def verdict_by(self, factor: str, margin: float | None = None, by_metric: str | None = None) -> Verdict:
        """Which level of any factor the study varies is best here: which schedule, batch size, loss, ….

        Each level is represented by its best setting, tuned over everything else, with the same intervals,
        paired by seed, as `verdict`.

        Args:
            factor: "optimizer", "schedule", "loss", "batch_size", "lr", or a hyperparameter's name.
            margin: differences up to that share of the best value do not matter; unless given that of `compare`.
            by_metric: ranks by another metric than the study chose its settings by, e.g. "accuracy", or "f1:max" for
                one of your own, of which higher is better; "f1:min" for lower.

        Raises:
            PlanError: the study does not vary that factor, the margin is below 0, or it has no such metric.

        >>> import thalweg as tw, tempfile
        >>> study = tw.compare("breast-cancer", ["adam"], [0.01], ["constant"], seeds=2, epochs=2, confirmation=3,
        ...                    batch_sizes=[16, "full"], store=tempfile.mkdtemp() + "/a.db", progress=False)
        >>> verdict = study.verdict_by("batch_size")
        >>> verdict.groups, [entry.steps for entry in verdict.entries]
        ((('16',), ('full',)), [46, 2])
        """

        def judged() -> Verdict:
            with Store.open(self.path) as store:  # whose rows are checked once
                table, parts = self._once("table", store.members), store.parts()
            samples = (self.problem.get("validation_samples", 0), self.problem.get("pool_samples", 0))
            evidence = table, self._meta("costs") or {}, factor, parts, samples
            objects = objects_of(self.problem, self.stored_plan)
            verdict = judge(self.plan, self.name, *evidence, margin, by_metric, str(self.path), objects)
            return replace(verdict, signs=tuple(sanity.notes(self.problem, self.plan, verdict, table)))

        return self._once(f"verdict by {factor} {margin} {by_metric}", judged)

    def generalization(self, by: str = "optimizer") -> list[Generalization]:
        """The gap between training and validation, over- and underfitting in words, and where to stop, for the chosen
        setting of each level of a factor, best first; the rules are those of `thalweg.verdict.generalization`.

        Args:
            by: as `verdict_by` takes it.

        >>> import thalweg as tw, tempfile
        >>> study = tw.compare("breast-cancer", ["sgd"], [0.001], ["constant"], seeds=3, epochs=5, confirmation=3,
        ...                    store=tempfile.mkdtemp() + "/a.db", progress=False)
        >>> (sgd,) = study.generalization()
        >>> sgd.word, sgd.stop, sgd.steps
        ('fits', 30, 30)
        """
        verdict = self.verdict_by(by)
        return generalization(self.plan, verdict, self.table(), self.curves(verdict.stage))

    def table(self) -> pd.DataFrame:
        """One row per member: stage, optimizer, lr, schedule, every other factor that varies (NaN where it does not
        apply), seed, fold (of a cross-validation; missing for those trained on all samples), status, step, and its
        losses and metrics: the last ones, or those of the epochs by which the study judges."""
        with Store.open(self.path) as store:
            return self._once("table", store.members).copy()

    def curves(self, stage: str | None = None) -> pd.DataFrame:
        """member, step, metric, value: one point per member, metric and pass over the data.

        Args:
            stage: "search" or "confirmation" alone, or "confirmation at 40 epochs" of a study that was extended to so
                many; all unless given.

        Raises:
            PlanError: there is no such stage.
        """
        if stage not in (None, SEARCH, CONFIRMATION):
            allowed = list(dict.fromkeys([SEARCH, CONFIRMATION, *stages_of(as_now(self.stored_plan))]))
            if stage not in allowed:
                raise PlanError(unknown("stage", str(stage), allowed))
        with Store.open(self.path) as store:
            return store.curves(stage)

    def recipe(self, optimizer: str | None = None, seed: int = 0) -> recipes.Recipe:
        """The winner (or another optimizer's chosen setting) as a plain-PyTorch script.

        Args:
            optimizer: a label of the plan; the best unless given.
            seed: whose initial weights and batch order the script repeats.
        """
        if self.problem["kind"] == "command":
            return command_recipe(self.judged_plan, self.problem, self.chosen(optimizer), seed)
        of = loop_recipe if self.problem.get("loop") else recipes.recipe
        return of(self.judged_plan, self.problem, self.chosen(optimizer), seed)

    @property
    def judged_plan(self) -> Plan:
        """The plan with as many epochs as the runs have that the verdict judges, which an extension may have raised."""
        return replace(self.plan, epochs=self.verdict.epochs or self.plan.epochs)

    def chosen(self, optimizer: str | Setting | None = None) -> Setting:
        """The chosen setting of that optimizer, of the best unless one is named; a setting is its own choice."""
        if isinstance(optimizer, Setting):
            return optimizer
        entries = {e.optimizer: e for e in self.verdict.entries}
        if not entries:
            raise StoreError(f"{self.path} has no complete seed yet, so nothing is chosen; `{self.onward}`.")
        label = optimizer or next(iter(entries))
        if label not in entries:
            raise PlanError(f"{label!r} is not among this study's optimizers: {', '.join(entries)}.")
        return entries[label].setting

    @property
    def recipe_run(self) -> RecipeRun | None:
        """How closely the winner, trained alone by its recipe, followed its run in the population.

        None while the study is unfinished, where nothing could be chosen, and for stores that never had it.
        """
        stored = self._meta("recipe_run")
        return RecipeRun.from_json(stored) if stored else None

    def sensitivity(self) -> pd.DataFrame:
        """How much the rate matters: one row per optimizer, everything but the rate at its chosen level.

        Columns: optimizer, schedule, other factors that vary, lr and validation_loss (or the metric that the study
        judges by) of the best rate; for 1, 5 and
        10%: `decades_…`, how many decades of rate have a mean validation loss within so much of the best (straight
        lines between the rates tried), from `low_…` to `high_…`, and `at_least_…`, whether the grid ends inside of
        them; rates, how many the grid has, and diverged, the share of them at which a seed diverged.

        >>> import thalweg as tw, tempfile
        >>> study = tw.compare("breast-cancer", ["sgd"], [0.01, 0.1], ["constant"], seeds=2, epochs=2,
        ...                    confirmation=0, store=tempfile.mkdtemp() + "/a.db", progress=False)
        >>> study.sensitivity()[["optimizer", "lr", "at_least_10", "rates", "diverged"]].values.tolist()
        [['sgd', 0.1, True, 2, 0.0]]
        """
        return sensitivity(self.plan, self.table())

    def time_to_target(self, target: float | None = None) -> pd.DataFrame:
        """How soon each optimizer's chosen setting reaches a validation loss, in steps and in seconds of one run.

        Columns: optimizer, target, runs, reached, and for steps and seconds: the median over runs with its 95%
        interval (`…_low`, `…_high`; infinite where half of the runs never reached it), and `…_restricted_mean`, the
        mean with those that never did counted with all of their budget. Kaplan–Meier estimates over fresh seeds
        once confirmed, with folds of the mean over them; from where a run diverged it reaches nothing.

        Args:
            target: a validation loss; unless given, the median over seeds that the best setting ends with.

        Raises:
            PlanError: the target is not a number.

        >>> import thalweg as tw, tempfile
        >>> study = tw.compare("breast-cancer", ["sgd"], [0.01, 0.1], ["constant"], seeds=3, epochs=2,
        ...                    confirmation=0, store=tempfile.mkdtemp() + "/a.db", progress=False)
        >>> study.time_to_target(0.5)[["optimizer", "runs", "reached", "steps_median"]].values.tolist()
        [['sgd', 3, 3, 6.0]]
        """
        verdict = self.verdict
        ways = race(verdict, self.table(), self.curves(verdict.stage), target)
        return pd.DataFrame() if ways is None else ways.table()

    def expected_best(self, by: str = "optimizer") -> pd.DataFrame:
        """What a smaller search would have given: the best among k settings picked at random from the grid.

        One row per level of a factor and number k, from 1 to all of its settings. Columns: the factor; `tried`, k;
        `settings`, of how many; `median` of the best mean over the search's seeds, by what the study judges by, with
        the middle half (`low_50`, `high_50`) and the middle 80% (`low_80`, `high_80`) of all draws without replacement;
        `seed_low` and `seed_high`, the smallest and largest median that a single seed gives; `mean`, the expected
        value, which is infinite while k settings may all diverge; and `all_diverged`, the chance that they do. Nothing
        is drawn: the numbers are exact. A setting that was stopped early counts with the loss it had then.

        Args:
            by: as `verdict_by` takes it.

        Raises:
            PlanError: the study does not vary that factor.

        >>> import thalweg as tw, tempfile
        >>> study = tw.compare("breast-cancer", ["sgd"], [0.001, 0.01, 0.1], ["constant"], seeds=2, epochs=2,
        ...                    confirmation=0, grow=0, refine=0, store=tempfile.mkdtemp() + "/a.db", progress=False)
        >>> table = study.expected_best()
        >>> table["tried"].tolist(), bool(table["median"].is_monotonic_decreasing)
        ([1, 2, 3], True)
        >>> bool(table["median"].iloc[-1] == study.verdict.best.search_value)
        True
        """
        return expected_best(self.plan, self.table(), by)

    def importance(self) -> pd.DataFrame:
        """How much each factor matters: the shares of the variance of ranks over the search's runs that it explains.

        One row per grid and factor, with columns `optimizer` ("all": the grids of all of them together), `factor` and
        `share`. A factor alone is its main effect, "lr × schedule" what two explain together beyond that, "rest" the
        interactions of more of them, "specific" the hyperparameters that not every optimizer has, and "seeds" what
        differs within settings. The shares of a grid sum to 1. The split is exact, since the grid is complete; a run
        that diverged has the highest rank, and one that was stopped early that of the loss it had then. Empty until
        a seed is complete.

        >>> import thalweg as tw, tempfile
        >>> study = tw.compare("breast-cancer", ["sgd", "adam"], [0.01, 0.1], ["constant"], seeds=2, epochs=2,
        ...                    confirmation=0, store=tempfile.mkdtemp() + "/a.db", progress=False)
        >>> table = study.importance()
        >>> table.loc[table["optimizer"] == "all", "factor"].tolist()
        ['optimizer', 'lr', 'optimizer × lr', 'seeds']
        >>> table.groupby("optimizer")["share"].sum().round(6).tolist()
        [1.0, 1.0, 1.0]
        """
        return importance_table(importance(self.plan, self.table()))

    def leaders(self, by: str = "optimizer") -> pd.DataFrame:
        """Which level is ahead after each epoch, at the settings chosen for the whole budget.

        One row per epoch and level, best level of the verdict first. Columns: epoch; the factor; `validation_loss` (or
        the metric that the study judges by), the mean over fresh seeds once confirmed, infinite where a run has
        diverged by then; `rank`; `leads`, whether it is ahead of all; and `behind`, the difference to the level that
        leads after that epoch, paired by seed, with its 95% interval (`behind_low`, `behind_high`), each for itself.

        Args:
            by: as `verdict_by` takes it.

        Raises:
            PlanError: the study does not vary that factor.

        >>> import thalweg as tw, tempfile
        >>> study = tw.compare("breast-cancer", ["sgd", "adam"], [0.001, 0.01], ["constant"], seeds=3, epochs=2,
        ...                    confirmation=0, store=tempfile.mkdtemp() + "/a.db", progress=False)
        >>> study.leaders()[["epoch", "optimizer", "rank"]].values.tolist()
        [[1, 'adam', 1], [1, 'sgd', 2], [2, 'adam', 1], [2, 'sgd', 2]]
        """
        verdict = self.verdict_by(by)
        standings = leaders(self.plan, verdict, self.table(), self.curves(verdict.stage))
        return leader_table(standings, verdict.factor, verdict.criterion.column)
