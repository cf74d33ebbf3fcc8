"""Loss against learning rate, one panel per optimizer on the same axes.

How wide the valley is matters as much as how deep: an optimizer that is best at one rate only must be tuned each time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from .numbers import number, short
from .style import BAND, INK, MUTED, VERMILION, Look, dress, faded, log_ticks, looks, text

if TYPE_CHECKING:
    import pandas as pd

SPAN = 1000.0  # losses above SPAN times the smallest leave the plot at the top, where a triangle stands for them


def rate_table(members: pd.DataFrame) -> pd.DataFrame:
    """One row per optimizer, schedule and rate: `mean`, `low`, `high` (smallest, largest), `seeds`, `diverged`,
    `stopped`.

    `members` has columns `optimizer`, `schedule`, `lr`, `status` and `validation_loss`; only those with status
    `finished`, `diverged` or `stopped` count. A diverged run has infinite loss, and so has every mean with one in
    it; a run that was stopped has the loss it had then.
    """
    done = members[members["status"].isin(["finished", "diverged", "stopped"])]
    loss = done["validation_loss"].astype(float)
    bad = (done["status"] == "diverged") | ~np.isfinite(loss)
    done = done.assign(loss=loss.mask(bad, np.inf), bad=bad, halted=done["status"] == "stopped")
    groups = done.groupby(["optimizer", "schedule", "lr"], sort=True)
    return groups.agg(
        mean=("loss", "mean"),
        low=("loss", "min"),
        high=("loss", "max"),
        seeds=("loss", "size"),
        diverged=("bad", "sum"),
        stopped=("halted", "sum"),
    ).reset_index()


def rates(
    members: pd.DataFrame,
    chosen: Mapping[str, tuple[float, str]],
    *,
    columns: int = 4,
    measure: str = "validation loss",
) -> go.Figure:
    """Small multiples: mean loss over seeds at each rate, in log–log axes shared by all panels.

    Args:
        members: as `rate_table` takes them.
        chosen: each optimizer's chosen (rate, schedule), in the order of the panels. Its schedule is the strong
            line with a band from the smallest to the largest seed; other schedules are thin; a ring marks the choice.
        columns: panels in a row.
        measure: what the vertical axis shows; logarithmic unless a loss is not positive.

    A × at the top marks a rate at which at least one seed diverged; the hover text says how many. Small open marks,
    which no line joins, are rates at which runs were stopped early, at the loss they had then.
    """
    table = rate_table(members)
    names = list(dict.fromkeys([*chosen, *table["optimizer"]]))
    found = looks(names)
    figure, height = _grid([_title(name, chosen.get(name)) for name in names], columns)
    finite = [value for value in table["mean"] if math.isfinite(value)]
    logarithmic = not finite or min(finite) > 0
    top, limits = _limits(finite, logarithmic)
    for place, name in enumerate(names):
        own = table[table["optimizer"] == name]
        for trace in _panel(own, chosen.get(name), found[name], top, text(name)):
            figure.add_trace(trace, row=place // columns + 1, col=place % columns + 1)
    figure.add_traces(_legend(int(table["seeds"].max()) if len(table) else 0, table["stopped"].any()))
    dress(figure, height)
    figure.update_xaxes(type="log", showline=True, **_decades(table["lr"]))
    figure.update_yaxes(type="log" if logarithmic else "linear", range=limits, nticks=5)
    if logarithmic and limits:
        figure.update_yaxes(**log_ticks(10 ** limits[0], 10 ** limits[1]))
    # shared axes hide the labels of all rows but the last; a column whose last cell is empty still needs its own
    for place in range(max(0, len(names) - columns), len(names)):
        figure.update_xaxes(showticklabels=True, row=place // columns + 1, col=place % columns + 1)
    scale = "log scales" if logarithmic else "log rate"
    figure.add_annotation(
        text=f"{text(measure)} against learning rate, {scale}",
        xref="paper",
        yref="paper",
        x=0,
        y=1,
        yshift=44,
        xanchor="left",
        showarrow=False,
        font={"color": MUTED, "size": 13},
    )
    return figure.update_layout(margin={"l": 8, "r": 8, "t": 58, "b": 8 + 30 * (3 if columns < 3 else 2)})


def _decades(rates: Sequence[float]) -> dict[str, list]:
    """A grid line at each power of ten, and a label at each second one if there are many."""
    if not len(rates) or max(rates) < 10 * min(rates):
        return {}
    ticks = log_ticks(min(rates), max(rates), (1,))
    words, last = ticks["ticktext"], len(ticks["ticktext"]) - 1
    step = 1 if last < 3 else 2 if last < 7 else 3
    return ticks | {"ticktext": [word if (last - place) % step == 0 else "" for place, word in enumerate(words)]}


def _title(name: str, choice: tuple[float, str] | None) -> str:
    return f"<b>{text(name)}</b>" + (f"  {text(choice[1])}" if choice else "")


def _grid(titles: Sequence[str], columns: int) -> tuple[go.Figure, int]:
    rows = max(1, math.ceil(len(titles) / columns))
    height = 130 + 180 * rows
    figure = make_subplots(
        rows=rows,
        cols=columns,
        shared_xaxes="all",
        shared_yaxes="all",
        subplot_titles=titles,
        horizontal_spacing=0.03 if columns > 1 else 0,
        vertical_spacing=42 / (180 * rows) if rows > 1 else 0,
    )
    figure.update_annotations(font={"size": 13, "color": INK})
    return figure, height


def _limits(finite: Sequence[float], logarithmic: bool) -> tuple[float, list[float] | None]:
    """Where the marks for diverged rates sit, and the axis range that keeps them inside."""
    if not finite:
        return 1.0, None
    low, high = min(finite), max(finite)
    if not logarithmic:
        room = 0.08 * ((high - low) or 1.0)
        return high + room, [low - room, high + 2 * room]
    high = min(high, low * SPAN)
    decades = max(math.log10(high / low), 0.1)
    top = math.log10(high) + 0.10 * decades
    return 10**top, [math.log10(low) - 0.10 * decades, top + 0.08 * decades]


def _panel(
    table: pd.DataFrame, choice: tuple[float, str] | None, look: Look, top: float, name: str
) -> list[go.Scatter]:
    """Other schedules thin, the chosen one strong with its band, then what diverged and what was chosen."""
    schedules = list(dict.fromkeys(table["schedule"]))
    main = choice[1] if choice else next(iter(schedules), "")
    traces = [_line(table[table["schedule"] == one], look, top, name, strong=False) for one in schedules if one != main]
    best = table[table["schedule"] == main]
    early = best[(best["stopped"] > 0) & (best["mean"] <= top)]
    if len(early):
        traces.append(
            go.Scatter(
                x=list(early["lr"]),
                y=list(early["mean"]),
                mode="markers",
                marker={"symbol": f"{look.marker}-open", "size": 6, "color": look.colour},
                hovertext=[_words(row, name) for row in early.to_dict("records")],
                hoverinfo="text",
                showlegend=False,
                name=f"{name}: stopped early",
            )
        )
    traces += [_band(best, look, top), _line(best, look, top, name, strong=True)]
    for symbol, lost in (
        ("x", ~np.isfinite(table["mean"])),
        ("triangle-up", np.isfinite(table["mean"]) & (table["mean"] > top)),
    ):
        high = table[lost].groupby("lr", sort=True)
        if len(high):
            traces.append(
                go.Scatter(
                    x=[rate for rate, _ in high],
                    y=[top] * len(high),
                    mode="markers",
                    marker={"symbol": symbol, "size": 8, "color": VERMILION if symbol == "x" else look.colour},
                    hovertext=["<br>".join(_words(row, name) for row in part.to_dict("records")) for _, part in high],
                    hoverinfo="text",
                    showlegend=False,
                    name=f"{name}: {'diverged' if symbol == 'x' else 'above the plot'}",
                )
            )
    ring = best[np.isclose(best["lr"], choice[0], rtol=1e-9, atol=0)] if choice else best[:0]
    if len(ring):
        traces.append(
            go.Scatter(
                x=list(ring["lr"]),
                y=[value if value <= top else top for value in ring["mean"]],
                mode="markers",
                marker={"symbol": "circle-open", "size": 17, "color": INK, "line": {"width": 2}},
                hoverinfo="skip",
                showlegend=False,
                name=f"{name}: chosen",
            )
        )
    return traces


def _words(row: Mapping[str, float], name: str) -> str:
    lost = f", {row['diverged']} of {row['seeds']} seeds diverged" if row["diverged"] else ""
    lost += ", when they were stopped early" if row["stopped"] else ""
    many = f"{row['seeds']} seeds" if row["seeds"] != 1 else "1 seed"
    return (
        f"<b>{name}</b> {text(row['schedule'])}, rate {short(row['lr'])}<br>"
        f"{number(row['mean'])}, {many} from {number(row['low'])} to {number(row['high'])}{lost}"
    )


def _line(table: pd.DataFrame, look: Look, top: float, name: str, *, strong: bool) -> go.Scatter:
    schedule = text(next(iter(table["schedule"]), ""))
    ended = zip(table["mean"], table["stopped"], strict=True)
    return go.Scatter(
        x=list(table["lr"]),
        y=[value if value <= top and not early else None for value, early in ended],
        mode="lines+markers" if strong else "lines",
        line={"color": look.colour, "dash": look.dash if strong else "solid", "width": 2.2 if strong else 1.2},
        marker={"symbol": look.marker, "size": 7, "color": look.colour},
        opacity=1.0 if strong else 0.6,
        hovertext=[_words(row, name) for row in table.to_dict("records")],
        hoverinfo="text",
        showlegend=False,
        name=f"{name}: {schedule}",
    )


def _band(table: pd.DataFrame, look: Look, top: float) -> go.Scatter:
    """One closed outline per run of rates at which nothing diverged; a gap separates them."""
    across: list[float | None] = []
    along: list[float | None] = []
    run: list[tuple[float, float, float]] = []
    rows = table[["lr", "low", "high", "mean", "stopped"]].to_numpy()
    for rate, low, high, mean, early in [*rows, (0, 0, 0, math.inf, 0)]:
        if mean <= top and not early:
            run.append((rate, low, min(high, top)))
        elif run:
            across += [one[0] for one in run] + [one[0] for one in reversed(run)] + [None]
            along += [one[1] for one in run] + [one[2] for one in reversed(run)] + [None]
            run = []
    return go.Scatter(
        x=across,
        y=along,
        mode="lines",
        fill="toself",
        fillcolor=look.band,
        line={"width": 0, "color": look.band},
        hoverinfo="skip",
        showlegend=False,
        name="band",
    )


def _legend(seeds: int, stopped: bool) -> list[go.Scatter]:
    """Entries that explain the marks, in no optimizer's colour."""
    many = f"mean of {seeds} seeds" if seeds != 1 else "1 seed"
    band = {"symbol": "square", "size": 13, "color": faded(MUTED, 2 * BAND)}
    ring = {"symbol": "circle-open", "size": 13, "color": INK, "line": {"width": 2}}
    marks = [("chosen rate", ring), ("a seed diverged", {"symbol": "x", "size": 8, "color": VERMILION})]
    if stopped:
        marks.append(("stopped early, loss at the stop", {"symbol": "circle-open", "size": 6, "color": MUTED}))
    if seeds > 1:
        marks = [(f"smallest to largest of {seeds}", band), *marks]
    lines = [(f"chosen schedule, {many}", 2.2), ("other schedules", 1.2)]
    nowhere = {"x": [None], "y": [None], "hoverinfo": "skip"}
    return [
        go.Scatter(mode="lines", name=words, line={"color": MUTED, "width": width}, **nowhere) for words, width in lines
    ] + [go.Scatter(mode="markers", name=words, marker=marker, **nowhere) for words, marker in marks]
