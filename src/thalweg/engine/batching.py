"""Whether a model is trained as a population, or its members one by one: tried out before the study begins.

Each batched program of the plan is built at the size its blocks will have, and takes a few steps beside a plain loop.
Members are trained one by one where the program cannot be built or run, where it gives other numbers than the loop,
and where it takes more time for a member's step than the loop does, by so much that processes of their own pay. What
was decided, and why, is kept in the store: a study that is resumed goes on as it began.

Members that are trained one by one learn the same, to float rounding (see `population/one_by_one.py`), each block in
a process of its own (see `processes.py`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
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


def check_asked(asked: Any) -> None:
    """Refuse anything but "auto", True and False."""
    if asked not in (AUTO, True, False):
        raise PlanError(
            f"batched is {asked!r}; give True, False, or {AUTO!r} to train one by one what cannot be batched."
        )


def decide(programs: Programs, asked: Any) -> list[Alone | None]:
    """For each program of the plan why its members are better trained one by one, as is measured now; or None."""
    with one_thread():
        return [_alone(programs, settings, asked) for settings in programs.all.values()]


def _alone(programs: Programs, settings: Sequence[Setting], asked: Any) -> Alone | None:
    """Why members of a program are better trained one by one; None where they are not."""
    if asked is True:
        return None
    plan, name = programs.plan, type(programs.structure).__name__
    (_, own, fold), *_ = programs.blocks(settings, range(plan.seeds), plan.search_folds)
    batched = programs.task(own[0], fold)
    alone = programs.task(own[0], fold, one_by_one=True)
    if asked is False:
        return Alone(ASKED, _taken(Block(alone, [plan.member(own[0], 0)], plan.epochs), 1)[1])
    try:
        ours, seconds = _taken(Block(batched, [plan.member(s, 0) for s in own], plan.epochs), STEPS)
    except Exception as error:  # whatever a user's model may raise under vmap
        if out_of_memory(error):
            return None  # which halves the block when it is trained
        try:
            _, each = _taken(Block(alone, [plan.member(own[0], 0)], plan.epochs), 1)
        except Exception:
            return None  # nor can it be trained alone, which is said when it is
        cause = error.__cause__ if isinstance(error, TrainingError) and error.__cause__ else error
        metric = getattr(error, "metric", None)
        what = name if metric is None else f"the metric {metric}"
        return Alone(f"because {what} cannot be batched ({_short(cause)})", each)
    theirs, each = _taken(Block(alone, [plan.member(s, 0) for s in own[:2]], plan.epochs), STEPS)
    if not _alike(ours, theirs):
        return Alone(f"because {name} gives other numbers in a batched program", each)
    seconds, each = seconds / len(own), each / len(own[:2])
    steps = plan.seeds * len(plan.search_folds) * len(settings) * plan.epochs * programs.steps(own[0], fold)
    saved = steps * (seconds - each) / torch.get_num_threads()
    if seconds > SLOWER * each and saved > WORTH:
        why = f"a step takes {_time(seconds)} for each of {len(own)} members, and {_time(each)} alone"
        return Alone(f"because {name} is slow in a batched program: {why}", each)
    return None


def _taken(block: Block, count: int) -> tuple[list[Tensor], float]:
    """The first step's gradients and losses of a block, and the time of the fastest of a few such steps."""
    batched, task = block.task.batched, block.task
    inputs, targets = next(iter(task.batches.epoch(block.seed, 0)))
    for part in block.regularized.parts:
        part.check(batched.loss, inputs, targets)
    extra = block.regularized.extra(block.seeds, 0, inputs, block.per_member)

    def step() -> tuple[Tensor, ...]:
        return batched.gradient(block.weights, inputs, targets, block.fixed, block.moving, extra)

    made = step()
    if task.validation is not None:
        block.evaluate(*(part[:EVALUATION_BATCH] for part in task.validation))
    return [t.clone() for t in made[: len(block.weights) + 1]], min(_timed(step) for _ in range(count))


def _timed(call: Callable[[], object]) -> float:
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


def _alike(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> bool:
    """Whether the first members' gradients and losses are the same but for rounding."""
    count = len(theirs[0])
    a, b = (
        torch.cat([t[:count].double().flatten(1) if t.dim() > 1 else t[:count, None].double() for t in some], 1)
        for some in (ours, theirs)
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
