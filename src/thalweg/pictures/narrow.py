"""The same figure for a narrow page: panels below each other, each as high as it was."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go

from .layout import LINE, title_breaks

GAP = 74  # pixels between panels: the titles of an axis below one and of the next
PANEL = 250  # pixels of a panel, at least


def stacked(figure: go.Figure) -> dict[str, Any]:
    """The figure's layout with its panels in one column, read row by row.

    >>> from plotly.subplots import make_subplots
    >>> figure = make_subplots(cols=2).add_scatter(y=[1], row=1, col=1).add_scatter(y=[1], row=1, col=2)
    >>> layout = stacked(figure)
    >>> [layout[axis]["domain"] for axis in ("xaxis", "xaxis2")]
    [[0.0, 1.0], [0.0, 1.0]]
    >>> layout["yaxis"]["domain"][0] > layout["yaxis2"]["domain"][1]
    True
    """
    layout = figure.to_plotly_json()["layout"]
    panels = _panels(figure, layout)
    columns = {round(box[0], 4) for box in panels.values()}
    if len(columns) < 2:
        return layout
    margin = layout.get("margin", {})
    edges = margin.get("t", 28) + margin.get("b", 8)
    inside = layout.get("height", 420) - edges
    each = max(PANEL, inside * min(box[3] - box[2] for box in panels.values()))
    gap = GAP + LINE * title_breaks(figure)
    total = each * len(panels) + gap * (len(panels) - 1)
    flat = [key for key in panels if len(key) == 2]
    hidden = [all(layout[key[side]].get("showticklabels") is False for key in flat) for side in (0, 1)]  # in all panels
    layout.pop("meta", None)  # how wide panels side by side have to be
    ordered = sorted(panels, key=lambda key: (-round(panels[key][3], 4), panels[key][0]))
    for place, key in enumerate(ordered):
        top = 1 - place * (each + gap) / total
        domain = [max(0.0, top - each / total), top]
        if len(key) == 1:
            layout[key[0]]["domain"] = {"x": [0.0, 1.0], "y": domain}
        else:
            across, up = (layout[name] for name in key)
            across["domain"], up["domain"] = [0.0, 1.0], domain
            across["showticklabels"], up["showticklabels"] = (not side for side in hidden)
            for axis in (across, up):
                if axis.get("scaleanchor") and axis.get("range"):
                    axis.pop("matches", None)  # which would bend what has one scale in both directions
    layout["height"] = int(total + edges)
    layout.pop("width", None)
    return layout


def _panels(figure: go.Figure, layout: dict[str, Any]) -> dict[tuple[str, ...], tuple[float, ...]]:
    """(its axes, or its scene) → left, right, bottom, top of each panel."""
    boxes: dict[tuple[str, ...], tuple[float, ...]] = {}
    for trace in figure.data:
        if trace.type in ("surface", "scatter3d"):
            name = trace.scene or "scene"
            domain = layout.setdefault(name, {}).get("domain", {})
            boxes[(name,)] = (*domain.get("x", (0, 1)), *domain.get("y", (0, 1)))
        else:
            key = f"xaxis{(trace.xaxis or 'x')[1:]}", f"yaxis{(trace.yaxis or 'y')[1:]}"
            across, up = (layout.setdefault(name, {}).get("domain", (0, 1)) for name in key)
            boxes[key] = (*across, *up)
    return boxes
