"""The secant through two points of a curve, turning into the tangent as the second point comes near."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import plotly.graph_objects as go

from .moving import animated
from .numbers import short
from .style import BLUE, INK, MUTED, VERMILION, dress, text

FRAMES = 33
STILL = 4  # the frame that stands where nothing moves


def secant(
    x: np.ndarray,
    y: np.ndarray,
    at: float,
    slope: float,
    h: float,
    along: Callable[[np.ndarray], np.ndarray],
    title: str,
    name: str = "x",
) -> go.Figure:
    """A curve, its tangent in grey, and the secant from `at` to `at + h` for h shrinking to 0.

    Args:
        x, y: (points,) of the curve.
        at, slope: where the tangent touches, and how steep it is.
        h: how far away the second point is at first, either way.
        along: the curve's values at other places.
        title: the curve's formula.
        name: what is on the axis.
    """
    here = float(along(np.array([at]))[0])
    distances = np.append(h * np.geomspace(1, 0.01, FRAMES - 1), 0.0)
    ends = along(at + distances)
    distances, ends = distances[np.isfinite(ends)], ends[np.isfinite(ends)]
    wide = np.array([x[0], x[-1]])

    def moving(place: int) -> list[go.Scatter]:
        d, end = distances[place], ends[place]
        steep = (end - here) / d if d else slope
        return [
            go.Scatter(x=wide, y=here + steep * (wide - at), name="secant", **_line(VERMILION)),
            go.Scatter(
                x=[at, at + d, at + d], y=[here, here, end], name="h, f(x + h) − f(x)", **_line(VERMILION, 1.4, "dot")
            ),
            go.Scatter(
                x=[at, at + d],
                y=[here, end],
                mode="markers",
                showlegend=False,
                hoverinfo="skip",
                marker={"color": VERMILION, "size": 9},
            ),
            go.Scatter(
                x=[x[0]],
                y=[top],
                mode="text",
                textposition="bottom right",
                showlegend=False,
                hoverinfo="skip",
                text=[
                    f"h = {short(float(f'{d:.2g}'))}, slope {short(steep)}"
                    if d
                    else f"h → 0, slope {short(slope)}: the derivative"
                ],
                textfont={"color": INK, "size": 15},
            ),
        ]

    spread = max(float(np.abs(ends - here).max()), abs(slope * h))
    y = np.where(np.isfinite(y) & (np.abs(y - here) <= 8 * (spread or 1.0)), y, np.nan)  # apart at a pole
    low, top = _range(y, here, spread)
    curve = go.Scatter(x=x, y=y, name=f"f({text(name)})", **_line(BLUE, 2.4))
    tangent = go.Scatter(x=wide, y=here + slope * (wide - at), name="tangent", **_line(MUTED, 1.6, "dash"))
    figure = go.Figure([curve, tangent, *moving(min(STILL, len(distances) - 1))])
    dress(figure, height=500)
    figure.update_yaxes(range=[low, top])
    figure.update_xaxes(range=[x[0], x[-1]], title_text=text(name))
    heading = {"text": f"f({text(name)}) = {text(title)}", "x": 0, "xref": "paper", "font": {"size": 14}}
    figure.update_layout(title=heading, margin={"l": 8, "r": 8, "t": 48, "b": 90})
    frames = [
        go.Frame(data=moving(place), name=short(float(f"{d:.2g}")), traces=[2, 3, 4, 5])
        for place, d in enumerate(distances)
    ]
    animated(figure, frames, "h =")
    return figure.update_layout(sliders=[{"active": min(STILL, len(distances) - 1)}])


def _line(colour: str, width: float = 2.0, dash: str = "solid") -> dict[str, object]:
    return {"mode": "lines", "line": {"color": colour, "width": width, "dash": dash}, "hoverinfo": "skip"}


def _range(y: np.ndarray, here: float, spread: float) -> tuple[float, float]:
    """The curve's, but at most a few times what the secant covers: a pole may not flatten the rest."""
    low, high = max(float(np.nanmin(y)), here - 2.5 * spread), min(float(np.nanmax(y)), here + 2.5 * spread)
    room = 0.1 * (high - low or 1.0)
    return low - room, high + 2 * room
