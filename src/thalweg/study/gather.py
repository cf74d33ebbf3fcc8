"""Members of several blocks in one: what they have learned so far goes with them."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import StoreError
from ..population.block import Block
from .factors import Setting
from .programs import Programs
from .store import BlockRow, Store


def gathered(
    store: Store, programs: Programs, seed: int, settings: Sequence[Setting], origins: Sequence[tuple[BlockRow, int]]
) -> Block:
    """A block of members that go on from where they stand in other blocks' checkpoints.

    Args:
        origins: the block and the place in it that each member comes from.

    Raises:
        StoreError: a checkpoint is missing or damaged.
    """
    plan, task = programs.plan, programs.task(settings[0], origins[0][0].fold)
    block = Block(task, [plan.member(s, seed) for s in settings], plan.epochs)
    for row in {row.id: row for row, _ in origins}.values():
        old = Block(task, [plan.member(s, seed) for s in row.settings], plan.epochs)
        saved = store.load_checkpoint(row)
        if saved is None:
            raise StoreError(
                f"a checkpoint in {store.checkpoints} is missing or damaged; what {store.path} holds is safe: "
                f"`thalweg resume {store.path}` trains that block again."
            )
        old.load(saved)
        block.adopt(old, [(k, at) for k, (source, at) in enumerate(origins) if source.id == row.id])
    return block
