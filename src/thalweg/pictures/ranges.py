"""A range test drawn: loss after a few steps against the rate, with its band and the suggestion."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go

from ..language import say
from .layout import dress, log_ticks
from .marks import band, line, points
from .numbers import short
from .style import BLUE, MUTED, VERMILION, Style, faded

if TYPE_CHECKING:
    import pandas as pd

TOP = 3.0  # the plot ends at so many times the loss before the first step


def range_picture(table: pd.DataFrame, suggestion: float, start: float, title: str = "") -> go.Figure:
    """Loss against rate.

    Args:
        table: columns lr, validation_loss, low, high, diverged, one row per rate; `RangeTest.table`.
        suggestion: the rate to ring; nan for none.
        start: the loss before the first step, a dotted line.
    """
    finite = np.isfinite(table["validation_loss"])
    means, diverged = table[finite], table[~finite]
    words = "rate {0.lr}: loss {0.validation_loss} [{0.low}, {0.high}]"
    hover = [words.format(row) for row in means.map(short).itertuples()]
    bottom, top = _limits(means, start)
    interval = band(list(means["lr"]), list(means["high"]), list(means["low"]), BLUE)
    interval.update(fillcolor=faded(BLUE, 0.24), name=say("95% interval"), showlegend=None)
    at_top = [top - 0.03 * (top - bottom)] * len(diverged)
    traces = [
        interval,
        line(means["lr"], means["validation_loss"], BLUE, 2, size=6, hover=hover, name=say("mean over seeds")),
        points(diverged["lr"], at_top, Style(BLUE, marker="x"), 6, hoverinfo="x", name=say("a seed diverged")),
    ]
    if not math.isnan(suggestion):
        at = means.loc[means["lr"] == suggestion, "validation_loss"]
        ring, more = Style(VERMILION, marker="circle-open"), {"name": say("suggestion {rate}", rate=short(suggestion))}
        traces.append(points([suggestion], at, ring, 15, edge={"width": 2.5}, hoverinfo="skip", **more))
    figure = go.Figure(traces).add_hline(y=start, line={"color": MUTED, "dash": "dot", "width": 1})
    figure.update_xaxes(
        type="log", title_text=say("learning rate"), **log_ticks(table["lr"].min(), table["lr"].max(), (1,))
    )
    figure.update_yaxes(title_text=say("validation loss"), range=[bottom, top])
    return dress(figure, 380, title, t=44, b=70)


def _limits(means: pd.DataFrame, start: float) -> tuple[float, float]:
    """From below the lowest loss to above the start; what is far above leaves the plot at the top."""
    losses = [*means["validation_loss"], start]
    low, high = min(losses), min(max(losses), max(TOP * start, start))
    room = 0.06 * ((high - low) or 1.0)
    return low - room, high + room
