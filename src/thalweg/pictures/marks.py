"""The marks that pictures are made of: lines, points, bands, words and arrows, each one Plotly trace.

A mark takes a `Style`, or a colour for a plain one. `hover` are the words shown when the pointer is on it; further
arguments are those of `plotly.graph_objects.Scatter`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from .style import INK, PAPER, VERMILION, Style, faded

DIVERGED = Style(VERMILION, marker="x")  # what diverged


def _scatter(x: Any, y: Any, hover: Any, options: dict[str, Any], more: dict[str, Any]) -> go.Scatter:
    hovers = {} if hover is None else {"hovertext": hover, "hoverinfo": "text"}
    return go.Scatter(x=x, y=y, **(options | hovers | more))


def _marker(style: Style | str, size: Any, more: dict[str, Any]) -> dict[str, Any]:
    style = _style(style)
    return {"symbol": style.marker, "size": size, "color": style.colour} | more.pop("marker", {})


def _style(style: Style | str) -> Style:
    return Style(style) if isinstance(style, str) else style


def line(
    x: Any, y: Any, style: Style | str, width: float = 2.2, *, size: Any = None, hover: Any = None, **more: Any
) -> go.Scatter:
    """A line, with markers unless `size` is None: one size, or one for each point."""
    style = _style(style)
    if size is not None:
        more["marker"] = _marker(style, size, more)
    stroke = {"color": style.colour, "dash": style.dash, "width": width} | more.pop("line", {})
    return _scatter(x, y, hover, {"mode": "lines" if size is None else "lines+markers", "line": stroke}, more)


def points(
    x: Any, y: Any, style: Style | str, size: Any, *, edge: Any = None, hover: Any = None, **more: Any
) -> go.Scatter:
    """Markers; `edge` is the line around each, as Plotly describes it."""
    marker = _marker(style, size, more) | ({} if edge is None else {"line": edge})
    return _scatter(x, y, hover, {"mode": "markers", "marker": marker}, more)


def entry(name: str, style: Style | str, size: float, **more: Any) -> go.Scatter:
    """A marker that is in the legend only."""
    return points([None], [None], style, size, name=name, hoverinfo="skip", **more)


def band(x: Any, first: Any, second: Any, colour: str, **more: Any) -> go.Scatter:
    """The ground between two curves over the same points."""
    options = {"fill": "toself", "fillcolor": faded(colour), "hoverinfo": "skip", "showlegend": False}
    return go.Scatter(x=[*x, *x[::-1]], y=[*first, *second[::-1]], mode="none", **options | more)


def words(x: Any, y: Any, text: Sequence[str], colour: str = INK, size: float = 12.5, **more: Any) -> go.Scatter:
    """Words at points, to their right."""
    options = {"textposition": "middle right", "hoverinfo": "skip", "showlegend": False}
    return go.Scatter(x=x, y=y, text=text, mode="text", textfont={"color": colour, "size": size}, **options | more)


def arrows(tails: Any, heads: Any, style: Style | str, name: str, **more: Any) -> go.Scatter:
    """Arrows from tails (arrows, 2) to heads (arrows, 2), as one trace."""
    x, y = np.stack([tails, heads, np.full((len(tails), 2), np.nan)], axis=1).reshape(-1, 2).T
    marker = {"symbol": "arrow", "angleref": "previous", "opacity": 1, "line": {"width": 0, "color": PAPER}}
    return line(x, y, style, size=[0, 11, 0] * len(tails), marker=marker, name=name, hoverinfo="name", **more)
