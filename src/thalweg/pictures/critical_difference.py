"""Average ranks on one line, and bars that join what cannot be told apart: the critical-difference diagram.

Source: Demšar 2006, "Statistical comparisons of classifiers over multiple data sets".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from ..language import say
from .layout import dress
from .marks import points
from .numbers import short
from .style import GRID, INK, MUTED, styles, text

ROW, BAR = 26, 12  # pixels between two rows of names, and between two bars
TOP = 66  # pixels above the line of ranks


def critical_difference(
    ranks: Mapping[str, float], groups: Sequence[Sequence[str]], difference: float, *, compact: bool = False
) -> go.Figure:
    """A line of ranks, the best on the left, from which the names hang on both sides.

    Args:
        ranks: optimizer → average rank, ascending; two or more.
        groups: of those that cannot be told apart; a group of one has no bar.
        difference: by which two average ranks are told apart.
        compact: for a narrow page: smaller marks.

    >>> figure = critical_difference({"adam": 1.2, "sgd": 2.0, "lion": 2.8}, [["adam", "sgd"], ["lion"]], 1.5)
    >>> [trace.name for trace in figure.data], figure.layout.annotations[-1].text
    (['adam', 'sgd', 'lion'], 'critical difference 1.5')
    """
    names, figure = list(ranks), go.Figure()
    style, last = styles(names), len(names)
    bars = [group for group in groups if len(group) > 1]
    edges = 1 - 0.08 * last, 1.08 * last
    left, top = (last + 1) // 2, 14 + BAR * len(bars)  # so many names on the left, the first so many pixels down
    _stroke(figure, (1, last), (0, 0), GRID, 2)
    for rank in range(1, last + 1):
        _words(figure, rank, 18, str(rank), "center", MUTED, 12)
    for place, name in enumerate(names):
        on_left = place < left
        depth = -top - ROW * ((place if on_left else last - 1 - place) + 0.5)
        edge = edges[not on_left]
        _stroke(figure, (ranks[name], ranks[name]), (0, depth), MUTED, 1)
        _stroke(figure, (ranks[name], edge), (depth, depth), MUTED, 1)
        _words(figure, edge, depth, text(name), "right" if on_left else "left", INK, 14)
    for place, group in enumerate(bars):
        ends = ranks[group[0]] - 0.006 * last, ranks[group[-1]] + 0.006 * last
        depth = -14 - BAR * place
        _stroke(figure, ends, (depth, depth), INK, 5)
    for name in names:
        hover = say("<b>{name}</b><br>average rank {rank}", name=text(name), rank=short(ranks[name]))
        figure.add_trace(points([ranks[name]], [0], style[name], 8 if compact else 11, name=name, hover=hover))
    words = say("critical difference {difference}", difference=short(difference, 3))
    if difference > last - 1:
        words = say("{words}: more than any two ranks can differ by", words=words)
    _stroke(figure, (1, min(1 + difference, last)), (40, 40), MUTED, 2)
    _words(figure, 1, 54, words, "left", MUTED, 13)
    depth, title = top + ROW * left, say("average rank, 1 is the best")
    figure.update_xaxes(range=edges, showgrid=False, showticklabels=False, title_text=title)
    figure.update_yaxes(visible=False, range=[-depth, TOP])
    room = 20 + 7 * max(map(len, names))
    return dress(figure, depth + TOP + 40, t=0, l=room, r=room, b=40).update_layout(showlegend=False)


def _stroke(figure: go.Figure, across: tuple[float, float], up: tuple[float, float], colour: str, width: float) -> None:
    ends = {"x0": across[0], "x1": across[1], "y0": up[0], "y1": up[1]}
    figure.add_shape(type="line", **ends, line={"color": colour, "width": width}, layer="below")


def _words(figure: go.Figure, x: float, y: float, words: str, side: str, colour: str, size: float) -> None:
    place = {"x": x, "y": y, "xanchor": side, "yanchor": "middle", "showarrow": False}
    figure.add_annotation(text=words, font={"color": colour, "size": size}, **place)
