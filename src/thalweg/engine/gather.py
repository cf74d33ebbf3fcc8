"""Members of several blocks in one: what they have learned so far goes with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from ..population.block import Block
from ..store.file import BlockRow
from .programs import Programs


def gathered(
    programs: Programs, origins: Sequence[tuple[BlockRow, int]], saved: Mapping[int, Mapping[str, Tensor]]
) -> Block:
    """A block of members that go on from where they stand in other blocks.

    Args:
        origins: the block and the place in it that each member comes from; the blocks share seed, fold and program.
        saved: the checkpoint of each of those blocks, by its number.
    """
    plan, (first, _) = programs.plan, origins[0]
    task = programs.task(first.settings[0], first.fold)
    block = Block(task, [plan.member(row.settings[at], row.seed) for row, at in origins], plan.epochs)
    for row in {row.id: row for row, _ in origins}.values():
        old = Block(task, [plan.member(s, row.seed) for s in row.settings], plan.epochs)
        old.load(saved[row.id])
        block.adopt(old, [(k, at) for k, (source, at) in enumerate(origins) if source.id == row.id])
    return block
