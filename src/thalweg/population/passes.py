"""A block's members taken through many steps in one call of compiled code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from ..kernels.numba_cpu import Launch
from .batched import Extra, Groups
from .batches import Batch
from .compiled import Compiled, Table, drivers
from .regularized import Regularized
from .updates import Update


class Trained(Protocol):
    """What of a block changes as it trains; see `block.Block`."""

    weights: list[Tensor]
    moving: list[Tensor]
    updates: list[Update]
    regularized: Regularized
    active: np.ndarray
    broken: np.ndarray
    loss_sum: np.ndarray
    step: int
    total: int

    @property
    def per_epoch(self) -> int: ...

    def given(self, step: int, inputs: Tensor, targets: Tensor) -> tuple[Groups, Extra]: ...


def advance(block: Trained, program: Compiled, batches: Sequence[Batch]) -> bool:
    """Train every member on these batches, one member after the other; False where the program cannot.

    Nothing of a member but its weights, states and moved buffers outlasts a step, so that none can disturb another.
    """
    steps = range(block.step, block.step + len(batches))
    table = program.table(len(block.active), [block.given(s, *b) for s, b in zip(steps, batches, strict=True)])
    if table is None:
        return False
    outputs = [torch.empty([d.at(0) for d in s], dtype=d) for s, d in _results(table)]
    table.put(0, table.step.graph.inputs, outputs, [False] * len(outputs))
    first = table.step.graph.inputs
    table.base[:, first : first + len(outputs)] = table.base[0, first : first + len(outputs)]
    count = len(block.weights)
    parts = [_Part(part, block, outputs[:count], steps) for part in block.updates]
    whole = _Whole(block, parts, outputs[count:], steps)
    drivers().run(table.job(whole.numbers), 0, len(block.active))
    table.check()
    for part in block.updates:
        part.scheduling.write(part.table, steps[-1])
    block.step += len(batches)
    return True


def _results(table: Table) -> list[tuple[Any, torch.dtype]]:
    return list(zip(table.step.shapes, table.step.dtypes, strict=True))


class _Part:
    """What the driver reads of the members of one formula; `numbers` holds the addresses."""

    def __init__(self, part: Update, block: Trained, gradients: Sequence[Tensor], steps: range) -> None:
        tensors = len(gradients)
        self.tables = part.scheduling.over(part.table, steps)
        at = np.array([g.data_ptr() for g in gradients], dtype=np.int64)
        loss = np.full(part.count, np.nan)
        each = np.tile(at, (part.count, 1))
        launch = part.prepared(part.kernel, part.addressed(each), loss, block.active, steps[0], part.row_states)
        rows = launch.rows
        assert rows is not None
        numbers = [part.start, part.count, part.table.shape[1], *_called(launch)]
        numbers += [self.tables.ctypes.data, part.table.ctypes.data, _t(launch).ctypes.data, loss.ctypes.data]
        self.arrays: list[Any] = [launch, loss]
        if part.lookahead is not None:
            points = [torch.empty_like(w[0]) for w in block.weights]
            point_at = np.array([p.data_ptr() for p in points], dtype=np.int64)
            rows_before = part.row_states.copy()
            ahead = part.prepared(
                part.lookahead,
                part.ahead(np.tile(point_at, (part.count, 1))),
                np.full(part.count, np.nan),
                block.active,
                steps[0],
                rows_before,
            )
            numbers += [*_called(ahead), point_at.ctypes.data, rows_before.ctypes.data]
            numbers += [part.row_states.ctypes.data, rows_before.nbytes, _t(ahead).ctypes.data]
            self.arrays += [ahead, points, point_at, rows_before]
        else:
            numbers += [0] * 9
        assert tensors == len(block.weights)
        self.numbers = np.array(numbers, dtype=np.int64)


def _called(launch: Launch) -> list[int]:
    """The kernel over weights and its job, then the one over rows and its job."""
    assert launch.rows is not None
    return [launch.function, launch.job.ctypes.data, launch.rows.function, launch.rows.job.ctypes.data]


def _t(launch: Launch) -> np.ndarray:
    """The steps (rows,) that a launch's rows are at."""
    return launch.arrays[8]


class _Whole:
    """What the driver reads beside the table of the step and the parts."""

    def __init__(self, block: Trained, parts: Sequence[_Part], rest: Sequence[Tensor], steps: range) -> None:
        loss, *moved = rest
        regularized, weights = block.regularized, block.weights
        part_of = np.repeat(np.arange(len(parts)), [p.count for p in block.updates]).astype(np.int64)
        at = np.array([p.numbers.ctypes.data for p in parts], dtype=np.int64)
        self.weights = _table([[w.data_ptr(), *_extent(w), int(w.dtype == torch.float64)] for w in weights])
        copies = [[m.data_ptr(), b.data_ptr(), _bytes(b), 0] for m, b in zip(moved, block.moving, strict=True)]
        self.copied = _table(copies)
        self.factors = _factors(block, parts, steps)
        self.shares = regularized.shares(steps, block.per_epoch, block.total)
        averages = [
            [a.data_ptr(), now.data_ptr(), *_extent(a), int(a.dtype == torch.float64) if a.is_floating_point() else -1]
            for a, now in zip(regularized.average or (), (*weights, *block.moving), strict=False)
        ]
        self.averaged = _table(averages)
        self.arrays = (part_of, at, loss, moved)
        self.numbers = [
            *(a.ctypes.data for a in (block.active, block.broken, block.loss_sum)),
            *(loss.data_ptr(), int(loss.dtype == torch.float64), steps[0]),
            *(part_of.ctypes.data, at.ctypes.data, len(block.active)),
            *(len(weights), self.weights.ctypes.data, len(copies), self.copied.ctypes.data),
            *(0 if a is None else a.ctypes.data for a in (self.factors, self.shares)),
            *(len(averages), self.averaged.ctypes.data),
        ]


def _factors(block: Trained, parts: Sequence[_Part], steps: range) -> np.ndarray | None:
    """(steps, members) by which decoupled decay multiplies the weights before each update."""
    if not block.regularized.decays:
        return None
    rates = np.concatenate([p.rates_of(one.tables) for p, one in zip(block.updates, parts, strict=True)], axis=1)
    return np.stack([block.regularized.factors(row) for row in rates])


def _bytes(stack: Tensor) -> int:
    """Of one member's."""
    return stack[0].numel() * stack.element_size()


def _extent(stack: Tensor) -> tuple[int, int]:
    """Bytes from a member to the next, and values of one."""
    return _bytes(stack), stack[0].numel()


def _table(rows: Sequence[Sequence[int]]) -> np.ndarray:
    return np.array(rows, dtype=np.int64)
