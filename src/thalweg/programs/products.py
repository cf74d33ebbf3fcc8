"""Products of matrices and sums over windows, as loops that keep a tile of the result in registers.

The matrices of a small model fit into the cache, where packing them, as a BLAS does, costs more than it saves. A
tile of t rows × v vectors of columns is summed over the inner axes: each step reads v vectors of the right factor and
t numbers of the left one. The left factor lies anywhere, so that the windows of a convolution are read from the image.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir

from .assembly import Assembly
from .dims import ONE, ZERO, Affine, Dim, product
from .emit import I1, I32, I64, Body, Counter, in_memory
from .loops import loops
from .native import registers
from .values import Axis, Index, Value, axes_of

FEW = 512  # values of a matrix up to which it is turned one by one, for there is less to compile
BLOCK = 256  # steps of a sum after which the tile goes to memory and the next tile comes: both factors stay near
WIDE = 1 << 16  # values of the right factor beyond which packing pays, and BLAS takes the product


def _tile(columns: int, dtype: Any) -> tuple[int, int, int]:
    """The rows of a tile, its vectors, and the lanes of each."""
    width, count = registers()
    lanes = width // dtype.itemsize
    need = -(-columns // lanes)
    accumulators = 24 if count >= 32 else 12
    vectors = min(range(1, 5), key=lambda v: (-(-need // v) * v, abs(v - 3)))
    return min(12, accumulators // vectors), vectors, lanes


def suits(inner: Sequence[Dim], columns: Dim) -> bool:
    """Whether the right factor's part that is read at a time stays in the cache."""
    if columns.fixed is None:
        return False
    steps = product(inner).fixed
    return columns.fixed * min(steps or BLOCK, BLOCK) <= WIDE


def matmul(assembly: Assembly, left: Value, right: Value) -> Value:
    """(…, rows, inner) @ (…, inner, columns); the axes in front are the same in both."""
    out = with_bias(assembly, None, left, right)
    assert out is not None
    return out


def with_bias(assembly: Assembly, bias: Value | None, left: Value, right: Value) -> Value | None:
    """bias + left @ right, with one number of the bias for each column; None where they are no single loop."""
    *lead, rows, inner = left.shape
    columns = right.shape[-1]
    if ONE in (rows, inner, columns):
        return None if bias else _by_loops(assembly, left, right)
    if not suits([inner], columns):
        return None if bias else assembly.blas(left, right)
    left, right = assembly.memory(left), columns_last(assembly, right)
    return contracted(assembly, left, right, len(lead), 1, bias=bias)


def _by_loops(assembly: Assembly, left: Value, right: Value) -> Value:
    left, right = assembly.memory(left), assembly.memory(right)
    *lead, rows, inner = left.shape
    columns = right.shape[-1]

    def at(e: Any, index: Index) -> Any:
        *front, i, j, k = index
        return e.mul(left.at(e, [*front, i, k]), right.at(e, [*front, k, j]))

    if inner == ONE:
        return Value((*lead, rows, columns), left.dtype, lambda e, index: at(e, [*index, Affine()]), None, 1)
    pairs = Value((*lead, rows, columns, inner), left.dtype, at, None, 1)
    return assembly.reduced(pairs, [-1], lambda e: e.number(0, in_memory(left.dtype)), lambda e, a, b: e.total(a, b))


def columns_last(assembly: Assembly, value: Value) -> Value:
    """In memory, with the last axis side by side."""
    value = assembly.memory(value)
    strides = value.stored_at.strides
    if strides[-1] == ONE:
        return value
    few = product(value.shape[-2:]).fixed
    if len(strides) > 1 and strides[-2] == ONE and (few is None or few > FEW):
        return _turned(assembly, value)
    return assembly.store(value, dense=True)


def contracted(
    assembly: Assembly,
    left: Value,
    right: Value,
    lead: int,
    inner: int,
    out: Value | None = None,
    bias: Value | None = None,
) -> Value:
    """Σ over the inner axes: (lead…, rows…, inner…), (lead…, inner…, columns) → (lead…, rows…, columns).

    Args:
        left, right: in memory; the right one's columns lie side by side, and their number is fixed.
        lead: how many axes in front are the same in both.
        inner: how many axes the sum goes over.
        out: where the result goes, its columns side by side.
        bias: (columns,), what each sum starts from.
    """
    rows = left.shape[lead : left.rank - inner]
    columns = right.shape[-1]
    if out is None:
        out = assembly.value([*left.shape[:lead], *rows, columns], left.dtype)
    bias = columns_last(assembly, bias) if bias is not None else None
    e = assembly.kernel([v.stored_at.buffer for v in (left, right, out, bias) if v is not None])
    _Contraction(e, left, right, out, lead, inner, bias).write()
    return out


class Vectors:
    """Loads and stores of several neighbours at once, all of them or the first ones."""

    def __init__(self, e: Body, kind: Any, lanes: int) -> None:
        self.e, self.kind, self.lanes = e, kind, lanes
        self.type = ir.VectorType(kind, lanes)
        self.mask_type = ir.VectorType(I1, lanes)

    def zero(self) -> Any:
        return ir.Constant(self.type, [0.0] * self.lanes)

    def masks(self, size: int) -> list[Any]:
        """For each vector of a row of so many values; None where all lanes have one."""
        counts = [min(size - k, self.lanes) for k in range(0, size, self.lanes)]
        return [None if count == self.lanes else self.mask(count) for count in counts]

    def mask(self, count: int) -> Any:
        return ir.Constant(self.mask_type, [int(k < count) for k in range(self.lanes)])

    def first(self, count: Any) -> Any:
        """A mask of the first `count` lanes, a number known only at run time."""
        b = self.e.builder
        numbers = ir.Constant(ir.VectorType(I64, self.lanes), list(range(self.lanes)))
        return b.icmp_signed("<", numbers, self.spread(count))

    def spread(self, value: Any) -> Any:
        b = self.e.builder
        kind = ir.VectorType(value.type, self.lanes)
        one = b.insert_element(ir.Constant(kind, ir.Undefined), value, I32(0))
        zeros = ir.Constant(ir.VectorType(I32, self.lanes), [0] * self.lanes)
        return b.shuffle_vector(one, ir.Constant(kind, ir.Undefined), zeros)

    def load(self, pointer: Any, mask: Any = None) -> Any:
        b = self.e.builder
        address = b.bitcast(pointer, self.type.as_pointer())
        if mask is None:
            return b.load(address, align=4)
        kinds = [self.type.as_pointer(), I32, self.mask_type, self.type]
        f = self._intrinsic("load", ir.FunctionType(self.type, kinds))
        return b.call(f, [address, I32(4), mask, self.zero()])

    def store(self, value: Any, pointer: Any, mask: Any = None) -> None:
        b = self.e.builder
        address = b.bitcast(pointer, self.type.as_pointer())
        if mask is None:
            b.store(value, address, align=4)
            return
        if isinstance(mask, ir.Constant) and registers()[0] < 64:
            self._store_parts(value, pointer, sum(one.constant for one in mask.constant))
            return
        kinds = [self.type, self.type.as_pointer(), I32, self.mask_type]
        f = self._intrinsic("store", ir.FunctionType(ir.VoidType(), kinds))
        b.call(f, [value, address, I32(4), mask])

    def _store_parts(self, value: Any, pointer: Any, count: int) -> None:
        """The first lanes in parts of 4, 2 and 1: without AVX-512 a masked store takes longer than these together."""
        b, start = self.e.builder, 0
        while start < count:
            size = 1 << ((count - start).bit_length() - 1)
            lanes = ir.Constant(ir.VectorType(I32, size), list(range(start, start + size)))
            part = b.shuffle_vector(value, ir.Constant(self.type, ir.Undefined), lanes)
            address = b.bitcast(b.gep(pointer, [I64(start)]), part.type.as_pointer())
            b.store(part, address, align=4)
            start += size

    def _intrinsic(self, what: str, kind: Any) -> Any:
        name = f"llvm.masked.{what}.v{self.lanes}{self.kind.intrinsic_name}.p0"
        module = self.e.builder.module
        return module.globals.get(name) or ir.Function(module, kind, name)


class _Contraction:
    """The loops of one sum of products: (axes in front, blocks of the sum, columns, rows) and then the tile's sum."""

    def __init__(
        self, e: Body, left: Value, right: Value, out: Value, lead: int, inner: int, bias: Value | None
    ) -> None:
        self.bias = bias.place if bias is not None else None
        self.e, self.columns = e, right.shape[-1].fixed or 0
        self.height, vectors, lanes = _tile(self.columns, left.dtype)
        self.width, self.vectors = vectors * lanes, Vectors(e, in_memory(left.dtype), lanes)
        self.left, self.right, self.out = (v.stored_at for v in (left, right, out))
        a, b, c, cut = self.left.strides, self.right.strides, self.out.strides, left.rank - inner
        self.lead = [Counter(s) for s in left.shape[:lead]]
        self.rows = axes_of(left.shape[lead:cut], a[lead:cut], c[lead:-1])
        self.inner = axes_of(left.shape[cut:], a[cut:], b[lead:-1])
        self.block = self._block()

    def _block(self) -> int | None:
        """How far the first inner axis goes before the tile is put away; None where it goes in one piece."""
        steps = product([a.size for a in self.inner]).fixed
        if not self.inner or (steps is not None and steps <= 2 * BLOCK) or any(a.size.fixed is None for a in self.rows):
            return None
        rest = product([a.size for a in self.inner[1:]]).fixed
        return max(1, BLOCK // rest) if rest else None

    def write(self) -> None:
        in_front = [Affine((), place.offset) for place in (self.left, self.right, self.out)]
        places = (self.left, self.right, self.out)
        for k, counter in enumerate(self.lead):
            in_front = [at + Affine(((counter, p.strides[k]),)) for at, p in zip(in_front, places, strict=True)]
        loops(self.e, self.lead, lambda: self._blocks([self.e.index(at) for at in in_front]))

    def _blocks(self, at: list[Any]) -> None:
        if self.block is None:
            self._over_columns(at, None, None)
            return
        b, size = self.e.builder, self.e.dim(self.inner[0].size)
        first = self.inner[0]
        with self.e.parts(size, self.block) as (start, left):
            length = b.select(b.icmp_signed("<", left, I64(self.block)), left, I64(self.block))
            moved = [b.add(a, b.mul(start, self.e.dim(step))) for a, step in zip(at, first.steps, strict=False)]
            self._over_columns([*moved, at[2]], length, b.icmp_signed(">", start, I64(0)))

    def _over_columns(self, at: list[Any], length: Any, again: Any) -> None:
        """`length`: of the first inner axis; `again`: whether the result already has a part of the sum."""
        b, whole = self.e.builder, self.columns // self.width

        def over(first: Any, columns: int) -> None:
            here = [at[0], b.add(at[1], first), b.add(at[2], first)]
            self._over_rows(list(self.rows), here, columns, length, (again, self._start(first, columns)))

        if whole:
            with self.e.rounds(I64(whole)) as k:
                over(b.mul(k, I64(self.width)), self.width)
        if self.columns % self.width:
            over(I64(whole * self.width), self.columns % self.width)

    def _start(self, first: Any, columns: int) -> list[Any]:
        """What the sums of one row start from."""
        b, v = self.e.builder, self.vectors
        masks = v.masks(columns)
        if self.bias is None:
            return [v.zero() for _ in masks]
        source = b.gep(self.e.pointers[self.bias.buffer], [b.add(self.e.dim(self.bias.offset), first)])
        return [v.load(b.gep(source, [I64(k * v.lanes)]), mask) for k, mask in enumerate(masks)]

    def _over_rows(self, axes: list[Axis], at: list[Any], columns: int, length: Any, start: Any) -> None:
        """Loops over the rows; the last axes of a fixed size, and a run of the one before them, are the tile's."""
        room, points = self.height, [(ZERO, ZERO)]
        while axes and (axes[-1].size.fixed or room + 1) <= room:
            axis = axes.pop()
            size = axis.size.fixed or 1
            points = _points(axis, size, points)
            room //= size
        split = axes.pop() if axes and room > 1 else None
        counters = [Counter(a.size) for a in axes]

        def inside() -> None:
            here = list(at)
            for counter, axis in zip(counters, axes, strict=True):
                here = self._along(here, axis, counter.value)
            if split is None:
                self._one(here, points, columns, length, start)
            else:
                self._runs(split, room, here, points, columns, length, start)

        loops(self.e, counters, inside)

    def _along(self, at: list[Any], axis: Axis, by: Any) -> list[Any]:
        b, e = self.e.builder, self.e
        left, out = (b.mul(by, e.dim(step), flags=["nsw"]) for step in axis.steps)
        return [b.add(at[0], left), at[1], b.add(at[2], out)]

    def _runs(self, axis: Axis, room: int, at: list[Any], points: list, *rest: Any) -> None:
        """An axis in runs of up to `room` rows."""
        e, b = self.e, self.e.builder
        if axis.size.fixed is not None:
            count = -(-axis.size.fixed // room)
            short, more = divmod(axis.size.fixed, count)  # `more` runs are longer by one
            for start, runs, size in ((0, more, short + 1), (more * (short + 1), count - more, short)):
                if runs:
                    with e.rounds(I64(runs)) as k:
                        here = self._along(at, axis, b.add(I64(start), b.mul(k, I64(size))))
                        self._one(here, _points(axis, size, points), *rest)
            return
        size = e.dim(axis.size)
        enough = b.icmp_signed(">=", size, I64(room))

        def long() -> None:
            with e.parts(size, room) as (start, _):  # the last run ends with the axis, and repeats some rows
                last = b.sub(size, I64(room))
                start = b.select(b.icmp_signed("<", start, last), start, last)
                self._one(self._along(at, axis, start), _points(axis, room, points), *rest)

        if axis.size.at(1) >= room:
            long()
            return
        with b.if_else(enough) as (then, otherwise):
            with then:
                long()
            with otherwise, e.rounds(size) as k:
                self._one(self._along(at, axis, k), points, *rest)

    def _one(self, at: list[Any], points: list[tuple[Dim, Dim]], columns: int, length: Any, start: Any) -> None:
        """One tile: its sum over the inner axes, to memory. `start`: whether to go on from there, else from what."""
        e, b, v = self.e, self.e.builder, self.vectors
        masks, (again, first) = v.masks(columns), start
        vectors = len(masks)
        left, right, out = (e.pointers[p.buffer] for p in (self.left, self.right, self.out))
        targets = [b.gep(out, [b.add(at[2], e.dim(o))], inbounds=True) for _, o in points]
        places = [b.gep(t, [I64(k * v.lanes)]) for t in targets for k in range(vectors)]
        sums: list[Any] = first * len(points)
        if again is not None:
            before = [v.load(p, m) for p, m in zip(places, masks * len(points), strict=True)]
            sums = [b.select(again, one, other) for one, other in zip(before, sums, strict=True)]
        rows = [e.dim(offset) for offset, _ in points]

        def step(x: Any, y: Any, so_far: list[Any]) -> list[Any]:
            source = b.gep(right, [y], inbounds=True)
            part = [v.load(b.gep(source, [I64(k * v.lanes)], inbounds=True), masks[k]) for k in range(vectors)]
            result = []
            for i, row in enumerate(rows):
                number = v.spread(b.load(b.gep(left, [b.add(x, row)], inbounds=True)))
                for k in range(vectors):
                    result.append(e.add(so_far[i * vectors + k], e.mul(number, part[k])))
            return result

        sums = self._summed(self.inner, at[0], at[1], sums, step, length)
        for place, value, mask in zip(places, sums, masks * len(points), strict=True):
            v.store(value, place, mask)

    def _summed(
        self, axes: list[Axis], x: Any, y: Any, sums: list[Any], step: Callable[..., list[Any]], length: Any
    ) -> list[Any]:
        if not axes:
            return step(x, y, sums)
        axis, *rest = axes
        b, e = self.e.builder, self.e
        with e.loop(axis.size, *sums, end=length) as (counter, handed):
            to_x, to_y = (b.mul(counter.value, e.dim(s), flags=["nsw"]) for s in axis.steps)
            handed[:] = self._summed(rest, b.add(x, to_x), b.add(y, to_y), list(handed), step, None)
        return handed


def _points(axis: Axis, size: int, inner: Sequence[tuple[Dim, Dim]]) -> list[tuple[Dim, Dim]]:
    """Where the rows of a tile lie in the left factor and in the result, with one axis more."""
    (by_left, by_out) = axis.steps
    return [(left + by_left * k, out + by_out * k) for k in range(size) for left, out in inner]


def _turned(assembly: Assembly, value: Value) -> Value:
    """A stack of matrices whose columns lie side by side in memory, by rows: squares of lanes × lanes at a time."""
    out = assembly.value(value.shape, value.dtype)
    lanes = min(8, registers()[0] // value.dtype.itemsize)
    here, result = value.stored_at, out.stored_at
    e = assembly.kernel([here.buffer, result.buffer])
    v, b = Vectors(e, in_memory(value.dtype), lanes), e.builder
    *lead, rows, columns = value.shape
    counters = [Counter(s) for s in lead]
    source, target = e.pointers[here.buffer], e.pointers[result.buffer]
    height, width, apart = e.dim(rows), e.dim(columns), e.dim(here.strides[-1])
    whole = all(size.fixed is not None and size.fixed % lanes == 0 for size in (rows, columns))

    def square(start: Any, end: Any, down: Any, right: Any) -> None:
        """`down`, `right`: how many rows and columns are left, None where they are all there."""
        lines = []
        for k in range(lanes):
            mask = None if down is None else v.first(b.select(b.icmp_signed("<", I64(k), right), down, I64(0)))
            lines.append(v.load(b.gep(source, [b.add(start, b.mul(I64(k), apart))]), mask))
        for k, row in enumerate(_transposed(b, lines)):
            mask = None if down is None else v.first(b.select(b.icmp_signed("<", I64(k), down), right, I64(0)))
            v.store(row, b.gep(target, [b.add(end, b.mul(I64(k), width))]), mask)

    def inside() -> None:
        index = [*(Affine(((c, ONE),)) for c in counters), Affine(), Affine()]
        first, there = e.index(here.at(index)), e.index(result.at(index))
        with e.parts(height, lanes) as (i, down), e.parts(width, lanes) as (j, right):
            start, end = b.add(first, b.add(i, b.mul(j, apart))), b.add(there, b.add(j, b.mul(i, width)))
            if whole:
                square(start, end, None, None)
                return
            inner = b.and_(*(b.icmp_signed(">=", left, I64(lanes)) for left in (down, right)))
            with b.if_else(inner) as (then, otherwise):  # masks take longer than all the rest
                with then:
                    square(start, end, None, None)
                with otherwise:
                    square(start, end, down, right)

    loops(e, counters, inside)
    return out


def _transposed(b: ir.IRBuilder, rows: list[Any]) -> list[Any]:
    """The columns of a square: log₂ rounds, each of which shuffles row k and row k + half like a pack of cards."""
    lanes = len(rows)
    kind = ir.VectorType(I32, lanes)
    halves = [[h * lanes // 2 + k // 2 + (k % 2) * lanes for k in range(lanes)] for h in (0, 1)]
    low, high = (ir.Constant(kind, half) for half in halves)
    for _ in range(lanes.bit_length() - 1):
        pairs = [(rows[k], rows[k + lanes // 2]) for k in range(lanes // 2)]
        rows = [b.shuffle_vector(x, y, mask) for x, y in pairs for mask in (low, high)]
    return rows
