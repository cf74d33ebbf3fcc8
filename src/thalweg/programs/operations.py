"""What each ATen operation is in a compiled step. An operation that is not here makes the program run stacked.

The graph has been decomposed into PyTorch's core set before (`trace.py`), so that one entry serves many layers.
Read next: `windows.py` for convolutions, `pooling.py`, `gathers.py` for reading and writing at indices.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import torch

from .assembly import Assembly
from .dims import ONE, ZERO, Dim
from .emit import TYPES
from .trace import Share, Uncovered
from .values import (
    Index,
    Shape,
    Value,
    broadcast,
    diagonal,
    expanded,
    permuted,
    reshaped,
    selected,
    sliced,
    with_axes,
    with_axis,
    without,
)

aten = torch.ops.aten
DEAR = 2  # operations for an element beyond which a result that is read several times is written to memory

Rule = Callable[..., Any]
RULES: dict[Any, Rule] = {}
VIEWS: set[Any] = set()  # operations whose results are read as often as they are


def rule(*targets: Any, view: bool = False) -> Callable[[Rule], Rule]:
    """Registers what these operations are: f(context, *arguments) → the value, or a tuple of them."""

    def register(function: Rule) -> Rule:
        for target in targets:
            RULES[target] = function
            if view:
                VIEWS.add(target)
        return function

    return register


class Context:
    """The node at hand, for its rule.

    Attributes:
        shape, dtype: of its (first) result.
    """

    def __init__(
        self, assembly: Assembly, shapes: Sequence[Shape], dtypes: Sequence[torch.dtype], target: Any = None
    ) -> None:
        self.assembly, self.shapes, self.dtypes, self.target = assembly, shapes, dtypes, target
        self.shape: Shape = shapes[0] if shapes else ()
        self.dtype = dtypes[0] if dtypes else torch.float32

    def pointwise(
        self, function: str | Callable[..., Any], *operands: Any, of: torch.dtype | None = None, cost: int = 1
    ) -> Value:
        """function(body, *elements) of operands that are broadcast against each other.

        Args:
            function: or the name of one of the body's own.
            of: what the elements are converted to first; the dtype of the result unless given.
            cost: operations that the function takes.
        """
        kind = of or self.dtype
        if isinstance(function, str):
            function = _method(function)
        shape = broadcast([o.shape for o in operands if isinstance(o, Value)])
        spread = [self.spread(o, shape) if isinstance(o, Value) else o for o in operands]

        def at(e: Any, index: Index) -> Any:
            return function(e, *(element(e, o, index, kind) for o in spread))

        total = cost + sum(o.cost for o in spread if isinstance(o, Value))
        return Value(shape, self.dtype, at, None, total)

    def affine(self, x: Value, weight: Value | None, bias: Value | None, behind: int = 0) -> Value:
        """x · weight + bias, or one of both, whose last axis has so many of x behind it."""
        for value, how in ((weight, "mul"), (bias, "add")):
            if value is not None:
                x = self.pointwise(how, x, with_axes(value, behind))
        return x

    def spread(self, value: Value, shape: Shape) -> Value:
        if value.cost > DEAR and tuple(value.shape) != tuple(shape):
            value = self.assembly.store(value)
        return expanded(value, shape)

    def constant(self, shape: Sequence[Dim], dtype: torch.dtype, number: Any) -> Value:
        def at(e: Any, index: Index) -> Any:
            return element(e, number, index, dtype)

        return Value(tuple(shape), dtype, at)

    def reshaped(self, value: Value, shape: Sequence[Dim]) -> Value:
        """The same elements in another shape: a view where there is one, else written anew."""
        view = reshaped(value, tuple(shape))
        if view is None:
            view = reshaped(self.assembly.store(value, dense=True), tuple(shape))
        if view is None:
            raise Uncovered("a reshape of unknown sizes")
        return view

    def framed(self, source: Value, around: Sequence[tuple[Any, Any]], number: Any) -> Value:
        """In memory, with so many of the number before and behind the elements of each axis; fewer than 0 cut these."""
        shape = [size + before + after for size, (before, after) in zip(source.shape, around, strict=True)]
        inside = whole = self.assembly.store(self.constant(shape, source.dtype, number), dense=True)
        for axis, (before, after) in enumerate(around):
            length = source.shape[axis] + min(0, before) + min(0, after)
            source = sliced(source, axis, max(0, -before), length)
            inside = sliced(inside, axis, max(0, before), length)
        self.assembly.store(source, inside)
        return whole

    def axes(self, value: Value, dims: Sequence[int] | int | None) -> list[int]:
        if dims is None or (isinstance(dims, Sequence) and not dims):
            return list(range(value.rank))
        dims = [dims] if isinstance(dims, int) else dims
        return sorted({d % value.rank for d in dims})

    def summed(self, value: Value, axes: Sequence[int], keep: bool = False, dtype: torch.dtype | None = None) -> Value:
        kind = dtype or value.dtype
        value = converted(value, kind)
        return self.reduced(value, axes, keep, 0, "total")

    def reduced(self, value: Value, axes: Sequence[int], keep: bool, start: float, step: str) -> Value:
        """The body's function of this name over some axes, from a number that leaves every element as it is."""
        first = lambda e: e.number(start, TYPES[value.dtype])  # noqa: E731
        out = self.assembly.reduced(value, axes, first, _method(step)) if axes else value
        for axis in sorted(a % value.rank for a in axes) if keep else ():
            out = with_axis(out, axis)
        return out


def once(make: Callable[..., Value]) -> Callable[..., Value]:
    """f(context, value, *others), whose result serves all that ask for it with the same arguments."""

    @functools.wraps(make)
    def result(c: Context, value: Value, *others: Any) -> Value:
        key = make, id(value), *others
        if key not in c.assembly.made:
            c.assembly.made[key] = value, make(c, value, *others)  # with the value, so that no other has its id
        return c.assembly.made[key][1]

    return result


def _method(name: str) -> Callable[..., Any]:
    return lambda e, *elements: getattr(e, name)(*elements)


def element(e: Any, operand: Any, index: Index, kind: torch.dtype) -> Any:
    if isinstance(operand, Value):
        return e.convert(operand.at(e, index), kind)
    if isinstance(operand, Share):
        return e.share(operand.a, operand.b, operand.c, TYPES[kind])
    if isinstance(operand, Dim):
        return e.convert(e.dim(operand), kind)
    return e.number(operand, TYPES[kind])


def converted(value: Value, dtype: torch.dtype) -> Value:
    if value.dtype == dtype:
        return value
    return Value(value.shape, dtype, lambda e, index: e.convert(value.at(e, index), dtype), None, value.cost + 1)


# copies, constants


@rule(aten._to_copy.default, aten.to.dtype)
def _to(c: Context, x: Value, *_: Any, **options: Any) -> Value:
    return converted(x, c.dtype)


@rule(aten.clone.default, aten.alias.default, aten.detach.default, aten.lift_fresh_copy.default, view=True)
def _same(c: Context, x: Value, *_: Any, **options: Any) -> Value:
    return x


@rule(aten.copy.default)
def _copy(c: Context, x: Value, source: Value, *_: Any) -> Value:
    return expanded(converted(source, x.dtype), x.shape)


@rule(aten.full.default, aten.full_like.default, aten.scalar_tensor.default)
def _full(c: Context, *given: Any, **options: Any) -> Value:
    return c.constant(c.shape, c.dtype, given[-1])


@rule(
    aten.zeros.default,
    aten.zeros_like.default,
    aten.new_zeros.default,
    aten.empty.memory_format,
    aten.new_empty.default,
    aten.empty_permuted.default,
    aten.new_empty_strided.default,
)
def _zeros(c: Context, *_: Any, **options: Any) -> Value:
    return c.constant(c.shape, c.dtype, 0)


@rule(aten.ones.default, aten.ones_like.default, aten.new_ones.default)
def _ones(c: Context, *_: Any, **options: Any) -> Value:
    return c.constant(c.shape, c.dtype, 1)


@rule(aten.arange.start_step)
def _arange(c: Context, start: Any, end: Any, step: Any = 1, **options: Any) -> Value:
    def at(e: Any, index: Index) -> Any:
        if isinstance(start, float) or isinstance(step, float):
            k = e.convert(e.index(index[0]), c.dtype)
            return e.add(e.mul(k, step), start)
        return e.convert(e.index(index[0] * step + start), c.dtype)

    return Value(c.shape, c.dtype, at, None, 1)


# views


@rule(aten.permute.default, view=True)
def _permute(c: Context, x: Value, order: Sequence[int]) -> Value:
    return permuted(x, order)


@rule(aten.t.default, aten.transpose.int, view=True)
def _transpose(c: Context, x: Value, a: int = 0, b: int = -1) -> Value:
    order = list(range(x.rank))
    if order:
        order[a], order[b] = order[b], order[a]
    return permuted(x, order)


@rule(aten.expand.default, view=True)
def _expand(c: Context, x: Value, *_: Any, **options: Any) -> Value:
    return c.spread(x, c.shape)


@rule(aten.view.default, aten.reshape.default, aten._unsafe_view.default, view=True)
def _view(c: Context, x: Value, *_: Any) -> Value:
    return c.reshaped(x, c.shape)


@rule(aten.unsqueeze.default, view=True)
def _unsqueeze(c: Context, x: Value, axis: int) -> Value:
    return with_axis(x, axis)


@rule(aten.squeeze.dims, aten.squeeze.dim, aten.squeeze.default, view=True)
def _squeeze(c: Context, x: Value, dims: Any = None) -> Value:
    single = [a for a in c.axes(x, dims) if x.shape[a] == ONE]
    return without(x, single) if single else x


def start_of(value: Any, size: Dim) -> Dim:
    start = Dim.of(0 if value is None else value)
    return start + size if (start.fixed or 0) < 0 else start


@rule(aten.slice.Tensor, view=True)
def _slice(c: Context, x: Value, axis: int = 0, start: Any = None, end: Any = None, step: int = 1) -> Value:
    axis %= x.rank
    first = start_of(start, x.shape[axis])
    return sliced(x, axis, first, c.shape[axis], step)


@rule(aten.select.int, view=True)
def _select(c: Context, x: Value, axis: int, at: Any) -> Value:
    return selected(x, axis, start_of(at, x.shape[axis % x.rank]))


@rule(aten.split_with_sizes.default, view=True)
def _split(c: Context, x: Value, sizes: Sequence[Any], axis: int = 0) -> tuple[Value, ...]:
    parts, at = [], ZERO
    for size in sizes:
        parts.append(sliced(x, axis, at, Dim.of(size)))
        at = at + size
    return tuple(parts)


@rule(aten.unbind.int, view=True)
def _unbind(c: Context, x: Value, axis: int = 0) -> tuple[Value, ...]:
    count = x.shape[axis % x.rank].fixed
    if count is None:
        raise Uncovered("unbind over the samples")
    return tuple(selected(x, axis, k) for k in range(count))


@rule(aten.repeat.default)
def _repeat(c: Context, x: Value, repeats: Sequence[Any]) -> Value:
    for _ in range(len(repeats) - x.rank):
        x = with_axis(x, 0)
    shape: list[Dim] = []
    for k, (times, size) in enumerate(zip(repeats, x.shape, strict=True)):
        x = with_axis(x, 2 * k)
        shape += [Dim.of(times), size]
    return _view(c, c.spread(x, tuple(shape)))


@rule(aten.diagonal.default)
def _diagonal(c: Context, x: Value, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Value:
    return diagonal(x, offset, dim1, dim2, c.shape[-1])


@rule(aten.diagonal_scatter.default, aten.select_scatter.default, aten.slice_scatter.default)
def _into_view(c: Context, x: Value, source: Value, *where: Any, **named: Any) -> Value:
    """x with the source in place of a view of it."""
    out = c.assembly.store(x, dense=True)
    view = {aten.diagonal_scatter: _diagonal, aten.select_scatter: _select, aten.slice_scatter: _slice}
    of_source = Context(c.assembly, [source.shape], [source.dtype])
    c.assembly.store(source, view[c.target.overloadpacket](of_source, out, *where, **named))
    return out


@rule(aten.unfold.default)
def _unfold(c: Context, x: Value, axis: int, size: int, step: int) -> Value:
    axis = axis % x.rank if x.rank else 0
    x = c.assembly.memory(x)

    def at(e: Any, index: Index) -> Any:
        *outer, within = index
        return x.at(e, [i * step + within if k == axis else i for k, i in enumerate(outer)])

    return Value(c.shape, x.dtype, at)


@rule(aten.flip.default)
def _flip(c: Context, x: Value, dims: Sequence[int]) -> Value:
    turned = set(c.axes(x, dims))

    def at(e: Any, index: Index) -> Any:
        back = [i * -1 + (x.shape[k] - 1) if k in turned else i for k, i in enumerate(index)]
        return x.at(e, back)

    return Value(x.shape, x.dtype, at, None, x.cost + 1)


@rule(aten.cat.default)
def _cat(c: Context, parts: Sequence[Value], axis: int = 0) -> Value:
    axis %= len(c.shape)
    out, at = c.assembly.value(c.shape, c.dtype), ZERO
    for part in parts:
        if part.rank != len(c.shape):
            continue  # an empty tensor of one axis, which torch allows here
        c.assembly.store(converted(part, c.dtype), sliced(out, axis, at, part.shape[axis]))
        at = at + part.shape[axis]
    return out


@rule(aten.constant_pad_nd.default)
def _pad(c: Context, x: Value, pads: Sequence[Any], number: Any = 0) -> Value:
    around = [(0, 0)] * (x.rank - len(pads) // 2) + list(zip(pads[::2], pads[1::2], strict=True))[::-1]
    return c.framed(x, around, number)
