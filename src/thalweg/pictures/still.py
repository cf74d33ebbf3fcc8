"""Lines as a PNG or SVG file, drawn without a browser: small panels that share a look with the live figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .style import BAND, BLUE, GRID, INK, MUTED, PAPER, VERMILION


@dataclass(frozen=True)
class Panel:
    """One line with, if known, a band around it and a marked point.

    Attributes:
        x, y: (points,).
        title: above the panel.
        band: (lowest, highest), (points,) each.
        mark: (x, y) of a ring.
        x_title, y_title: of the axes.
        log_x, log_y: whether an axis is logarithmic.
    """

    x: np.ndarray
    y: np.ndarray
    title: str = ""
    band: tuple[np.ndarray, np.ndarray] | None = None
    mark: tuple[float, float] | None = None
    x_title: str = ""
    y_title: str = ""
    log_x: bool = False
    log_y: bool = False
    limits: tuple[float, float] | None = field(default=None)


def write_still(
    panels: Sequence[Panel], path: str | Path, columns: int = 1, size: tuple[float, float] = (6.4, 3.2)
) -> Path:
    """Draw the panels in a grid into a file; its ending, .png or .svg, is its format.

    Args:
        size: of one panel, in inches.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = -(-len(panels) // columns)
    with matplotlib.rc_context(_LOOK):
        figure = Figure(figsize=(size[0] * columns, size[1] * rows), layout="constrained", facecolor=PAPER)
        FigureCanvasAgg(figure)
        for place, panel in enumerate(panels):
            _draw(figure.add_subplot(rows, columns, place + 1), panel)
        # No date inside: the same picture is the same file.
        metadata: Mapping[str, None] = {"Date": None} if str(path).endswith(".svg") else {}
        figure.savefig(path, dpi=150, metadata=dict(metadata))
    return Path(path)


def _draw(axes, panel: Panel) -> None:  # matplotlib ships no types that pyright can read here
    axes.plot(panel.x, panel.y, color=BLUE, linewidth=1.6)
    if panel.band is not None:
        axes.fill_between(panel.x, *panel.band, color=BLUE, alpha=2 * BAND, linewidth=0)
    if panel.mark is not None:
        axes.plot(*panel.mark, marker="o", markersize=9, markerfacecolor="none", color=VERMILION)
    axes.set_title(panel.title, loc="left")
    axes.set(xlabel=panel.x_title, ylabel=panel.y_title)
    if panel.log_x:
        axes.set_xscale("log")
    if panel.log_y:
        axes.set_yscale("log")
    if panel.limits is not None:
        axes.set_ylim(*panel.limits)


_LOOK: Any = {
    "svg.hashsalt": "thalweg", "svg.fonttype": "none", "font.size": 9, "font.family": "sans-serif",
    "text.color": INK, "axes.labelcolor": MUTED, "axes.edgecolor": GRID, "axes.titlesize": 9,
    "axes.titlecolor": INK, "axes.grid": True, "grid.color": GRID, "xtick.color": MUTED, "ytick.color": MUTED,
    "axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True,
}  # fmt: skip
