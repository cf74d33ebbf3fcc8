"""Everything that a study says, in order: the sections of its report."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from ..language import say
from ..verdict.generalization import Generalization, generalization
from . import method, ranking, runs, searched
from .sections import Section

if TYPE_CHECKING:
    import pandas as pd

    from ..results import Results
    from ..verdict.entries import Verdict


class Parts:
    """What page, terminal and JSON have in common of a study, each computed when it is first asked for, and once.

    Args:
        margin: as `Results.verdict_by` takes it.
    """

    def __init__(self, results: Results, margin: float | None = None) -> None:
        self.results, self.plan, self.table = results, results.plan, results.table()
        self.margin = margin

    def ranking(self, factor: str) -> Verdict:
        return self.results.verdict_by(factor, self.margin)

    @cached_property
    def verdict(self) -> Verdict:
        """On the optimizers."""
        return self.ranking("optimizer")

    @cached_property
    def curves(self) -> pd.DataFrame:
        """Of the runs that the verdict's losses are of."""
        return self.results.curves(self.verdict.stage)

    @cached_property
    def generalization(self) -> list[Generalization]:
        """As `Results.generalization` has it of optimizers."""
        return generalization(self.plan, self.verdict, self.table, self.curves)

    @cached_property
    def sensitivity(self) -> Section:
        return runs.sensitivity(self.plan, self.table)

    @cached_property
    def importance(self) -> Section:
        return searched.importance(self.plan, self.table)

    @cached_property
    def budget(self) -> Section:
        return searched.budget(self.plan, self.table)

    @cached_property
    def targets(self) -> Section:
        return runs.targets(self.verdict, self.table, self.curves)

    @cached_property
    def leaders(self) -> Section:
        return searched.leaders(self.plan, self.verdict, self.table, self.curves)


def contents(parts: Parts) -> list[Section]:
    """The answer first; of a study without a finished run, what is known of it so far."""
    results, verdict, plan, table = parts.results, parts.verdict, parts.plan, parts.table
    sections = [ranking.answer(verdict, plan, table)]
    if verdict.entries:
        several = len(plan.settings) > 1
        sections += [
            ranking.ranking(verdict),
            runs.rates(plan, verdict, table),
            *([parts.sensitivity] if len(plan.drawn) < 2 else []),  # else no two rates share the rest
            *([parts.importance] if several and not plan.points else []),
            *([parts.budget] if several else []),
            *(ranking.ranking(parts.ranking(factor.name), factor.kind) for factor in plan.ranked[1:]),
            *([ranking.tuned(verdict)] if verdict.confirmed else []),
            parts.targets,
            runs.learning(verdict, table, parts.curves),
            *([parts.leaders] if len(verdict.entries) > 1 else []),
            *([runs.generalization(judged)] if (judged := parts.generalization) else []),
            ranking.cost(verdict),
            *([Section("notes", say("Notes"), notes=notes)] if (notes := [*verdict.notes, *results.batching]) else []),
            method.recipe(results, verdict),
        ]
    return [*sections, method.provenance(results.provenance), method.method(verdict)]
