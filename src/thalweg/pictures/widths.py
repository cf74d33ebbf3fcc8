"""How wide each optimizer's valley is: the rates whose loss is within 1%, 5% and 10% of its best, on one axis.

A wide bar forgives a rate that is off; a narrow one must be tuned each time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from .numbers import short
from .style import INK, MUTED, dress, faded, log_ticks, looks, text

_BARS = {"10": (5, 0.35), "5": (9, 0.6), "1": (14, 1.0)}  # share in % → thickness in pixels, opacity


def widths(rows: Sequence[Mapping[str, Any]], grid: tuple[float, float], *, compact: bool = False) -> go.Figure:
    """Nested bars over the learning rate, one row per optimizer, in the given order.

    Args:
        rows: each with `optimizer`, `lr` and, for 1, 5 and 10 (%), `low_…` and `high_…`, None where all
            rates diverged; as `Study.sensitivity` gives them.
        grid: the lowest and the highest rate tried.
        compact: for a narrow page.

    >>> row = {"optimizer": "adam", "lr": 0.01, **{f"{end}_{n}": v for n in (1, 5, 10)
    ...        for end, v in (("low", 0.005), ("high", 0.02))}}
    >>> [trace.name for trace in widths([row], (0.001, 1.0)).data]
    ['adam: within 10%', 'adam: within 5%', 'adam: within 1%', 'adam: best rate']
    """
    figure = go.Figure()
    names = [str(row["optimizer"]) for row in rows]
    found = looks(names)
    for place, row in enumerate(rows):
        look, name = found[names[place]], text(names[place])
        for share, (thick, opacity) in _BARS.items():
            low, high = row[f"low_{share}"], row[f"high_{share}"]
            if low is not None:
                words = f"<b>{name}</b> within {share}%: rates {short(low)} to {short(high)}"
                figure.add_trace(
                    go.Scatter(
                        x=[low, high],
                        y=[place, place],
                        mode="lines",
                        hoverinfo="text",
                        hovertext=words,
                        line={"color": faded(look.colour, opacity) if opacity < 1 else look.colour, "width": thick},
                        name=f"{name}: within {share}%",
                    )
                )
        if row["low_1"] is not None:
            marker = {"symbol": "line-ns", "size": 22, "line": {"color": INK, "width": 2}}
            figure.add_trace(
                go.Scatter(
                    x=[row["lr"]], y=[place], mode="markers", marker=marker, hoverinfo="skip", name=f"{name}: best rate"
                )
            )
    dress(figure, 84 + 38 * max(1, len(rows)))
    low, high = grid[0] / 1.3, grid[1] * 1.3
    ticks = log_ticks(low, high, (1,), most=4 if compact else 7)
    figure.update_xaxes(
        type="log", title_text="learning rate, log scale", range=[math.log10(low), math.log10(high)], **ticks
    )
    for end in grid:
        figure.add_vline(x=end, line={"color": MUTED, "width": 1, "dash": "dot"}, layer="below")
    figure.update_yaxes(
        tickvals=list(range(len(rows))),
        ticktext=[f"{text(name)}  " for name in names],
        showgrid=False,
        range=[len(rows) - 0.5, -0.5],
        tickfont={"color": INK, "size": 14},
    )
    return figure.update_layout(showlegend=False, margin={"l": 8, "r": 16, "t": 8, "b": 8})
