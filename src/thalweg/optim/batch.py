"""Tensors that one compiled loop updates: cut into segments, with a row of numbers for those that step alike."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..kernels import storage
from ..kernels.backends import backend_of
from ..kernels.formats import FusedOptions
from .parameter import Parameter


class Batch:
    """Tensors of one formula, one set of formats and one device.

    Attributes:
        backend, launch: the update of all segments.
        reading, squares: a launch that reads the gradients, and where it leaves Σg² of each segment.
        places: (tensors,) among the parameters that have a gradient.
        row: (tensors,) the row of each; those of one group, step count and `row_states` share one.
        first: (rows,) the place of a parameter of each row.
        groups: of each row.
        t, loss, table, fused, row_states: what the launch reads for each row; see `numba_cpu.Kernel.launch`.
        gradients: (segments,) the place of each segment's tensor.
    """

    def __init__(
        self,
        parameters: Sequence[Parameter],
        places: Sequence[int],
        counts: np.ndarray,
        numbers: np.ndarray,
        fused: FusedOptions,
    ) -> None:
        formula, formats = parameters[0].formula, parameters[0].formats
        backend = backend_of(parameters[0].weight.device)
        assert backend is not None
        assert formats is not None
        kernel = backend.compiled(formula.equations, formats, fused)
        keys = np.column_stack([[h.group for h in parameters], counts, numbers])
        _, first, row = np.unique(keys, axis=0, return_index=True, return_inverse=True)
        rows, self.row, self.groups = len(first), row.reshape(-1), [parameters[k].group for k in first]
        self.backend, self.places = backend, np.array(places)
        self.first, self.row_states = self.places[first], np.ascontiguousarray(numbers[first])
        self.t, self.loss, self.fused = np.zeros(rows), np.zeros(rows), np.zeros((rows, len(fused.numbers)))
        self.table = np.zeros((rows, len(formula.equations.hyperparameters)))
        owner, starts, length, self._address = _segments(parameters, backend.CUT)
        self.gradients = self.places[owner]
        self._offset = starts * parameters[0].weight.element_size()  # gradients have the dtype of the weights
        noise = np.stack([np.array([h.index for h in parameters])[owner], starts], axis=1)
        arrays = (self._address, length, self.row[owner], np.ones(rows, dtype=np.bool_), self.t, self.loss, self.table)
        self.launch = kernel.launch(*arrays, fused=self.fused, row_states=self.row_states, noise=noise)
        self.reading, self.squares = backend.squares(formats.gradient, self._address, length)

    def point(self, pointers: np.ndarray) -> None:
        """Take the gradients from these addresses, (parameters with a gradient,) int64."""
        np.add(pointers[self.gradients], self._offset, out=self._address[:, 1])


def _segments(parameters: Sequence[Parameter], cut: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Runs of at most `cut` weights.

    Returns:
        (segments,) the tensor of each, its first element there and its length; (segments, streams) addresses.
    """
    size = np.array([h.weight.numel() for h in parameters])
    cuts = [np.arange(0, count, cut) for count in size]
    owner = np.repeat(np.arange(len(parameters)), [len(c) for c in cuts])
    starts = np.concatenate(cuts).astype(np.int64)
    length = np.minimum(cut, size[owner] - starts).astype(np.int64)
    streams = [[h.weight, h.weight, *h.streams] for h in parameters]  # where gradients lie is known at each step
    origin = np.array([[s.data_ptr() for s in row] for row in streams], dtype=np.int64)
    sizes = np.array([s.element_size() for s in streams[0]])
    index = np.tile(starts[:, None], (1, len(sizes)))
    scales = sum(scale is not None for scale in parameters[0].scales)
    index[:, len(sizes) - scales :] //= storage.BLOCK
    return owner, starts, length, origin[owner] + index * sizes
