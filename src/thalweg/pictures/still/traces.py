"""One function per kind of Plotly trace that draws it on Matplotlib's axes; `DRAW` lists them.

Each takes the axes, the trace and how high it lies, and returns the artists it made.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..style import INK, plain

POINT = 0.72  # points in a pixel

_MARKS: dict[str, Any] = {
    "circle": "o",
    "square": "s",
    "diamond": "D",
    "cross": "P",
    "x": "X",
    "triangle-up": "^",
    "triangle-down": "v",
    "triangle-left": "<",
    "triangle-right": ">",
    "star": "*",
    "hexagon": "h",
    "pentagon": "p",
    "star-diamond": (4, 1, 0),
    "star-square": (4, 1, 45),
    "arrow": ">",
    "line-ns": "|",
    "line-ew": "_",
}
_CORNERS = {"hourglass": [(-1, 1), (1, 1), (-1, -1), (1, -1)], "bowtie": [(-1, 1), (-1, -1), (1, 1), (1, -1)]}
_DASHES = {"dot": (1, 1), "dash": (3, 3), "longdash": (5, 5), "dashdot": (3, 1, 1, 1), "longdashdot": (5, 2, 1, 2)}


def values(given: Any) -> np.ndarray:
    """A trace's array; Plotly keeps some as base64."""
    if isinstance(given, Mapping):
        found = np.frombuffer(base64.b64decode(given["bdata"]), given["dtype"])
        return found.reshape([int(n) for n in str(given["shape"]).split(",")]) if "shape" in given else found
    found = np.asarray(given)
    return np.asarray([np.nan if one is None else one for one in found]) if found.dtype == object else found


def colour(given: Any) -> Any:
    """Plotly's colour as Matplotlib's: `#RRGGBB` as it is, `rgb(...)` and `rgba(...)` as numbers.

    >>> colour("rgba(255,0,51,0.5)"), colour("#123456")
    ((1.0, 0.0, 0.2, 0.5), '#123456')
    """
    found = re.fullmatch(r"rgba?\(([^)]*)\)", given) if isinstance(given, str) else None
    if found is None:
        return given
    parts = [float(part) for part in found[1].split(",")]
    return (*(part / 255 for part in parts[:3]), *parts[3:])


def dashes(dash: str | None, width: float) -> Any:
    """Matplotlib's line style for Plotly's, in points."""
    if dash in (None, "solid"):
        return "-"
    if dash in _DASHES:
        return (0, [part * max(width, 2.0) for part in _DASHES[dash]])
    return (0, [float(part.removesuffix("px")) * POINT for part in str(dash).split(",")])


def marked(marker: Any, symbol: str | None, size: float, tint: Any = None) -> dict[str, Any]:
    """Matplotlib's marker for one symbol of Plotly's; `tint` where the marker has no single colour of its own."""
    name = symbol or "circle"
    base = name.removesuffix("-open")
    tint = colour(marker.color if isinstance(marker.color, str) else tint if isinstance(tint, str) else INK)
    edge = marker.line
    return {
        "marker": _MARKS.get(base) or [*_CORNERS[base], _CORNERS[base][0]],
        "markersize": size * POINT * (1.35 if base.startswith("star") else 1.0),
        "markerfacecolor": "none" if name.endswith("-open") else tint,
        "markeredgecolor": colour(edge.color) if isinstance(edge.color, str) else tint,
        "markeredgewidth": (
            edge.width if isinstance(edge.width, (int, float)) else 1.2 if name.endswith("-open") else 0
        )
        * POINT,
    }


def colours(scale: Any) -> Any:
    """A Plotly colour scale as Matplotlib's map."""
    from matplotlib.colors import LinearSegmentedColormap

    stops = [(stop, colour(tint)) for stop, tint in scale]
    return LinearSegmentedColormap.from_list("scale", stops)


def scatter(axes: Any, trace: Any, height: float) -> list[Any]:
    """Lines, markers, words, fills and error bars."""
    y = values(trace.y) if trace.y is not None else np.empty(0)
    x = values(trace.x) if trace.x is not None else np.arange(len(y))
    mode = trace.mode or ("lines+markers" if len(y) < 20 else "lines")
    made: list[Any] = []
    if trace.fill not in (None, "none"):
        made += _filled(axes, trace, x, y, height)
    if "lines" in mode and trace.line.width != 0 and trace.marker.symbol != "arrow":
        width = (trace.line.width or 2) * POINT
        shape = {"hv": "steps-post", "vh": "steps-pre", "hvh": "steps-mid"}.get(trace.line.shape or "", "default")
        made += axes.plot(
            x,
            y,
            color=colour(trace.line.color or INK),
            linewidth=width,
            linestyle=dashes(trace.line.dash, width),
            drawstyle=shape,
            alpha=trace.opacity,
            zorder=height,
            solid_capstyle="round",
        )
    if trace.error_x.array is not None:
        low = values(trace.error_x.arrayminus if trace.error_x.arrayminus is not None else trace.error_x.array)
        bars = axes.errorbar(
            x,
            y,
            xerr=[low, values(trace.error_x.array)],
            fmt="none",
            ecolor=colour(trace.error_x.color or INK),
            elinewidth=(trace.error_x.thickness or 2) * POINT,
            zorder=height,
        )
        made += [*bars.lines[2]]
    if "markers" in mode and trace.marker.symbol == "arrow":
        made += _arrows(axes, trace, x, y, height)
    elif "markers" in mode:
        made += _marks(axes, trace, x, y, height)
    if "text" in mode:
        made += _texts(axes, trace, x, y, height)
    return made


def _filled(axes: Any, trace: Any, x: np.ndarray, y: np.ndarray, height: float) -> list[Any]:
    tint = colour(trace.fillcolor or trace.line.color or INK)
    if trace.fill == "tozeroy":
        return [axes.fill_between(x, 0, y, color=tint, linewidth=0, zorder=height - 0.5)]
    gaps = np.flatnonzero(~np.isfinite(np.asarray(x, dtype=float)))
    rings = np.split(np.arange(len(x)), gaps)
    made = []
    for ring in rings:
        ring = ring[np.isfinite(np.asarray(x, dtype=float)[ring])]
        if len(ring) > 2:
            made += axes.fill(x[ring], y[ring], color=tint, linewidth=0, zorder=height - 0.5)
    return made


def _arrows(axes: Any, trace: Any, x: np.ndarray, y: np.ndarray, height: float) -> list[Any]:
    """An arrow along each line that ends in a marker with a size."""
    width = (trace.line.width or 2) * POINT
    look = {
        "arrowstyle": "-|>,head_width=0.2,head_length=0.4",
        "color": colour(trace.marker.color),
        "shrinkA": 0,
        "shrinkB": 0,
        "linewidth": width,
        "linestyle": dashes(trace.line.dash, width),
    }
    heads = [k for k, size in enumerate(trace.marker.size) if size and np.isfinite([x[k - 1], x[k]]).all()]
    return [
        axes.annotate("", (x[k], y[k]), (x[k - 1], y[k - 1]), arrowprops=look, zorder=height, clip_on=True)
        for k in heads
    ]


def _marks(axes: Any, trace: Any, x: np.ndarray, y: np.ndarray, height: float) -> list[Any]:
    """One call per symbol, size and colour, which may each be one for all or one for each point."""
    marker, count = trace.marker, len(y)
    every = max(1, -(-count // marker.maxdisplayed)) if marker.maxdisplayed else 1
    if isinstance(marker.color, str | None) and all(not np.ndim(one) for one in (marker.size, marker.symbol)):
        look = marked(marker, marker.symbol, marker.size or 6, trace.line.color)
        return axes.plot(
            x,
            y,
            linestyle="none",
            zorder=height + 0.0004,
            markevery=every,
            alpha=marker.opacity if marker.opacity is not None else trace.opacity,
            **look,
        )
    symbols = np.broadcast_to(np.asarray(marker.symbol or "circle"), count)
    sizes = np.broadcast_to(np.asarray(marker.size or 6, dtype=float), count)
    if isinstance(marker.color, str):
        tints: Any = [marker.color] * count
    elif np.asarray(marker.color).dtype.kind in "fiu":
        low, high = marker.cmin, marker.cmax
        shades = values(marker.color)
        low, high = ((shades.min() if low is None else low), (shades.max() if high is None else high))
        tints = colours(marker.colorscale)((shades - low) / ((high - low) or 1))
    else:
        tints = [colour(one) for one in np.asarray(marker.color).tolist()]
    made = []
    for symbol in dict.fromkeys(symbols.tolist()):
        here = np.flatnonzero(symbols == symbol)
        look = marked(marker, symbol, 1)
        made.append(
            axes.scatter(
                x[here],
                y[here],
                s=(sizes[here] * POINT) ** 2,
                c=[tints[k] for k in here],
                marker=look["marker"],
                linewidths=look["markeredgewidth"],
                edgecolors=look["markeredgecolor"] if isinstance(marker.line.color, str) else None,
                zorder=height + 0.0004,
            )
        )
    return made


def _texts(axes: Any, trace: Any, x: np.ndarray, y: np.ndarray, height: float) -> list[Any]:
    words = [trace.text] * len(y) if isinstance(trace.text, str) else list(trace.text)
    places = [trace.textposition] * len(y) if isinstance(trace.textposition, str | None) else list(trace.textposition)
    font, made = trace.textfont, []
    tints = [font.color] * len(y) if isinstance(font.color, str | None) else list(font.color)
    sizes = np.broadcast_to(np.asarray(font.size if font.size is not None else 12, dtype=float), len(y))
    size = trace.marker.size if isinstance(trace.marker.size, (int, float)) else 6
    away = (4 + size / 2) * POINT if "markers" in (trace.mode or "") else 0
    for k, word in enumerate(words):
        if not word or not (np.isfinite(x[k]) and np.isfinite(y[k])):
            continue
        up, _, side = (places[k] or "middle center").partition(" ")
        shift = ({"left": -away, "right": away}.get(side, 0), {"top": away, "bottom": -away}.get(up, 0))
        made.append(
            axes.annotate(
                plain(str(word)),
                (x[k], y[k]),
                shift,
                textcoords="offset points",
                zorder=height + 0.5,
                ha={"left": "right", "right": "left"}.get(side, "center"),
                va={"top": "bottom", "bottom": "top"}.get(up, "center_baseline"),
                fontsize=sizes[k] * POINT,
                color=colour(tints[k] or INK),
                parse_math=False,
                clip_on=True,
                fontweight="bold" if str(word).startswith("<b>") else "normal",
            )
        )
    return made


def bar(axes: Any, trace: Any, height: float) -> list[Any]:
    """Bars, upright or lying."""
    x, y = values(trace.x), values(trace.y)
    tint = (
        [colour(one) for one in trace.marker.color]
        if np.ndim(trace.marker.color)
        else colour(trace.marker.color or INK)
    )
    thick = 0.8 if trace.width is None else trace.width
    shift = 0 if trace.offset is None else trace.offset + np.asarray(thick) / 2
    base = 0 if trace.base is None else values(trace.base)
    own: dict[str, Any] = {"color": tint, "zorder": height, "alpha": trace.opacity}
    if trace.orientation == "h":
        return list(axes.barh(y + shift if trace.offset is not None else y, x, thick, left=base, **own))
    return list(axes.bar(x + shift if trace.offset is not None else x, y, thick, bottom=base, **own))


def _grid(trace: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    z = np.asarray(values(trace.z), dtype=float)
    x = values(trace.x) if trace.x is not None else np.arange(z.shape[1])
    y = values(trace.y) if trace.y is not None else np.arange(z.shape[0])
    return x, y, z


def _limits(trace: Any, z: np.ndarray) -> tuple[float, float]:
    low = trace.zmin if trace.zmin is not None else np.nanmin(z[np.isfinite(z)], initial=np.inf)
    high = trace.zmax if trace.zmax is not None else np.nanmax(z[np.isfinite(z)], initial=-np.inf)
    return float(low), float(high)


def contour(axes: Any, trace: Any, height: float) -> list[Any]:
    """Level lines, and the ground between them where it is filled."""
    x, y, z = _grid(trace)
    low, high = _limits(trace, z)
    own = trace.contours
    if own.size:
        levels = np.arange(own.start, own.end + own.size / 2, own.size)
    else:
        levels = np.linspace(low, high, (trace.ncontours or 15) + 1)[1:-1]
    made, tints = [], colours(trace.colorscale)
    shown = np.ma.masked_invalid(z)
    if own.coloring in (None, "fill", "heatmap"):
        ground = axes.contourf(
            x, y, shown, levels=levels, cmap=tints, vmin=low, vmax=high, extend="both", zorder=height - 0.9
        )
        made.append(ground)
        _scale(axes, trace, ground)
    if trace.line.width != 0:
        width = (trace.line.width or 0.5) * POINT
        tint = (
            {"cmap": tints, "vmin": low, "vmax": high}
            if own.coloring == "lines"
            else {"colors": [colour(trace.line.color or INK)]}
        )
        made.append(
            axes.contour(x, y, shown, levels=levels, linewidths=width, zorder=height - 0.8, linestyles="solid", **tint)
        )
    return made


def heatmap(axes: Any, trace: Any, height: float) -> list[Any]:
    """Cells, each centred on its point, with words in them where the trace has some."""
    x, y, z = _grid(trace)
    names = [axis if axis.dtype.kind in "OUS" else None for axis in (x, y)]
    for name, place in zip(names, (axes.xaxis, axes.yaxis), strict=True):
        if name is not None:
            place.set_ticks(range(len(name)), [plain(str(one)) for one in name])
    x, y = (np.arange(len(a)) if n is not None else a for a, n in zip((x, y), names, strict=True))
    low, high = _limits(trace, z)
    mesh = axes.pcolormesh(
        _edges(x, axes.get_xscale() == "log"),
        _edges(y, axes.get_yscale() == "log"),
        np.ma.masked_invalid(z),
        cmap=colours(trace.colorscale),
        vmin=low,
        vmax=high,
        zorder=height - 0.9,
        alpha=trace.opacity,
        rasterized=True,
        edgecolors="white" if trace.xgap else "none",
        linewidth=(trace.xgap or 0) * POINT,
    )
    made = [mesh]
    if trace.texttemplate:
        words = np.asarray(trace.text if trace.text is not None else z)
        for row, line in enumerate(words):
            for column, word in enumerate(line):
                shade = (z[row, column] - low) / ((high - low) or 1)
                own = trace.textfont.color or ("white" if np.mean(mesh.cmap(shade)[:3]) < 0.55 else INK)
                made.append(
                    axes.text(
                        x[column],
                        y[row],
                        plain(f"{word}"),
                        ha="center",
                        va="center",
                        color=own,
                        fontsize=(trace.textfont.size or 11) * POINT,
                        zorder=height,
                    )
                )
    _scale(axes, trace, mesh)
    return made


def _edges(centres: np.ndarray, log: bool) -> np.ndarray:
    at = np.log(centres) if log else np.asarray(centres, dtype=float)
    half = np.diff(at) / 2 if len(at) > 1 else np.array([0.5])
    found = np.concatenate([[at[0] - half[0]], at[:-1] + half if len(at) > 1 else [], [at[-1] + half[-1]]])
    return np.exp(found) if log else found


def _scale(axes: Any, trace: Any, shown: Any) -> None:
    """The colour bar, once: an animation draws the trace again and keeps its bar."""
    if trace.showscale is False or getattr(axes, "has_scale", False):
        return
    axes.has_scale = True
    own = trace.colorbar
    found = axes.figure.colorbar(shown, ax=axes, shrink=0.9, aspect=28, pad=0.02)
    found.outline.set_visible(False)
    if own.tickvals is not None:
        found.set_ticks(list(own.tickvals), labels=[plain(str(t)) for t in own.ticktext or own.tickvals])
    found.ax.tick_params(length=0, labelsize=11 * POINT)
    if own.title.text:
        found.set_label(plain(own.title.text), fontsize=12 * POINT)


def surface(axes: Any, trace: Any, height: float) -> list[Any]:
    """A lit sheet over the plane."""
    from matplotlib.colors import LightSource

    x, y, z = _grid(trace)
    if x.ndim == 1:
        x, y = np.meshgrid(x, y)
    shade = values(trace.surfacecolor) if trace.surfacecolor is not None else z
    low = float(np.nanmin(shade)) if trace.cmin is None else trace.cmin
    high = float(np.nanmax(shade)) if trace.cmax is None else trace.cmax
    tints = colours(trace.colorscale)((shade - low) / ((high - low) or 1))
    return [
        axes.plot_surface(
            x,
            y,
            z,
            facecolors=tints,
            rcount=70,
            ccount=70,
            linewidth=0,
            antialiased=False,
            zorder=height,
            lightsource=LightSource(315, 55),
            shade=True,
            alpha=trace.opacity,
        )
    ]


def scatter3d(axes: Any, trace: Any, height: float) -> list[Any]:
    """Lines and markers in space, above every sheet."""
    mode = trace.mode or "lines+markers"
    line, marker = trace.line, trace.marker
    width = (line.width or 2) * POINT * 0.7  # Plotly's lines in space are thinner than they say
    own: dict[str, Any] = {"linestyle": "none"}
    if "lines" in mode:
        own = {"linestyle": dashes(line.dash, width), "linewidth": width, "color": colour(line.color or INK)}
    if "markers" in mode:
        own |= marked(
            marker, marker.symbol if isinstance(marker.symbol, str) else None, (marker.size or 6) * 0.9, line.color
        )
    return axes.plot(values(trace.x), values(trace.y), values(trace.z), zorder=height + 10, **own)


DRAW: Mapping[str, Callable[[Any, Any, float], list[Any]]] = {
    "scatter": scatter,
    "bar": bar,
    "contour": contour,
    "heatmap": heatmap,
    "surface": surface,
    "scatter3d": scatter3d,
}
