"""One block from wherever it stands: its points come as events, and its state every half minute."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import numpy as np
from safetensors.torch import load, save

from ..errors import ThalwegError, TrainingError, raised
from ..plan.plan import Plan
from ..population.block import Block
from ..samples import Samples
from .memory import out_of_memory
from .messages import Ended, Event, Failed, Job, Passed, Saved, Steps, StopFlag, TooLarge, failed
from .programs import Programs

CHECKPOINT_SECONDS = 30.0
CHECKPOINT_SHARE = 40  # after a checkpoint, so many times the seconds it took at least: under 3% of the run
DISK_SECONDS, DISK_BYTES = 0.005, 2e8  # that a checkpoint takes of the store's disk, and those of it in a second
DISK_SHARE = 3  # times what the disk takes for those of all workers: a third of its time
STEPS_SECONDS = 0.2  # between two reports of progress


def train(job: Job, programs: Programs, stop: StopFlag) -> Iterator[Event]:
    """Train a block to its end, to the end of the pass `job.until`, or to the whole step at which `stop` is set."""
    try:
        with programs.place.at_work():
            yield from _train(job, programs, stop)
    except Exception as error:  # whatever a user's model, loss or loader may raise
        if out_of_memory(error):
            yield TooLarge()
        elif isinstance(error, ThalwegError):
            yield Failed(error)
        else:
            yield Failed(failure(error, programs.problem.name), "repair it, then ")
    else:
        yield Ended()


def failure(error: Exception, problem: str) -> TrainingError:
    """What a user's model, loss or loader raised, as a sentence."""
    return failed(f"training on {problem} fails with {raised(error)}", error)


def _train(job: Job, programs: Programs, stop: StopFlag) -> Iterator[Event]:
    plan = programs.plan
    task = programs.task(job.settings[0], job.fold)
    block = Block(task, [plan.member(s, job.seed) for s in job.settings], job.epochs)
    if job.checkpoint is not None:
        block.load(load(job.checkpoint))
    yield _steps(block)
    pass_start = last_checkpoint = last_report = time.monotonic()
    pause, step = checkpoint_pause(job), block.step
    for epoch in block.train(job.until, STEPS_SECONDS):
        now = time.monotonic()
        if block.step > step and (epoch is not None or now - last_report >= STEPS_SECONDS):
            yield _steps(block)
            last_report, step = now, block.step
        if epoch is not None:
            finished = block.step == block.total
            values, parts = dict(epoch.values), {}
            if job.parts and (finished or _judges(block, plan)):
                if "test" in job.parts:
                    values |= {f"test_{n}": v for n, v in block.evaluate(*programs.test(job.fold)).items()}
                parts = _parts(block, programs.test(job.fold), job.parts)
            yield Passed(block.step, values, block.diverged.copy(), time.monotonic() - pass_start, finished, parts)
            pass_start = time.monotonic()
            if finished:  # a checkpoint now would make it look unfinished
                return
        if stop.is_set() or now - last_checkpoint > pause:
            start = time.monotonic()
            yield (saved := _saved(block))
            last_checkpoint = time.monotonic()
            pause = checkpoint_pause(job, last_checkpoint - start, len(saved.content))
        if stop.is_set():
            return
    # At a rung, where others may still be on their way.
    yield _saved(block)


def checkpoint_pause(job: Job, took: float = 0.0, size: int = 0) -> float:
    """Seconds after a checkpoint of so many bytes that took so long, before the next: so that it costs little of the
    run, and the one disk that a whole cluster's go to keeps up."""
    disk = job.others * (DISK_SECONDS + size / DISK_BYTES)
    return max(CHECKPOINT_SECONDS, CHECKPOINT_SHARE * took, DISK_SHARE * disk)


def _judges(block: Block, plan: Plan) -> bool:
    """Whether the epoch that has just ended may be among those that a run is judged by; without a validation part the
    last alone is."""
    epoch = block.step // block.task.batches.steps
    return block.task.validation is not None and epoch >= plan.criterion.first(block.epochs)


def _parts(block: Block, test: Samples, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Each metric on parts of the samples of these parts of the data, of validation where there is one."""
    of = {"validation": block.task.validation, "test": test}
    return {
        f"{part}_{name}": values
        for part, pair in of.items()
        if part in names and pair is not None
        for name, values in block.by_parts(*pair).items()
    }


def _steps(block: Block) -> Steps:
    return Steps(block.step, int(block.active.sum()))


def _saved(block: Block) -> Saved:
    return Saved(block.step, save(block.tensors()))
