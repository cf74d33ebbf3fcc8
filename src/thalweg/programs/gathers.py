"""Reading and writing at indices that are data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from . import rows
from .assembly import loops_over
from .dims import ONE, Affine, Dim
from .operations import Context, Uncovered, aten, element, rule
from .values import Index, Shape, Value, broadcast, expanded, permuted, with_axes, with_axis


class _Read:
    """A number read from memory, as a counter."""

    def __init__(self, value: Any) -> None:
        self.value = value


def _row(c: Context, e: Any, ids: Value, index: Index, size: Dim, wraps: bool = False) -> Affine:
    """The place that an index names, counted from the end where it is below 0 and `wraps`.

    One that names no place is noted (`Assembly.status`) and taken as 0, so that nothing outside is read or written.
    """
    k = e.convert(ids.at(e, index), torch.int64)
    end = e.dim(size)
    if wraps:
        k = e.choose(e.compare("<", k, 0), e.add(k, end), k)
    outside = e.either(e.compare("<", k, 0), e.compare(">=", k, end))
    status = c.assembly.status
    e.store(status, Affine(), e.either(e.load(status, Affine()), e.convert(outside, torch.int64)))
    return Affine(((_Read(e.choose(outside, 0, k)), ONE),))


def _taken(c: Context, x: Value, axes: Sequence[int], ids: Sequence[Value], wraps: bool = False) -> Value:
    """x with the places that ids of one shape name along axes, one beside the other, in place of these."""
    x, first, end = c.assembly.memory(x), axes[0], axes[0] + ids[0].rank

    def at(e: Any, index: Index) -> Any:
        rows = [_row(c, e, i, index[first:end], x.shape[k], wraps) for i, k in zip(ids, axes, strict=True)]
        return x.at(e, [*index[:first], *rows, *index[end:]])

    return Value(c.shape, c.dtype, at, None, 3 if wraps else 1)


@rule(aten.embedding.default)
def _embedding(c: Context, weight: Value, ids: Value, *_: Any) -> Value:
    return _taken(c, weight, [0], [ids])


@rule(aten.index_select.default)
def _index_select(c: Context, x: Value, axis: int, ids: Value) -> Value:
    return _taken(c, x, [axis % x.rank], [ids])


@rule(aten.embedding_dense_backward.default)
def _embedding_backward(c: Context, g: Value, ids: Value, rows: Any, padding: Any, scaled: bool) -> Value:
    if scaled:
        raise Uncovered("no rule for an embedding scaled by frequency")
    if (Dim.of(padding).fixed or 0) >= 0:
        keep = Context(c.assembly, [ids.shape], [torch.bool]).pointwise(
            lambda e, k: e.compare("!=", k, padding), ids, of=torch.int64
        )
        keep = expanded(with_axes(keep, g.rank - ids.rank), g.shape)
        given = g
        g = Value(g.shape, g.dtype, lambda e, i: e.choose(keep.at(e, i), given.at(e, i), 0.0), None, g.cost + 2)
    out = c.assembly.store(c.constant(c.shape, c.dtype, 0), dense=True)
    _add_into(c, out, [ids], g, ids.rank)
    return out


def _add_into(c: Context, out: Value, ids: Sequence[Value], g: Value, leading: int, add: bool = True) -> None:
    """g is added to `out`, or put there, at the rows that the ids, all of g's first `leading` axes, name."""

    def to(e: Any, index: Index) -> Index:
        rows = [_row(c, e, i, index[:leading], n, wraps=True) for i, n in zip(ids, out.shape, strict=False)]
        return [*rows, *index[leading:]]

    _write(c, out, g, g.shape, to, add)


def _write(c: Context, out: Value, source: Any, shape: Shape, to: Callable[[Any, Index], Index], add: bool) -> None:
    """Each element of the source goes to another index of `out`: it is added there, or replaces what is there."""
    place = out.stored_at

    def inside(e: Any, index: Index) -> None:
        where, value = place.at(to(e, index)), element(e, source, index, out.dtype)
        e.store(place.buffer, where, e.total(e.load(place.buffer, where), value) if add else value)

    loops_over(c.assembly, shape, inside, place.buffer)


@rule(aten.gather.default)
def _gather(c: Context, x: Value, axis: int, ids: Value, **_: Any) -> Value:
    if not x.rank:
        return x
    x, axis = c.assembly.memory(x), axis % x.rank

    def at(e: Any, index: Index) -> Any:
        return x.at(e, [_row(c, e, ids, index, x.shape[k]) if k == axis else i for k, i in enumerate(index)])

    return Value(c.shape, c.dtype, at, None, 1)


@rule(aten.scatter.value, aten.scatter.src)
def _scatter(c: Context, x: Value, axis: int, ids: Value, source: Any) -> Value:
    """With one index along the axis it is a choice between two values; else it is written element by element."""
    axis %= x.rank
    if ids.shape[axis] == ONE and all(
        a == b for k, (a, b) in enumerate(zip(ids.shape, x.shape, strict=True)) if k != axis
    ):

        def at(e: Any, index: Index) -> Any:
            row = [Affine() if k == axis else i for k, i in enumerate(index)]
            hit = e.compare("==", e.convert(ids.at(e, row), torch.int64), e.index(index[axis]))
            return e.choose(hit, element(e, source, row, c.dtype), x.at(e, index))

        return Value(c.shape, c.dtype, at, None, 1 + x.cost)
    return add_at(c, x, axis, ids, source, add=False)


@rule(aten.scatter_add.default)
def _scatter_add(c: Context, x: Value, axis: int, ids: Value, source: Value) -> Value:
    return add_at(c, x, axis % x.rank, ids, source)


def add_at(c: Context, x: Value, axis: int, ids: Value, source: Any, add: bool = True) -> Value:
    """x after x[…, ids[…, j, …], …] += source[…, j, …] along an axis, or = where `add` is false."""
    out = c.assembly.store(x, dense=True)

    def to(e: Any, index: Index) -> Index:
        return [_row(c, e, ids, index, x.shape[k]) if k == axis else i for k, i in enumerate(index)]

    _write(c, out, source, ids.shape, to, add)
    return out


def _side_by_side(ids: Sequence[Value | None], doing: str) -> tuple[list[int], list[Value], Shape]:
    """The axes, one beside the other, that integer tensors are for, and the tensors, in one shape."""
    given = [k for k, i in enumerate(ids) if i is not None]
    tensors = [i for i in ids if i is not None]
    if any(i.dtype == torch.bool for i in tensors) or given != list(range(given[0], given[0] + len(given))):
        raise Uncovered(f"no rule for {doing} by a mask, or by tensors apart")
    shape = broadcast([i.shape for i in tensors])
    return given, [expanded(i, shape) for i in tensors], shape


@rule(aten.index.Tensor)
def _index(c: Context, x: Value, ids: Sequence[Value | None]) -> Value:
    given, spread, _ = _side_by_side(ids, "an index")
    return _taken(c, x, given, spread, wraps=True)


@rule(aten.index_put.default)
def _index_put(c: Context, x: Value, ids: Sequence[Value | None], values: Value, accumulate: bool = False) -> Value:
    given, spread, shape = _side_by_side(ids, "writing")
    first, last = given[0], given[-1] + 1
    whole = expanded(values, (*x.shape[:first], *shape, *x.shape[last:]))
    out = c.assembly.store(x, dense=True)
    rows = list(range(first, first + len(shape)))
    whole = permuted(whole, [*rows, *(k for k in range(whole.rank) if k not in rows)])
    turned = permuted(out, [*given, *(k for k in range(out.rank) if k not in given)])
    _add_into(c, turned, spread, whole, len(shape), accumulate)
    return out


@rule(aten.argmax.default, aten.argmin.default)
def _arg_extreme(c: Context, x: Value, axis: int | None = None, keep: bool = False) -> Value:
    """Where the first of the largest values lies; NaN is above every number."""
    if axis is None:
        raise Uncovered("no rule for the place of the largest of all values")
    axis %= x.rank
    largest = c.target == aten.argmax.default
    out = rows.first_extreme(c.assembly, x, axis, largest)
    return with_axis(out, axis) if keep else out
