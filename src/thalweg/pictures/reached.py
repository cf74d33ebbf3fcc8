"""How soon a target is reached: the share of runs that have, against training steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from .numbers import short
from .style import dress, looks, text


def reached(
    curves: Mapping[str, Sequence[tuple[float, float]]], budgets: Mapping[str, float], target: float
) -> go.Figure:
    """Stairs, one per optimizer; who never reaches the target stays below 1 to the end of the budget.

    Args:
        curves: optimizer → (step, share of runs that have reached the target by then), ascending.
        budgets: optimizer → the last step.
        target: for the axis title.

    >>> figure = reached({"adam": [(0, 0), (10, 0.5), (20, 1.0)]}, {"adam": 40}, 0.1)
    >>> figure.data[0].x, figure.data[0].y
    ((0, 10, 20, 40), (0, 0.5, 1.0, 1.0))
    """
    figure = go.Figure()
    for name, look in looks(curves).items():
        stairs = [*curves[name], (budgets[name], curves[name][-1][1])]
        figure.add_trace(
            go.Scatter(
                x=[step for step, _ in stairs],
                y=[share for _, share in stairs],
                mode="lines",
                name=text(name),
                line={"shape": "hv", "color": look.colour, "dash": look.dash, "width": 2.2},
                legendgroup=name,
                hovertext=[f"<b>{text(name)}</b><br>{share:.0%} by step {short(step)}" for step, share in stairs],
                hoverinfo="text",
            )
        )
    dress(figure, 380)
    figure.update_xaxes(title_text="training step", rangemode="tozero")
    figure.update_yaxes(title_text=f"runs at {short(target)} or below", range=[-0.03, 1.03], tickformat=".0%")
    return figure.update_layout(margin={"l": 8, "r": 8, "t": 8, "b": 8 + 24 * (1 + len(curves) // 5)})
