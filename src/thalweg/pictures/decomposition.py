"""Bias, variance and noise drawn: what an error is made of, against what makes the model stiffer or freer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import plotly.graph_objects as go

from ..language import say
from .layout import dress, log_ticks
from .marks import band, line, points
from .numbers import short
from .style import BLACK, BLUE, GREEN, MUTED, VERMILION, Style

if TYPE_CHECKING:
    import pandas as pd

_STYLES = {
    "error": Style(BLACK, "solid", "circle"),
    "bias": Style(BLUE, "dash", "square"),
    "variance": Style(VERMILION, "dashdot", "diamond"),
    "noise": Style(MUTED, "dot", "circle-open"),
}


def decomposition(table: pd.DataFrame, along: str, measure: str, known: bool, title: str = "") -> go.Figure:
    """The parts of an error, with the 95% interval of each over samples.

    Args:
        table: of `BiasVariance`, one row for each level of `along`.
        along: a column; rates on a log axis, other numbers and labels in the order given.
        measure: of the error, for its axis.
        known: whether the noise is known.
    """
    square = "²" if measure == "squared error" else ""
    words = {
        "error": say("error"),
        "bias": say("bias{square}{noise}", square=square, noise="" if known else say(" and noise")),
        "variance": say("variance"),
    }
    words |= {"noise": say("noise")} if known else {}
    table = table.sort_values(along) if along == "lr" else table
    across = list(table["lr"]) if along == "lr" else [str(level) for level in table[along]]
    figure = go.Figure()
    for name, label in words.items():
        style = _STYLES[name]
        if name != "noise":
            figure.add_trace(band(across, list(table[f"{name}_high"]), list(table[f"{name}_low"]), style.colour))
        hover = [f"{label} {short(float(value))}" for value in table[name]]
        figure.add_trace(line(across, table[name], style, 2, size=8, hover=hover, hoverinfo="x+text", name=label))
    whole = table[[name for name in words if name != "error"]].sum(axis=1)
    hover = "%{x}: %{y:.4g}<extra></extra>"
    figure.add_trace(
        points(across, whole, Style(GREEN, marker="x"), 7, name=say("sum of the parts"), hovertemplate=hover)
    )
    if along == "lr":
        figure.update_xaxes(
            type="log", title_text=say("learning rate"), **log_ticks(table["lr"].min(), table["lr"].max(), (1,))
        )
    else:
        figure.update_xaxes(type="category", title_text=say(along.replace("_", " ")))
    return dress(figure, 420, title, t=44, b=80).update_yaxes(title_text=say(measure), rangemode="tozero")
