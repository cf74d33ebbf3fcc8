"""Pictures of descents: rates and starts, momentum, what is in a step, races, basins, noise."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

import thalweg as tw
from thalweg.gallery.computed import batch_walks, tuned
from thalweg.pictures.noisy import noisy_picture, walked


def steps_on_a_curve() -> go.Figure:
    """The rate decides: x² − 4x + 6 from 4 in six steps, too slow at 0.01, well at 0.2, to and fro for ever at 1."""
    path = tw.descend("x**2 - 4*x + 6", start=4.0, optimizer="gradient_descent", lr=[0.01, 0.2, 1], steps=6)
    return path.picture(title="x² − 4x + 6 at three rates")


def start_sensitivity() -> go.Figure:
    """The start decides: x·sin x from 2.5 and from 1.5 at the same rate ends in different minima."""
    path = tw.descend("x*sin(x)", start=[2.5, 1.5], optimizer="gradient_descent", lr=0.25, steps=10)
    return path.picture(title="x·sin x from two starts")


def rate_sensitivity_on_a_curve() -> go.Figure:
    """x·sin x from 2.5: at rate 1 the steps leap over the minimum, at 0.05 they have not come far."""
    path = tw.descend("x*sin(x)", start=2.5, optimizer="gradient_descent", lr=[0.05, 1.0], steps=5)
    return path.picture(title="x·sin x from one start at two rates")


def small_medium_large_rate() -> go.Figure:
    """One bowl, ten times as steep across as along: a small rate creeps, a large one swings, a larger one leaves."""
    path = tw.descend("quadratic", optimizer="sgd", lr=[0.02, 0.15, 0.19, 0.205], steps=25)
    return path.picture(title="Small, medium, large and too large a rate")


def loss_curves_of_rates() -> go.Figure:
    """What a rate does to the loss: it falls slowly at a low one, fast at a good one, and slowly again at a higher one.

    There the path swings from side to side. Above 2/λ = 0.2, with λ the largest curvature, the loss rises.
    """
    rates = [0.005, 0.15, 0.195, 0.202]
    path = tw.descend("quadratic", optimizer="sgd", lr=rates, steps=60)
    return path.picture("losses", title="A low, a good, a high and too high a rate")


def leaving_a_local_minimum() -> go.Figure:
    """Both start on the left. Plain descent stays in the first minimum, at −1.06; momentum rolls through it.

    It goes over the hill behind it, and into the deeper minimum at 1.97.
    """
    valley = tw.landscapes.surface("x^4/4 - x^3/3 - x^2 + 0.2x", bounds=[(-2.4, 2.8)])
    path = tw.descend(valley, start=-2.0, optimizer=["gradient_descent", "momentum"], lr=0.05, steps=80)
    return path.picture(title="Momentum leaves a local minimum")


def momentum_in_a_ravine() -> go.Figure:
    """Momentum calms the zigzag: at the same rate sgd swings across the ravine to the end, and momentum hardly any more
    after a few steps, because gradients across cancel; those along add up, so it also comes farther."""
    ravine = tw.landscapes.surface("quadratic(condition=40)", bounds=[(-0.5, 2.2), (-1.1, 1.1)])
    path = tw.descend(ravine, optimizer=["sgd", "momentum(momentum=0.5)"], lr=0.048, steps=25)
    return path.picture(title="A ravine without and with momentum")


def nesterov_look_ahead() -> go.Figure:
    """The second step of both from the same point: Nesterov's takes its gradient where momentum leads.

    There the slope already points back, so the step is corrected before it is made.
    """
    rules = ["momentum(rate_inside=True)", "nesterov(lookahead=True)"]
    path = tw.descend("quadratic", optimizer=rules, lr=0.12, steps=10)
    return path.picture("lookahead", at=1, title="Momentum, and Nesterov's look ahead")


def what_is_in_a_step() -> go.Figure:
    """Some steps of three rules: downhill, what the rule remembers, and the update it makes of both.

    Momentum's update goes where the gradients of the past lead, also where downhill is elsewhere by now. RMSprop
    divides each coordinate by its own scale, so its first step goes as far across as down, though the slope is mostly
    down. Adam does both.
    """
    path = tw.descend("quadratic", optimizer={"momentum": 0.06, "rmsprop": 0.05, "adam": 0.3}, steps=20)
    said = "Each kind of arrow is scaled to its longest."
    return path.picture("arrows", at=(0, 2, 5, 9), title="What is in a step", said=said)


def surface_to_turn() -> go.Figure:
    """The ravine with its cliff in space; as a page it can be turned."""
    path = tw.descend("ravine", optimizer={"sgd": 0.1, "momentum": 0.05, "adam": 0.3}, steps=120)
    return path.picture("surface", title="A ravine with a cliff, and three ways down")


def race_in_a_ravine() -> go.Figure:
    """Who overshoots? Rules that accumulate gradients shoot past the minimum, at 0.05, far up the other side.

    The others stop at once, or soon behind it. Rules with a rate for each coordinate, adagrad to adamw, go along the
    ravine from the first step on; sgd, momentum and nesterov swing from wall to wall. Each has the rate that is best
    for it; adadelta is still on its way to the cliff at the end.
    """
    rates, said = tuned("ravine", tw.formulas.CLASSIC, steps=60)
    path = tw.descend("ravine", optimizer=rates, steps=60)
    groups = {
        "Along the gradient": ["sgd", "adagrad", "adadelta", "rmsprop"],
        "Along accumulated gradients": ["momentum", "nesterov", "adam", "adamw"],
    }
    return path.picture("race", groups=groups, title="A race down a ravine with a cliff", said=said)


def race_from_a_saddle() -> go.Figure:
    """The same rules leave a saddle, all at one rate: sgd, momentum and nesterov run into its level middle and linger.

    A rate for each coordinate leads past it, because it divides by the size of the gradients, and the slope that leads
    away is tiny at the beginning. RMSprop leaves first; sgd has hardly left when the race ends.
    """
    path = tw.descend("saddle", start=[1.5, 0.001], optimizer=tw.formulas.CLASSIC, lr=0.05, steps=60)
    groups = {
        "One rate for all coordinates": ["sgd", "momentum", "nesterov"],
        "A rate for each coordinate": ["adagrad", "adadelta", "rmsprop", "adam", "adamw"],
    }
    said = "Adadelta's own rate is 1, so here it stays at the start; adamw decays so little that it runs on adam."
    return path.picture("race", groups=groups, title="A race from a saddle", said=said)


def basins() -> go.Figure:
    """Which start falls into which of Himmelblau's four minima, with momentum: not always the nearest."""
    starts = tw.basins("himmelblau", "momentum", lr=0.005, steps=200, resolution=300)
    return starts.picture("Himmelblau's function: which start falls into which minimum")


def where_it_converges() -> go.Figure:
    """Rate against momentum on a quadratic: without momentum it converges below 2/λmax, with it up to 2(1 + μ)/λmax.

    The dashed boundary is taken from the formula's own equations.
    """
    speed = tw.landscapes.convergence("quadratic(condition=10)", "momentum")
    return speed.picture("Where momentum converges, and how fast")


def batches_on_a_surface() -> go.Figure:
    """The same line is fitted three times, with all samples in each step, with 8 of them, and with one.

    The gradient of all leads straight into the minimum. That of a few points there on average, at an eighth of the
    cost; that of one sample strays most, and goes on straying around the minimum.
    """
    loss, walks = batch_walks([64, 8, 1])
    surface = tw.landscapes.surface(loss, bounds=[(-2.0, 2.6), (-2.0, 2.6)])
    note = "64 samples, squared error of slope a and height b; 40 steps of sgd at rate 0.15 from (−1.5, 1.5)"
    return walked(surface, walks, "All samples, a few, or one", note)


def noise_and_falling_rates() -> go.Figure:
    """Mini-batch noise: a fixed rate goes on swinging around the minimum, falling ones come to rest."""
    starts = np.tile([1.8, 0.9], (50, 1))
    kinds = {"fixed": "constant", "1/t": "inverse_time(k=0.02)", "exponential": "exponential(gamma=0.995)"}
    runs = {k: tw.descend("quadratic", starts, "sgd", 0.1, each, 1000, noise=1.0) for k, each in kinds.items()}
    return noisy_picture(runs, title="Noise in the gradients: fixed and falling rates")
