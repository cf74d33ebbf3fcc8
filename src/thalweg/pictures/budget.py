"""The best loss so far against the number of settings tried: what tuning costs, and when an optimizer is worth it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from ..language import mark, say
from .layout import dress, log_axis
from .marks import band, line
from .numbers import number
from .style import Style, styles, text

MOST_BANDS = 4  # more hide each other
SPAN = 1000.0  # losses above so many times the smallest leave the plot at the top
Rows = Sequence[Mapping[str, Any]]


def budget(levels: Mapping[str, Rows], measure: str = mark("validation loss")) -> go.Figure:
    """One line per level, the median of the best of k; of few levels also a band, the middle half of all draws.

    A line begins where half of the draws have a finite loss; a band that goes on to infinity ends at the top.

    Args:
        levels: level → rows with `tried`, `median`, `low_50` and `high_50`, as `Study.expected_best` gives them.
        measure: what they are of.

    >>> figure = budget({"adam": [{"tried": 1, "median": 2.0, "low_50": 1.0, "high_50": math.inf},
    ...                           {"tried": 2, "median": 1.0, "low_50": 1.0, "high_50": 2.0}]})
    >>> [trace.name for trace in figure.data], figure.data[1].x, figure.data[1].y
    (['adam: middle half', 'adam'], (1, 2), (2.0, 1.0))
    """
    shown = [row[name] for row in _all(levels) for name in ("median", "low_50") if math.isfinite(row[name])]
    low, high = (min(shown), max(shown)) if shown else (0.1, 1.0)
    logarithmic = low > 0
    top = min(high, low * SPAN) * 1.1 if logarithmic else high + 0.1 * abs(high - low)
    figure = go.Figure()
    for name, style in styles(levels).items():
        ground, median = _drawn(levels[name], text(name), style, top)
        figure.add_traces([ground, median] if len(levels) <= MOST_BANDS else [median])
    end = max([2, *(row["tried"] for row in _all(levels))])
    figure.update_xaxes(title_text=say("settings tried, log scale"), **log_axis(0.95, end * 1.05), showline=True)
    title = say("{measure} of the best so far", measure=text(say(measure))) + say(", log scale") * logarithmic
    figure.update_yaxes(title_text=title, nticks=6, **(log_axis(low / 1.08, top) if logarithmic else {}))
    return dress(figure, 380, t=8, b=8 + 24 * (1 + len(levels) // 5))


def _all(levels: Mapping[str, Rows]) -> Iterable[Mapping[str, Any]]:
    return (row for rows in levels.values() for row in rows)


def _drawn(rows: Rows, name: str, style: Style, top: float) -> tuple[go.Scatter, go.Scatter]:
    """The band and the line."""
    inside = [row for row in rows if row["median"] <= top]
    tried = [row["tried"] for row in inside]
    high = [min(row["high_50"], top) for row in inside]
    low = [row["low_50"] if math.isfinite(row["low_50"]) else row["median"] for row in inside]
    hover = [
        say(
            "<b>{name}</b> best of {tried}: median {median}<br>half of the draws from {low} to {high}",
            name=name,
            tried=row["tried"],
            median=number(row["median"]),
            low=number(row["low_50"]),
            high=number(row["high_50"]),
        )
        for row in inside
    ]
    more = {"hover": hover, "name": name, "legendgroup": name, "marker": {"maxdisplayed": 6}}
    return (
        band(tried, low, high, style.colour, name=f"{name}: middle half", legendgroup=name),
        # one that diverges in half of the draws still has its name in the legend
        line(tried or [None], [row["median"] for row in inside] or [None], style, size=7, **more),
    )
