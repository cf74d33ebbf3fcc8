"""Which learning rate to begin with: a range test that knows how sure it is.

The usual test raises the rate within one run and reads a point off one noisy curve of training losses: what the
run has learned and forgotten on the way is in every point. Here each rate trains another copy from the same
start, for a few steps and several seeds, as one population, and is judged by the loss on validation data.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import nn

from .. import formulas
from ..engine.programs import Programs, cut
from ..errors import PlanError, ProblemError
from ..formulas import Formula
from ..language import mark, say
from ..losses.base import ANY, Scale
from ..numbers import Range
from ..plan.plan import log_range
from ..population.batches import Batches
from ..population.block import Block
from ..population.place import AUTO, FLOAT32
from ..problem.declaration import Problem
from ..problem.find import load
from ..resampling.bagging import programs_of
from ..samples import Samples
from ..verdict.comparisons import Ranking, rank

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go


@dataclass(frozen=True)
class RangeTest:
    """The result of a range test; `str` of it says it in a sentence.

    Attributes:
        name, optimizer: of the problem and the rule.
        rates: (rates,), ascending.
        losses: (rates, seeds) validation loss after `steps` steps; ∞ where the run diverged.
        start: (seeds,) validation loss before the first step.
        steps: how long each run was.
        scale: the lowest and the highest value that the loss can have.
    """

    name: str
    optimizer: str
    rates: np.ndarray
    losses: np.ndarray = field(repr=False)
    start: np.ndarray = field(repr=False)
    steps: int
    scale: Scale = ANY

    @cached_property
    def _means(self) -> np.ndarray:
        return self.losses.mean(axis=1)

    @property
    def suggestion(self) -> float:
        """The rate with the lowest mean loss; nan if every rate diverged on some seed."""
        return float(self.rates[np.argmin(self._means)]) if np.isfinite(self._means).any() else math.nan

    @cached_property
    def _ranking(self) -> Ranking:
        return rank(self.losses.T)[1]

    @property
    def chances(self) -> np.ndarray:
        """(rates,) In which share of resamples of the seeds each rate is the best, as a verdict counts it."""
        return np.array(self._ranking.probability)

    @property
    def sureness(self) -> float:
        """In which share of resamples the suggestion, or a rate next to it on the grid, is the best."""
        if math.isnan(self.suggestion):
            return 0.0
        place = int(np.argmin(self._means))
        return float(self.chances[max(0, place - 1) : place + 2].sum())

    @property
    def edge(self) -> str | None:
        """lowest or highest, if the suggestion is the grid's last in that direction."""
        return {self.rates[0]: "lowest", self.rates[-1]: "highest"}.get(self.suggestion)

    @property
    def sentence(self) -> str:
        """The suggestion in words, with how sure it is and what to beware of."""
        seeds, most = self.losses.shape[1], f"{self.rates[0]:g} to {self.rates[-1]:g}"
        if math.isnan(self.suggestion):
            return say(
                "Every rate from {most} makes {optimizer} diverge on {name}; test lower ones.",
                most=most,
                optimizer=self.optimizer,
                name=self.name,
            )
        best = float(self._means.min())
        if best >= self.start.mean():
            return say(
                "No rate from {most} lowers the loss of {name} within {steps} steps of {optimizer}; test "
                "for longer, or look at the model.",
                most=most,
                name=self.name,
                steps=self.steps,
                optimizer=self.optimizer,
            )
        beware = say(" It is the {edge} rate tested: widen the range.", edge=mark(self.edge)) if self.edge else ""
        return say(
            "Begin {optimizer} on {name} with rate {suggestion:.3g}: after {steps} steps it, or a "
            "neighbour on the grid, is best with a chance of {sureness:.0%} ({seeds} seeds).{beware}",
            optimizer=self.optimizer,
            name=self.name,
            suggestion=self.suggestion,
            steps=self.steps,
            sureness=self.sureness,
            seeds=seeds,
            beware=beware,
        )

    def __str__(self) -> str:
        return self.sentence

    def table(self) -> pd.DataFrame:
        """One row per rate: lr, validation_loss, low, high, diverged (seeds), chance (of being the best)."""
        import pandas as pd

        ends = [one.within(self.scale) for one in self._ranking.mean]
        low, high = ([getattr(one, end) for one in ends] for end in ("low", "high"))
        return pd.DataFrame(
            {
                "lr": self.rates,
                "validation_loss": self._means,
                "low": low,
                "high": high,
                "diverged": (~np.isfinite(self.losses)).sum(axis=1),
                "chance": self.chances,
            }
        )

    def picture(self) -> go.Figure:
        """Loss against rate with its band, the suggestion ringed; a × where a seed diverged."""
        from ..pictures.ranges import range_picture

        title = say(
            "{optimizer} on {name}, {steps} steps, {seeds} seeds",
            optimizer=self.optimizer,
            name=self.name,
            steps=self.steps,
            seeds=self.losses.shape[1],
        )
        return range_picture(self.table(), self.suggestion, float(self.start.mean()), title)


@dataclass(frozen=True)
class _Few:
    """The first few batches of a seed, as one pass."""

    batches: Batches
    steps: int

    def epoch(self, seed: int, epoch: int) -> Iterator[Samples]:
        passes = range(-(-self.steps // self.batches.steps))
        yield from islice((b for k in passes for b in self.batches.epoch(seed, k)), self.steps)


def range_test(
    problem: Problem | str,
    optimizer: str | Formula = "adam",
    low: float = 1e-6,
    high: float = 10.0,
    rates: int = 29,
    seeds: int = 5,
    steps: int = 100,
    batch_size: int = 64,
    model: nn.Module | None = None,
    device: str = AUTO,
    precision: str = FLOAT32,
) -> RangeTest:
    """The rate to begin with, from a short population of rates × seeds, and how sure that is.

    Args:
        problem: as for `compare`.
        optimizer: a name, also with arguments, or a formula.
        low, high, rates: the grid, evenly spaced on a logarithmic axis; four per decade by default.
        seeds: runs of each rate; a seed fixes initial weights and batch order. At least two.
        steps: of each run; long enough to see a rate that is too high fail.
        batch_size: samples per step; a DataLoader has its own.
        model: begin with the present weights of this model in place of fresh ones. It is copied
            and never changed; seeds then differ in the order of batches alone.
        device, precision: as for `compare`; of several GPUs the first.

    Nothing is written, and the global random state is left as it was.

    Raises:
        PlanError, ProblemError: the arguments do not fit together.

    >>> test = range_test("breast-cancer", "sgd", low=1e-3, high=10, rates=5, steps=20)
    >>> test.rates.tolist(), test.losses.shape
    ([0.001, 0.01, 0.1, 1.0, 10.0], (5, 5))
    """
    grid = log_range(low, high, rates)
    counts = {"rates": (rates, 2), "seeds": (seeds, 2), "steps": (steps, 1), "batch_size": (batch_size, 1)}
    for what, (value, least) in counts.items():
        Range(least, whole=True).check(what, value, PlanError)
    rule = formulas.get(optimizer)
    if "lr" not in rule.hyperparameters:
        raise PlanError(
            "{label} has no hyperparameter lr, so there is no rate to test; add lr to it.", label=rule.label
        )
    declared = replace(load(problem), metrics=())  # the loss alone judges
    declared = declared if model is None else replace(declared, model=_copies(model))
    programs = programs_of(declared, [rule], grid, ["constant"], 1, batch_size, device=device, precision=precision)
    with programs.place.at_work():
        return _tested(programs, seeds, steps)


def _tested(programs: Programs, seeds: int, steps: int) -> RangeTest:
    plan, problem = programs.plan, programs.problem
    # Of a problem with several models the first.
    settings = [setting for setting in plan.settings if programs.of(setting) == programs.of(plan.settings[0])]
    whole = programs.task(settings[0])
    task = replace(whole, batches=_Few(whole.batches, steps))
    size = programs.most(settings[0], plan.states_of(settings[0]))
    by_seed, start = [], []
    for seed in range(seeds):
        members = [plan.member(setting, seed) for setting in settings]
        blocks = [Block(task, [members[k] for k in places], 1) for places in cut(members, size)]
        start.append(blocks[0].evaluate(*problem.validation)["loss"][0])
        by_seed.append(np.concatenate([_trained(block) for block in blocks]))
    losses = np.stack(by_seed, axis=1)
    (label,), rates = plan.optimizers, np.array(plan.rates)
    return RangeTest(problem.name, label, rates, losses, np.array(start), steps, problem.loss.scale)


def _copies(model: nn.Module) -> Any:
    """A function that gives a model just like this one, each time."""
    if not isinstance(model, nn.Module):
        raise ProblemError(
            "model is of type {kind}; give the torch.nn.Module to begin with.", kind=type(model).__name__
        )
    start = copy.deepcopy(model).cpu()
    return lambda: copy.deepcopy(start)


def _trained(block: Block) -> np.ndarray:
    """(members,) validation losses at the end; ∞ where a member diverged."""
    loss = np.full(len(block.members), np.nan)
    for epoch in block.train():
        if epoch is not None:
            loss = epoch.values["validation_loss"]
    return np.where(np.isfinite(loss) & (block.diverged < 0), loss, np.inf)
