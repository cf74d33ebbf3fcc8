"""Bias, variance and noise drawn: what an error is made of, against what makes the model stiffer or freer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go

from .numbers import short
from .style import BLACK, BLUE, GREEN, MUTED, VERMILION, dress, faded, heading, log_ticks

if TYPE_CHECKING:
    import pandas as pd

_LINES = {
    "error": (BLACK, "solid", "circle"),
    "bias": (BLUE, "dash", "square"),
    "variance": (VERMILION, "dashdot", "diamond"),
    "noise": (MUTED, "dot", "circle-open"),
    "sum": (GREEN, "dot", "x"),
}
_AXES = {"lr": "learning rate", "model": "model"}


def decomposition(table: pd.DataFrame, along: str, measure: str, known: bool, title: str = "") -> go.Figure:
    """The parts of an error, with the 95% interval of each over samples.

    Args:
        table: of `BiasVariance`, one row for each level of `along`.
        along: a column; rates on a log axis, other numbers and labels in the order given.
        measure: of the error, for its axis.
        known: whether the noise is known.
    """
    square = "²" if measure == "squared error" else ""
    words = {"error": "error", "bias": f"bias{square}{'' if known else ' and noise'}", "variance": "variance"}
    words |= {"noise": "noise"} if known else {}
    table = table.sort_values(along) if along == "lr" else table
    across = list(table["lr"]) if along == "lr" else [str(level) for level in table[along]]
    rates, figure = table.get("lr"), go.Figure()
    for name, label in words.items():
        colour, dash, marker = _LINES[name]
        if name != "noise":
            figure.add_trace(_band(across, table[f"{name}_low"], table[f"{name}_high"], colour))
        figure.add_trace(_line(across, table[name], label, colour, dash, marker))
    whole = table[[name for name in words if name != "error"]].sum(axis=1)
    colour, _, marker = _LINES["sum"]
    mark = {"symbol": marker, "size": 7, "color": colour}
    figure.add_trace(
        go.Scatter(
            x=across,
            y=whole,
            mode="markers",
            marker=mark,
            name="sum of the parts",
            hovertemplate="%{x}: sum %{y:.4g}<extra></extra>",
        )
    )
    dress(figure, 420)
    figure.update_yaxes(title_text=measure, rangemode="tozero")
    if along == "lr" and rates is not None:
        figure.update_xaxes(type="log", title_text=_AXES[along], **log_ticks(rates.min(), rates.max(), (1,)))
    else:
        figure.update_xaxes(type="category", title_text=_AXES.get(along, along.replace("_", " ")))
    return figure.update_layout(title=heading(title), margin={"l": 8, "r": 8, "t": 44, "b": 80})


def _line(x: list[Any], y: pd.Series, label: str, colour: str, dash: str, marker: str) -> go.Scatter:
    words = [f"{label} {short(float(v))}" for v in y]
    return go.Scatter(
        x=x,
        y=y,
        mode="lines+markers",
        line={"color": colour, "dash": dash},
        name=label,
        text=words,
        marker={"symbol": marker, "size": 8, "color": colour},
        hoverinfo="x+text",
    )


def _band(x: list[Any], low: pd.Series, high: pd.Series, colour: str) -> go.Scatter:
    return go.Scatter(
        x=[*x, *x[::-1]],
        y=[*high, *low[::-1]],
        fill="toself",
        mode="none",
        hoverinfo="skip",
        fillcolor=faded(colour),
        showlegend=False,
    )
