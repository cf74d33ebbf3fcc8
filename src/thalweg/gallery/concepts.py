"""Pictures of ideas: where losses come from, the limit that a slope is, and how the rules are related."""

from __future__ import annotations

import plotly.graph_objects as go
import torch

import thalweg as tw
from thalweg.gallery.computed import catalogue, every_schedule, fitted
from thalweg.pictures.family import family_tree as tree
from thalweg.pictures.family import rule_table as table
from thalweg.pictures.likelihood import coin, gaussian_fits, likelihood
from thalweg.pictures.lines import Panel, lines
from thalweg.pictures.schedules import schedule_grid


def loss_from_likelihood() -> go.Figure:
    """Laplace noise gives the absolute error, Gaussian noise the squared one: the loss is the noise's −log p."""
    noise = torch.linspace(-3, 3, 121)
    names = {"Laplace noise": "Laplace", "Gaussian noise": "Normal"}
    losses = {name: tw.losses.from_distribution(kind, fixed={"scale": 1.0}) for name, kind in names.items()}
    values = {name: loss.per_sample(torch.zeros(121), noise).numpy() for name, loss in losses.items()}
    return likelihood(noise.numpy(), values)


def regression_losses() -> go.Figure:
    """Loss against residual: L1 is a cone, the squared error a parabola, Huber a parabola that turns into a line."""
    residual = torch.linspace(-3, 3, 121)
    losses = {name: tw.losses.get(name) for name in ("l1", "mse", "huber", "huber(delta=0.5)")}
    values = {name: loss.per_sample(residual, torch.zeros(121)).numpy() for name, loss in losses.items()}
    return lines([Panel(residual.numpy(), values, "residual x − y", "loss")], "What a loss makes of a residual")


def entropy() -> go.Figure:
    """The entropy of a coin over its probability of heads, beside its cross-entropy with a fair coin.

    What lies between the two is the divergence, which is 0 where the coin is fair.
    """
    heads = torch.linspace(0, 1, 201)
    any_coin, fair = torch.stack([heads, 1 - heads], 1), torch.full((201, 2), 0.5)
    values = {
        "entropy H(P)": tw.losses.entropy(any_coin),
        "cross-entropy H(P, fair)": tw.losses.cross_entropy_of(any_coin, fair),
        "divergence D(P‖fair)": tw.losses.KLDiv(outputs="probabilities").per_sample(fair, any_coin),
    }
    return coin(heads.numpy(), {name: nats.numpy() for name, nats in values.items()})


def kullback_leibler() -> go.Figure:
    """One Gaussian fitted to two by the divergence in either direction; it is not symmetric.

    Forward, D(P‖Q), pays wherever P is and Q is not, and covers both. Reverse, D(Q‖P), pays wherever Q is and P is
    not, and settles on one.
    """
    x = torch.linspace(-15, 15, 1201, dtype=torch.float64)
    first, second = (torch.distributions.Normal(mean, 0.7).log_prob(x).exp() for mean in (-3.0, 3.0))
    target = 0.4 * first + 0.6 * second
    fits = [fitted(x, target, reverse=reverse, start=(1.0, 1.0)) for reverse in (False, True)]
    note = "P = 0.4 N(−3, 0.7²) + 0.6 N(3, 0.7²); both fits begin at mean 1 and deviation 1"
    return gaussian_fits(x.numpy(), target.numpy(), fits, note)


def secant_to_tangent() -> go.Figure:
    """The derivative is a limit: the secant of 3x³ − 2x + 1 through x = 1 turns into the tangent as h goes to 0."""
    slope = tw.derivative("3*x**3 - 2*x + 1", at=1, method="limit")
    return slope.picture(h=0.8)


def family_tree() -> go.Figure:
    """The family tree of the rules, from each formula's own year and parents."""
    return tree(catalogue())


def rule_table() -> go.Figure:
    """The same rules by what they follow and by how their rate is set."""
    return table(catalogue())


def schedules() -> go.Figure:
    """Every schedule over 100 steps: what it multiplies the learning rate by; ramp alone is the momentum itself."""
    factors = every_schedule(steps=100)
    note = "Blue: what the learning rate is multiplied by. Orange: ramp is not a factor, but the value of a momentum."
    return schedule_grid(factors, "Every schedule, over 100 steps", note, other=[k for k in factors if "ramp" in k])
