"""Pictures of convolution: a kernel on its way over a sequence and over an image."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
from sklearn.datasets import load_digits

import thalweg as tw


def convolution() -> go.Figure:
    """A kernel slides over a sequence, flipped, because it is a true convolution: each value is a sum of products."""
    signal = np.array([0, 1, 3, 2, 0, 0, 4, 1, 0, 2, 2, 2.0])
    return tw.convolve(signal, [1.0, 2.0, -1.0], padding="same").picture()


def cross_correlation() -> go.Figure:
    """A kernel that finds edges slides over a handwritten digit as it is: what networks call a convolution."""
    digit = load_digits().images[3]
    return tw.convolve(digit, [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]], mode="cross-correlation", padding=1).picture()
