"""What the pictures of regularizers are put together from: a small figure, words in it, and rows of images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
import torch
from torch import Tensor

import thalweg as tw
from thalweg.pictures.layout import dress
from thalweg.pictures.marks import line, words
from thalweg.pictures.style import BLUE, INK, MUTED, VERMILION

WIDTH = 340  # pixels, of every picture
SIDE, PITCH = 8, 13  # pixels of an image; from one image of a row to the next
SIZE = 12  # pixels, of words inside a picture
PALE = "#A9AEB6"  # what was there before


def small(figure: go.Figure, height: int, title: str, note: str = "") -> go.Figure:
    """The figure as one of the pictures: a heading above it, words beside its lines in place of a legend."""
    return dress(figure, height, title, note).update_layout(width=WIDTH, showlegend=False)


def label(x: float, y: float, text: str, colour: str = INK, place: str = "middle right") -> go.Scatter:
    """Words at a point."""
    return words([x], [y], [text], colour, SIZE, textposition=place)


def ticks(*values: float) -> dict[str, list[Any]]:
    """An axis with these numbers on it.

    >>> ticks(-1, 0.5)["ticktext"]
    ['−1', '0.5']
    """
    return {"tickvals": [*values], "ticktext": [f"{value:g}".replace("-", "−") for value in values]}


def digit(*ids: int) -> Tensor:
    """The first image of each of these digits, (count, 1, 8, 8), from 0 to 1."""
    images, targets = tw.prepare("digits-cnn").train
    return torch.stack([images[int((targets == one).nonzero()[0])] for one in ids])


def row(images: Sequence[Tensor], captions: Sequence[str], signs: Sequence[str], title: str, note: str) -> go.Figure:
    """Images (channels, 8, 8) side by side; one channel is drawn in black, two in blue and red."""
    figure, middles = go.Figure(), np.arange(len(images)) * PITCH + SIDE / 2
    for place, image in enumerate(images):
        for channel, ink in zip(image, (INK,) if len(image) == 1 else (BLUE, VERMILION), strict=True):
            figure.add_trace(inked(place, channel, ink))
        figure.add_trace(frame(place, (0, SIDE, 0, SIDE), MUTED, 1))
    centred = {"textposition": "middle center"}
    figure.add_trace(words(middles, [SIDE + 1.3] * len(images), captions, size=SIZE, **centred))
    figure.add_trace(words(middles[: len(signs)] + PITCH / 2, [SIDE / 2] * len(signs), signs, MUTED, 15, **centred))
    across, down = [-3, middles[-1] + SIDE / 2 + 3], [SIDE + 2.4, -0.3]
    figure.update_xaxes(range=across, visible=False).update_yaxes(range=down, visible=False, scaleanchor="x")
    high = (WIDTH - 20) * (down[0] - down[1]) / (across[1] - across[0])
    return small(figure, 62 + round(high), title, note)


def inked(at: int, values: Tensor, ink: str, most: float = 1.0) -> go.Heatmap:
    """One channel of the image at a place of the row, from nothing at 0 to an opacity of `most` at 1."""
    red, green, blue = (int(ink[place : place + 2], 16) for place in (1, 3, 5))
    clear, full = (f"rgba({red},{green},{blue},{opacity})" for opacity in (0, most))
    centres = np.arange(SIDE) + 0.5
    shades = {"colorscale": [[0, clear], [1, full]], "showscale": False, "zmin": 0, "zmax": 1}
    return go.Heatmap(x=at * PITCH + centres, y=centres, z=values.clamp(0, 1).numpy(), **shades)


def frame(place: int, box: Sequence[float], colour: str, width: float = 2.4) -> go.Scatter:
    """A rectangle (left, right, top, bottom), in pixels of the image at a place."""
    left, right, top, bottom = box
    across = [place * PITCH + x for x in (left, right, right, left, left)]
    return line(across, [top, top, bottom, bottom, top], colour, width)
