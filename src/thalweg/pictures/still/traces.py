"""One function per kind of Plotly trace that draws it on Matplotlib's axes; `DRAW` lists them.

Each takes the axes, the trace and how high it lies, and returns its artists. `DRAWN` lists the attributes that
are drawn; `check` refuses every other one.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import plotly.graph_objects as go

from ..style import INK, PAPER, plain

POINT = 0.72  # points in a pixel

_MARKS: dict[str, Any] = {"circle": "o", "square": "s", "diamond": "D", "cross": "P", "x": "X", "star": "*"}
_MARKS |= {"hexagon": "h", "pentagon": "p", "star-diamond": (4, 1, 0), "star-square": (4, 1, 45)}
_MARKS |= {"triangle-up": "^", "triangle-down": "v", "triangle-left": "<", "triangle-right": ">", "arrow": ">"}
_MARKS |= {"line-ns": "|", "line-ew": "_", "hourglass": [(-1, 1), (1, 1), (-1, -1), (1, -1), (-1, 1)]}
_MARKS |= {"bowtie": [(-1, 1), (-1, -1), (1, 1), (1, -1), (-1, 1)]}
_DASHES = {"dot": (1, 1), "dash": (3, 3), "longdash": (5, 5), "dashdot": (3, 1, 1, 1), "longdashdot": (5, 2, 1, 2)}
_UNSEEN = {  # of a live figure only, or read elsewhere
    *("type", "name", "visible", "xaxis", "yaxis", "scene", "showlegend", "legendgroup", "lighting"),
    *("hovertext", "hoverinfo", "hovertemplate", "customdata"),
}
_FIELD = {"x", "y", "z", "colorscale", "showscale", "colorbar", "text"}
_LINES = {"x", "y", "mode", "line", "marker", "opacity"}
DRAWN = {
    "scatter": {*_LINES, "fill", "fillcolor", "text", "textposition", "textfont", "error_x", "cliponaxis"},
    "bar": {"x", "y", "marker"},
    "contour": {*_FIELD, "zmin", "zmax", "line", "contours", "ncontours"},
    "heatmap": {*_FIELD, "zmin", "zmax", "texttemplate", "textfont"},
    "surface": {*_FIELD, "surfacecolor", "opacity"},
    "scatter3d": {*_LINES, "z"},
}


def check(figure: go.Figure) -> None:
    """Refuse what would be left out.

    Raises:
        ValueError: a trace of another kind, an attribute that is not drawn, or an annotation with an arrow.
    """
    for trace in figure.data:
        if trace.type not in DRAWN:
            raise ValueError(f"a {trace.type} trace needs a browser: write .html, or draw one of {', '.join(DRAWN)}.")
        other = sorted(set(trace.to_plotly_json()) - DRAWN[trace.type] - _UNSEEN)
        if other:
            names = ", ".join(other)
            raise ValueError(f"{names} of a {trace.type} trace needs a browser: write .html, or leave it out.")
    if any(note.showarrow is not False for note in figure.layout.annotations):
        raise ValueError("an annotation with an arrow needs a browser: write .html, or set showarrow=False.")


def values(data: Any) -> np.ndarray:
    """A trace's array; Plotly keeps some as base64."""
    if isinstance(data, Mapping):
        flat = np.frombuffer(base64.b64decode(data["bdata"]), data["dtype"])
        return flat.reshape([int(n) for n in str(data["shape"]).split(",")]) if "shape" in data else flat
    array = np.asarray(data)
    return np.asarray([np.nan if one is None else one for one in array]) if array.dtype == object else array


def colour(tint: Any) -> Any:
    """Plotly's colour as Matplotlib's: `#RRGGBB` unchanged, `rgb(...)` and `rgba(...)` as numbers.

    >>> colour("rgba(255,0,51,0.5)"), colour("#123456")
    ((1.0, 0.0, 0.2, 0.5), '#123456')
    """
    parts = re.fullmatch(r"rgba?\(([^)]*)\)", tint)
    if parts is None:
        return tint
    numbers = [float(part) for part in parts[1].split(",")]
    return (*(part / 255 for part in numbers[:3]), *numbers[3:])


def dashes(dash: str | None, width: float) -> Any:
    """Matplotlib's line style for Plotly's, in points."""
    if dash in (None, "solid"):
        return "-"
    if dash in _DASHES:
        return (0, [part * max(width, 2.0) for part in _DASHES[dash]])
    return (0, [float(part.removesuffix("px")) * POINT for part in str(dash).split(",")])


def lined(line: Any) -> dict[str, Any]:
    """Matplotlib's line for Plotly's."""
    width = (2 if line.width is None else line.width) * POINT
    return {"color": colour(line.color or INK), "linewidth": width, "linestyle": dashes(line.dash, width)}


def marked(marker: Any, size: float) -> dict[str, Any]:
    """Matplotlib's marker for Plotly's, of a size in pixels."""
    name = marker.symbol or "circle"
    base, hollow = name.removesuffix("-open"), name.endswith("-open")
    tint, edge = colour(marker.color or INK), marker.line
    return {
        "marker": _MARKS[base],
        "markersize": size * POINT * (1.35 if base.startswith("star") else 1.0),
        "markerfacecolor": "none" if hollow else tint,
        "markeredgecolor": colour(edge.color) if edge.color else tint,
        "markeredgewidth": (edge.width if edge.width is not None else 1.2 * hollow) * POINT,
    }


def colours(scale: Any) -> Any:
    """A Plotly colour scale as Matplotlib's map."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("scale", [(stop, colour(tint)) for stop, tint in scale])


def scatter(axes: Any, trace: Any, height: float) -> list[Any]:
    """Lines, markers, words, fills and error bars."""
    y = values(trace.y)
    x = values(trace.x) if trace.x is not None else np.arange(len(y))
    mode = trace.mode or ("lines+markers" if len(y) < 20 else "lines")
    arrows = trace.marker.symbol == "arrow"
    artists = _fill(axes, trace, x, y, height) if trace.fill else []
    if "lines" in mode and trace.line.width != 0 and not arrows:
        shape = {"hv": "steps-post"}.get(trace.line.shape or "", "default")
        options = lined(trace.line) | {"drawstyle": shape, "solid_capstyle": "round"}
        artists += axes.plot(x, y, alpha=trace.opacity, zorder=height, **options)
    if trace.error_x.array is not None:
        bar, ends = trace.error_x, [values(trace.error_x[side]) for side in ("arrayminus", "array")]
        options = {"ecolor": colour(bar.color), "elinewidth": bar.thickness * POINT}
        artists += axes.errorbar(x, y, xerr=ends, fmt="none", zorder=height, **options).lines[2]
    if "markers" in mode:
        artists += (_arrows if arrows else _marks)(axes, trace, x, y, height)
    if "text" in mode:
        artists += _texts(axes, trace, x, y, height)
    return artists


def _fill(axes: Any, trace: Any, x: np.ndarray, y: np.ndarray, height: float) -> list[Any]:
    options = {"color": colour(trace.fillcolor or trace.line.color or INK), "linewidth": 0, "zorder": height - 0.5}
    if trace.fill == "tozeroy":
        return [axes.fill_between(x, 0, y, **options)]
    if x.dtype.kind in "OU":  # names of categories
        return axes.fill(x, y, **options)
    rings = np.ma.clump_unmasked(np.ma.masked_invalid(x)) if len(x) else []
    return [patch for ring in rings for patch in axes.fill(x[ring], y[ring], **options)]


def _arrows(axes: Any, trace: Any, x: np.ndarray, y: np.ndarray, height: float) -> list[Any]:
    """An arrow along each line that ends in a marker with a size."""
    options = {"arrowstyle": "-|>,head_width=0.2,head_length=0.4", "shrinkA": 0, "shrinkB": 0, **lined(trace.line)}
    heads = [k for k, size in enumerate(trace.marker.size) if size and np.isfinite([x[k - 1], x[k]]).all()]
    return [
        axes.annotate("", (x[k], y[k]), (x[k - 1], y[k - 1]), arrowprops=options, zorder=height, clip_on=True)
        for k in heads
    ]


def _marks(axes: Any, trace: Any, x: np.ndarray, y: np.ndarray, height: float) -> list[Any]:
    marker, height, inside = trace.marker, height + 0.0004, trace.cliponaxis is not False
    if not np.ndim(marker.size):
        every = max(1, -(-len(y) // marker.maxdisplayed)) if marker.maxdisplayed else 1
        options = marked(marker, marker.size or 6) | {"markevery": every, "alpha": trace.opacity, "clip_on": inside}
        return axes.plot(x, y, linestyle="none", zorder=height, **options)
    mark, areas = marked(marker, 1), (np.asarray(marker.size, dtype=float) * POINT) ** 2
    options = {"c": mark["markerfacecolor"], "linewidths": mark["markeredgewidth"]}
    return [axes.scatter(x, y, s=areas, marker=mark["marker"], zorder=height, clip_on=inside, **options)]


def _texts(axes: Any, trace: Any, x: np.ndarray, y: np.ndarray, height: float) -> list[Any]:
    places = [trace.textposition] * len(y) if isinstance(trace.textposition, str | None) else trace.textposition
    away = (4 + (trace.marker.size or 6) / 2) * POINT if "markers" in trace.mode else 0
    font = {"fontsize": (trace.textfont.size or 12) * POINT, "color": colour(trace.textfont.color or INK)}
    inside = trace.cliponaxis is not False
    font |= {"textcoords": "offset points", "zorder": height + 0.5, "clip_on": inside, "in_layout": inside}
    across = {"left": ("right", -away), "right": ("left", away)}  # side → alignment, shift
    along = {"top": ("bottom", away), "bottom": ("top", -away)}
    artists = []
    for word, place, at in zip(trace.text, places, zip(x, y, strict=True), strict=True):
        if word and np.isfinite(at).all():
            up, _, side = (place or "middle center").partition(" ")
            (ha, dx), (va, dy) = across.get(side, ("center", 0)), along.get(up, ("center_baseline", 0))
            artists.append(axes.annotate(plain(str(word)), at, (dx, dy), ha=ha, va=va, **font))
    return artists


def bar(axes: Any, trace: Any, height: float) -> list[Any]:
    """Upright bars."""
    return list(axes.bar(values(trace.x), values(trace.y), 0.8, color=colour(trace.marker.color), zorder=height))


def _grid(trace: Any) -> tuple[np.ndarray, np.ndarray, np.ma.MaskedArray]:
    z = np.ma.masked_invalid(np.asarray(values(trace.z), dtype=float))
    sides = zip((trace.y, trace.x), z.shape, strict=True)
    y, x = (np.arange(count) if side is None else values(side) for side, count in sides)
    return x, y, z


def _tints(trace: Any, z: Any) -> dict[str, Any]:
    """The colour map and its ends."""
    low, high = trace.zmin, trace.zmax
    ends = {"vmin": z.min() if low is None else low, "vmax": z.max() if high is None else high}
    return {"cmap": colours(trace.colorscale), **ends}


def contour(axes: Any, trace: Any, height: float) -> list[Any]:
    """Level lines, and the ground between them."""
    x, y, z = _grid(trace)
    tints, lines = _tints(trace, z), trace.contours
    levels = np.linspace(tints["vmin"], tints["vmax"], (trace.ncontours or 15) + 1)[1:-1]
    if lines.size:
        levels = np.arange(lines.start, lines.end + lines.size / 2, lines.size)
    ground = axes.contourf(x, y, z, levels=levels, extend="both", zorder=height - 0.9, **tints)
    _scale(axes, trace, ground)
    stroke = {"linewidths": (trace.line.width or 0.5) * POINT, "colors": [colour(trace.line.color or INK)]}
    return [ground, axes.contour(x, y, z, levels=levels, linestyles="solid", zorder=height - 0.8, **stroke)]


def heatmap(axes: Any, trace: Any, height: float) -> list[Any]:
    """Cells, each centred on its point, with words in them where the trace has some."""
    x, y, z = _grid(trace)
    tints = _tints(trace, z)
    mesh = axes.pcolormesh(x, y, z, shading="nearest", zorder=height - 0.9, rasterized=True, **tints)
    _scale(axes, trace, mesh)
    if not trace.texttemplate:
        return [mesh]
    options = {"ha": "center", "va": "center", "zorder": height, "fontsize": (trace.textfont.size or 11) * POINT}
    light = mesh.to_rgba(z)[..., :3] @ (0.3, 0.59, 0.11)  # as a browser has it where no colour is given
    inks = np.where(light > 0.5, trace.textfont.color or INK, trace.textfont.color or PAPER)
    places = [place for place in np.ndindex(z.shape) if trace.text[place[0]][place[1]]]
    said = (axes.text(x[k], y[row], plain(str(trace.text[row][k])), color=inks[row, k], **options) for row, k in places)
    return [mesh, *said]


def _scale(axes: Any, trace: Any, artist: Any) -> None:
    """The colour bar, once: an animation draws the trace again and keeps its bar."""
    if trace.showscale is False or getattr(axes, "has_scale", False):
        return
    axes.has_scale = True
    bar, source = axes.figure.colorbar(artist, ax=axes, shrink=0.9, aspect=28, pad=0.02), trace.colorbar
    bar.outline.set_visible(False)
    if source.tickvals is not None:
        bar.set_ticks(list(source.tickvals), labels=list(source.ticktext))
    bar.ax.tick_params(length=0, labelsize=11 * POINT)
    bar.set_label(plain(source.title.text or ""), fontsize=12 * POINT)


def surface(axes: Any, trace: Any, height: float) -> list[Any]:
    """A lit sheet over the plane."""
    from matplotlib.colors import LightSource, Normalize

    x, y, z = _grid(trace)
    shade = z if trace.surfacecolor is None else values(trace.surfacecolor)
    tints = colours(trace.colorscale)(Normalize()(shade))
    options = {"rcount": 70, "ccount": 70, "linewidth": 0, "antialiased": False, "lightsource": LightSource(315, 55)}
    x, y = np.meshgrid(x, y)
    return [axes.plot_surface(x, y, z, facecolors=tints, zorder=height, alpha=trace.opacity, **options)]


def scatter3d(axes: Any, trace: Any, height: float) -> list[Any]:
    """Lines and markers in space, above every sheet."""
    options = lined(trace.line)
    options["linewidth"] *= 0.7  # Plotly's lines in space are thinner than they say
    if "markers" in trace.mode:
        options |= marked(trace.marker, (trace.marker.size or 6) * 0.9)
    return axes.plot(*(values(trace[side]) for side in "xyz"), zorder=height + 10, **options)


DRAW: Mapping[str, Callable[[Any, Any, float], list[Any]]] = {
    kind.__name__: kind for kind in (scatter, bar, contour, heatmap, surface, scatter3d)
}
