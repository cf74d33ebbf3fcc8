"""Learning curves with early stopping: the best epoch, where patience ends, and what would have come after."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go

from .style import BLUE, INK, ORANGE, SHADE, VERMILION, dress, faded, heading, log_ticks

if TYPE_CHECKING:
    import pandas as pd

CURVES = (("train_loss", "training loss", ORANGE, "dash"), ("validation_loss", "validation loss", BLUE, "solid"))


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
    for metric, name, tint, dash in CURVES:
        wide = curves[curves["metric"] == metric].pivot_table(index="step", columns="member", values="value")
        epochs, mean = np.arange(1, len(wide) + 1), wide.mean(axis=1).to_numpy()
        values.append(mean)
        band = [*epochs, *epochs[::-1]], [*wide.max(axis=1), *wide.min(axis=1)[::-1]]
        figure.add_scatter(
            x=band[0],
            y=band[1],
            mode="none",
            fill="toself",
            fillcolor=faded(tint),
            hoverinfo="skip",
            showlegend=False,
            name=f"{name}: band",
            legendgroup=name,
        )
        figure.add_scatter(
            x=epochs,
            y=mean,
            mode="lines",
            name=name,
            legendgroup=name,
            showlegend=True,
            line={"color": tint, "dash": dash, "width": 2.4},
        )
    best, stop = _stopped(values[1], patience)
    figure.add_scatter(
        x=[best + 1],
        y=[values[1][best]],
        mode="markers",
        name=f"best epoch, {best + 1}",
        showlegend=True,
        marker={"symbol": "circle-open", "size": 15, "color": VERMILION, "line": {"width": 2.5}},
    )
    if stop < len(values[1]) - 1:
        box = {"type": "rect", "xref": "x", "yref": "y domain", "x0": stop + 1, "x1": len(values[1]), "y0": 0, "y1": 1}
        figure.add_shape(**box, fillcolor=SHADE, line={"width": 0}, layer="below")
        figure.add_annotation(
            x=stop + 1,
            y=1,
            xref="x",
            yref="y domain",
            text="  stopped here",
            showarrow=False,
            xanchor="left",
            yanchor="top",
            font={"color": INK, "size": 12.5},
        )
    low, high = (float(min(map(np.min, values))) / 1.5, float(max(map(np.max, values))) * 1.5)
    dress(figure, 440)
    figure.update_xaxes(title_text="epoch", range=[1, len(values[1])])
    figure.update_yaxes(type="log", title_text="loss", range=[np.log10(low), np.log10(high)], **log_ticks(low, high))
    said = f"Mean of {members} seeds, bands from the smallest to the largest; patience {patience} epochs."
    return figure.update_layout(title=heading(title, said), margin={"l": 8, "r": 8, "t": 74, "b": 84})


def _stopped(losses: np.ndarray, patience: int) -> tuple[int, int]:
    """The best epoch before the stop, and the one at which patience ends; the last if it does not."""
    best = 0
    for epoch, loss in enumerate(losses):
        if loss < losses[best]:
            best = epoch
        if epoch - best >= patience:
            return best, epoch
    return best, len(losses) - 1
