"""Descents drawn: a curve with its steps, level lines, a sheet in space, the loss over the steps, a race."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from .arrowed import arrows_picture, lookahead_picture
from .ground import curve, heights, levels, ranks, shape, view
from .moving import animated
from .numbers import short
from .style import GRID, INK, MUTED, PAPER, SURFACE, dress, headed, log_ticks, text
from .walked import Line, Walked, crosses, hover, lines_of, note, point, sizes, subscript

NEAR = 0.03  # of the picture's width: steps nearer than that to a labelled one have no label


def path_picture(path: Walked, kind: str | None = None, *, title: str = "", said: str = "", **more: Any) -> go.Figure:
    """A descent as one of `KINDS`.

    Args:
        path: from `tw.descend`.
        kind: ``curve`` for one variable, with the steps x₀, x₁, …; ``levels``, ``surface`` (3-D) and ``race`` (moves)
            for two; ``arrows`` and ``lookahead`` for what happens in a step; ``losses`` for any number. Unless
            given: curve, levels or losses by the number of variables.
        title: unless given, the surface's name.
        said: a further sentence for the note, such as how the rates were tuned.
        more: arguments of that kind: ``at``, the steps that arrows and lookahead show.

    What makes a comparison fair or not (rates, whether tuned, steps, noise) is written below the title.

    Raises:
        ValueError: a kind that is none, or that does not fit the number of variables.
    """
    dimensions = len(path.surface.variables)
    kind = kind or {1: "curve", 2: "levels"}.get(dimensions, "losses")
    if kind not in KINDS:
        raise ValueError(f"{kind!r} is no kind of picture: give one of {', '.join(KINDS)}.")
    needed = {"curve": 1, "losses": dimensions}.get(kind, 2)
    if dimensions != needed:
        raise ValueError(
            f"a picture of kind {kind} is for {needed} variable{'s' * (needed > 1)}, and {path.surface.name} has "
            f"{dimensions}: give kind='losses'."
        )
    figure = KINDS[kind](path, **more)
    return headed(figure, title or path.surface.name, " ".join(filter(None, [note(path), said])))


def curve_picture(path: Walked) -> go.Figure:
    """A panel for each rate: the curve, and on it the steps of every path, with labels where there is room."""
    lines = lines_of(path)
    panels = path.rates.shape[1]
    titles = [f"rate {short(rate)}" for rate in path.rates[0]] if panels > 1 else None
    figure = make_subplots(
        cols=panels, shared_yaxes=True, shared_xaxes="all", subplot_titles=titles, horizontal_spacing=0.03
    )
    figure.update_annotations(font={"size": 13, "color": INK})
    window = low, high, bottom, top = _window(path, lines)
    ground = curve(path.surface, low, high)
    for panel in range(panels):
        own = [line for line in lines if line.rate == panel]
        figure.add_trace(ground, row=1, col=panel + 1)
        for line in own:
            drawn = _steps(line, path.surface, window, NEAR * panels, panel == 0 and len(own) > 1)
            figure.add_trace(drawn, row=1, col=panel + 1)
        ends = [
            (np.clip(line.points[line.end, 0], low, high), np.clip(line.losses[line.end], bottom, top)) for line in own
        ]
        figure.add_trace(crosses(own, ends, panel == 0), row=1, col=panel + 1)
    dress(figure, 420)
    figure.update_xaxes(range=[low, high], title_text=path.surface.variables[0])
    figure.update_yaxes(range=[bottom, top])
    figure.update_yaxes(title_text="loss", row=1, col=1)
    return figure.update_layout(margin={"l": 8, "r": 8, "b": 60})


def _window(path: Walked, lines: list[Line]) -> tuple[float, float, float, float]:
    """What is drawn: the surface's bounds, and as much more as the paths need, up to twice as much."""
    (low, high), *_ = path.surface.bounds
    seen = np.concatenate([line.points[: line.end + 1, 0] for line in lines])
    half = (high - low) / 2
    room = 0.06 * half  # for the name of a step outside
    low = low if seen.min() >= low else max(low - half, float(seen.min()) - room)
    high = high if seen.max() <= high else min(high + half, float(seen.max()) + room)
    values = path.surface(np.linspace(low, high, 401)[:, None])
    room = 0.1 * (np.ptp(values[np.isfinite(values)]) or 1.0)
    return low, high, float(np.nanmin(values)) - room, float(np.nanmax(values)) + room


def _steps(line: Line, surface: Any, window: tuple[float, float, float, float], near: float, shown: bool) -> go.Scatter:
    """The steps on the curve, each with its name where there is room, on the side away from the curve."""
    low, high, bottom, top = window
    x, y = line.points[:, 0], line.losses
    at = np.stack([(x - low) / (high - low), 0.6 * (y - bottom) / (top - bottom)], axis=1)
    inside: Any = ((at >= 0) & (at <= [1, 0.6])).all(axis=1)
    labels: list[str] = [""] * len(x)
    placed = np.empty((0, 2))
    for k in [0, line.end, *range(1, line.end)]:  # the ends first
        if inside[k] and (not len(placed) or np.abs(placed - at[k]).max(axis=1).min() > near):
            labels[k], placed = subscript(k), np.vstack([placed, at[k]])
    rises = np.nan_to_num(surface.gradient(line.points)[:, 0]) * (high - low) / (top - bottom)
    sides = ["bottom center" if abs(rise) < 0.3 else "middle right" if rise > 0 else "middle left" for rise in rises]
    return go.Scatter(
        x=x,
        y=y,
        mode="lines+markers+text",
        text=labels,
        textposition=sides,
        name=text(line.label),
        textfont={"size": 13, "color": line.look.colour},
        hovertext=hover(line),
        hoverinfo="text",
        line={"color": line.look.colour, "width": 1, "dash": "dot"},
        showlegend=shown,
        legendgroup=line.label,
        marker={"color": line.look.colour, "size": 8, "symbol": line.look.marker},
    )


def levels_picture(path: Walked) -> go.Figure:
    """Level lines with the paths on them; a panel for each rate."""
    lines, panels = lines_of(path), path.rates.shape[1]
    titles = [f"rate {short(rate)}" for rate in path.rates[0]] if panels > 1 else None
    figure = make_subplots(cols=panels, shared_yaxes=True, subplot_titles=titles, horizontal_spacing=0.03)
    figure.update_annotations(font={"size": 13, "color": INK})
    for panel in range(panels):
        own = [line for line in lines if line.rate == panel]
        figure.add_traces(levels(path.surface, panel == 0), rows=1, cols=panel + 1)
        for line in own:
            figure.add_trace(_walk(line, panel == 0 and len({one.label for one in lines}) > 1), row=1, col=panel + 1)
        figure.add_trace(_starts(path), row=1, col=panel + 1)
        figure.add_trace(crosses(own, [_last_seen(line, path) for line in own], panel == 0), row=1, col=panel + 1)
    dress(view(figure, path.surface), 110 + shape(path.surface, panels))
    if panels > 1:
        figure.update_yaxes(title_text="")
        figure.update_yaxes(title_text=path.surface.variables[1], row=1, col=1)
    for panel in range(panels):
        figure.update_yaxes(scaleanchor=f"x{panel + 1 if panel else ''}", row=1, col=panel + 1)
    return figure.update_layout(margin={"l": 8, "r": 8, "b": 78})


def _walk(line: Line, shown: bool) -> go.Scatter:
    marker = {
        "color": line.look.colour,
        "symbol": line.look.marker,
        "size": sizes(line),
        "opacity": 1,
        "line": {"width": 0},
    }
    return go.Scatter(
        x=line.points[:, 0],
        y=line.points[:, 1],
        mode="lines+markers",
        marker=marker,
        name=text(line.label),
        line={"color": line.look.colour, "dash": line.look.dash, "width": 2.2},
        hovertext=hover(line),
        hoverinfo="text",
        legendgroup=line.label,
        showlegend=shown,
    )


def _starts(path: Walked) -> go.Scatter:
    return go.Scatter(
        x=path.starts[:, 0],
        y=path.starts[:, 1],
        mode="markers",
        hoverinfo="text",
        name="start",
        showlegend=False,
        hovertext=[f"start {point(one)}" for one in path.starts],
        marker={"symbol": "circle", "size": 10, "color": PAPER, "line": {"width": 2, "color": INK}},
    )


def _last_seen(line: Line, path: Walked) -> Any:
    """The last point of a path, or where the drawn ground ends in that direction."""
    sides = np.array(path.surface.bounds).T
    room = 0.015 * np.ptp(sides, axis=0)
    return np.clip(line.points[line.end], sides[0] + room, sides[1] - room)


def surface_picture(path: Walked) -> go.Figure:
    """The surface as a sheet in space that can be turned, with the paths on it."""
    x, y, values = heights(path.surface, 81)
    low, high = float(np.nanmin(values)), float(np.nanquantile(values, 0.995))
    figure = go.Figure(
        go.Surface(
            x=x,
            y=y,
            z=np.minimum(values, high),
            surfacecolor=ranks(values),
            colorscale=SURFACE,
            showscale=False,
            opacity=0.92,
            hoverinfo="skip",
            lighting={"ambient": 0.75, "diffuse": 0.4, "specular": 0.05},
        )
    )
    lines, sides = lines_of(path, panels=False), np.array(path.surface.bounds).T
    for line in lines:
        inside = (line.points >= sides[0]) & (line.points <= sides[1])
        kept = inside.all(axis=1) & (line.losses <= high)
        height = np.where(kept, line.losses + 0.012 * (high - low), np.nan)
        figure.add_trace(
            go.Scatter3d(
                x=line.points[:, 0],
                y=line.points[:, 1],
                z=height,
                mode="lines+markers",
                name=text(line.label),
                line={"color": line.look.colour, "width": 6},
                marker={"size": 3, "color": line.look.colour},
                hovertext=hover(line),
                hoverinfo="text",
                showlegend=len(lines) > 1,
            )
        )
    dress(figure, 560)
    ticks = {"color": MUTED, "size": 11}
    axis = {
        "gridcolor": GRID,
        "zerolinecolor": GRID,
        "linecolor": GRID,
        "showbackground": False,
        "tickfont": ticks,
        "nticks": 6,
    }
    titles = [*path.surface.variables, "loss"]
    scene: dict[str, Any] = {
        f"{side}axis": axis | {"title": {"text": name, "font": {"color": MUTED, "size": 13}}}
        for side, name in zip("xyz", titles, strict=True)
    }
    eye = {"x": -1.25, "y": -1.35, "z": 0.95}
    figure.update_layout(scene=scene | {"camera": {"eye": eye}, "aspectratio": {"x": 1.2, "y": 1.2, "z": 0.75}})
    return figure.update_layout(margin={"l": 0, "r": 0, "b": 60}, dragmode="orbit")


def losses_picture(path: Walked) -> go.Figure:
    """The loss after each step; a logarithmic axis where all losses are positive."""
    figure = go.Figure([_fall(line, True) for line in lines_of(path, panels=False)])
    dress(figure, 420)
    _loss_axis(figure, path)
    figure.update_xaxes(title_text="step", rangemode="tozero").update_yaxes(title_text="loss")
    return figure.update_layout(margin={"l": 8, "r": 8, "b": 90})


def _fall(line: Line, shown: bool) -> go.Scatter:
    every = -(-len(line.losses) // 8)
    marker = {
        "color": line.look.colour,
        "symbol": line.look.marker,
        "size": [7 if k % every == 0 else 0 for k in range(len(line.losses))],
        "line": {"width": 0},
    }
    return go.Scatter(
        x=np.arange(len(line.losses)),
        y=line.losses,
        mode="lines+markers",
        name=text(line.label),
        marker=marker,
        line={"color": line.look.colour, "dash": line.look.dash, "width": 2.2},
        hovertext=hover(line),
        hoverinfo="text",
        legendgroup=line.label,
        showlegend=shown,
    )


def _loss_axis(figure: go.Figure, path: Walked, **where: int) -> None:
    seen = path.all_losses[np.isfinite(path.all_losses)]
    if len(path.surface.variables) == 2:  # a surface without a bottom is followed as far as it is drawn
        drawn = heights(path.surface, 41)[2]
        seen = seen[seen >= float(np.nanmin(drawn)) - 0.1 * float(np.ptp(drawn[np.isfinite(drawn)]))]
    low, high = (float(seen.min()), min(float(seen.max()), 1e3 * float(np.nanmax(path.all_losses[..., 0]))))
    if low > 0:
        low = max(low, 1e-8 * high)
        ticks = log_ticks(low, high, most=6)
        figure.update_yaxes(type="log", range=[np.log10(low / 1.5), np.log10(high * 1.5)], **ticks, **where)
    else:
        room = 0.05 * (high - low or 1.0)
        figure.update_yaxes(range=[low - room, high + room], **where)


def race_picture(path: Walked, frames: int = 60) -> go.Figure:
    """All paths run side by side, on the level lines and, beside them, down the loss; moves when it is asked to.

    Args:
        frames: at most so many, evenly spaced over the steps.
    """
    lines = lines_of(path, panels=False)
    figure = make_subplots(cols=2, column_widths=[0.62, 0.38], horizontal_spacing=0.09)
    figure.add_traces(levels(path.surface, True), rows=1, cols=1)
    figure.add_trace(_starts(path), row=1, col=1)
    first = len(figure.data)
    for line in lines:
        figure.add_trace(_walk(line, True), row=1, col=1)
    for line in lines:
        figure.add_trace(_fall(line, False), row=1, col=2)
    figure.add_trace(crosses(lines, [_last_seen(line, path) for line in lines], True), row=1, col=1)
    dress(figure, 110 + max(300, shape(path.surface, 1, 440)))
    for update, name, side in zip(
        (figure.update_xaxes, figure.update_yaxes), path.surface.variables, path.surface.bounds, strict=True
    ):
        update(range=list(side), title_text=name, showgrid=False, row=1, col=1)
    figure.update_xaxes(title_text="step", range=[0, path.steps], row=1, col=2)
    figure.update_yaxes(title_text="loss", row=1, col=2)
    _loss_axis(figure, path, row=1, col=2)
    figure.update_layout(margin={"l": 8, "r": 8, "b": 120})
    return animated(figure, _frames(path, lines, first, frames))


def _frames(path: Walked, lines: list[Line], first: int, most: int) -> list[go.Frame]:
    steps = np.unique(np.linspace(0, path.steps, min(most, path.steps + 1)).round().astype(int))
    places = list(range(first, first + 2 * len(lines) + 1))
    found = []
    for step in steps:
        data: list[go.Scatter] = []
        for line in lines:
            end = min(step, line.end)
            marks = [0.0] * end + [11.0]
            walked = line.points[: end + 1]
            data.append(go.Scatter(x=_few(walked[:, 0]), y=_few(walked[:, 1]), marker={"size": marks}))
        for line in lines:
            end = min(step, line.end)
            data.append(
                go.Scatter(x=np.arange(end + 1), y=_few(line.losses[: end + 1]), marker={"size": [0.0] * end + [9.0]})
            )
        lost = [line for line in lines if 0 <= line.diverged <= step]
        at = [_last_seen(line, path) for line in lost]
        data.append(go.Scatter(x=[one[0] for one in at], y=[one[1] for one in at]))
        found.append(go.Frame(name=str(step), data=data, traces=places))
    return found


def _few(values: np.ndarray) -> np.ndarray:
    """Single precision: enough for a picture, half the page."""
    return values.astype(np.float32)


KINDS: Mapping[str, Callable[..., go.Figure]] = {
    "curve": curve_picture,
    "levels": levels_picture,
    "surface": surface_picture,
    "losses": losses_picture,
    "race": race_picture,
    "arrows": arrows_picture,
    "lookahead": lookahead_picture,
}
