"""What all pictures of descents share: labels, styles, notes, marks.

A `path` in these pictures is what `tw.descend` gives: points, losses, gradients and states of descents on a surface by
start, optimizer, rate and step.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import plotly.graph_objects as go

from ..language import say
from .marks import DIVERGED, points
from .numbers import short
from .style import PAPER, Style, plain_styles, styles

MARKED = 40  # steps, up to which each of them has a marker


@dataclass(frozen=True)
class Line:
    """One path of a descent.

    Attributes:
        label: what tells it from the others: optimizer, rate, start.
        optimizer: its label.
        style: how it is drawn.
        rate: which of the rates, for pictures with a panel for each.
        points: (steps + 1, dimensions), NaN from divergence on.
        losses: (steps + 1,).
        diverged: the step of divergence, or −1.
    """

    label: str
    optimizer: str
    style: Style
    rate: int
    points: np.ndarray
    losses: np.ndarray
    diverged: int

    @property
    def end(self) -> int:
        """The last step that has a point."""
        return len(self.points) - 1 if self.diverged < 0 else max(0, self.diverged - 1)


def lines_of(path: Any, panels: bool = True) -> list[Line]:
    """All paths, each with a label that says what differs; rates are not in it where `panels` show them."""
    starts, optimizers, rates = path.all_diverged.shape
    labels: dict[tuple[int, int, int], str] = {}
    for s, o, r in itertools.product(range(starts), range(optimizers), range(rates)):
        parts = [path.optimizers[o]] if optimizers > 1 or (starts == 1 and (rates == 1 or panels)) else []
        parts += [say("rate {rate}", rate=short(float(path.rates[o, r])))] if rates > 1 and not panels else []
        parts += [say("from {start}", start=point(path.starts[s]))] if starts > 1 else []
        labels[s, o, r] = ", ".join(parts)
    by_rule = optimizers > 1 or len(set(labels.values())) == 1
    by_name = styles(path.optimizers) if by_rule else plain_styles(labels.values())
    return [
        Line(
            label, rule, style, place[2], path.all_points[place], path.all_losses[place], int(path.all_diverged[place])
        )
        for place, label in labels.items()
        for rule in [path.optimizers[place[1]]]
        for style in [_of_rate(by_name[rule if by_rule else label], place[2] if rates > 1 and not panels else None)]
    ]


def _of_rate(style: Style, rate: int | None) -> Style:
    """The colour is the rule's; where its rates are in one panel, dashes and markers are those of the rate."""
    if rate is None:
        return style
    dashes, markers = ("solid", "dash", "dot", "dashdot", "longdash"), ("circle", "square", "diamond", "cross", "star")
    return replace(style, dash=dashes[rate % len(dashes)], marker=markers[rate % len(markers)])


def note(path: Any) -> str:
    """What a reader must know to judge its fairness: rates and how they were chosen, steps, start, schedule, noise."""
    if path.rates.shape[1] > 1 or len(set(path.rates[:, 0])) == 1:
        rates = say("rate{s} {rates}", s="s" * (path.rates.shape[1] > 1), rates=", ".join(map(short, path.rates[0])))
    else:
        pairs = zip(path.optimizers, path.rates[:, 0], strict=True)
        rates = ", ".join(f"{name} {short(rate)}" for name, rate in pairs)
    fair = f"{say(path.fairness)}: {rates}"
    if len(path.rates) == 1:
        fair = say("{optimizer} at {rates}", optimizer=path.optimizers[0], rates=rates)
    starts = len(path.starts)
    start = point(path.starts[0]) if starts == 1 else say("{starts} starts", starts=starts)
    parts = [fair, say("{steps} steps from {start}", steps=path.steps, start=start)]
    if path.schedule.label != "constant":
        parts.append(say("schedule {label}", label=path.schedule.label))
    if path.noise:
        parts.append(say("noise σ = {noise} in each gradient, seed {seed}", noise=short(path.noise), seed=path.seed))
    return "; ".join(parts) + "."


def point(values: Any) -> str:
    """A point in words.

    >>> point([1.5, -2]), point([2.5])
    ('(1.5, −2)', '2.5')
    """
    inside = ", ".join(short(float(one)) for one in values)
    return inside if len(values) == 1 else f"({inside})"


def subscripts(*steps: int) -> list[str]:
    """x with the number of each step, of many the first and the last.

    >>> subscripts(0, 2, 4), subscripts(*range(12, 20))
    (['x₀', 'x₂', 'x₄'], ['x₁₂', '…', 'x₁₉'])
    """
    names = ["x" + str(step).translate(str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")) for step in steps]
    return names if len(names) <= 4 else [names[0], "…", names[-1]]


def sizes(line: Line) -> list[float]:
    """How large the marker of each step is: all of a short path, some of a long one, and the last one."""
    steps = line.end
    every = 1 if steps <= MARKED else -(-steps // 12)
    return [10 if k == steps else 5 if k % every == 0 and k <= steps else 0 for k in range(len(line.points))]


def hover(line: Line) -> list[str]:
    """The words for each step."""
    return [
        say("{label}, step {k}<br>{at}<br>loss {loss}", label=line.label, k=k, at=point(at), loss=short(loss))
        if np.isfinite(loss)
        else ""
        for k, (at, loss) in enumerate(zip(line.points, line.losses, strict=True))
    ]


def crosses(lines: Sequence[Line], where: Sequence[Any], in_legend: bool) -> go.Scatter:
    """A × for each path that diverged, at its last point in sight."""
    ruined = [(one, at) for one, at in zip(lines, where, strict=True) if one.diverged >= 0]
    hover = [say("{label} diverged at step {step}", label=one.label, step=one.diverged) for one, _ in ruined]
    legend = {"name": say("diverged"), "legendgroup": "diverged", "showlegend": in_legend and bool(ruined)}
    x, y = ([at[side] for _, at in ruined] for side in (0, 1))
    return points(x, y, DIVERGED, 12, edge={"width": 1.5, "color": PAPER}, hover=hover, **legend)
