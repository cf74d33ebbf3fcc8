"""Everything that a study says, in order: the sections of its report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import method, ranking, runs, searched

if TYPE_CHECKING:
    from ..results import Results
    from .sections import Section


def contents(results: Results) -> list[Section]:
    """The answer first; of a study without a finished run, what is known of it so far."""
    verdict, plan, table = results.verdict, results.plan, results.table()
    sections = [ranking.answer(verdict, plan, table)]
    if verdict.entries:
        curves, several = results.curves(verdict.stage), len(plan.settings) > 1
        sections += [
            ranking.ranking(verdict),
            runs.rates(plan, verdict, table),
            *([runs.sensitivity(plan, table)] if len(plan.drawn) < 2 else []),  # else no two rates share the rest
            *([searched.importance(plan, table)] if several and not plan.points else []),
            *([searched.budget(plan, table)] if several else []),
            *(ranking.ranking(results.verdict_by(factor.name), factor.kind) for factor in plan.ranked[1:]),
            *([ranking.tuned(verdict)] if verdict.confirmed else []),
            runs.targets(verdict, table, curves),
            runs.learning(verdict, table, curves),
            *([searched.leaders(plan, verdict, table, curves)] if len(verdict.entries) > 1 else []),
            *([runs.generalization(judged)] if (judged := results.generalization()) else []),
            ranking.cost(verdict),
            *([notes] if (notes := method.notes(verdict, results.batching)).notes else []),
            method.recipe(results, verdict),
        ]
    return [*sections, method.provenance(results.provenance), method.method(verdict)]
