"""Results of operations: numbers in memory, views of them, and what is computed where it is used.

A `Value` says how one of its elements is got, for an index; most operations only compose such functions, and the loop
that finally stores a value computes the whole chain for each element.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch

from .dims import ONE, ZERO, Affine, Dim, contiguous, product

Index = Sequence[Affine]
Shape = tuple[Dim, ...]


@dataclass(eq=False)
class Buffer:
    """A run of values in memory: an argument of the step, or room in the arena while it is needed."""

    dtype: torch.dtype
    size: Dim
    argument: int | None = None


@dataclass(frozen=True)
class Place:
    """Where a value's elements lie: at offset + Σ index · stride of a buffer."""

    buffer: Buffer
    strides: Shape
    offset: Dim = ZERO

    def at(self, index: Index) -> Affine:
        """Where the element of this index lies."""
        where = Affine((), self.offset)
        for i, stride in zip(index, self.strides, strict=True):
            where = where + i * stride
        return where


@dataclass(eq=False)
class Value:
    """A result: its shape, and how an element is got.

    Attributes:
        at: (body of a loop, index) → the element.
        place: where it lies, if it is in memory.
        cost: operations for each element; 0 in memory and for constants.
    """

    shape: Shape
    dtype: torch.dtype
    at: Callable[[Any, Index], Any]
    place: Place | None = None
    cost: int = 0

    @property
    def rank(self) -> int:
        return len(self.shape)

    @property
    def stored_at(self) -> Place:
        """The place of a value that is in memory."""
        assert self.place is not None
        return self.place


def stored(buffer: Buffer, shape: Shape, strides: Shape | None = None, offset: Dim = ZERO) -> Value:
    """What lies in a buffer."""
    place = Place(buffer, contiguous(shape) if strides is None else strides, offset)
    return Value(tuple(shape), buffer.dtype, lambda e, index: e.load(buffer, place.at(index)), place)


def _viewed(value: Value, shape: Shape, old: Callable[[Index], Index]) -> Value:
    """A view, with the value's element of `old(index)` at an index: in memory at other strides, or computed there."""
    if value.place is None:
        return replace(value, shape=shape, at=lambda e, index: value.at(e, old(index)))
    axes = range(len(shape))
    where = value.place.at(old([Affine(((axis, ONE),)) for axis in axes]))
    return stored(value.place.buffer, shape, tuple(map(where.factor, axes)), where.constant)


def permuted(value: Value, order: Sequence[int]) -> Value:
    order = [d % value.rank for d in order]
    back = [order.index(d) for d in range(value.rank)]
    return _viewed(value, tuple(value.shape[d] for d in order), lambda index: [index[k] for k in back])


def expanded(value: Value, shape: Shape) -> Value:
    """Repeated along axes of size 1 and along new ones in front."""
    if tuple(shape) == value.shape:
        return value
    new = len(shape) - value.rank
    repeats = [value.shape[k] == ONE and shape[new + k] != ONE for k in range(value.rank)]

    def old(index: Index) -> Index:
        return [Affine() if r else i for r, i in zip(repeats, index[new:], strict=True)]

    return _viewed(value, tuple(shape), old)


def sliced(value: Value, axis: int, start: int | Dim, length: Dim, step: int = 1) -> Value:
    axis %= value.rank
    shape = tuple(length if k == axis else s for k, s in enumerate(value.shape))
    return _viewed(value, shape, lambda index: [i * step + start if k == axis else i for k, i in enumerate(index)])


def selected(value: Value, axis: int, at: int | Dim) -> Value:
    axis %= value.rank
    return without(sliced(value, axis, at, ONE), [axis])


def diagonal(value: Value, offset: int, first: int, second: int, length: Dim) -> Value:
    """The elements whose indices along two axes differ by `offset`, as a last axis."""
    first, second = first % value.rank, second % value.rank
    down, right = max(0, -offset), max(0, offset)

    def old(index: Index) -> Index:
        *rest, k = index
        given = iter(rest)
        return [k + down if d == first else k + right if d == second else next(given) for d in range(value.rank)]

    return _viewed(value, (*(s for k, s in enumerate(value.shape) if k not in (first, second)), length), old)


def without(value: Value, axes: Sequence[int]) -> Value:
    """Without these axes of size 1."""
    gone = {a % value.rank for a in axes}

    def old(index: Index) -> Index:
        given = iter(index)
        return [Affine() if k in gone else next(given) for k in range(value.rank)]

    return _viewed(value, tuple(s for k, s in enumerate(value.shape) if k not in gone), old)


def with_axis(value: Value, axis: int) -> Value:
    axis %= value.rank + 1
    shape = (*value.shape[:axis], ONE, *value.shape[axis:])
    return _viewed(value, shape, lambda index: [i for k, i in enumerate(index) if k != axis])


def with_axes(value: Value, count: int) -> Value:
    """With so many more axes, of size 1, behind the last."""
    for _ in range(count):
        value = with_axis(value, value.rank)
    return value


def reshaped(value: Value, shape: Shape) -> Value | None:
    """The same elements in another shape; None where memory has to be written for that."""
    if tuple(shape) == value.shape:
        return value
    if (place := value.place) is None:
        slim = without(value, [k for k, s in enumerate(value.shape) if s == ONE])
    else:
        axes = axes_of(value.shape, place.strides)
        slim = stored(place.buffer, tuple(a.size for a in axes), tuple(a.steps[0] for a in axes), place.offset)
    result = _split(slim, [s for s in shape if s != ONE])
    if result is None:
        return None
    for k, s in enumerate(shape):
        if s == ONE:
            result = with_axis(result, k)
    return result


class Axis(NamedTuple):
    """One axis: its size, and how far neighbours are apart in each of some places."""

    size: Dim
    steps: Shape


def axes_of(shape: Sequence[Dim], *strides: Sequence[Dim]) -> list[Axis]:
    """The axes longer than 1, neighbours as one where one counter reaches both in all places."""
    axes: list[Axis] = []
    for size, *steps in zip(shape, *strides, strict=True):
        if size == ONE:
            continue
        if axes and all(outer == step * size for outer, step in zip(axes[-1].steps, steps, strict=True)):
            axes[-1] = Axis(axes[-1].size * size, tuple(steps))
        else:
            axes.append(Axis(size, tuple(steps)))
    return axes


def _split(value: Value, wanted: Sequence[Dim]) -> Value | None:
    """Each axis cut into the wanted ones."""
    groups, k = [], 0
    for size in value.shape:
        group: list[Dim] = []
        while product(group) != size:
            if k == len(wanted):
                return None
            group.append(wanted[k])
            k += 1
            if len(group) > len(wanted):
                return None
        groups.append(group)
    if k < len(wanted):
        return None

    def old(index: Index) -> Index:
        given, result = iter(index), []
        for group in groups:
            where = Affine()
            for inner in contiguous(group):
                where = where + next(given) * inner
            result.append(where)
        return result

    return _viewed(value, tuple(wanted), old)


def broadcast(shapes: Sequence[Shape]) -> Shape:
    rank = max(map(len, shapes), default=0)
    padded = [(ONE,) * (rank - len(s)) + tuple(s) for s in shapes]
    return tuple(next((s for s in column if s != ONE), ONE) for column in zip(*padded, strict=True))
