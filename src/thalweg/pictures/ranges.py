"""A range test drawn: loss after a few steps against the rate, with its band and the suggestion."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go

from .numbers import short
from .style import BLUE, MUTED, VERMILION, dress, faded, heading, log_ticks

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
    known = table[np.isfinite(table["validation_loss"])]
    lost = table[~np.isfinite(table["validation_loss"])]
    x = known["lr"]
    words = [
        f"rate {short(r.lr)}: loss {short(r.validation_loss)} [{short(r.low)}, {short(r.high)}]"
        for r in known.itertuples()
    ]
    bottom, top = _limits(known, start)
    band = {"x": [*x, *x[::-1]], "y": [*known["high"], *known["low"][::-1]], "fill": "toself"}
    figure = go.Figure(
        [
            go.Scatter(**band, fillcolor=faded(BLUE, 0.24), mode="none", name="95% interval", hoverinfo="skip"),
            go.Scatter(
                x=x,
                y=known["validation_loss"],
                mode="lines+markers",
                line={"color": BLUE},
                text=words,
                hoverinfo="text",
                name="mean over seeds",
            ),
            go.Scatter(
                x=lost["lr"],
                y=[top - 0.03 * (top - bottom)] * len(lost),
                mode="markers",
                hoverinfo="x",
                marker={"symbol": "x", "color": BLUE},
                name="a seed diverged",
            ),
        ]
    )
    if not math.isnan(suggestion):
        at = known.loc[known["lr"] == suggestion, "validation_loss"]
        ring = {"symbol": "circle-open", "size": 15, "color": VERMILION, "line": {"width": 2.5}}
        figure.add_trace(
            go.Scatter(
                x=[suggestion],
                y=at,
                mode="markers",
                marker=ring,
                hoverinfo="skip",
                name=f"suggestion {short(suggestion)}",
            )
        )
    figure.add_hline(y=start, line={"color": MUTED, "dash": "dot", "width": 1})
    dress(figure, 380)
    figure.update_xaxes(type="log", title_text="learning rate", **log_ticks(table["lr"].min(), table["lr"].max(), (1,)))
    figure.update_yaxes(title_text="validation loss", range=[bottom, top])
    return figure.update_layout(title=heading(title), margin={"l": 8, "r": 8, "t": 44, "b": 70})


def _limits(known: pd.DataFrame, start: float) -> tuple[float, float]:
    """From below the lowest loss to above the start; what is far above leaves the plot at the top."""
    losses = [*known["validation_loss"], start]
    low, high = min(losses), min(max(losses), max(TOP * start, start))
    room = 0.06 * ((high - low) or 1.0)
    return low - room, high + room
