"""Losses and divergences drawn from probabilities: noise and its loss, a coin's entropy, fits in either direction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go

from ..language import say
from .layout import dress
from .lines import Panel, lines
from .marks import line
from .numbers import short
from .style import MUTED, SHADE, plain_styles, text


def likelihood(noise: np.ndarray, losses: Mapping[str, np.ndarray]) -> go.Figure:
    """Densities of noise, and beside them their negative logarithms, which are losses.

    Args:
        noise: (points,) target minus prediction.
        losses: what the noise is called → (points,) −log p.

    >>> figure = likelihood(np.array([-1.0, 0.0, 1.0]), {"Laplace noise": np.array([1.0, 0.0, 1.0])})
    >>> figure.data[0].y.round(2).tolist(), figure.data[1].y.tolist()
    ([0.37, 1.0, 0.37], [1.0, 0.0, 1.0])
    """
    across = say("noise y − x")
    density = Panel(noise, {k: np.exp(-v) for k, v in losses.items()}, across, "p", say("Density of the noise"))
    loss = Panel(noise, losses, across, say("−log p"), say("Its negative logarithm: the loss"))
    return lines([density, loss], say("A loss is the negative log-likelihood of the noise"))


def coin(heads: np.ndarray, values: Mapping[str, np.ndarray]) -> go.Figure:
    """Entropies of a coin over its probability of heads, in nats; the fair coin marked."""
    figure = lines([Panel(heads, values, say("probability of heads p"), "nats")], say("How much a coin can surprise"))
    return figure.add_vline(x=0.5, line={"color": MUTED, "dash": "dot", "width": 1})


# what was minimized; the density of the Gaussian (points,); its mean and deviation, and the divergence in nats
Fit = tuple[str, np.ndarray, tuple[float, float, float]]


def gaussian_fits(x: np.ndarray, target: np.ndarray, fits: Sequence[Fit], note: str = "") -> go.Figure:
    """A density and the Gaussians fitted to it, with the numbers of each."""
    style = plain_styles(label for label, _, _ in fits)
    ground = {"fill": "tozeroy", "fillcolor": SHADE, "name": say("P, what is fitted"), "showlegend": True}
    figure = go.Figure(line(x, target, MUTED, 1.5, **ground))
    for label, density, numbers in fits:
        mean, deviation, divergence = (short(round(v, 3)) for v in numbers)
        name = say(
            "{label}: μ = {mean}, σ = {deviation}, {divergence} nats",
            label=text(label),
            mean=mean,
            deviation=deviation,
            divergence=divergence,
        )
        figure.add_trace(line(x, density, style[label], 2.4, name=name, showlegend=True))
    inside = x[np.maximum.reduce([target, *(density for _, density, _ in fits)]) > 1e-3 * target.max()]
    figure.update_xaxes(title_text="x", range=[inside.min(), inside.max()])
    figure.update_yaxes(title_text=say("density"), rangemode="tozero")
    title = say("One Gaussian fitted to two: forward covers both, reverse settles on one")
    return dress(figure, 420, title, note, t=66, b=90)
