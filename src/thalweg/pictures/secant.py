"""The secant through two points of a curve, turning into the tangent as the second point comes near."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import plotly.graph_objects as go

from ..language import say
from .layout import dress
from .marks import line, points, words
from .moving import animated
from .numbers import short
from .style import BLUE, MUTED, VERMILION, Style, text

FRAMES = 33
STILL = 4  # the frame that stands where nothing moves
SILENT = {"hoverinfo": "skip"}
DOTTED = Style(VERMILION, "dot")


Function = Callable[[np.ndarray], np.ndarray]


def secant(along: Function, at: float, slope: float, h: float, title: str, name: str) -> go.Figure:
    """A curve, its tangent in grey, and the secant from `at` to `at + h` for h shrinking to 0.

    Args:
        along: the curve's values at places (points,).
        at, slope: where the tangent touches, and how steep it is.
        h: how far away the second point is at first, either way.
        title: the curve's formula.
        name: what is on the axis.
    """
    x = np.linspace(at - 1.6 * abs(h), at + 1.6 * abs(h), 401)
    y, here = along(x), float(along(np.array([at]))[0])
    distances = np.append(h * np.geomspace(1, 0.01, FRAMES - 1), 0.0)
    ends = along(at + distances)
    distances, ends = distances[np.isfinite(ends)], ends[np.isfinite(ends)]
    wide = np.array([x[0], x[-1]])

    def moving(place: int) -> list[go.Scatter]:
        d, end = distances[place], ends[place]
        steep = (end - here) / d if d else slope
        label = (
            say("h = {d}, slope {steep}", d=_two(d), steep=short(steep))
            if d
            else say("h → 0, slope {slope}: the derivative", slope=short(slope))
        )
        return [
            line(wide, here + steep * (wide - at), VERMILION, 2.0, name=say("secant"), **SILENT),
            line([at, at + d, at + d], [here, here, end], DOTTED, 1.4, name="h, f(x + h) − f(x)", **SILENT),
            points([at, at + d], [here, end], VERMILION, 9, showlegend=False, **SILENT),
            words([x[0]], [top], [label], size=15, textposition="bottom right"),
        ]

    spread = max(float(np.abs(ends - here).max()), abs(slope * h))
    y = np.where(np.isfinite(y) & (np.abs(y - here) <= 8 * (spread or 1.0)), y, np.nan)  # apart at a pole
    low, top = _range(y, here, spread)
    curve = line(x, y, BLUE, 2.4, name=f"f({text(name)})", **SILENT)
    tangent = line(wide, here + slope * (wide - at), Style(MUTED, "dash"), 1.6, name=say("tangent"), **SILENT)
    still = min(STILL, len(distances) - 1)
    figure = dress(go.Figure([curve, tangent, *moving(still)]), 500, f"f({name}) = {title}", t=48, b=90)
    figure.update_yaxes(range=[low, top]).update_xaxes(range=[x[0], x[-1]], title_text=text(name))
    frames = [go.Frame(data=moving(k), name=_two(d), traces=[2, 3, 4, 5]) for k, d in enumerate(distances)]
    return animated(figure, frames, "h =", still)


def _two(value: float) -> str:
    """At most two digits."""
    return short(float(f"{value:.2g}"))


def _range(y: np.ndarray, here: float, spread: float) -> tuple[float, float]:
    """The curve's, but at most a few times what the secant covers: a pole may not flatten the rest."""
    low, high = max(float(np.nanmin(y)), here - 2.5 * spread), min(float(np.nanmax(y)), here + 2.5 * spread)
    room = 0.1 * (high - low or 1.0)
    return low - room, high + 2 * room
