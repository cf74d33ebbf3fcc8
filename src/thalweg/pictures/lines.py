"""Functions of one variable, in panels side by side: a loss against its residual, an entropy over a probability."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from ..language import say
from . import layout
from .layout import bold, dress
from .marks import line
from .style import plain_styles, text


@dataclass(frozen=True)
class Panel:
    """Lines over one axis.

    Attributes:
        x: (points,).
        lines: label → values (points,); a label has one style in all panels of a picture.
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
    style = plain_styles(label for panel in panels for label in panel.lines)
    titles = [bold(say(panel.title)) if panel.title else "" for panel in panels]
    figure = layout.panels(cols=len(panels), titles=titles, horizontal_spacing=0.12)
    labels: set[str] = set()
    for column, panel in enumerate(panels, start=1):
        for label, values in panel.lines.items():
            more = {"name": text(say(label)), "legendgroup": label, "showlegend": label not in labels}
            figure.add_trace(line(panel.x, values, style[label], **more), row=1, col=column)
            labels.add(label)
        figure.update_xaxes(title_text=text(say(panel.across)), col=column)
        figure.update_yaxes(title_text=text(say(panel.up)), col=column)
    above = 40 * bool(title) + 20 * bool(note)
    return dress(figure, 388 + above, title, note, t=28 + above, b=52).update_layout(hovermode="x unified")
