"""How sharp the minima are that settings end in: of one trained model, or of a study's chosen settings.

The settings that the verdict ranks along a factor, a batch size for instance, are trained again with the seeds of their
confirmation, which repeats those runs, and measured where they end. The measures and their sources are those
of `population/sharpness.py`. That small batches end in flatter minima than large ones is a claim of Keskar et al. 2017;
this measures it for a problem at hand, with intervals over seeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from ..engine.programs import Programs
from ..errors import PlanError, ProblemError
from ..kernels.stacks import shaped
from ..numbers import POSITIVE
from ..plan.factors import Setting, words_of
from ..population.batched import Batched
from ..population.block import Block
from ..population.sharpness import Landscape, curvature, lengths
from ..problem.declaration import Problem
from ..problem.find import load
from ..problem.prepare import Prepared, prepare
from ..programs.native import single_threaded
from ..results import Results
from ..samples import Samples
from ..verdict.intervals import Interval, interval

if TYPE_CHECKING:
    import plotly.graph_objects as go

REACH = np.linspace(-0.15, 0.15, 31)  # lengths of the step from the minimum, in one of the `UNITS`
# The length of the initial weights, which is common to all levels, and of those at the end.
UNITS = ("untrained", "own")
EPSILON = 0.05


@dataclass(frozen=True)
class Sharpness:
    """How sharp the minimum of a model is.

    Attributes:
        loss: on the training samples, in evaluation mode.
        eigenvalue: the largest of the loss's Hessian.
        rise: ε-sharpness, how much the loss rises by a step of length `epsilon` up its gradient.
        converged: whether the eigenvalue had settled, to four digits.
    """

    loss: float
    eigenvalue: float
    rise: float
    epsilon: float
    converged: bool


@dataclass(frozen=True, eq=False)
class Sharpnesses:
    """How sharp the minima of a study's chosen settings are.

    Attributes:
        factor: along which they were chosen.
        levels: best first, as in the verdict.
        table: one row per run: level, seed, loss, validation_loss, eigenvalue, rise, converged.
        lines: level, seed, unit, distance (in that unit, along the leading eigenvector), loss. Units are
            "untrained", the length of the seed's initial weights, by which steps of all levels are equally long, and
            "own", the length of the weights that are stepped from, by which it does not matter how a network scales
            them.
    """

    factor: str
    levels: tuple[str, ...]
    epsilon: float
    table: pd.DataFrame
    lines: pd.DataFrame

    def interval(self, level: str, measure: str = "eigenvalue") -> Interval:
        """The mean of a column of the table over seeds, with its 95% interval."""
        return interval(self.table.loc[self.table["level"] == level, measure].to_numpy(float))

    def picture(self) -> go.Figure:
        """Both measures for each level, and the loss along the sharpest direction."""
        from ..pictures.sharpness import sharpness as draw

        return draw(self.table, self.lines, self.levels, words_of(self.factor), self.epsilon)


def sharpness(
    model: nn.Module, problem: Problem | Prepared | str, epsilon: float = EPSILON, seed: int = 0
) -> Sharpness:
    """How sharp the minimum is that a trained model is at, on the problem's training samples; the model is not changed.

    The largest eigenvalue of the Hessian of the training loss by power iteration, and
    L(w + ε g / ‖g‖) − L(w); see `thalweg.population.sharpness` for sources.

    Args:
        model: trained; its trainable parameters are w.
        problem: as `compare` takes it, or what `tw.prepare` made of it; its loss is L.
        epsilon: the length of the step, above 0.
        seed: of the direction that power iteration begins with.

    Raises:
        ProblemError: the model is not a module, or does not take the problem's inputs.

    >>> import thalweg as tw, torch
    >>> problem = tw.Problem(model=lambda: torch.nn.Linear(2, 1, bias=False), loss="mse",
    ...                      train=(torch.eye(2) * torch.tensor([1., 3.]), torch.zeros(2, 1)),
    ...                      validation=(torch.eye(2), torch.zeros(2, 1)), test=(torch.eye(2), torch.zeros(2, 1)))
    >>> minimum = tw.sharpness(torch.nn.Linear(2, 1, bias=False), problem)  # L = (w₁² + 9 w₂²) / 2
    >>> round(minimum.eigenvalue, 3)
    9.0
    """
    epsilon = POSITIVE.check("epsilon", epsilon, PlanError)
    if not isinstance(model, nn.Module):
        raise ProblemError("model is of type {kind}; give the trained torch.nn.Module.", kind=type(model).__name__)
    ready = problem if isinstance(problem, Prepared) else prepare(load(problem))
    batched = Batched(model, ready.loss, {})
    samples = _samples(ready)
    training = [(layer, layer.training) for layer in model.modules()]
    try:
        batched.find_moving_buffers(samples.take(slice(2)))
        named = {**dict(model.named_parameters()), **dict(model.named_buffers())}
        values = {name: tensor.detach().clone() for name, tensor in named.items()}
        at = Landscape(batched, samples, [values[n] for n in batched.fixed], [values[n][None] for n in batched.moving])
        result = curvature(at, [values[n][None] for n in batched.names], epsilon, seed)
    finally:
        for layer, mode in training:
            layer.training = mode
    return Sharpness(
        float(result.loss[0]), float(result.eigenvalue[0]), float(result.rise[0]), epsilon, bool(result.converged[0])
    )


def of_study(
    results: Results,
    by: str = "optimizer",
    seeds: int = 5,
    epsilon: float = EPSILON,
    problem: Problem | str | None = None,
) -> Sharpnesses:
    """As `Study.sharpness`, which documents it."""
    epsilon = POSITIVE.check("epsilon", epsilon, PlanError)
    plan, verdict, path = results.judged_plan.anywhere, results.verdict_by(by), results.path
    if not verdict.entries:
        raise PlanError(
            "{path} has no complete seed yet, so nothing is chosen; `{command}`.", path=path, command=results.onward
        )
    programs = Programs(plan, results.prepared(problem))
    levels = {entry.setting: verdict.level(entry) for entry in verdict.entries}
    first = plan.seeds if verdict.confirmed else 0
    member_seeds = range(first, first + min(seeds, plan.confirmation if verdict.confirmed else plan.seeds))
    tables, lines = [], []
    for seed, settings, _ in programs.blocks(list(levels), member_seeds):
        with single_threaded():
            table, line = _measured(programs, settings, seed, epsilon)
        names = np.array([levels[setting] for setting in settings])
        tables.append(table.assign(level=names, seed=seed))
        lines.append(line.assign(level=names[line.pop("member")], seed=seed))
    table, line = (pd.concat(parts, ignore_index=True) for parts in (tables, lines))
    order = ["level", "seed", "loss", "validation_loss", "eigenvalue", "rise", "converged"]
    return Sharpnesses(verdict.factor, tuple(levels.values()), epsilon, table.reindex(columns=order), line)


def _measured(
    programs: Programs, settings: Sequence[Setting], seed: int, epsilon: float
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Train members to their end, and measure them there: a row each, and the losses along lines."""
    plan, task = programs.plan, programs.task(settings[0])
    block, last = Block(task, [plan.member(s, seed) for s in settings], plan.epochs), {}
    untrained = lengths(block.weights)
    for epoch in block.train():
        last = last if epoch is None else epoch.values
    weights, moving = block.regularized.evaluated
    at = Landscape(task.batched, _samples(programs.problem), block.fixed, moving)
    result = curvature(at, weights, epsilon)

    def loss(steps: Tensor) -> Tensor:
        shifted = [w + shaped(steps.to(w.dtype), w) * d for w, d in zip(weights, result.direction, strict=True)]
        return at.loss(shifted).double()

    members = range(len(settings))
    lines = [
        pd.DataFrame({"member": members, "unit": unit, "distance": reach, "loss": loss(float(reach) * length).numpy()})
        for unit, length in zip(UNITS, (untrained, lengths(weights)), strict=True)
        for reach in REACH
    ]
    columns = {name: getattr(result, name) for name in ("loss", "eigenvalue", "rise", "converged")}
    validation = last.get("validation_loss", np.full(len(settings), np.nan))
    table = pd.DataFrame(columns | {"validation_loss": validation})
    return table, pd.concat(lines, ignore_index=True)


def _samples(ready: Prepared) -> Samples:
    """All training samples, in order."""
    if isinstance(ready.train, Samples):
        return ready.train
    with torch.random.fork_rng(devices=[]):
        first, *others = map(ready.given, ready.train)
    return first.joined(*others)
