"""Draws the picture of docs/resampling.md: `python docs/images/resampling/draw.py`; the same library, the same file."""

from __future__ import annotations

from pathlib import Path

from torch import nn

import thalweg as tw
from thalweg.pictures.files import write


def network(width: int) -> nn.Module:
    return nn.Sequential(nn.Linear(1, width), nn.Tanh(), nn.Linear(width, 1))


if __name__ == "__main__":
    models = {width: lambda width=width: network(width) for width in (1, 2, 4, 8, 32, 128)}
    parts = tw.bias_variance("wave", ["adam"], rates=[0.03], models=models, members=30, epochs=60)
    print(parts)
    print(write(parts.picture(), Path(__file__).with_name("bias-variance.png")))
