"""The same figure for a narrow page: panels below each other; many small ones of one scale, beside each other as well.

A panel whose two axes have one scale is as high as it needs to be where its page is as wide as a telephone.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from .layout import LINE, boxes_of, title_breaks
from .style import plain

GAP = 74  # pixels between panels: ticks and the title of an axis below one, the title of the next
TIGHT = 36  # where ticks and titles of axes stand in the last row alone
PANEL = 250  # pixels of a panel, at least; of a small one as many as it has
WIDTH = 300  # pixels of a panel on a page of 390, beside the words of its axis
TALL = 300  # pixels of a panel whose axes have one scale, at most
MANY = 4  # panels, from which on they may stand beside each other
LETTERS = 24  # of a line of a title, at most, where two panels stand beside each other
SMALL = 10.5  # pixels of its letters
BETWEEN = 0.06  # of the width, between panels beside each other


def stacked(figure: go.Figure) -> dict[str, Any]:
    """The figure's layout with its panels in one column, read row by row, or column by column where only columns have
    titles.

    Many panels with axes of one scale stay small, two in a row; as many as three if nothing is written at their axes.

    >>> from plotly.subplots import make_subplots
    >>> figure = make_subplots(cols=2).add_scatter(y=[1], row=1, col=1).add_scatter(y=[1], row=1, col=2)
    >>> layout = stacked(figure)
    >>> [layout[axis]["domain"] for axis in ("xaxis", "xaxis2")]
    [[0.0, 1.0], [0.0, 1.0]]
    >>> layout["yaxis"]["domain"][0] > layout["yaxis2"]["domain"][1]
    True
    """
    layout, panels = figure.to_plotly_json()["layout"], boxes_of(figure)
    for name in itertools.chain(*panels):
        layout.setdefault(name, {})
    flat = [key for key in panels if len(key) == 2]
    margin = layout.get("margin", {})
    edges = margin.get("t", 28) + margin.get("b", 8)
    inside = layout.get("height", 420) - edges
    heights = {key: (box[3] - box[2]) * inside for key, box in panels.items()}
    square = {key: ratio for key in flat for ratio in [_ratio(layout, key)] if ratio}
    tops, lefts = ({round(box[side], 4) for box in panels.values()} for side in (3, 0))
    if len(lefts) < 2:
        if len(panels) == 1 and square:
            layout["height"] = int(min([heights[flat[0]], TALL, WIDTH * square[flat[0]]]) + edges)
        return layout
    columns = _columns(figure, layout, panels, len(lefts))
    width = (1 - BETWEEN * (columns - 1)) / columns
    if columns == 1:
        heights = {key: max(PANEL, min(heights.values())) for key in panels}
    heights |= {key: min(TALL, WIDTH * width * ratio) for key, ratio in square.items()}
    titled = {round(panels[key][3], 4) for key in flat if _title(figure, key)}
    by_column = columns == 1 and len(tops) > 1 and titled == {max(tops)}
    places = {key: (-round(box[3], 4), box[0]) for key, box in panels.items()}
    ordered = sorted(panels, key=lambda key: places[key][::-1] if by_column else places[key])
    rows = [ordered[k : k + columns] for k in range(0, len(ordered), columns)]
    gap = (GAP if columns == 1 else TIGHT) + LINE * title_breaks(figure)
    tall = [max(heights[key] for key in row) for row in rows]
    total, top = sum(tall) + gap * (len(rows) - 1), 0.0
    _label(layout, ordered, columns, columns < len(lefts))
    for row, high in zip(rows, tall, strict=True):
        up = [max(0.0, 1 - top / total - high / total), 1 - top / total]
        for column, key in enumerate(row):
            left = column * (width + BETWEEN)
            _place(layout, key, [left, left + width], up)
        top += high + gap
    layout["height"] = int(total + edges)
    for wide in ("meta", "width"):  # how wide panels side by side have to be
        layout.pop(wide, None)
    return layout


def _place(layout: dict[str, Any], key: Sequence[str], across: list[float], up: list[float]) -> None:
    """Give a panel its part of the page."""
    if len(key) == 1:
        layout[key[0]]["domain"] = {"x": across, "y": up}
    else:
        layout[key[0]]["domain"], layout[key[1]]["domain"] = list(across), list(up)


def _label(layout: dict[str, Any], ordered: Sequence[Any], columns: int, fewer: bool) -> None:
    """Ticks and titles of axes: at each panel of one column; of several below the last row and left of the first.

    Args:
        fewer: columns than the figure had, whose titles of axes have lost their places.
    """
    flat = [(place, key) for place, key in enumerate(ordered) if len(key) == 2]
    hidden = [all(layout[key[side]].get("showticklabels") is False for _, key in flat) for side in (0, 1)]
    words = [next(filter(None, (_words(layout[key[side]]) for _, key in flat)), None) for side in (0, 1)]
    for place, key in flat:
        outer = columns == 1 or place >= len(ordered) - columns, columns == 1 or place % columns == 0
        for side, name in enumerate(key):
            layout[name]["showticklabels"] = outer[side] and not hidden[side]
            if columns > 1 and fewer:
                title = layout[name].get("title", {})
                layout[name]["title"] = {**title, "text": words[side] if outer[side] else ""}
    for note in layout.get("annotations", ()) if columns > 1 else ():
        note["font"] = {**note.get("font", {}), "size": min(SMALL, note.get("font", {}).get("size", SMALL))}


def _columns(figure: go.Figure, layout: dict[str, Any], panels: dict[Any, Any], wide: int) -> int:
    """How many panels stand beside each other."""
    sides = list(zip(*panels, strict=True)) if {len(key) for key in panels} == {2} else []
    if len(panels) < MANY or wide < 3 or not sides:
        return 1
    if not any(_written(layout[name]) for side in sides for name in side):
        return min(wide, 3)
    longest = max((len(line) for key in panels for line in _title(figure, key).split("\n")), default=0)
    return 2 if longest <= LETTERS and all(_one_scale(layout, side) for side in sides) else 1


def _written(axis: dict[str, Any]) -> bool:
    return axis.get("visible") is not False and axis.get("showticklabels") is not False


def _one_scale(layout: dict[str, Any], names: Sequence[str]) -> bool:
    """Whether these axes match, or have one range."""
    if len({str(layout[name].get("range")) for name in names}) > 1:
        return False
    leaders = {layout[name].get("matches", name.replace("axis", "")) for name in names}
    return layout[names[0]].get("range") is not None or len(leaders) == 1


def _ratio(layout: dict[str, Any], key: Sequence[str]) -> float | None:
    """Height by width of a panel whose axes have one scale; None for another."""
    across, up = (layout[name] for name in key)
    ranges = [axis.get("range") for axis in (across, up)]
    if not all(ranges) or not (across.get("scaleanchor") or up.get("scaleanchor")):
        return None
    (left, right), (bottom, top) = ranges
    return math.fabs((top - bottom) / (right - left))


def _words(axis: dict[str, Any]) -> str:
    return axis.get("title", {}).get("text") or ""


def _title(figure: go.Figure, key: Sequence[str]) -> str:
    """What hangs above a panel."""
    refs = [name.replace("axis", "") + " domain" for name in key]
    titles = (note for note in figure.layout.annotations if [note.xref, note.yref] == refs and note.y == 1)
    return plain(next((note.text for note in titles), ""))
