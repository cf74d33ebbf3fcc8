"""Pictures of real networks: how training walked on its loss, sharp and flat minima, bias and variance."""

from __future__ import annotations

from tempfile import mkdtemp

import plotly.graph_objects as go

import thalweg as tw
from thalweg.gallery.computed import widths
from thalweg.pictures.layout import headed


def training_path() -> go.Figure:
    """The loss of a network in the plane of its own training path, and the path on it."""
    study = tw.compare(
        "digits",
        ["adam"],
        [0.01],
        ["constant"],
        seeds=1,
        epochs=8,
        confirmation=0,
        store=mkdtemp() + "/digits.db",
        progress=False,
    )
    return tw.landscape(study, kind="path", points=21).picture()


def sharp_and_flat_minima() -> go.Figure:
    """Do small batches end where the loss is flat? Its largest curvature at the end of each batch size's best runs.

    Below, the loss along the direction in which it bends most: for equal steps, and for steps by the length of each
    run's weights.
    """
    study = tw.compare(
        "digits",
        ["sgd"],
        [0.3, 1.0],
        ["constant"],
        seeds=1,
        epochs=15,
        batch_sizes=[16, 128, "full"],
        confirmation=3,
        store=mkdtemp() + "/digits.db",
        progress=False,
    )
    figure = study.sharpness(by="batch_size", seeds=3).picture()
    return headed(figure, "Sharp and flat minima", "digits, sgd, 15 epochs, 3 seeds; a bar is their mean.")


def bias_and_variance() -> go.Figure:
    """Wider networks miss less of the truth, and depend more on the sample: bias falls, variance rises in the end."""
    parts = tw.bias_variance("wave", ["adam"], rates=[0.03], models=widths(1, 4, 16, 64, 256), members=10, epochs=40)
    return parts.picture()
