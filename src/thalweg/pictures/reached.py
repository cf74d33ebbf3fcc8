"""How soon a target is reached: the share of runs that have, against training steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from ..language import say
from .layout import bold, dress
from .marks import line
from .numbers import short
from .style import styles, text


def reached(
    curves: Mapping[str, Sequence[tuple[float, float]]], budgets: Mapping[str, float], target: float
) -> go.Figure:
    """Stairs, one per optimizer; those of one that never reaches the target stay below 1 to the end of the budget.

    Args:
        curves: optimizer → (step, share of runs that have reached the target by then), ascending.
        budgets: optimizer → the last step.
        target: for the axis title.

    >>> figure = reached({"adam": [(0, 0), (10, 0.5), (20, 1.0)]}, {"adam": 40}, 0.1)
    >>> figure.data[0].x, figure.data[0].y
    ((0, 10, 20, 40), (0, 0.5, 1.0, 1.0))
    """
    figure = go.Figure()
    for name, style in styles(curves).items():
        stairs = [*curves[name], (budgets[name], curves[name][-1][1])]
        steps, shares = zip(*stairs, strict=True)
        hover = [
            say("{name}<br>{share:.0%} by step {step}", name=bold(name), share=share, step=short(step))
            for step, share in stairs
        ]
        more = {"name": text(name), "legendgroup": name, "line": {"shape": "hv"}}
        figure.add_trace(line(steps, shares, style, hover=hover, **more))
    figure.update_xaxes(title_text=say("training step"), rangemode="tozero")
    figure.update_yaxes(
        title_text=say("runs at {target} or below", target=short(target)), range=[-0.03, 1.03], tickformat=".0%"
    )
    return dress(figure, 380, t=8, b=8 + 24 * (1 + len(curves) // 5))
