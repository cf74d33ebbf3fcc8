"""Sharp and flat minima: two measures for each level, and the loss along the direction in which it rises fastest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from .style import dress, faded, looks, text

if TYPE_CHECKING:
    import pandas as pd


def sharpness(
    table: pd.DataFrame, lines: pd.DataFrame, levels: Sequence[str], factor: str, epsilon: float
) -> go.Figure:
    """A dot for each seed and a bar at their mean, on log axes; beside them the mean loss on a line.

    Args:
        table: columns level, seed, eigenvalue, rise; one row per run.
        lines: columns level, seed, distance, loss.
        levels: in the order of the axis.
        factor: what the levels are of, in words.
        epsilon: the length of the step of `rise`.
    """
    order = sorted(levels, key=_number)
    found = looks(order)
    titles = (
        "<b>Largest Hessian eigenvalue</b>",
        f"<b>Rise within ε = {epsilon:g}</b>",
        "<b>Loss on a line</b>",
    )
    figure = make_subplots(rows=1, cols=3, subplot_titles=titles, horizontal_spacing=0.09)
    for level in order:
        own, look = table[table["level"] == level], found[level]
        for column, measure in ((1, "eigenvalue"), (2, "rise")):
            values = own[measure]
            dots = {"symbol": look.marker, "size": 7, "color": faded(look.colour, 0.45)}
            mean = {"symbol": "line-ew", "size": 22, "line": {"width": 3, "color": look.colour}}
            figure.add_trace(go.Scatter(x=[text(level)] * len(own), y=list(values), mode="markers", marker=dots,
                                        showlegend=False, name=text(level)), row=1, col=column)  # fmt: skip
            figure.add_trace(go.Scatter(x=[text(level)], y=[values.mean()], mode="markers", marker=mean,
                                        showlegend=False, name=f"{text(level)}: mean"), row=1, col=column)  # fmt: skip
        mean_line = lines[lines["level"] == level].groupby("distance")["loss"].mean()
        line = {"color": look.colour, "dash": look.dash, "width": 2.2}
        figure.add_trace(go.Scatter(x=list(mean_line.index), y=list(mean_line), mode="lines", line=line,
                                    name=text(level)), row=1, col=3)  # fmt: skip
    dress(figure, 380)
    for column, measure in ((1, "eigenvalue"), (2, "rise")):
        scale = "log" if (table[measure] > 0).all() else "linear"
        figure.update_yaxes(type=scale, row=1, col=column)
        figure.update_xaxes(title_text=text(factor), type="category", row=1, col=column,
                            range=[-0.5, len(order) - 0.5])  # fmt: skip
    figure.update_yaxes(type="log" if (lines["loss"] > 0).all() else "linear", row=1, col=3)
    figure.update_xaxes(title_text="step along the eigenvector / length of the weights", row=1, col=3)
    return figure.update_layout(legend={"title": {"text": text(factor)}}, margin={"t": 60, "b": 90})


def _number(level: str) -> tuple[float, str]:
    """Numbers in their order, words after them."""
    try:
        return float(level), level
    except ValueError:
        return float("inf"), level
