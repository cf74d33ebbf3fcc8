"""Convolutions as sums of products over windows of an image.

Channels come last in memory, so that the products of all channels are vectors and the windows are read from the image
itself. Very wide layers write the windows out as rows of a matrix, for a BLAS. Read next: `pooling.py`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .assembly import loops_over
from .dims import ONE, Dim, product
from .operations import Context, Uncovered, aten, once, rule
from .products import columns_last, contracted, matmul, suits
from .values import Index, Shape, Value, permuted, reshaped, sliced, stored, with_axis


@dataclass(frozen=True)
class Windows:
    """Windows over an image: their size, how far they are apart, the margin of the image, how far their points are."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]

    @staticmethod
    def of(
        rank: int, kernel: Sequence[Any], stride: Sequence[int], padding: Sequence[int], dilation: Sequence[int]
    ) -> Windows:
        """Over so many sides; one number holds for all."""

        def each(values: Sequence[Any], default: Sequence[int]) -> tuple[Any, ...]:
            values = list(values) or list(default)
            return tuple(values * rank if len(values) == 1 else values)

        sizes = tuple(int(k if isinstance(k, int) else k.fixed) for k in each(kernel, []))
        return Windows(sizes, each(stride, sizes), each(padding, [0]), each(dilation, [1]))

    @property
    def touching(self) -> bool:
        """Whether every point is in exactly one window, or in none."""
        plain = set(self.padding) == {0} and set(self.dilation) == {1}
        return plain and self.kernel == self.stride

    def over(self, image: Value, counts: Sequence[Dim]) -> Value:
        """(batch, *counts, *kernel, channels) of an image (batch, *size + margins, channels) in memory."""
        place = image.stored_at
        batch, *sides, channel = place.strides
        shape = (image.shape[0], *counts, *map(Dim.of, self.kernel), image.shape[-1])
        apart = [s * k for s, k in zip(sides, self.stride, strict=True)]
        inside = [s * k for s, k in zip(sides, self.dilation, strict=True)]
        return stored(place.buffer, shape, (batch, *apart, *inside, channel), place.offset)


def channels_last(x: Value) -> Value:
    """Channels last."""
    return permuted(x, [0, *range(2, x.rank), 1])


def channels_first(x: Value) -> Value:
    """Channels behind the batch."""
    return permuted(x, [0, x.rank - 1, *range(1, x.rank - 1)])


@once
def _columns(c: Context, x: Value, windows: Windows, counts: Shape, groups: int) -> Value:
    """(groups, windows, points × channels of a group) of x (batch, channels, *size)."""
    each = windows.over(framed(c, x, windows), counts)
    count, channels = product([each.shape[0], *counts]), each.shape[-1]
    if groups == 1:
        return with_axis(c.reshaped(c.assembly.dense(each), (count, channels * math.prod(windows.kernel))), 0)
    dense = c.assembly.store(_grouped(each, groups), dense=True)
    return c.reshaped(dense, (Dim.of(groups), count, _per_group(channels, groups) * math.prod(windows.kernel)))


def _per_group(channels: Dim, groups: int) -> Dim:
    if channels.fixed is None:
        raise Uncovered("no rule for a convolution whose channels are the samples")
    return Dim.of(channels.fixed // groups)


def _view_last(x: Value, groups: int, each: Dim) -> Value:
    """The last axis cut into groups."""
    view = reshaped(x, (*x.shape[:-1], Dim.of(groups), each)) if groups > 1 else with_axis(x, x.rank - 1)
    if view is None:
        raise Uncovered("no rule for such groups of channels")
    return view


def _rows(c: Context, x: Value, groups: int) -> Value:
    """(groups, positions, channels of a group) of x (batch, channels, *size)."""
    last = channels_last(x)
    if last.place is None:
        last = c.assembly.store(last, dense=True)
    return _grouped(c.reshaped(last, (product(last.shape[:-1]), last.shape[-1])), groups)


@once
def _weights(c: Context, w: Value, groups: int) -> Value:
    """(groups, first axis of a group, points × second axis) of w (first, second of a group, *kernel)."""
    last = c.assembly.dense(channels_last(w))
    return c.reshaped(last, (Dim.of(groups), _per_group(w.shape[0], groups), product(last.shape[1:])))


def _weights_back(c: Context, flat: Value, like: Sequence[Dim]) -> Value:
    """(groups, first, points × second) as w's (first, second, *kernel)."""
    first, second, *kernel = like
    return channels_first(c.reshaped(flat, (first, *kernel, second)))


def spread_out(
    c: Context, columns: Value, windows: Windows, batch: Dim, counts: Sequence[Dim], size: Sequence[Dim], channels: Dim
) -> Value:
    """The image (batch, channels, *size) to which each window's points are added; the opposite of `_columns`."""
    groups = columns.shape[0]
    each = _per_group(channels, groups.fixed or 1)
    framed = [s + 2 * p for s, p in zip(size, windows.padding, strict=True)]
    whole = c.assembly.store(c.constant((batch, *framed, channels), columns.dtype, 0), dense=True)
    target = windows.over(whole, counts)
    source = c.reshaped(columns, (groups, batch, *counts, *map(Dim.of, windows.kernel), each))
    source = permuted(source, [*range(1, source.rank - 1), 0, source.rank - 1])
    cut = _view_last(target, groups.fixed or 1, each)
    place = cut.stored_at

    def inside(e: Any, index: Index) -> None:
        where = place.at(index)
        e.store(place.buffer, where, e.add(e.load(place.buffer, where), source.at(e, index)))

    loops_over(c.assembly, cut.shape, inside, place.buffer)
    for axis, (margin, length) in enumerate(zip(windows.padding, size, strict=True), 1):
        whole = sliced(whole, axis, margin, length)
    return channels_first(whole)


@rule(aten.convolution.default)
def _convolution(c: Context, x: Value, w: Value, bias: Value | None, *how: Any) -> Value:
    (batch, channels), size = c.shape[:2], c.shape[2:]
    *moves, transposed, _, groups = how
    windows = Windows.of(w.rank - 2, w.shape[2:], *moves)
    if transposed:
        columns = matmul(c.assembly, _rows(c, x, groups), _weights(c, w, groups))
        out = spread_out(c, columns, windows, batch, x.shape[2:], size, channels)
    elif suits([*w.shape[1:]], _per_group(channels, groups)):
        over = _grouped(windows.over(framed(c, x, windows), size), groups)
        return _summed(c, over, _flat_weights(c, w, groups), (batch, *size), bias)
    else:
        columns = _columns(c, x, windows, size, groups)
        flat = matmul(c.assembly, columns, permuted(_weights(c, w, groups), [0, 2, 1]))
        out = _from_rows(c, flat, (batch, *size, channels))
    return c.affine(out, None, bias, len(size))


@once
def framed(c: Context, x: Value, windows: Windows, number: float = 0.0) -> Value:
    """x (batch, channels, *size) with margins, channels last, in memory."""
    last = channels_last(x)
    if not any(windows.padding):
        return c.assembly.memory(last)
    return c.framed(last, [(0, 0), *((p, p) for p in windows.padding), (0, 0)], number)


def _grouped(x: Value, groups: int) -> Value:
    """(groups, …, channels of a group) of x (…, channels)."""
    split = _view_last(x, groups, _per_group(x.shape[-1], groups))
    return permuted(split, [split.rank - 2, *range(split.rank - 2), split.rank - 1])


def _flat_weights(c: Context, w: Value, groups: int) -> Value:
    """(groups, *kernel, second axis, first axis of a group) of w (first, second of a group, *kernel)."""
    last = _grouped(permuted(w, [*range(2, w.rank), 1, 0]), groups)
    return c.assembly.store(last, dense=True)


def _summed(c: Context, over: Value, weights: Value, rows: Sequence[Dim], bias: Value | None = None) -> Value:
    """(batch, channels, *size) of windows (groups, batch, *size, *kernel, inner) and (groups, *kernel, inner, each)."""
    groups, *_, each = weights.shape
    last = c.assembly.value((*rows, groups * each), over.dtype)
    out = _grouped(last, groups.fixed or 1)
    if groups == ONE:
        contracted(c.assembly, over, weights, 1, weights.rank - 2, out, bias)
        return channels_first(last)
    contracted(c.assembly, over, weights, 1, weights.rank - 2, out)
    return channels_first(c.affine(last, None, bias))


def _by_input(c: Context, g: Value, w: Value, windows: Windows, shape: Sequence[Dim], groups: int) -> Value:
    """The gradient of an image (batch, channels, *size): a convolution with turned weights if windows move by one."""
    batch, channels, *size = shape
    margins = [d * (k - 1) - p for d, k, p in zip(windows.dilation, windows.kernel, windows.padding, strict=True)]
    if set(windows.stride) != {1} or min(margins) < 0:
        spread = matmul(c.assembly, _rows(c, g, groups), _weights(c, w, groups))
        return spread_out(c, spread, windows, batch, g.shape[2:], size, channels)
    back = Windows(windows.kernel, windows.stride, tuple(margins), windows.dilation)
    over = _grouped(back.over(framed(c, g, back), size), groups)
    each = _per_group(w.shape[0], groups)

    def turned(e: Any, index: Index) -> Any:
        group, *points, first, second = index
        points = [i * -1 + (k - 1) for i, k in zip(points, windows.kernel, strict=True)]
        return w.at(e, [group * each + first, second, *points])

    kernel = [Dim.of(k) for k in windows.kernel]
    weights = c.assembly.store(Value((Dim.of(groups), *kernel, each, w.shape[1]), w.dtype, turned), dense=True)
    return _summed(c, over, weights, (batch, *size))


def _by_weights(c: Context, g: Value, x: Value, windows: Windows, groups: int) -> Value:
    """The gradient of the weights (first, second of a group, *kernel): each point of the windows with each gradient."""
    size, rank = g.shape[2:], g.rank - 2
    over = _grouped(windows.over(framed(c, x, windows), size), groups)
    points = permuted(over, [0, *range(2 + rank, over.rank), *range(1, 2 + rank)])
    gradients = _grouped(columns_last(c.assembly, channels_last(g)), groups)
    out = contracted(c.assembly, points, gradients, 1, 1 + rank)  # (groups, *kernel, second, first of a group)
    kernel = [Dim.of(k) for k in windows.kernel]
    moved = permuted(out, [0, out.rank - 1, out.rank - 2, *range(1, 1 + rank)])
    return c.reshaped(moved, (g.shape[1], over.shape[-1], *kernel))


def _from_rows(c: Context, flat: Value, last: Sequence[Dim]) -> Value:
    """(groups, positions, channels of a group) as (batch, channels, *size)."""
    return channels_first(c.reshaped(permuted(flat, [1, 0, 2]), last))


@rule(aten.convolution_backward.default)
def _convolution_backward(c: Context, g: Value, x: Value, w: Value, bias: Any, *how: Any) -> tuple[Value | None, ...]:
    *moves, transposed, _, groups, wanted = how
    windows = Windows.of(w.rank - 2, w.shape[2:], *moves)
    g = c.assembly.memory(g)
    by_x: Value | None = None
    by_w: Value | None = None
    columns = rows = g
    if transposed:
        columns, rows = _columns(c, g, windows, x.shape[2:], groups), _rows(c, x, groups)
        if wanted[0]:
            flat = matmul(c.assembly, columns, permuted(_weights(c, w, groups), [0, 2, 1]))
            by_x = _from_rows(c, flat, (x.shape[0], *x.shape[2:], x.shape[1]))
    elif suits([g.shape[0]], _per_group(g.shape[1], groups)) and suits([], w.shape[1]):
        if wanted[0]:
            by_x = _by_input(c, g, w, windows, x.shape, groups)
        if wanted[1]:
            by_w = _by_weights(c, g, x, windows, groups)
    else:
        columns, rows = _columns(c, x, windows, g.shape[2:], groups), _rows(c, g, groups)
        if wanted[0]:
            spread = matmul(c.assembly, rows, _weights(c, w, groups))
            by_x = spread_out(c, spread, windows, x.shape[0], g.shape[2:], x.shape[2:], x.shape[1])
    if wanted[1] and by_w is None:
        by_w = _weights_back(c, matmul(c.assembly, permuted(rows, [0, 2, 1]), columns), w.shape)
    by_bias = c.summed(g, [0, *range(2, g.rank)]) if wanted[2] else None
    return by_x, by_w, by_bias
