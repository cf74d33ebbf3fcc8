"""A study: plan, population and results, living in a store. `compare` begins one; this is the main job."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
from torch.utils.data import DataLoader

from ..errors import PlanError, StoreError
from ..formulas import Formula
from . import recipe as recipes
from .plan import Plan, Setting, plan
from .prepare import Prepared, prepare
from .problem import Problem, load
from .progress import Progress, progress_for
from .provenance import provenance
from .run import execute
from .store import Store, kind_of
from .verdict import Verdict, judge


class Study:
    """A study in its store, for reading: `verdict`, `table`, `curves`, `recipe`, `report`.

    Open one with `Study.open`; another process may be writing it meanwhile.
    """

    def __init__(self, path: Path, optimizers: Sequence[str | Formula] = ()) -> None:
        self.path = Path(path)
        self._given = tuple(optimizers)

    @classmethod
    def open(cls, path: str | Path, optimizers: Sequence[str | Formula] = ()) -> Study:
        """The study in that store.

        Args:
            optimizers: the formulas of your own it compared, if they were not given as file.py:name.

        Raises:
            StoreError: the file is missing, no store, damaged or of another version; it is left as it was.
        """
        study = cls(Path(path), optimizers)
        with study.store():
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
        """What was asked for."""
        return Plan.from_json(self._meta("plan"), self._given)

    @property
    def problem(self) -> dict[str, Any]:
        """What the store knows of the problem: name, kind, spec, source text, fingerprint, sizes."""
        return self._meta("problem")

    @property
    def name(self) -> str:
        return self.problem["name"]

    @property
    def provenance(self) -> dict[str, Any]:
        """Versions, machine and times, and the fingerprint of problem and data."""
        known = {k: v for k, v in self.problem.items() if k != "text"}
        return {
            **self._meta("provenance"),
            **{f"problem {k}": v for k, v in known.items()},
            "store": str(self.path),
        }

    @property
    def finished(self) -> bool:
        """Whether nothing is left to run."""
        with self.store() as store:
            blocks = store.blocks()
            stages = {b.stage for b in blocks}
            wanted = {"search"} | ({"confirmation"} if store.meta("plan")["confirmation"] else set())
            measured = store.meta("costs") is not None
        return measured and wanted <= stages and all(b.status == "finished" for b in blocks)

    @property
    def verdict(self) -> Verdict:
        """Which optimizer is best here, and how sure that is; of what is finished so far."""
        with self.store() as store:
            members, costs = store.members(), store.meta("costs", {})
        return judge(self.plan, self.name, members, costs)

    def table(self) -> pd.DataFrame:
        """One row per member: stage, optimizer, lr, schedule, seed, status, step, and its last losses."""
        with self.store() as store:
            return store.members()

    def curves(self) -> pd.DataFrame:
        """member, step, metric, value: one point per member, metric and pass over the data."""
        with self.store() as store:
            return store.curves()

    def recipe(self, optimizer: str | None = None, seed: int = 0) -> recipes.Recipe:
        """The winner (or another optimizer's chosen setting) as a plain-PyTorch script.

        Args:
            optimizer: a label of the plan; the best unless given.
            seed: whose initial weights and batch order the script repeats.
        """
        entries = {e.optimizer: e for e in self.verdict.entries}
        if not entries:
            raise StoreError(
                f"{self.path} has no complete seed yet, so there is no recipe; `thalweg resume {self.path}`."
            )
        label = optimizer or next(iter(entries))
        if label not in entries:
            raise PlanError(f"{label!r} is not among this study's optimizers: {', '.join(entries)}.")
        entry = entries[label]
        return recipes.recipe(self.plan, self.problem, Setting(label, entry.lr, entry.schedule), seed)

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
) -> Study:
    """Train every optimizer at every rate under every schedule, for every seed, as one population.

    Each optimizer's best setting, by mean validation loss over the seeds, is then run again with fresh
    seeds, which give the intervals and the test numbers.

    Args:
        problem: a `tw.Problem`, a built-in's name, ``"package.module:function"`` or ``"file.py:function"``.
        optimizers: names, formulas, or ``"file.py:formula"``; the eight classic ones unless given.
        rates: learning rates, the same for all; 13 from 1e-4 to 1 on a logarithmic axis unless given.
        schedules: names from `thalweg.schedules`.
        seeds: runs of each setting in the search; a seed fixes initial weights and batch order.
        epochs: passes over the training data.
        batch_size: samples per step; a DataLoader has its own.
        confirmation: fresh seeds for each chosen setting; 0 leaves the test part untouched.
        store: the file to keep the study in; ``runs/<problem>.db`` unless given. A store that already
            holds this very study is carried on; one that holds another is refused.
        progress: False for silence.

    Raises:
        PlanError, ProblemError: what was asked does not fit together.
        StoreError: the store cannot be written, or holds something else; nothing is overwritten.

    >>> import thalweg as tw, tempfile
    >>> study = tw.compare("breast-cancer", optimizers=["sgd", "adam"], rates=[0.01, 0.1], seeds=2, epochs=2,
    ...                    confirmation=2, store=tempfile.mkdtemp() + "/study.db", progress=False)
    >>> len(study.table()), len(study.verdict.entries)
    (20, 2)
    """
    declared = load(problem)
    own = isinstance(declared.train, DataLoader)
    wanted = plan(optimizers, rates, schedules, seeds, epochs, batch_size, confirmation)
    if own:
        wanted = replace(wanted, batch_size=0)
    ready = prepare(declared)
    facts = _facts(ready, own)
    path = Path(store) if store is not None else _free_path(facts, wanted)
    if kind_of(path) == "store":
        _same_study(path, facts, wanted)
    else:
        Store.create(path, {"plan": wanted.to_json(), "problem": facts, "provenance": provenance()}).close()
    return _carry_on(Study(path, [*wanted.formulas.values()]), wanted, ready, progress)


def resume(
    store: str | Path,
    problem: Problem | str | None = None,
    optimizers: Sequence[str | Formula] = (),
    progress: bool | None = None,
) -> Study:
    """Carry a stopped study on from its store; the results are those of one that never stopped.

    Args:
        problem: needed only for a study that was given a `tw.Problem` object.
        optimizers: the formulas of your own, needed only if they were given as objects.
    """
    study = Study.open(store, optimizers)
    if study.finished:
        return study
    facts, wanted = study.problem, study.plan
    for label in wanted.optimizers:
        _ = wanted.formulas[label]  # whatever cannot be found again is said before anything is prepared
    if problem is None and facts["kind"] == "object":
        raise PlanError(
            f"{store} was begun with a tw.Problem object; resume it from Python: tw.resume({str(store)!r}, problem=…)."
        )
    ready = prepare(load(problem if problem is not None else facts["spec"]))
    if ready.fingerprint != facts["fingerprint"]:
        raise PlanError(
            f"the problem {ready.name} is not the one {store} was begun with (its model, data or loss changed); "
            "bring the old one back, or start a new study."
        )
    return _carry_on(study, wanted, ready, progress)


def _carry_on(study: Study, wanted: Plan, ready: Prepared, progress: bool | None) -> Study:
    if study.finished:
        return study
    shown: Progress = progress_for(progress)
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


def _facts(ready: Prepared, loader: bool) -> dict[str, Any]:
    source = dict(ready.source)
    if source.get("kind") == "file":
        path, _, function = source["spec"].rpartition(":")
        source["spec"] = f"{Path(path).expanduser().resolve()}:{function}"
    return {
        "name": ready.name, "kind": source.get("kind", "object"), "spec": source.get("spec", ""),
        "fingerprint": ready.fingerprint, "weights": ready.weights, "loss": ready.loss_name,
        "metrics": list(ready.metrics), "loader": loader, "text": source.get("text", ""),
        "draws": ready.draws,
    }  # fmt: skip


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
        stored, problem = store.meta("plan", {}), store.meta("problem", {})
    asked = json.loads(json.dumps(wanted.to_json()))
    words = {"batch_size": "batch size", "seeds": "number of seeds", "epochs": "number of epochs"}
    kept: list[str] = [key for key in asked if key not in ("specs", "states")]
    changed = [words.get(key, key) for key in kept if asked[key] != stored.get(key)]
    if problem.get("fingerprint") != facts["fingerprint"]:
        changed.insert(0, "problem")
    if changed:
        raise StoreError(
            f"{path} already holds another study (with other {' and '.join(changed)}); "
            "it is left as it was: name another file with --store."
        )
