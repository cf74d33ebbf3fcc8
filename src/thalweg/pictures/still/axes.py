"""Matplotlib's axes for each panel of a Plotly figure: where its domains say, with its ranges, ticks and titles."""

from __future__ import annotations

from typing import Any

import numpy as np
import plotly.graph_objects as go

from ..layout import Panel, boxes_of
from ..numbers import short
from ..style import GRID, MUTED, plain
from .traces import POINT


def panels_of(source: go.Figure, figure: Any) -> dict[Panel, Any]:
    """Matplotlib's axes for each panel, on a grid made from the domains, axes shared where they match."""
    layout = source.layout
    boxes = {key: tuple(round(end, 6) for end in box) for key, box in boxes_of(source).items()}
    boxes = boxes or {("xaxis", "yaxis"): (0, 1, 0, 1)}
    lefts = sorted({left for left, _, _, _ in boxes.values()})
    tops = sorted({top for _, _, _, top in boxes.values()}, reverse=True)
    widths = [min(b[1] - b[0] for b in boxes.values() if b[0] == left) for left in lefts]
    heights = [min(b[3] - b[2] for b in boxes.values() if b[3] == top) for top in tops]
    grid = figure.add_gridspec(len(tops), len(lefts), width_ratios=widths, height_ratios=heights)
    panels: dict[Panel, Any] = {}
    shared: dict[str, Any] = {}
    for key, (left, right, bottom, top) in boxes.items():
        columns = [place for place, x in enumerate(lefts) if left <= x < right]
        rows = [place for place, y in enumerate(tops) if bottom < y <= top]
        cell = grid[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        if len(key) == 1:
            panels[key] = _scene(figure.add_subplot(cell, projection="3d", computed_zorder=False), layout[key[0]])
            continue
        across, up = (_matched(layout[name], layout) for name in key)
        panels[key] = figure.add_subplot(cell, sharex=shared.get(across), sharey=shared.get(up))
        shared = {across: panels[key], up: panels[key]} | shared
        panels[key].set(**{f"{name[0]}scale": "log" for name in key if layout[name].type == "log"})
    return panels


def _matched(axis: Any, layout: Any) -> str:
    """The name of the axis that an axis matches in the end, if only itself."""
    name = axis.matches and f"{axis.matches[0]}axis{axis.matches[1:]}"
    return axis.plotly_name if name in (None, axis.plotly_name) else _matched(layout[name], layout)


def _scene(axes: Any, scene: Any) -> Any:
    """A 3-D panel, seen from where the scene's camera is."""
    eye = scene.camera.eye
    x, y, z = (1.25 if one is None else one for one in (eye.x, eye.y, eye.z))
    axes.view_init(elev=np.degrees(np.arctan2(z, np.hypot(x, y))), azim=np.degrees(np.arctan2(y, x)))
    for side in "xyz":
        axis, pane = scene[f"{side}axis"], getattr(axes, f"{side}axis")
        pane.set_label_text(plain(axis.title.text or ""), fontsize=12 * POINT)
        if axis.tickvals is not None:
            pane.set_ticks(list(axis.tickvals), labels=list(axis.ticktext))
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
        if axis.range is not None:
            axes.set(**{f"{side}lim": [10**end for end in axis.range] if log else axis.range})
        elif axis.rangemode == "tozero" and not log:
            axes.set(**{f"{side}lim": (0, None)})
        _ticks(place, axis, log)
        place.set_label_text(plain(axis.title.text or ""))
        axes.grid(visible=axis.showgrid is not False, axis=side)
        place.set_visible(axis.visible is not False)
    if (across.scaleanchor or up.scaleanchor) and across.range and up.range:
        axes.set_aspect("equal", adjustable="box")
    axes.spines["bottom"].set_visible(bool(across.showline))


def _ticks(place: Any, axis: Any, log: bool) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

    font, visible = axis.tickfont, axis.showticklabels is not False
    if axis.tickvals is not None:
        place.set_ticks(list(axis.tickvals), labels=[plain(str(one)) for one in axis.ticktext])
        place.set_ticks([], minor=True)
    elif log:
        place.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
        place.set_minor_formatter(NullFormatter())
    elif axis.nticks:
        place.set_major_locator(MaxNLocator(axis.nticks, steps=[1, 2, 5, 10]))
    options = {"length": 0, "labelsize": (font.size or 12) * POINT, "labelcolor": font.color or MUTED}
    place.set_tick_params(which="both", **options, labelbottom=visible, labelleft=visible)
