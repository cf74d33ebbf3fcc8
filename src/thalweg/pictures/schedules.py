"""Schedules drawn: each hyperparameter's value at every step."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from .numbers import short
from .still import Panel
from .style import BLUE, dress, text


def schedule_picture(values: Mapping[str, np.ndarray], title: str = "") -> go.Figure:
    """One panel per hyperparameter, below each other, over the same steps.

    Args:
        values: what the axis is called → (steps,) values.
        title: above the first panel.
    """
    figure = make_subplots(rows=len(values), cols=1, shared_xaxes=True, vertical_spacing=0.08)
    for row, (name, own) in enumerate(values.items(), start=1):
        words = [f"step {step}: {text(name)} {short(value)}" for step, value in enumerate(own)]
        line = go.Scatter(
            y=own,
            mode="lines",
            line={"color": BLUE, "width": 2},
            text=words,
            hoverinfo="text",
            showlegend=False,
        )
        figure.add_trace(line, row=row, col=1)
        figure.update_yaxes(title_text=text(name), row=row, col=1)
    dress(figure, 110 + 210 * len(values))
    figure.update_xaxes(title_text="step", row=len(values), col=1)
    heading = {"text": text(title), "x": 0, "xref": "paper", "font": {"size": 14}}
    return figure.update_layout(title=heading, margin={"l": 8, "r": 8, "t": 44, "b": 8})


def schedule_panels(values: Mapping[str, np.ndarray], title: str = "") -> list[Panel]:
    """The same for a still picture."""
    return [
        Panel(np.arange(len(own)), own, title if row == 0 else "", x_title="step", y_title=name)
        for row, (name, own) in enumerate(values.items())
    ]
