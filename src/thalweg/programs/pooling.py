"""Pooling, and the sums over copies that are its opposite. The windows are those of a convolution (`windows.py`)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch

from .assembly import loops_over
from .dims import Affine, Dim, product
from .emit import TYPES
from .gathers import add_at
from .operations import Context, Uncovered, aten, rule
from .values import Index, Value, with_axis
from .windows import Windows, channels_first, channels_last, framed, spread_out


def _points(windows: Windows) -> list[tuple[int, ...]]:
    return [*itertools.product(*map(range, windows.kernel))]


@rule(aten.max_pool2d_with_indices.default)
def _max_pool(
    c: Context,
    x: Value,
    kernel: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0,),
    dilation: Sequence[int] = (1,),
    ceil_mode: bool = False,
) -> tuple[Value, Value]:
    """The largest of each window and its place in the plane; the first of equals, and NaN before every number."""
    if ceil_mode or x.rank != 4:
        raise Uncovered("no rule for max pooling with ceil_mode, or of one image")
    windows = Windows.of(2, kernel, stride, padding, dilation)
    best = _largest(windows, framed(c, x, windows, -math.inf), c.shape[2:], x.shape[3])
    cost = 4 * math.prod(windows.kernel)
    values = Value(c.shape, x.dtype, lambda e, i: best(e, i)[0], None, cost)
    places = Value(c.shape, c.dtypes[1], lambda e, i: best(e, i)[1])  # of no cost: written only where they are read
    return c.assembly.store(values), places


def _largest(windows: Windows, image: Value, counts: Sequence[Dim], width: Dim) -> Callable[..., tuple[Any, Any]]:
    """f(body, index of a window) → the first of its largest values, and its place in the plane."""
    over = windows.over(image, counts)

    def best(e: Any, index: Index) -> tuple[Any, Any]:
        batch, channel, down, right = index
        value = place = None
        for i, j in _points(windows):
            other = over.at(e, [batch, down, right, Affine.of(i), Affine.of(j), channel])
            row = down * windows.stride[0] + (i * windows.dilation[0] - windows.padding[0])
            column = right * windows.stride[1] + (j * windows.dilation[1] - windows.padding[1])
            where = e.index(row * width + column)
            if place is None:
                value, place = other, where
                continue
            better = e.either(e.compare(">", other, value), e.isnan(other))
            value, place = e.choose(better, other, value), e.choose(better, where, place)
        return value, place

    return best


@rule(aten.max_pool2d_with_indices_backward.default)
def _max_pool_backward(
    c: Context,
    g: Value,
    x: Value,
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    ceil_mode: bool,
    places: Value,
) -> Value:
    windows = Windows.of(2, kernel, stride, padding, dilation)
    batch, channels, height, width = x.shape
    down, right = g.shape[2:]
    fits = (down * windows.kernel[0], right * windows.kernel[1]) == (height, width)
    g = c.assembly.memory(g)
    if windows.touching and fits:
        return _to_largest(c, g, x, windows)
    flat_g = c.reshaped(g, (batch, channels, down * right))
    flat = c.reshaped(c.assembly.memory(places), (batch, channels, down * right))
    out = add_at(c, c.constant((batch, channels, height * width), g.dtype, 0), 2, flat, flat_g)
    return c.reshaped(out, c.shape)


def _to_largest(c: Context, g: Value, x: Value, windows: Windows) -> Value:
    """g at each window's largest value and 0 elsewhere, where every point is in one window."""
    image = framed(c, x, windows, -math.inf)
    over, last = windows.over(image, g.shape[2:]), channels_last(g)
    whole = c.assembly.value(image.shape, g.dtype)
    target = windows.over(whole, g.shape[2:])
    place, points = target.stored_at, _points(windows)

    def inside(e: Any, index: Index) -> None:
        batch, down, right, channel = index
        each = [over.at(e, [batch, down, right, *map(Affine.of, p), channel]) for p in points]
        value, hits = each[0], [e.number(1, TYPES[torch.bool])]
        for other in each[1:]:
            better = e.either(e.compare(">", other, value), e.isnan(other))
            hits = [*(e.both(hit, e.inverted(better)) for hit in hits), better]
            value = e.choose(better, other, value)
        share = last.at(e, [batch, down, right, channel])
        for p, hit in zip(points, hits, strict=True):
            at = place.at([batch, down, right, *map(Affine.of, p), channel])
            e.store(place.buffer, at, e.choose(hit, share, 0.0))

    shape = (g.shape[0], *g.shape[2:], g.shape[1])
    loops_over(c.assembly, shape, inside, place.buffer)
    return channels_first(whole)


@rule(aten.avg_pool2d.default)
def _avg_pool(c: Context, x: Value, *how: Any) -> Value:
    windows, share = _average(x, *how)
    over = windows.over(framed(c, x, windows), c.shape[2:])

    def at(e: Any, index: Index) -> Any:
        batch, channel, down, right = index
        each = [over.at(e, [batch, down, right, *map(Affine.of, p), channel]) for p in _points(windows)]
        total = each[0]
        for value in each[1:]:
            total = e.add(total, value)
        return e.mul(total, share)

    return Value(c.shape, c.dtype, at, None, len(_points(windows)))


def _average(
    x: Value,
    kernel: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0, 0),
    ceil_mode: bool = False,
    with_margin: bool = True,
    divisor: int | None = None,
) -> tuple[Windows, float]:
    """The windows, and the share of each of a window's points in its mean."""
    windows = Windows.of(2, kernel, stride, padding, (1,))
    if ceil_mode or x.rank != 4 or (any(windows.padding) and not with_margin):
        raise Uncovered("no rule for average pooling with ceil_mode or count_include_pad=False")
    return windows, 1 / (divisor or math.prod(windows.kernel))


@rule(aten.avg_pool2d_backward.default)
def _avg_pool_backward(c: Context, g: Value, x: Value, *how: Any) -> Value:
    windows, share = _average(x, *how)
    batch, channels, *size = x.shape
    last = channels_last(c.assembly.memory(g))
    points = [Dim.of(k) for k in windows.kernel]
    shape = (batch, *g.shape[2:], *points, channels)

    def at(e: Any, index: Index) -> Any:
        b, down, right, _, _, channel = index
        return e.mul(last.at(e, [b, down, right, channel]), share)

    columns = c.assembly.store(Value(shape, g.dtype, at, None, 1), dense=True)
    flat = with_axis(c.reshaped(columns, (product(shape[:3]), product(shape[3:]))), 0)
    return spread_out(c, flat, windows, batch, g.shape[2:], size, channels)


def _times(large: Sequence[Dim], small: Sequence[Dim], otherwise: str) -> list[int]:
    """How many times as long each side is; Uncovered where that is no whole number."""
    sides = [(n.fixed, k.fixed) for n, k in zip(large, small, strict=True)]
    if any(n is None or k is None or n % k for n, k in sides):
        raise Uncovered(otherwise)
    return [n // k for n, k in sides if n is not None and k is not None]


@rule(aten._adaptive_avg_pool2d_backward.default)
def _adaptive_backward(c: Context, g: Value, x: Value) -> Value:
    """Where each output is the mean of a window of its own."""
    batch, channels, height, width = x.shape
    down, right = _times((height, width), g.shape[2:], "no rule for adaptive pooling into windows that overlap")
    g = c.assembly.memory(g)

    def at(e: Any, index: Index) -> Any:
        b, channel, i, _, j, _ = index
        return e.mul(g.at(e, [b, channel, i, j]), 1 / (down * right))

    shape = (batch, channels, g.shape[2], Dim.of(down), g.shape[3], Dim.of(right))
    return c.reshaped(c.assembly.store(Value(shape, g.dtype, at, None, 1), dense=True), x.shape)


@rule(aten.upsample_nearest2d_backward.default)
def _nearest_backward(c: Context, g: Value, *_: Any) -> Value:
    """Each point's copies summed, where it has as many as every other."""
    batch, channels, height, width = tuple(c.shape)
    down, right = _times(g.shape[2:], (height, width), "no rule for upsampling by a share")
    copies = c.reshaped(g, (batch, channels, height, Dim.of(down), width, Dim.of(right)))
    return c.summed(copies, [3, 5])
