"""Performance profiles: the share of problems on which each optimizer is within a factor of the best."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go

from ..language import say
from .layout import LINE, bold, dress, log_axis, multiples, title_breaks
from .marks import band, line
from .numbers import short
from .style import LEVEL, MUTED, Style, styles, text

Step = tuple[float, float, float, float]  # a factor, the share from there on, the low and the high end of its band


def profiles(
    stairs: Mapping[str, Sequence[Step]], end: float, *, across: str, columns: int = 4, compact: bool = False
) -> go.Figure:
    """One panel per optimizer, all on the same axes: its stairs with their band, and thin those of the others.

    Args:
        stairs: optimizer → steps, ascending, the first at 1.
        end: where the axis of factors, which is logarithmic, ends; above 1.
        across: what is a factor above the best.
        columns: panels in a row.
        compact: for narrow pages.

    >>> figure = profiles({"adam": [(1, 0.5, 0.2, 0.8), (2, 1.0, 0.6, 1.0)]}, 4, across="loss")
    >>> [trace.name for trace in figure.data], figure.data[1].x, figure.data[1].y
    (['adam: band', 'adam'], (1, 2, 4), (0.5, 1.0, 1.0))
    """
    names, columns = list(stairs), min(columns, len(stairs))
    figure = multiples([*map(bold, names)], columns, compact)
    for place, (name, style) in enumerate(styles(names).items()):
        others = [_thin(stairs[other], end, other) for other in names if other != name]
        at = {"rows": place // columns + 1, "cols": place % columns + 1}
        figure.add_traces([*others, *_strong(stairs[name], end, style, name)], **at)
    room = end**0.03
    figure.update_xaxes(**log_axis(1 / room, end * room, most=5), tickangle=0, showline=True)
    figure.update_yaxes(range=[-0.03, 1.03], tickformat=".0%", nticks=5)
    dress(figure, 84 + 180 * math.ceil(len(names) / columns), t=58)
    axes = say("share of problems on which {across} is at most so many times the best, log scale", across=text(across))
    above = {"xref": "paper", "yref": "paper", "x": 0, "y": 1, "xanchor": "left"}
    above["yshift"] = 44 + LINE * title_breaks(figure)
    figure.add_annotation(text=axes, **above, showarrow=False, font={"color": MUTED, "size": 13})
    return figure.update_layout(showlegend=False)


def _cut(steps: Sequence[Step], end: float) -> tuple[list[float], Sequence[Sequence[float]]]:
    """The factors before the end, and share, low and high from each on."""
    factors, *values = zip(*(step for step in steps if step[0] < end), strict=True)
    return [*factors], values


def _thin(steps: Sequence[Step], end: float, name: str) -> go.Scatter:
    factors, (shares, *_) = _cut(steps, end)
    more = {"line": {"shape": "hv"}, "hoverinfo": "skip", "showlegend": False, "name": text(name)}
    return line([*factors, end], [*shares, shares[-1]], LEVEL, 1, **more)


def _strong(steps: Sequence[Step], end: float, style: Style, name: str) -> list[go.Scatter]:
    """The band and the stairs."""
    factors, (shares, low, high) = _cut(steps, end)
    corners = np.repeat([*factors, end], 2)[1:-1]  # a band lacks stairs of its own
    ground = band(corners, np.repeat(high, 2), np.repeat(low, 2), style.colour, name=f"{text(name)}: band")
    hover = [
        say(
            "<b>{name}</b><br>{share:.0%} [{a:.0%}, {b:.0%}] of problems at most {factor} times the best",
            name=text(name),
            share=share,
            a=a,
            b=b,
            factor=short(factor),
        )
        for factor, share, a, b in zip(factors, shares, low, high, strict=True)
    ]
    more = {"hover": [*hover, hover[-1]], "name": text(name), "line": {"shape": "hv"}}
    return [ground, line([*factors, end], [*shares, shares[-1]], style, **more)]
