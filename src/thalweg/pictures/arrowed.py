"""What happens in a step: gradient, momentum, second moment and update as arrows, and Nesterov's lookahead."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from ..language import say
from .descent import point
from .ground import levels, shape, view
from .layout import bold, dress, panels
from .marks import arrows, line, points
from .style import BLACK, BLUE, GREEN, INK, MUTED, ORANGE, PURPLE, SKY, VERMILION, Style

LONGEST = 0.22  # of the drawn width: the longest arrow of each kind
_OTHERS = (SKY, GREEN, VERMILION)


def arrows_picture(path: Any, at: Sequence[int] = (0, 2, 5, 10)) -> go.Figure:
    """At some steps of each rule's first path: downhill, what the rule remembers, and the update it makes of both.

    A state that is never negative is an average of squares; its root is drawn. Each kind of arrow is scaled to its
    longest, because their units differ.

    Args:
        at: the steps.
    """
    count = len(path.optimizers)
    titles = [bold(name) for name in path.optimizers] if count > 1 else None
    figure = panels(cols=count, titles=titles, shared_yaxes=True, horizontal_spacing=0.03)
    longest = LONGEST * float(np.ptp(path.surface.bounds[0]))
    labels: set[str] = set()
    for o, name in enumerate(path.optimizers):
        places = path.all_points[0, o, 0]
        steps = [k for k in at if k < len(places) - 1 and np.isfinite(places[k + 1]).all()]
        size = [6 if k in steps else 0 for k in range(len(places))]
        more = {"marker": {"color": INK}, "name": "path", "showlegend": False, "hoverinfo": "skip"}
        traces = [*levels(path.surface), line(places[:, 0], places[:, 1], MUTED, 1.2, size=size, **more)]
        for label, (vectors, tint) in _vectors(path, o, name).items():
            length = float(np.linalg.norm(vectors[steps], axis=1).max()) if steps else 0.0
            if length > 0:
                heads = places[steps] + longest * vectors[steps] / length
                more = {"legendgroup": label, "showlegend": label not in labels}
                traces.append(arrows(places[steps], heads, tint, label, **more))
                labels.add(label)
        figure.add_traces(traces, rows=1, cols=o + 1)
    return dress(view(figure, path.surface), 110 + shape(path.surface, count), b=78)


def _vectors(path: Any, o: int, name: str) -> dict[str, tuple[np.ndarray, str]]:
    """Label → (steps, 2) and a colour; states as they are after the step."""
    vectors = {say("downhill, −gradient"): (-path.all_gradients[0, o, 0, :-1], BLACK)}
    tints = iter(_OTHERS)
    for state, values in path.all_states[name].items():
        after = values[0, 0, 1:]
        if (np.nan_to_num(after) >= 0).all() and np.nansum(after) > 0:
            vectors["root of the second moment"] = (np.sqrt(after), PURPLE)
        elif say("momentum, downhill") not in vectors:
            gradients = np.nansum(after[0] * path.all_gradients[0, o, 0, 0]) > 0  # a rule may also sum up its steps
            vectors["momentum, downhill"] = (-after if gradients else after, ORANGE)
        else:
            vectors[f"state {state}"] = (after, next(tints, MUTED))
    vectors["update"] = (np.diff(path.all_points[0, o, 0], axis=0), BLUE)
    return vectors


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
    ends = np.array([end for s in steps for end in (s.here, s.here + s.jump, s.new, s.lookahead + s.slope)])
    half = 0.62 * float(np.ptp(ends, axis=0).max())
    bounds = [(float(m - half), float(m + half)) for m in (ends.min(axis=0) + ends.max(axis=0)) / 2]
    for o, step in enumerate(steps):
        before = path.all_points[0, o, 0, : at + 1]
        traces = [*levels(path.surface, bounds=bounds), *_parts(step, before, o == 0)]
        figure.add_traces(traces, rows=1, cols=o + 1)
    return dress(view(figure, path.surface, bounds, equal=False), 470, b=96)


@dataclass(frozen=True)
class Step:
    """Where a step begins, where its gradient is taken, where it ends; its parts that are momentum and gradient."""

    here: np.ndarray
    lookahead: np.ndarray
    new: np.ndarray
    jump: np.ndarray
    slope: np.ndarray


def _step(path: Any, o: int, at: int) -> Step:
    here, new = path.all_points[0, o, 0, at], path.all_points[0, o, 0, at + 1]
    slope = -path.all_rates[o, 0, at] * path.all_gradients[0, o, 0, at]
    return Step(here, path.all_looks[0, o, 0, at], new, new - here - slope, slope)


def _parts(step: Step, before: np.ndarray, in_legend: bool) -> list[go.Scatter]:
    here, ahead, legend = step.here, step.lookahead, {"showlegend": in_legend}
    ring, name = Style(VERMILION, marker="circle-open"), {"name": say("where g is taken"), "legendgroup": "look"}
    return [
        line(before[:, 0], before[:, 1], MUTED, 1.2, showlegend=False, hoverinfo="skip"),
        arrows([here], [here + step.jump], ORANGE, say("momentum, μ·a"), legendgroup="jump", **legend),
        arrows(
            [ahead], [ahead + step.slope], BLACK, say("−η·g, drawn where g is taken"), legendgroup="slope", **legend
        ),
        arrows([here], [step.new], Style(BLUE, "dash"), say("update: the sum of both"), legendgroup="update", **legend),
        points(here[:1], here[1:], INK, 9, hover=[point(here)], showlegend=False),
        points(ahead[:1], ahead[1:], ring, 13, edge={"width": 2}, hoverinfo="name", **name, **legend),
    ]
