"""A figure drawn without a browser: Plotly's description in, Matplotlib's drawing out.

Every picture is described once, as a Plotly figure, and this is the second thing that can draw that description; so a
file and a web page show the same picture. It draws what the pictures of this library use: the traces in `traces`,
panels, logarithmic and shared axes, arrows, shapes, and a legend below. A pixel of the figure is 0.72 points at 100
pixels per inch.
"""

from __future__ import annotations

import contextlib
import textwrap
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go

from ..style import GRID, INK, MUTED, PAPER, plain
from .fonts import families
from .legend import handle_of
from .notes import annotate, draw_shape
from .panels import axes_of, dress_axes, key_of, panels_of
from .traces import DRAW, POINT

LISTED = ("scatter", "scatter3d", "bar")  # traces that the legend lists
WIDTH = 760  # pixels, of a figure that does not say


class Drawing:
    """A Matplotlib figure made from a Plotly figure.

    Attributes:
        figure: Matplotlib's, on an Agg canvas.
        artists: for each trace, what was drawn of it.
        clock: the line of words that names a frame, or None.
    """

    def __init__(self, source: go.Figure) -> None:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        layout = source.layout
        self.source = source
        self.size = int(layout.width or WIDTH), int(layout.height or 420)
        self.families = families(_words(source))
        with self.looks():
            paper = layout.paper_bgcolor or PAPER
            self.figure = Figure(
                figsize=(self.size[0] / 100, self.size[1] / 100), dpi=100, facecolor=paper, layout="constrained"
            )
            FigureCanvasAgg(self.figure)
            engine: Any = self.figure.get_layout_engine()
            engine.set(w_pad=0.09, h_pad=0.09, wspace=0.02, hspace=0.02)
            self.panels = panels_of(source, self.figure)
            self.artists = [self.draw(trace, place) for place, trace in enumerate(source.data)]
            for key, axes in self.panels.items():
                if not key.startswith("scene"):
                    axes.set_facecolor(layout.plot_bgcolor or PAPER)
                    dress_axes(axes, *axes_of(layout, key))
            for shape in layout.shapes:
                draw_shape(self.panels, layout, shape)
            for note in layout.annotations:
                annotate(self.panels, layout, note)
            self.clock = self._clock()
            self._heading()
            self._legend()

    @contextlib.contextmanager
    def looks(self) -> Iterator[None]:
        """Drawn inside this, everything looks as it should; letters that no font has were spoken of before."""
        from matplotlib import rc_context

        look: Any = _LOOK | {"font.family": [*self.families, "sans-serif"]}
        with rc_context(look), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
            yield

    def draw(self, trace: Any, place: int) -> list[Any]:
        """Draw one trace; the artists made, so that an animation can take them away again."""
        if trace.visible in (False, "legendonly"):
            return []
        key = key_of(trace)
        return DRAW[trace.type](self.panels[key], trace, 2 + place / 1000)

    def _heading(self) -> None:
        """The title and, below it, the note; both at the left, broken into lines as there is room."""
        title = self.source.layout.title
        head, note = plain(title.text or ""), plain(title.subtitle.text or "")
        wide = self.size[0]
        lines = [line for part in note.split("\n") for line in textwrap.wrap(part, int(wide / 6.4))]
        heads = [line for part in head.split("\n") for line in textwrap.wrap(part, int(wide / 9.0))]
        top = 8.0
        for line in heads:
            self._line(line, top, 15, INK, "bold")
            top += 21
        for line in lines:
            self._line(line, top, 12, MUTED)
            top += 16.5
        notes = [n.yshift for n in self.source.layout.annotations if (n.xref, n.yref, n.y) == ("paper", "paper", 1)]
        above = max((shift for shift in notes if shift), default=0)
        if heads or lines or above:
            engine: Any = self.figure.get_layout_engine()
            height = self.size[1]
            engine.set(rect=(0, 0, 1, 1 - (top + 4 + 0.5 * above) / height))

    def _line(self, words: str, top: float, size: float, ink: str, weight: str = "normal") -> Any:
        wide, high = self.size
        return self.figure.text(
            10 / wide,
            1 - top / high,
            words,
            va="top",
            ha="left",
            fontsize=size * POINT,
            color=ink,
            fontweight=weight,
            parse_math=False,
            in_layout=False,
        )

    def _clock(self) -> Any:
        if not self.source.frames:
            return None
        wide, high = self.size
        return self.figure.text(
            1 - 10 / wide,
            1 - 10 / high,
            "",
            va="top",
            ha="right",
            fontsize=13 * POINT,
            color=MUTED,
            parse_math=False,
            in_layout=False,
        )

    def _legend(self) -> None:
        layout = self.source.layout
        named = [t for t in self.source.data if t.name and t.showlegend is not False and t.type in LISTED]
        if layout.showlegend is False or not named or (len(self.source.data) == 1 and not named[0].showlegend):
            return
        handles = [handle_of(trace) for trace in named]
        labels = [plain(trace.name) for trace in named]
        columns = max(1, int((self.size[0] - 20) // (48 + 6.6 * max(map(len, labels)))))
        legend = self.figure.legend(
            handles,
            labels,
            loc="outside lower left",
            ncols=min(columns, len(labels)),
            frameon=False,
            fontsize=12 * POINT,
            handlelength=2.6,
            columnspacing=1.4,
            borderpad=0.2,
            labelcolor=INK,
        )
        for words in legend.get_texts():
            words.set_parse_math(False)

    def image(self, scale: float = 1.0) -> np.ndarray:
        """(height, width, 3) bytes."""
        with self.looks():
            self.figure.set_dpi(100 * scale)
            canvas: Any = self.figure.canvas
            canvas.draw()
            return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def write_still(source: go.Figure, path: str | Path, scale: float = 2.0) -> Path:
    """Draw the figure into a .png or .svg file; the same figure makes the same file.

    Args:
        scale: pixels of a .png for each pixel of the figure.
    """
    drawing = Drawing(source)
    # No date inside: the same picture is the same file.
    metadata = {"Date": None} if str(path).lower().endswith(".svg") else {}
    with drawing.looks():
        drawing.figure.savefig(path, dpi=100 * scale, metadata=metadata)
    return Path(path)


def _words(source: go.Figure) -> Iterator[str]:
    """All words of a figure, for fonts to be found."""

    def walk(node: Any) -> Iterator[str]:
        if isinstance(node, str):
            yield plain(node)
        elif isinstance(node, Mapping):
            for key, value in node.items():
                if key not in ("hovertext", "hovertemplate", "family", "template"):
                    yield from walk(value)
        elif isinstance(node, (list, tuple)):
            for value in node:
                yield from walk(value)
        elif isinstance(node, np.ndarray) and node.dtype.kind in "OU":
            yield from walk(node.tolist())

    for trace in source.data:
        shown = {"name": trace.name, "axes": [trace[axis] for axis in ("x", "y") if axis in trace]}
        yield from walk(shown)
        if trace.hoverinfo != "text" or "text" in (getattr(trace, "mode", None) or ""):
            yield from walk([getattr(trace, "text", None)])
    yield from walk(source.layout.to_plotly_json())


_LOOK: dict[str, Any] = {
    "svg.hashsalt": "thalweg",
    "svg.fonttype": "none",
    "font.size": 12 * POINT,
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": GRID,
    "axes.facecolor": "none",
    "axes.grid": True,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "lines.scale_dashes": False,
    "text.parse_math": False,
    "axes.xmargin": 0.02,
    "figure.autolayout": False,
}
