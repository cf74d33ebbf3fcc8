"""One figure drawn: panels, traces, shapes, words, a heading above and a legend below.

A pixel of the figure is 0.72 points at 100 pixels per inch.
"""

from __future__ import annotations

import contextlib
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go

from ..layout import panel_of
from ..style import GRID, INK, MUTED, PAPER, WRAP, broken, plain
from .axes import dress_axes, panels_of
from .fonts import families
from .notes import annotate, draw_shape
from .traces import DRAW, POINT, check, colour, lined, marked

WIDTH = 760  # pixels, of a figure that does not say
_RC: dict[str, Any] = {"svg.hashsalt": "thalweg", "svg.fonttype": "none", "lines.scale_dashes": False}
_RC |= {"font.size": 12 * POINT, "text.color": INK, "text.parse_math": False}
_RC |= {"axes.labelcolor": MUTED, "axes.labelsize": 12.5 * POINT, "xtick.color": MUTED, "ytick.color": MUTED}
_RC |= {"axes.grid": True, "axes.axisbelow": True, "axes.xmargin": 0.02, "axes.edgecolor": GRID}
_RC |= {"grid.color": GRID, "grid.linewidth": 0.7}
_RC |= {f"axes.spines.{side}": False for side in ("left", "right", "top", "bottom")}


class Drawing:
    """A Matplotlib figure made from a Plotly figure.

    Args:
        boxes: what is made of it shows boxes in the place of letters without a font. An .svg holds words, for which
            the reader's program finds fonts.

    Attributes:
        figure: Matplotlib's, on an Agg canvas.
        artists: of each trace.
        clock: the line of words that names a frame, or None.

    Raises:
        ValueError: the figure has something that is not drawn.
    """

    def __init__(self, source: go.Figure, boxes: bool = True) -> None:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        check(source)
        layout = source.layout
        self.source = source
        self.size = int(layout.width or WIDTH), int(layout.height or 420)
        self.families = families(_words(source), boxes)
        with self.styled():
            inches: Any = [side / 100 for side in self.size]
            self.figure = Figure(figsize=inches, dpi=100, facecolor=PAPER, layout="constrained")
            FigureCanvasAgg(self.figure)
            self.engine: Any = self.figure.get_layout_engine()
            self.engine.set(w_pad=0.09, h_pad=0.09, wspace=0.02, hspace=0.02)
            self.panels = panels_of(source, self.figure)
            self.artists = [self.draw(trace, place) for place, trace in enumerate(source.data)]
            for key, axes in self.panels.items():
                if len(key) == 2:
                    axes.set_facecolor(layout.plot_bgcolor or PAPER)
                    dress_axes(axes, *(layout[name] for name in key))
            for shape in layout.shapes:
                draw_shape(self.panels, shape)
            for note in layout.annotations:
                annotate(self.panels, note)
            self.clock: Any = self._line("", 10, 13, MUTED, right=True) if source.frames else None
            self._heading()
            self._legend()

    @contextlib.contextmanager
    def styled(self) -> Iterator[None]:
        """Drawn inside this, everything has the pictures' style; `families` has warned of letters without a font."""
        from matplotlib import rc_context

        style: Any = _RC | {"font.family": [*self.families, "sans-serif"]}
        with rc_context(style), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
            yield

    def draw(self, trace: Any, place: int) -> list[Any]:
        """Draw one trace; its artists, so that an animation can take them away again."""
        if trace.visible in (False, "legendonly"):
            return []
        return DRAW[trace.type](self.panels[panel_of(trace)], trace, 2 + place / 1000)

    def _heading(self) -> None:
        """The title and, below it, the note; both at the left, broken into lines as there is room."""
        title, top = self.source.layout.title, 8.0
        styles: Any = ((title.text, 9.0, 21, (15, INK, "bold")), (title.subtitle.text, 6.4, 16.5, (12, MUTED)))
        for words, letter, step, style in styles:
            for part in re.split("\n|<br>", (words or "").replace(WRAP, " ")):
                for line in filter(None, broken(part, int(self.size[0] / letter))):
                    self._line(plain(line), top, *style)
                    top += step
        notes = self.source.layout.annotations
        above = max((n.yshift or 0 for n in notes if (n.xref, n.yref, n.y) == ("paper", "paper", 1)), default=0)
        if top > 8 or above:
            self.engine.set(rect=(0, 0, 1, 1 - (top + 4 + 0.5 * above) / self.size[1]))

    def _line(self, words: str, top: float, size: float, ink: str, weight: str = "normal", right: bool = False) -> Any:
        wide, high = self.size
        at = (1 - 10 / wide if right else 10 / wide), 1 - top / high
        options = {"va": "top", "ha": "right" if right else "left", "in_layout": False, "fontweight": weight}
        return self.figure.text(*at, words, fontsize=size * POINT, color=ink, **options)

    def _legend(self) -> None:
        data = self.source.data
        entries = [t for t in data if t.name and t.showlegend is not False and t.type in ("scatter", "scatter3d")]
        if self.source.layout.showlegend is False or not entries or (len(data) == 1 and not entries[0].showlegend):
            return
        labels = [plain(trace.name) for trace in entries]
        columns = max(1, int((self.size[0] - 20) // (48 + 6.6 * max(map(len, labels)))))
        spaces = {"handlelength": 2.6, "columnspacing": 1.4, "borderpad": 0.2, "ncols": min(columns, len(labels))}
        words: Any = {"fontsize": 12 * POINT, "labelcolor": INK, "frameon": False, "loc": "outside lower left"}
        self.figure.legend(list(map(_handle, entries)), labels, **spaces, **words)

    def image(self, scale: float = 1.0) -> np.ndarray:
        """(height, width, 3) bytes."""
        with self.styled():
            self.figure.set_dpi(100 * scale)
            canvas: Any = self.figure.canvas
            canvas.draw()
            return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _handle(trace: Any) -> Any:
    """What stands for a trace in the legend."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    mode = trace.mode or "lines"
    if mode == "none":
        return Patch(color=colour(trace.fillcolor))
    style: dict[str, Any] = lined(trace.line) if "lines" in mode else {"linestyle": "none"}
    if "markers" in mode:
        size = trace.marker.size
        style |= marked(trace.marker, min(9.0, float((size[0] if np.ndim(size) else size) or 6)))
    return Line2D([], [], **style)


def write_still(source: go.Figure, path: str | Path, scale: float = 2.0) -> Path:
    """Draw the figure into a .png or .svg file; the same figure makes the same file.

    Args:
        scale: pixels of a .png for each pixel of the figure.
    """
    words = str(path).lower().endswith(".svg")
    drawing = Drawing(source, boxes=not words)
    metadata = {"Date": None} if words else {}
    with drawing.styled():
        drawing.figure.savefig(path, dpi=100 * scale, metadata=metadata)
    return Path(path)


def _words(source: go.Figure) -> str:
    """All letters of a figure that need a font; those of hover words are never drawn."""
    traces = [{k: v for k, v in t.to_plotly_json().items() if not k.startswith("hover")} for t in source.data]
    return str([traces, source.layout.to_plotly_json()])
