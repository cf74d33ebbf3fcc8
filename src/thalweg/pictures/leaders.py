"""Which is ahead after each epoch: the rank of every optimizer, the first on top."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from ..language import say
from .layout import bold, dress
from .marks import line
from .numbers import number
from .style import styles, text

Point = tuple[int, int, float]  # epoch, rank, mean validation loss


def leaders(ranks: Mapping[str, Sequence[Point]]) -> go.Figure:
    """One line per optimizer; where two cross, their order turns over.

    Args:
        ranks: optimizer → its points, ascending by epoch.

    >>> figure = leaders({"adam": [(1, 1, 0.5), (2, 2, 0.4)], "sgd": [(1, 2, 0.6), (2, 1, 0.3)]})
    >>> [(trace.name, trace.x, trace.y) for trace in figure.data]
    [('adam', (1, 2), (1, 2)), ('sgd', (1, 2), (2, 1))]
    """
    figure = go.Figure()
    for name, style in styles(ranks).items():
        epochs, places, losses = zip(*ranks[name], strict=True)
        hover = [
            say(
                "{name} is {place} of {count} after epoch {epoch}<br>validation loss {loss}",
                name=bold(name),
                place=place,
                count=len(ranks),
                epoch=epoch,
                loss=number(loss),
            )
            for epoch, place, loss in zip(epochs, places, losses, strict=True)
        ]
        more = {"hover": hover, "name": text(name), "marker": {"maxdisplayed": 20}}
        figure.add_trace(line(epochs, places, style, 2.6, size=8, **more))
    last = max((points[-1][0] for points in ranks.values()), default=1)
    room, count = 0.02 * max(last - 1, 1), len(ranks)
    whole = _each(last) if last < 13 else {}
    figure.update_xaxes(title_text=say("epoch"), range=[1 - room, last + room], nticks=10, showgrid=False, **whole)
    figure.update_yaxes(title_text=say("rank by validation loss"), range=[count + 0.5, 0.5], **_each(count))
    return dress(figure, 110 + 34 * max(3, count), t=8, b=8 + 24 * (1 + count // 5))


def _each(most: int) -> dict[str, list[Any]]:
    """A tick at each whole number."""
    return {"tickvals": [*range(1, most + 1)], "ticktext": [str(k) for k in range(1, most + 1)]}
