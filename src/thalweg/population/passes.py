"""A block's members taken through many steps in one call of compiled code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..formulas.base import Equations
from ..kernels import numba_cpu
from ..kernels.numba_cpu import Launch
from ..kernels.stacks import Segments
from ..programs.compiled import Step
from ..programs.operations import Uncovered
from ..samples import Samples
from .compiled import Compiled, Table, drivers
from .stacked import Block, decay_factors
from .tensor_updates import Calls, TensorUpdates, second_of
from .updates import Update


def advance(block: Block, rooms: dict[int, Room], program: Compiled, batches: Sequence[Samples]) -> bool:
    """Train every member on these batches, one member after the other; False where the program cannot.

    Nothing of a member but its weights, states and moved buffers outlasts a step, so that none can disturb another.
    """
    if any(isinstance(part, TensorUpdates) and part.programs is None for part in block.updates):
        return False
    steps = range(block.step, block.step + len(batches))
    table = program.table(len(block.active), batches, lambda k: block.given(steps[k], batches[k]))
    if table is None:
        return False
    if id(table.step) not in rooms:
        try:
            rooms[id(table.step)] = Room(block, table.step)
        except Uncovered:
            return False
    room = rooms[id(table.step)]
    drivers().run(table.job(room.enter(table, block, steps)), 0, len(block.active))
    table.check()
    for mine, part in zip(room.parts, block.updates, strict=True):
        part.table[:] = mine.tables[-1]
    block.step += len(batches)
    return True


class Room:
    """Where a compiled step leaves what it gives of the member at work, and what the driver reads of a block."""

    def __init__(self, block: Block, step: Step) -> None:
        self.step, count = step, len(block.weights)
        pairs = zip(step.shapes, step.dtypes, strict=True)
        self.outputs = [torch.empty([d.at(0) for d in shape], dtype=dtype) for shape, dtype in pairs]
        gradients, (self.loss, *moved) = self.outputs[:count], self.outputs[count:]
        self.parts = [_Part(part, block, gradients) for part in block.updates]
        self.part_of = np.repeat(np.arange(len(self.parts)), [p.count for p in block.updates]).astype(np.int64)
        self.at = np.array([p.numbers.ctypes.data for p in self.parts], dtype=np.int64)
        pairs = zip(block.weights, block.updates[0].place.tolist(), strict=True)
        self.weights = _table([[w.data_ptr(), *_extent(w), _width(w), at] for w, at in pairs])
        pairs = zip(moved, block.moving, strict=True)
        self.copied = _table([[m.data_ptr(), b.data_ptr(), _bytes(b), 0] for m, b in pairs])
        pairs = zip(block.regularized.average or (), (*block.weights, *block.moving), strict=False)
        self.averaged = _table([[a.data_ptr(), b.data_ptr(), *_extent(a), _width(a)] for a, b in pairs])

    def enter(self, table: Table, block: Block, steps: range) -> list[int]:
        """Addresses and numbers for the driver, with the hyperparameters at each step."""
        first = self.step.graph.inputs
        table.put(0, first, self.outputs, [False] * len(self.outputs))
        table.base[:, first : first + len(self.outputs)] = table.base[0, first : first + len(self.outputs)]
        for mine, part in zip(self.parts, block.updates, strict=True):
            mine.enter(part, steps)
        self.factors = decay_factors(block, [part.tables for part in self.parts])
        self.shares = block.regularized.shares(steps, block.per_epoch, block.total)
        return [
            *(a.ctypes.data for a in (block.active, block.broken, block.loss_sum)),
            *(self.loss.data_ptr(), int(self.loss.dtype == torch.float64), steps[0]),
            *(self.part_of.ctypes.data, self.at.ctypes.data, len(block.active)),
            *(len(self.weights), self.weights.ctypes.data, len(self.copied), self.copied.ctypes.data),
            *(0 if a is None else a.ctypes.data for a in (self.factors, self.shares)),
            *(len(self.averaged), self.averaged.ctypes.data),
        ]


class _Part:
    """What the driver reads of the members of one formula; `numbers` holds the addresses."""

    def __init__(self, part: Update, block: Block, gradients: Sequence[Tensor]) -> None:
        rows, dtype = len(part.table), block.weights[0].dtype
        # The driver itself leaves out members that no longer train.
        loss, active = np.full(rows, np.nan), np.ones(rows, dtype=np.bool_)
        if isinstance(part, TensorUpdates):
            calls = Calls(part, np.ones(rows), loss, active, part.table, part.row_states)
            calls.point_all(gradients)
            launch, self.calls = calls.launch, calls
        else:
            launch = _launch(part, part.equations, dtype, {1: gradients}, loss, active, part.row_states)
        numbers = [part.start, part.count, part.width * part.table.shape[1], *_called(launch)]
        numbers += [0, part.table.ctypes.data, _steps(launch), loss.ctypes.data]
        self.arrays: list[Any] = [launch, loss]
        apart = part.lookahead is not None or part.second is not None
        points = [torch.empty_like(w[0]) for w in block.weights] if apart else []
        at, none = np.array([p.data_ptr() for p in points], dtype=np.int64), np.full(rows, np.nan)
        before = part.row_states.copy()
        self.arrays += [points, at, none, before]
        if part.lookahead is not None:
            ahead = _launch(part, part.lookahead, dtype, {0: points, 1: points}, none, active, before)
            numbers += [*_called(ahead), at.ctypes.data, before.ctypes.data]
            numbers += [part.row_states.ctypes.data, before.nbytes, _steps(ahead)]
            self.arrays += [ahead]
        else:
            numbers += [0] * 4 + [at.ctypes.data if apart else 0] + [0] * 4
        numbers += [part.width, len(launch.length) // part.count]
        if (second := second_of(part, [p.expand(part.count, *p.shape) for p in points])) is not None:
            if second.programs is None:
                raise Uncovered(f"the second gradient of {part.equations.name}")
            again = Calls(second, np.ones(rows), none, active, part.table, second.row_states)
            again.point_all(gradients)
            numbers += [*_called(again.launch), _steps(again.launch)]
            self.arrays += [second, again]
        else:
            numbers += [0] * 5
        self.numbers = np.array([*numbers, int(part.flushes)], dtype=np.int64)

    def enter(self, part: Update, steps: range) -> None:
        self.tables = part.scheduling.over(part.table, steps)
        self.numbers[7] = self.tables.ctypes.data


def _launch(
    part: Update,
    equations: Equations,
    dtype: torch.dtype,
    streams: Mapping[int, Sequence[Tensor]],
    loss: np.ndarray,
    active: np.ndarray,
    row_states: np.ndarray,
) -> Launch:
    """The update of a formula's members, where these streams are the same tensors for every member."""
    segments = Segments.of(part.tensors, part.place, part.width)
    for column, tensors in streams.items():
        segments.address[:, column] = np.tile([t.data_ptr() for t in tensors], part.count)
    each, t = (segments.address, segments.length, segments.row, active), np.ones(len(part.table))
    return numba_cpu.compiled(equations, dtype).launch(*each, t, loss, part.table, row_states=row_states)


def _called(launch: Launch) -> list[int]:
    """The kernel over weights and its job, then the one over rows and its job."""
    assert launch.rows is not None
    return [launch.function, launch.job.ctypes.data, launch.rows.function, launch.rows.job.ctypes.data]


def _steps(launch: Launch) -> int:
    """The address of the steps (rows,) that a launch's rows are at."""
    assert launch.t is not None
    return launch.t.ctypes.data


def _bytes(stack: Tensor) -> int:
    """Of one member's."""
    return stack[0].numel() * stack.element_size()


def _extent(stack: Tensor) -> tuple[int, int]:
    """Bytes from a member to the next, and values of one."""
    return _bytes(stack), stack[0].numel()


def _width(stack: Tensor) -> int:
    """1 of float64, 0 of float32, −1 of whole numbers."""
    return int(stack.dtype == torch.float64) if stack.is_floating_point() else -1


def _table(rows: Sequence[Sequence[int]]) -> np.ndarray:
    return np.array(rows, dtype=np.int64)
