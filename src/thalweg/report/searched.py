"""Sections that need no further run: what the stored search says beyond its lowest losses."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..language import say
from ..plan.factors import OPTIMIZER, shown, words_of
from ..plan.plan import Plan
from ..verdict import budget as budgets
from ..verdict import importance as importances
from ..verdict import leaders as ahead
from ..verdict.entries import Verdict
from ..verdict.importance import Shares
from .sections import Column, Figure, Row, Section, level

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

MOST_PAIRS = 3  # more have one column together
_QUARTILES = ("median", "low_50", "high_50")


def budget(plan: Plan, table: pd.DataFrame) -> Section:
    """The best of k settings, for every k."""
    factor, by = plan[OPTIMIZER.name], plan.criterion
    of_levels = budgets.rows(plan, table, factor)
    rows = [budgets.signed(row, by.sign) for row in of_levels]
    columns = [
        level(factor.name, "name"),
        Column("tried", "Settings tried", "part", lambda row: (row["tried"], row["settings"])),
        Column("median", "Median of the best", "quartiles", lambda row: tuple(map(row.get, _QUARTILES))),
        Column("low_80", "90% of draws above", "number")
        if by.higher
        else Column("high_80", "90% of draws below", "number"),
        Column("mean", "Expected best", "number"),
        Column("all_diverged", "All diverge", "fine percent"),
        Column("seeds", "Median, seed by seed", "range", lambda row: (row["seed_low"], row["seed_high"])),
    ]
    caption = say(
        "If only so many of each {kind}’s settings had been tried, picked at random: the "
        "{extreme} mean {measure} over the search’s seeds. Line: the median of all such picks; "
        "band, with few lines: the middle half. The numbers are exact, since the whole grid was "
        "run. The expected value is ∞ while all picks may diverge; a median is not.{stopped}",
        kind=factor.kind.words,
        extreme=by.extreme,
        measure=by.words,
        stopped=_stopped(table),
    )
    levels: dict[str, list[Row]] = {}
    for row in rows:
        levels.setdefault(shown(row[factor.name]), []).append(row)
    label = say(
        "The {extreme} {measure} against settings tried for {count} {many}, log scales.",
        extreme=by.extreme,
        measure=by.words,
        count=len(levels),
        many=factor.kind.many,
    )

    def draw(narrow: bool) -> go.Figure:
        from ..pictures.budget import budget as picture

        return picture(levels, by.words)

    figure = Figure(draw, label, caption)
    few = [row for row in rows if row["tried"] & (row["tried"] - 1) == 0 or row["tried"] == row["settings"]]
    sentence = budgets.sentence(of_levels, factor, by.sign)
    return Section("budget", say("Fewer settings"), sentence, columns, few, [figure], folded=True)


def importance(plan: Plan, table: pd.DataFrame) -> Section:
    """What each factor explains of the differences between runs."""
    shares = importances.importance(plan, table)
    rows = [_split(one) for one in shares]
    pairs = list(dict.fromkeys(names for one in shares for names in one.pairs))
    columns = [
        Column("grid", "Runs of", "name"),
        *(_share(level(name).title, (name,)) for name in dict.fromkeys(name for one in shares for name in one.main)),
        *(
            [_share(" × ".join([level(pair[0]).title, say(words_of(pair[1]))]), pair) for pair in pairs]
            if len(pairs) <= MOST_PAIRS
            else [Column("two", "Two together", "percent")]
        ),
        Column("rest", "Three and more", "percent"),
        Column("specific", "Not of all", "percent"),
        Column("seeds", "Seeds", "percent"),
    ]
    used = [column for column in columns if any(column.value(row) is not None for row in rows)]
    bars = {row["grid"]: {column.title: column.value(row) or 0.0 for column in used[1:]} for row in rows}

    def draw(narrow: bool) -> go.Figure:
        from ..pictures.shares import shares as picture

        return picture(bars, say("share of the variance of ranks"))

    caption = say(
        "What each factor explains of the differences between all runs of the search: of all grids, and of each."
    )
    label = say("Shares of the variance of ranks that factors explain, for {count} grids.", count=len(rows))
    figures = [Figure(draw, label, caption)] if rows else []
    return Section(
        "importance", say("What matters"), _explained(shares) + _stopped(table), used, rows, figures, folded=True
    )


def _share(title: str, names: tuple[str, ...]) -> Column:
    effect = importances.TIMES.join(names)
    return Column(effect, title, "percent", lambda row: row["effects"].get(effect))


def _split(one: Shares) -> Row:
    row = {"grid": one.grid, "runs": one.runs, "two": sum(one.pairs.values())}
    row |= {} if math.isnan(one.seeds) else {"seeds": one.seeds}
    row |= {"effects": {importances.TIMES.join(names): share for names, share in one.effects.items()}}
    row |= {"rest": one.rest} if len(one.main) > 2 else {}
    return row | ({"specific": one.specific} if one.specific else {})


def _explained(shares: Sequence[Shares]) -> str:
    """The sentence, and how to read the table."""
    return say(
        "{sentence}\n\nAn exact analysis of variance of the whole grid: of all runs the lowest "
        "loss has the lowest rank, and those that diverged share the highest. A factor’s share "
        "is what it explains alone; “rate × schedule” is what the two explain together beyond "
        "that. Each row sums to 100%.",
        sentence=importances.sentence(shares),
    )


def leaders(plan: Plan, verdict: Verdict, table: pd.DataFrame, curves: pd.DataFrame) -> Section:
    """Which optimizer is ahead after each epoch."""
    factor, by = plan[verdict.factor], verdict.criterion
    standings = ahead.leaders(plan, verdict, table, curves)
    columns = [
        Column("epoch", "Epoch", "count"),
        level(factor.name, "name"),
        Column("rank", "Rank", "count"),
        Column("value", by.words.capitalize(), "number"),
        Column("behind", "Behind the leader", "difference"),
    ]
    caption = say(
        "The rank after each epoch, by the mean {measure} over {seeds} {confirmed}seeds; where "
        "lines cross, the order turns over. Settings are those chosen for {epochs} epochs, and "
        "schedules those of {trained}: with fewer others might have been chosen.",
        measure=by.words,
        seeds=verdict.seeds,
        confirmed=say("fresh ") * verdict.confirmed,
        epochs=plan.epochs,
        trained=verdict.epochs,
    )
    rows = [{**vars(one), factor.name: one.level, "behind": "leads" if one.leads else one.behind} for one in standings]
    ranks: dict[str, list[tuple[int, int, float]]] = {}
    for one in standings:
        ranks.setdefault(shown(one.level), []).append((one.epoch, one.rank, one.value))
    label = say("Rank of {count} {many} after each epoch.", count=len(ranks), many=factor.kind.many)

    def draw(narrow: bool) -> go.Figure:
        from ..pictures.leaders import leaders as picture

        return picture(ranks)

    figures = [Figure(draw, label, caption)] if standings else []
    sentence = ahead.sentence(standings, factor)
    return Section("leaders", say("Ahead after each epoch"), sentence, columns, rows, figures, folded=True)


def _stopped(table: pd.DataFrame) -> str:
    early = bool((table["status"] == "stopped").any())
    return say(" A run that was stopped early counts with the loss it had then.") * early
