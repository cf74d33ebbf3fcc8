"""Sharp and flat minima: two measures for each level, and how the loss rises in the direction in which it bends most.

Steps as long for one level as for another show what the measures say. Steps in lengths of a run's own weights, which
no scaling of the network changes, show how much of that is due to weights that have grown.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from .style import dress, faded, log_ticks, looks, text

if TYPE_CHECKING:
    import pandas as pd

_LINES = {  # unit → title, and what the axis counts
    "untrained": ("Rise for equal steps", "step / length of the untrained weights"),
    "own": ("Rise for steps by own weights", "step / length of the run’s own weights"),
}


def sharpness(
    table: pd.DataFrame, lines: pd.DataFrame, levels: Sequence[str], factor: str, epsilon: float
) -> go.Figure:
    """A dot for each seed and a bar at their mean, on log axes; below, the mean rise of the loss on lines.

    Args:
        table: columns level, seed, eigenvalue, rise; one row per run.
        lines: columns level, seed, unit, distance, loss.
        levels: in the order of the axis.
        factor: what the levels are of, in words.
        epsilon: the length of the step of `rise`.
    """
    order = sorted(levels, key=_number)
    found = looks(order)
    titles = (
        "<b>Largest Hessian eigenvalue</b>",
        f"<b>Rise within ε = {epsilon:g}</b>",
        *(f"<b>{title}</b>" for title, _ in _LINES.values()),
    )
    figure = make_subplots(rows=2, cols=2, subplot_titles=titles, horizontal_spacing=0.1, vertical_spacing=0.2)
    start = lines[lines["distance"] == 0].groupby(["level", "seed"])["loss"].first()
    rises = lines["loss"] - lines.set_index(["level", "seed"]).index.map(start)
    for level in order:
        own, look = table[table["level"] == level], found[level]
        for column, measure in ((1, "eigenvalue"), (2, "rise")):
            values = own[measure]
            dots = {"symbol": look.marker, "size": 7, "color": faded(look.colour, 0.45)}
            mean = {"symbol": "line-ew", "size": 22, "line": {"width": 3, "color": look.colour}}
            figure.add_trace(
                go.Scatter(
                    x=[text(level)] * len(own),
                    y=list(values),
                    mode="markers",
                    marker=dots,
                    showlegend=False,
                    name=text(level),
                ),
                row=1,
                col=column,
            )
            figure.add_trace(
                go.Scatter(
                    x=[text(level)],
                    y=[values.mean()],
                    mode="markers",
                    marker=mean,
                    showlegend=False,
                    name=f"{text(level)}: mean",
                ),
                row=1,
                col=column,
            )
        for column, unit in enumerate(_LINES, 1):
            rise = rises[(lines["level"] == level) & (lines["unit"] == unit)].groupby(lines["distance"]).mean()
            line = {"color": look.colour, "dash": look.dash, "width": 2.2}
            figure.add_trace(
                go.Scatter(
                    x=list(rise.index),
                    y=list(rise),
                    mode="lines",
                    line=line,
                    name=text(level),
                    legendgroup=level,
                    showlegend=column == 1,
                ),
                row=2,
                col=column,
            )
    dress(figure, 680)
    for column, measure in ((1, "eigenvalue"), (2, "rise")):
        if (table[measure] > 0).all():
            ticks = log_ticks(table[measure].min() / 1.5, table[measure].max() * 1.5)
            figure.update_yaxes(type="log", row=1, col=column, **ticks)
        figure.update_xaxes(title_text=text(factor), type="category", row=1, col=column, range=[-0.5, len(order) - 0.5])
    for column, (_, words) in enumerate(_LINES.values(), 1):
        figure.update_yaxes(rangemode="tozero", row=2, col=column)
        figure.update_xaxes(title_text=words, row=2, col=column)
    return figure.update_layout(legend={"title": {"text": text(factor)}}, margin={"t": 60, "b": 90})


def _number(level: str) -> tuple[float, str]:
    """Numbers in their order, words after them."""
    try:
        return float(level), level
    except ValueError:
        return float("inf"), level
