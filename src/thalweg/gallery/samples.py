"""Pictures of samples and of several models: folds, targets, ensembles, triplets, mixed images, dropped units."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import KFold

import thalweg as tw
from thalweg.gallery.computed import embeddings, few_points, masks, shots, wave_points
from thalweg.pictures.lines import Panel, lines
from thalweg.pictures.marks import line
from thalweg.pictures.style import ORANGE, faded
from thalweg.pictures.teaching import cards, fold_rows, shares, targets, triplet_maps, units


def cross_validation() -> go.Figure:
    """Five folds of 30 samples: five models are trained, and every sample is judged on by the one that never saw it."""
    parts = [judging for _, judging in KFold(5).split(np.arange(30))]
    note = "30 samples in random order, 5 folds; the result is the mean over the folds"
    return fold_rows(parts, 30, "Cross-validation", note)


def bias_variance_target() -> go.Figure:
    """Each dot is one model, fitted to points of its own; where it lies are its answers at two places.

    A line through many points always misses in the same way: bias. Through few points it is scattered as well. Degree 9
    is right on average and scattered: variance. Degree 5 with many points is near the truth each time.
    """
    fits = {
        "bias alone": shots(degree=1, points=60),
        "bias and variance": shots(degree=1, points=4),
        "variance alone": shots(degree=9, points=12),
        "neither of them": shots(degree=5, points=60),
    }
    truth = wave_points(np.array([-0.5, 0.5]), noise=0.0)
    note = "40 fits each; from the left: degree 1 to 60 points and to 4, degree 9 to 12, degree 5 to 60"
    axes = ("answer at −0.5", "answer at 0.5")
    return targets(fits, truth, axes, "Bias and variance", note)


def bagging_and_boosting() -> go.Figure:
    """Bagging averages free models, each fitted to a draw of the samples: their swings cancel, so variance falls.

    Boosting adds stiff models, each fitted to what those before it got wrong, so bias falls with each stage.
    """
    x = torch.linspace(-1, 1, 101)[:, None]
    bag = tw.bag(few_points(hidden=32), "adam", lr=0.03, members=12, epochs=150)
    boost = tw.boost(few_points(hidden=2), rates=[0.03], members=16, epochs=150)
    stages = torch.as_tensor(boost.start) + (boost.weights[:, None, None] * boost.outputs(x)).cumsum(0)
    truth = {"truth": wave_points(x[:, 0].numpy(), noise=0.0)}
    mean = {"mean of 12 members": bag.predict(x)[:, 0].numpy()}
    names = {"after one stage": 1, "after 4 stages": 4, "after 16 stages": 16}
    after = {name: stages[k - 1, :, 0].numpy() for name, k in names.items()}
    panels = [
        Panel(x[:, 0].numpy(), truth | mean, "x", "y", "Bagging"),
        Panel(x[:, 0].numpy(), truth | after, "x", "y", "Boosting"),
    ]
    figure = lines(
        panels,
        "Bagging and boosting",
        "40 points of a wave with noise 0.3; networks with 32 hidden units, and with two",
    )
    figure.add_traces(
        [line(x[:, 0].numpy(), one[:, 0].numpy(), faded(ORANGE, 0.6), 0.8, showlegend=False) for one in bag.outputs(x)],
        rows=1,
        cols=1,
    )
    return figure.update_yaxes(range=[-1.9, 2.2])


def triplets() -> go.Figure:
    """Three kinds of digits as points of a plane, before and after training with the triplet loss.

    Each anchor is drawn to a positive, of its own kind, until a negative, of another kind, is farther by a margin.
    """
    labels, before, after, triplet = embeddings(digits=(3, 5, 8), steps=400)
    maps = {"before training": before, "after 400 steps": after}
    note = "the digits 3, 5 and 8; the triplet shown is the worst of 300 at the beginning"
    return triplet_maps(maps, labels, triplet, "The triplet loss", note)


def mixed_images() -> go.Figure:
    """MixUp lays one image over another, CutMix cuts a box out of it; labels are mixed by the same shares."""
    images, labels = load_digits(return_X_y=True)
    batch = torch.tensor(images[:10].reshape(-1, 1, 8, 8) / 16)
    rows = {}
    for name, mix in {"MixUp": tw.regularizers.MixUp(1.0), "CutMix": tw.regularizers.CutMix(1.0)}.items():
        made, (first, second, share) = mix(batch, torch.tensor(labels[:10]), seed=7, step=3)
        one, other, part = int(first[0]), int(second[0]), float(share)
        rows[name] = [(str(one), images[one].reshape(8, 8) / 16), (str(other), images[other].reshape(8, 8) / 16)]
        rows[name].append((f"{one}: {part:.0%}, {other}: {1 - part:.0%}", made[0, 0].numpy()))
    return cards(rows, "Mixed images have mixed labels", "handwritten digits; the shares are drawn anew for each batch")


def dropped_units() -> go.Figure:
    """Dropout: in every training step other units are left out, so none can rely on a certain other.

    What is kept is doubled at p = 0.5, so that sums stay the same on average. For predictions nothing is dropped.
    """
    kept = masks(layers=(4, 6, 6, 2), p=0.5, steps=2)
    return units(kept, "Dropout of half the hidden units", "the masks of two steps; inputs and outputs are kept")


def alexnet_parameters() -> go.Figure:
    """Where AlexNet's 61 million parameters are: 96% in its three dense layers, most of them in the first."""
    layers = tw.size("alexnet").layers
    counts = {one.name: one.weights + one.biases for one in layers if one.name and one.weights}
    return shares(counts, "The parameters of AlexNet", "Krizhevsky et al. 2012", unit="million weights and biases")
