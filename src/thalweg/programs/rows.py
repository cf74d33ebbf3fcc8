"""Softmax over rows that lie side by side in memory: a row stays in vector registers from its first use to its last.

As loops of one operation each, a row is read three times, and the largest value and the sum, which end in a few steps
that wait for one another, are most of the work. Here a vector has the neighbours of one row, and rows overlap.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from llvmlite import ir

from .assembly import Assembly, arg_extreme
from .dims import ONE, Affine
from .emit import I1, I32, I64, Body, Counter, in_memory
from .loops import loops
from .native import registers
from .products import Vectors
from .values import Value

MOST = 8  # vectors of a row, that are kept at once


def suits(x: Value, axis: int) -> bool:
    """Whether rows along the axis lie side by side, and fit into registers."""
    size = x.shape[axis].fixed
    lanes = registers()[0] // x.dtype.itemsize
    return x.place is not None and x.place.strides[axis] == ONE and size is not None and 1 < size <= MOST * lanes


def softmax(assembly: Assembly, x: Value, axis: int) -> Value:
    """exp(x − largest) / Σ exp(x − largest), the axes in memory as they are in x."""
    out = assembly.like(x)

    def row(rows: _Rows) -> None:
        powers, _, total = rows.powers()
        each = rows.e.div(rows.e.number(1.0, total), total)
        rows.write(out, [rows.e.mul(p, each) for p in powers])

    _Rows(assembly, x, axis, [out]).over(row)
    return out


def largest_and_sum(assembly: Assembly, x: Value, axis: int) -> tuple[Value, Value]:
    """The largest of each row, and Σ exp(x − largest); the axis stays, of size 1. In a row with NaN both are not to be
    used but in an operation with the sum, which is NaN."""
    shape = [ONE if k == axis else s for k, s in enumerate(x.shape)]
    top, total = (assembly.value(shape, x.dtype) for _ in range(2))

    def row(rows: _Rows) -> None:
        _, most, sums = rows.powers()
        rows.write_one(top, most)
        rows.write_one(total, sums)

    _Rows(assembly, x, axis, [top, total]).over(row)
    return top, total


def first_extreme(assembly: Assembly, x: Value, axis: int, largest: bool) -> Value:
    """The place of the first of the largest (or smallest) values of each row; NaN comes before every number."""
    if not (x.dtype.is_floating_point and suits(x, axis)):
        return arg_extreme(assembly, x, axis, largest)
    out = assembly.value([s for k, s in enumerate(x.shape) if k != axis], torch.int64)
    _Rows(assembly, x, axis, [out]).over(lambda rows: rows.write_place(out, rows.place(largest)))
    return out


class _Rows:
    """A kernel that goes from row to row along an axis of x."""

    def __init__(self, assembly: Assembly, x: Value, axis: int, written: Sequence[Value]) -> None:
        self.x, self.axis, self.size = x, axis, x.shape[axis].fixed or 0
        self.e: Body = assembly.kernel([v.stored_at.buffer for v in (x, *written)])
        self.lanes = min(registers()[0] // x.dtype.itemsize, 1 << (self.size - 1).bit_length())
        self.v = Vectors(self.e, in_memory(x.dtype), self.lanes)
        counters = [Counter(ONE if k == axis else s) for k, s in enumerate(x.shape)]
        self.counters = [c for k, c in enumerate(counters) if k != axis]
        self.index = [Affine() if k == axis else Affine(((c, ONE),)) for k, c in enumerate(counters)]
        self.masks = self.v.masks(self.size)

    def over(self, row: Callable[[_Rows], None]) -> None:
        loops(self.e, self.counters, lambda: row(self))

    def powers(self) -> tuple[list[Any], Any, Any]:
        """exp(x − largest) in vectors, the largest, and the sum of the powers, in all lanes.

        The largest of a row with NaN may be any: what is NaN then makes the sum so.
        """
        e, b = self.e, self.e.builder
        values = [self.v.load(p, m) for p, m in zip(self._pointers(self.x), self.masks, strict=True)]
        below = e.number(-math.inf, values[0])  # whose power is 0
        values = [v if m is None else b.select(m, v, below) for v, m in zip(values, self.masks, strict=True)]
        most = self._all(values, lambda a, c: b.select(b.fcmp_ordered(">", a, c), a, c))
        powers = [e.exp(e.sub(v, most)) for v in values]
        return powers, most, self._all(powers, e.total)

    def place(self, largest: bool) -> Any:
        """Where the first of the extreme values lies, among whole numbers that are in the order of the values.

        The bits of a float in that order: as they are where it is positive, turned over but for the sign where it is
        not; −0 first becomes 0, and NaN the highest number of all.
        """
        b = self.e.builder
        bits = 8 * self.x.dtype.itemsize
        kind, lowest, highest = ir.IntType(bits), -(1 << (bits - 1)), (1 << (bits - 1)) - 1
        vector = ir.VectorType(kind, self.lanes)
        all_of = lambda number: ir.Constant(vector, [number] * self.lanes)  # noqa: E731
        keys = []
        for pointer, mask in zip(self._pointers(self.x), self.masks, strict=True):
            value = self.v.load(pointer, mask)
            raw = b.bitcast(b.fadd(value, self.v.zero()), vector)
            key = b.xor(raw, b.and_(b.ashr(raw, all_of(bits - 1)), all_of(highest)))
            key = key if largest else b.xor(key, all_of(-1))
            key = b.select(b.fcmp_unordered("uno", value, value), all_of(highest), key)
            keys.append(key if mask is None else b.select(mask, key, all_of(lowest)))
        most = self._all(keys, lambda a, c: b.select(b.icmp_signed(">", a, c), a, c))
        # From the last vector to the first: which lanes hold it, as bits of one number.
        found, flags = I64(0), ir.IntType(self.lanes)
        for k in reversed(range(len(keys))):
            same = b.bitcast(b.icmp_signed("==", keys[k], most), flags)
            lane = b.zext(b.cttz(same, I1(0)), I64)
            found = b.select(b.icmp_signed("!=", same, ir.Constant(flags, 0)), b.add(lane, I64(k * self.lanes)), found)
        return found

    def write_place(self, out: Value, place: Any) -> None:
        target = out.stored_at
        self.e.store(target.buffer, target.at(self.index[: self.axis] + self.index[self.axis + 1 :]), place)

    def write(self, out: Value, values: Sequence[Any]) -> None:
        for pointer, value, mask in zip(self._pointers(out), values, self.masks, strict=True):
            self.v.store(value, pointer, mask)

    def write_one(self, out: Value, value: Any) -> None:
        place = out.stored_at
        self.e.store(place.buffer, place.at(self.index), self.e.builder.extract_element(value, I32(0)))

    def _pointers(self, value: Value) -> list[Any]:
        place, b = value.stored_at, self.e.builder
        first = b.gep(self.e.pointers[place.buffer], [self.e.index(place.at(self.index))])
        return [b.gep(first, [I32(k * self.lanes)]) for k in range(len(self.masks))]

    def _all(self, values: Sequence[Any], join: Callable[[Any, Any], Any]) -> Any:
        """All lanes of all vectors joined, in every lane: each round joins lanes that are half as far apart."""
        b, (whole, *rest) = self.e.builder, values
        for value in rest:
            whole = join(whole, value)
        far, kind = self.lanes // 2, ir.VectorType(I32, self.lanes)
        while far:
            order = ir.Constant(kind, [k ^ far for k in range(self.lanes)])
            whole = join(whole, b.shuffle_vector(whole, ir.Constant(whole.type, ir.Undefined), order))
            far //= 2
        return whole
