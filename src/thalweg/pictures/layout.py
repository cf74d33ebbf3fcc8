"""What surrounds the marks of every picture: fonts, margins, a quiet grid, panels, titles, logarithmic axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ..language import mark, say
from .numbers import short
from .style import FONT, GRID, INK, MUTED, PAPER, WRAP, broken, plain, text

_LINES, _WORDS = {"gridcolor": GRID, "linecolor": GRID}, {"color": MUTED, "size": 13}
_AXIS = _LINES | {"zeroline": False, "ticks": "", "automargin": True, "exponentformat": "power"}
_AXIS |= {"tickfont": _WORDS | {"size": 12}, "title": {"font": _WORDS, "standoff": 8}, "minor": {"showgrid": False}}
_SPACE_AXIS = _LINES | {"zerolinecolor": GRID, "showbackground": False, "showspikes": False}
_SPACE_AXIS |= {"tickfont": _WORDS | {"size": 11}, "title": {"font": _WORDS}}
LINE = 17  # pixels of a line of a title or a note
_TITLES, _NARROW, _NOTES = 96, 40, 114  # letters in a row of panel titles, in a narrow one, and in a line of a note
_ROWS = 22  # letters in the name of a row of a narrow page
_LEGEND = {"orientation": "h", "x": 0, "xanchor": "left", "y": 0, "yanchor": "bottom", "yref": "container"}
_LEGEND |= {"font": {"color": INK, "size": 13}, "title": {"font": {"size": 13}}, "bgcolor": "rgba(0,0,0,0)"}
_BAR = {"colorbar": {"title": {"font": _WORDS}, "tickfont": _WORDS | {"size": 12}}}
TEMPLATE = go.layout.Template(
    layout={
        "font": {"family": FONT, "size": 13, "color": INK},
        "paper_bgcolor": PAPER,
        "plot_bgcolor": PAPER,
        "hoverlabel": {"font": {"family": FONT, "color": INK}, "bgcolor": PAPER, "bordercolor": GRID},
        "xaxis": _AXIS,
        "yaxis": _AXIS,
        "scene": dict.fromkeys(("xaxis", "yaxis", "zaxis"), _SPACE_AXIS),
        "legend": _LEGEND,
        "dragmode": False,
    },
    data={"heatmap": [_BAR], "contour": [_BAR]},
)


def panels(
    rows: int = 1, cols: int = 1, titles: Sequence[str] | None = None, *, compact: bool = False, **more: Any
) -> go.Figure:
    """A figure of panels; titles read row by row, may be marked up, and are broken where a panel is too narrow.

    `compact` is for narrow pages.

    >>> figure = panels(cols=4, titles=[bold("adam(beta1=0.5, beta2=0.9)")])
    >>> figure.layout.annotations[0].text
    '<b>adam(beta1=0.5,<br />beta2=0.9)</b>'
    """
    widths = more.get("column_widths") or [1] * cols
    rooms = [int((_NARROW if compact else _TITLES) * width / sum(widths)) for width in widths]
    if titles:
        parts = [(part, rooms[k % cols]) for k, title in enumerate(titles) for part in [title.split("<br>")]]
        titles = [WRAP.join(line for one in lines for line in broken(one, room)) for lines, room in parts]
    figure = make_subplots(rows, cols, subplot_titles=titles, **more)
    return figure.update_annotations(font={"size": 10.5 if compact else 13, "color": INK}, align="left")


def multiples(titles: Sequence[str], columns: int, compact: bool, across: str | None = None) -> go.Figure:
    """A small panel for each title, all on the same axes; `across` is the title below the last one of each column."""
    rows = max(1, math.ceil(len(titles) / columns))
    gaps = {"horizontal_spacing": 0.03 * (columns > 1), "vertical_spacing": 42 / (180 * rows) * (rows > 1)}
    figure = panels(rows, columns, titles, compact=compact, shared_xaxes="all", shared_yaxes="all", **gaps)
    # shared axes hide the labels of all rows but the last; a column whose last cell is empty still needs its own
    for place in range(max(0, len(titles) - columns), len(titles)):
        at = {"row": place // columns + 1, "col": place % columns + 1}
        figure.update_xaxes(showticklabels=True, title_text=across, **at)
    return figure


def bold(words: str) -> str:
    """A panel's title in bold, its words shown literally."""
    return f"<b>{text(words)}</b>"


def dress(figure: go.Figure, height: int, title: str = "", note: str = "", **margin: int) -> go.Figure:
    """The template and the height, a heading, and margins of 8 pixels but for the top (28) and those in `margin`."""
    _hang_titles(figure)
    _keep_scale(figure)
    sides, words = {"l": 8, "r": 8, "t": 28, "b": 8} | margin, heading(title, note) if title or note else None
    full = LINE * words["subtitle"]["text"].count(WRAP) if words else 0
    figure.update_layout(template=TEMPLATE, height=height + full, margin=sides | {"t": sides["t"] + full}, title=words)
    return _make_room(figure, LINE * title_breaks(figure))


# what pictures are given to say, for the catalogues
_MODES = [*map(mark, ("convolution", "cross-correlation", "Convolution", "Cross-correlation"))]
_GALLERY = [*map(mark, ("degree", "residual", "fixed", "Bagging", "Boosting", "Cross-validation"))]


def heading(title: str, note: str = "") -> dict[str, Any]:
    """A title and, smaller below it, what a reader must know to trust the picture; both literally.

    >>> heading("x < y")["text"]
    'x &lt; y'
    """
    lines = [WRAP.join(broken(text(part), _NOTES)) for part in say(note).split("\n")]
    below = {"text": "\n".join(lines), "font": {"size": 12, "color": MUTED}}
    return {"text": text(say(title)), "x": 0, "xref": "paper", "font": {"size": 15}, "subtitle": below}


def headed(figure: go.Figure, title: str, note: str = "") -> go.Figure:
    """The figure with a heading, and as much higher as that needs."""
    words, layout = heading(title, note), figure.layout
    room = 46 + LINE * words["subtitle"]["text"].count(WRAP)
    height, margin = (layout.height or 400) + room, {"t": (layout.margin.t or 28) + room}
    return figure.update_layout(title=words, height=height, margin=margin)


def one_scale(figure: go.Figure, **where: int) -> go.Figure:
    """One unit as long across as up, in all panels or in one."""
    figure.update_xaxes(constrain="domain", **where)
    return figure.for_each_yaxis(lambda axis: axis.update(scaleanchor=axis.anchor or "x", constrain="domain"), **where)


def _keep_scale(figure: go.Figure) -> None:
    """Axes of one scale keep it in all panels: `matches` would stretch all of them but the first."""
    for axis in (*figure.select_xaxes(), *figure.select_yaxes()):
        if axis.scaleanchor and axis.range:
            axis.matches = None


def _hang_titles(figure: go.Figure) -> None:
    """Panel titles, which Plotly puts on the paper, are hung on their panels, so that they move with them."""
    places = {}
    for across in figure.select_xaxes():
        name = across.plotly_name.replace("axis", "")
        side = across.anchor or "y"
        up = figure.layout[f"yaxis{side[1:]}"]
        if across.domain and up.domain:
            places[round(sum(across.domain) / 2, 6), round(up.domain[1], 6)] = f"{name} domain", f"{side} domain"
    for note in figure.layout.annotations:
        refs = places.get((round(note.x, 6), round(note.y, 6)))
        if refs and (note.xref, note.yref, note.yanchor, note.showarrow) == ("paper", "paper", "bottom", False):
            note.update(xref=refs[0], yref=refs[1], x=0, y=1, xanchor="left", yshift=4)


def title_breaks(figure: go.Figure) -> int:
    """How many lines more than one the longest title of a panel has."""
    titles = (note for note in figure.layout.annotations if f"{note.yref}".endswith("domain") and note.y == 1)
    return max((plain(note.text or "").count("\n") for note in titles), default=0)


Panel = tuple[str, ...]  # the names of its axes, or of its scene, in the layout


def panel_of(trace: Any) -> Panel:
    """The panel that a trace is in."""
    if trace.type in ("surface", "scatter3d"):
        return (trace.scene or "scene",)
    return f"xaxis{(trace.xaxis or 'x')[1:]}", f"yaxis{(trace.yaxis or 'y')[1:]}"


def boxes_of(figure: go.Figure) -> dict[Panel, tuple[float, ...]]:
    """Left, right, bottom and top of each panel, as shares of the figure's width and height."""
    boxes = {}
    for panel in dict.fromkeys(map(panel_of, figure.data)):
        parts = [figure.layout[name].domain for name in panel]
        across, up = parts if len(panel) == 2 else (parts[0].x, parts[0].y)
        boxes[panel] = (*(across or (0, 1)), *(up or (0, 1)))
    return boxes


def _make_room(figure: go.Figure, more: int) -> go.Figure:
    """So many pixels more above each row of panels, which stay as high as they are."""
    if not more:
        return figure
    layout, axes = figure.layout, [axis for axis in figure.select_yaxes() if axis.domain]
    tops = sorted({round(axis.domain[1], 4) for axis in axes})
    old = layout.height - layout.margin.t - layout.margin.b
    new = old + more * (len(tops) - 1)
    for axis in axes:
        below = more * tops.index(round(axis.domain[1], 4))
        axis.domain = [min(1.0, (end * old + below) / new) for end in axis.domain]
    return figure.update_layout(height=layout.height + more * len(tops), margin={"t": layout.margin.t + more})


def row_axis(figure: go.Figure, names: Sequence[str], compact: bool = False) -> int:
    """A row for each name, the first on top; the pixels that each needs. On a `compact` one long names are broken."""
    room = _ROWS if compact else 1000
    words = [WRAP.join(f"{part}  " for part in broken(text(name), room)) for name in names]
    rows = {"tickvals": list(range(len(names))), "ticktext": words}
    font = {"color": INK, "size": 12 if compact else 14}
    figure.update_yaxes(**rows, range=[len(names) - 0.5, -0.5], showgrid=False, tickfont=font)
    return max(38, 4 + 17 * max((word.count(WRAP) + 1 for word in words), default=1))


_PARTS = (  # fine to coarse
    *((1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8, 9), (1, 1.2, 1.5, 2, 3, 4, 6, 8)),
    *((1, 1.5, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,)),
)
PerDecade = tuple[float, ...] | None


def log_axis(low: float, high: float, per_decade: PerDecade = None, most: int = 7) -> dict[str, Any]:
    """A logarithmic axis from `low` to `high` with `log_ticks`."""
    return {"type": "log", "range": [math.log10(low), math.log10(high)], **log_ticks(low, high, per_decade, most)}


def log_ticks(low: float, high: float, per_decade: PerDecade = None, most: int = 7) -> dict[str, list[Any]]:
    """Tick values and labels of one size from `low` to `high` on a log axis, where Plotly mixes two sizes.

    They are at `per_decade` times the powers of ten, by default the finest choice with at most `most` labels.

    >>> log_ticks(0.08, 2.3)["ticktext"], log_ticks(0.081, 0.103)["ticktext"]
    (['0.1', '0.2', '0.5', '1', '2'], ['0.09', '0.1'])
    >>> log_ticks(1e-6, 1.0)["ticktext"]
    ['10⁻⁶', '10⁻⁵', '0.0001', '0.001', '0.01', '0.1', '1']
    """
    if high / low < 1.7:  # so little that equal steps look equal
        rough = (high - low) / 4
        power = 10 ** math.floor(math.log10(rough))
        step = power * next(part for part in (1, 2, 5, 10) if power * part >= rough * 0.999)
        values = [step * count for count in range(math.ceil(low / step), math.floor(high / step) + 1)]
        return {"tickvals": values, "ticktext": [short(value) for value in values]}
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    values = []
    for parts in (per_decade,) if per_decade else _PARTS:
        values = [float(f"{part}e{power}") for power in powers for part in parts]
        values = [value for value in values if low * 0.999 <= value <= high * 1.001]
        if len(values) <= most:
            break
    return {"tickvals": values, "ticktext": [short(value) for value in values]}
