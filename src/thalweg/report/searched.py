"""Sections that need no further run: what the stored search says beyond its lowest losses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..plan.factors import OPTIMIZER, shown
from ..plan.plan import Plan
from ..verdict import budget as budgets
from ..verdict.verdict import rankable
from .sections import Column, Figure, Row, Section, level

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

_QUARTILES = ("median", "low_50", "high_50")


def budget(plan: Plan, table: pd.DataFrame, by: str = OPTIMIZER.name) -> Section:
    """The best of k settings, for every k."""
    factor = rankable(plan, by)
    rows = budgets.rows(plan, table, factor)
    columns = [
        level(factor.name, "name"),
        Column("tried", "Settings tried", "part", lambda row: (row["tried"], row["settings"])),
        Column("median", "Median of the best", "quartiles", lambda row: tuple(map(row.get, _QUARTILES))),
        Column("high_80", "90% of draws below", "number"),
        Column("mean", "Expected best", "number"),
        Column("all_diverged", "All diverge", "fine percent"),
        Column("seeds", "Median, seed by seed", "range", lambda row: (row["seed_low"], row["seed_high"])),
    ]
    stopped = " A run that was stopped early counts with the loss it had then."
    caption = (
        f"If only so many of each {factor.kind.words}’s settings had been tried, picked at random: the lowest mean "
        "validation loss over the search’s seeds. Line: the median of all such picks; band: the middle half. The "
        "numbers are exact, since the whole grid was run. The expected value is ∞ while all picks may diverge; a "
        f"median is not.{stopped * bool((table['status'] == 'stopped').any())}"
    )
    levels: dict[str, list[Row]] = {}
    for row in rows:
        levels.setdefault(shown(row[factor.name]), []).append(row)
    label = f"Lowest validation loss against settings tried for {len(levels)} {factor.kind.many}, log scales."

    def draw(narrow: bool) -> go.Figure:
        from ..pictures.budget import budget as picture

        return picture(levels)

    figure = Figure(draw, label, caption)
    few = [row for row in rows if row["tried"] & (row["tried"] - 1) == 0 or row["tried"] == row["settings"]]
    sentence = budgets.sentence(budgets.leads(rows, factor), factor)
    return Section("budget", "Fewer settings", sentence, columns, few, [figure], folded=True)
