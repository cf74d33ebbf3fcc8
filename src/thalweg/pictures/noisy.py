"""Noise in the gradients: a fixed rate keeps walking around the minimum, a falling one comes to rest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from .ground import levels
from .numbers import short
from .style import INK, dress, heading, log_ticks, plain_looks, text
from .walked import Walked

SHARE = 0.9  # of the runs that a band holds


def noisy_picture(runs: Mapping[str, Walked], last: int = 200, title: str = "") -> go.Figure:
    """The last steps of the first run of each, and the mean loss of all runs with a band.

    Args:
        runs: what differs → descents of one optimizer at one rate from many starts, which are its runs.
        last: steps that are drawn on the level lines.

    The band holds the middle 90% of the runs; nothing is smoothed.
    """
    some = next(iter(runs.values()))
    found = plain_looks(runs)
    titles = [f"the last {last} steps of one run", f"loss: mean of {len(some.starts)} runs, and {SHARE:.0%} of them"]
    figure = make_subplots(cols=2, column_widths=[0.42, 0.58], horizontal_spacing=0.11, subplot_titles=titles)
    figure.update_annotations(font={"size": 13, "color": INK})
    ends = np.concatenate([path.all_points[0, 0, 0, -last:] for path in runs.values()])
    half = 1.1 * np.abs(ends - ends.mean(axis=0)).max()
    bounds = [(float(m - half), float(m + half)) for m in ends.mean(axis=0)]
    figure.add_traces(levels(some.surface, bounds=bounds), rows=1, cols=1)
    for label, path in runs.items():
        look, tail = found[label], path.all_points[0, 0, 0, -last:]
        line = {"color": look.colour, "width": 1.2}
        walk = go.Scatter(
            x=tail[:, 0],
            y=tail[:, 1],
            mode="lines",
            line=line,
            showlegend=False,
            legendgroup=label,
            name=text(label),
            hoverinfo="name",
        )
        figure.add_trace(walk, row=1, col=1)
        figure.add_traces(_fall(path, label, look), rows=1, cols=2)
    dress(figure, 480)
    for update, name, side in zip(
        (figure.update_xaxes, figure.update_yaxes), some.surface.variables, bounds, strict=True
    ):
        update(range=list(side), title_text=name, showgrid=False, constrain="domain", row=1, col=1)
    figure.update_yaxes(scaleanchor="x", row=1, col=1)
    means = np.concatenate([path.all_losses[:, 0, 0].mean(axis=0) for path in runs.values()])
    low, high = float(means.min()) / 3, float(means.max()) * 2
    figure.update_xaxes(title_text="step", rangemode="tozero", row=1, col=2)
    figure.update_yaxes(type="log", range=[np.log10(low), np.log10(high)], **log_ticks(low, high, most=6), row=1, col=2)
    said = (
        f"{some.optimizers[0]}, rate {short(float(some.rates[0, 0]))} at first, {some.steps} steps; noise "
        f"σ = {short(some.noise)} in each gradient, the same for all, seed {some.seed}."
    )
    return figure.update_layout(title=heading(title, said), margin={"l": 8, "r": 8, "t": 92, "b": 84})


def _fall(path: Walked, label: str, look: Any) -> list[go.Scatter]:
    losses = path.all_losses[:, 0, 0]  # (runs, steps + 1)
    every = np.unique(np.geomspace(1, losses.shape[1], 300).round().astype(int) - 1)
    losses, steps = losses[:, every], every
    low, high = np.quantile(losses, [(1 - SHARE) / 2, (1 + SHARE) / 2], axis=0)
    outline = [*steps, *steps[::-1]], [*high, *low[::-1]]
    band = go.Scatter(
        x=outline[0],
        y=outline[1],
        mode="none",
        fill="toself",
        fillcolor=look.band,
        legendgroup=label,
        showlegend=False,
        hoverinfo="skip",
        name=f"{text(label)}: band",
    )
    line = {"color": look.colour, "dash": look.dash, "width": 2.2}
    mean = go.Scatter(
        x=steps, y=losses.mean(axis=0), mode="lines", line=line, name=text(label), legendgroup=label, showlegend=True
    )
    return [band, mean]
