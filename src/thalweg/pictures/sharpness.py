"""Sharp and flat minima: two measures for each level, and how the loss rises in the direction in which it bends most.

Steps as long for one level as for another show what the measures say. Steps in lengths of a run's own weights, which
no scaling of the network changes, show how much of that is due to weights that have grown. Beside them, the validation
loss of the same runs: whether flat ones are better.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import plotly.graph_objects as go

from ..language import mark, say
from .layout import bold, dress, log_axis, panels
from .marks import line, points
from .style import Style, faded, styles, text

if TYPE_CHECKING:
    import pandas as pd

MEASURES = ("eigenvalue", "rise", "validation_loss")
_LINES = {  # unit → title, and what the axis counts
    "untrained": (mark("Loss rise, equal steps"), mark("step ÷ length of the first weights")),
    "own": (mark("Loss rise, relative steps"), mark("step ÷ length of the run’s weights")),
}


def sharpness(
    table: pd.DataFrame, lines: pd.DataFrame, levels: Sequence[str], factor: str, epsilon: float
) -> go.Figure:
    """A dot for each seed and a bar at their mean, on log axes; below, the mean rise of the loss on lines.

    Args:
        table: columns level, seed, eigenvalue, rise and, unless it was not measured, validation_loss; one row per run.
        lines: columns level, seed, unit, distance, loss.
        levels: in the order of the axis.
        factor: what the levels are of, in words.
        epsilon: the length of the step of `rise`.
    """
    order = sorted(levels, key=_number)
    style_of = styles(order)
    judged = "validation_loss" in table and bool(table["validation_loss"].notna().all())
    measures = MEASURES if judged else MEASURES[:2]
    titles = [say("Curvature (largest eigenvalue)"), say("Loss rise within ε = {epsilon:g}", epsilon=epsilon)]
    titles += [say("Validation loss")] * judged + [say(title) for title, _ in _LINES.values()]
    titles += [say("Is flat better?")] * judged
    figure = panels(2, len(measures), [*map(bold, titles)], horizontal_spacing=0.1, vertical_spacing=0.2)
    start = lines[lines["distance"] == 0].groupby(["level", "seed"])["loss"].first()
    rises = lines["loss"] - lines.set_index(["level", "seed"]).index.map(start)
    for level in order:
        runs, style, name = table[table["level"] == level], style_of[level], text(level)
        dot, bar = Style(faded(style.colour, 0.45), marker=style.marker), Style(style.colour, marker="line-ew")
        for column, measure in enumerate(measures, 1):
            values, edge = runs[measure], {"width": 3, "color": style.colour}
            dots = points([name] * len(runs), list(values), dot, 7, showlegend=False, name=name)
            mean = points([name], [values.mean()], bar, 22, edge=edge, showlegend=False, name=f"{name}: mean")
            figure.add_traces([dots, mean], rows=1, cols=column)
        for column, unit in enumerate(_LINES, 1):
            rise = rises[(lines["level"] == level) & (lines["unit"] == unit)].groupby(lines["distance"]).mean()
            more = {"name": name, "legendgroup": level, "showlegend": column == 1}
            figure.add_trace(line(list(rise.index), list(rise), style, **more), row=2, col=column)
        if judged:
            each = list(runs["eigenvalue"]), list(runs["validation_loss"])
            figure.add_trace(points(*each, style, 8, name=name, legendgroup=level, showlegend=False), row=2, col=3)
    for column, measure in enumerate(measures, 1):
        if (table[measure] > 0).all():
            figure.update_yaxes(row=1, col=column, **log_axis(*_ends(table[measure]), most=6))
    ends = [-0.5, len(order) - 0.5]
    figure.update_xaxes(title_text=text(say(factor)), type="category", range=ends, row=1)
    for column, (_, words) in enumerate(_LINES.values(), 1):
        figure.update_xaxes(title_text=say(words), row=2, col=column)
        figure.update_yaxes(rangemode="tozero", row=2, col=column)
    if judged:
        figure.update_xaxes(title_text=say("curvature"), row=2, col=3)
        figure.update_yaxes(title_text=say("validation loss"), row=2, col=3)
        if (table["eigenvalue"] > 0).all():
            figure.update_xaxes(row=2, col=3, **log_axis(*_ends(table["eigenvalue"]), most=5))
    return dress(figure, 680, t=60, b=90).update_layout(legend={"title": {"text": text(say(factor))}})


def _ends(values: pd.Series) -> tuple[float, float]:
    """Of a logarithmic axis."""
    return float(values.min() / 1.5), float(values.max() * 1.5)


def _number(level: str) -> tuple[float, str]:
    """Numbers in their order, words after them."""
    try:
        return float(level), level
    except ValueError:
        return float("inf"), level
