"""A figure drawn without a browser: Plotly's description in, Matplotlib's drawing out.

Every picture is described once, as a Plotly figure, and this is the second thing that can draw that description; so a
file and a web page show the same picture. It draws what the pictures of this library use: the traces in `traces`,
panels, logarithmic and shared axes, arrows, shapes, and a legend below. A pixel of the figure is 0.72 points at 100
pixels per inch.
"""

from __future__ import annotations

import contextlib
import html
import re
import textwrap
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go

from .fonts import families
from .numbers import short
from .style import GRID, INK, MUTED, PAPER
from .traces import DRAW, POINT, colour, dashes, values

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
                figsize=(self.size[0] / 100, self.size[1] / 100),
                dpi=100,
                facecolor=paper,
                layout="constrained",
            )
            FigureCanvasAgg(self.figure)
            engine: Any = self.figure.get_layout_engine()
            engine.set(w_pad=0.09, h_pad=0.09, wspace=0.02, hspace=0.02)
            self.panels = _panels(source, self.figure)
            self.artists = [self.draw(trace, place) for place, trace in enumerate(source.data)]
            for key, axes in self.panels.items():
                if not key.startswith("scene"):
                    _dress(axes, *_axes_of(layout, key))
            for shape in layout.shapes:
                _shape(self.panels, layout, shape)
            for note in layout.annotations:
                _annotation(self.panels, layout, note)
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
        key = _key(trace)
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
        if heads or lines:
            engine: Any = self.figure.get_layout_engine()
            height = self.size[1]
            engine.set(rect=(0, 0, 1, 1 - (top + 4) / height))

    def _line(self, words: str, top: float, size: float, ink: str, weight: str = "normal") -> Any:
        wide, high = self.size
        return self.figure.text(
            10 / wide, 1 - top / high, words, va="top", ha="left", fontsize=size * POINT, color=ink,
            fontweight=weight, parse_math=False, in_layout=False,
        )  # fmt: skip

    def _clock(self) -> Any:
        if not self.source.frames:
            return None
        wide, high = self.size
        return self.figure.text(
            1 - 10 / wide, 1 - 10 / high, "", va="top", ha="right", fontsize=13 * POINT, color=MUTED,
            parse_math=False, in_layout=False,
        )  # fmt: skip

    def _legend(self) -> None:
        layout = self.source.layout
        named = [t for t in self.source.data if t.name and t.showlegend is not False and t.type in LISTED]
        if (
            layout.showlegend is False
            or not named
            or (len(self.source.data) == 1 and not named[0].showlegend)
        ):
            return
        handles = [_handle(trace) for trace in named]
        labels = [plain(trace.name) for trace in named]
        columns = max(1, int((self.size[0] - 20) // (48 + 6.6 * max(map(len, labels)))))
        legend = self.figure.legend(
            handles, labels, loc="outside lower left", ncols=min(columns, len(labels)), frameon=False,
            fontsize=12 * POINT, handlelength=2.6, columnspacing=1.4, borderpad=0.2, labelcolor=INK,
        )  # fmt: skip
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


def plain(words: str) -> str:
    """Plotly's marked-up words as they are read.

    >>> plain("<b>w</b> &lt; 1<br>t")
    'w < 1\\nt'
    """
    return html.unescape(re.sub(r"<[^>]*>", "", re.sub(r"<br ?/?>", "\n", words)))


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


def _key(trace: Any) -> str:
    """The panel of a trace: its pair of axes, or its scene."""
    if trace.type in ("surface", "scatter3d"):
        return trace.scene or "scene"
    return f"{trace.xaxis or 'x'} {trace.yaxis or 'y'}"


def _axes_of(layout: Any, key: str) -> tuple[Any, Any]:
    across, up = key.split()
    return layout[f"xaxis{across[1:]}"], layout[f"yaxis{up[1:]}"]


def _panels(source: go.Figure, figure: Any) -> dict[str, Any]:
    """Matplotlib's axes for each panel, on a grid made from the domains, axes shared where they match."""
    layout = source.layout
    boxes: dict[str, tuple[float, float, float, float]] = {}
    for trace in source.data:
        key = _key(trace)
        if key.startswith("scene"):
            across, up = layout[key].domain.x, layout[key].domain.y
        else:
            across, up = (axis.domain for axis in _axes_of(layout, key))
        (left, right), (bottom, top) = across or (0, 1), up or (0, 1)
        boxes[key] = left, right, bottom, top
    boxes = boxes or {"x y": (0, 1, 0, 1)}
    lefts = sorted({round(box[0], 6) for box in boxes.values()})
    tops = sorted({round(box[3], 6) for box in boxes.values()}, reverse=True)
    widths = [min(b[1] - b[0] for b in boxes.values() if round(b[0], 6) == left) for left in lefts]
    heights = [min(b[3] - b[2] for b in boxes.values() if round(b[3], 6) == top) for top in tops]
    grid = figure.add_gridspec(len(tops), len(lefts), width_ratios=widths, height_ratios=heights)
    found: dict[str, Any] = {}
    shared: dict[str, Any] = {}
    for key, (left, right, bottom, top) in boxes.items():
        columns = [place for place, x in enumerate(lefts) if left - 1e-6 <= x < right - 1e-6]
        rows = [place for place, y in enumerate(tops) if bottom + 1e-6 < y <= top + 1e-6]
        cell = grid[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        if key.startswith("scene"):
            found[key] = _scene(figure.add_subplot(cell, projection="3d", computed_zorder=False), layout[key])
            continue
        names = [_reference(layout, name) for name in key.split()]
        found[key] = figure.add_subplot(cell, sharex=shared.get(names[0]), sharey=shared.get(names[1]))
        for name in names:
            shared.setdefault(name, found[key])
        for axis, scale in zip(
            _axes_of(layout, key), (found[key].set_xscale, found[key].set_yscale), strict=True
        ):
            if axis.type == "log":
                scale("log")
    return found


def _reference(layout: Any, name: str) -> str:
    """The axis that an axis matches in the end, if only itself."""
    found = layout[f"{name[0]}axis{name[1:]}"].matches
    return name if found in (None, name) else _reference(layout, found)


def _scene(axes: Any, scene: Any) -> Any:
    """A 3-D panel, seen from where the scene's camera is."""
    eye = scene.camera.eye
    x, y, z = (1.25 if one is None else one for one in (eye.x, eye.y, eye.z))
    axes.view_init(elev=np.degrees(np.arctan2(z, np.hypot(x, y))), azim=np.degrees(np.arctan2(y, x)))
    for side in "xyz":
        axis = scene[f"{side}axis"]
        axes.set(**{f"{side}label": plain(axis.title.text or "")})
        if axis.range:
            axes.set(**{f"{side}lim": axis.range})
        if axis.tickvals is not None:
            axes.set(
                **{f"{side}ticks": axis.tickvals, f"{side}ticklabels": [plain(t) for t in axis.ticktext]}
            )
        pane = getattr(axes, f"{side}axis")
        pane.set_pane_color((1, 1, 1, 0))
        pane._axinfo["grid"]["color"] = GRID
        pane.set_tick_params(labelsize=11 * POINT)
    axes.set_box_aspect((1, 1, 0.7), zoom=1.08)
    return axes


def _dress(axes: Any, across: Any, up: Any) -> None:
    """Ranges, ticks and titles of one panel's axes."""
    axes.margins(0.02 if across.range is None else 0, 0.05)
    for side, axis, place in (("x", across, axes.xaxis), ("y", up, axes.yaxis)):
        log = axis.type == "log"
        limits = axis.range
        if limits is not None:
            getattr(axes, f"set_{side}lim")(*([10**one for one in limits] if log else limits))
        elif axis.autorange == "reversed":
            place.set_inverted(True)
        if axis.rangemode == "tozero" and limits is None and not log:
            getattr(axes, f"set_{side}lim")(**{"left" if side == "x" else "bottom": 0})
        if axis.tickvals is not None:
            place.set_ticks(list(axis.tickvals), minor=False)
            if axis.ticktext is not None:
                place.set_ticklabels([plain(str(one)) for one in axis.ticktext], parse_math=False)
            place.set_ticks([], minor=True)
        elif log:
            from matplotlib.ticker import FuncFormatter, NullFormatter

            place.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
            place.set_minor_formatter(NullFormatter())
        elif axis.nticks:
            from matplotlib.ticker import MaxNLocator

            place.set_major_locator(MaxNLocator(axis.nticks, steps=[1, 2, 5, 10]))
        if axis.title.text:
            place.set_label_text(plain(axis.title.text), fontsize=12.5 * POINT, color=MUTED, parse_math=False)
        font = axis.tickfont
        place.set_tick_params(
            length=0, labelsize=(font.size or 11.5) * POINT, labelcolor=font.color or MUTED, which="both"
        )
        if axis.showticklabels is False:
            place.set_tick_params(labelbottom=False, labelleft=False)
        if axis.showgrid is False:
            axes.grid(visible=False, axis=side)
        if axis.visible is False:
            place.set_visible(False)
    if (across.scaleanchor or up.scaleanchor) and across.range and up.range:
        axes.set_aspect("equal", adjustable="box")
    for name, spine in axes.spines.items():
        shown = (across if name in ("bottom", "top") else up).showline
        spine.set_visible(bool(shown) and name in ("bottom", "left"))
        spine.set_color(GRID)


def _panel(panels: Mapping[str, Any], reference: str | None, side: int) -> Any:
    """The panel an axis name belongs to; the first for the whole paper."""
    name = (reference or "paper").split()[0]
    for key, axes in panels.items():
        if not key.startswith("scene") and key.split()[side] == name:
            return axes
    return next(iter(panels.values()))


def _transform(panels: Mapping[str, Any], layout: Any, across: str | None, up: str | None) -> tuple[Any, Any]:
    """The panel and the transform for coordinates in `across` and `up`: data, a panel's domain, or the paper."""
    from matplotlib.transforms import Affine2D, blended_transform_factory

    axes = _panel(
        panels, up if (across or "paper") == "paper" else across, int((across or "paper") == "paper")
    )
    both = []
    for side, reference in enumerate((across or "paper", up or "paper")):
        if reference.endswith("domain"):
            both.append(axes.transAxes)
        elif reference == "paper":
            first = next(iter(panels))
            domain = (0, 1) if first.startswith("scene") else _axes_of(layout, first)[side].domain or (0, 1)
            scale, shift = 1 / (domain[1] - domain[0]), -domain[0] / (domain[1] - domain[0])
            moved = Affine2D().scale(scale).translate(shift, shift)
            both.append(moved + next(iter(panels.values())).transAxes)
        else:
            both.append(axes.transData)
    return axes, blended_transform_factory(*both)


def _number(value: Any, reference: str | None, layout: Any) -> Any:
    """A coordinate as Matplotlib takes it; Plotly writes annotations on log axes as powers of ten."""
    if reference in (None, "paper") or reference.endswith("domain"):
        return value
    axis = layout[f"{reference[0]}axis{reference[1:]}"]
    return 10**value if axis.type == "log" else value


def _annotation(panels: Mapping[str, Any], layout: Any, note: Any) -> None:
    refs = note.xref or "x", note.yref or "y"
    axes, transform = _transform(panels, layout, *refs)
    at = _number(note.x, refs[0], layout), _number(note.y, refs[1], layout)
    words = plain(note.text or "")
    style: dict[str, Any] = {
        "fontsize": (note.font.size or 12) * POINT, "color": note.font.color or INK, "parse_math": False,
        "fontweight": "bold" if (note.text or "").startswith("<b>") else "normal",
        "rotation": -(note.textangle or 0), "zorder": 5, "annotation_clip": False, "textcoords": "offset points",
        "ha": {"left": "left", "right": "right"}.get(note.xanchor or "", "center"),
        "va": {"top": "top", "bottom": "bottom"}.get(note.yanchor or "", "center"),
    }  # fmt: skip
    if note.bgcolor:
        style["bbox"] = {"facecolor": colour(note.bgcolor), "edgecolor": "none", "pad": 1.5}
    shift = (note.xshift or 0) * POINT, (note.yshift or 0) * POINT
    if note.showarrow is False:
        axes.annotate(words, at, shift, xycoords=transform, **style)
        return
    tint = note.arrowcolor or note.font.color or INK
    arrow = {"arrowstyle": "-|>,head_width=0.22,head_length=0.45" if note.arrowhead != 0 else "-",
             "color": tint, "linewidth": (note.arrowwidth or 1.5) * POINT, "shrinkA": 0,
             "shrinkB": (note.standoff or 0) * POINT}  # fmt: skip
    if note.axref and note.axref == refs[0]:
        tail = _number(note.ax, note.axref, layout), _number(note.ay, note.ayref, layout)
        axes.annotate("", at, tail, xycoords=transform, textcoords=transform, arrowprops=arrow, zorder=5)
        if words:
            style |= {"textcoords": "offset points", "va": "center"}
            axes.annotate(words, tail, shift, xycoords=transform, **style)
        return
    offset = (
        (note.ax if note.ax is not None else -10) * POINT,
        -(note.ay if note.ay is not None else -30) * POINT,
    )
    axes.annotate(words, at, offset, xycoords=transform, arrowprops=arrow, **style)


def _shape(panels: Mapping[str, Any], layout: Any, shape: Any) -> None:
    from matplotlib.patches import Ellipse, FancyBboxPatch, Rectangle

    axes, transform = _transform(panels, layout, shape.xref or "x", shape.yref or "y")
    x, y = (shape.x0, shape.x1), (shape.y0, shape.y1)
    line = shape.line
    width = (2 if line.width is None else line.width) * POINT
    own: dict[str, Any] = {"transform": transform, "zorder": 0.6 if shape.layer == "below" else 4,
                           "alpha": shape.opacity, "clip_on": "domain" not in f"{shape.xref}{shape.yref}"}  # fmt: skip
    limits = axes.get_xlim(), axes.get_ylim()
    if shape.type == "line":
        axes.plot(
            x, y, color=colour(line.color or INK), linewidth=width, linestyle=dashes(line.dash, width), **own
        )
    else:
        own |= {"facecolor": colour(shape.fillcolor) if shape.fillcolor else "none", "linewidth": width,
                "edgecolor": colour(line.color) if line.color and width else "none"}  # fmt: skip
        low, size = (min(x), min(y)), (abs(x[1] - x[0]), abs(y[1] - y[0]))
        if shape.type == "circle":
            axes.add_patch(Ellipse((sum(x) / 2, sum(y) / 2), *size, **own))
        elif shape.label.text is None:
            axes.add_patch(Rectangle(low, *size, **own))
        else:
            axes.add_patch(FancyBboxPatch(low, *size, boxstyle="square,pad=0", **own))
    axes.set(xlim=limits[0], ylim=limits[1])


def _handle(trace: Any) -> Any:
    """What stands for a trace in the legend."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    mode = getattr(trace, "mode", None) or ("lines" if trace.type in ("scatter", "scatter3d") else "")
    if trace.type == "bar":
        return Patch(color=colour(_one(trace.marker.color) or INK))
    if mode == "none" or (getattr(trace, "fill", None) and not (trace.line.width or 0)):
        return Patch(color=colour(trace.fillcolor))
    if "lines" not in mode and "markers" not in mode:
        return Line2D([], [], linestyle="none")
    from .traces import marked

    width = (2 if trace.line.width is None else trace.line.width) * POINT
    line = {"color": colour(trace.line.color or _one(trace.marker.color) or INK), "linewidth": width,
            "linestyle": dashes(trace.line.dash, width) if "lines" in mode else "none"}  # fmt: skip
    size = min(9.0, float(_one(trace.marker.size) or 6))
    marks = marked(
        trace.marker, _one(trace.marker.symbol), size, trace.line.color or _one(trace.marker.color)
    )
    return Line2D([], [], **line, **(marks if "markers" in mode else {}))


def _one(value: Any) -> Any:
    """The first of several, or the only one."""
    return value if isinstance(value, str) or not np.ndim(value) else values(value)[0] if len(value) else None


_LOOK: dict[str, Any] = {
    "svg.hashsalt": "thalweg", "svg.fonttype": "none", "font.size": 12 * POINT,
    "text.color": INK, "axes.labelcolor": MUTED, "axes.edgecolor": GRID, "axes.facecolor": "none",
    "axes.grid": True, "grid.color": GRID, "grid.linewidth": 0.7, "xtick.color": MUTED, "ytick.color": MUTED,
    "axes.axisbelow": True, "axes.unicode_minus": True, "lines.scale_dashes": False, "text.parse_math": False,
    "axes.xmargin": 0.02, "figure.autolayout": False,
}  # fmt: skip
