"""Loss against learning rate, one panel per optimizer on the same axes.

How wide the valley is matters as much as how deep: an optimizer that is best at one rate only must be tuned each time.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go

from ..language import say
from .layout import bold, dress, log_ticks, multiples
from .marks import DIVERGED, band, entry, line, points
from .numbers import number, short
from .style import BAND, INK, MUTED, Style, faded, styles, text

if TYPE_CHECKING:
    import pandas as pd

SPAN = 1000.0  # losses above SPAN times the smallest leave the plot at the top, where a triangle stands for them
RING = Style(INK, marker="circle-open")


def rate_table(members: pd.DataFrame, metric: str = "validation_loss") -> pd.DataFrame:
    """One row per optimizer, schedule, rate: `mean`, `low`, `high` (smallest, largest), `seeds`, `diverged`, `stopped`.

    `members` has columns `optimizer`, `schedule`, `lr`, `status` and that metric's; only those with status
    `finished`, `diverged` or `stopped` count. A diverged run has infinite loss, and so has every mean with one in
    it; a run that was stopped has the loss it had then.
    """
    runs = members[members["status"].isin(["finished", "diverged", "stopped"])]
    loss, stopped = runs[metric].astype(float), runs["status"] == "stopped"
    diverged = (runs["status"] == "diverged") | ~np.isfinite(loss)
    runs = runs.assign(loss=loss.mask(diverged, np.inf), diverged=diverged, stopped=stopped)
    groups = runs.groupby(["optimizer", "schedule", "lr"], sort=True)
    statistics = {"mean": "mean", "low": "min", "high": "max", "seeds": "size"}
    counts = {name: (name, "sum") for name in ("diverged", "stopped")}
    return groups.agg(**{name: ("loss", how) for name, how in statistics.items()}, **counts).reset_index()


def rates(
    members: pd.DataFrame,
    chosen: Mapping[str, tuple[float, str]],
    *,
    columns: int = 4,
    metric: str = "validation_loss",
    joined: bool = True,
    compact: bool = False,
) -> go.Figure:
    """Small multiples: mean loss over seeds at each rate, in log–log axes shared by all panels.

    Args:
        members: as `rate_table` takes them.
        chosen: each optimizer's chosen (rate, schedule), in the order of the panels. Its schedule is the strong
            line with a band from the smallest to the largest seed; other schedules are thin; a ring marks the choice.
        columns: panels in a row.
        metric: what the vertical axis shows; logarithmic unless a value is not positive.
        joined: whether lines join the rates; without them, where settings differ in more than their rate.
        compact: for narrow pages.

    A × at the top marks a rate at which at least one seed diverged; the hover text says how many. Small open marks,
    which no line joins, are rates at which runs were stopped early, at the loss they had then.
    """
    table = rate_table(members, metric)
    names = list(dict.fromkeys([*chosen, *table["optimizer"]]))
    kinds = list(dict.fromkeys(table["schedule"]))  # a single one is named in the legend
    said = {name: f"  {text(one)}" if len(kinds) > 1 else "" for name, (_, one) in chosen.items()}
    titles = [bold(name) + said.get(name, "") for name in names]
    figure = multiples(titles, columns, compact, say("learning rate"))
    finite = [value for value in table["mean"] if math.isfinite(value)]
    logarithmic = not finite or min(finite) > 0
    top, limits = _limits(finite, logarithmic)
    for place, (name, style) in enumerate(styles(names).items()):
        traces = _panel(table[table["optimizer"] == name], chosen.get(name), style, top, text(name), joined)
        figure.add_traces(traces, rows=place // columns + 1, cols=place % columns + 1)
    figure.add_traces(_legend(int(table["seeds"].max()) if len(table) else 0, table["stopped"].any(), joined, kinds))
    figure.update_xaxes(type="log", showline=True, **_decades(table["lr"]))
    ticks = log_ticks(10 ** limits[0], 10 ** limits[1]) if logarithmic and limits else {}
    figure.update_yaxes(type="log" if logarithmic else "linear", range=limits, nticks=5, **ticks)
    figure.update_yaxes(title_text=text(say(metric.replace("_", " "))), col=1)
    return dress(figure, 130 + 180 * max(1, math.ceil(len(names) / columns)), b=38 + 30 * (3 if columns < 3 else 2))


def _decades(rates: Sequence[float]) -> dict[str, list]:
    """A grid line at each power of ten, and a label at each second one if there are many."""
    if not len(rates) or max(rates) < 10 * min(rates):
        return {}
    ticks = log_ticks(min(rates), max(rates), (1,))
    words, last = ticks["ticktext"], len(ticks["ticktext"]) - 1
    step = 1 if last < 3 else 2 if last < 7 else 3
    return ticks | {"ticktext": [word if (last - place) % step == 0 else "" for place, word in enumerate(words)]}


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
    table: pd.DataFrame, choice: tuple[float, str] | None, style: Style, top: float, name: str, joined: bool
) -> list[go.Scatter]:
    """Other schedules thin, the chosen one strong with its band, then what diverged and what was chosen."""
    schedules = list(dict.fromkeys(table["schedule"]))
    main = choice[1] if choice else next(iter(schedules), "")
    best = table[table["schedule"] == main]
    mean, finite = table["mean"], np.isfinite(table["mean"])
    above = Style(style.colour, marker="triangle-up")
    draw = functools.partial(_line, style=style, top=top, name=name, joined=joined)
    traces = [draw(table[table["schedule"] == one], strong=False) for one in schedules if one != main]
    early = best[(best["stopped"] > 0) & (best["mean"] <= top)]  # at the loss they had when they were stopped
    if len(early):
        hover = [_words(row, name) for row in early.to_dict("records")]
        mark, more = Style(style.colour, marker=f"{style.marker}-open"), {"name": f"{name}: stopped early"}
        traces.append(points(list(early["lr"]), list(early["mean"]), mark, 6, hover=hover, showlegend=False, **more))
    traces += [
        *([_band(best, style.colour, top)] if joined else []),
        draw(best, strong=True),
        *_at_top(table[~finite], DIVERGED, top, name, "diverged"),
        *_at_top(table[finite & (mean > top)], above, top, name, say("above the plot")),
    ]
    ring = best[np.isclose(best["lr"], choice[0], rtol=1e-9, atol=0)] if choice else best[:0]
    if len(ring):
        more = {"hoverinfo": "skip", "showlegend": False, "name": f"{name}: chosen"}
        traces.append(points(list(ring["lr"]), list(ring["mean"].clip(upper=top)), RING, 17, edge={"width": 2}, **more))
    return traces


def _at_top(table: pd.DataFrame, style: Style, top: float, name: str, why: str) -> list[go.Scatter]:
    """A mark at the top for each rate at which a loss is too large to be drawn."""
    rates = table.groupby("lr", sort=True)
    hover = ["<br>".join(_words(row, name) for row in part.to_dict("records")) for _, part in rates]
    at = [rate for rate, _ in rates], [top] * len(rates)
    return [points(*at, style, 8, hover=hover, showlegend=False, name=f"{name}: {why}")] if len(rates) else []


def _words(row: Mapping[str, float], name: str) -> str:
    end = say(", {lost} of {seeds} seeds diverged", lost=row["diverged"], seeds=row["seeds"]) if row["diverged"] else ""
    end += say(", when they were stopped early") if row["stopped"] else ""
    many = say("{count} seeds", count=row["seeds"]) if row["seeds"] != 1 else say("1 seed")
    return say(
        "<b>{name}</b> {schedule}, rate {rate}<br>{mean}, {many} from {low} to {high}{end}",
        name=name,
        schedule=text(row["schedule"]),
        rate=short(row["lr"]),
        mean=number(row["mean"]),
        many=many,
        low=number(row["low"]),
        high=number(row["high"]),
        end=end,
    )


def _line(table: pd.DataFrame, style: Style, top: float, name: str, joined: bool, strong: bool) -> go.Scatter:
    rows = table.to_dict("records")
    losses = [row["mean"] if row["mean"] <= top and not row["stopped"] else None for row in rows]
    more = {"hover": [_words(row, name) for row in rows], "showlegend": False}
    more["name"] = f"{name}: {text(next(iter(table['schedule']), ''))}"
    if not joined:
        return points(list(table["lr"]), losses, style, 7 if strong else 4, **more)
    if strong:
        return line(list(table["lr"]), losses, style, size=7, **more)
    return line(list(table["lr"]), losses, style.colour, 1.2, opacity=0.6, **more)


def _band(table: pd.DataFrame, colour: str, top: float) -> go.Scatter:
    """One closed outline per run of rates at which nothing diverged; a gap separates them."""
    x, y = [], []
    inside = (table["mean"] <= top) & (table["stopped"] == 0)
    for _, run in table[inside].groupby((~inside).cumsum()[inside]):
        high = run["high"].clip(upper=top)
        x += [*run["lr"], *run["lr"][::-1], None]
        y += [*run["low"], *high[::-1], None]
    return band([], [], [], colour, name="band").update(x=x, y=y)


def _legend(seeds: int, stopped: bool, joined: bool, kinds: Sequence[str]) -> list[go.Scatter]:
    """Entries that explain the marks, in no optimizer's colour."""
    many = say("mean of {seeds} seeds", seeds=seeds) if seeds != 1 else say("1 seed")
    schedules = [(say("chosen schedule, {many}", many=many), 2.2), (say("other schedules"), 1.2)]
    if len(kinds) < 2:
        schedules = [(", ".join([*(say("schedule {label}", label=text(kind)) for kind in kinds), many]), 2.2)]
    entries = [line([None], [None], MUTED, width, name=words, hoverinfo="skip") for words, width in schedules]
    if not joined:
        entries = [entry(words, Style(MUTED), 7 - 3 * k) for k, (words, _) in enumerate(schedules)]
    elif seeds > 1:
        ground = Style(faded(MUTED, 2 * BAND), marker="square")
        entries.append(entry(say("smallest to largest of {seeds}", seeds=seeds), ground, 13))
    entries += [entry(say("chosen rate"), RING, 13, edge={"width": 2}), entry(say("a seed diverged"), DIVERGED, 8)]
    if stopped:
        entries.append(entry(say("stopped early, loss at the stop"), Style(MUTED, marker="circle-open"), 6))
    return entries
