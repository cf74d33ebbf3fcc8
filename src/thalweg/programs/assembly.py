"""A step put together: kernels and matrix products in order, the room that each result takes, and the code."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from llvmlite import ir

from .dims import ONE, ZERO, Affine, Dim, contiguous, product
from .emit import F32, I8, I32, I64, Body, Counter, in_memory
from .loops import Nest, Probe, loops, read_order, widest_first
from .reductions import Reduction
from .values import Buffer, Index, Place, Value, axes_of, permuted, stored

LINE = 64  # bytes of a cache line


@dataclass
class _Call:
    """A kernel of the step, and the buffers it is given."""

    body: Body
    buffers: list[Buffer]


@dataclass
class _Product:
    """count × (rows × inner) @ (inner × columns), each matrix at its place in a buffer, through BLAS."""

    left: tuple[Place, bool, Dim]
    right: tuple[Place, bool, Dim]
    out: Buffer
    sizes: tuple[Dim, Dim, Dim]
    count: Dim
    steps: tuple[Dim, Dim, Dim]

    @property
    def buffers(self) -> list[Buffer]:
        return [self.left[0].buffer, self.right[0].buffer, self.out]


@dataclass
class Assembly:
    """Collects what a step does; `text` is the LLVM module of it.

    Attributes:
        room: bytes of the arena.
        made: what rules made of a value once, for several operations.
        status: not 0 once an index has named no place.
    """

    steps: list[_Call | _Product] = field(default_factory=list)
    room: Dim = ZERO
    made: dict[Any, tuple[Value, Value]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.module = ir.Module("step")
        self.status = Buffer(torch.int64, ONE)

    def value(self, shape: Sequence[Dim], dtype: torch.dtype) -> Value:
        """Room in the arena."""
        return stored(Buffer(dtype, product(shape)), tuple(shape))

    def kernel(self, buffers: Sequence[Buffer]) -> Body:
        """A loop of its own, whose inside is to be written."""
        buffers = list(dict.fromkeys(buffers))
        kinds = [I64, *(in_memory(b.dtype).as_pointer() for b in buffers)]
        function = ir.Function(self.module, ir.FunctionType(ir.VoidType(), kinds), f"kernel{len(self.steps)}")
        function.linkage = "internal"
        function.attributes.add("noinline")
        function.attributes.add("nounwind")
        body = Body(function, buffers)
        self.steps.append(_Call(body, buffers))
        return body

    def store(self, value: Value, out: Value | None = None, dense: bool = False) -> Value:
        """The value in memory, in the order in which it is read where `out` and `dense` do not say another."""
        if out is None:
            out = self.value(value.shape, value.dtype) if dense else self.like(value)
        order = widest_first(out.stored_at.strides)
        value, target = permuted(value, order), permuted(out, order).stored_at
        buffer = target.buffer

        def both(e: Any, index: Index) -> Any:
            e.load(buffer, target.at(index))  # for the probe: the loop goes through it too
            return value.at(e, index)

        nest = Nest(value.shape, both)
        e = self.kernel([*nest.buffers, buffer])
        loops(e, nest.counters, lambda: e.store(buffer, target.at(nest.index), value.at(e, nest.index)), True)
        return out

    def like(self, value: Value) -> Value:
        """Room whose axes lie in the order in which most of what the value reads has them."""
        order = read_order(value.shape, value.at)
        room = self.value([value.shape[k] for k in order], value.dtype)
        return permuted(room, [order.index(k) for k in range(value.rank)])

    def memory(self, value: Value) -> Value:
        return value if value.place is not None else self.store(value)

    def dense(self, value: Value) -> Value:
        """In memory with its elements side by side."""
        if value.place is not None and value.place.strides == contiguous(value.shape):
            return value
        return self.store(value, dense=True)

    def reduced(
        self, value: Value, axes: Sequence[int], start: Callable[[Any], Any], step: Callable[[Any, Any, Any], Any]
    ) -> Value:
        """Without these axes, over which step(body, so far, element) goes from start(body)."""
        over = sorted({a % value.rank for a in axes})
        left = [k for k in range(value.rank) if k not in over]
        out = self.value([value.shape[k] for k in left], value.dtype)
        buffer = out.stored_at.buffer
        order = [*left, *over]
        shape = [value.shape[k] for k in order]

        def at(e: Any, index: Index) -> Any:
            back = dict(zip(order, index, strict=True))
            return value.at(e, [back[k] for k in range(value.rank)])

        nest = Nest(shape, at, apart=(len(left),))
        outer = [c for k, c in nest.axes if k < len(left)]
        inner = [c for k, c in nest.axes if k >= len(left)]
        part = Buffer(buffer.dtype, buffer.size)  # used where a sum of many rows goes by blocks
        reduction = Reduction(nest, outer, inner, buffer, part, start, step, at)
        e = self.kernel([*nest.buffers, buffer, *([part] if reduction.by_blocks else [])])
        reduction.write(e)
        return out

    def blas(self, left: Value, right: Value) -> Value:
        """(…, rows, inner) @ (…, inner, columns) by BLAS."""
        *lead, rows, inner = left.shape
        columns = right.shape[-1]
        out = self.value([*lead, rows, columns], left.dtype)
        a, step_a = self._matrix(left)
        b, step_b = self._matrix(right)
        sizes, steps = (rows, inner, columns), (step_a, step_b, rows * columns)
        self.steps.append(_Product(a, b, out.stored_at.buffer, sizes, product(lead), steps))
        return out

    def _matrix(self, value: Value) -> tuple[tuple[Place, bool, Dim], Dim]:
        """Where the matrices of a stack lie, whether transposed, how far rows are apart, and how far matrices are."""
        value = self.memory(value)
        form = _blas_form(value)
        if form is None:
            value = self.store(value, dense=True)
            form = _blas_form(value)
            assert form is not None
        return (value.stored_at, *form), _stack_step(value) or ZERO

    def text(self, name: str) -> str:
        """The module, with the function name(addresses of the arguments, samples, address of the arena)."""
        offsets, room = _rooms(self.steps)
        self.room = room + LINE
        self._end_kernels()
        kinds = [I64.as_pointer(), I64, I8.as_pointer()]
        main = ir.Function(self.module, ir.FunctionType(ir.VoidType(), kinds), name)
        e = _Main(main)
        arena = e.aligned(main.args[2])
        pointers: dict[Buffer, Any] = {}

        def pointer(buffer: Buffer) -> Any:
            if buffer not in pointers:
                kind = in_memory(buffer.dtype).as_pointer()
                b = e.builder
                if buffer.argument is not None:
                    address = b.load(b.gep(main.args[0], [I64(buffer.argument)]))
                    pointers[buffer] = b.inttoptr(address, kind)
                else:
                    pointers[buffer] = b.bitcast(b.gep(arena, [e.dim(offsets[buffer])]), kind)
            return pointers[buffer]

        for step in self.steps:
            if isinstance(step, _Call):
                e.builder.call(step.body.function, [main.args[1], *(pointer(b) for b in step.buffers)])
            else:
                self._product(e, step, pointer)
        e.builder.ret_void()
        return str(self.module)

    def _end_kernels(self) -> None:
        """One function for all kernels of the same text, such as those of a recurrent layer's steps."""
        first: dict[str, Body] = {}
        for step in self.steps:
            if isinstance(step, _Call):
                step.body.builder.ret_void()
                function = step.body.function
                same = first.setdefault(str(function).replace(function.name, "", 1), step.body)
                if same is not step.body:
                    del self.module.globals[function.name]
                    step.body = same

    def _product(self, e: Any, step: _Product, pointer: Callable[[Buffer], Any]) -> None:
        """C = AB by rows is Cᵀ = BᵀAᵀ by columns, as BLAS has it."""
        (rows, inner, columns), b = step.sizes, e.builder
        kind = in_memory(step.out.dtype)
        gemm = self._gemm(kind)
        numbers = [e.dim(d) for d in (columns, rows, inner, step.right[2], step.left[2], columns)]
        flags = [I32(int(step.right[1])), I32(int(step.left[1]))]
        right, left, out = (pointer(buffer) for buffer in (step.right[0].buffer, step.left[0].buffer, step.out))
        by_left, by_right, by_out = step.steps
        with e.loop(step.count) as (counter, _):
            places = []
            for first, offset, by in ((right, step.right[0].offset, by_right), (left, step.left[0].offset, by_left)):
                places.append(b.gep(first, [b.add(e.dim(offset), b.mul(counter.value, e.dim(by)))]))
            places.append(b.gep(out, [b.mul(counter.value, e.dim(by_out))]))
            b.call(gemm, [*flags, *numbers, *places])

    def _gemm(self, kind: Any) -> ir.Function:
        """A function of LLVM's numbers that calls Fortran's, which wants the address of each."""
        name = "gemm_float" if kind == F32 else "gemm_double"
        if name in self.module.globals:
            return self.module.globals[name]
        p, ip = kind.as_pointer(), I32.as_pointer()
        blas_kinds = [I8.as_pointer()] * 2 + [ip] * 3 + [p, p, ip, p, ip, p, p, ip]
        blas = ir.Function(
            self.module, ir.FunctionType(ir.VoidType(), blas_kinds), "thalweg_sgemm" if kind == F32 else "thalweg_dgemm"
        )
        function = ir.Function(self.module, ir.FunctionType(ir.VoidType(), [I32] * 2 + [I64] * 6 + [p] * 3), name)
        function.linkage = "internal"
        b = ir.IRBuilder(function.append_basic_block("entry"))
        ta, tb, m, n, k, lda, ldb, ldc, a, bb, c = function.args

        def held(value: Any) -> Any:
            slot = b.alloca(value.type)
            b.store(value, slot)
            return slot

        def letter(flag: Any) -> Any:
            return held(b.select(b.icmp_signed("!=", flag, I32(0)), I8(ord("t")), I8(ord("n"))))

        m, n, k, lda, ldb, ldc = (held(b.trunc(v, I32)) for v in (m, n, k, lda, ldb, ldc))
        one, zero = held(ir.Constant(kind, 1.0)), held(ir.Constant(kind, 0.0))
        b.call(blas, [letter(ta), letter(tb), m, n, k, one, a, lda, bb, ldb, zero, c, ldc])
        b.ret_void()
        return function


class _Main(Body):
    """The body of the whole step: sizes and loops over stacks of matrices."""

    def __init__(self, function: ir.Function) -> None:
        self.builder = ir.IRBuilder(function.append_basic_block("entry"))
        self.samples = function.args[1]
        self._powers = [I64(1), self.samples]

    def aligned(self, address: Any) -> Any:
        """The start of the next cache line, where vectors of any size lie in one line."""
        b = self.builder
        number = b.and_(b.add(b.ptrtoint(address, I64), I64(LINE - 1)), I64(-LINE))
        return b.inttoptr(number, address.type)


def loops_over(assembly: Assembly, shape: Sequence[Dim], inside: Callable[[Any, Index], None], written: Buffer) -> None:
    """A kernel that goes through a shape, one axis after the other, and reads and writes as `inside` does."""
    nest = Nest(shape, inside)
    e = assembly.kernel([*nest.buffers, written])
    loops(e, nest.counters, lambda: inside(e, nest.index))


def arg_extreme(assembly: Assembly, x: Value, axis: int, largest: bool) -> Value:
    """The place of the first of the largest (or smallest) values along an axis; NaN comes before every number."""
    shape = [s for k, s in enumerate(x.shape) if k != axis]
    out = assembly.value(shape, torch.int64)
    target = out.stored_at
    counters, along = [Counter(s) for s in shape], Counter(x.shape[axis])
    index = [Affine(((c, ONE),)) for c in counters]
    whole = [*index[:axis], Affine(((along, ONE),)), *index[axis:]]
    probe = Probe()
    x.at(probe, whole)
    e = assembly.kernel([*(buffer for buffer, _ in probe.reads), target.buffer])

    def inside() -> None:
        along.value = I64(0)
        best, place = x.at(e, whole), I64(0)
        with e.loop(along.size, best, place) as (counter, handed):
            along.value = counter.value
            value, (best, place) = x.at(e, whole), handed
            better = e.compare(">" if largest else "<", value, best)
            if x.dtype.is_floating_point:
                better = e.either(better, e.both(e.isnan(value), e.inverted(e.isnan(best))))
            handed[:] = [e.choose(better, value, best), e.choose(better, counter.value, place)]
        e.store(target.buffer, target.at(index), handed[1])

    loops(e, counters, inside)
    return out


def running(assembly: Assembly, x: Value, axis: int) -> Value:
    """Sums along an axis up to each element."""
    out = assembly.value(x.shape, x.dtype)
    target = out.stored_at
    counters = [Counter(s) for s in x.shape]
    index = [Affine(((c, ONE),)) for c in counters]
    probe = Probe()
    x.at(probe, index)
    e = assembly.kernel([*(buffer for buffer, _ in probe.reads), target.buffer])

    def inside() -> None:
        with e.loop(x.shape[axis], e.number(0, in_memory(x.dtype))) as (counter, handed):
            counters[axis].value = counter.value
            handed[0] = e.add(handed[0], x.at(e, index))
            e.store(target.buffer, target.at(index), handed[0])

    loops(e, [c for k, c in enumerate(counters) if k != axis], inside)
    return out


def _blas_form(value: Value) -> tuple[bool, Dim] | None:
    """Whether a stack's matrices are transposed, and how far their rows are apart; None where BLAS cannot read them."""
    *_, rows, columns = value.shape
    *_, down, right = value.stored_at.strides
    if _stack_step(value) is None:
        return None
    if right == ONE or columns == ONE:
        far = columns if rows == ONE else down
        if far.covers(columns) and (columns != ONE or far.covers(ONE)):
            return False, far
    if down == ONE or rows == ONE:
        far = rows if columns == ONE else right
        if far.covers(rows):
            return True, far
    return None


def _stack_step(value: Value) -> Dim | None:
    """How far the matrices of a stack are apart; None where no one number says it."""
    axes = axes_of(value.shape[:-2], value.stored_at.strides[:-2])
    if len(axes) > 1:
        return None
    return axes[0].steps[0] if axes else ZERO


def _rooms(steps: Sequence[_Call | _Product]) -> tuple[dict[Buffer, Dim], Dim]:
    """Where in the arena each buffer lies, and how large the arena is: room is used again once a result is read."""
    last = {b: k for k, step in enumerate(steps) for b in step.buffers if b.argument is None}
    offsets: dict[Buffer, Dim] = {}
    sizes: dict[Buffer, Dim] = {}
    free: list[tuple[Dim, Dim]] = []
    end = ZERO
    for k, step in enumerate(steps):
        for buffer in step.buffers:
            if buffer.argument is not None or buffer in offsets:
                continue
            need = buffer.size.bytes(buffer.dtype.itemsize)
            fits = [slot for slot in free if slot[1].covers(need)]
            if fits:
                slot = min(fits, key=lambda s: s[1].coefficients[::-1])
                free.remove(slot)
                offsets[buffer], sizes[buffer] = slot
            else:
                offsets[buffer], sizes[buffer] = end, need
                end = end + need
        for buffer in dict.fromkeys(step.buffers):
            if buffer.argument is None and last[buffer] == k:
                free.append((offsets[buffer], sizes[buffer]))
    return offsets, end
