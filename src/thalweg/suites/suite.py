"""`tw.suite`: the same comparison on several problems, each in a store of its own, and one verdict over all.

A suite keeps nothing itself: it is its studies. So it is carried on by being run again, and finished stores can be put
together into another one. Read next: `verdict.py`.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from ..errors import PlanError, StoreError
from ..plan.criterion import Criterion
from ..plan.factors import sequence
from ..plan.stored import as_now
from ..problem.builtin import PROBLEMS
from ..problem.declaration import Problem
from ..problem.find import load
from ..results import Results
from ..store.connection import kind_of, stem_of
from ..study.study import Study, asked, compare, joined
from ..unknown import unknown
from ..verdict.words import listed
from .measure import Measure
from .verdict import SuiteVerdict, judge

if TYPE_CHECKING:
    from ..report.sections import Section

FOLDER = Path("runs") / "suite"


@dataclass(frozen=True, eq=False)
class Suite:
    """Several problems with a study each.

    Attributes:
        studies: problem → its study.
    """

    studies: Mapping[str, Results]

    @cached_property
    def verdict(self) -> SuiteVerdict:
        """Which optimizer is best over all problems, and how sure that is."""
        return judge(self.studies)

    @property
    def sentence(self) -> str:
        return self.verdict.sentence

    @property
    def notes(self) -> tuple[str, ...]:
        return self.verdict.notes

    def table(self) -> pd.DataFrame:
        """One row per optimizer, the best first; see `SuiteVerdict.table`."""
        return self.verdict.table()

    def to_json(self) -> dict[str, Any]:
        """The verdict, the store of each problem, and how to read each part, as plain values."""
        stores = {name: str(one.path) for name, one in self.studies.items()}
        explained = {one.name: one.sentence for one in self.sections() if one.sentence}
        return {**self.verdict.to_json(), "stores": stores, "explained": explained}

    def sections(self) -> list[Section]:
        """Everything that the suite says, in order, as the report has it."""
        from .sections import contents

        return contents(self.verdict, self.studies)

    def report(self, path: str | Path) -> Path:
        """Write the report: one HTML file that needs nothing else."""
        from ..report.html import document, save

        return save(document(", ".join(self.studies), self.sections()), path)


def suite(
    problems: Sequence[Problem | str | Path | Results],
    store: str | Path = FOLDER,
    progress: bool | None = None,
    **options: Any,
) -> Suite:
    """Compare the same optimizers on several problems, and judge them over all: which is best on problems like these?

    For optimizer o on problem p, let L(o, p) be the mean validation loss of its chosen setting over fresh seeds; with
    `by_metric` the mean of that metric, or 1 less it where higher is better. The
    verdict has: the geometric mean over p of L(o, p) / min L(·, p); average ranks with Friedman's test and Nemenyi's
    critical difference; the performance profile, the share of problems with that ratio at most τ; the AlgoPerf score,
    ∫₁⁴ ρ(τ) dτ / 3 for the profile ρ of steps to a target; and what one setting for all costs on a problem
    that was left out of its choice. Problems are the replicates of all of these, and seeds are not.

    Args:
        problems: two or more, each as `tw.compare` takes it; or a finished study, as an object or by its store's path.
        store: the folder with one store per problem, ``<store>/<problem>.db``. A suite that was stopped is carried on
            by the same call; a store there that holds another study is refused.
        progress: False for silence.
        options: the other arguments of `tw.compare`, the same for every problem that is not a finished study.

    Raises:
        PlanError: fewer than two problems, one of them twice, an unknown option, studies of different optimizers or
            metrics, or a metric of which higher is better whose highest value is not 1.
        StoreError: a store that is not finished, or cannot be read or written.

    >>> import thalweg as tw, tempfile
    >>> few = tw.suite(["breast-cancer", "diabetes"], optimizers=["sgd", "adam"], rates=[0.01, 0.1], seeds=1, epochs=2,
    ...                confirmation=2, store=tempfile.mkdtemp(), progress=False)
    >>> few.table()[["optimizer", "best_on"]].to_numpy().tolist(), few.notes[0][:46]
    ([['adam', 1], ['sgd', 1]], 'Problems, not seeds, are what is missing: 2 ar')

    Sources: Dolan & Moré 2002; Demšar 2006; Dahl et al. 2023. Where this departs from them is said in
    `thalweg.suites.profiles` and `thalweg.suites.ranks`.
    """
    items = sequence("problems", problems)
    if len(items) < 2:
        raise PlanError("a suite has two or more problems, and one is given; compare on one with tw.compare.")
    given = {}
    for item in map(_opened, items):
        if any(stem_of(item.name) == stem_of(name) for name in given):
            raise PlanError(
                f"the problem {item.name} is given twice; give each once, and problems of your own different names, "
                "tw.Problem(…, name=…)."
            )
        given[item.name] = item
    _check_options(options, all(isinstance(item, Results) for item in given.values()))
    _check_alike({name: _planned(item, options) for name, item in given.items()})
    paths = {name: Path(store) / f"{stem_of(name)}.db" for name in given}
    with joined(options.get("cluster")) as workers:  # which start once for all problems
        options["cluster"] = workers
        return Suite({name: _compared(item, paths[name], progress, options) for name, item in given.items()})


def _planned(item: Problem | Results, options: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """The plan of one problem, stored or to be carried out, and the problem's fingerprint; nothing is trained."""
    if isinstance(item, Results):
        return as_now(item.stored_plan), item.problem["fingerprint"]
    parameters = inspect.signature(compare).parameters.values()
    given = {one.name: options.get(one.name, one.default) for one in parameters}
    _, plan, ready = asked(given | {"problem": item})
    return as_now(plan.to_json()), ready.fingerprint


def _compared(item: Problem | Results, path: Path, progress: bool | None, options: Mapping[str, Any]) -> Results:
    if isinstance(item, Results):
        return item
    try:
        return compare(item, store=path, progress=progress, **options)
    except KeyboardInterrupt:
        raise KeyboardInterrupt("stopped; what is done is safe: give the same suite again to carry it on.") from None


def _opened(item: Any) -> Problem | Results:
    """A problem to compare on, or a finished study."""
    if isinstance(item, str) and item not in PROBLEMS and (item.endswith(".db") or kind_of(Path(item)) == "store"):
        item = Path(item)
    if isinstance(item, Path):
        item = Study.open(item)
    if not isinstance(item, Results):
        return load(item)
    if not item.finished:
        raise StoreError(f"{item.path} is not finished; carry it on first, with `{item.onward}`.")
    return item


def _check_options(options: Mapping[str, Any], finished: bool) -> None:
    known = [name for name in inspect.signature(compare).parameters if name not in ("problem", "store", "progress")]
    for name in options:
        if name not in known:
            raise PlanError(unknown("option of a suite", name, known))
    if options and finished:
        raise PlanError(f"all studies of this suite are finished, so {listed([*options])} cannot change; leave it out.")


def _check_alike(planned: Mapping[str, tuple[Mapping[str, Any], str]]) -> None:
    """Refuse plans of different optimizers or metrics, of one optimizer alone, or of one problem; by name."""
    first, (other, _) = next(iter(planned.items()))
    problems: dict[str, str] = {}
    for name, (plan, fingerprint) in planned.items():
        labels, others = plan["optimizers"], other["optimizers"]
        if len(labels) < 2:
            raise PlanError(f"a suite ranks optimizers, and {name} compares {labels[0]} alone; compare two or more.")
        if set(labels) != set(others):
            raise PlanError(
                f"{first} compares {listed(others)}, and {name} compares {listed(labels)}; "
                "all problems of a suite need the same optimizers."
            )
        if plan["by_metric"] != other["by_metric"]:
            raise PlanError(
                f"{first} chooses its settings by {other['by_metric']}, and {name} by {plan['by_metric']}; "
                "all problems of a suite need the same metric."
            )
        Measure.of(Criterion.of(plan["by_metric"], directions=plan["directions"]))
        if changed := [each for each in labels if plan["equations"][each] != other["equations"][each]]:
            raise PlanError(f"{changed[0]} is one formula on {first} and another on {name}; give them different names.")
        if (same := problems.setdefault(fingerprint, name)) != name:
            raise PlanError(f"{same} and {name} are one problem: model, data and loss are the same; give it once.")
