"""Matplotlib's axes for each panel of a Plotly figure: where its domains say, with its ranges, ticks and titles."""

from __future__ import annotations

from typing import Any

import numpy as np
import plotly.graph_objects as go

from ..numbers import short
from ..style import GRID, MUTED, plain
from .traces import POINT


def key_of(trace: Any) -> str:
    """The panel of a trace: its pair of axes, or its scene."""
    if trace.type in ("surface", "scatter3d"):
        return trace.scene or "scene"
    return f"{trace.xaxis or 'x'} {trace.yaxis or 'y'}"


def axes_of(layout: Any, key: str) -> tuple[Any, Any]:
    across, up = key.split()
    return layout[f"xaxis{across[1:]}"], layout[f"yaxis{up[1:]}"]


def panels_of(source: go.Figure, figure: Any) -> dict[str, Any]:
    """Matplotlib's axes for each panel, on a grid made from the domains, axes shared where they match."""
    layout = source.layout
    boxes: dict[str, tuple[float, float, float, float]] = {}
    for trace in source.data:
        key = key_of(trace)
        if key.startswith("scene"):
            across, up = layout[key].domain.x, layout[key].domain.y
        else:
            across, up = (axis.domain for axis in axes_of(layout, key))
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
        for axis, scale in zip(axes_of(layout, key), (found[key].set_xscale, found[key].set_yscale), strict=True):
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
            axes.set(**{f"{side}ticks": axis.tickvals, f"{side}ticklabels": [plain(t) for t in axis.ticktext]})
        pane = getattr(axes, f"{side}axis")
        pane.set_pane_color((1, 1, 1, 0))
        pane._axinfo["grid"]["color"] = GRID
        pane.set_tick_params(labelsize=11 * POINT)
    axes.set_box_aspect((1, 1, 0.7), zoom=1.08)
    return axes


def dress_axes(axes: Any, across: Any, up: Any) -> None:
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
