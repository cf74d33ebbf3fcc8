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

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from ..engine.programs import Program, Programs, built, cut, samples_per_step
from ..engine.threads import threads
from ..errors import PlanError, TrainingError
from ..formulas import Formula
from ..numbers import COUNT
from ..plan.factors import Setting
from ..plan.plan import plan
from ..population.batches import OwnBatches
from ..population.block import EVALUATION_BATCH, Block, Task
from ..population.sizing import activations_of, block_size
from ..problem.data import Pair
from ..problem.declaration import Problem
from ..problem.find import load
from ..problem.prepare import Prepared, prepare
from ..regularizers.base import draw_seed
from .ensemble import Ensemble, outputs_of


@dataclass(frozen=True, eq=False)
class Trained:
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
) -> Ensemble:
    """A bag of models: each trained on as many samples as there are, drawn with replacement.

    Args:
        problem, optimizer, schedule, batch_size, regularizer: as for `compare`, one of each.
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
    programs = one_setting(problem, optimizer, lr, epochs, schedule, batch_size, regularizer)
    return averaged_members(programs, programs.plan.settings[0], "bagging", members, seed)


def one_setting(
    problem: Problem | str,
    optimizer: str | Formula,
    lr: float,
    epochs: int,
    schedule: str,
    batch_size: int | str,
    regularizer: object,
) -> Programs:
    """The programs of a plan that varies nothing."""
    ready = prepare(load(problem))
    wanted = plan(
        [optimizer], [lr], [schedule], 1, epochs, confirmation=0, batch_sizes=[batch_size], regularizers=[regularizer]
    )
    return Programs(wanted, ready)


def averaged_members(programs: Programs, setting: Setting, kind: str, members: int, seed: int = 0) -> Ensemble:
    """An ensemble whose answer is the mean of its members', all of that setting.

    Args:
        kind: "bagging", or "seeds" for members that all have all samples.
    """
    count = COUNT.check("members", members, PlanError)
    (inputs, targets), validation = learned(programs)
    seeds = [seed + k for k in range(count)]
    if kind == "bagging":
        rows = torch.stack([resample(len(inputs), own) for own in seeds])
    else:
        rows = torch.arange(len(inputs)).expand(count, -1)
    done = train(programs, [(setting, own) for own in seeds], rows, (inputs, targets), validation)
    if lost := int(done.diverged.sum()):
        raise TrainingError(
            f"{lost} of {count} members diverged with {setting.optimizer} at rate {setting.lr:g}, and their mean would "
            "say nothing; give a lower rate."
        )
    classes = classes_of(programs.problem, (inputs, targets))
    table = pd.DataFrame({"seed": seeds, **columns(setting), "validation_loss": done.validation})
    made = Ensemble(
        kind,
        programs.problem.model,
        done.state,
        torch.full((count,), 1.0 if classes else 1 / count, dtype=torch.float64),
        None,
        classes,
        programs.problem.loss,
        programs.problem.metrics,
        {},
        table,
        programs.problem.name,
    )
    if kind != "bagging":
        return made
    return replace(made, out_of_bag=_out_of_bag(made, built(programs.problem), inputs, targets, rows))


def resample(samples: int, seed: int) -> Tensor:
    """As many of the rows as there are, drawn with replacement by the member of that seed.

    >>> resample(6, 0).tolist() == resample(6, 0).tolist(), resample(6, 0).tolist() == resample(6, 1).tolist()
    (True, False)
    """
    generator = torch.Generator().manual_seed(draw_seed(seed, 0, "bootstrap"))
    return torch.randint(0, samples, (samples,), generator=generator)


def learned(programs: Programs) -> tuple[Pair, Pair | None]:
    """What an ensemble of a study learns from, and what judges its members on the way: after a cross-validation
    all samples, and nothing.

    Raises:
        PlanError: the train data are a DataLoader.
    """
    problem = programs.problem
    if isinstance(problem.train, DataLoader):
        raise PlanError(
            "the train data are a DataLoader, which draws its own samples; give the data as tensors, arrays or a "
            "Dataset, from which members can draw theirs."
        )
    return (problem.pool, None) if programs.plan.folds is not None else (problem.train, problem.validation)


def train(
    programs: Programs, runs: Sequence[tuple[Setting, int]], rows: Tensor, data: Pair, validation: Pair | None
) -> Trained:
    """Train runs (setting, seed), each on rows of its own, in blocks that share a program.

    Args:
        rows: (runs, samples) of `data`.
    """
    blocks = _blocks(programs, runs, len(rows[0]))
    states: list[dict[str, Tensor]] = []
    diverged, losses = np.zeros(len(runs), dtype=bool), np.full(len(runs), np.nan)

    def work(places: list[int]) -> tuple[Block, list[int]]:
        block = _block(programs, [runs[k] for k in places], rows[places], data, validation)
        for epoch in block.train():
            if epoch is not None and "validation_loss" in epoch.values:
                losses[places] = epoch.values["validation_loss"]
        return block, places

    order: list[int] = []
    with threads(True) as pool:
        for block, places in pool.map(work, blocks):
            diverged[places] = block.diverged >= 0
            states.append(block.state())
            order += places
    back = torch.from_numpy(np.argsort(order))
    state = {name: torch.cat([one[name] for one in states])[back] for name in states[0]}
    return Trained(state, diverged, losses)


def _blocks(programs: Programs, runs: Sequence[tuple[Setting, int]], samples: int) -> list[list[int]]:
    """The places of the runs, cut into blocks that share a program and fit the cache; enough for all cores."""
    plan, problem = programs.plan, programs.problem
    groups: dict[Program, list[int]] = {}
    for k, (setting, _) in enumerate(runs):
        groups.setdefault(programs.of(setting), []).append(k)
    with torch.random.fork_rng(devices=[]):
        outputs = activations_of(built(problem), problem.validation[0][:8])
    states = max(plan.states_of(setting) for setting, _ in runs)
    blocks = []
    for places in groups.values():
        batch = samples_per_step(plan.level(runs[places[0]][0], "batch_size"), samples)
        size = block_size(problem.weights, states, int(batch * (outputs + problem.validation[0][0].numel())))
        cuts = cut([plan.member(*runs[p]) for p in places], size, torch.get_num_threads() // len(groups))
        blocks += [[places[k] for k in one] for one in cuts]
    return blocks


def _block(
    programs: Programs, runs: Sequence[tuple[Setting, int]], rows: Tensor, data: Pair, validation: Pair | None
) -> Block:
    plan, (setting, _) = programs.plan, runs[0]
    batch = samples_per_step(plan.level(setting, "batch_size"), rows.shape[1])
    batches = OwnBatches(*data, batch, rows, [seed for _, seed in runs])
    task = Task(programs.problem.model, programs.gradients(plan.level(setting, "loss")), batches, validation)
    return Block(task, [plan.member(*run) for run in runs], plan.epochs)


def columns(setting: Setting) -> dict[str, object]:
    """A setting as columns of a table."""
    return {"optimizer": setting.optimizer, "lr": setting.lr, "schedule": setting.schedule, **dict(setting.further)}


def classes_of(problem: Prepared, data: Pair) -> int | None:
    """How many classes the model scores; None where the targets are values."""
    if data[1].is_floating_point():
        return None
    with torch.no_grad():
        return built(problem).eval()(data[0][:2]).shape[1]


def _out_of_bag(made: Ensemble, module: nn.Module, inputs: Tensor, targets: Tensor, rows: Tensor) -> dict[str, float]:
    """Loss and metrics of the answers of members that did not draw a sample, over those that some did not."""
    left_out = torch.ones(len(rows), len(inputs), dtype=torch.bool).scatter_(1, rows, value=False)
    answers = []
    for x, out in zip(inputs.split(EVALUATION_BATCH), left_out.split(EVALUATION_BATCH, dim=1), strict=True):
        each = outputs_of(module, made.state, x)
        each = each if made.classes is None else each.softmax(2)
        share = out.reshape(*out.shape, *[1] * (each.ndim - 2)).to(each.dtype)
        answers.append((each * share).sum(0) / share.sum(0))
    seen = left_out.any(0)
    if not seen.any():
        return {"samples": 0}
    mean = torch.cat(answers)[seen]
    judged = made.judged(mean if made.classes is None else mean.log(), targets[seen])
    return {**judged, "samples": int(seen.sum())}
