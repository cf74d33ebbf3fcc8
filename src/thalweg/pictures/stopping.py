"""Learning curves with early stopping: the best epoch, where patience ends, and what would have come after."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go

from ..language import mark, say
from .layout import dress, log_axis
from .marks import band, line, points
from .style import BLUE, INK, ORANGE, SHADE, VERMILION, Style

if TYPE_CHECKING:
    import pandas as pd

CURVES = (
    ("train_loss", mark("training loss"), Style(ORANGE, "dash")),
    ("validation_loss", mark("validation loss"), Style(BLUE)),
)


def stopping_picture(curves: pd.DataFrame, patience: int, title: str = "") -> go.Figure:
    """The mean over the members at each epoch, with a band from the smallest to the largest.

    Args:
        curves: columns member, metric, step, value; metrics train_loss and validation_loss. The members differ in
            their seed alone.
        patience: epochs without a better validation loss after which the rule stops.
        title: above the picture.

    Where the rule stops is read off the mean curve; the best epoch is the lowest until then.
    """
    figure, values = go.Figure(), []
    members = curves["member"].nunique()
    for metric, name, style in ((metric, say(name), style) for metric, name, style in CURVES):
        wide = curves[curves["metric"] == metric].pivot_table(index="step", columns="member", values="value")
        epochs, mean = np.arange(1, len(wide) + 1), wide.mean(axis=1).to_numpy()
        values.append(mean)
        outline = band(epochs, wide.max(axis=1).tolist(), wide.min(axis=1).tolist(), style.colour)
        figure.add_trace(outline.update(name=f"{name}: band", legendgroup=name))
        figure.add_trace(line(epochs, mean, style, 2.4, name=name, legendgroup=name, showlegend=True))
    best, stop = _best_and_stop(values[1], patience)
    ring, edge = Style(VERMILION, marker="circle-open"), {"width": 2.5}
    name = say("best epoch, {best}", best=best + 1)
    figure.add_trace(points([best + 1], [values[1][best]], ring, 15, edge=edge, name=name, showlegend=True))
    if stop < len(values[1]) - 1:
        box = {"type": "rect", "xref": "x", "yref": "y domain", "x0": stop + 1, "x1": len(values[1]), "y0": 0, "y1": 1}
        figure.add_shape(**box, fillcolor=SHADE, line={"width": 0}, layer="below")
        corner = {"x": stop + 1, "y": 1, "xref": "x", "yref": "y domain", "xanchor": "left", "yanchor": "top"}
        figure.add_annotation(**corner, text=say("  stopped here"), showarrow=False, font={"color": INK, "size": 12.5})
    low, high = float(min(map(np.min, values))) / 1.5, float(max(map(np.max, values))) * 1.5
    figure.update_xaxes(title_text=say("epoch"), range=[1, len(values[1])])
    figure.update_yaxes(title_text=say("loss"), **log_axis(low, high))
    note = say(
        "Mean of {members} seeds, bands from the smallest to the largest; patience {patience} epochs.",
        members=members,
        patience=patience,
    )
    return dress(figure, 440, title, note, t=74, b=84)


def _best_and_stop(losses: np.ndarray, patience: int) -> tuple[int, int]:
    """The best epoch before the stop, and the one at which patience ends; the last if it does not."""
    best = 0
    for epoch, loss in enumerate(losses):
        if loss < losses[best]:
            best = epoch
        if epoch - best >= patience:
            return best, epoch
    return best, len(losses) - 1
