"""The pictures of docs/convolution.md: python docs/images/convolution/draw.py [FOLDER]."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
from sklearn.datasets import load_digits

import thalweg as tw
from thalweg.pictures.files import write


def sequence() -> go.Figure:
    return tw.convolve([1, 3, 2, -1, 4, 5, 2, 0, 1], [1, 0, -1], padding="full").picture()


def image() -> go.Figure:
    edges = [[1, 0, -1], [2, 0, -2], [1, 0, -1]]
    return tw.convolve(load_digits().images[0], edges, mode="cross-correlation", padding="same").picture()


def functions() -> go.Figure:
    def box(x: np.ndarray) -> np.ndarray:
        return np.where(abs(x) < 1, 1.0, 0.0)

    def fall(x: np.ndarray) -> np.ndarray:
        return np.where(x > 0, np.exp(-x.clip(0)), 0.0)

    return tw.convolve(box, fall, at=np.linspace(-3, 5, 161)).picture()


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    for draw in (sequence, image, functions):
        print(write(draw(), folder / f"{draw.__name__}.gif"))
