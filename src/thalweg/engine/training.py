"""One block from wherever it stands: its points go into the store as they come, its state every half minute."""

from __future__ import annotations

import time
from collections.abc import Callable

from ..errors import ThalwegError, TrainingError
from ..population.block import Block
from ..problem.data import first_line
from ..problem.prepare import Prepared
from ..store.file import BlockRow, Store
from .memory import out_of_memory
from .programs import Programs
from .progress import Progress

CHECKPOINT_SECONDS = 30.0
CHECKPOINT_SHARE = 40  # after a checkpoint, so many times the seconds it took at least: under 3% of the run


def attempt(
    store: Store,
    programs: Programs,
    row: BlockRow,
    progress: Progress,
    asked: Callable[[], bool],
    until: int | None = None,
) -> bool:
    """Train a block to its end, or to the end of the pass `until`; False if it does not fit into memory.

    Args:
        asked: whether to stop at the next whole step.

    Raises:
        TrainingError: the model, the loss or the data fail.
    """
    plan, block = programs.plan, None
    try:
        task = programs.task(row.settings[0], row.fold)
        block = Block(task, [plan.member(s, row.seed) for s in row.settings], plan.epochs)
        _train(store, row, block, programs.problem, progress, asked, until)
    except Exception as error:  # whatever a user's model, loss or loader may raise
        if out_of_memory(error):
            # What goes on is counted from the step that the store has of it.
            (kept,) = (one.step for one in store.blocks() if one.id == row.id)
            taken = 0 if block is None else (kept - block.step) * len(row.settings)
            progress.block(row.id, row.seed, 0, taken)
            return False
        if isinstance(error, ThalwegError):
            raise
        raise TrainingError(
            f"training on {programs.problem.name} fails with {type(error).__name__} ({first_line(error)}); what "
            f"is done is safe: repair it, then `thalweg resume {store.path}`."
        ) from error
    return True


def _train(
    store: Store,
    row: BlockRow,
    block: Block,
    problem: Prepared,
    progress: Progress,
    asked: Callable[[], bool],
    until: int | None,
) -> None:
    saved = store.load_checkpoint(row)
    if saved is not None:
        block.load(saved)
    members = len(block.members)
    progress.block(row.id, row.seed, members, (block.step - row.step) * members)
    begun = since = time.monotonic()
    pause = CHECKPOINT_SECONDS
    for epoch in block.train(until):
        if epoch is None:
            progress.advance(row.id, members, int(block.active.sum()))
        else:
            finished = block.step == block.total
            values = dict(epoch.values)
            if finished and row.stage == "confirmation" and row.fold is None:
                values |= {f"test_{n}": v for n, v in block.evaluate(*problem.test).items()}
            store.record(row.id, block.step, values, block.diverged, time.monotonic() - begun, finished)
            begun = time.monotonic()
            if finished:  # a checkpoint now would make it look unfinished
                store.drop_checkpoints(row.id)
                return
        if asked() or time.monotonic() - since > pause:
            saving = time.monotonic()
            store.save_checkpoint(row.id, block.step, block.tensors())
            since = time.monotonic()
            pause = max(CHECKPOINT_SECONDS, CHECKPOINT_SHARE * (since - saving))
        if asked():
            return
    # At a rung, where others may still be on their way.
    store.save_checkpoint(row.id, block.step, block.tensors())
