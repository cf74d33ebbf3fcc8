"""A figure as one web page: it loads nothing from elsewhere, follows the reader's theme, and plays only when asked."""

from __future__ import annotations

import re
from pathlib import Path

import plotly.graph_objects as go

from ..language import say
from .layout import LINE, title_breaks
from .markup import embedded, filled, joined, piece
from .moving import CONTROLS, PACE
from .narrow import stacked
from .style import DARK, WRAP, plain

_AFTER_BRACKETS = re.compile(r"(?<=[)\]])(?=[가-힣])")  # a Korean particle stays with what it follows


def page(figure: go.Figure) -> str:
    """The page: title and note as words above the figure, and below it, if it moves, the controls.

    Where the page is narrow, panels stand below each other. Colours of the figure are swapped for their dark
    counterparts where the reader prefers dark, and back when that changes.
    """
    title = figure.layout.title
    words = title.text or "", (title.subtitle.text or "").replace(WRAP, " ")
    head, note = (_AFTER_BRACKETS.sub("\u2060", plain(one)) for one in words)
    layout = {k: v for k, v in figure.layout.to_plotly_json().items() if k not in ("title", "updatemenus", "sliders")}
    bare = go.Figure(data=figure.data, layout=layout)
    top = 34 + LINE * title_breaks(bare) if bare.layout.annotations else 14
    cut = max(0, (figure.layout.margin.t or 28) - top)
    bottom = figure.layout.margin.b or 8
    below = min(CONTROLS, bottom - 8) if figure.frames else 0  # a page has its own
    size = {"width": None, "height": (figure.layout.height or 420) - cut - below}
    bare.update_layout(margin={"t": top, "b": bottom - below}, **size)
    content = bare.to_plotly_json()
    keys = "name", "data", "traces"
    frames = [{key: frame.to_plotly_json().get(key) for key in keys} for frame in figure.frames]
    slider = figure.layout.sliders[0] if figure.layout.sliders else None
    prefix, start = (slider.currentvalue.prefix, slider.active) if slider else ("", None)
    source = {"data": content["data"], "wide": content["layout"], "narrow": stacked(bare), "frames": frames}
    source |= {"prefix": prefix, "start": start, "pace": PACE, "dark": dict(DARK)}
    parts = {
        "title": head.replace("\n", " ") or say("Picture"),
        "head": joined(piece("<h1>{}</h1>", line) for line in head.split("\n") if line),
        "note": joined(piece("<p>{}</p>", line) for line in note.split("\n") if line),
        "source": embedded(source),
    }
    return filled("thalweg.pictures", "page.html", parts)


def write_page(figure: go.Figure, path: str | Path) -> Path:
    """Write the page into a file."""
    Path(path).write_text(page(figure), encoding="utf-8")
    return Path(path)
