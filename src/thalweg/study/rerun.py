"""A study run again, from what its store holds, and compared with itself.

The store names the problem and keeps its text, but a store is data: what is run is the file or function that is
found under that name today, and only if data, model and loss still have the stored fingerprint. Members are trained
in the ways that the store has, not in those that would be measured to be fastest now. On the same machine with the
same versions every number comes out the same, bit for bit; where one does not, what differs between the two is named
beside it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..callbacks.names import callbacks_of
from ..errors import PlanError
from ..formulas import Formula
from ..plan.folds import FOLD
from ..problem.declaration import Problem
from ..recipe.run import differences
from ..results import Results
from ..schedules import Given
from ..store.file import kind_of
from .study import Study, begin, joined

if TYPE_CHECKING:
    from ..engine.cluster import Cluster

_TIMES = ("started", "at")


@dataclass(frozen=True)
class Rerun:
    """A study beside the one it repeats.

    Attributes:
        study: the new one.
        of: the store that was repeated.
        same_verdict: whether every ranking has the same settings in the same groups.
        same_curves: whether every point of every run is the same, bit for bit.
        largest: the largest relative difference of two points; infinite if one has a point that the other lacks.
        differences: what has changed: versions, machine, the problem's text.
    """

    study: Study
    of: Path
    same_verdict: bool
    same_curves: bool
    largest: float
    differences: tuple[str, ...]

    def __str__(self) -> str:
        """In words."""
        verdict = "The same verdict" if self.same_verdict else f"Another verdict than {self.of}"
        if self.same_curves:
            losses = "every point of every run is the same, bit for bit"
        elif math.isfinite(self.largest):
            losses = f"the curves differ by at most {self.largest:.1g} relative"
        else:
            losses = "some points are there, or are numbers, in one of the two alone"
        changes = "; ".join(self.differences)
        return f"{verdict}: {losses}. " + (
            f"What is not as it was: {changes}." if changes else "Versions and machine are as they were."
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values; a difference that is not finite is None."""
        return {
            "of": str(self.of),
            "same_verdict": self.same_verdict,
            "same_curves": self.same_curves,
            "largest": self.largest if math.isfinite(self.largest) else None,
            "differences": list(self.differences),
            "sentence": str(self),
        }


def rerun(
    store: str | Path,
    into: str | Path | None = None,
    problem: Problem | str | None = None,
    optimizers: Sequence[str | Formula] = (),
    schedules: Sequence[Given] = (),
    losses: Sequence[Any] = (),
    regularizers: Sequence[Any] = (),
    progress: bool | None = None,
    trust: bool = False,
    callbacks: Sequence[Any] | None = None,
    cluster: str | Cluster | None = None,
) -> Rerun:
    """Run the study in `store` again, from its plan and seeds, and say whether it comes out the same.

    Args:
        store: of a finished study.
        into: the new store; ``<name>-rerun.db`` beside the old one unless given. A rerun that was stopped is
            carried on.
        problem: needed only for a study that was given a `tw.Problem` object.
        optimizers, schedules, losses, regularizers: those of your own, needed only if they were given as objects.
        progress: False for silence.
        trust: whether files and modules that the store names may be run although they never ran on this machine.
        callbacks: as `compare` takes them; none unless given, since what they told of the old study stays as it is.
        cluster: as `compare` takes it; this machine unless given, wherever the study was run.

    Raises:
        PlanError: the study is unfinished, names a file or module that is not trusted, or its problem or formulas have
            changed.
        StoreError: the new store cannot be written, or holds something else; nothing is overwritten.
        WorkError: as `compare` has it of a cluster.

    >>> import thalweg as tw, tempfile
    >>> store = tempfile.mkdtemp() + "/a.db"
    >>> _ = tw.compare("breast-cancer", ["sgd", "adam"], [0.1], ["constant"], seeds=2, epochs=2, confirmation=2,
    ...                store=store, progress=False)
    >>> print(tw.rerun(store, progress=False))
    The same verdict: every point of every run is the same, bit for bit. Versions and machine are as they were.
    """
    study = Study.open(store, optimizers, schedules, losses, regularizers, trust)
    if not study.finished:
        raise PlanError(
            "{store} is unfinished; `{command}` first, then run it again.", store=store, command=study.onward
        )
    path = Path(into) if into is not None else _beside(study.path)
    if path.exists() and path.resolve() == study.path.resolve():
        raise PlanError("{path} is the study that is to be run again; name another file for the new one.", path=path)
    plan, ready = study.to_go_on(problem, f"rerun it from Python: tw.rerun({str(study.path)!r}, problem=…).")
    followers = None if callbacks is None else callbacks_of(callbacks)
    with joined(cluster) as workers:
        new = begin(path, plan, ready, progress, study.ways, callbacks=followers, cluster=workers)
    return compared(study, new)


def _beside(path: Path) -> Path:
    """<name>-rerun.db, which may hold a rerun that was stopped; the next number if it is finished."""
    for number in range(1, 10_000):
        file = path.with_name(f"{path.stem}-rerun{'' if number == 1 else f'-{number}'}{path.suffix}")
        if kind_of(file) == "none" or (kind_of(file) == "store" and not Results(file).finished):
            return file
    raise PlanError("{path} has too many reruns beside it; name a file for the new one.", path=path)


def compared(old: Results, new: Study) -> Rerun:
    """What is the same in two stores of one study."""
    (before, a), (after, b) = _points(old), _points(new)
    alike = before == after and len(a) == len(b) and bool((a.index == b.index).all())
    largest = _largest(a.to_numpy(), b.to_numpy()) if alike else math.inf
    exact = alike and np.array_equal(a, b, equal_nan=True)
    return Rerun(new, old.path, _rankings(old) == _rankings(new), exact, largest, tuple(_changes(old, new)))


def _points(study: Results) -> tuple[list[str], pd.Series]:
    """The runs in words, and every value by (run, step, metric), in an order that does not depend on blocks."""
    runs, curves = study.table(), study.curves()
    names = ["stage", "optimizer", "lr", "schedule", *(f.name for f in study.plan.further), "seed"]
    names += [FOLD] if FOLD in runs else []
    code, words = pd.factorize(runs[names].map(str).agg(" ".join, axis=1), sort=True)
    place = pd.Series(code, index=runs["member"])
    index = [place.loc[curves["member"]].to_numpy(), curves["step"], curves["metric"].astype(str)]
    return list(words), curves["value"].set_axis(pd.MultiIndex.from_arrays(index)).sort_index(kind="stable")


def _largest(a: np.ndarray, b: np.ndarray) -> float:
    """Of all relative differences; where neither is a number they are alike."""
    gaps = np.where(np.isnan(a) & np.isnan(b), 0.0, differences(a, b))
    return float(gaps.max(initial=0.0))


def _rankings(study: Results) -> list[Any]:
    """Every ranking of the study: settings in their order, each with its group."""
    verdicts = [study.verdict_by(factor.name) for factor in study.plan.ranked]
    return [[(entry.setting, entry.letters) for entry in verdict.entries] for verdict in verdicts]


def _changes(old: Results, new: Results) -> Iterator[str]:
    """Versions and machine of all sessions of the old study against those of the new one."""
    for name in dict.fromkeys(name for session in (*old.sessions, *new.sessions) for name in session):
        before, after = (list(dict.fromkeys(str(s.get(name, "–")) for s in study.sessions)) for study in (old, new))
        if name not in _TIMES and before != after:
            yield f"{name} {', '.join(before)} → {', '.join(after)}"
    if old.problem["text"] != new.problem["text"]:
        yield f"the text of {old.problem['spec']}"
