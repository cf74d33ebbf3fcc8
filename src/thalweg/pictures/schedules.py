"""Schedules drawn: each hyperparameter's value at every step."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from .numbers import short
from .style import BLUE, INK, dress, heading, text


def schedule_picture(values: Mapping[str, np.ndarray], title: str = "") -> go.Figure:
    """One panel per hyperparameter, below each other, over the same steps.

    Args:
        values: what the axis is called → (steps,) values.
        title: above the first panel.
    """
    figure = make_subplots(rows=len(values), cols=1, shared_xaxes=True, vertical_spacing=0.08)
    for row, (name, own) in enumerate(values.items(), start=1):
        figure.add_trace(_line(own, name), row=row, col=1)
        figure.update_yaxes(title_text=text(name), row=row, col=1)
    dress(figure, 110 + 210 * len(values))
    figure.update_xaxes(title_text="step", row=len(values), col=1)
    return figure.update_layout(title=heading(title), margin={"l": 8, "r": 8, "t": 44, "b": 8})


def schedule_grid(values: Mapping[str, np.ndarray], title: str = "", columns: int = 4) -> go.Figure:
    """One small panel per schedule, all on the same axes.

    Args:
        values: the schedule's label → (steps,) values.
        title: above all panels.
        columns: panels in a row.
    """
    rows = math.ceil(len(values) / columns)
    titles = [text(label).replace("(", "<br>(", 1) for label in values]
    figure = make_subplots(
        rows,
        columns,
        shared_xaxes="all",
        shared_yaxes="all",
        subplot_titles=titles,
        horizontal_spacing=0.03,
        vertical_spacing=min(0.3, 48 / (150 * rows)),
    )
    figure.update_annotations(font={"size": 11.5, "color": INK})
    for place, (label, own) in enumerate(values.items()):
        figure.add_trace(_line(own, label), row=place // columns + 1, col=place % columns + 1)
    dress(figure, 90 + 150 * rows)
    figure.update_xaxes(nticks=4)
    figure.update_yaxes(nticks=4, range=[-0.05, 1.05])
    return figure.update_layout(title=heading(title), width=1000, margin={"l": 8, "r": 8, "t": 72, "b": 8})


def _line(values: np.ndarray, name: str) -> go.Scatter:
    words = [f"step {step}: {text(name)} {short(value)}" for step, value in enumerate(values)]
    return go.Scatter(
        y=values, mode="lines", line={"color": BLUE, "width": 2}, text=words, hoverinfo="text", showlegend=False
    )
