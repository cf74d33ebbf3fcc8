"""Noise in the gradients: a fixed rate keeps walking around the minimum, a falling one comes to rest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import plotly.graph_objects as go

from ..language import say
from .ground import levels, view
from .layout import dress, log_axis, panels
from .marks import band, line, points
from .numbers import short
from .style import plain_styles, text

SHARE = 0.9  # of the runs that a band holds


def noisy_picture(runs: Mapping[str, Any], last: int = 200, title: str = "") -> go.Figure:
    """The last steps of the first run of each, and the mean loss of all runs with a band.

    Args:
        runs: what differs → descents of one optimizer at one rate from many starts, which are its runs.
        last: steps that are drawn on the level lines.

    The band holds the middle 90% of the runs; nothing is smoothed.
    """
    some = next(iter(runs.values()))
    titles = [
        say("the last {count} steps of one run", count=last),
        say("loss: mean of {starts} runs, and {share:.0%} of them", starts=len(some.starts), share=SHARE),
    ]
    figure = panels(cols=2, titles=titles, column_widths=[0.42, 0.58], horizontal_spacing=0.11)
    ends = np.concatenate([path.all_points[0, 0, 0, -last:] for path in runs.values()])
    half = 1.1 * np.abs(ends - ends.mean(axis=0)).max()
    bounds = [(float(m - half), float(m + half)) for m in ends.mean(axis=0)]
    figure.add_traces(levels(some.surface, bounds=bounds), rows=1, cols=1)
    for label, style in plain_styles(runs).items():
        path, more = runs[label], dict[str, Any](name=text(say(label)), legendgroup=label)
        tail = path.all_points[0, 0, 0, -last:]
        walk = line(tail[:, 0], tail[:, 1], style.colour, 1.2, showlegend=False, hoverinfo="name", **more)
        steps, mean, low, high = _fall(path)
        between = band(steps, high, low, style.colour, legendgroup=label, name=f"{text(label)}: band")
        figure.add_traces([walk, between, line(steps, mean, style, showlegend=True, **more)], [1, 1, 1], [1, 2, 2])
    view(figure, some.surface, bounds, row=1, col=1)
    means = np.concatenate([path.all_losses[:, 0, 0].mean(axis=0) for path in runs.values()])
    figure.update_xaxes(title_text=say("step"), rangemode="tozero", col=2)
    figure.update_yaxes(**log_axis(float(means.min()) / 3, float(means.max()) * 2, most=6), col=2)
    note = say(
        "{optimizer}, rate {rate} at first, {steps} steps; noise σ = {noise} in each gradient, "
        "the same for all, seed {seed}.",
        optimizer=some.optimizers[0],
        rate=short(float(some.rates[0, 0])),
        steps=some.steps,
        noise=short(some.noise),
        seed=some.seed,
    )
    return dress(figure, 480, title, note, t=92, b=84)


def walked(surface: Any, paths: Mapping[str, np.ndarray], title: str, note: str) -> go.Figure:
    """Paths on the level lines of a surface, a panel for each.

    Args:
        surface: of two variables, with the bounds that are drawn.
        paths: label → (steps + 1, 2).
    """
    figure = panels(cols=len(paths), titles=[text(say(label)) for label in paths], horizontal_spacing=0.06)
    for column, (path, style) in enumerate(zip(paths.values(), plain_styles(paths).values(), strict=True), start=1):
        steps = line(path[:, 0], path[:, 1], style.colour, 1.6, showlegend=False, hoverinfo="skip")
        dots = points(path[:, 0], path[:, 1], style.colour, 5, showlegend=False, hoverinfo="skip")
        figure.add_traces([*levels(surface, bounds=surface.bounds), steps, dots], rows=1, cols=column)
        view(figure, surface, surface.bounds, row=1, col=column)
    return dress(figure, 350, title, note, t=92, b=52)


def _fall(path: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Steps, evenly spaced in powers, the mean loss at each and the ends of its band."""
    losses = path.all_losses[:, 0, 0]  # (runs, steps + 1)
    steps = np.unique(np.geomspace(1, losses.shape[1], 300).round().astype(int) - 1)
    low, high = np.quantile(losses[:, steps], [(1 - SHARE) / 2, (1 + SHARE) / 2], axis=0)
    return steps, losses[:, steps].mean(axis=0), low, high
