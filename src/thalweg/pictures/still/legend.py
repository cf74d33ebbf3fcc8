"""What stands for a trace in the legend of a still picture."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..style import INK
from .traces import POINT, colour, dashes, marked, values


def handle_of(trace: Any) -> Any:
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
    width = (2 if trace.line.width is None else trace.line.width) * POINT
    line = {
        "color": colour(trace.line.color or _one(trace.marker.color) or INK),
        "linewidth": width,
        "linestyle": dashes(trace.line.dash, width) if "lines" in mode else "none",
    }
    size = min(9.0, float(_one(trace.marker.size) or 6))
    marks = marked(trace.marker, _one(trace.marker.symbol), size, trace.line.color or _one(trace.marker.color))
    return Line2D([], [], **line, **(marks if "markers" in mode else {}))


def _one(value: Any) -> Any:
    """The first of several, or the only one."""
    return value if isinstance(value, str) or not np.ndim(value) else values(value)[0] if len(value) else None
