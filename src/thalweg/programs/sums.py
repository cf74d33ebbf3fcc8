"""Sums, extremes, softmax, norms of layers, and products of matrices."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from . import rows
from .assembly import running
from .dims import Dim, product
from .operations import Context, Uncovered, aten, converted, rule
from .products import matmul, with_bias
from .values import Value, reshaped, with_axis, without


@rule(aten.sum.dim_IntList, aten.sum.default)
def _sum(c: Context, x: Value, dims: Any = None, keep: bool = False, dtype: Any = None) -> Value:
    return c.summed(x, c.axes(x, dims), keep, c.dtype)


@rule(aten.mean.dim, aten.mean.default)
def _mean(c: Context, x: Value, dims: Any = None, keep: bool = False, dtype: Any = None) -> Value:
    axes = c.axes(x, dims)
    total = c.summed(x, axes, keep, c.dtype)
    return c.pointwise("div", total, product([x.shape[a] for a in axes]), cost=3)


@rule(aten.var.correction, aten.var_mean.correction)
def _var(c: Context, x: Value, dims: Any = None, correction: Any = 1, keepdim: bool = False) -> Any:
    axes = c.axes(x, dims)
    count, mean, total = _moments(c, x, axes)
    var = c.pointwise("div", total, count - int(correction or 0), cost=3)
    both = [v if keepdim else without(v, axes) for v in (var, mean)]
    return tuple(both) if len(c.shapes) > 1 else both[0]


def _moments(c: Context, x: Value, axes: Sequence[int]) -> tuple[Dim, Value, Value]:
    """How many values these axes have, their mean, and the sum of squares around it; the axes stay, of size 1."""
    count = product([x.shape[a] for a in axes])
    mean = c.assembly.store(c.pointwise("div", c.summed(x, axes, True, c.dtype), count))
    squares = c.pointwise(lambda e, a, m: e.power(e.sub(a, m), 2), x, mean, cost=2)
    return count, mean, c.summed(squares, axes, True, c.dtype)


@rule(aten.native_layer_norm.default)
def _layer_norm(c: Context, x: Value, shape: Sequence[Any], weight: Any, bias: Any, eps: float) -> Any:
    """The layer's result, the mean, and one over the standard deviation."""
    x = c.assembly.memory(x)
    out, mean, scale = _normalised(c, x, list(range(x.rank - len(shape), x.rank)), eps)
    return c.assembly.store(c.affine(out, weight, bias)), mean, scale


def _normalised(c: Context, x: Value, axes: Sequence[int], eps: float) -> tuple[Value, Value, Value]:
    """(x − mean) · scale over these axes, the mean, and the scale 1/√(variance + eps)."""
    count, mean, total = _moments(c, x, axes)
    scale = c.pointwise(lambda e, a, b: e.div(e.number(1.0, a), e.sqrt(e.add(e.div(a, b), eps))), total, count, cost=9)
    scale = c.assembly.store(scale)
    return c.pointwise(lambda e, a, m, s: e.mul(e.sub(a, m), s), x, mean, scale, cost=2), mean, scale


@rule(aten.native_group_norm.default)
def _group_norm(
    c: Context, x: Value, weight: Any, bias: Any, samples: Any, channels: Any, size: Any, groups: int, eps: float
) -> tuple[Value, ...]:
    per = x.shape[1].fixed
    if per is None:
        raise Uncovered("no rule for a group norm whose channels are the samples")
    x = c.assembly.memory(x)
    cut = reshaped(x, (x.shape[0], Dim.of(groups), Dim.of(per // groups), *x.shape[2:]))
    if cut is None:
        raise Uncovered("no rule for such groups of channels")
    inner = Context(c.assembly, [cut.shape], c.dtypes)
    axes = list(range(2, cut.rank))
    normal, mean, scale = _normalised(inner, cut, axes, eps)
    out = c.affine(c.reshaped(c.assembly.store(normal, dense=True), x.shape), weight, bias, x.rank - 2)
    return out, without(mean, axes), without(scale, axes)


def _end(dtype: torch.dtype, sign: int) -> float:
    """What every value of a dtype lies above (−1) or below (1)."""
    if dtype.is_floating_point:
        return sign * math.inf
    return torch.iinfo(dtype).max if sign > 0 else torch.iinfo(dtype).min


@rule(aten.amax.default, aten.max.default)
def _amax(c: Context, x: Value, dims: Any = None, keep: bool = False) -> Value:
    return c.reduced(x, c.axes(x, dims), keep, _end(x.dtype, -1), "maximum")


@rule(aten.amin.default, aten.min.default)
def _amin(c: Context, x: Value, dims: Any = None, keep: bool = False) -> Value:
    return c.reduced(x, c.axes(x, dims), keep, _end(x.dtype, 1), "minimum")


@rule(aten.max.dim, aten.min.dim)
def _extreme(c: Context, x: Value, axis: int, keep: bool = False) -> tuple[Value, Value]:
    """The largest (or smallest) along an axis, and where the first of them is."""
    x, largest = c.assembly.memory(x), c.target == aten.max.dim
    values = (_amax if largest else _amin)(c, x, [axis], keep)
    places = rows.first_extreme(c.assembly, x, axis % x.rank, largest)
    return values, with_axis(places, axis % x.rank) if keep else places


@rule(aten.prod.default, aten.prod.dim_int)
def _prod(c: Context, x: Value, dims: Any = None, keep: bool = False, dtype: Any = None) -> Value:
    return c.reduced(converted(x, c.dtype), c.axes(x, dims), keep, 1, "mul")


@rule(aten.linalg_vector_norm.default)
def _norm(c: Context, x: Value, order: float = 2, dims: Any = None, keep: bool = False, dtype: Any = None) -> Value:
    """(Σ |x|ᵖ)^(1/p), or the largest |x|."""
    axes = c.axes(x, dims)
    sizes = c.pointwise("abs", converted(x, c.dtype))
    if order == math.inf:
        return _amax(c, sizes, axes, keep)
    if order == 1:
        return c.summed(sizes, axes, keep)
    if order <= 0:
        raise Uncovered(f"no rule for a norm of order {order}")
    total = c.summed(c.pointwise(lambda e, a: e.power(a, order), sizes, cost=2 if order == 2 else 40), axes, keep)
    return c.pointwise(lambda e, a: e.sqrt(a) if order == 2 else e.power(a, 1 / order), total, cost=4)


@rule(aten._trilinear.default)
def _trilinear(
    c: Context, x: Value, y: Value, z: Value, new_x: Any, new_y: Any, new_z: Any, over: Sequence[int], unrolled: int = 1
) -> Value:
    """Σ x y z over some axes, after new axes of size 1 in each."""
    factors = []
    for value, axes in ((x, new_x), (y, new_y), (z, new_z)):
        for axis in sorted(axes):
            value = with_axis(value, axis)
        factors.append(value)
    product = c.pointwise(lambda e, a, b, d: e.mul(e.mul(a, b), d), *factors, cost=2)
    return c.summed(product, over)


@rule(aten.cumsum.default)
def _cumsum(c: Context, x: Value, axis: int, dtype: Any = None) -> Value:
    return running(c.assembly, converted(x, c.dtype), axis % x.rank) if x.rank else x


@rule(aten.any.dim, aten.any.dims, aten.any.default)
def _any(c: Context, x: Value, dims: Any = None, keep: bool = False) -> Value:
    return c.reduced(converted(x, torch.bool), c.axes(x, dims), keep, 0, "either")


@rule(aten._softmax.default)
def _softmax(c: Context, x: Value, axis: int, half: bool) -> Value:
    x, axis = c.assembly.memory(x), axis % x.rank if x.rank else 0
    if x.rank and rows.suits(x, axis):
        return rows.softmax(c.assembly, x, axis)
    top = _amax(c, x, [axis], True)
    powers = c.assembly.store(c.pointwise(lambda e, a, b: e.exp(e.sub(a, b)), x, top, cost=21))
    total = c.summed(powers, [axis % x.rank], True)
    return c.pointwise("div", powers, total, cost=3)


@rule(aten._log_softmax.default)
def _log_softmax(c: Context, x: Value, axis: int, half: bool) -> Value:
    x, axis = c.assembly.memory(x), axis % x.rank if x.rank else 0
    if x.rank and rows.suits(x, axis):
        top, total = rows.largest_and_sum(c.assembly, x, axis)
    else:
        top = _amax(c, x, [axis], True)
        powers = c.pointwise(lambda e, a, b: e.exp(e.sub(a, b)), x, top, cost=21)
        total = c.summed(powers, [axis], True)
    shift = c.assembly.store(c.pointwise(lambda e, s, m: e.add(e.log(s), m), total, top))
    return c.pointwise("sub", x, shift)


# products of matrices


@rule(aten.mm.default, aten.bmm.default)
def _mm(c: Context, x: Value, y: Value) -> Value:
    return matmul(c.assembly, x, y)


@rule(aten.addmm.default, aten.baddbmm.default)
def _addmm(c: Context, added: Value, x: Value, y: Value, beta: float = 1, alpha: float = 1) -> Value:
    if added.rank == 1 and added.shape == (y.shape[-1],) and beta == alpha == 1:
        out = with_bias(c.assembly, added, x, y)
        if out is not None:
            return out
    out = matmul(c.assembly, x, y)
    return c.pointwise(
        lambda e, a, b: e.add(b if alpha == 1 else e.mul(b, alpha), a if beta == 1 else e.mul(a, beta)), added, out
    )
