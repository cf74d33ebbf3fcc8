"""When a block does not fit into memory: it goes on as two halves, with the same results."""

from __future__ import annotations

import threading

import torch

from ..errors import TrainingError
from ..store.file import BlockRow, Compacted, Store
from .gather import gathered
from .programs import Programs

_SIGNS = ("can't allocate memory", "not enough memory", "out of memory")
_NUMBERING = threading.Lock()


def out_of_memory(error: BaseException | None) -> bool:
    """Whether an error, or what it came from, is a lack of memory."""
    while error is not None:
        if isinstance(error, MemoryError | torch.OutOfMemoryError):
            return True
        if isinstance(error, RuntimeError) and any(sign in str(error) for sign in _SIGNS):
            return True
        error = error.__cause__ or error.__context__
    return False


def halves(store: Store, programs: Programs, row: BlockRow) -> list[BlockRow]:
    """The block as two, which go on from its checkpoint, or begin anew where there is none.

    Raises:
        TrainingError: it has but one member.
    """
    count = len(row.settings)
    if count == 1:
        raise TrainingError(
            f"a single run on {programs.problem.name} does not fit into memory; what is done is safe: free some, or "
            f"begin a study with smaller batches or a smaller model, then `thalweg resume {store.path}`."
        )
    programs.limit(row.settings[0], -(-count // 2))
    with _NUMBERING:
        rows = {one.id: one for one in store.blocks()}
        row, first = rows[row.id], max(rows) + 1  # with what has been saved since
        new = []
        for k, places in enumerate((range(count // 2), range(count // 2, count))):
            origins = [(row, place) for place in places]
            name = None
            if store.load_checkpoint(row) is not None:
                settings = [row.settings[place] for place in places]
                block = gathered(store, programs, row.seed, settings, origins)
                name = store.write_checkpoint(first + k, block.step, block.tensors())
            new.append(Compacted(first + k, [(row.id, place) for place in places], row.status, name))
        store.compact([row], new, {})
        store.drop_checkpoints(row.id)
    return [one for one in store.blocks() if one.id in (first, first + 1)]
