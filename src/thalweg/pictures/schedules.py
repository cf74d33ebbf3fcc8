"""Schedules drawn: each hyperparameter's value at every step."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go

from ..language import say
from .layout import dress, panels
from .marks import line
from .numbers import short
from .style import BLUE, VERMILION, text


def schedule_picture(values: Mapping[str, np.ndarray], title: str = "") -> go.Figure:
    """One panel per hyperparameter, below each other, over the same steps.

    Args:
        values: what the axis is called → (steps,) values.
        title: above the first panel.
    """
    figure = panels(rows=len(values), shared_xaxes=True, vertical_spacing=0.08)
    for row, (name, value) in enumerate(values.items(), start=1):
        figure.add_trace(_line(value, name), row=row, col=1)
        figure.update_yaxes(title_text=text(name), row=row)
    figure.update_xaxes(title_text=say("step"), row=len(values))
    return dress(figure, 110 + 210 * len(values), title, t=44)


def schedule_grid(
    values: Mapping[str, np.ndarray], title: str = "", note: str = "", other: Sequence[str] = ()
) -> go.Figure:
    """One small panel per schedule, all on the same axes.

    Args:
        values: the schedule's label → (steps,) values.
        title, note: above all panels.
        other: labels of those that are no factor of the rate; in another colour.
    """
    columns = 4
    rows = math.ceil(len(values) / columns)
    titles = [text(label).replace(" (", "(").replace("(", "<br>(", 1) for label in values]
    grid = {"shared_xaxes": "all", "shared_yaxes": "all", "horizontal_spacing": 0.03}
    figure = panels(rows, columns, titles, **grid, vertical_spacing=min(0.3, 36 / (150 * rows)))
    figure.update_annotations(font={"size": 11.5})
    for place, (label, value) in enumerate(values.items()):
        at = {"row": place // columns + 1, "col": place % columns + 1}
        figure.add_trace(_line(value, label, VERMILION if label in other else BLUE), **at)
        if place + columns >= len(values):
            figure.update_xaxes(title_text=say("step"), showticklabels=True, **at)
    figure.update_xaxes(nticks=4).update_yaxes(nticks=4, range=[-0.05, 1.05])
    figure.update_yaxes(title_text=say("factor"), col=1)
    return dress(figure, 110 + 150 * rows, title, note, t=92).update_layout(width=1000)


def _line(values: np.ndarray, name: str, colour: str = BLUE) -> go.Scatter:
    hover = [
        say("step {step}: {name} {value}", step=step, name=text(name), value=short(value))
        for step, value in enumerate(values)
    ]
    return line(None, values, colour, 2, hover=hover, showlegend=False)
