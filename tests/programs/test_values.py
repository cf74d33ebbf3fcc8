"""Sizes that depend on the batch, and views: as numbers and as PyTorch's views."""

from __future__ import annotations

import math

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from thalweg.programs import dims, values
from thalweg.programs.dims import Affine, Dim
from thalweg.programs.values import Buffer, Value

COEFFICIENTS = st.lists(st.integers(0, 9), max_size=3).map(
    lambda c: sum((Dim((0,) * k + (v,)) for k, v in enumerate(c)), Dim())
)
SIZES = st.integers(1, 50)


@given(COEFFICIENTS, COEFFICIENTS, SIZES)
def test_dims_are_polynomials(a: Dim, b: Dim, n: int) -> None:
    assert (a + b).at(n) == a.at(n) + b.at(n)
    assert (a - b).at(n) == a.at(n) - b.at(n)
    assert (a * b).at(n) == a.at(n) * b.at(n)
    assert a - a == Dim() == a * 0
    assert (a == b) == all(a.at(k) == b.at(k) for k in range(1, 5))
    if a.fixed is not None:
        assert a.fixed == a.at(n)


@given(COEFFICIENTS, COEFFICIENTS, SIZES, st.sampled_from([1, 4, 8]))
def test_room_is_enough_and_covers_what_it_covers(a: Dim, b: Dim, n: int, each: int) -> None:
    assert a.bytes(each).at(n) >= a.at(n) * each
    assert all(c % 64 == 0 for c in a.bytes(each).coefficients)
    if a.covers(b):
        assert a.at(n) >= b.at(n)


class Memory:
    """The body of a loop that reads from an array."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array

    def load(self, buffer: Buffer, where: Affine) -> float:
        assert not where.terms
        return float(self.array[where.constant.fixed or 0])


def read(value: Value, array: np.ndarray) -> np.ndarray:
    """All elements of a view of fixed sizes."""
    shape = [s.fixed or 0 for s in value.shape]
    each = [value.at(Memory(array), [Affine.of(int(i)) for i in index]) for index in np.ndindex(*shape)]
    return np.array(each).reshape(shape)


def fixed(shape: tuple[int, ...] | list[int] | torch.Size) -> tuple[Dim, ...]:
    return tuple(Dim.of(int(s)) for s in shape)


@st.composite
def views(draw: st.DrawFn) -> tuple[torch.Tensor, Value, np.ndarray]:
    """A tensor after random views, the same as a value, and the memory of both; half are computed."""
    shape = draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    array = np.arange(1.0, math.prod(shape) + 1)
    tensor = torch.from_numpy(array).reshape(shape)
    value = values.stored(Buffer(torch.float64, Dim.of(len(array))), fixed(shape))
    if draw(st.booleans()):
        value = Value(value.shape, value.dtype, value.at)
    for _ in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from(["permute", "slice", "new", "expand", "select", "diagonal"]))
        axis = draw(st.integers(0, max(0, tensor.dim() - 1)))
        if kind == "permute":
            order = draw(st.permutations(range(tensor.dim())))
            tensor, value = tensor.permute(order), values.permuted(value, order)
        elif kind == "slice" and tensor.dim():
            start, step = draw(st.integers(0, tensor.shape[axis] - 1)), draw(st.integers(1, 2))
            index = [slice(None)] * tensor.dim()
            index[axis] = slice(start, None, step)
            tensor = tensor[tuple(index)]
            value = values.sliced(value, axis, start, Dim.of(tensor.shape[axis]), step)
        elif kind == "new":
            tensor, value = tensor.unsqueeze(axis), values.with_axis(value, axis)
        elif kind == "expand":
            new = (2, *(3 if s == 1 else s for s in tensor.shape))
            tensor, value = tensor.expand(new), values.expanded(value, fixed(new))
        elif kind == "select" and tensor.dim():
            at = draw(st.integers(0, tensor.shape[axis] - 1))
            tensor, value = tensor.select(axis, at), values.selected(value, axis, at)
        elif kind == "diagonal" and tensor.dim() > 1:
            other = (axis + 1) % tensor.dim()
            tensor = tensor.diagonal(0, axis, other)
            value = values.diagonal(value, 0, axis, other, Dim.of(tensor.shape[-1]))
    return tensor, value, array


@settings(deadline=None)
@given(views())
def test_views_read_what_pytorch_reads(case: tuple[torch.Tensor, Value, np.ndarray]) -> None:
    tensor, value, array = case
    assert [s.fixed for s in value.shape] == list(tensor.shape)
    assert np.array_equal(read(value, array), tensor.numpy())


@settings(deadline=None)
@given(views(), st.data())
def test_a_reshape_without_a_copy_reads_what_pytorch_reads(
    case: tuple[torch.Tensor, Value, np.ndarray], data: st.DataObject
) -> None:
    tensor, value, array = case
    shape, left = [], tensor.numel()
    while left > 1 and len(shape) < 4:
        part = data.draw(st.sampled_from([k for k in range(1, left + 1) if left % k == 0]))
        shape.append(part)
        left //= part
    shape.append(left)
    result = values.reshaped(value, fixed(shape))
    if result is not None:
        assert np.array_equal(read(result, array), tensor.reshape(shape).numpy())
    else:
        assert not tensor.is_contiguous() or value.place is None


def test_contiguous_memory_takes_every_shape() -> None:
    rows = Dim((0, 1))
    value = values.stored(Buffer(torch.float32, rows * 24), (rows, Dim.of(4), Dim.of(6)))
    for shape in ((rows * 24,), (rows, Dim.of(24)), (rows * 4, Dim.of(2), Dim.of(3)), (dims.ONE, rows * 8, Dim.of(3))):
        other = values.reshaped(value, shape)
        assert other is not None
        assert other.place is not None
        strides = [s for s, n in zip(other.place.strides, shape, strict=True) if n != dims.ONE]
        assert strides == [s for s, n in zip(dims.contiguous(shape), shape, strict=True) if n != dims.ONE]
