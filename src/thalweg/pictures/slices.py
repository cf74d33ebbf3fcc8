"""The loss of a network along a line, in a plane with the training path on it, or as a surface one can turn.

A `landscape` is what `tw.landscape` gives. Losses are drawn on a logarithmic scale wherever all of them are above 0: a
slice spans several powers of ten, and what matters happens in the lowest.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import plotly.graph_objects as go

from ..language import say
from . import marks
from .layout import dress, log_axis, log_ticks
from .marks import points
from .numbers import number
from .style import BLUE, MUTED, PAPER, VERMILION, Style, text

LEVELS = 24
SCALE = "Viridis"


def line(landscape: Any, title: str) -> go.Figure:
    """The loss from one solution at t = 0 to another at t = 1, and the straight line between their losses."""
    (t,), losses, ends = landscape.axes, landscape.losses, landscape.ends
    chord = np.linspace(0, 1, 101)
    straight = (1 - chord) * ends[0] + chord * ends[1]
    silent = {"showlegend": False, "hoverinfo": "skip"}
    hover = "t = %{x:.3g}: %{y:.4g}<extra></extra>"
    curve = marks.line(t, losses, BLUE, 2.4, showlegend=False, hovertemplate=hover)
    between = marks.line(chord, straight, Style(MUTED, "dot"), 1.4, **silent)
    figure = go.Figure([curve, between, points([0, 1], list(ends), VERMILION, 10, **silent)])
    figure.update_xaxes(title_text=say("from the first solution, 0, to the second, 1"))
    figure.update_yaxes(title_text=say("loss"), **_log_axis(np.append(losses, ends)))
    return dress(figure, 420, title, landscape.note, t=80, b=48)


def contours(landscape: Any, title: str) -> go.Figure:
    """Level lines of the loss in a plane, with the path projected onto it; without one the network is at (0, 0)."""
    path, (z, ticks) = landscape.path, _logarithms(landscape.losses)
    bar = {"title": {"text": say("loss"), "side": "right"}, "outlinewidth": 0, **ticks}
    lines = {"ncontours": LEVELS, "line": {"width": 0.4, "color": PAPER}}
    figure = go.Figure(go.Contour(z=z, colorbar=bar, **_ground(landscape), **lines))
    if path is not None:
        words = [say(": loss {loss}", loss=number(float(v))) for v in landscape.path_losses]
        hover = [say("point {k}{loss}", k=k, loss=loss) for k, loss in enumerate(words)]
        (x, y), start, edge = path.T, Style(VERMILION, marker="circle-open"), {"width": 2}
        figure.add_trace(marks.line(x, y, PAPER, 5, showlegend=False, hoverinfo="skip"))
        figure.add_trace(marks.line(x, y, VERMILION, 2, size=5, hover=hover, name=say("path"), showlegend=False))
        figure.add_trace(points(x[:1], y[:1], start, 12, edge=edge, name=say("start"), hoverinfo="skip"))
    end = path[-1:] if path is not None else np.zeros((1, 2))
    star, edge = Style(VERMILION, marker="star"), {"width": 1, "color": PAPER}
    figure.add_trace(points(end[:, 0], end[:, 1], star, 15, edge=edge, name=say("the network"), hoverinfo="skip"))
    (across, up), (first, second) = landscape.axes, map(text, landscape.labels)
    figure.update_xaxes(title_text=first, range=[across[0], across[-1]], showgrid=False)
    figure.update_yaxes(title_text=second, range=[up[0], up[-1]], showgrid=False)
    return dress(figure, 560, title, landscape.note, t=80, b=48).update_layout(showlegend=path is not None)


def sheet(landscape: Any, title: str) -> go.Figure:
    """The same as a surface that one can turn; the path runs at the losses of its own points."""
    path, heights, (z, ticks) = landscape.path, landscape.path_losses, _logarithms(landscape.losses)
    figure = go.Figure(go.Surface(z=z, showscale=False, **_ground(landscape)))
    if path is not None:
        heights = np.log10(heights) if ticks else heights
        style = {"line": {"color": VERMILION, "width": 6}, "marker": {"size": 3, "color": VERMILION}}
        more = {"mode": "lines+markers", "showlegend": False, "hoverinfo": "skip"}
        figure.add_scatter3d(x=path[:, 0], y=path[:, 1], z=heights, **style, **more)
    titles = zip("xyz", (*map(text, landscape.labels), say("loss")), strict=True)
    scene: dict[str, Any] = {f"{side}axis": {"title": {"text": name}} for side, name in titles}
    scene["zaxis"] |= ticks
    eye = {"aspectmode": "cube", "camera": {"eye": {"x": 1.45, "y": -1.45, "z": 1.05}}}
    return dress(figure, 620, title, landscape.note, t=80, b=48).update_layout(scene=scene | eye, dragmode="turntable")


def _ground(landscape: Any) -> dict[str, Any]:
    words = {"text": np.vectorize(number)(landscape.losses), "hovertemplate": "%{text}<extra></extra>"}
    x, y = landscape.axes
    return {"x": x, "y": y, "colorscale": SCALE, **words}


def _logarithms(losses: np.ndarray) -> tuple[np.ndarray, dict[str, Any]]:
    """The logarithms of the losses and ticks with the losses' names; the losses themselves where one is not above 0."""
    finite, z = losses[np.isfinite(losses)], np.where(np.isfinite(losses), losses, np.nan)
    if not len(finite) or finite.min() <= 0 or finite.min() == finite.max():
        return z, {}
    ticks = log_ticks(float(finite.min()), float(finite.max()))
    return np.log10(z), ticks | {"tickvals": [math.log10(v) for v in ticks["tickvals"]]}


def _log_axis(losses: np.ndarray) -> dict[str, Any]:
    finite = losses[np.isfinite(losses)]
    if not len(finite) or finite.min() <= 0 or finite.max() < 3 * finite.min():
        return {}
    low, high = float(finite.min()), float(finite.max())
    room = (high / low) ** 0.05
    return log_axis(low, high) | {"range": [math.log10(low / room), math.log10(high * room)]}
