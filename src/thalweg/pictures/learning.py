"""Learning curves: how the loss fell, validation beside training on the same axes.

Nothing is smoothed. A band is named in the title of its axis: it runs from the smallest to the largest seed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from .numbers import number, short
from .style import INK, VERMILION, Look, dress, log_ticks, looks, text

if TYPE_CHECKING:
    import pandas as pd

TITLES = {"validation_loss": "Validation loss", "train_loss": "Training loss"}


def learning_table(curves: pd.DataFrame) -> pd.DataFrame:
    """One row per optimizer, metric and step: `mean`, `low`, `high` (smallest, largest) and `seeds`.

    `curves` has columns `optimizer`, `member`, `metric`, `step`, `value` and, if known, `status`. A member that
    diverged counts as infinite from its first non-finite value on, or from where its points stop. A step that some
    unfinished member has not reached has fewer `seeds`.
    """
    import pandas as pd

    rows = []
    for (optimizer, metric), part in curves.groupby(["optimizer", "metric"], sort=False):
        wide = part.pivot_table(index="step", columns="member", values="value", aggfunc="last", dropna=False)
        lost = set(part.loc[part["status"] == "diverged", "member"]) if "status" in part else set()
        there = part.assign(there=1).pivot_table(index="step", columns="member", values="there").notna()
        broken = (there & ~np.isfinite(wide)).cummax()
        for member in wide.columns:
            if member in lost:
                broken[member] |= ~there[member] & ~there[member][::-1].cummax()[::-1]
        wide = wide.mask(broken, np.inf)
        rows.append(
            pd.DataFrame(
                {
                    "optimizer": optimizer,
                    "metric": metric,
                    "step": wide.index,
                    "mean": wide.mean(axis=1).to_numpy(),
                    "low": wide.min(axis=1).to_numpy(),
                    "high": wide.max(axis=1).to_numpy(),
                    "seeds": wide.notna().sum(axis=1).to_numpy(),
                }
            )
        )
    columns = ["optimizer", "metric", "step", "mean", "low", "high", "seeds"]
    return pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=columns)


def learning(
    curves: pd.DataFrame,
    *,
    order: Sequence[str] = (),
    metrics: Sequence[str] = ("validation_loss", "train_loss"),
    columns: int = 2,
    axis: str = "training step",
) -> go.Figure:
    """Mean over seeds at each step, one panel per metric, one line and one band per optimizer.

    Args:
        curves: as `learning_table` takes them.
        order: optimizers in the order of the legend; others follow.
        metrics: the panels; the vertical axis is shared, and logarithmic when all values are positive.
        columns: panels in a row.
        axis: what `step` counts.

    The line ends where the first seed diverged, with a × at the top of the plot, or where an unfinished seed ends.
    A click in the legend hides an optimizer in all panels.
    """
    table = learning_table(curves[curves["metric"].isin(list(metrics))])
    names = [name for name in dict.fromkeys([*order, *table["optimizer"]]) if name in set(table["optimizer"])]
    found = looks(dict.fromkeys([*order, *names]))
    seeds = int(table["seeds"].max()) if len(table) else 0
    rows = math.ceil(len(metrics) / columns)
    figure = make_subplots(
        rows=rows,
        cols=columns,
        shared_yaxes="all",
        subplot_titles=[f"<b>{TITLES.get(metric, text(metric.replace('_', ' ')))}</b>" for metric in metrics],
        horizontal_spacing=0.04 if columns > 1 else 0,
        vertical_spacing=0.16 if rows > 1 else 0,
    )
    figure.update_annotations(font={"size": 13, "color": INK})
    values = table[["mean", "low"]].to_numpy(dtype=float)
    finite = values[np.isfinite(values)]
    logarithmic = bool(finite.size) and finite.min() > 0
    top = float(finite.max()) * 1.1 if finite.size else 1.0
    for name in names:
        for place, metric in enumerate(metrics):
            own = table[(table["optimizer"] == name) & (table["metric"] == metric)]
            for trace in _curve(own, text(name), found[name], seeds, top, axis.split()[-1], legend=place == 0):
                figure.add_trace(trace, row=place // columns + 1, col=place % columns + 1)
    legend = 28 * math.ceil(max(1, len(names)) / (7 if columns > 1 else 3))
    dress(figure, height=60 + 310 * rows + legend)
    figure.update_yaxes(type="log" if logarithmic else "linear", nticks=6)
    if logarithmic:
        figure.update_yaxes(**log_ticks(float(finite.min()) / 2, top))
    figure.update_xaxes(title_text=axis, rangemode="tozero", nticks=6, showline=True)
    return figure.update_layout(margin={"l": 8, "r": 8, "t": 28, "b": 24 + legend}, hovermode="closest")


def _curve(
    table: pd.DataFrame, name: str, look: Look, seeds: int, top: float, unit: str, *, legend: bool
) -> list[go.Scatter]:
    broken = ~np.isfinite(table["mean"])
    whole = table[(table["seeds"] == seeds) & ~broken] if (table["seeds"] == seeds).any() else table[~broken]
    steps, low, high = list(whole["step"]), list(whole["low"]), list(whole["high"])
    traces = [
        go.Scatter(
            x=steps + steps[::-1],
            y=high + low[::-1],
            mode="lines",
            fill="toself",
            fillcolor=look.band,
            line={"width": 0, "color": look.band},
            hoverinfo="skip",
            legendgroup=name,
            showlegend=False,
            name=f"{name}: band",
        ),
        go.Scatter(
            x=steps or [None],  # a line that diverged at once still has its name in the legend
            y=list(whole["mean"]) or [None],
            mode="lines+markers",
            line={"color": look.colour, "dash": look.dash, "width": 2.2},
            marker={"symbol": look.marker, "size": 7, "color": look.colour, "maxdisplayed": 5},
            hovertext=[
                f"<b>{name}</b> {unit} {short(row['step'], 8)}<br>{number(row['mean'])}, {row['seeds']} seeds "
                f"from {number(row['low'])} to {number(row['high'])}"
                for row in whole.to_dict("records")
            ],
            hoverinfo="text",
            legendgroup=name,
            showlegend=legend,
            name=name,
        ),
    ]
    if broken.any():
        step = table.loc[broken, "step"].iloc[0]
        traces.append(
            go.Scatter(
                x=[step],
                y=[top],
                mode="markers",
                marker={"symbol": "x", "size": 9, "color": VERMILION},
                hovertext=[f"<b>{name}</b> diverged at {unit} {short(step, 8)}"],
                hoverinfo="text",
                legendgroup=name,
                showlegend=False,
                name=f"{name}: diverged",
            )
        )
    return traces
