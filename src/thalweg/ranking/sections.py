"""What is shown of runs made elsewhere, in order: each part computed once, for page, terminal and JSON."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..language import mark, say
from ..plan.factors import Factor
from ..report.ranking import ranking as ranking_of
from ..report.sections import Column, Row, Section
from ..verdict.entries import Verdict
from .choice import Choice
from .columns import Columns
from .runs import STOPPED, Runs
from .settings import settings

METHOD = mark("""\
These runs were made elsewhere, so nothing is known of them but the table: whether all had the same budget, data and
number of tries is for whoever made them to say.

Each candidate stands for its best setting, the one with the fewest diverged runs and then the best mean. A run that
failed, or whose value is missing or not finite, diverged and counts as infinitely bad. Differences are taken seed by
seed where the chosen settings share their seeds, because a seed gives all the same start and order of samples; other
runs are compared as independent repeats.

Intervals say how far other seeds would move a mean. Since many pairs are compared, a difference has to be surer than
one alone to count: equal settings are not told apart in at least 95% of such tables, however many there are. That holds
for runs that had no part in the choice of settings; those that chose are a little too good.""")


def contents(runs: Runs, choice: Choice, verdict: Verdict, factor: Factor) -> list[Section]:
    """The answer first."""
    return [
        answer(runs, verdict),
        *([ranking(verdict, factor), settings(runs, choice)] if verdict.entries else []),
        *([Section("notes", say("Notes"), notes=verdict.notes)] if verdict.notes else []),
        columns(runs.columns),
        Section("method", say("How to read this"), say(METHOD)),
    ]


def answer(runs: Runs, verdict: Verdict) -> Section:
    """The verdict in words, whether it is confirmed, and the key facts."""
    counts = runs.frame["status"].value_counts()
    facts = {
        "runs": len(runs.frame),
        f"values of {runs.columns.ranked}": runs.frame["candidate"].nunique(),
        "settings": runs.frame["setting"].nunique(),
        "diverged": int(counts.get("diverged", 0)),
        **({"pruned": int(counts[STOPPED])} if STOPPED in counts else {}),
        **({say("not ended, and left out"): runs.unfinished} if runs.unfinished else {}),
        say(
            "{replicate}s behind each value, at least", replicate=mark("fresh " * verdict.confirmed + verdict.replicate)
        ): verdict.seeds,
    }
    heads = [Column("what", "What", "name"), Column("count", "Count", "count")]
    rows = [{"what": what, "count": count} for what, count in facts.items()]
    warnings = [note for note in verdict.notes if note.startswith((say("One noisy run"), say("Not confirmed")))]
    return Section("answer", say("Answer"), verdict.sentence, heads, rows, notes=warnings)


def ranking(verdict: Verdict, factor: Factor) -> Section:
    """The candidates, best first, without the columns that such runs have no values for."""
    section = ranking_of(verdict, factor.kind)
    empty = {"time", *(name for name in ("optimizer", "lr", "schedule") if not _known(verdict, name))} - {factor.name}
    heads = [one for one in section.columns if one.name not in empty and not one.name.startswith("test ")]
    section = replace(section, name="ranking", title=say("Ranking"), sentence=say("Ordered by mean."), columns=heads)
    if max(verdict.seeds, *(entry.repeats for entry in verdict.entries)) > 1:
        return section
    # One run each: values, and no word on how sure they are.
    heads = [
        replace(one, brief=one.brief.partition("\n[")[0], means="") for one in heads if one.name not in _OF_EVIDENCE
    ]
    return replace(section, sentence=say("Ordered by one run each."), columns=heads, figures=[], terms={})


_OF_EVIDENCE = ("letters", "may_be_best", "regret_share", "standing", "probability_best", "percentile_90")


def _known(verdict: Verdict, name: str) -> bool:
    values = [getattr(entry, name) for entry in verdict.entries]
    return any(value != "" and value == value for value in values)


def columns(read: Columns) -> Section:
    """Which column of the table was read as what."""
    roles: dict[str, Any] = {
        "compared": read.by,
        say("judges, {side} is better", side=mark("higher" if read.sign < 0 else "lower")): [read.metric],
        say("tells settings apart"): read.settings,
        "seed": [read.seed],
        say("how far the run came"): [read.progress],
        say("how the run ended"): [read.status],
        say("whether the run is fresh"): [read.confirmation],
        say("not read"): read.ignored,
    }
    rows: list[Row] = [{"role": role, "columns": list(filter(None, names))} for role, names in roles.items()]
    heads = [Column("role", "Read as", "name"), Column("columns", "Columns", "fact")]
    return Section("columns", say("How the table was read"), read.sentence, heads, rows)
