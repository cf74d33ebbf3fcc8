"""Learning curves: how the loss fell, validation beside training on the same axes.

Nothing is smoothed. A band is named in the title of its axis: it runs from the smallest to the largest seed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import plotly.graph_objects as go

from ..language import mark, say
from .layout import bold, dress, log_ticks, panels
from .marks import DIVERGED, band, line, points
from .numbers import number, short
from .style import Style, styles, text

if TYPE_CHECKING:
    import pandas as pd

TITLES = {"validation_loss": mark("Validation loss"), "train_loss": mark("Training loss")}


def learning_table(curves: pd.DataFrame) -> pd.DataFrame:
    """One row per optimizer, metric and step: `mean`, `low`, `high` (smallest, largest) and `seeds`.

    `curves` has columns `optimizer`, `member`, `metric`, `step`, `value` and, if known, `status`. A member that
    diverged counts as infinite from its first non-finite value on, or from where its points stop. A step that some
    unfinished member has not reached has fewer `seeds`.
    """
    import pandas as pd

    rows = []
    known = curves.assign(value=curves["value"].where(np.isfinite(curves["value"]), np.inf))  # NaN is a missing point
    for (optimizer, metric), part in known.groupby(["optimizer", "metric"], sort=False):
        wide = part.pivot_table(index="step", columns="member", values="value", aggfunc="last", dropna=False)
        diverged = set(part.loc[part["status"] == "diverged", "member"]) if "status" in part else set()
        broken = np.isinf(wide).cummax()
        for member in diverged.intersection(wide.columns):
            broken[member] |= wide[member].bfill().isna()
        wide = wide.mask(broken, np.inf)
        spread = {"mean": wide.mean(axis=1), "low": wide.min(axis=1), "high": wide.max(axis=1)}
        spread["seeds"] = wide.notna().sum(axis=1)
        rows.append(pd.DataFrame(spread).reset_index().assign(optimizer=optimizer, metric=metric))
    columns = ["optimizer", "metric", "step", "mean", "low", "high", "seeds"]
    return pd.concat(rows, ignore_index=True)[columns] if rows else pd.DataFrame(columns=columns)


def learning(
    table: pd.DataFrame, *, order: Sequence[str] = (), columns: int = 2, axis: str = mark("training step")
) -> go.Figure:
    """Mean over seeds at each step, a panel for each of `TITLES`, one line and one band per optimizer.

    Args:
        table: as `learning_table` gives it.
        order: optimizers in the order of the legend; others follow.
        columns: panels in a row.
        axis: what `step` counts.

    The vertical axis is shared, and logarithmic when all values are positive.
    The line ends where the first seed diverged, with a × at the top of the plot, or where an unfinished seed ends.
    A click in the legend hides an optimizer in all panels.
    """
    table = table[table["metric"].isin(list(TITLES))]
    names = [name for name in dict.fromkeys([*order, *table["optimizer"]]) if name in set(table["optimizer"])]
    style = styles([*order, *names])
    seeds = int(table["seeds"].max()) if len(table) else 0
    rows = math.ceil(len(TITLES) / columns)
    titles = [bold(say(title)) for title in TITLES.values()]
    gaps: dict[str, Any] = {"horizontal_spacing": 0.04 * (columns > 1), "vertical_spacing": 0.16 * (rows > 1)}
    figure = panels(rows, columns, titles, shared_yaxes="all", **gaps)
    values = table[["mean", "low"]].to_numpy(dtype=float)
    finite = values[np.isfinite(values)]
    logarithmic = bool(finite.size) and finite.min() > 0
    top = float(finite.max()) * 1.1 if finite.size else 1.0
    for name in names:
        for place, metric in enumerate(TITLES):
            part = table[(table["optimizer"] == name) & (table["metric"] == metric)]
            traces = _curve(part, text(name), style[name], seeds, top, axis.split()[-1])
            traces[1].showlegend = place == 0
            figure.add_traces(traces, rows=place // columns + 1, cols=place % columns + 1)
    legend = 28 * math.ceil(max(1, len(names)) / (7 if columns > 1 else 3))
    ticks = log_ticks(float(finite.min()) / 2, top) if logarithmic else {}
    figure.update_yaxes(type="log" if logarithmic else "linear", nticks=6, **ticks)
    figure.update_xaxes(title_text=say(axis), rangemode="tozero", nticks=6, showline=True)
    dress(figure, 60 + 310 * rows + legend, b=24 + legend)
    return figure.update_layout(hovermode="closest")


def _curve(table: pd.DataFrame, name: str, style: Style, seeds: int, top: float, unit: str) -> list[go.Scatter]:
    """The band, the mean, and a mark where the first seed diverged."""
    broken = ~np.isfinite(table["mean"])
    whole = table[(table["seeds"] == seeds) & ~broken] if (table["seeds"] == seeds).any() else table[~broken]
    steps, low, high = list(whole["step"]), list(whole["low"]), list(whole["high"])
    hover = [
        say(
            "<b>{name}</b> {unit} {step}<br>{mean}, {seeds} seeds from {low} to {high}",
            name=name,
            unit=mark(unit),
            step=short(row["step"], 8),
            mean=number(row["mean"]),
            seeds=row["seeds"],
            low=number(row["low"]),
            high=number(row["high"]),
        )
        for row in whole.to_dict("records")
    ]
    mean, more = list(whole["mean"]), {"marker": {"maxdisplayed": 5}, "hover": hover, "name": name}
    traces = [
        band(steps, high, low, style.colour, legendgroup=name, name=f"{name}: band"),
        # a line that diverged at once still has its name in the legend
        line(steps or [None], mean or [None], style, size=7, legendgroup=name, **more),
    ]
    if broken.any():
        step = table.loc[broken, "step"].iloc[0]
        words = {
            "hover": [say("<b>{name}</b> diverged at {unit} {step}", name=name, unit=mark(unit), step=short(step, 8))],
            "name": f"{name}: diverged",
        }
        traces.append(points([step], [top], DIVERGED, 9, legendgroup=name, showlegend=False, **words))
    return traces
