"""What happens in a step: gradient, momentum, second moment and update as arrows, and Nesterov's look ahead."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from .ground import levels, shape, view
from .style import BLACK, BLUE, GREEN, INK, MUTED, ORANGE, PURPLE, SKY, VERMILION, dress, text
from .walked import Walked, arrows, point

LONGEST = 0.22  # of the drawn width: the longest arrow of each kind
_OTHERS = (SKY, GREEN, VERMILION)


def arrows_picture(path: Walked, at: Sequence[int] = (0, 2, 5, 10)) -> go.Figure:
    """At some steps of each rule's first path: downhill, what the rule remembers, and the update it makes of both.

    A state that is never negative is an average of squares; its root is drawn. Each kind of arrow is scaled to its
    longest, because their units differ.

    Args:
        at: the steps.
    """
    figure = make_subplots(
        cols=len(path.optimizers),
        shared_yaxes=True,
        horizontal_spacing=0.03,
        subplot_titles=[f"<b>{text(name)}</b>" for name in path.optimizers] if len(path.optimizers) > 1 else None,
    )
    figure.update_annotations(font={"size": 13, "color": INK})
    wide = float(np.ptp(path.surface.bounds[0]))
    shown: set[str] = set()
    for o, name in enumerate(path.optimizers):
        points = path.all_points[0, o, 0]
        steps = [k for k in at if k < len(points) - 1 and np.isfinite(points[k + 1]).all()]
        figure.add_traces(levels(path.surface), rows=1, cols=o + 1)
        line = {"color": MUTED, "width": 1.2}
        figure.add_trace(
            go.Scatter(
                x=points[:, 0],
                y=points[:, 1],
                mode="lines+markers",
                line=line,
                name="path",
                marker={"size": [6 if k in steps else 0 for k in range(len(points))], "color": INK},
                showlegend=False,
                hoverinfo="skip",
            ),
            row=1,
            col=o + 1,
        )
        for label, (vectors, tint) in _vectors(path, o, name).items():
            kept = vectors[steps]
            longest = float(np.linalg.norm(kept, axis=1).max()) if len(kept) else 0.0
            if longest > 0:
                heads = points[steps] + LONGEST * wide * kept / longest
                trace = arrows(points[steps], heads, tint, label, legendgroup=label, showlegend=label not in shown)
                figure.add_trace(trace, row=1, col=o + 1)
                shown.add(label)
    dress(view(figure, path.surface), 110 + shape(path.surface, len(path.optimizers)))
    for o in range(len(path.optimizers)):
        figure.update_yaxes(scaleanchor=f"x{o + 1 if o else ''}", row=1, col=o + 1)
    if len(path.optimizers) > 1:
        figure.update_yaxes(title_text="")
        figure.update_yaxes(title_text=path.surface.variables[1], row=1, col=1)
    return figure.update_layout(margin={"l": 8, "r": 8, "b": 78})


def _vectors(path: Walked, o: int, name: str) -> dict[str, tuple[np.ndarray, str]]:
    """Label → (steps, 2) and a colour; states as they are after the step."""
    found = {"downhill, −gradient": (-path.all_gradients[0, o, 0, :-1], BLACK)}
    tints = iter(_OTHERS)
    for state, values in path.all_states[name].items():
        after = values[0, 0, 1:]
        squares = bool((np.nan_to_num(after) >= 0).all()) and bool((np.nan_to_num(after) > 0).any())
        if squares:
            found["root of the second moment"] = (np.sqrt(after), PURPLE)
        elif "momentum, downhill" not in found:
            downhill = _sign(path, o, after)
            found["momentum, downhill"] = (downhill * after, ORANGE)
        else:
            found[f"state {state}"] = (after, next(tints, MUTED))
    found["update"] = (np.diff(path.all_points[0, o, 0], axis=0), BLUE)
    return found


def _sign(path: Walked, o: int, state: np.ndarray) -> float:
    """−1 where a rule accumulates gradients, 1 where it accumulates steps."""
    along = np.nansum(state[0] * path.all_gradients[0, o, 0, 0])
    return -1.0 if along > 0 else 1.0


def lookahead_picture(path: Walked, at: int = 1) -> go.Figure:
    """One step of each rule taken apart: where momentum leads, and the gradient step that is added there.

    A rule that looks ahead takes its gradient at the end of the first arrow; one that does not, at the beginning.

    Args:
        at: the step.
    """
    count = len(path.optimizers)
    figure = make_subplots(
        cols=count,
        shared_yaxes=True,
        shared_xaxes="all",
        horizontal_spacing=0.04,
        subplot_titles=[f"<b>{text(name)}</b>" for name in path.optimizers],
    )
    figure.update_annotations(font={"size": 13, "color": INK})
    steps = [_step(path, o, at) for o in range(count)]
    seen = np.array(
        [one for step in steps for one in (step.here, step.here + step.jump, step.new, step.look + step.slope)]
    )
    half = 0.62 * float(np.ptp(seen, axis=0).max())
    bounds = [(float(m - half), float(m + half)) for m in (seen.min(axis=0) + seen.max(axis=0)) / 2]
    for o, step in enumerate(steps):
        before = path.all_points[0, o, 0, : at + 1]
        figure.add_traces(
            [*levels(path.surface, bounds=bounds), *_taken_apart(step, before, o == 0)], rows=1, cols=o + 1
        )
    dress(figure, 470)
    figure.update_xaxes(range=list(bounds[0]), title_text=path.surface.variables[0], showgrid=False)
    figure.update_yaxes(range=list(bounds[1]), showgrid=False)
    figure.update_yaxes(title_text=path.surface.variables[1], row=1, col=1)
    return figure.update_layout(margin={"l": 8, "r": 8, "b": 96})


@dataclass(frozen=True)
class Step:
    """Where a step begins, where its gradient is taken, where it ends; its parts that are momentum and gradient."""

    here: np.ndarray
    look: np.ndarray
    new: np.ndarray
    jump: np.ndarray
    slope: np.ndarray


def _step(path: Walked, o: int, at: int) -> Step:
    here, new = path.all_points[0, o, 0, at], path.all_points[0, o, 0, at + 1]
    slope = -path.all_rates[o, 0, at] * path.all_gradients[0, o, 0, at]
    return Step(here, path.all_looks[0, o, 0, at], new, new - here - slope, slope)


def _taken_apart(step: Step, before: np.ndarray, shown: bool) -> list[go.Scatter]:
    here, look = step.here, step.look
    ring = {"color": VERMILION, "size": 13, "symbol": "circle-open", "line": {"width": 2}}
    return [
        go.Scatter(
            x=before[:, 0],
            y=before[:, 1],
            mode="lines",
            line={"color": MUTED, "width": 1.2},
            showlegend=False,
            hoverinfo="skip",
        ),
        arrows([here], [here + step.jump], ORANGE, "momentum, μ·a", showlegend=shown, legendgroup="jump"),
        arrows(
            [look], [look + step.slope], BLACK, "−η·g, drawn where g is taken", showlegend=shown, legendgroup="slope"
        ),
        arrows(
            [here],
            [step.new],
            BLUE,
            "update: the sum of both",
            showlegend=shown,
            legendgroup="update",
            line={"dash": "dash"},
        ),
        go.Scatter(
            x=here[:1],
            y=here[1:],
            mode="markers",
            marker={"color": INK, "size": 9},
            showlegend=False,
            hovertext=[point(here)],
            hoverinfo="text",
        ),
        go.Scatter(
            x=look[:1],
            y=look[1:],
            mode="markers",
            name="where g is taken",
            showlegend=shown,
            marker=ring,
            legendgroup="look",
            hoverinfo="name",
        ),
    ]
