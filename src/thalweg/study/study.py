"""A study: plan, population and results, living in a store. `compare` begins one; this is the main job."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, closing, nullcontext, suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch.utils.data import DataLoader

from ..callbacks.base import Audience, Callback
from ..callbacks.names import as_before, callbacks_of, texts_of
from ..engine.progress import Progress, progress_for
from ..errors import PlanError, StoreError
from ..files import check_place
from ..formulas import Formula
from ..formulas.opaque import Opaque
from ..language import say
from ..losses import get as loss_of
from ..losses import name_of
from ..losses.base import unsampled
from ..plan.criterion import LAST, check_metric
from ..plan.factors import FULL, STORED_BATCH_SIZE, factor
from ..plan.folds import check_unwatched
from ..plan.folds import folds as cut
from ..plan.groups import resolved
from ..plan.margin import MARGIN
from ..plan.plan import GROW, REFINE, Plan, checked, plan, with_models
from ..plan.points import GRID
from ..plan.stored import FULL_BUDGET, as_now
from ..population.place import AUTO, CPU, FLOAT32, check_device
from ..problem import trust as trusted
from ..problem.checks import labelled
from ..problem.code import code_of, differs
from ..problem.declaration import Problem
from ..problem.find import declared as found
from ..problem.loop import Loop
from ..problem.metrics import judged_by
from ..problem.observed import observed
from ..problem.prepare import Prepared, check_loss, prepare, sample_of_train
from ..results import Results
from ..schedules import Given
from ..store.connection import stem_of
from ..store.file import Store, kind_of
from ..store.provenance import provenance
from ..unknown import unknown
from .extension import extended
from .limit import Limit, digest, limit_of
from .loops import loop_facts, loop_plan
from .opening import Ask, opened

if TYPE_CHECKING:
    from ..engine.cluster import Cluster
    from ..engine.pace import Opened
    from ..plan.factors import Setting
    from ..probes.landscape import Landscape
    from ..probes.sharpness import Sharpnesses
    from ..problem.run import Run
    from ..resampling.bias_variance import BiasVariance
    from ..resampling.ensemble import Ensemble

ENSEMBLES = ("bagging", "boosting", "seeds")


class Study(Results):
    """A study in its store: its results, and what can be made of them: `report`, `export`, `ensemble`, `landscape`, ….

    Open one with `Study.open`; another process may be writing it meanwhile. A notebook shows its verdict and table.
    """

    def __repr__(self) -> str:
        return f"Study({str(self.path)!r})"

    def _repr_html_(self) -> str:
        from ..report.html import glance

        return glance(self)

    def sharpness(
        self, by: str = "optimizer", seeds: int = 5, epsilon: float = 0.05, problem: Problem | str | None = None
    ) -> Sharpnesses:
        """How sharp the minima are that the chosen settings end in: the largest eigenvalue of the loss's Hessian, and
        how much the loss rises by a step of length ε up its gradient; `.table`, `.interval(level)`, `.picture()`.

        The chosen setting of each level of a factor is trained again, with the seeds of its confirmation.

        Args:
            by: as `verdict_by` takes it, e.g. "batch_size".
            seeds: at most so many of each.
            epsilon: the length of that step.
            problem: needed only for a study that was opened, and was given a `tw.Problem` object.

        >>> import thalweg as tw, tempfile
        >>> study = tw.compare("breast-cancer", ["sgd"], [0.1], ["constant"], seeds=2, epochs=5, confirmation=2,
        ...                    store=tempfile.mkdtemp() + "/a.db", progress=False)
        >>> minima = study.sharpness()
        >>> minima.table.shape, bool(minima.table["converged"].all())
        ((2, 7), True)
        """
        from ..probes.sharpness import of_study  # what only training needs is imported where it is needed

        return of_study(self, by, seeds, epsilon, problem)

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
        from ..engine.programs import Programs
        from ..resampling.bagging import averaged_members
        from ..resampling.boosting import boosted

        if kind not in ENSEMBLES:
            raise PlanError(unknown("kind of ensemble", str(kind), ENSEMBLES))
        setting = self.chosen(optimizer)
        _, ready = self.to_train(problem)
        programs = Programs(self.judged_plan.anywhere, ready)
        if kind != "boosting":
            return averaged_members(programs, setting, kind, members)
        every = [entry.setting for entry in self.verdict.entries]
        return boosted(programs, [setting] if optimizer is not None else every, members)

    def bias_variance(
        self, members: int = 20, noise: float | None = None, problem: Problem | str | None = None
    ) -> BiasVariance:
        """Error, bias², variance and noise of every setting of the study, from models trained on resamples.

        Args:
            members: resamples of each setting.
            noise: as `thalweg.bias_variance` takes it.
            problem: needed only for a study that was opened, and was given a `tw.Problem` object.
        """
        from ..engine.programs import Programs
        from ..resampling.bias_variance import taken_apart

        plan, ready = self.to_train(problem)
        programs = Programs(plan.anywhere, ready)
        return taken_apart(programs, programs.plan.settings, members, noise)

    def extend(
        self,
        seeds: int | None = None,
        samples: int | None = None,
        epochs: int | None = None,
        problem: Problem | str | None = None,
        progress: bool | None = None,
        callbacks: Sequence[Any] | None = None,
        cluster: str | Cluster | None = None,
    ) -> Study:
        """More evidence in the same store about every setting of the confirmation: fresh seeds, samples, or epochs.

        The settings stay those that the search chose. Until the new runs have all ended, the verdict is that of the
        runs before; then it is over all of them, at a level that keeps looking again within 5%
        (docs/method.md, "More evidence"). A study without a confirmation is given one. Stopped in between, it is
        carried on by `resume`.

        Args:
            seeds: how many more; 10 if nothing is given.
            samples: until so many judge at least: parts of the training samples, each about as large as the validation
                part, change places with it one after the other, so all of training and validation can judge. The test
                part stays untouched.
            epochs: the runs are made again, from the same fresh seeds, to so many epochs; schedules are those of a run
                that long. The verdict is then at so many epochs. The runs before stay in the store.
            problem: needed only for a study that was opened, and was given a `tw.Problem` object.
            progress: False for silence.
            callbacks, cluster: as `resume` takes them.

        Returns:
            This study.

        Raises:
            PlanError: a number that is not a whole one, or not more than there is; more samples than there are; more
                than a million runs; data that are a DataLoader, or a study with folds, for `samples`; the problem or a
                formula has changed; the study is not finished.
            StoreError: the store cannot be written.

        >>> import thalweg as tw, tempfile
        >>> study = tw.compare("breast-cancer", ["sgd"], [0.1], ["constant"], seeds=2, epochs=2, confirmation=2,
        ...                    store=tempfile.mkdtemp() + "/a.db", progress=False)
        >>> study.extend(seeds=3, progress=False).verdict.seeds
        5
        >>> verdict = study.extend(samples=150, epochs=3, progress=False).verdict
        >>> verdict.seeds, verdict.samples, verdict.epochs, verdict.looks
        (5, 182, 3, 2)
        """
        from ..engine.execute import add_fresh  # what only training needs is imported when it begins

        followers = None if callbacks is None else callbacks_of(callbacks)
        if not self.finished:
            raise PlanError(
                "{path} is unfinished; `{command}` first, then extend it.", path=self.path, command=self.onward
            )
        planned, ready = self.to_go_on(problem)
        planned = extended(planned, ready, seeds, samples, epochs)
        with joined(cluster) as workers:
            with Store.open(self.path, write=True) as store, store.writing():
                add_fresh(store, planned, ready)
            display = progress_for(progress)
            return _carry_on(self, planned, ready, display, callbacks=followers, cluster=workers)

    def landscape(self, optimizer: str | Setting | None = None, **how: Any) -> Landscape:
        """The loss of a member's network along its training path, or as the arguments say; the member is trained again.

        Args:
            optimizer: whose chosen setting, or a setting itself; the best unless given.
            how: as `tw.landscape` takes it: ``to="sgd"`` for a line to another optimizer's, ``kind="random"``, ….
        """
        from ..probes.landscape import landscape

        return landscape(self, optimizer=optimizer, **how)

    def report(self, path: str | Path, margin: float | None = None) -> Path:
        """Write the report: one HTML file that needs nothing else.

        Args:
            margin: as `verdict_by` takes it.
        """
        from ..report.html import write

        return write(self, path, margin)


def compare(
    problem: Problem | Loop | str | Callable[[Run], Any],
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
    by_metric: str = "loss",
    judge: str = LAST,
    margin: float = MARGIN,
    refine: int = REFINE,
    tune: bool | None = None,
    search: str = GRID,
    settings: int | None = None,
    minutes: float | None = None,
    until: str | datetime | None = None,
    ask: Ask | None = None,
    callbacks: Sequence[Any] | None = None,
    groups: Any = None,
    models: Mapping[Any, Callable[[], Any]] | Sequence[Callable[[], Any]] | None = None,
    device: str = AUTO,
    precision: str = FLOAT32,
    cluster: str | Cluster | None = None,
) -> Study:
    """Train every optimizer at every level of every other factor, for every seed, as populations.

    The best setting of each optimizer, and of each level of everything else that varies but the rates, by mean
    validation loss over the seeds (or what `by_metric` and `judge` say), is then run again with fresh seeds, which give
    the intervals and the test numbers; and so is each optimizer at its formula's own rate and hyperparameters, with no
    schedule.

    Args:
        problem: a `tw.Problem`, a built-in's name, ``"package.module:function"`` or ``"file.py:function"``; or a
            training loop of your own, ``def train(run: tw.Run)``, which trains with ``run.optimizer(params)`` and
            reports to ``run.report(validation_loss=…)`` after each of `epochs`; each run is then trained alone.
        optimizers: names, formulas, or ``"file.py:formula"``; the eight classic ones unless given. One text may name
            several, ``"sgd,adam"``, here and of schedules, regularizers and losses.
        rates: learning rates, the same for all. Unless given, 13 over four decades of a logarithmic axis: from 1e-4 to
            1, or as many decades lower or higher as an optimizer's own default rate needs to lie a decade inside.
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
            ``{"weight_decay": [0, 1e-4], "beta2": [0.99, 0.999]}``; a formula that lacks it is tried once,
            which tables show as –. Those that no formula has are a training loop's own, as ``run.hyperparameters``.
        folds: cross-validate instead of judging by one validation part: a number of folds of all training and
            validation samples, stratified for class ids and grouped by the problem's `groups`; or a splitter of
            `sklearn.model_selection`, ``LeaveOneOut()``, ``TimeSeriesSplit(5)``. Settings are chosen by the mean over
            folds and seeds; the chosen ones are cross-validated with fresh seeds, and then trained on all of these
            samples to meet the test part.
        budget: "full", or "halving": settings that cannot win any more are stopped after an eighth, a quarter
            and a half of the epochs, and the rest goes on without them; see `thalweg.engine.halving`.
        grow: where an optimizer's best rate is the lowest or the highest, the grid grows that way for all of them, by
            one rate at a time and at most so many on each side; 0 keeps the grid, and one or two
            rates never grow.
        batched: how members are trained, with the same results to float rounding. "auto" tries it out on a few steps:
            compiled, one member after another, where each operation of the model has a rule; else stacked, as one
            batched program, which computes most activations twice where more members fit so; else one by one in plain
            PyTorch, in processes of their own. "compiled", "stacked", "recomputed" and "alone" force a way; True allows
            the first three, and False is "alone". See `thalweg.engine.batching`.
        by_metric: by what settings are chosen and ranked, on the validation part: "loss", or one of the problem's
            metrics; one whose direction is not known says it, ``"f1:max"`` where higher is better, else ``"f1:min"``.
        judge: by which epochs: "last"; "best", each run's own, chosen on the validation part, as with early stopping;
            or "average of the last 3", the mean of the values of so many epochs. For validation and test alike.
        margin: differences up to that share of the best value do not matter: such settings are "practically the same",
            and no advice is given to tell them apart. A store that holds this study takes that margin over.
        refine: rounds of a finer search, at most 10. Each tries, for every optimizer and every level of whatever else
            is ranked, two rates half-way between its best one and the next on either side, so that it matters little
            where the grid has its rates; 0 for none, and one or two rates are not refined. See
            `thalweg.engine.refinement`.
        tune: whether a last round tries two settings more around each best one: another weight decay, and another
            momentum (`momentum`, `beta1`). True and False say so; unless told, where rates are refined and no
            `hyperparameters` are given.
        search: "grid": all combinations of rates and hyperparameters. "random" or "sobol": points between the lowest
            and the highest value given of each, ``rates=[1e-4, 1]``, ``{"weight_decay": (1e-6, 1e-2)}``, the same for
            every optimizer, so that all have equally many settings; for more than two numbers. These neither grow nor
            are refined. See `thalweg.plan.points`.
        settings: points of such a search, each tried with every schedule, batch size, …; as many as the grid of the
            numbers given, but at most 32, unless given.
        minutes: that the study may take. If the plan does not fit, by a forecast, it becomes smaller, in this order:
            halving, a coarser grid with finer rates around the best, fewer seeds, fewer fresh ones, less growth; at
            least three of both seeds stay, and all that is compared. Where it is slower than was foreseen, more of this
            is left out while it runs, so that there is time to confirm. What is left out is said, and is part of the
            stored plan: `resume` and `rerun` carry out that plan, and have all the time they need.
        until: instead, the time of day at which it has to end, ``"18:00"``, or a date and time.
        ask: called with the `Forecast` of a study that is expected to take more than an hour, before anything is
            stored; where it returns False, nothing is. A study without it says so on standard error and begins.
        callbacks: who else hears of the study while it runs: `tw.callbacks.TensorBoard("runs/tb")`,
            `tw.callbacks.MLflow("sqlite:///mlflow.db")`, `tw.callbacks.WandB("project", mode="offline")`, the same as
            text, ``"tensorboard:runs/tb"``, or objects of a class of yours that derives from `tw.callbacks.Callback`.
            What one raises is said in a note, and the study goes on. A resumed study goes on with those that it was
            begun with, `callbacks=[]` without.
        groups: parameters of the model that have hyperparameters of their own, for every run alike:
            ``"no decay on biases and norms"``; name patterns, ``{"*.bias": {"weight_decay": 0},
            "head.*": {"rate_factor": 10}, "embed.*": {"frozen": True}}``, also as text,
            ``"*.bias: weight_decay=0; head.*: rate_factor=10"``; a function (model) → list of groups as in torch.optim,
            ``{"params": […], "rate_factor": 0.1}``; or ``"file.py:function"``. A group names any hyperparameter of the
            optimizers, or a factor on what the run has (``rate_factor``, ``weight_decay_factor``, …), and schedules
            multiply either; an optimizer that lacks a hyperparameter goes without it. See `thalweg.plan.groups`.
        models: label → function that returns a fresh module, or a list of such functions, in place of the problem's
            own: with and without batch norm or dropout in one study, each trained on the same samples. The same as a
            `tw.Problem` whose `model` is that mapping; one that is found by name is found again when it is resumed.
        device: where members are trained: "cpu"; "cuda", all GPUs of the machine, each with a process of its own where
            there are several; "cuda:1", the second of them; "auto" is "cuda" where there is a GPU. The store says
            which. On a GPU members are stacked, as many as fit into its memory; data are brought there once.
        precision: of the model's products: "float32"; "tf32", on GPUs, with 10 bits of mantissa; or "bf16", bfloat16 by
            autocast. Weights, states and updates are the same for all.
        cluster: a Ray cluster whose cores, or GPUs, train in place of this machine's: "auto" for the one that this
            machine belongs to, the ``"HOST:PORT"`` of its head, or "local" for one that is begun here for the study;
            or a `thalweg.engine.cluster.Cluster`, whose workers several studies have in turn (docs/cluster.md). The
            results are the same, to the bit where the machines are of one kind.

    Raises:
        PlanError, ProblemError: the arguments do not fit together, or the problem cannot be sent to a cluster.
        WorkError: the package of a callback, or Ray, is missing; no cluster answers, or its nodes have other versions.
        StoreError: the store cannot be written, or holds something else; nothing is overwritten.

    >>> import thalweg as tw, tempfile
    >>> study = tw.compare("breast-cancer", optimizers=["sgd", "adam"], rates=[0.01, 0.1], seeds=2, epochs=2,
    ...                    confirmation=2, store=tempfile.mkdtemp() + "/study.db", progress=False)
    >>> len(study.table()), len(study.verdict.entries)
    (26, 2)
    """
    limit, followers = limit_of(minutes, until), None if callbacks is None else callbacks_of(callbacks)
    declared, planned, ready = asked(locals())
    path = Path(store) if store is not None else _free_path(_facts(ready, planned), planned, limit)
    with joined(cluster) as workers:
        return begin(path, planned, ready, progress, {"asked": batched}, declared, ask, followers, limit, workers)


def asked(given: Mapping[str, Any]) -> tuple[Problem | Loop, Plan, Prepared | Loop]:
    """What the arguments of `compare`, by name, ask for: the problem, the plan, and the problem prepared; checked."""
    from ..engine.batching import check_batched
    from ..engine.programs import built

    check_batched(given["batched"])
    declared = found(given["problem"])
    if given.get("models") is not None and not isinstance(declared, Loop):
        declared = found(replace(declared, model=labelled(given["models"]), source={}))
    if isinstance(declared, Loop):
        return declared, loop_plan(given, declared), declared
    names = [name for name in inspect.signature(plan).parameters if name in given]
    values = {name: given[name] for name in names} | judged_by(declared, given.get("by_metric", "loss"))
    if isinstance(declared.metrics, tuple | list):  # all else is refused as the problem is prepared
        check_metric(values["by_metric"], ["loss", *map(name_of, declared.metrics)], owner=declared.name)
    planned = plan(schedule_names=given["schedules"], **values)
    if isinstance(declared.train, DataLoader):
        planned = _for_loader(planned, given["batch_sizes"])
    ready = prepare(declared)
    planned = with_models(planned, ready)
    if given["folds"] is not None:
        check_unwatched(planned["schedule"], planned["regularizer"])
        planned = checked(replace(planned, folds=cut(given["folds"], ready, declared.seed)))
    tuned = [f.name for f in planned.hyperparameters]
    planned = replace(planned, groups=resolved(given["groups"], built(ready), planned.formulas.values(), tuned))
    _check_further(planned, ready)
    return declared, planned, ready


def begin(
    path: Path,
    planned: Plan,
    ready: Prepared | Loop,
    progress: bool | None,
    batching: Mapping[str, Any],
    declared: Problem | Loop | str | None = None,
    ask: Ask | None = None,
    callbacks: Sequence[Callback] | None = None,
    limit: Limit | None = None,
    cluster: Cluster | None = None,
) -> Study:
    """Run a plan in a new store, or in one that already holds this very study.

    How members are trained is measured as the study begins, unless `batching` has the ways.
    """
    planned = planned.as_asked
    facts = _facts(ready, planned)
    display, new = progress_for(progress), None
    objects = {f.kind.argument: f.objects for f in planned.factors if f.kind.named}
    study = Study(path, objects, declared)
    if (kind := kind_of(path)) == "store":
        _same_study(path, facts, planned, limit)
        _judge_within(path, planned.margin)
        planned = study.plan if limit is not None else planned
    else:
        if kind != "none":
            raise StoreError(kind)
        check_place(path, StoreError)
        seen = observed(ready) if isinstance(ready, Prepared) else {}
        made = {"problem": {**facts, **seen}, "provenance": provenance(planned.device, planned.precision)}
        meta: dict[str, Any] = {**made, "batching": {**batching}}
        if display.shown or ask is not None or limit is not None:
            new = opened(planned, ready, batching, display, ask, limit, cluster)
            if isinstance(ready, Prepared):
                meta["batching"]["ways"] = new.ways
            meta |= {} if limit is None else {"limit": limit.to_json(planned, new.words)}
            planned = new.programs.plan
        Store.create(path, {"plan": planned.to_json(), **meta}).close()
    trusted.remember([facts["spec"]])
    return _carry_on(study, planned, ready, display, new, callbacks, cluster)


def _for_loader(planned: Plan, batch_sizes: Sequence[int | str] | None) -> Plan:
    if batch_sizes is not None:
        raise PlanError(
            "the train data are a DataLoader, which makes its own batches, so batch_sizes cannot be "
            "varied; give the data as tensors, arrays or a Dataset, or leave batch_sizes out."
        )
    return planned.with_factor(factor(STORED_BATCH_SIZE, [0]))


def _check_further(planned: Plan, ready: Prepared) -> None:
    """Refuse losses, regularizers and batch sizes that do not fit the problem."""
    if planned["model"].varied and planned.groups is not None:
        raise PlanError("groups name parameters of one model, and models are several; leave one of them out.")
    for one in ready.models.values() or [ready]:
        _check_model(planned, one)
    if isinstance(ready.train, DataLoader) or not planned["batch_size"].varied:
        return
    fewest = planned.folds and min(len(train) for train, _ in planned.folds.rows(ready))
    samples = fewest or ready.train.size
    for size in planned.batch_sizes:
        if size != FULL and int(size) >= samples:
            raise PlanError(
                "batch size {size} is all {samples:,} training samples or more; give {full} for all of them.",
                size=size,
                samples=samples,
                full=repr(FULL),
            )


def _check_model(planned: Plan, ready: Prepared) -> None:
    """Refuse losses, regularizers and optimizers that do not fit the problem's model."""
    from ..engine.programs import built, with_frozen

    for regularizer in planned["regularizer"].objects.values():
        for part in regularizer.parts if regularizer is not None else ():
            for loss in planned["loss"].objects.values():
                part.fits(ready.loss if loss is None else loss, sample_of_train(ready))
            with part.inside(built(ready)):
                pass  # refuses a model that lacks what it acts on
    for label, loss in planned["loss"].objects.items():
        if label is not None:
            check_loss(ready, loss)
    model = built(with_frozen(ready, planned.groups))
    parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
    for rule in planned.formulas.values():
        for loss in planned["loss"].objects.values() if rule.equations.sampled else ():
            if not (trains := ready.loss if loss is None else loss_of(loss)).samples:
                raise unsampled(rule.label, trains)
        if isinstance(rule, Opaque):
            given = list(parameters.values())
            if planned.groups is not None:
                given = planned.groups.of_torch(given, list(parameters), rule, rule.hyperparameters)
            rule.build(given)


def resume(
    store: str | Path,
    problem: Problem | str | Callable[[Run], Any] | None = None,
    optimizers: Sequence[str | Formula] = (),
    schedules: Sequence[Given] = (),
    losses: Sequence[Any] = (),
    regularizers: Sequence[Any] = (),
    progress: bool | None = None,
    trust: bool = False,
    callbacks: Sequence[Any] | None = None,
    device: str | None = None,
    cluster: str | Cluster | None = None,
) -> Study:
    """Carry a stopped study on from its store; the results are those of one that never stopped.

    Args:
        problem: needed only for a study that was given a `tw.Problem` object or a function of your own.
        optimizers, schedules, losses, regularizers: those of your own, needed only if they were given as objects.
        trust: whether files and modules that the store names may be run although they never ran on this machine.
        callbacks: as `compare` takes them; those that the study was begun with unless given, as far as a store can name
            them and this machine has used them before.
        device: as `compare` takes it; the one that the study was begun on unless given. On another the results are the
            same to float rounding.
        cluster: as `compare` takes it; this machine unless given, wherever the study was begun.

    Raises:
        PlanError: the problem or a formula has changed, the store names one that is not trusted, or this machine lacks
            the device.
        WorkError: as `compare` has it of a cluster.
    """
    followers = None if callbacks is None else callbacks_of(callbacks)
    study = Study.open(store, optimizers, schedules, losses, regularizers, trust)
    study.declared = problem
    if study.finished:
        return study
    planned, ready = study.to_go_on(otherwise=f"resume it from Python: {study.onward}.")
    planned = planned if device is None else replace(planned, device=check_device(device))
    with joined(cluster) as workers:
        return _carry_on(study, planned, ready, progress_for(progress), callbacks=followers, cluster=workers)


def joined(cluster: str | Cluster | None) -> AbstractContextManager[Cluster | None]:
    """The workers of a cluster: of the one that is named, as long as they are needed."""
    if cluster is None:
        return nullcontext()
    from ..engine.cluster import Cluster  # which takes time to import

    return nullcontext(cluster) if isinstance(cluster, Cluster) else closing(Cluster(cluster))


def _carry_on(
    study: Study,
    planned: Plan,
    ready: Prepared | Loop,
    display: Progress,
    new: Opened | None = None,
    callbacks: Sequence[Callback] | None = None,
    cluster: Cluster | None = None,
) -> Study:
    """Train what is not trained yet; without callbacks given those that the store names hear of it."""
    if study.finished:
        return study
    from ..engine.execute import execute  # what only training needs is imported when it begins

    with Store.open(study.path, write=True) as store, store.writing():
        store.stamp(provenance(planned.device, planned.precision))
        if store.meta("plan").get("device", CPU) != planned.device:
            store.set_meta("plan", {**store.meta("plan"), "device": planned.device})
        before = as_before(study.stored_callbacks, display.note) if callbacks is None else callbacks
        audience = Audience(before, display.note)
        if callbacks is not None and (texts := texts_of(callbacks)) != store.meta("callbacks", []):
            store.set_meta("callbacks", texts)
            trusted.remember(map(trusted.address, texts))
        audience.begin(study)
        try:
            execute(store, planned, ready, display, new, audience.passed, cluster)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                say("stopped; what is done is safe: carry on with `{command}`.", command=study.onward)
            ) from None
        finally:
            display.stop()
            audience.end(study)
            if audience.failures:
                store.set_meta("unheard", audience.failures)
    return study


def _judge_within(path: Path, margin: float) -> None:
    """Give a stored study another margin, which changes nothing of its runs."""
    with Store.open(path) as store:
        before = store.meta("plan")
    if as_now(before)["margin"] != margin:
        with Store.open(path, write=True) as store, store.writing():
            store.set_meta("plan", {**before, "margin": margin})


def _facts(ready: Prepared | Loop, planned: Plan) -> dict[str, Any]:
    if isinstance(ready, Loop):
        return loop_facts(ready)
    makers = [rule.maker for rule in planned.formulas.values() if isinstance(rule, Opaque)]
    objects = [planned[name].objects for name in ("loss", "regularizer", "schedule")]
    source = dict(ready.source)
    if source.get("kind") == "file":
        path, _, function = source["spec"].rpartition(":")
        source["spec"] = f"{Path(path).expanduser().resolve()}:{function}"
    return {
        "name": ready.name,
        "kind": source.get("kind", "object"),
        "spec": source.get("spec", ""),
        "fingerprint": ready.fingerprint,
        "code": code_of(ready.code, makers, objects),
        "weights": ready.weights,
        "validation_samples": ready.validation.size,
        "pool_samples": 0 if isinstance(ready.train, DataLoader) else ready.train.size + ready.validation.size,
        "loss": ready.loss_name,
        "metrics": list(ready.metrics),
        "loader": isinstance(ready.train, DataLoader),
        "stream": isinstance(ready.train, DataLoader) and not hasattr(ready.train.dataset, "__len__"),
        "text": source.get("text", ""),
        "draws": ready.draws,
        **ready.form,
        **ready.facts,
    }


def _free_path(facts: dict[str, Any], planned: Plan, limit: Limit | None) -> Path:
    """runs/<name>.db, or the next number if that holds another study."""
    stem = stem_of(facts["name"])
    path = Path("runs") / f"{stem}.db"
    for number in range(2, 10_000):
        kind = kind_of(path)
        if kind == "none":
            break
        if kind == "store":
            with suppress(StoreError):
                _same_study(path, facts, planned, limit)
                break
        path = Path("runs") / f"{stem}-{number}.db"
    return path


def _same_study(path: Path, facts: dict[str, Any], planned: Plan, limit: Limit | None) -> None:
    """Refuse a store that holds anything but this very study."""
    results = Results(path)
    limited = results.limit
    before, problem = results.stored_plan, results.problem
    stored = as_now(before)
    new = json.loads(json.dumps(planned.to_json()))
    words = {"batch_sizes": "batch sizes"}
    derived = {"directions", "specs", "states", "applies", "defaults", "grown", "looks", "refined", "untuned", "swaps"}
    derived |= {"confirmation_epochs", "grow_total", "refine_total", "narrow", "loss_scale", "margin", "device"}
    derived |= {"grow", "refine", "usual"} - set(before)
    if new["confirmation"] in [look["seeds"] for look in stored["looks"]]:  # it has been extended since
        derived.add("confirmation")
    changed = [str(words.get(k, k)) for k in new if k not in derived and new[k] != stored.get(k)]
    if limited or limit is not None:  # the stored plan is what fitted into the time
        same = limited and limited["asked"] == digest(planned)
        changed = [] if same else ["settings"]
        asked_for = limit.asked if limit else {}
        if any(limited.get(name) != asked_for.get(name) for name in ("minutes", "until")):
            changed.append("time")
    if problem.get("fingerprint") != facts["fingerprint"]:
        changed.insert(0, "problem")
    if not changed and differs(facts.get("code"), problem.get("code")):
        raise StoreError(
            "{path} holds a study of {name} whose code was another; it is left as it was: name another file with "
            "--store, or resume it, and what is left of it trains with the code as it is now.",
            path=path,
            name=facts["name"],
        )
    if changed:
        raise StoreError(
            "{path} already holds another study (with other {names}); it is left as it was: name "
            "another file with --store.",
            path=path,
            names=" and ".join(changed),
        )
