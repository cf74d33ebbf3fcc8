"""The ground that paths run on: a surface of two variables as quiet level lines, one of one variable as a curve."""

from __future__ import annotations

from typing import Any

import numpy as np
import plotly.graph_objects as go

from .numbers import short
from .style import HIGH, LEVEL, MUTED, PAPER
from .walked import point

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
    flat = np.sort(values[np.isfinite(values)], axis=None)
    return np.interp(values, flat, np.linspace(0, 1, flat.size))


def levels(surface: Any, shown: bool = False, bounds: Any = None) -> list[go.Contour | go.Scatter]:
    """Level lines, lighter where the surface is lower, and a ring on each known minimum in sight.

    Args:
        shown: whether the legend explains the rings.
        bounds: what is drawn; the surface's own unless given.
    """
    bounds = bounds or surface.bounds
    x, y, values = heights(surface, bounds=bounds)
    ground = go.Contour(
        x=x,
        y=y,
        z=ranks(values),
        colorscale=[[0, PAPER], [1, HIGH]],
        showscale=False,
        hoverinfo="skip",
        contours={"start": 1 / LEVELS, "end": 1 - 1 / LEVELS, "size": 1 / LEVELS, "coloring": "fill"},
        line={"color": LEVEL, "width": 0.7},
        zmin=0,
        zmax=1,
        name="level lines",
        showlegend=False,
    )
    seen = [m for m in surface.minima if all(a <= v <= b for v, (a, b) in zip(m, bounds, strict=True))]
    rings = go.Scatter(
        x=[m[0] for m in seen],
        y=[m[1] for m in seen],
        mode="markers",
        name="minimum",
        hoverinfo="text",
        marker={"symbol": "circle-open", "size": 15, "color": MUTED, "line": {"width": 1.5}},
        hovertext=[f"minimum {short(float(surface(m)))} at {point(m)}" for m in seen],
        legendgroup="minimum",
        showlegend=shown and bool(seen),
    )
    return [ground, rings]


def curve(surface: Any, low: float, high: float) -> go.Scatter:
    """The surface of one variable from `low` to `high`."""
    x = np.linspace(low, high, 401)
    line = {"color": MUTED, "width": 1.6}
    return go.Scatter(
        x=x, y=surface(x[:, None]), mode="lines", line=line, hoverinfo="skip", showlegend=False, name=surface.name
    )


def view(figure: go.Figure, surface: Any) -> go.Figure:
    """Axes over the surface's bounds, one unit as long across as up."""
    for update, name, side in zip(
        (figure.update_xaxes, figure.update_yaxes), surface.variables, surface.bounds, strict=True
    ):
        update(range=list(side), title_text=name, showgrid=False, constrain="domain")
    return figure


def shape(surface: Any, panels: int, width: float = 740) -> int:
    """How high a row of so many panels over the surface's bounds is, in pixels."""
    across, up = (side[1] - side[0] for side in surface.bounds)
    return int(np.clip(0.88 * width / panels * up / across, 170, 520))
