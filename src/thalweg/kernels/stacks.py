"""The update of weights that are stacked over members, prepared once and carried out at every step, on any device.

A member is a row of a table of hyperparameters, or several with parameter groups, and each of its tensors a segment of
memory. What a step needs of the rows lies where the weights lie, so that a step on a GPU waits for nothing, and can be
captured and replayed. Where a device has no kernels, the reference does the same by torch operations over the stacks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from ..formulas.equations import Equations
from .backends import Backend, backend_of
from .formats import UPDATE_ONLY, Formats
from .numba_cpu import DTYPES
from .staged import tensor
from .torch_ref import body, scalars_on_device

Stacks = Sequence[Sequence[Tensor]]  # for each weight tensor itself and its states, (members, *shape) each


@dataclass(frozen=True)
class Rows:
    """What an update reads of each row at a step, on the device of the weights; changed in place from step to step.

    Attributes:
        t, loss: (rows,) float64: the step, counted from 1, and the loss of its batch.
        active: (rows,) bool; nothing of other rows is touched.
        table: (rows, hyperparameters) float64.
        states: (rows, row states) float64, those that are one number per row; advanced by an update.
        place: (tensors,) which of its member's rows each weight tensor goes by.
        width: rows of a member.
    """

    t: Tensor
    loss: Tensor
    active: Tensor
    table: Tensor
    states: Tensor
    place: np.ndarray
    width: int


class Stacked(Protocol):
    """An update, prepared."""

    def run(self, gradients: Sequence[Tensor]) -> None:
        """Carry it out, with the gradient of each weight tensor, (members, *shape) and contiguous."""
        ...

    def settle(self) -> None:
        """After the steps of a graph have been captured: let launches by addresses know where the gradients lie."""


def stacked(equations: Equations, tensors: Stacks, rows: Rows) -> Stacked:
    """The update of these tensors by the kernels of their device, or by the reference where it has none for them."""
    weight = tensors[0][0]
    backend, dtype = backend_of(weight.device), DTYPES.get(weight.dtype, str(weight.dtype).removeprefix("torch."))
    if backend is None or dtype not in backend.FORMATS:
        return ByReference(equations, tensors, rows)
    return ByKernel(backend, equations, Formats.plain(equations, dtype), tensors, rows)


@dataclass(frozen=True)
class Segments:
    """Where the tensors of members lie, member by member.

    Attributes:
        address: (segments, streams) of weight, gradient and states; the gradient's are to be filled in.
        length, row: (segments,) of each, and its row.
        apart: (segments,) bytes from the first member's tensor.
    """

    address: np.ndarray
    length: np.ndarray
    row: np.ndarray
    apart: np.ndarray

    @classmethod
    def of(cls, tensors: Stacks, place: np.ndarray, width: int) -> Segments:
        members = len(tensors[0][0])
        each = np.array([[t.data_ptr() for t in (w, w, *states)] for w, *states in tensors], dtype=np.int64)
        apart = np.arange(members)[:, None] * np.array([w[0].nbytes for w, *_ in tensors], dtype=np.int64)
        address = (each + apart[:, :, None]).reshape(-1, each.shape[1])
        length = np.tile(np.array([w[0].numel() for w, *_ in tensors], dtype=np.int64), members)
        row = (width * np.arange(members)[:, None] + place).reshape(-1)
        return cls(address, length, row, apart.reshape(-1))

    def point(self, gradients: Sequence[Tensor]) -> None:
        """The gradients are these stacks."""
        pointers = np.array([g.data_ptr() for g in gradients], dtype=np.int64)
        self.address[:, 1] = np.tile(pointers, len(self.apart) // len(pointers)) + self.apart


class ByKernel(Stacked):
    """By a compiled kernel: a segment for each tensor of each member."""

    def __init__(self, backend: Backend, equations: Equations, formats: Formats, tensors: Stacks, rows: Rows) -> None:
        self.segments = segments = Segments.of(tensors, rows.place, rows.width)
        arrays = map(backend.array, (rows.active, rows.t, rows.loss, rows.table))
        kernel, states = backend.compiled(equations, formats, UPDATE_ONLY), backend.array(rows.states)
        each = (segments.address, segments.length, segments.row)
        self.launch, self.tensors = kernel.launch(*each, *arrays, row_states=states), tensors
        self.round = backend.Round([self.launch], 1)

    def run(self, gradients: Sequence[Tensor]) -> None:
        self.segments.point(gradients)
        self.round.run()

    def settle(self) -> None:
        self.launch.settle()


class ByReference(Stacked):
    """By torch operations over the stacks, in the dtype of the weights, with scalars in float64."""

    def __init__(self, equations: Equations, tensors: Stacks, rows: Rows) -> None:
        self.equations, self.tensors, self.rows = equations, tensors, rows

    def run(self, gradients: Sequence[Tensor]) -> None:
        rows = self.rows
        passed, advanced = scalars_on_device(self.equations, rows.t, rows.loss, rows.table, rows.states.unbind(1))
        for (w, *states), g, place in zip(self.tensors, gradients, rows.place.tolist(), strict=True):
            scalars = [shaped(p[place :: rows.width].to(w.dtype), w) for p in passed]
            step, *new = body(self.equations)(g, w, *states, *scalars)
            after = [tensor(value, w) for value in new]
            renew([w, *states], [w + step, *after], rows.active[place :: rows.width])
        for k, column in enumerate(advanced):
            rows.states[:, k] = torch.where(rows.active, column, rows.states[:, k])


def shaped(rows: Tensor, w: Tensor) -> Tensor:
    """(members,) as (members, 1, …), beside (members, *shape)."""
    return rows.reshape(-1, *[1] * (w.dim() - 1))


def renew(stacks: Sequence[Tensor], values: Sequence[Tensor], active: Tensor) -> None:
    """Put the values of active members (members,) into stacks (members, *shape)."""
    for stack, value in zip(stacks, values, strict=True):
        stack.copy_(torch.where(shaped(active, stack), value, stack))


__all__ = ["Rows", "Segments", "Stacked", "Stacks", "renew", "shaped", "stacked"]
