"""Pictures that move: a figure's frames, with a button that plays them; nothing plays until it is asked to.

A frame says only what changes, so what stands still is drawn once.
"""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from .style import GRID, INK, MUTED, PAPER

PACE = 90  # milliseconds a frame stays
REST = 1500  # milliseconds the last frame stays


def animated(figure: go.Figure, frames: Sequence[go.Frame], unit: str = "step", still: int | None = None) -> go.Figure:
    """The figure with its frames, a button that plays them, and a slider; each frame's name counts `unit`s.

    `still` is the frame that stands where nothing moves, the last one unless given.
    """
    figure.frames = frames
    jump = {"frame": {"duration": 0, "redraw": True}, "mode": "immediate", "transition": {"duration": 0}}
    play = {"frame": {"duration": PACE, "redraw": True}, "fromcurrent": True, "transition": {"duration": 0}}
    menu = {
        "type": "buttons",
        "direction": "left",
        "showactive": False,
        "buttons": [
            {"label": "Play", "method": "animate", "args": [None, play]},
            {"label": "Pause", "method": "animate", "args": [[None], jump]},
        ],
        "x": 0,
        "y": 0,
        "xanchor": "left",
        "yanchor": "top",
        "pad": {"t": 44, "r": 8},
        "font": {"color": INK, "size": 12},
        "bgcolor": PAPER,
        "bordercolor": GRID,
    }
    slider = {
        "steps": [{"label": frame.name, "method": "animate", "args": [[frame.name], jump]} for frame in frames],
        "active": still,
        "x": 0.2,
        "y": 0,
        "len": 0.8,
        "yanchor": "top",
        "pad": {"t": 36},
        "currentvalue": {"prefix": f"{unit} ", "font": {"color": MUTED, "size": 12}},
        "font": {"color": "rgba(0,0,0,0)"},
        "ticklen": 0,
        "bordercolor": GRID,
    }
    return figure.update_layout(updatemenus=[menu], sliders=[slider])
