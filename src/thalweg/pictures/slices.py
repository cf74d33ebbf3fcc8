"""The loss of a network along a line, in a plane with the training path on it, or as a surface one can turn.

Losses are drawn on a logarithmic scale wherever all of them are above 0: a slice spans several powers of ten, and what
matters happens in the lowest.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from .numbers import number
from .style import BLUE, GRID, INK, MUTED, PAPER, VERMILION, dress, log_ticks, text

LEVELS = 24
SCALE = "Viridis"


def line(t: np.ndarray, losses: np.ndarray, ends: Sequence[float], title: str, note: str) -> go.Figure:
    """The loss from one solution at t = 0 to another at t = 1, and the straight line between their losses.

    Args:
        t, losses: (points,).
        ends: the losses of the two solutions.
    """
    figure = go.Figure()
    figure.add_scatter(
        x=t,
        y=losses,
        mode="lines",
        line={"color": BLUE, "width": 2.4},
        showlegend=False,
        hovertemplate="t = %{x:.3g}: %{y:.4g}<extra></extra>",
    )
    chord = np.linspace(0, 1, 101)
    straight = (1 - chord) * ends[0] + chord * ends[1]
    figure.add_scatter(
        x=chord,
        y=straight,
        mode="lines",
        showlegend=False,
        hoverinfo="skip",
        line={"color": MUTED, "width": 1.4, "dash": "dot"},
    )
    figure.add_scatter(
        x=[0, 1],
        y=list(ends),
        mode="markers",
        showlegend=False,
        hoverinfo="skip",
        marker={"color": VERMILION, "size": 10},
    )
    dress(figure, height=420)
    figure.update_xaxes(title_text="from the first solution, 0, to the second, 1")
    figure.update_yaxes(title_text="loss", **_log_axis(np.append(losses, ends)))
    return _headed(figure, title, note)


def contours(
    axes: Sequence[np.ndarray],
    losses: np.ndarray,
    labels: tuple[str, str],
    title: str,
    note: str,
    path: np.ndarray | None = None,
    path_losses: np.ndarray | None = None,
) -> go.Figure:
    """Level lines of the loss in a plane, with the path projected onto it.

    Args:
        axes: the coordinates along the two directions.
        losses: (points of the second, points of the first).
        labels: of the axes.
        path: (iterates, 2); without one, the network at (0, 0) is marked.
        path_losses: (iterates,) the losses of the points themselves, told when pointed at.
    """
    shown, ticks = _scaled(losses)
    words = np.vectorize(number)(losses)
    figure = go.Figure(
        go.Contour(
            x=axes[0],
            y=axes[1],
            z=shown,
            colorscale=SCALE,
            ncontours=LEVELS,
            line={"width": 0.4, "color": PAPER},
            colorbar={"title": {"text": "loss", "side": "right"}, "outlinewidth": 0, **ticks},
            text=words,
            hovertemplate="%{text}<extra></extra>",
        )
    )
    dress(figure, height=560)
    if path is not None:
        told = (
            [f"point {k}" for k in range(len(path))]
            if path_losses is None
            else [f"point {k}: loss {number(float(v))}" for k, v in enumerate(path_losses)]
        )
        figure.add_scatter(
            x=path[:, 0],
            y=path[:, 1],
            mode="lines",
            line={"color": PAPER, "width": 5},
            showlegend=False,
            hoverinfo="skip",
        )
        figure.add_scatter(
            x=path[:, 0],
            y=path[:, 1],
            mode="lines+markers",
            line={"color": VERMILION, "width": 2},
            marker={"size": 5, "color": VERMILION},
            text=told,
            hoverinfo="text",
            name="path",
            showlegend=False,
        )
        figure.add_scatter(
            x=path[:1, 0],
            y=path[:1, 1],
            mode="markers",
            name="start",
            hoverinfo="skip",
            marker={"symbol": "circle-open", "size": 12, "color": VERMILION, "line": {"width": 2}},
        )
    end = path[-1] if path is not None else np.zeros(2)
    figure.add_scatter(
        x=end[:1],
        y=end[1:],
        mode="markers",
        name="the network",
        hoverinfo="skip",
        marker={"symbol": "star", "size": 15, "color": VERMILION, "line": {"width": 1, "color": PAPER}},
    )
    figure.update_xaxes(title_text=text(labels[0]), range=[axes[0][0], axes[0][-1]], showgrid=False)
    figure.update_yaxes(title_text=text(labels[1]), range=[axes[1][0], axes[1][-1]], showgrid=False)
    figure.update_layout(showlegend=path is not None)
    return _headed(figure, title, note)


def sheet(
    axes: Sequence[np.ndarray],
    losses: np.ndarray,
    labels: tuple[str, str],
    title: str,
    note: str,
    path: np.ndarray | None = None,
    path_losses: np.ndarray | None = None,
) -> go.Figure:
    """The same as a surface that one can turn; the path runs at the losses of its own points."""
    shown, ticks = _scaled(losses)
    figure = go.Figure(
        go.Surface(
            x=axes[0],
            y=axes[1],
            z=shown,
            colorscale=SCALE,
            showscale=False,
            text=np.vectorize(number)(losses),
            hovertemplate="%{text}<extra></extra>",
        )
    )
    if path is not None and path_losses is not None:
        heights = np.log10(path_losses) if ticks else path_losses
        figure.add_scatter3d(
            x=path[:, 0],
            y=path[:, 1],
            z=heights,
            mode="lines+markers",
            line={"color": VERMILION, "width": 6},
            marker={"size": 3, "color": VERMILION},
            showlegend=False,
            hoverinfo="skip",
        )
    dress(figure, height=620)
    axis = {"backgroundcolor": PAPER, "gridcolor": GRID, "color": MUTED, "showspikes": False}
    figure.update_layout(
        scene={
            "xaxis": {"title": {"text": text(labels[0])}, **axis},
            "yaxis": {"title": {"text": text(labels[1])}, **axis},
            "zaxis": {"title": {"text": "loss"}, **axis, **ticks},
            "aspectmode": "cube",
            "camera": {"eye": {"x": 1.45, "y": -1.45, "z": 1.05}},
        },
        dragmode="turntable",
    )
    return _headed(figure, title, note)


def _scaled(losses: np.ndarray) -> tuple[np.ndarray, dict[str, list[object]]]:
    """The losses as they are drawn, and the ticks that name them: logarithms where all are above 0."""
    finite = losses[np.isfinite(losses)]
    shown = np.where(np.isfinite(losses), losses, np.nan)
    if not len(finite) or finite.min() <= 0 or finite.min() == finite.max():
        return shown, {}
    ticks = log_ticks(float(finite.min()), float(finite.max()))
    return np.log10(shown), {"tickvals": [math.log10(v) for v in ticks["tickvals"]], "ticktext": ticks["ticktext"]}


def _log_axis(losses: np.ndarray) -> dict[str, object]:
    finite = losses[np.isfinite(losses)]
    if not len(finite) or finite.min() <= 0 or finite.max() < 3 * finite.min():
        return {}
    low, high = float(finite.min()), float(finite.max())
    room = 0.05 * math.log10(high / low)
    return {"type": "log", "range": [math.log10(low) - room, math.log10(high) + room], **log_ticks(low, high)}


def _headed(figure: go.Figure, words: str, note: str) -> go.Figure:
    return figure.update_layout(
        title={
            "text": text(words),
            "x": 0.01,
            "xanchor": "left",
            "y": 0.985,
            "yanchor": "top",
            "font": {"size": 15, "color": INK},
            "subtitle": {"text": text(note), "font": {"size": 12, "color": MUTED}},
        },
        margin={"l": 8, "r": 8, "t": 80, "b": 48},
    )
