"""Whether a model is trained as a population, or its members one by one: tried out before the study begins.

Each batched program of the plan is built at the size its blocks will have, and takes a few steps beside a plain loop.
Members are trained one by one where the program cannot be built or run, where it gives other numbers than the loop,
and where it takes more time for a member's step than the loop does, by so much that processes of their own pay. What
was decided, and why, is kept in the store: a study that is resumed goes on as it began.

Members that are trained one by one learn the same, to float rounding (see `population/one_by_one.py`), each block in
a process of its own (see `processes.py`).
"""

from __future__ import annotations

import timeit
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..errors import PlanError, TrainingError, first_line
from ..plan.factors import Setting
from ..population.block import EVALUATION_BATCH, Block
from .memory import out_of_memory
from .programs import Alone, Programs, one_thread

AUTO = "auto"
STEPS = 3  # that are timed; the fastest counts
SLOWER = 1.25  # times the plain loop's time, beyond which a batched program counts as slow
WORTH = 15.0  # seconds that must be saved: processes take some to start
SAME = 1e-2  # relative difference of gradients that rounding may make
ASKED = "as asked"


def check_batched(batched: Any) -> None:
    """Refuse anything but "auto", True and False."""
    if batched not in (AUTO, True, False):
        raise PlanError(
            f"batched is {batched!r}; give True, False, or {AUTO!r} to train one by one what cannot be batched."
        )


def decide(programs: Programs, batched: Any) -> list[Alone | None]:
    """For each program of the plan why its members are better trained one by one, as is measured now; or None."""
    with one_thread():
        return [_alone(programs, settings, batched) for settings in programs.all.values()]


def _alone(programs: Programs, settings: Sequence[Setting], batched: Any) -> Alone | None:
    """Why members of a program are better trained one by one; None where they are not."""
    if batched is True:
        return None
    plan, name = programs.plan, type(programs.structure).__name__
    (_, members, fold), *_ = programs.blocks(settings, range(plan.seeds), plan.search_folds)
    tasks = {one_by_one: programs.task(members[0], fold, one_by_one) for one_by_one in (False, True)}

    def measured(count: int, steps: int, one_by_one: bool) -> tuple[list[Tensor], float]:
        return _measured(Block(tasks[one_by_one], [plan.member(s, 0) for s in members[:count]], plan.epochs), steps)

    if batched is False:
        return Alone(ASKED, measured(1, 1, True)[1])
    try:
        together, seconds = measured(len(members), STEPS, False)
    except Exception as error:  # whatever a user's model may raise under vmap
        if out_of_memory(error):
            return None  # which halves the block when it is trained
        try:
            _, alone_seconds = measured(1, 1, True)
        except Exception:
            return None  # nor can it be trained alone, which is said when it is
        cause = error.__cause__ if isinstance(error, TrainingError) and error.__cause__ else error
        metric = getattr(error, "metric", None)
        what = name if metric is None else f"the metric {metric}"
        return Alone(f"because {what} cannot be batched ({_short(cause)})", alone_seconds)
    alone, alone_seconds = measured(2, STEPS, True)
    if not _alike(together, alone):
        return Alone(f"because {name} gives other numbers in a batched program", alone_seconds)
    seconds, alone_seconds = seconds / len(members), alone_seconds / len(members[:2])
    steps = plan.seeds * len(plan.search_folds) * len(settings) * plan.epochs * programs.steps(members[0], fold)
    saving = steps * (seconds - alone_seconds) / torch.get_num_threads()
    if seconds > SLOWER * alone_seconds and saving > WORTH:
        why = f"a step takes {_time(seconds)} for each of {len(members)} members, and {_time(alone_seconds)} alone"
        return Alone(f"because {name} is slow in a batched program: {why}", alone_seconds)
    return None


def _measured(block: Block, count: int) -> tuple[list[Tensor], float]:
    """The first step's gradients and losses of a block, and the time of the fastest of a few such steps."""
    batched, task = block.task.batched, block.task
    inputs, targets = next(iter(task.batches.epoch(block.seed, 0)))
    for part in block.regularized.parts:
        part.check(batched.loss, inputs, targets)
    extra = block.regularized.extra(block.seeds, 0, inputs, block.per_member)

    def step() -> tuple[Tensor, ...]:
        return batched.gradient(block.weights, inputs, targets, block.fixed, block.moving, extra)

    gradients = step()
    if task.validation is not None:
        block.evaluate(*(part[:EVALUATION_BATCH] for part in task.validation))
    return [t.clone() for t in gradients[: len(block.weights) + 1]], min(timeit.repeat(step, repeat=count, number=1))


def _alike(together: Sequence[Tensor], alone: Sequence[Tensor]) -> bool:
    """Whether the first members' gradients and losses are the same but for rounding."""
    count = len(alone[0])
    a, b = (
        torch.cat([t[:count].double().unsqueeze(1).flatten(1) for t in tensors], 1) for tensors in (together, alone)
    )
    if not (torch.isfinite(a).all() and torch.isfinite(b).all()):
        return torch.equal(torch.isfinite(a), torch.isfinite(b))
    return bool((a - b).norm() <= SAME * b.norm())


def _short(error: BaseException) -> str:
    """The first clause of what PyTorch says."""
    text = first_line(error).removeprefix("vmap: ").rstrip(".")
    return text if len(text) <= 100 else text[:99].rsplit(" ", 1)[0] + " …"


def _time(seconds: float) -> str:
    return f"{seconds * 1e3:.2g} ms"
