"""Pictures that move: a figure's frames and a button that plays them. A frame holds only what changes in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from ..language import say
from .style import GRID, INK, MUTED, PAPER

PACE = 90  # milliseconds a frame stays
REST = 1500  # milliseconds the last frame stays
CONTROLS = 44  # pixels of the margin below, for the button and the slider


def animated(figure: go.Figure, frames: Sequence[go.Frame], unit: str = "step", still: int | None = None) -> go.Figure:
    """The figure with its frames, a button that plays them, and a slider; each frame's name counts `unit`s.

    `still` is the frame that stands where nothing moves, by default the last one.
    """
    figure.frames = frames
    jump = {"frame": {"duration": 0, "redraw": True}, "mode": "immediate", "transition": {"duration": 0}}
    play = {"frame": {"duration": PACE, "redraw": True}, "fromcurrent": True, "transition": {"duration": 0}}
    buttons = [_animate(say("Play"), None, play), _animate(say("Pause"), [None], jump)]
    menu = {"type": "buttons", "direction": "left", "showactive": False, "buttons": buttons}
    menu |= {"x": 0, "y": 0, "xanchor": "left", "yanchor": "top", "pad": {"t": 44, "r": 8}}
    menu |= {"font": {"color": INK, "size": 12}, "bgcolor": PAPER, "bordercolor": GRID}
    counter = {"prefix": f"{say(unit)} ", "font": {"color": MUTED, "size": 12}}
    steps = [_animate(frame.name, [frame.name], jump) for frame in frames]
    slider = {"steps": steps, "active": still, "currentvalue": counter, "font": {"color": "rgba(0,0,0,0)"}}
    slider |= {"x": 0.2, "y": 0, "len": 0.8, "yanchor": "top", "pad": {"t": 36}, "ticklen": 0, "bordercolor": GRID}
    return figure.update_layout(updatemenus=[menu], sliders=[slider])


def _animate(label: str, frames: list[Any] | None, how: dict[str, Any]) -> dict[str, Any]:
    return {"label": label, "method": "animate", "args": [frames, how]}
