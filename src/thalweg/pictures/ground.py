"""The ground that paths run on: a surface of two variables as quiet level lines, one of one variable as a curve."""

from __future__ import annotations

from typing import Any

import numpy as np
import plotly.graph_objects as go

from ..language import say
from .descent import point
from .layout import one_scale
from .marks import line, points
from .numbers import short
from .style import HIGH, LEVEL, MUTED, PAPER, Style

RESOLUTION = 121  # points along each side
LEVELS = 18


def heights(
    surface: Any, resolution: int = RESOLUTION, bounds: Any = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x (points,), y (points,) and values (points of y, points of x) over the surface's bounds, or others."""
    (left, right), (bottom, top) = bounds or surface.bounds
    x, y = np.linspace(left, right, resolution), np.linspace(bottom, top, resolution)
    return x, y, surface(np.stack(np.meshgrid(x, y), axis=-1))


def ranks(values: np.ndarray) -> np.ndarray:
    """The share of all values that are lower: between two of its level lines lies as much ground as between others.

    >>> ranks(np.array([1.0, 100.0, 10.0, 1000.0])).tolist()
    [0.0, 0.6666666666666666, 0.3333333333333333, 1.0]
    """
    finite = values[np.isfinite(values)]
    step = 1e-9 * np.ptp(finite) or 1.0  # nearer than that they are equal, and share the middle of their ranks
    different, counts = np.unique(np.round(finite / step), return_counts=True)
    middles = np.cumsum(counts) - (counts + 1) / 2
    return np.interp(np.round(values / step), different, middles / max(1, finite.size - 1))


def levels(surface: Any, in_legend: bool = False, bounds: Any = None) -> list[go.Contour | go.Scatter]:
    """Level lines, lighter where the surface is lower, and a ring on each known minimum in sight.

    Args:
        in_legend: whether the legend explains the rings.
        bounds: of what is drawn, by default the surface's.
    """
    bounds = bounds or surface.bounds
    x, y, values = heights(surface, bounds=bounds)
    colours = {"colorscale": [[0, PAPER], [1, HIGH]], "zmin": 0, "zmax": 1, "showscale": False}
    lines = {"start": 1 / LEVELS, "end": 1 - 1 / LEVELS, "size": 1 / LEVELS, "coloring": "fill"}
    more = {"name": say("level lines"), "showlegend": False, "hoverinfo": "skip"}
    stroke = {"color": LEVEL, "width": 0.7}
    ground = go.Contour(x=x, y=y, z=ranks(values), contours=lines, line=stroke, **colours, **more)
    inside = [m for m in surface.minima if all(a <= v <= b for v, (a, b) in zip(m, bounds, strict=True))]
    rings = minima(surface, inside, Style(MUTED, marker="circle-open"), 15, {"width": 1.5}, name=say("minimum"))
    return [ground, rings.update(legendgroup="minimum", showlegend=in_legend and bool(inside))]


def minima(surface: Any, at: Any, style: Style, size: float, edge: dict[str, Any], **more: Any) -> go.Scatter:
    """A marker on each minimum, with its value and place."""
    hover = [say("minimum {lowest} at {point}", lowest=short(float(surface(m))), point=point(m)) for m in at]
    up = [float(surface(m)) if len(m) == 1 else m[1] for m in at]
    return points([m[0] for m in at], up, style, size, edge=edge, hover=hover, **more)


def curve(surface: Any, low: float, high: float) -> list[go.Scatter]:
    """The surface of one variable from `low` to `high`, and a ring on each known minimum."""
    x, inside = np.linspace(low, high, 401), [m for m in surface.minima if low <= m[0] <= high]
    ground = line(x, surface(x[:, None]), MUTED, 1.6, hoverinfo="skip", showlegend=False, name=surface.name)
    ring = Style(MUTED, marker="circle-open")
    return [ground, minima(surface, inside, ring, 15, {"width": 1.5}, name=say("minimum"), showlegend=False)]


def view(figure: go.Figure, surface: Any, bounds: Any = None, *, equal: bool = True, **where: int) -> go.Figure:
    """Axes over the surface's bounds, or others, in all panels or in one; `equal`: one unit as long across as up."""
    across, up = bounds or surface.bounds
    figure.update_xaxes(range=list(across), title_text=surface.variables[0], showgrid=False, **where)
    figure.update_yaxes(range=list(up), showgrid=False, **where)
    if equal:
        one_scale(figure, **where)
    if where:
        return figure.update_yaxes(title_text=surface.variables[1], **where)
    return figure.update_layout(yaxis_title_text=surface.variables[1])


def shape(bounds: Any, panels: int, width: float = 740) -> int:
    """How high a row of so many panels over these bounds is, in pixels."""
    across, up = (side[1] - side[0] for side in bounds)
    return int(np.clip(0.88 * width / panels * up / across, 170, 520))
