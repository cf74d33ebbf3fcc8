"""The members of a block one after another, each member's steps in one compiled function.

From forward pass to update nothing of a member leaves the cache, nothing is dispatched, and the interpreter's lock
is free: `advance` takes all members through a run of steps in one call. What a step computes is traced from the
model's own code (`programs`); the update is the formula's own kernel. What has no rule runs stacked, as `Batched` does.
"""

from __future__ import annotations

import ctypes
import functools
import threading
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import TrainingError
from ..kernels.generated import module
from ..programs.compiled import Step, compile_graph
from ..programs.operations import RULES, Uncovered
from ..programs.trace import graph
from ..samples import Samples, measured
from .batched import TRACING, UNTRACEABLE, Batched, Extra, Groups, Layout, Tensors, axes
from .draws import Draw, Replayed, numbers
from .driver import DRIVER

Given = Callable[[int], tuple[Groups, Extra]]
_own = threading.local()


class Compiled(Batched):
    """`Batched`, where what is traced is compiled for a single member.

    Attributes:
        uncovered: why something of it runs stacked after all; None where nothing does.
    """

    several = True
    replays = False
    uncovered: str | None = None

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._steps: dict[tuple, Step | None] = {}
        self._drawn: dict[tuple, list[Draw]] = {}

    def _run(self, groups: Groups, extra: Extra | None, fixed: int | None) -> Tensors:
        step = self._step(groups, extra, fixed)
        if step is None:
            return super()._run(groups, extra, fixed)
        members, samples = len(groups[0][0]), _samples(groups, extra)
        table = Table(step, members, 1)
        table.put(0, 0, self._tensors(groups, extra), self._moves(groups, extra, fixed))
        outputs = tuple(
            torch.empty((members, *(d.at(samples) for d in shape)), dtype=dtype)
            for shape, dtype in zip(step.shapes, step.dtypes, strict=True)
        )
        table.put(0, step.graph.inputs, outputs, [True] * len(outputs))
        table.samples[0] = samples
        drivers().each(table.job(), 0, members)
        table.check()
        return outputs

    def table(self, members: int, batches: Sequence[Samples], given: Given) -> Table | None:
        """What the driver needs of the steps of these batches; None where one of them is not compiled as the others.

        Args:
            given: a place among the batches → what a program is given there.
        """
        groups, extra = given(0)
        step = self._step(groups, extra, extra.data)
        if step is None:
            return None
        table = Table(step, members, len(batches))
        flat = [self.flat(batches[0], training=True), *(batch.leaves for batch in batches[1:])]  # which has their form
        table.samples[:] = [tensors[0].shape[1 if extra.per_member else 0] for tensors in flat]
        if extra.parts or extra.per_member or self._drawn_by(groups, extra):
            for k in range(len(batches)):
                groups, extra = given(k)
                if self._step(groups, extra, extra.data) is not step:
                    return None
                table.put(k, 0, self._tensors(groups, extra), self._moves(groups, extra, extra.data))
            return table
        # All but the batch is the same at each step.
        kinds = {tuple((t.shape, t.dtype) for t in tensors): tensors for tensors in flat}
        if any(self._step((*groups[:3], one, *groups[4:]), extra, extra.data) is not step for one in kinds.values()):
            return None
        table.put(0, 0, self._tensors(groups, extra), self._moves(groups, extra, extra.data))
        table.repeat(sum(map(len, groups[:3])), flat)
        return table

    def room(self, samples: int, evaluated: int) -> int:
        """The bytes that a thread needs between operations, of what was compiled so far.

        Args:
            samples: in a batch.
            evaluated: in a part of an evaluation.
        """
        sizes = {True: evaluated, False: samples}
        return max((step.room.at(sizes[kind[0] is None]) for kind, step in self._steps.items() if step), default=0)

    def _tensors(self, groups: Groups, extra: Extra | None) -> list[Tensor]:
        """What the step is given, in its order."""
        given = [t for group in groups for t in group]
        if extra is not None and (draws := self._drawn_by(groups, extra)):
            each = [numbers(draws, seed) for seed in extra.seeds]
            given += [torch.stack(one) for one in zip(*each, strict=True)] if extra.per_member else each[0]
        return [t.contiguous() for t in given]

    def _moves(self, groups: Groups, extra: Extra | None, fixed: int | None) -> list[bool]:
        """Whether each of these has a row for each member."""
        moves = [axis == 0 for group, axis in zip(groups, axes(extra, fixed), strict=True) for _ in group]
        drawn = len(self._drawn_by(groups, extra)) if extra is not None else 0
        return [*moves, *[extra is not None and extra.per_member] * drawn]

    def _drawn_by(self, groups: Groups, extra: Extra) -> list[Draw]:
        """What the model draws in a forward pass on such a batch."""
        key = (*self._kind(groups, extra), _samples(groups, extra))
        if key not in self._drawn:
            with TRACING, self._lock:
                self._drawn[key] = self._draws(groups, extra)
        return self._drawn[key]

    def _kind(self, groups: Groups, extra: Extra | None) -> tuple:
        """What steps must have in common to be one program, their batch sizes aside."""
        skip = 2 if extra is not None and extra.per_member else 1
        programs = None if extra is None else extra.program
        return programs, *((t.shape[skip:], t.dtype) for t in groups[3])

    def _step(self, groups: Groups, extra: Extra | None, fixed: int | None) -> Step | None:
        """The compiled step of such groups; None where it has none."""
        kind, samples = self._kind(groups, extra), _samples(groups, extra)
        every, this = (*kind, None), (*kind, samples)

        def known() -> tuple | None:
            return next((k for k in ((every, this) if samples > 1 else (this,)) if k in self._steps), None)

        if (key := known()) is None:
            with TRACING, self._lock:
                if (key := known()) is None:  # another thread may have been faster
                    step = self._compiled(groups, extra, fixed, samples)
                    key = every if step is not None and step.graph.size is None else this
                    self._steps[key] = step
        return self._steps[key]

    def _compiled(self, groups: Groups, extra: Extra | None, fixed: int | None, samples: int) -> Step | None:
        try:
            return self._compile(groups, extra, fixed, samples)
        except (Uncovered, *UNTRACEABLE) as error:
            self.uncovered = str(error)
            return None

    def _compile(self, groups: Groups, extra: Extra | None, fixed: int | None, samples: int) -> Step:
        sizes = [samples, samples // 2 + 1 if samples > 2 else 4][: 1 if samples == 1 else 2]
        single = _single(groups, axes(extra, fixed))
        examples, draws = [], 0
        for size in sizes:
            arguments, draws = self._example(single, extra, size)
            examples.append((size, arguments))
        layout = Layout(*single, range(draws))

        def call(*tensors: Tensor) -> Tensors:
            *stacks, random = layout.split(tensors)
            with Replayed(random) if draws else nullcontext():
                return self._member(extra, stacks)

        with self._mode(extra):
            return compile_graph(graph(call, examples, RULES))

    def _example(self, single: list[list[Tensor]], extra: Extra | None, size: int) -> tuple[list[Tensor], int]:
        """The arguments of one member's step with so many samples, and how many of them the model draws."""
        weights, moving, amounts, data, fixed, draws = single
        rows = torch.arange(size) % len(data[0])
        data = [t[rows] for t in data]
        drawn: list[Tensor] = []
        if extra is not None:
            inputs = measured(self._samples(tuple(data), True).inputs)
            draws = [d for part in extra.parts for d in part.draws(0, 0, inputs, weights)]
            stacks = [[t.unsqueeze(0) for t in weights], [t.unsqueeze(0) for t in moving], (), data, fixed, ()]
            shared = replace(extra, seeds=(0,), per_member=False)
            drawn = numbers(self._draws(stacks, shared), 0)
        return [*weights, *moving, *amounts, *data, *fixed, *draws, *drawn], len(drawn)


def _single(groups: Groups, rows: Sequence[int | None]) -> list[list[Tensor]]:
    """The first member's; `rows`: of which groups each member has its own."""
    pairs = zip(groups, rows, strict=True)
    return [[(t if axis is None else t[0]).detach().clone() for t in group] for group, axis in pairs]


def _samples(groups: Groups, extra: Extra | None) -> int:
    inputs = groups[3][0]
    return inputs.shape[1] if extra is not None and extra.per_member else inputs.shape[0]


class Table:
    """Where a step finds its arguments: for each step an address, and how far the members are apart.

    Attributes:
        base: (steps, arguments) addresses.
        stride: (steps, arguments) bytes from a member to the next, which go by the size of the batch.
        samples: (steps,) in the batch.
        arrays: what must not be freed before the call.
    """

    def __init__(self, step: Step, members: int, steps: int) -> None:
        self.step = step
        count = step.graph.inputs + len(step.shapes) + 1 + len(step.constants)
        self.base = np.zeros((steps, count), dtype=np.int64)
        self.stride = np.zeros_like(self.base)
        self.samples = np.zeros(steps, dtype=np.int64)
        self.base[:, count - len(step.constants) :] = [c.data_ptr() for c in step.constants]
        self.status = np.zeros(1, dtype=np.int64)
        self.base[:, step.graph.inputs + len(step.shapes)] = self.status.ctypes.data
        self.arrays: list[Any] = []

    def check(self) -> None:
        """Raise TrainingError where an index of the data named no place."""
        if self.status[0]:
            raise TrainingError(
                "a class id, a token id or another index in the data is out of range; ids go from 0 to one less than "
                "their number."
            )

    def put(self, at: int, first: int, tensors: Sequence[Tensor], moves: Sequence[bool]) -> None:
        """The arguments from `first` on, at one step; those that move have a row for each member."""
        self.arrays.extend(tensors)
        for k, (tensor, moving) in enumerate(zip(tensors, moves, strict=True), first):
            self.base[at, k] = tensor.data_ptr()
            self.stride[at, k] = tensor.stride(0) * tensor.element_size() if moving else 0

    def repeat(self, first: int, batches: Sequence[Sequence[Tensor]]) -> None:
        """Every step as the first one, but with its own batch in the arguments from `first` on."""
        rows = [[t.contiguous() for t in tensors] for tensors in batches]
        self.arrays.extend(rows)
        self.base[1:], self.stride[1:] = self.base[0], self.stride[0]
        self.base[:, first : first + len(rows[0])] = [[t.data_ptr() for t in tensors] for tensors in rows]

    def job(self, more: Sequence[int] = ()) -> int:
        """The address of what the driver reads."""
        arena = _arena(self.step.room.at(int(self.samples.max())))
        self.given = np.zeros(self.base.shape[1], dtype=np.int64)
        arrays = (self.base, self.stride, self.given, self.samples)
        numbers = [self.step.function, *(a.ctypes.data for a in arrays), arena, *self.base.shape, *more]
        self.numbers = np.array(numbers, dtype=np.int64)
        return self.numbers.ctypes.data


def _arena(size: int) -> int:
    """The address of this thread's memory for results in between."""
    room = getattr(_own, "arena", None)
    if room is None or len(room) < size:
        _own.arena = room = np.empty(size, dtype=np.uint8)
    return room.ctypes.data


@functools.cache
def drivers() -> SimpleNamespace:
    """The compiled loops over members."""
    made, prototype = module(DRIVER, "driver"), ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 3)
    return SimpleNamespace(each=prototype(made.each.address), run=prototype(made.run.address))
