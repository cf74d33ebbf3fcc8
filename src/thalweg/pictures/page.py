"""A figure as one web page: it loads nothing from elsewhere, follows the reader's theme, and plays only when asked."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path

import plotly.graph_objects as go

from .markup import embedded, escape
from .moving import PACE
from .narrow import stacked
from .style import DARK, plain


def page(figure: go.Figure) -> str:
    """The page: title and note as words above the figure, and below it, if it moves, the controls.

    Where the page is narrow, panels stand below each other. Colours of the figure are swapped for their dark
    counterparts where the reader prefers dark, and back when that changes.
    """
    from plotly.offline import get_plotlyjs

    title = figure.layout.title
    head, note = plain(title.text or ""), plain(title.subtitle.text or "")
    layout = {k: v for k, v in figure.layout.to_plotly_json().items() if k not in ("title", "updatemenus", "sliders")}
    drawn = go.Figure(data=figure.data, layout=layout)
    margin = {"t": 34 if drawn.layout.annotations else 14}
    removed = (figure.layout.margin.t or 28) - margin["t"]
    drawn.update_layout(margin=margin, width=None, height=(figure.layout.height or 420) - max(0, removed))
    content = drawn.to_plotly_json()
    frames = [
        {"name": f.name, "data": [one.to_plotly_json() for one in f.data], "traces": f.traces} for f in figure.frames
    ]
    slider = figure.layout.sliders[0] if figure.layout.sliders else None
    prefix, start = (slider.currentvalue.prefix, slider.active) if slider else ("", None)
    source = {
        "data": content["data"],
        "wide": content["layout"],
        "narrow": stacked(drawn),
        "frames": frames,
        "prefix": prefix,
        "start": start,
        "pace": PACE,
        "dark": dict(DARK),
    }
    parts = {
        "title": escape(head.replace("\n", " ") or "Picture"),
        "head": "".join(f"<h1>{escape(line)}</h1>" for line in head.split("\n") if line),
        "note": "".join(f"<p>{escape(line)}</p>" for line in note.split("\n") if line),
        "source": embedded(source),
        "plotly": get_plotlyjs(),
    }
    text = resources.files("thalweg.pictures").joinpath("page.html").read_text(encoding="utf-8")
    return re.sub(r"\{\{(\w+)\}\}", lambda slot: parts[slot[1]], text)


def write_page(figure: go.Figure, path: str | Path) -> Path:
    """Write the page into a file."""
    Path(path).write_text(page(figure), encoding="utf-8")
    return Path(path)
