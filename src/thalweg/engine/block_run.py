"""One block from wherever it stands: its points come as events, and its state every half minute."""

from __future__ import annotations

import time
from collections.abc import Iterator

from safetensors.torch import load, save

from ..errors import ThalwegError, TrainingError, first_line
from ..population.block import Block
from .memory import out_of_memory
from .messages import Ended, Event, Failed, Job, Passed, Saved, Steps, StopFlag, TooLarge
from .programs import Programs

CHECKPOINT_SECONDS = 30.0
CHECKPOINT_SHARE = 40  # after a checkpoint, so many times the seconds it took at least: under 3% of the run
STEPS_SECONDS = 0.2  # between two words on progress


def train(job: Job, programs: Programs, stop: StopFlag) -> Iterator[Event]:
    """Train a block to its end, to the end of the pass `job.until`, or until asked to stop at the next whole step."""
    try:
        yield from _train(job, programs, stop)
    except ThalwegError as error:
        yield TooLarge() if out_of_memory(error) else Failed(error)
    except Exception as error:  # whatever a user's model, loss or loader may raise
        if out_of_memory(error):
            yield TooLarge()
            return
        name, kind = programs.problem.name, type(error).__name__
        failure = TrainingError(f"training on {name} fails with {kind} ({first_line(error)})")
        failure.__cause__ = error
        yield Failed(failure, "repair it, then ")
    else:
        yield Ended()


def _train(job: Job, programs: Programs, stop: StopFlag) -> Iterator[Event]:
    plan = programs.plan
    task = programs.task(job.settings[0], job.fold)
    block = Block(task, [plan.member(s, job.seed) for s in job.settings], plan.epochs)
    if job.checkpoint is not None:
        block.load(load(job.checkpoint))
    yield _steps(block)
    begun = saved = said = time.monotonic()
    pause, stands = CHECKPOINT_SECONDS, block.step
    for epoch in block.train(job.until):
        now = time.monotonic()
        if block.step > stands and (epoch is not None or now - said >= STEPS_SECONDS):
            yield _steps(block)
            said, stands = now, block.step
        if epoch is not None:
            finished = block.step == block.total
            values = dict(epoch.values)
            if finished and job.tested:
                values |= {f"test_{n}": v for n, v in block.evaluate(*programs.problem.test).items()}
            yield Passed(block.step, values, block.diverged.copy(), time.monotonic() - begun, finished)
            begun = time.monotonic()
            if finished:  # a checkpoint now would make it look unfinished
                return
        if stop.is_set() or now - saved > pause:
            saving = time.monotonic()
            yield _saved(block)
            saved = time.monotonic()
            pause = max(CHECKPOINT_SECONDS, CHECKPOINT_SHARE * (saved - saving))
        if stop.is_set():
            return
    # At a rung, where others may still be on their way.
    yield _saved(block)


def _steps(block: Block) -> Steps:
    return Steps(block.step, int(block.active.sum()))


def _saved(block: Block) -> Saved:
    return Saved(block.step, save(block.tensors()))
