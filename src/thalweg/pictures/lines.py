"""Functions of one variable, in panels side by side: a loss against its residual, an entropy over a probability."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from .style import INK, dress, heading, plain_looks, text


@dataclass(frozen=True)
class Panel:
    """Lines over one axis.

    Attributes:
        x: (points,).
        lines: label → values (points,); a label has one look in all panels of a picture.
        across, up: what the axes show, with units.
        title: above the panel; none for a single one.
    """

    x: np.ndarray
    lines: Mapping[str, np.ndarray]
    across: str
    up: str
    title: str = ""


def lines(panels: Sequence[Panel], title: str = "", note: str = "") -> go.Figure:
    """One panel beside another, one legend for all of them.

    Args:
        panels: from left to right.
        title, note: above all of them.

    >>> x = np.linspace(-1, 1, 5)
    >>> figure = lines([Panel(x, {"l1": abs(x), "mse": x**2}, "residual", "loss")])
    >>> [(trace.name, trace.y.tolist()) for trace in figure.data]
    [('l1', [1.0, 0.5, 0.0, 0.5, 1.0]), ('mse', [1.0, 0.25, 0.0, 0.25, 1.0])]
    """
    found = plain_looks(label for panel in panels for label in panel.lines)
    titles = [f"<b>{text(panel.title)}</b>" if panel.title else "" for panel in panels]
    figure = make_subplots(cols=len(panels), subplot_titles=titles, horizontal_spacing=0.12)
    figure.update_annotations(font={"size": 13, "color": INK})
    shown: set[str] = set()
    for column, panel in enumerate(panels, start=1):
        for label, values in panel.lines.items():
            line = {"color": found[label].colour, "dash": found[label].dash, "width": 2.2}
            trace = go.Scatter(
                x=panel.x,
                y=values,
                mode="lines",
                line=line,
                name=text(label),
                legendgroup=label,
                showlegend=label not in shown,
            )
            figure.add_trace(trace, row=1, col=column)
            shown.add(label)
        figure.update_xaxes(title_text=text(panel.across), row=1, col=column)
        figure.update_yaxes(title_text=text(panel.up), row=1, col=column)
    above = 40 * bool(title) + 20 * bool(note)
    dress(figure, height=388 + above)
    margin = {"l": 8, "r": 8, "t": 28 + above, "b": 52}
    return figure.update_layout(title=heading(title, note), margin=margin, hovermode="x unified")
