"""Stages, each of which learns what those before it got wrong; of each stage's candidates the best is kept.

A stage's candidates are a population: every setting, several times with other draws and initial weights. For classes
(AdaBoost for several of them, SAMME: Zhu, Zou, Rosset & Hastie 2009, algorithm 2) samples have weights, and since a
loss may give one number for a whole batch, a candidate draws its samples by these weights instead of weighing them
(Freund & Schapire 1996, section 2). For values a stage fits the residuals of the sum so far, and is added to it times a
shrinkage (Friedman 2001, algorithm 1): with a loss of the difference y − f, the loss of a stage that answers h to the
residuals r = y − f is that of the sum f + h, so every stage is trained with the problem's own loss.
Read next: `bagging.py`, which trains the candidates.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor

from ..engine.programs import Programs, built
from ..errors import PlanError, TrainingError
from ..formulas import Formula
from ..losses import L1, MSE, Huber
from ..losses import get as loss_of
from ..numbers import COUNT, Range
from ..plan.factors import Setting
from ..population.place import AUTO, FLOAT32
from ..problem.declaration import Problem
from ..problem.prepare import Prepared
from ..regularizers.base import draw_seed
from ..samples import Samples
from .bagging import Outcome, classes_of, programs_of, train, training_data
from .ensemble import Ensemble, assemble, outputs_of


def boost(
    problem: Problem | str,
    optimizers: Sequence[str | Formula] = ("adam",),
    rates: Sequence[float] = (0.001, 0.01),
    members: int = 10,
    epochs: int = 20,
    schedules: Sequence[str] = ("constant",),
    batch_size: int | str = 64,
    draws: int = 2,
    shrinkage: float | None = None,
    seed: int = 0,
    device: str = AUTO,
    precision: str = FLOAT32,
) -> Ensemble:
    """A boosting: stages that each learn what those before them got wrong.

    AdaBoost (SAMME) for class ids, gradient boosting for values with the losses mse, l1 and huber.

    Args:
        problem, schedules, batch_size, device, precision: as for `compare`.
        optimizers, rates: with schedules, the settings that are candidates at every stage; all see the same draws.
        members: stages, one member kept of each; fewer if one makes no error, or none is better than chance.
        epochs: passes over the data, of each candidate.
        draws: candidates of each setting at every stage, each with samples and initial weights of its own.
        shrinkage: what a stage counts; 1 for classes and 0.5 for values unless given.
        seed: of the first candidate; the others have the numbers after it.

    Raises:
        PlanError, ProblemError: what was asked does not fit together.
        TrainingError: no candidate of the first stage is better than chance.

    >>> import thalweg as tw
    >>> stages = tw.boost("breast-cancer", rates=[0.01], members=3, epochs=2)
    >>> stages.table()[["optimizer", "lr", "draw"]].shape, stages.start is None
    ((3, 3), True)
    """
    where = {"device": device, "precision": precision}
    programs = programs_of(problem, optimizers, rates, schedules, epochs, batch_size, **where)
    return boosted(programs, programs.plan.settings, members, draws, shrinkage, seed)


def boosted(
    programs: Programs,
    settings: Sequence[Setting],
    members: int,
    draws: int = 2,
    shrinkage: float | None = None,
    seed: int = 0,
) -> Ensemble:
    """The boosting whose candidates have those settings."""
    count, several = COUNT.check("members", members, PlanError), COUNT.check("draws", draws, PlanError)
    if len({programs.plan.level(setting, "model") for setting in settings}) > 1:
        raise PlanError("a boosting has one model, and these settings have several; name the optimizer to boost.")
    problem = programs.prepared(settings[0])
    data, validation = training_data(programs)
    classes = classes_of(problem, data)
    weight = 1.0 if classes else 0.5
    if shrinkage is not None:
        weight = float(Range(0, 1, above=True).check("shrinkage", shrinkage, PlanError))
    if classes is None:
        target: _Values | _Classes = _Values.of(programs, data, validation, weight)
    elif data[1].ndim == 1:
        even = torch.full((len(data[1]),), 1 / len(data[1]), dtype=torch.float64)
        target = _Classes(data, validation, even, classes, weight)
    else:
        raise PlanError(
            "the targets have {ndim} axes, and a boosting weighs samples of one class each; use bagging.",
            ndim=data[1].ndim,
        )
    states: list[dict[str, Tensor]] = []
    table: list[dict[str, object]] = []
    for stage in range(count):
        numbers = range(seed + stage * several, seed + (stage + 1) * several)
        runs = list(itertools.product(settings, numbers))
        rows = torch.stack([target.draw(number) for _, number in runs])
        outcome = train(programs, runs, rows, target.data, target.validation)
        choice = target.choose(outcome, functools.partial(_answers, problem, outcome))
        if choice is None:
            break
        k, weight, measures = choice
        states.append({name: t[k : k + 1] for name, t in outcome.state.items()})
        table.append({**runs[k][0].levels, "draw": runs[k][1], "weight": weight, **measures})
        if target.finished:
            break
    if not states:
        raise TrainingError(
            "no candidate of the first stage is better than chance, so there is nothing to boost; give "
            "other rates, or more epochs."
        )
    state = {name: torch.cat([one[name] for one in states]) for name in states[0]}
    weights = torch.tensor([float(row["weight"]) for row in table], dtype=torch.float64)  # type: ignore[arg-type]
    return assemble("boosting", problem, state, weights, classes, pd.DataFrame(table), target.start)


Choice = tuple[int, float, dict[str, float]]  # which candidate, what it counts, what it was worth
Answer = Callable[[Tensor], Tensor]  # inputs → (candidates, samples, …)


@dataclass
class _Classes:
    """The samples' weights, from stage to stage."""

    data: Samples
    validation: Samples | None
    weights: Tensor
    classes: int
    shrinkage: float
    start: None = None
    finished: bool = False

    def draw(self, number: int) -> Tensor:
        generator = torch.Generator().manual_seed(draw_seed(number, 0, "boosting"))
        return torch.multinomial(self.weights, len(self.weights), replacement=True, generator=generator)

    def choose(self, outcome: Outcome, answer: Answer) -> Choice | None:
        """The candidate with the smallest weighted error, what it counts, and the weights for the next stage."""
        wrong = answer(self.data[0]).argmax(2) != self.data[1]  # (candidates, samples)
        errors = torch.where(torch.from_numpy(outcome.diverged), math.inf, (wrong * self.weights).sum(1))
        k = int(errors.argmin())
        error = float(errors[k])
        if not error < 1 - 1 / self.classes:
            return None
        measures = {"error": error, "train_error": float(wrong[k].double().mean())}
        self.finished = error <= 0
        weight, self.weights = samme(self.weights, wrong[k], self.classes, self.shrinkage)
        return k, weight, measures


def samme(weights: Tensor, wrong: Tensor, classes: int, shrinkage: float = 1.0) -> tuple[float, Tensor]:
    """What a stage counts, and the weights of samples after it.

    α = ν (log((1 − err)/err) + log(K − 1)), with err = Σ wᵢ 1[wrongᵢ]; wᵢ ← wᵢ exp(α 1[wrongᵢ]), sum 1 (Zhu et al.
    2009, equation 1 and algorithm 2). A stage without error counts 1, and changes nothing.

    Args:
        weights: (samples,), with sum 1.
        wrong: (samples,) whether the stage errs.
        shrinkage: ν.

    >>> weight, after = samme(torch.full((4,), 0.25, dtype=torch.float64), torch.tensor([True, False, False, False]), 2)
    >>> f"{weight:.6f}", after
    ('1.098612', tensor([0.5000, 0.1667, 0.1667, 0.1667], dtype=torch.float64))
    """
    error = float((weights * wrong).sum())
    if error <= 0:
        return 1.0, weights
    weight = shrinkage * (math.log((1 - error) / error) + math.log(classes - 1))
    after = weights * torch.exp(weight * wrong.double())
    return weight, after / after.sum()


@dataclass
class _Values:
    """The residuals, from stage to stage."""

    data: Samples
    validation: Samples | None
    loss: L1 | MSE | Huber
    start: Tensor
    shrinkage: float
    finished: bool = False

    @classmethod
    def of(cls, programs: Programs, data: Samples, validation: Samples | None, shrinkage: float) -> _Values:
        loss = loss_of(programs.problem.loss)
        if not isinstance(loss, L1 | MSE | Huber):
            raise PlanError(
                "the loss {loss_name} is no loss of the difference of target and output, whose residuals a "
                "stage could fit; gradient boosting takes mse, l1 and huber.",
                loss_name=programs.problem.loss_name,
            )
        start = data[1].mean(0) if isinstance(loss, MSE) else data[1].median(0).values
        (inputs, targets), further = data, validation and Samples(validation[0], validation[1] - start)
        return cls(Samples(inputs, targets - start), further, loss, start, shrinkage)

    def draw(self, number: int) -> Tensor:
        return torch.arange(len(self.data[1]))

    def choose(self, outcome: Outcome, answer: Answer) -> Choice | None:
        """The candidate that fits the residuals best, and the residuals for the next stage."""
        losses = [float(self.loss(one, self.data[1])) for one in answer(self.data[0])]
        finite = [k for k in range(len(losses)) if not outcome.diverged[k] and math.isfinite(losses[k])]
        if not finite:
            return None
        k = min(finite, key=losses.__getitem__)
        measures = {"fitted_loss": losses[k]}
        self.data = self._without(self.data, answer, k)
        measures["train_loss"] = self._remaining_loss(self.data)
        if self.validation is not None:
            self.validation = self._without(self.validation, answer, k)
            measures["validation_loss"] = self._remaining_loss(self.validation)
        return k, self.shrinkage, measures

    def _without(self, data: Samples, answer: Answer, k: int) -> Samples:
        return Samples(data[0], data[1] - self.shrinkage * answer(data[0])[k])

    def _remaining_loss(self, data: Samples) -> float:
        """The loss of the sum so far, which is that of answering nothing to what is left."""
        return float(self.loss(torch.zeros_like(data[1]), data[1]))


def _answers(problem: Prepared, outcome: Outcome, inputs: Tensor) -> Tensor:
    """(candidates, samples, …) outputs on all training samples."""
    return torch.cat(list(outputs_of(built(problem), outcome.state, inputs)), dim=1)
