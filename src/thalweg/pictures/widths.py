"""How wide each optimizer's valley is: the rates whose loss is within 1%, 5% and 10% of its best, on one axis.

A wide bar forgives a rate that is off; a narrow one must be tuned each time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from ..language import say
from .layout import dress, log_axis, row_axis
from .marks import line, points
from .numbers import short
from .style import INK, MUTED, Style, faded, styles, text

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
    style = styles(names)
    for place, row in enumerate(rows):
        colour, name = style[names[place]].colour, text(names[place])
        for share, (thick, opacity) in _BARS.items():
            low, high = row[f"low_{share}"], row[f"high_{share}"]
            if low is not None:
                tint = faded(colour, opacity) if opacity < 1 else colour
                hover = say(
                    "<b>{name}</b> within {share}%: rates {low} to {high}",
                    name=name,
                    share=share,
                    low=short(low),
                    high=short(high),
                )
                bar = line([low, high], [place] * 2, tint, thick, hover=hover, name=f"{name}: within {share}%")
                figure.add_trace(bar)
        if row["low_1"] is not None:
            best, more = Style(INK, marker="line-ns"), {"hoverinfo": "skip", "name": f"{name}: best rate"}
            figure.add_trace(points([row["lr"]], [place], best, 22, edge={"color": INK, "width": 2}, **more))
    axis = log_axis(grid[0] / 1.3, grid[1] * 1.3, (1,), most=4 if compact else 7)
    figure.update_xaxes(title_text=say("learning rate, log scale"), **axis)
    for end in grid:
        figure.add_vline(x=end, line={"color": MUTED, "width": 1, "dash": "dot"}, layer="below")
    each = row_axis(figure, names, compact)
    return dress(figure, 84 + each * max(1, len(rows)), r=16, t=8).update_layout(showlegend=False)
