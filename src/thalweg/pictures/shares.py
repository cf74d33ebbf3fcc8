"""What a whole is made of: one bar per row, cut into shares; the same part has the same colour in every row."""

from __future__ import annotations

from collections.abc import Mapping

import plotly.graph_objects as go

from ..language import mark, say
from .layout import dress, row_axis
from .marks import band, entry, words
from .style import MUTED, PAPER, Style, plain_styles, text

HALF = 0.32  # of a bar's height, where rows are 1 apart
WRITTEN = 0.06  # smaller shares are not written into the bar
REMAINDER = mark("Seeds")  # in grey


def shares(rows: Mapping[str, Mapping[str, float]], across: str) -> go.Figure:
    """Bars from 0 to 100%, the parts in the order of the first row that has them.

    Args:
        rows: label → part → share of 1.
        across: what is shared, for the axis.

    >>> figure = shares({"sgd": {"rate": 0.75, "Seeds": 0.25}, "adam": {"rate": 1.0, "Seeds": 0.0}}, "variance")
    >>> [(trace.name, trace.x[:2]) for trace in figure.data if trace.fill]
    [('sgd, rate: 75.0%', (0.0, 0.75)), ('sgd, Seeds: 25.0%', (0.75, 1.0)), ('adam, rate: 100.0%', (0.0, 1.0))]
    """
    figure = go.Figure()
    parts = list(dict.fromkeys(part for row in rows.values() for part, share in row.items() if share > 0))
    styles = plain_styles(part for part in parts if part != REMAINDER) | {REMAINDER: Style(MUTED)}
    for place, (name, row) in enumerate(rows.items()):
        end = 0.0
        for part in (part for part in parts if row.get(part, 0) > 0):
            start, end = end, end + row[part]
            sides = [place - HALF] * 2, [place + HALF] * 2
            colour, label = styles[part].colour, f"{text(name)}, {text(say(part))}: {row[part]:.1%}"
            more = {"name": label, "hoverinfo": "name", "legendgroup": text(part)}
            figure.add_trace(band([start, end], *sides, colour, fillcolor=colour, **more))
            if row[part] >= WRITTEN:
                at = [(start + end) / 2], [place], [f"{row[part]:.0%}"]
                figure.add_trace(words(*at, PAPER, 12, textposition="middle center", **more))
    for part in parts:
        square = Style(styles[part].colour, marker="square")
        figure.add_trace(entry(text(say(part)), square, 12, legendgroup=text(part)))
    figure.update_xaxes(title_text=across, range=[-0.005, 1.005], tickformat=".0%")
    row_axis(figure, list(rows))
    return dress(figure, 96 + 34 * max(1, len(rows)) + 24, t=8, b=8 + 24 * (1 + len(parts) // 5))
