"""The ranking: one dot and one interval per optimizer (or anything else), best on top; what may be best, on a ground.

Intervals of the single optimizers overlap more than their paired differences do, so the letters of the entries, not the
bars, say which cannot be told apart.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import plotly.graph_objects as go

from ..language import mark, say
from .layout import dress, log_axis, row_axis
from .marks import DIVERGED, points
from .numbers import number
from .style import INK, MUTED, SHADE, Style, styles, text


def ranking(
    entries: Iterable[Mapping[str, Any]],
    *,
    measure: str = mark("validation loss"),
    compact: bool = False,
    coloured: bool = True,
) -> go.Figure:
    """Dots with interval bars, one row per name, in the given order.

    Args:
        entries: best first; each has `name`, `mean`, `low` and `high`, `letters` (two that share one are not told
            apart) and `ground` (whether it may be the best).
        measure: what the axis shows. The axis is logarithmic when all numbers on it are positive.
        compact: for a narrow page: smaller marks, fewer ticks.
        coloured: names are optimizers, each in its own colour; else all dots are alike.

    An infinite mean (a run diverged) is a × at the right end.

    >>> rows = [{"name": "adam", "letters": "a", "ground": True, "mean": 0.1, "low": 0.09, "high": 0.12},
    ...         {"name": "sgd", "letters": "b", "ground": False, "mean": 0.3, "low": 0.2, "high": 0.4}]
    >>> figure = ranking(rows)
    >>> [trace.name for trace in figure.data], figure.layout.xaxis.type
    (['adam', 'sgd'], 'log')
    """
    rows = list(entries)
    figure = go.Figure()
    names = [row["name"] for row in rows]
    style = styles(names) if coloured else dict.fromkeys(names, Style(INK))
    finite = [row[key] for row in rows for key in ("mean", "low", "high") if math.isfinite(row[key])]
    logarithmic = bool(finite) and min(finite) > 0
    right = _right_end(finite, logarithmic)
    for place, row in enumerate(rows):
        figure.add_trace(_dot(row, place, style[row["name"]], right, 8 if compact else 11))
    for place, row in enumerate(rows):
        _letters(figure, row, place)
    if rows and math.isfinite(rows[0]["mean"]):
        figure.add_vline(x=rows[0]["mean"], line={"color": MUTED, "width": 1, "dash": "dot"}, layer="below")
    title = say("{measure}: mean and {level} interval", measure=text(say(measure)), level="95%")
    title += say(", log scale") * logarithmic
    figure.update_xaxes(type="log" if logarithmic else "linear", title_text=title)
    if logarithmic:
        room = (right / min(finite)) ** 0.04
        figure.update_xaxes(tickangle=0, **log_axis(min(finite) / room, right * room, most=4 if compact else 7))
    each = row_axis(figure, names, compact)
    return dress(figure, 110 + each * max(1, len(rows)), r=76, t=8).update_layout(showlegend=False)


def _right_end(finite: list[float], logarithmic: bool) -> float:
    if not finite:
        return 1.0
    low, high = min(finite), max(finite)
    return high * (high / low) ** 0.06 * 1.01 if logarithmic else high + 0.06 * ((high - low) or 1.0)


def _dot(row: Mapping[str, Any], place: int, style: Style, right: float, size: int) -> go.Scatter:
    mean, low, high, name = row["mean"], row["low"], row["high"], text(row["name"])
    if not math.isfinite(mean):
        hover = say("<b>{name}</b><br>diverged: mean {mean}", name=name, mean=number(mean))
        return points([right], [place], DIVERGED, 11, name=name, hover=hover)
    hover = say(
        "<b>{name}</b><br>{mean} [{low}, {high}]", name=name, mean=number(mean), low=number(low), high=number(high)
    )
    high = min(high, right) if not math.isnan(high) else mean
    low = mean if not math.isfinite(low) else low
    ends = {"type": "data", "symmetric": False, "array": [high - mean], "arrayminus": [mean - low]}
    bar = ends | {"color": style.colour, "thickness": 3, "width": 0}
    return points([mean], [place], style, size, name=name, error_x=bar, hover=hover)


def _letters(figure: go.Figure, row: Mapping[str, Any], place: int) -> None:
    """The letters of a row, and the ground of one that may be the best."""
    if row["ground"]:
        ground = {"x0": 0, "x1": 1, "y0": place - 0.5, "y1": place + 0.5, "fillcolor": SHADE, "line_width": 0}
        figure.add_shape(type="rect", xref="paper", layer="below", **ground)
    at = {"xref": "paper", "x": 1.022, "y": place, "xanchor": "left"}
    figure.add_annotation(**at, showarrow=False, text=text(row["letters"]), font={"color": MUTED, "size": 13})
