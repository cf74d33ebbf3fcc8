"""Members that differ in the samples they draw (bagging) or in their seed alone, trained as one population.

Every member has initial weights, an order of batches and, in a bag, samples of its own: as many as there are, drawn
with replacement (Breiman 1996). Which those are is a function of the seed alone, so members of the same number in
bags of different settings draw the same. A member leaves out about a share of 1/e of the samples; what the members
that left a sample out say of it is a prediction of something unseen, whose error is the out-of-bag error (Breiman
1996b, "Out-of-bag estimation"; Breiman 2001, section 3.1).
Read next: `ensemble.py`, what they answer together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from ..engine.programs import COMPILED, Programs, built, cut, grouped, samples_per_step
from ..engine.threads import threads
from ..errors import PlanError, TrainingError
from ..formulas import Formula
from ..losses import OfModel, fit
from ..numbers import COUNT
from ..plan.factors import Setting
from ..plan.plan import plan, with_models
from ..population.batches import OwnBatches
from ..population.block import EVALUATION_BATCH, Block, Task
from ..population.place import AUTO, CPU, FLOAT32
from ..population.sizing import block_size
from ..problem.declaration import Problem
from ..problem.find import load
from ..problem.prepare import Prepared, prepare
from ..regularizers.base import draw_seed
from ..samples import Samples, call, is_tree, leaves, scores
from .ensemble import Ensemble, assemble, outputs_of


@dataclass(frozen=True, eq=False)
class Outcome:
    """Runs at their end.

    Attributes:
        state: name → (runs, *shape) of every parameter and buffer.
        diverged: (runs,) whether the loss stopped being finite.
        validation: (runs,) loss on the validation part; NaN where there is none.
    """

    state: dict[str, Tensor]
    diverged: np.ndarray
    validation: np.ndarray


def bag(
    problem: Problem | str,
    optimizer: str | Formula = "adam",
    lr: float = 0.01,
    members: int = 50,
    epochs: int = 20,
    schedule: str = "constant",
    batch_size: int | str = 64,
    regularizer: object = None,
    seed: int = 0,
    device: str = AUTO,
    precision: str = FLOAT32,
) -> Ensemble:
    """A bag of models: each trained on as many samples as there are, drawn with replacement.

    Args:
        problem, optimizer, schedule, batch_size, regularizer: as for `compare`, one of each; device and precision too.
        lr: the learning rate.
        members: 50 by default; the error falls little beyond.
        epochs: passes over each member's samples.
        seed: of the first member; the others have the numbers after it.

    Raises:
        PlanError, ProblemError: what was asked does not fit together; a DataLoader, which draws its own samples.
        TrainingError: a member diverged.

    >>> import thalweg as tw
    >>> forest = tw.bag("breast-cancer", "adam", lr=0.01, members=5, epochs=3)
    >>> inputs, targets = tw.prepare("breast-cancer").test
    >>> len(forest), forest.predict(inputs).shape, forest.out_of_bag["accuracy"] > 0.9
    (5, torch.Size([114]), True)
    """
    levels = {"regularizers": [regularizer], "device": device, "precision": precision}
    programs = programs_of(problem, [optimizer], [lr], [schedule], epochs, batch_size, **levels)
    return averaged_members(programs, programs.plan.settings[0], "bagging", members, seed)


def programs_of(
    problem: Problem | str,
    optimizers: Sequence[str | Formula],
    rates: Sequence[float],
    schedules: Sequence[str],
    epochs: int,
    batch_size: int | str,
    **levels: Any,
) -> Programs:
    """The programs of a plan of one seed without confirmation; `levels` as `plan` takes them."""
    single = plan(optimizers, rates, schedules, 1, epochs, confirmation=0, batch_sizes=[batch_size], **levels)
    ready = prepare(load(problem))
    return Programs(with_models(single, ready), ready)


def averaged_members(programs: Programs, setting: Setting, kind: str, members: int, seed: int = 0) -> Ensemble:
    """An ensemble whose answer is the mean of its members', all of that setting.

    Args:
        kind: "bagging", or "seeds" for members that all have all samples.
    """
    count = COUNT.check("members", members, PlanError)
    problem = programs.prepared(setting)
    data, validation = training_data(programs)
    classes = classes_of(problem, data)
    seeds = [seed + k for k in range(count)]
    if kind == "bagging":
        rows = torch.stack([resample(data.size, each) for each in seeds])
    else:
        rows = torch.arange(data.size).expand(count, -1)
    outcome = train(programs, [(setting, each) for each in seeds], rows, data, validation)
    if failures := int(outcome.diverged.sum()):
        raise TrainingError(
            "{failures} of {count} members diverged with {optimizer} at rate {lr}, and their mean would "
            "say nothing; give a lower rate.",
            failures=failures,
            count=count,
            optimizer=setting.optimizer,
            lr=f"{setting.lr:g}",
        )
    table = pd.DataFrame({"seed": seeds, **setting.levels, "validation_loss": outcome.validation})
    weights = torch.full((count,), 1.0 if classes else 1 / count, dtype=torch.float64)
    ensemble = assemble(kind, problem, outcome.state, weights, classes, table)
    if kind != "bagging":
        return ensemble
    return replace(ensemble, out_of_bag=_out_of_bag(ensemble, built(problem), data, rows))


def resample(samples: int, seed: int) -> Tensor:
    """As many of the rows as there are, drawn with replacement by the member of that seed.

    >>> resample(6, 0).tolist() == resample(6, 0).tolist(), resample(6, 0).tolist() == resample(6, 1).tolist()
    (True, False)
    """
    generator = torch.Generator().manual_seed(draw_seed(seed, 0, "bootstrap"))
    return torch.randint(0, samples, (samples,), generator=generator)


def training_data(programs: Programs) -> tuple[Samples, Samples | None]:
    """What an ensemble of a study learns from, and what judges its members on the way: after a cross-validation
    all samples, and nothing.

    Raises:
        PlanError: the train data are a DataLoader.
    """
    problem = programs.problem
    data = tensors_of(problem)
    return (problem.pool, None) if programs.plan.folds is not None else (data, problem.validation)


def tensors_of(problem: Prepared) -> Samples:
    """The training data, from which members draw."""
    if isinstance(problem.train, DataLoader):
        raise PlanError(
            "the train data are a DataLoader, which draws its own samples; give the data as tensors, "
            "arrays or a Dataset, from which members can draw theirs."
        )
    if is_tree(problem.train.targets) or isinstance(problem.loss, OfModel):
        raise PlanError(
            "an ensemble joins its members' answers to one tensor of targets, and this problem has "
            "{what}; give one with a single tensor of targets and a loss (outputs, targets).",
            what="a loss that sees the model" if isinstance(problem.loss, OfModel) else "several tensors of targets",
        )
    return problem.train


def train(
    programs: Programs, runs: Sequence[tuple[Setting, int]], rows: Tensor, data: Samples, validation: Samples | None
) -> Outcome:
    """Train runs (setting, seed), each on rows of its own, in blocks that share a program.

    Args:
        rows: (runs, samples) of `data`.

    Returns:
        What became of them, on the CPU.
    """
    blocks, device = _blocks(programs, runs, len(rows[0])), programs.place.device
    data, validation = data.to(device), validation if validation is None else validation.to(device)
    states: list[dict[str, Tensor]] = []
    diverged, losses = np.zeros(len(runs), dtype=bool), np.full(len(runs), np.nan)

    def work(places: list[int]) -> tuple[Block, list[int]]:
        with programs.place.at_work():
            block = _block(programs, [runs[k] for k in places], rows[places], data, validation)
            for epoch in block.train():
                if epoch is not None and "validation_loss" in epoch.values:
                    losses[places] = epoch.values["validation_loss"]
        return block, places

    order: list[int] = []
    with threads(programs.at_once if device.type == CPU else 1) as pool:
        for block, places in pool.map(work, blocks):
            diverged[places] = block.diverged >= 0
            states.append({name: tensor.cpu() for name, tensor in block.state().items()})
            order += places
    back = torch.from_numpy(np.argsort(order))
    state = {name: torch.cat([one[name] for one in states])[back] for name in states[0]}
    return Outcome(state, diverged, losses)


def _blocks(programs: Programs, runs: Sequence[tuple[Setting, int]], samples: int) -> list[list[int]]:
    """The places of the runs, cut into blocks that share a program and fit the cache; enough for all cores."""
    plan = programs.plan
    groups = grouped(lambda k: programs.of(runs[k][0]), range(len(runs)))
    inputs = sum(t[0].numel() for t in leaves(programs.problem.validation.inputs))
    states = max(plan.states_of(setting) for setting, _ in runs)
    blocks = []
    for places in groups.values():
        first, _ = runs[places[0]]
        problem = programs.prepared(first)
        with torch.random.fork_rng(devices=[]):
            outputs = problem.activations(programs.structure(first))
        batch = samples_per_step(plan.level(first, "batch_size"), samples)
        size = block_size(problem.weights, states, int(batch * (outputs + inputs)), programs.room())
        cuts = cut([plan.member(*runs[p]) for p in places], size, programs.at_once // len(groups))
        blocks += [[places[k] for k in one] for one in cuts]
    return blocks


def _block(
    programs: Programs, runs: Sequence[tuple[Setting, int]], rows: Tensor, data: Samples, validation: Samples | None
) -> Block:
    plan, (setting, _) = programs.plan, runs[0]
    batch = samples_per_step(plan.level(setting, "batch_size"), rows.shape[1])
    batches = OwnBatches(*data, batch, rows, [seed for _, seed in runs])
    loss, model = plan.level(setting, "loss"), plan.level(setting, "model")
    task = Task(programs.prepared(setting).model, programs.gradients(loss, model, COMPILED), batches, validation)
    return Block(task, [plan.member(*run) for run in runs], plan.epochs)


def classes_of(problem: Prepared, data: Samples) -> int | None:
    """How many classes the model scores; None where the targets are values."""
    if data[1].is_floating_point():
        return None
    with torch.no_grad():
        outputs = scores(call(built(problem).eval(), data.take(slice(2)).inputs))
    if outputs.shape[2:] != data[1].shape[1:]:
        raise PlanError(
            "the outputs are {outputs} and the integer targets {data}, and the answers of several models "
            "are joined by scores (samples, classes, …): let the model have its classes on axis 1, or "
            "give yes and no as floats.",
            outputs=fit.shape(outputs),
            data=fit.shape(data[1]),
        )
    return outputs.shape[1]


def _out_of_bag(ensemble: Ensemble, module: nn.Module, data: Samples, rows: Tensor) -> dict[str, float]:
    """Loss and metrics of the answers of members that did not draw a sample, over those that some did not."""
    left_out = torch.ones(len(rows), data.size, dtype=torch.bool).scatter_(1, rows, value=False)
    answers = []
    every = outputs_of(module, ensemble.state, data.inputs)
    for each, out in zip(every, left_out.split(EVALUATION_BATCH, dim=1), strict=True):
        each = each if ensemble.classes is None else each.softmax(2)
        share = out.reshape(*out.shape, *[1] * (each.ndim - 2)).to(each.dtype)
        answers.append((each * share).sum(0) / share.sum(0))
    unseen = left_out.any(0)
    if not unseen.any():
        return {"samples": 0}
    mean = torch.cat(answers)[unseen]
    scores = ensemble.judged(mean if ensemble.classes is None else mean.log(), data.targets[unseen])
    return {**scores, "samples": int(unseen.sum())}
