"""Pictures of real networks: how training walked on its loss, sharp and flat minima, bias and variance."""

from __future__ import annotations

from tempfile import mkdtemp

import numpy as np
import plotly.graph_objects as go

import thalweg as tw
from thalweg.gallery.computed import polynomials, wave_points, widths
from thalweg.language import say
from thalweg.pictures.layout import headed, heading, log_axis
from thalweg.pictures.lines import Panel, lines
from thalweg.pictures.marks import points
from thalweg.pictures.style import INK


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
    """Do small batches end where the loss is flat? The smaller the batch, the smaller the curvature where it ends.

    Is flat better? Not by itself: 16 and 128 have nearly the same validation loss, though one end is about twice as
    flat. Full batches, of which an epoch has one, have not come as far. And for steps relative to the length of each
    run's own weights the order is reversed.
    """
    study = tw.compare(
        "digits",
        ["sgd"],
        [0.3, 1.0],
        ["constant"],
        seeds=1,
        epochs=60,
        batch_sizes=[16, 128, "full"],
        confirmation=3,
        store=mkdtemp() + "/digits.db",
        progress=False,
    )
    figure = study.sharpness(by="batch_size", seeds=3).picture()
    note = "digits, sgd, 60 epochs, 3 seeds; a bar is their mean. Lines go where the loss bends most."
    return headed(figure, "Sharp and flat minima", note)


def under_and_overfitting() -> go.Figure:
    """Polynomials fitted to 15 points of a wave with noise: a line misses its shape, degree 4 has it.

    Degree 12 goes through nearly all points and swings between them: its error is the smallest on the points that it is
    fitted to, and the largest on new ones.
    """
    x, degrees = np.linspace(-1, 1, 201), np.arange(1, 13)
    truth = wave_points(x, noise=0.0)
    fits, train, new, fitted_to = polynomials(degrees.tolist(), points=15, at=x)
    shown = {"truth": truth, "degree 1": fits[1], "degree 4": fits[4], "degree 12": fits[12]}
    errors = {"on the points it is fitted to": train, "on new points": new}
    panels = [
        Panel(x, {name: np.where(abs(y) < 2.2, y, np.nan) for name, y in shown.items()}, "x", "y", "Three fits"),
        Panel(degrees, errors, "degree", "mean squared error, log scale", "Every degree"),
    ]
    figure = lines(
        panels, "Under- and overfitting", "15 points of sin(πx)(1 + x) with noise 0.3; new points: 200 others"
    )
    figure.add_trace(points(*fitted_to, INK, 6, name=say("the 15 points")), row=1, col=1)
    low, high = min(map(min, errors.values())), max(map(max, errors.values()))
    return figure.update_yaxes(**log_axis(low / 1.3, 1.3 * high, most=6), row=1, col=2)


def bias_and_variance() -> go.Figure:
    """Wider networks miss less of the truth, and depend more on the sample: bias falls, variance rises in the end."""
    parts = tw.bias_variance("wave", ["adam"], rates=[0.03], models=widths(1, 4, 16, 64, 256), members=10, epochs=40)
    figure = parts.picture().update_xaxes(title_text=say("units in the hidden layer"))
    note = "wave, 10 resamples of each width; bands: 95% over the points that are predicted."
    return figure.update_layout(title=heading("What an error is made of", note), margin={"t": 70})
