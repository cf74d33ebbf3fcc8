"""What happens in a step: gradient, momentum, second moment and update as arrows, and Nesterov's lookahead."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from ..language import mark, say
from .descent import point
from .ground import levels, shape, view
from .layout import bold, dress, panels
from .marks import arrows, line, points
from .style import BLACK, BLUE, GREEN, INK, MUTED, ORANGE, PURPLE, SKY, VERMILION, Style

LONGEST = 0.22  # of the drawn width: the longest arrow of each kind
_SCALE = mark("root of the second moment, along each coordinate")
_OTHERS = (SKY, GREEN, VERMILION)


def arrows_picture(path: Any, at: Sequence[int] = (0, 2, 5, 10)) -> go.Figure:
    """At some steps of each rule's first path: downhill, what the rule remembers, and the update it makes of both.

    A state that is never negative is an average of squares; its root is a scale of each coordinate and no direction,
    so it is drawn as a cross. Each kind is scaled to its longest, because their units differ.

    Args:
        at: the steps.
    """
    count = len(path.optimizers)
    titles = [bold(name) for name in path.optimizers] if count > 1 else None
    figure = panels(cols=count, titles=titles, shared_yaxes=True, horizontal_spacing=0.03)
    longest = LONGEST * float(np.ptp(path.surface.bounds[0]))
    labels: set[str] = set()
    drawn: list[list[go.Scatter]] = []
    for o, name in enumerate(path.optimizers):
        places = path.all_points[0, o, 0]
        steps = [k for k in at if k < len(places) - 1 and np.isfinite(places[k + 1]).all()]
        size = [6 if k in steps else 0 for k in range(len(places))]
        more = {"marker": {"color": INK}, "name": say("path"), "showlegend": False, "hoverinfo": "skip"}
        traces = [line(places[:, 0], places[:, 1], MUTED, 1.2, size=size, **more)]
        for label, (vectors, style) in _vectors(path, o, name).items():
            length = float(np.linalg.norm(vectors[steps], axis=1).max()) if steps else 0.0
            if length > 0:
                heads = places[steps] + longest * vectors[steps] / length
                more = {"legendgroup": label, "showlegend": label not in labels}
                mark_of = _crosses if label == say(_SCALE) else arrows
                traces.append(mark_of(places[steps], heads, name=label, **style, **more))
                labels.add(label)
        drawn.append(traces)
    bounds = _around([trace for traces in drawn for trace in traces[1:]])
    for o, traces in enumerate(drawn):
        figure.add_traces([*levels(path.surface, bounds=bounds), *traces], rows=1, cols=o + 1)
    return dress(view(figure, path.surface, bounds), 110 + shape(bounds, count), b=78)


def _around(traces: Sequence[Any]) -> list[tuple[float, float]]:
    """Where the traces are, with some room, and at least half as high as wide or wide as high."""
    seen = np.array([np.concatenate([np.array(trace[side], dtype=float) for trace in traces]) for side in "xy"])
    low, high = np.nanmin(seen, axis=1), np.nanmax(seen, axis=1)
    half, middle = 0.58 * np.maximum(high - low, (high - low).max() / 2), (low + high) / 2
    return [(float(m - h), float(m + h)) for m, h in zip(middle, half, strict=True)]


def _crosses(centres: np.ndarray, corners: np.ndarray, name: str, **more: Any) -> go.Scatter:
    """A bar along each coordinate, from as far below the centre as the corner is above it."""
    half = (corners - centres)[:, None, :, None] * np.eye(2) / 2  # (crosses, 1, bars, 2)
    bars = np.stack([centres[:, None] - half[:, 0], centres[:, None] + half[:, 0]], axis=2)
    gaps = np.full_like(bars[:, :, :1], np.nan)
    x, y = np.concatenate([bars, gaps], axis=2).reshape(-1, 2).T
    return line(x, y, name=name, hoverinfo="name", opacity=0.55, **more)


def _vectors(path: Any, o: int, name: str) -> dict[str, tuple[np.ndarray, dict[str, Any]]]:
    """Label → (steps, 2) and how it is drawn, the lowest first; states as they are after the step."""
    vectors: dict[str, tuple[np.ndarray, dict[str, Any]]] = {}
    tints = iter(_OTHERS)
    for state, values in path.all_states[name].items():
        after = values[0, 0, 1:]
        if (np.nan_to_num(after) >= 0).all() and np.nansum(after) > 0:
            vectors[say(_SCALE)] = (np.sqrt(after), {"style": PURPLE, "width": 5})
        elif say("momentum, downhill") not in vectors:
            gradients = np.nansum(after[0] * path.all_gradients[0, o, 0, 0]) > 0  # a rule may also sum up its steps
            vectors[say("momentum, downhill")] = (-after if gradients else after, {"style": ORANGE, "width": 4.5})
        else:
            vectors[say("state {state}", state=state)] = (after, {"style": next(tints, MUTED)})
    vectors[say("downhill, −gradient")] = (-path.all_gradients[0, o, 0, :-1], {"style": BLACK})
    return vectors | {say("update"): (np.diff(path.all_points[0, o, 0], axis=0), {"style": BLUE})}


def lookahead_picture(path: Any, at: int = 1) -> go.Figure:
    """One step of each rule taken apart: where momentum leads, and the gradient step that is added there.

    A rule that looks ahead takes its gradient at the end of the first arrow; one that does not, at the beginning.

    Args:
        at: the step.
    """
    count = len(path.optimizers)
    titles = [bold(name) for name in path.optimizers]
    figure = panels(cols=count, titles=titles, shared_yaxes=True, shared_xaxes="all", horizontal_spacing=0.04)
    steps = [_step(path, o, at) for o in range(count)]
    ends = np.array([e for here, at, new, jump, slope in steps for e in (here, here + jump, new, at + slope)])
    half = 0.62 * float(np.ptp(ends, axis=0).max())
    bounds = [(float(m - half), float(m + half)) for m in (ends.min(axis=0) + ends.max(axis=0)) / 2]
    for o, step in enumerate(steps):
        before = path.all_points[0, o, 0, : at + 1]
        traces = [*levels(path.surface, bounds=bounds), *_parts(step, before, o == 0)]
        figure.add_traces(traces, rows=1, cols=o + 1)
    return dress(view(figure, path.surface, bounds, equal=False), 470, b=96)


def _step(path: Any, o: int, at: int) -> tuple[np.ndarray, ...]:
    """Where a step begins, where its gradient is taken, where it ends; its parts that are momentum and gradient."""
    here, new = path.all_points[0, o, 0, at], path.all_points[0, o, 0, at + 1]
    slope = -path.all_rates[o, 0, at] * path.all_gradients[0, o, 0, at]
    return here, path.all_looks[0, o, 0, at], new, new - here - slope, slope


def _parts(step: Sequence[np.ndarray], before: np.ndarray, in_legend: bool) -> list[go.Scatter]:
    (here, ahead, new, jump, slope), legend = step, {"showlegend": in_legend}
    ring, name = Style(VERMILION, marker="circle-open"), {"name": say("where g is taken"), "legendgroup": "look"}
    return [
        line(before[:, 0], before[:, 1], MUTED, 1.2, showlegend=False, hoverinfo="skip"),
        arrows([here], [here + jump], ORANGE, say("momentum, μ·a"), legendgroup="jump", **legend),
        arrows([ahead], [ahead + slope], BLACK, say("−η·g, drawn where g is taken"), legendgroup="slope", **legend),
        arrows([here], [new], Style(BLUE, "dash"), say("update: the sum of both"), legendgroup="update", **legend),
        points(here[:1], here[1:], INK, 9, hover=[point(here)], showlegend=False),
        points(ahead[:1], ahead[1:], ring, 13, edge={"width": 2}, hoverinfo="name", **name, **legend),
    ]
