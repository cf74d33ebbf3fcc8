"""Pictures of calculus: the limit that a derivative is."""

from __future__ import annotations

import plotly.graph_objects as go

import thalweg as tw


def secant_to_tangent() -> go.Figure:
    """The derivative is a limit: the secant of 3x³ − 2x + 1 through x = 1 turns into the tangent as h goes to 0."""
    slope = tw.derivative("3*x**3 - 2*x + 1", at=1, method="limit")
    return slope.picture(h=0.8)
