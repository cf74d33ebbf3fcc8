"""Descents drawn: a curve with its steps, level lines, a sheet in space, the loss over the steps, a race."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import plotly.graph_objects as go

from ..errors import UsageError
from ..language import say
from ..unknown import unknown
from .arrowed import arrows_picture, lookahead_picture
from .descent import Line, crosses, hover, lines_of, note, point, sizes, subscripts
from .ground import curve, heights, levels, ranks, shape, view
from .layout import bold, dress, headed, log_axis, panels
from .marks import line, points, words
from .moving import animated
from .numbers import short
from .style import INK, MUTED, PAPER, SURFACE, text

USUAL = ((-5.0, 5.0),)  # the bounds of a curve to which nobody has given any, `landscapes.surface.SPAN`
WALL = 1.25  # times the height of the paths above the lowest point: as much of the curve is drawn above them
SAME = 0.005  # of it: steps nearer than that to each other cannot be told apart
_OPPOSITE = {"middle left": "middle right", "middle right": "middle left", "bottom center": "top center"}
NAMED = 10  # steps from the start that have labels; of a longer path those behind are a crowd
NEAR = 0.03  # of the picture's width: steps nearer than that to a labelled one have no label


def path_picture(path: Any, kind: str | None = None, *, title: str = "", said: str = "", **more: Any) -> go.Figure:
    """A descent as one of `KINDS`.

    Args:
        path: from `tw.descend`.
        kind: ``curve`` for one variable, with the steps x₀, x₁, …; ``levels``, ``surface`` (3-D) and ``race`` (moves)
            for two; ``arrows`` and ``lookahead`` for what happens in a step; ``losses`` for any number, and the
            default above two; curve and levels are the defaults for one and two.
        title: unless given, the surface's name.
        said: a further sentence for the note, such as how the rates were tuned.
        more: arguments of that kind: ``at``, the steps that arrows and lookahead show.

    What makes a comparison fair or not (rates, whether tuned, steps, noise) is written below the title.

    Raises:
        UsageError: an unknown kind, or one that does not fit the number of variables.
    """
    dimensions = len(path.surface.variables)
    usual = {1: "curve", 2: "levels"}.get(dimensions, "losses")
    kind = kind or usual
    if kind not in KINDS:
        raise UsageError(unknown("kind of picture", kind, KINDS))
    needed = {"curve": 1, "losses": dimensions}.get(kind, 2)
    if dimensions != needed:
        raise UsageError(
            "a picture of kind {kind} is for {needed} variable{s}, and {surface} has {count}: the kind {other} fits.",
            kind=kind,
            needed=needed,
            s="s" * (needed > 1),
            surface=path.surface.name,
            count=dimensions,
            other=usual,
        )
    figure = KINDS[kind](path, **more)
    return headed(figure, title or path.surface.name, " ".join(filter(None, [note(path), say(said)])))


def _rate_panels(path: Any, **more: Any) -> go.Figure:
    """A panel for each rate, titled where there are several."""
    rates = path.rates[0]
    titles = [say("rate {rate}", rate=short(rate)) for rate in rates] if len(rates) > 1 else None
    return panels(cols=len(rates), titles=titles, shared_yaxes=True, horizontal_spacing=0.03, **more)


def curve_picture(path: Any) -> go.Figure:
    """A panel for each rate: the curve, and on it the steps of every path, with labels where there is room."""
    lines, count = lines_of(path), path.rates.shape[1]
    figure = _rate_panels(path, shared_xaxes="all")
    window = low, high, bottom, top = _window(path, lines, 0.12 * count)
    ground = curve(path.surface, low, high)
    for panel in range(count):
        here = [one for one in lines if one.rate == panel]
        named: list[Any] = []  # where steps have their names, of all paths: two that go together have one
        steps = [_steps(one, path.surface, window, NEAR * count, panel == 0 and len(here) > 1, named) for one in here]
        ends = [(np.clip(one.points[one.end, 0], low, high), np.clip(one.losses[one.end], bottom, top)) for one in here]
        figure.add_traces([*ground, *steps, crosses(here, ends, panel == 0)], rows=1, cols=panel + 1)
    dress(figure, 420, b=60)
    figure.update_xaxes(range=[low, high], title_text=path.surface.variables[0])
    return figure.update_yaxes(range=[bottom, top]).update_layout(yaxis_title_text=say("loss"))


def _window(path: Any, lines: list[Line], label: float) -> tuple[float, float, float, float]:
    """What is drawn: the surface's bounds, and as much more as the paths need, up to twice as much.

    Where nobody has given bounds, walls more than twice as high as the paths are left out, beside which nothing of a
    valley would be seen. A `label` beside a step needs so much of half the width.
    """
    (low, high), *_ = path.surface.bounds
    x = np.concatenate([one.points[: one.end + 1, 0] for one in lines])
    half = (high - low) / 2
    low = max(low - half, min(low, float(x.min()) - label * half))
    high = min(high + half, max(high, float(x.max()) + label * half))
    across = np.linspace(low, high, 401)
    values = path.surface(across[:, None])
    walked = np.concatenate([one.losses[: one.end + 1] for one in lines])[(x >= low) & (x <= high)]
    floor, peak = float(np.nanmin(values)), float(np.nanmax(walked, initial=-np.inf))
    seen = values <= peak + WALL * (peak - floor)
    if path.surface.bounds == USUAL and floor < peak < np.nanmax(values):
        low, high = max(low, float(across[seen].min())), min(high, float(across[seen].max()))
        values = values[(across >= low) & (across <= high)]
    room = 0.1 * (np.ptp(values[np.isfinite(values)]) or 1.0)
    return low, high, float(np.nanmin(values)) - room, float(np.nanmax(values)) + room


def _steps(
    steps: Line, surface: Any, window: Sequence[float], near: float, in_legend: bool, named: list[Any]
) -> go.Scatter:
    """The steps on the curve, each with its name where there is room, on the side away from the curve.

    Args:
        named: where other paths have names; those of this one are added.
    """
    low, high, bottom, top = window
    x, y = steps.points[:, 0], steps.losses
    at = np.stack([(x - low) / (high - low), 0.6 * (y - bottom) / (top - bottom)], axis=1)
    inside: Any = ((at >= 0) & (at <= [1, 0.6])).all(axis=1)
    labels: list[str] = [""] * len(x)
    rises = np.nan_to_num(surface.gradient(steps.points)[:, 0]) * (high - low) / (top - bottom)
    step = 0.02 * (high - low)  # in a valley names stand below the curve, on a hill above it: not between two paths
    bends = [float(surface([one + step]) + surface([one - step]) - 2 * surface([one])) for one in x]
    right = [rise > 0 if bend >= 0 else rise < 0 for rise, bend in zip(rises, bends, strict=True)]
    sides = [
        "bottom center" if abs(rise) < 0.3 else "middle right" if each else "middle left"
        for rise, each in zip(rises, right, strict=True)
    ]
    placed = np.empty((0, 2))
    for k in [0, steps.end, *range(1, min(steps.end, NAMED + 1))]:  # the ends first
        apart = np.abs(at[: steps.end + 1] - at[k]).max(axis=1)
        together = np.array([j for j in np.flatnonzero(apart < SAME) if steps.end <= 2 * NAMED or j <= NAMED or j == k])
        free = not len(placed) or np.abs(placed - at[k]).max(axis=1).min() > near
        if k == steps.end and not free and k not in np.flatnonzero(np.abs(at - at[0]).max(axis=1) < SAME):
            free, sides[k] = True, _OPPOSITE[sides[k]]  # the last one is named on the other side of the curve
        if inside[k] and free and all(np.abs(other - at[k]).max() > near for other in named):
            between = ", " if sides[k].endswith("center") else "<br>"
            labels[k], placed = between.join(subscripts(*together.tolist())), np.vstack([placed, at[k]])
    named += [*placed]
    style, font = replace(steps.style, dash="dot"), {"size": 13, "color": steps.style.colour}
    words = {"mode": "lines+markers+text", "text": labels, "textposition": sides, "textfont": font}
    legend = {"name": text(steps.label), "showlegend": in_legend, "legendgroup": steps.label}
    return line(x, y, style, 1, size=8, hover=hover(steps), **words, **legend)


def levels_picture(path: Any) -> go.Figure:
    """Level lines with the paths on them; a panel for each rate."""
    lines, count = lines_of(path), path.rates.shape[1]
    figure = _rate_panels(path)
    several = len({one.label for one in lines}) > 1
    for panel in range(count):
        here = [one for one in lines if one.rate == panel]
        walks = [_walk(one, panel == 0 and several) for one in here]
        ends = crosses(here, [_last_seen(one, path) for one in here], panel == 0)
        figure.add_traces([*levels(path.surface, panel == 0), *walks, _starts(path), ends], rows=1, cols=panel + 1)
    return dress(view(figure, path.surface), 110 + shape(path.surface.bounds, count), b=78)


def _walk(one: Line, in_legend: bool) -> go.Scatter:
    x, y = one.points.T
    return _named(one, x, y, sizes(one), in_legend, {"opacity": 1, "line": {"width": 0}})


def _named(one: Line, x: Any, y: Any, size: Any, in_legend: bool, marker: dict[str, Any]) -> go.Scatter:
    options = {"name": text(one.label), "legendgroup": one.label, "showlegend": in_legend, "marker": marker}
    return line(x, y, one.style, size=size, hover=hover(one), **options)


def _starts(path: Any) -> go.Scatter:
    hover, edge = [say("start {point}", point=point(one)) for one in path.starts], {"width": 2, "color": INK}
    x, y = path.starts.T
    return points(x, y, PAPER, 10, edge=edge, hover=hover, name=say("start"), showlegend=False)


def _last_seen(one: Line, path: Any) -> Any:
    """The last point of a path, or where the drawn ground ends in that direction."""
    sides = np.array(path.surface.bounds).T
    room = 0.015 * np.ptp(sides, axis=0)
    return np.clip(one.points[one.end], sides[0] + room, sides[1] - room)


def surface_picture(path: Any) -> go.Figure:
    """The surface as a sheet in space that can be turned, with the paths on it."""
    x, y, values = heights(path.surface, 81)
    low, high = float(np.nanmin(values)), float(np.nanquantile(values, 0.995))
    light = {"ambient": 0.75, "diffuse": 0.4, "specular": 0.05}
    sheet = {"colorscale": SURFACE, "showscale": False, "opacity": 0.92, "hoverinfo": "skip", "lighting": light}
    figure = go.Figure(go.Surface(x=x, y=y, z=np.minimum(values, high), surfacecolor=ranks(values), **sheet))
    lines, sides = lines_of(path, panels=False), np.array(path.surface.bounds).T
    for one in lines:
        inside = ((one.points >= sides[0]) & (one.points <= sides[1])).all(axis=1) & (one.losses <= high)
        z, tint = np.where(inside, one.losses + 0.012 * (high - low), np.nan), one.style.colour
        style = {"mode": "lines+markers", "line": {"color": tint, "width": 6}, "marker": {"size": 3, "color": tint}}
        words = {"name": text(one.label), "hovertext": hover(one), "hoverinfo": "text", "showlegend": len(lines) > 1}
        figure.add_scatter3d(x=one.points[:, 0], y=one.points[:, 1], z=z, **style, **words)
    titles = zip("xyz", (*path.surface.variables, say("loss")), strict=True)
    scene = {f"{side}axis": {"title": {"text": name}, "nticks": 6} for side, name in titles}
    eye = {"camera": {"eye": {"x": -1.25, "y": -1.35, "z": 0.95}}, "aspectratio": {"x": 1.2, "y": 1.2, "z": 0.75}}
    return dress(figure, 560, l=0, r=0, b=60).update_layout(scene=scene | eye, dragmode="orbit")


def losses_picture(path: Any) -> go.Figure:
    """The loss after each step; a logarithmic axis where all losses are positive."""
    figure = go.Figure([_fall(one, True) for one in lines_of(path, panels=False)])
    _loss_axis(figure, path)
    figure.update_xaxes(title_text=say("step"), rangemode="tozero").update_yaxes(title_text=say("loss"))
    return dress(figure, 420, b=90)


def _fall(one: Line, in_legend: bool) -> go.Scatter:
    steps = np.arange(len(one.losses))
    size = [7 if k % -(-len(steps) // 8) == 0 else 0 for k in steps]
    return _named(one, steps, one.losses, size, in_legend, {"line": {"width": 0}})


def _loss_axis(figure: go.Figure, path: Any, **where: int) -> None:
    losses = path.all_losses[np.isfinite(path.all_losses)]
    if len(path.surface.variables) == 2:  # a surface without a bottom is followed as far as it is drawn
        ground = heights(path.surface, 41)[2]
        losses = losses[losses >= float(np.nanmin(ground)) - 0.1 * float(np.ptp(ground[np.isfinite(ground)]))]
    positive = losses[losses > 0] if losses.min() == 0 else losses  # where a descent has come to 0 exactly
    low = float(positive.min(initial=np.inf))
    high = min(float(losses.max()), 1e3 * float(np.nanmax(path.all_losses[..., 0])))
    if low > 0:
        low = max(low, 1e-8 * high)
        figure.update_yaxes(**log_axis(low, high, most=6), **where)
        figure.update_yaxes(range=[np.log10(low / 1.5), np.log10(high * 1.5)], **where)
    else:
        room = 0.05 * (high - low or 1.0)
        figure.update_yaxes(range=[low - room, high + room], **where)


def race_picture(path: Any, frames: int = 60, groups: Mapping[str, Sequence[str]] | None = None) -> go.Figure:
    """All paths run side by side, on the level lines and, beside them, down the loss; moves when it is played.

    Args:
        frames: at most so many, evenly spaced over the steps.
        groups: title → optimizers; each has level lines of its own, and its losses below them.
    """
    lines = lines_of(path, panels=False)
    teams = _teams(lines, path.optimizers, groups)
    beside = {"column_widths": [0.62, 0.38], "horizontal_spacing": 0.09}
    below = {"row_heights": [0.6, 0.4], "shared_yaxes": True, "horizontal_spacing": 0.05, "vertical_spacing": 0.13}
    titles = [bold(say(title)) for title in groups] if groups else None
    figure = panels(2, len(teams), titles, **below) if titles else panels(cols=2, **beside)
    falls = {"row": 2} if titles else {"row": 1, "col": 2}
    bounds = _sight(lines, path)
    dress(figure, (330 if titles else 110) + max(300, shape(bounds, len(teams), 740 if titles else 440)), b=120)
    moving: dict[int, Callable[[int], go.Scatter]] = {}  # the place of a trace → what it is by a step
    for column, team in enumerate(teams, 1):
        ground, rings = levels(path.surface, column == 1, bounds)
        rings.update(marker={"size": 17, "color": INK, "line": {"color": INK, "width": 2}})
        x, y = path.starts.T
        towards = np.nanmean([one.points[: one.end + 1].mean(axis=0) for one in team], axis=0)[1]
        sides = [_away(here, bounds, towards) for here in path.starts]
        named = words(x, y, [f"  {say('start')}  "] * len(x), MUTED, textposition=sides)
        figure.add_traces([ground, named, _starts(path)], rows=1, cols=column)
        for one in team:
            moving[len(figure.data)] = partial(_so_far, *one.points.T, one.end, 10.0)
            figure.add_trace(_walk(one, True).update(line={"width": THIN}), row=1, col=column)
        for one in team:
            moving[len(figure.data)] = partial(_so_far, np.arange(len(one.losses)), one.losses, one.end, 8.0)
            figure.add_trace(_fall(one, False).update(line={"width": THIN}), **({"col": column} | falls))
        moving[len(figure.data)] = partial(_ruined, team, path)
        ends = [_last_seen(one, path) for one in team]
        figure.add_traces([crosses(team, ends, column == 1), rings], rows=1, cols=column)
    view(figure, path.surface, bounds, equal=False, row=1, **({} if titles else {"col": 1}))
    if titles:
        figure.update_yaxes(title_text="", row=1).update_yaxes(title_text=path.surface.variables[1], row=1, col=1)
    figure.update_xaxes(title_text=say("step"), range=[0, path.steps], **falls)
    figure.update_yaxes(title_text=say("loss"), **(falls | {"col": 1} if titles else falls))
    _loss_axis(figure, path, **falls)
    steps = np.unique(np.linspace(0, path.steps, min(frames, path.steps + 1)).round().astype(int))
    moments = [
        go.Frame(name=str(step), data=[trace(int(step)) for trace in moving.values()], traces=[*moving])
        for step in steps
    ]
    return animated(figure, moments)


def _away(start: np.ndarray, bounds: Any, towards: float) -> str:
    """Where the word of a start stands: where the picture has room, away from the height that paths go towards."""
    right = start[0] > sum(bounds[0]) / 2
    return f"{'bottom' if towards > start[1] else 'top'} {'left' if right else 'right'}"


THIN = 1.6  # pixels of a line among many


def _teams(lines: list[Line], names: Sequence[str], groups: Mapping[str, Sequence[str]] | None) -> list[list[Line]]:
    """The paths of each group; without groups, all."""
    if not groups:
        return [lines]
    given = [name for team in groups.values() for name in team]
    if sorted(given) != sorted(names):
        raise ValueError(f"groups have {', '.join(given)}; give each of {', '.join(names)} once.")
    return [[one for one in lines if one.optimizer in team] for team in groups.values()]


def _sight(lines: list[Line], path: Any) -> Any:
    """The surface's bounds, and up to a quarter more for paths that come back into them."""
    low, high = np.array(path.surface.bounds).T
    whole = [one.points[: one.end + 1] for one in lines]
    points = np.concatenate([np.stack([low, high]), *(w for w in whole if ((low <= w[-1]) & (w[-1] <= high)).all())])
    edge, most = 0.03 * (high - low), (high - low) / 4
    least, greatest = points.min(axis=0), points.max(axis=0)
    left = np.where(least < low, np.maximum(least - edge, low - most), low)
    right = np.where(greatest > high, np.minimum(greatest + edge, high + most), high)
    return list(zip(left.tolist(), right.tolist(), strict=True))


def _so_far(x: np.ndarray, y: np.ndarray, end: int, size: float, step: int) -> go.Scatter:
    """A walk or a fall up to a step, with a mark at its end."""
    last = min(step, end)
    return go.Scatter(x=_single(x[: last + 1]), y=_single(y[: last + 1]), marker={"size": [0.0] * last + [size]})


def _ruined(lines: list[Line], path: Any, step: int) -> go.Scatter:
    lost = [_last_seen(one, path) for one in lines if 0 <= one.diverged <= step]
    return go.Scatter(x=[at[0] for at in lost], y=[at[1] for at in lost])


def _single(values: np.ndarray) -> np.ndarray:
    """Single precision: enough for a picture, half the page."""
    return values.astype(np.float32) if values.dtype.kind == "f" else values


KINDS: Mapping[str, Callable[..., go.Figure]] = {
    "curve": curve_picture,
    "levels": levels_picture,
    "surface": surface_picture,
    "losses": losses_picture,
    "race": race_picture,
    "arrows": arrows_picture,
    "lookahead": lookahead_picture,
}
