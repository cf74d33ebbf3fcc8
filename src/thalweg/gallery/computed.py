"""What some pictures need computed: rows of the catalogue, every schedule, tuned rates, fits by a divergence."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import formulas, losses, schedules
from ..landscapes.descents import descend
from ..language import say
from ..optim import SGD, Adam  # pyright: ignore[reportAttributeAccessIssue]
from ..pictures.likelihood import Fit
from ..problem.builtin import NOISE, crest
from ..problem.declaration import Problem
from ..study.study import Study


def catalogue() -> list[dict[str, Any]]:
    """Name, year, parents, direction, rate and idea of every built-in formula."""
    keys = ("name", "year", "parents", "direction", "rate", "idea")
    return [{key: getattr(rule, key) for key in keys} for rule in formulas.FORMULAS.values()]


_LONG_LABELS = ("lambda", "multiplicative", "chained", "sequential")
MOMENTA = ("ramp",)  # schedules of the momentum, whose values are no factors of the rate
_EXAMPLES = {
    "polynomial": "polynomial(power=2)",
    "exponential": "exponential(gamma=0.97)",
    "exponential_decay": "exponential_decay(k=0.03)",
    "inverse_time": "inverse_time(k=0.1)",
    "cosine_restarts": "cosine_restarts(T_0=14, T_mult=2)",
    "chained": "chained(linear, step(size=25, gamma=0.5))",
    "sequential": "sequential(constant(scale=0.3), cosine, milestones=(30,))",
    "plateau": "plateau(patience=2, gamma=0.5)",
}


def every_schedule(steps: int) -> dict[str, np.ndarray]:
    """The label of each schedule → (steps,) what it multiplies the rate by, with arguments that show what it does."""
    factors = {}
    for name in schedules.names():
        one = schedules.get(_EXAMPLES[name]) if name in _EXAMPLES else schedules.example(name)
        values = _plateau(one, steps) if one.closed else one.factor(np.arange(steps), steps)
        label = name if name in _LONG_LABELS else one.label
        factors[f"{label} ({say('a momentum')})" if name in MOMENTA else label] = values
    return factors


def _plateau(schedule: Any, steps: int) -> np.ndarray:
    """What it does to a loss that falls, stays, and falls a little again; observed at every fourth step."""
    epoch = np.arange(steps // 4)
    losses = np.where(epoch < 8, 1 - epoch / 10, np.where(epoch < 16, 0.2, 0.2 - (epoch - 16) / 100).clip(0.17))
    state, values = schedule.start(np.ones(1)), []
    for loss in losses:
        values += [state[0, 0]] * 4
        state = schedule.observe(state, np.array([loss]))
    return np.array(values)


def tuned(surface: str, names: Iterable[str], steps: int) -> tuple[dict[str, float], str]:
    """For each rule the rate with the lowest mean loss, and a sentence that says so.

    Of those that hold: whose loss stays as low for three times as many steps more. A rate that leaves the minimum
    again, perhaps only behind the end of a picture, is not the best.
    """
    rates = np.geomspace(1e-3, 1e3, 49)
    path = descend(surface, optimizer=list(names), lr=rates, steps=4 * steps)
    losses = np.nan_to_num(path.all_losses[0], nan=np.inf)  # (optimizers, rates, 4 steps + 1)
    holds = losses[..., steps:].max(axis=-1) <= 1.1 * losses[..., steps]
    means = np.where(holds, losses[..., : steps + 1].mean(axis=-1), np.inf)
    best = rates[means.argmin(axis=1)]
    note = say(
        "Tuned: each at the best of {count} rates that do not leave the minimum again, by its mean loss.",
        count=len(rates),
    )
    return {name: float(f"{rate:.3g}") for name, rate in zip(path.optimizers, best, strict=True)}, note


def few_digits() -> Problem:
    """150 handwritten digits, every fifth with the label of another, and a network that can learn them by heart."""
    from sklearn.datasets import load_digits

    inputs, targets = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(inputs))
    inputs, targets = inputs[order] / 16, targets[order]
    targets[:150:5] = np.roll(targets[:150:5], 1)
    train, validation, test = ((inputs[part], targets[part]) for part in np.split(np.arange(len(inputs)), (150, 900)))

    def model() -> torch.nn.Module:
        return torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10))

    return Problem(model, train, validation=validation, test=test, name="150 digits")


def wave_points(x: np.ndarray, noise: float, seed: int = 0) -> np.ndarray:
    """Targets like those of the problem `wave`."""
    return crest(torch.from_numpy(x)).numpy() + noise * np.random.default_rng(seed).normal(size=x.shape)


def polynomials(
    degrees: Sequence[int], points: int, at: np.ndarray
) -> tuple[dict[int, np.ndarray], np.ndarray, np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """Polynomials fitted by least squares to so many points of the wave, and judged on 200 new ones.

    The values of each degree `at` some places, the mean squared errors (degrees,) on the points of the fit and on new
    ones, and x and y of those of the fit.
    """
    draw = np.random.default_rng(1)
    x, others = np.linspace(-1, 1, points), draw.uniform(-1, 1, 200)
    y, judged = wave_points(x, NOISE, 2), wave_points(others, NOISE, 3)
    fits = {k: np.polynomial.Polynomial.fit(x, y, k) for k in degrees}
    train, new = (
        np.array([np.mean((fit(a) - b) ** 2) for fit in fits.values()]) for a, b in ((x, y), (others, judged))
    )
    return {k: fit(at) for k, fit in fits.items()}, train, new, (x, y)


def batch_walks(
    sizes: Sequence[int], samples: int = 64, steps: int = 40, lr: float = 0.15
) -> tuple[str, dict[str, np.ndarray]]:
    """From (−1.5, 1.5) to the line through noisy samples; each batch is drawn at random from all of them.

    The mean squared error over all samples, as an expression in slope and height; and what is in a batch →
    (steps + 1, 2), slope and height.
    """
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(samples, generator=draw, dtype=torch.float64)
    y = 0.8 * x - 0.5 + 0.7 * torch.randn(samples, generator=draw, dtype=torch.float64)
    terms = {
        "a^2": x @ x,
        "a*b": 2 * x.sum(),
        "b^2": torch.tensor(samples),
        "a": -2 * x @ y,
        "b": -2 * y.sum(),
        "1": y @ y,
    }
    loss = " + ".join(f"({float(value) / samples})*{term}" for term, value in terms.items())
    paths = {}
    for size in sizes:
        weights = torch.tensor([-1.5, 1.5], dtype=torch.float64, requires_grad=True)
        optimizer, path = SGD([weights], lr=lr), [weights.detach().clone()]
        for _ in range(steps):
            rows = torch.randperm(samples, generator=draw)[:size]
            optimizer.zero_grad()
            ((weights[0] * x[rows] + weights[1] - y[rows]) ** 2).mean().backward()
            optimizer.step()
            path.append(weights.detach().clone())
        name = "all samples" if size == samples else "one sample" if size == 1 else say("{size} samples", size=size)
        paths[name] = torch.stack(path).numpy()
    return loss, paths


def widths(*sizes: int) -> dict[int, Callable[[], torch.nn.Module]]:
    """A function that makes a network with one hidden layer, for each width."""

    def network(width: int) -> torch.nn.Module:
        return torch.nn.Sequential(torch.nn.Linear(1, width), torch.nn.Tanh(), torch.nn.Linear(width, 1))

    return {width: partial(network, width) for width in sizes}


def chosen(study: Study) -> dict[str, tuple[float, str]]:
    """Each optimizer's chosen rate and schedule, the best optimizer first."""
    return {one.optimizer: (one.lr, one.schedule) for one in study.verdict.entries}


def fitted(x: Tensor, target: Tensor, *, reverse: bool, start: tuple[float, float]) -> Fit:
    """The Gaussian with the least divergence from a density on a grid, by L-BFGS from a start.

    Args:
        x: (points,) evenly spaced, wide enough that nothing is cut off.
        target: (points,) its density P.
        reverse: D(Q‖P) instead of D(P‖Q).
        start: mean and deviation to begin with; the reverse direction has a minimum at each mode.
    """
    from scipy.optimize import minimize

    loss = losses.KLDiv(reverse=reverse)
    p = (target / target.sum())[None]

    def log_density(values: Tensor) -> Tensor:
        return torch.distributions.Normal(values[0], values[1].exp()).log_prob(x)

    def value_and_gradient(point: np.ndarray) -> tuple[float, np.ndarray]:
        values = torch.tensor(point, requires_grad=True)
        divergence = loss(log_density(values).log_softmax(0)[None], p)
        (gradient,) = torch.autograd.grad(divergence, values)
        return divergence.item(), gradient.numpy()

    least = minimize(value_and_gradient, [start[0], np.log(start[1])], jac=True, method="L-BFGS-B", tol=1e-12)
    label = say("reverse, D(Q‖P)") if reverse else say("forward, D(P‖Q)")
    density = log_density(torch.tensor(least.x)).exp().numpy()
    return label, density, (float(least.x[0]), float(np.exp(least.x[1])), float(least.fun))


def shots(degree: int, points: int, fits: int = 40) -> np.ndarray:
    """(fits, 2) what polynomials answer at −0.5 and 0.5, each fitted to so many points of the wave with other noise."""
    x = np.linspace(-1, 1, points)
    each = (np.polynomial.Polynomial.fit(x, wave_points(x, NOISE, seed), degree) for seed in range(fits))
    return np.array([fit(np.array([-0.5, 0.5])) for fit in each])


def few_points(hidden: int) -> Problem:
    """40 noisy points of the wave, and a network with so many hidden units."""
    x = np.random.default_rng(0).uniform(-1, 1, 40)
    (model,) = widths(hidden).values()
    return Problem(model, (x[:, None], wave_points(x, NOISE)[:, None]), loss="mse", name="40 points")


def embeddings(digits: Sequence[int], steps: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[int]]:
    """Those digits as points of a plane, by the triplet loss.

    Labels (samples,); points (samples, 2) before and after training; anchor, positive and negative of the triplet that
    is the worst at the beginning.
    """
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    images, labels = images[np.isin(labels, digits)], labels[np.isin(labels, digits)]
    inputs, draw = torch.tensor(images, dtype=torch.float32) / 16, np.random.default_rng(0)
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 2))
    optimizer, loss = Adam(model.parameters(), lr=0.01), losses.TripletMargin()

    alike = labels[:, None] == labels

    def drawn(count: int) -> np.ndarray:
        """(count, 3): anchor, positive, negative; the first of all samples in a random order that is one."""
        anchors, order = draw.integers(len(labels), size=count), draw.permutation(len(labels))
        same = alike[anchors][:, order]
        return np.stack([anchors, order[same.argmax(1)], order[(~same).argmax(1)]], axis=1)

    before, candidates = model(inputs).detach(), drawn(300)
    triplet = candidates[loss.per_sample(before[candidates], torch.zeros(300)).argmax()]
    for _ in range(steps):
        optimizer.zero_grad()
        loss(model(inputs[drawn(64)]), None).backward()
        optimizer.step()
    return labels, before.numpy(), model(inputs).detach().numpy(), triplet.tolist()


def masks(layers: Sequence[int], p: float, steps: int) -> dict[str, list[np.ndarray]]:
    """Which units of each layer PyTorch's dropout keeps in each step; of the first and last layer all."""
    kept = {}
    for step in range(steps):
        torch.manual_seed(8 + step)
        hidden = [torch.nn.Dropout(p)(torch.ones(count)).numpy() > 0 for count in layers[1:-1]]
        ends = [np.ones(layers[k], dtype=bool) for k in (0, -1)]
        kept[say("step {step}", step=step + 1)] = [ends[0], *hidden, ends[1]]
    return kept
