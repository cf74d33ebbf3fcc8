"""A study: plan, population and results, living in a store. `compare` begins one; this is the main job."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from torch.utils.data import DataLoader

from ..engine.progress import Progress, progress_for
from ..engine.recipe_run import RecipeRun
from ..errors import PlanError, StoreError, unknown
from ..formulas import Formula
from ..plan.factors import FULL, LOSS, OPTIMIZER, REGULARIZER, SCHEDULE, STORED_BATCH_SIZE, Setting, factor
from ..plan.folds import Folds, check_unwatched
from ..plan.folds import folds as cut
from ..plan.plan import FULL_BUDGET, GROW, Plan, as_now, checked, plan
from ..problem import trust as trusted
from ..problem.declaration import Problem, load
from ..problem.prepare import Prepared, check_loss, prepare, sample_of_train
from ..recipe import recipe as recipes
from ..schedules import Given
from ..store.file import ENDED, Store, kind_of
from ..store.provenance import provenance
from ..verdict.generalization import Generalization, generalization
from ..verdict.sensitivity import sensitivity
from ..verdict.targets import race
from ..verdict.verdict import Verdict, judge

if TYPE_CHECKING:
    from ..probes.landscape import Landscape
    from ..probes.sharpness import Sharpnesses
    from ..resampling.bias_variance import BiasVariance
    from ..resampling.ensemble import Ensemble


class Study:
    """A study in its store, for reading: `verdict`, `table`, `curves`, `recipe`, `report`.

    Open one with `Study.open`; another process may be writing it meanwhile.
    """

    def __init__(self, path: Path, given: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        self.path = Path(path)
        self._given = given or {}  # argument of `compare` → label → object of the user's own
        self.declared: Problem | str | None = None  # a problem that no store can name, while it is at hand

    @classmethod
    def open(
        cls,
        path: str | Path,
        optimizers: Sequence[str | Formula] = (),
        schedules: Sequence[Given] = (),
        losses: Sequence[Any] = (),
        regularizers: Sequence[Any] = (),
        trust: bool = False,
    ) -> Study:
        """The study in that store.

        Args:
            optimizers, schedules, losses, regularizers: those of your own that it compared, if they were not given as
                file.py:name.
            trust: whether files and modules that the store names may be run although they never ran on this machine.

        Raises:
            StoreError: the file is missing, no store, damaged or of another version; it is left as it was.
        """
        given = {OPTIMIZER: optimizers, SCHEDULE: schedules, LOSS: losses, REGULARIZER: regularizers}
        study = cls(Path(path), {kind.argument: factor(kind, own).found for kind, own in given.items() if own})
        with study.store():
            if trust:
                trusted.remember(study.specs)
            return study

    @contextmanager
    def store(self, write: bool = False) -> Iterator[Store]:
        store = Store.open(self.path, write)
        try:
            yield store
        finally:
            store.close()

    def _meta(self, key: str, default: Any = None) -> Any:
        with self.store() as store:
            return store.meta(key, default)

    @property
    def plan(self) -> Plan:
        """What was asked for, and what the grid of rates has grown by."""
        return Plan.from_json(self._meta("plan"), self._given)

    @property
    def problem(self) -> dict[str, Any]:
        """What the store knows of the problem: name, kind, spec, source text, fingerprint, sizes."""
        return {**dict.fromkeys(("kind", "spec", "fingerprint", "loss", "text"), ""), **self._meta("problem")}

    @property
    def specs(self) -> list[str]:
        """What training would load: the problem and the formulas and losses that the store names by file or module."""
        named = as_now(self._meta("plan"))["specs"].values()
        return [self.problem["spec"], *(spec for one in named for spec in one.values())]

    @property
    def name(self) -> str:
        return self.problem["name"]

    @property
    def provenance(self) -> dict[str, Any]:
        """Versions, machine and times, and the fingerprint of problem and data."""
        known = {k: v for k, v in self.problem.items() if k != "text"}
        return {**self._meta("provenance"), **{f"problem {k}": v for k, v in known.items()}, "store": str(self.path)}

    @property
    def finished(self) -> bool:
        """Whether nothing is left to run."""
        with self.store() as store:
            stages = store.stages()
            wanted = {"search"} | ({"confirmation"} if store.meta("plan")["confirmation"] else set())
            done = store.meta("costs") is not None and store.meta("recipe_run", {}) is not None
        return done and wanted <= stages.keys() and set().union(*stages.values()) <= set(ENDED)

    @property
    def batching(self) -> list[str]:
        """Why members were trained one by one, a sentence for each reason; empty where all were batched."""
        kept = self._meta("batching", {})
        if not any(kept.get("reasons", ())):
            return []
        from ..engine.batching import sentences  # what only training needs is imported where it is needed

        return sentences(kept)

    @property
    def verdict(self) -> Verdict:
        """Which optimizer is best here, and how sure that is; of what is finished so far."""
        return self.verdict_by("optimizer")

    def verdict_by(self, factor: str) -> Verdict:
        """Which level of any factor the study varies is best here: which schedule, batch size, loss, ….

        Each level is represented by its best setting, tuned over everything else, with the same intervals,
        paired by seed, as `verdict`.

        Args:
            factor: "optimizer", "schedule", "loss", "batch_size", "lr", or a hyperparameter's name.

        Raises:
            PlanError: the study does not vary that factor.

        >>> import thalweg as tw, tempfile
        >>> study = tw.compare("breast-cancer", ["adam"], [0.01], ["constant"], seeds=2, epochs=2, confirmation=3,
        ...                    batch_sizes=[16, "full"], store=tempfile.mkdtemp() + "/a.db", progress=False)
        >>> verdict = study.verdict_by("batch_size")
        >>> verdict.groups, [entry.steps for entry in verdict.entries]
        ((('16',), ('full',)), [46, 2])
        """
        with self.store() as store:
            members, costs = store.members(), store.meta("costs") or {}
        return judge(self.plan, self.name, members, costs, factor)

    def generalization(self, by: str = "optimizer") -> list[Generalization]:
        """The gap between training and validation, over- and underfitting in words, and where to stop, for the chosen
        setting of each level of a factor, best first; the rules are those of `thalweg.verdict.generalization`.

        Args:
            by: as `verdict_by` takes it.

        >>> import thalweg as tw, tempfile
        >>> study = tw.compare("breast-cancer", ["sgd"], [0.001], ["constant"], seeds=3, epochs=5, confirmation=3,
        ...                    store=tempfile.mkdtemp() + "/a.db", progress=False)
        >>> (found,) = study.generalization()
        >>> found.word, found.stop, found.steps
        ('underfits', 30, 30)
        """
        verdict = self.verdict_by(by)
        return generalization(self.plan, verdict, self.table(), self.curves(verdict.stage))

    def sharpness(
        self, by: str = "optimizer", seeds: int = 5, epsilon: float = 0.05, problem: Problem | str | None = None
    ) -> Sharpnesses:
        """How sharp the minima are that the chosen settings end in: the largest eigenvalue of the loss's Hessian, and
        how much the loss rises by a step of length ε up its gradient; `.table`, `.interval(level)`, `.picture()`.

        The chosen setting of each level of a factor is trained once more, with the seeds its confirmation had.

        Args:
            by: as `verdict_by` takes it, e.g. "batch_size".
            seeds: at most so many of each.
            epsilon: the length of that step.
            problem: needed only for a study that was given a `tw.Problem` object.

        >>> import thalweg as tw, tempfile
        >>> study = tw.compare("breast-cancer", ["sgd"], [0.1], ["constant"], seeds=2, epochs=5, confirmation=2,
        ...                    store=tempfile.mkdtemp() + "/a.db", progress=False)
        >>> found = study.sharpness()
        >>> found.table.shape, bool(found.table["converged"].all())
        ((2, 7), True)
        """
        from ..probes.sharpness import of_study  # what only training needs is imported where it is needed

        return of_study(self, by, seeds, epsilon, problem)

    def table(self) -> pd.DataFrame:
        """One row per member: stage, optimizer, lr, schedule, every other factor that varies (NaN where it does
        not apply), seed, fold (of a cross-validation; missing for those trained on all samples), status, step, and
        its last losses."""
        with self.store() as store:
            return store.members()

    def curves(self, stage: str | None = None) -> pd.DataFrame:
        """member, step, metric, value: one point per member, metric and pass over the data.

        Args:
            stage: "search" or "confirmation" alone; both unless given.

        Raises:
            PlanError: there is no such stage.
        """
        if stage not in (None, "search", "confirmation"):
            raise PlanError(unknown("stage", str(stage), ["search", "confirmation"]))
        with self.store() as store:
            return store.curves(stage)

    def recipe(self, optimizer: str | None = None, seed: int = 0) -> recipes.Recipe:
        """The winner (or another optimizer's chosen setting) as a plain-PyTorch script.

        Args:
            optimizer: a label of the plan; the best unless given.
            seed: whose initial weights and batch order the script repeats.
        """
        return recipes.recipe(self.plan, self.problem, self.chosen(optimizer), seed)

    def chosen(self, optimizer: str | None = None) -> Setting:
        """The chosen setting of that optimizer, of the best unless one is named."""
        entries = {e.optimizer: e for e in self.verdict.entries}
        if not entries:
            raise StoreError(
                f"{self.path} has no complete seed yet, so nothing is chosen; `thalweg resume {self.path}`."
            )
        label = optimizer or next(iter(entries))
        if label not in entries:
            raise PlanError(f"{label!r} is not among this study's optimizers: {', '.join(entries)}.")
        return entries[label].setting

    @property
    def recipe_run(self) -> RecipeRun | None:
        """How closely the winner, trained alone by its recipe, followed its run in the population.

        None while the study is unfinished, where nothing could be chosen, and for stores that never had it.
        """
        kept = self._meta("recipe_run")
        return RecipeRun.from_json(kept) if kept else None

    def export(self, path: str | Path) -> list[Path]:
        """Write every run and every point of its curves for other tools; see docs/store.md for the columns.

        Args:
            path: ``runs.parquet`` or ``runs.csv``, beside which the curves go into ``runs.curves.parquet`` or
                ``runs.curves.csv``; or a folder for TensorBoard's event files, one run in each of its folders.

        Returns:
            What was written; nothing that is there already is replaced.

        >>> import thalweg as tw, tempfile
        >>> folder = tempfile.mkdtemp()
        >>> study = tw.compare("breast-cancer", ["sgd"], [0.01], ["constant"], seeds=1, epochs=1, confirmation=1,
        ...                    store=folder + "/a.db", progress=False)
        >>> [path.name for path in study.export(folder + "/runs.csv")]
        ['runs.csv', 'runs.curves.csv']
        """
        from .export import export

        return export(self, path)

    def sensitivity(self) -> pd.DataFrame:
        """How much the rate matters: one row per optimizer, everything but the rate at its chosen level.

        Columns: optimizer, schedule, other factors that vary, lr and validation_loss of the best rate; for 1, 5 and
        10%: `decades_…`, how many decades of rate have a mean validation loss within so much of the best (straight
        lines between the rates tried), from `low_…` to `high_…`, and `at_least_…`, whether the grid ends inside of
        them; rates, how many were tried, and diverged, the share of them at which a seed diverged.

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
        found = race(verdict, self.table(), self.curves(verdict.stage), target)
        return pd.DataFrame() if found is None else found.table()

    def ensemble(
        self,
        kind: str = "bagging",
        members: int = 20,
        optimizer: str | None = None,
        problem: Problem | str | None = None,
    ) -> Ensemble:
        """Several models of the chosen setting that answer as one, trained anew.

        Args:
            kind: "bagging": each draws its own samples; "seeds": each has all samples, and other initial weights and
                order; "boosting": stages that learn what those before them got wrong, whose candidates have the chosen
                setting of every optimizer, or of the one named.
            members: how many.
            optimizer: a label of the plan; the best unless given.
            problem: needed only for a study that was opened, and was given a `tw.Problem` object.

        Raises:
            PlanError, StoreError: there is no such kind or optimizer, nothing was chosen yet, or the problem is
                another one or a DataLoader.
        """
        from ..resampling.of_study import ensemble

        return ensemble(self, kind, members, optimizer, problem)

    def bias_variance(
        self, members: int = 20, noise: float | None = None, problem: Problem | str | None = None
    ) -> BiasVariance:
        """Error, bias², variance and noise of every setting of the study, from models trained on resamples.

        Args:
            members: resamples of each setting.
            noise: as `thalweg.bias_variance` takes it.
            problem: needed only for a study that was opened, and was given a `tw.Problem` object.
        """
        from ..resampling.of_study import bias_variance

        return bias_variance(self, members, noise, problem)

    def landscape(self, optimizer: str | None = None, **how: Any) -> Landscape:
        """The loss of a member's network along its path, or as `tw.landscape` is told; the member is trained again.

        Args:
            optimizer: whose chosen setting; the best unless given.
            how: as `tw.landscape` takes it: ``to="sgd"`` for a line to another optimizer's, ``kind="random"``, ….
        """
        from ..probes.landscape import landscape

        return landscape(self, optimizer=optimizer, **how)

    def prepared(
        self, problem: Problem | str | None = None, otherwise: str = "give that object as problem=."
    ) -> Prepared:
        """The study's problem, prepared again to train with.

        Args:
            problem: needed only for a study that was opened, and was given a `tw.Problem` object.
            otherwise: what to do where it is needed and missing.

        Raises:
            PlanError: it is needed and missing, or is not the problem that the study was begun with.
        """
        facts, given = self.problem, problem if problem is not None else self.declared
        if given is None and facts["kind"] == "object":
            raise PlanError(f"{self.path} was begun with a tw.Problem object; {otherwise}")
        if given is None:
            trusted.check(facts["spec"])
        ready = prepare(given if given is not None else facts["spec"])
        if ready.fingerprint != facts["fingerprint"]:
            raise PlanError(
                f"the problem {ready.name} is not the one {self.path} was begun with (its model, data or loss "
                "changed); bring the old one back, or start a new study."
            )
        return ready

    def report(self, path: str | Path) -> Path:
        """Write the report: one HTML file that needs nothing else."""
        from .. import report

        report.write(self, path)
        return Path(path)


def compare(
    problem: Problem | str,
    optimizers: Sequence[str | Formula] | None = None,
    rates: Sequence[float] | None = None,
    schedules: Sequence[str] = ("constant", "cosine"),
    seeds: int = 5,
    epochs: int = 20,
    batch_size: int = 64,
    confirmation: int = 10,
    store: str | Path | None = None,
    progress: bool | None = None,
    regularizers: Sequence[Any] | None = None,
    losses: Sequence[str | Callable[..., Any]] | None = None,
    batch_sizes: Sequence[int | str] | None = None,
    hyperparameters: Mapping[str, Sequence[Any]] | None = None,
    folds: Any = None,
    budget: str = FULL_BUDGET,
    grow: int = GROW,
    batched: bool | str = "auto",
) -> Study:
    """Train every optimizer at every level of every other factor, for every seed, as populations.

    The best setting of each optimizer, and of each level of everything else that varies but the rates, by
    mean validation loss over the seeds, is then run again with fresh seeds, which give the intervals and the
    test numbers; and so is each optimizer at its formula's own rate and hyperparameters, with no schedule.

    Args:
        problem: a `tw.Problem`, a built-in's name, ``"package.module:function"`` or ``"file.py:function"``.
        optimizers: names, formulas, or ``"file.py:formula"``; the eight classic ones unless given.
        rates: learning rates, the same for all; 13 from 1e-4 to 1 on a logarithmic axis unless given.
        schedules: names from `thalweg.schedules`, also with arguments, ``"warmup(cosine, steps=100)"``;
            schedules; or mappings, ``{"lr": "cosine", "momentum": "ramp"}``.
        seeds: runs of each setting in the search; a seed fixes initial weights and batch order.
        epochs: passes over the training data, the same for every batch size, so that smaller batches take
            more steps and all see the same samples equally often.
        batch_size: samples per step; a DataLoader has its own.
        confirmation: fresh seeds for each chosen setting; 0 leaves the test part untouched.
        store: the file to keep the study in; ``runs/<problem>.db`` unless given. A store that already
            holds this very study is carried on; one that holds another is refused.
        progress: False for silence.
        regularizers: names of `thalweg.regularizers` with their strength, ``"mixup(0.2) + l2(1e-4)"``, objects, and
            None for none; none unless given.
        losses: names, functions or ``"file.py:function"`` to train with instead of the problem's own loss,
            which still judges validation and test: values of different losses cannot be compared.
        batch_sizes: instead of `batch_size`, several to compare; ``"full"`` is all training samples.
        hyperparameters: name → values, for every formula that has that hyperparameter or option, e.g.
            ``{"weight_decay": [0, 1e-4], "beta2": [0.99, 0.999]}``; a formula that has it not is tried once,
            which tables show as –.
        folds: cross-validate instead of judging by one validation part: a number of folds of all training and
            validation samples, stratified for class ids and grouped by the problem's `groups`; or a splitter of
            `sklearn.model_selection`, ``LeaveOneOut()``, ``TimeSeriesSplit(5)``. Settings are chosen by the mean over
            folds and seeds; the chosen ones are cross-validated with fresh seeds, and then trained on all of these
            samples to meet the test part.
        budget: "full", or "halving": settings that cannot win any more are stopped after an eighth, a quarter
            and a half of the epochs, and the rest goes on without them; see `thalweg.engine.halving`.
        grow: where an optimizer's best rate is the lowest or the highest, the grid grows that way for all of them, by
            one rate at a time and at most so many on each side; 0 leaves it as it is, and so are one or two rates.
        batched: whether members are trained in batched programs. "auto" tries both on a few steps, and trains a
            model that cannot be batched, or is slow batched, member by member in processes of their own, with the
            same results; see `thalweg.engine.batching`.

    Raises:
        PlanError, ProblemError: what was asked does not fit together.
        StoreError: the store cannot be written, or holds something else; nothing is overwritten.

    >>> import thalweg as tw, tempfile
    >>> study = tw.compare("breast-cancer", optimizers=["sgd", "adam"], rates=[0.01, 0.1], seeds=2, epochs=2,
    ...                    confirmation=2, store=tempfile.mkdtemp() + "/study.db", progress=False)
    >>> len(study.table()), len(study.verdict.entries)
    (26, 2)
    """
    from ..engine.batching import check_asked

    check_asked(batched)
    declared = load(problem)
    own = isinstance(declared.train, DataLoader)
    wanted = plan(
        optimizers,
        rates,
        schedules,
        seeds,
        epochs,
        batch_size,
        confirmation,
        losses,
        batch_sizes,
        hyperparameters,
        regularizers,
        budget,
        grow,
    )
    if own:
        wanted = _for_loader(wanted, batch_sizes)
    ready = prepare(declared)
    if folds is not None:
        wanted = _cross_validated(wanted, cut(folds, ready, declared.seed))
    _check_further(wanted, ready)
    path = Path(store) if store is not None else _free_path(_facts(ready), wanted)
    study = begin(path, wanted, ready, progress, batched)
    study.declared = declared
    return study


def begin(path: Path, wanted: Plan, ready: Prepared, progress: bool | None, batched: bool | str = "auto") -> Study:
    """Run a plan in a new store, or in one that already holds this very study."""
    facts, wanted = _facts(ready), wanted.grown_to(())
    if kind_of(path) == "store":
        _same_study(path, facts, wanted)
    else:
        Store.create(
            path,
            {"plan": wanted.to_json(), "problem": facts, "provenance": provenance(), "batching": {"asked": batched}},
        ).close()
    given = {f.kind.argument: f.found for f in wanted.factors if f.kind.named}
    trusted.remember([facts["spec"]])
    return _carry_on(Study(path, given), wanted, ready, progress)


def _for_loader(wanted: Plan, batch_sizes: Sequence[int | str] | None) -> Plan:
    if batch_sizes is not None:
        raise PlanError(
            "the train data are a DataLoader, which makes its own batches, so batch_sizes cannot be varied; "
            "give the data as tensors, arrays or a Dataset, or leave batch_sizes out."
        )
    return wanted.with_factor(factor(STORED_BATCH_SIZE, [0]))


def _cross_validated(wanted: Plan, folds: Folds) -> Plan:
    check_unwatched(wanted["schedule"], wanted["regularizer"])
    return checked(replace(wanted, folds=folds))


def _check_further(wanted: Plan, ready: Prepared) -> None:
    """Refuse losses, regularizers and batch sizes that do not fit the problem."""
    from ..engine.programs import built

    for regularizer in wanted["regularizer"].found.values():
        for part in regularizer.parts if regularizer is not None else ():
            for loss in wanted["loss"].found.values():
                part.check(ready.loss if loss is None else loss, *sample_of_train(ready))
            with part.inside(built(ready)):
                pass  # refuses a model without what it acts on
    for label, loss in wanted["loss"].found.items():
        if label is not None:
            check_loss(ready, loss)
    if isinstance(ready.train, DataLoader) or not wanted["batch_size"].varied:
        return
    fewest = wanted.folds and min(len(kept) for kept, _ in wanted.folds.rows(ready))
    samples = fewest or len(ready.train[0])
    for size in wanted.batch_sizes:
        if size != FULL and int(size) >= samples:
            raise PlanError(
                f"batch size {size} is all {samples:,} training samples or more; give {FULL!r} for all of them."
            )


def resume(
    store: str | Path,
    problem: Problem | str | None = None,
    optimizers: Sequence[str | Formula] = (),
    schedules: Sequence[Given] = (),
    losses: Sequence[Any] = (),
    regularizers: Sequence[Any] = (),
    progress: bool | None = None,
    trust: bool = False,
) -> Study:
    """Carry a stopped study on from its store; the results are those of one that never stopped.

    Args:
        problem: needed only for a study that was given a `tw.Problem` object.
        optimizers, schedules, losses, regularizers: those of your own, needed only if they were given as objects.
        trust: whether files and modules that the store names may be run although they never ran on this machine.

    Raises:
        PlanError: the problem or a formula is not what it was, or the store names one that is not trusted.
    """
    study = Study.open(store, optimizers, schedules, losses, regularizers, trust)
    study.declared = problem
    if study.finished:
        return study
    wanted, ready = found_again(study, problem, "resume")
    return _carry_on(study, wanted, ready, progress)


def found_again(study: Study, problem: Problem | str | None, verb: str) -> tuple[Plan, Prepared]:
    """A study's plan and problem, to train with.

    Raises:
        PlanError: something of the plan cannot be found, or the problem is not the one it was.
    """
    wanted, path = study.plan, study.path
    for label, named in [(label, f) for f in wanted.factors for label in f.levels]:
        _ = named.found[label]  # whatever cannot be found again is said before anything is prepared
    return wanted, study.prepared(problem, f"{verb} it from Python: tw.{verb}({str(path)!r}, problem=…).")


def _carry_on(study: Study, wanted: Plan, ready: Prepared, progress: bool | None) -> Study:
    if study.finished:
        return study
    shown: Progress = progress_for(progress)
    from ..engine.execute import execute  # what only training needs is imported when it begins

    with study.store(write=True) as store, store.writing():
        store.stamp(provenance())
        try:
            execute(store, wanted, ready, shown)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                f"stopped; what is done is safe: carry on with `thalweg resume {study.path}`."
            ) from None
        finally:
            shown.stop()
    return study


def _facts(ready: Prepared) -> dict[str, Any]:
    source = dict(ready.source)
    if source.get("kind") == "file":
        path, _, function = source["spec"].rpartition(":")
        source["spec"] = f"{Path(path).expanduser().resolve()}:{function}"
    return {
        "name": ready.name,
        "kind": source.get("kind", "object"),
        "spec": source.get("spec", ""),
        "fingerprint": ready.fingerprint,
        "weights": ready.weights,
        "loss": ready.loss_name,
        "metrics": list(ready.metrics),
        "loader": isinstance(ready.train, DataLoader),
        "stream": isinstance(ready.train, DataLoader) and not hasattr(ready.train.dataset, "__len__"),
        "text": source.get("text", ""),
        "draws": ready.draws,
    }


def _free_path(facts: dict[str, Any], wanted: Plan) -> Path:
    """runs/<name>.db, or the next number if that holds another study."""
    stem = re.sub(r"[^\w.-]+", "-", facts["name"]).strip("-.") or "study"
    path = Path("runs") / f"{stem}.db"
    for number in range(2, 10_000):
        kind = kind_of(path)
        if kind == "none":
            break
        if kind == "store":
            with suppress(StoreError):
                _same_study(path, facts, wanted)
                break
        path = Path("runs") / f"{stem}-{number}.db"
    return path


def _same_study(path: Path, facts: dict[str, Any], wanted: Plan) -> None:
    """Refuse a store that holds anything but this very study."""
    with Study(path).store() as store:
        known, problem = store.meta("plan", {}), store.meta("problem", {})
    stored = as_now(known)
    asked = json.loads(json.dumps(wanted.to_json()))
    words = {"batch_sizes": "batch sizes", "seeds": "number of seeds", "epochs": "number of epochs"}
    passed = {"specs", "states", "applies", "defaults", "grown"} | ({"grow"} - set(known))
    kept: list[str] = [key for key in asked if key not in passed]
    changed = [words.get(key, key) for key in kept if asked[key] != stored.get(key)]
    if problem.get("fingerprint") != facts["fingerprint"]:
        changed.insert(0, "problem")
    if changed:
        raise StoreError(
            f"{path} already holds another study (with other {' and '.join(changed)}); "
            "it is left as it was: name another file with --store."
        )
