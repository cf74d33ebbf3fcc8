"""Words and shapes of a Plotly figure on Matplotlib's axes: placed in data, in a panel, or on the paper."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..layout import Panel
from ..style import INK, plain
from .traces import POINT, colour, lined


def _place(panels: Mapping[Panel, Any], thing: Any) -> tuple[Any, Any]:
    """The panel of a note or a shape, and the transform of its coordinates; the paper is that of the first panel."""
    from matplotlib.transforms import blended_transform_factory

    refs = thing.xref or "x", thing.yref or "y"
    names = {f"{ref[0]}axis{ref.split()[0][1:]}" for ref in refs if ref != "paper"}
    axes = next(axes for key, axes in panels.items() if names <= {*key})
    data = (ref[1:].isdigit() or ref in ("x", "y") for ref in refs)
    return axes, blended_transform_factory(*(axes.transData if one else axes.transAxes for one in data))


def annotate(panels: Mapping[Panel, Any], note: Any) -> None:
    """Words at a place; a panel's title where they hang above one."""
    axes, transform = _place(panels, note)
    words, bold = plain(note.text or ""), (note.text or "").startswith("<b>")
    font = {"fontsize": (note.font.size or 12) * POINT, "color": note.font.color or INK}
    font |= {"fontweight": "bold" if bold else "normal"}
    if (note.yref or "").endswith("domain") and (note.x, note.y, note.yanchor) == (0, 1, "bottom"):
        axes.set_title(words, loc="left", pad=4, **font)
        return
    ha = note.xanchor if note.xanchor in ("left", "right") else "center"
    va = note.yanchor if note.yanchor in ("top", "bottom") else "center"
    shift = (note.xshift or 0) * POINT, (note.yshift or 0) * POINT
    options = {"xycoords": transform, "textcoords": "offset points", "annotation_clip": False, "zorder": 5}
    artist = axes.annotate(words, (note.x, note.y), shift, ha=ha, va=va, **options, **font)
    artist.set_in_layout((note.xref, note.yref) != ("paper", "paper"))


def draw_shape(panels: Mapping[Panel, Any], shape: Any) -> None:
    """A line or a rectangle."""
    from matplotlib.patches import Rectangle

    axes, transform = _place(panels, shape)
    below, inside = shape.layer == "below", "domain" not in f"{shape.xref}{shape.yref}"
    options = {"transform": transform, "zorder": 0.6 if below else 4, "clip_on": inside}
    limits = {"xlim": axes.get_xlim(), "ylim": axes.get_ylim()}
    if shape.type == "line":
        axes.plot((shape.x0, shape.x1), (shape.y0, shape.y1), **lined(shape.line), **options)
    else:
        corner, size = (shape.x0, shape.y0), (shape.x1 - shape.x0, shape.y1 - shape.y0)
        axes.add_patch(Rectangle(corner, *size, facecolor=colour(shape.fillcolor), linewidth=0, **options))
    axes.set(**limits)
