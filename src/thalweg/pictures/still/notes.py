"""Annotations, arrows and shapes of a Plotly figure on Matplotlib's axes: in data, in a panel, or on the paper."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..style import INK, plain
from .panels import axes_of
from .traces import POINT, colour, dashes


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

    axes = _panel(panels, up if (across or "paper") == "paper" else across, int((across or "paper") == "paper"))
    both = []
    for side, reference in enumerate((across or "paper", up or "paper")):
        if reference.endswith("domain"):
            both.append(axes.transAxes)
        elif reference == "paper":
            first = next(iter(panels))
            domain = (0, 1) if first.startswith("scene") else axes_of(layout, first)[side].domain or (0, 1)
            scale, shift = (1 / (domain[1] - domain[0]), -domain[0] / (domain[1] - domain[0]))
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


def annotate(panels: Mapping[str, Any], layout: Any, note: Any) -> None:
    refs = note.xref or "x", note.yref or "y"
    axes, transform = _transform(panels, layout, *refs)
    at = _number(note.x, refs[0], layout), _number(note.y, refs[1], layout)
    words = plain(note.text or "")
    style: dict[str, Any] = {
        "fontsize": (note.font.size or 12) * POINT,
        "color": note.font.color or INK,
        "parse_math": False,
        "fontweight": "bold" if (note.text or "").startswith("<b>") else "normal",
        "rotation": -(note.textangle or 0),
        "zorder": 5,
        "annotation_clip": False,
        "textcoords": "offset points",
        "ha": {"left": "left", "right": "right"}.get(note.xanchor or "", "center"),
        "va": {"top": "top", "bottom": "bottom"}.get(note.yanchor or "", "center"),
    }
    if note.bgcolor:
        style["bbox"] = {"facecolor": colour(note.bgcolor), "edgecolor": "none", "pad": 1.5}
    if refs[1].endswith("domain") and (note.x, note.y, note.yanchor) == (0, 1, "bottom"):  # a panel's title
        axes.set_title(
            words,
            loc="left",
            fontsize=style["fontsize"],
            color=style["color"],
            pad=4,
            fontweight=style["fontweight"],
            parse_math=False,
        )
        return
    shift = (note.xshift or 0) * POINT, (note.yshift or 0) * POINT
    if note.showarrow is False:
        shown = axes.annotate(words, at, shift, xycoords=transform, **style)
        shown.set_in_layout(refs != ("paper", "paper"))
        return
    tint = note.arrowcolor or note.font.color or INK
    arrow = {
        "arrowstyle": "-|>,head_width=0.22,head_length=0.45" if note.arrowhead != 0 else "-",
        "color": tint,
        "linewidth": (note.arrowwidth or 1.5) * POINT,
        "shrinkA": 0,
        "shrinkB": (note.standoff or 0) * POINT,
    }
    if note.axref and note.axref == refs[0]:
        tail = (_number(note.ax, note.axref, layout), _number(note.ay, note.ayref, layout))
        axes.annotate("", at, tail, xycoords=transform, textcoords=transform, arrowprops=arrow, zorder=5)
        if words:
            style |= {"textcoords": "offset points", "va": "center"}
            axes.annotate(words, tail, shift, xycoords=transform, **style)
        return
    offset = ((note.ax if note.ax is not None else -10) * POINT, -(note.ay if note.ay is not None else -30) * POINT)
    axes.annotate(words, at, offset, xycoords=transform, arrowprops=arrow, **style)


def draw_shape(panels: Mapping[str, Any], layout: Any, shape: Any) -> None:
    from matplotlib.patches import Ellipse, FancyBboxPatch, Rectangle

    axes, transform = _transform(panels, layout, shape.xref or "x", shape.yref or "y")
    x, y = (shape.x0, shape.x1), (shape.y0, shape.y1)
    line = shape.line
    width = (2 if line.width is None else line.width) * POINT
    own: dict[str, Any] = {
        "transform": transform,
        "zorder": 0.6 if shape.layer == "below" else 4,
        "alpha": shape.opacity,
        "clip_on": "domain" not in f"{shape.xref}{shape.yref}",
    }
    limits = axes.get_xlim(), axes.get_ylim()
    if shape.type == "line":
        axes.plot(x, y, color=colour(line.color or INK), linewidth=width, linestyle=dashes(line.dash, width), **own)
    else:
        own |= {
            "facecolor": colour(shape.fillcolor) if shape.fillcolor else "none",
            "linewidth": width,
            "edgecolor": colour(line.color) if line.color and width else "none",
        }
        low, size = (min(x), min(y)), (abs(x[1] - x[0]), abs(y[1] - y[0]))
        if shape.type == "circle":
            axes.add_patch(Ellipse((sum(x) / 2, sum(y) / 2), *size, **own))
        elif shape.label.text is None:
            axes.add_patch(Rectangle(low, *size, **own))
        else:
            axes.add_patch(FancyBboxPatch(low, *size, boxstyle="square,pad=0", **own))
    axes.set(xlim=limits[0], ylim=limits[1])
