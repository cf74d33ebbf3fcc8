"""Operations of a batched program spelled so that a CPU runs them well.

A population turns a network's layers into stacks of small matrices, and PyTorch's CPU kernels were made
for few large ones. Each rewrite below is the same mathematics in an order that vectorises; `REWRITES` is
handed to the tracer, which applies a rewrite wherever the shapes call for it and leaves the operation
alone elsewhere. `benchmarks/rewrites.py` measures what each is worth.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from .pooling import max_pool2x2

aten = torch.ops.aten

VECTOR = 16  # float32 values that an AVX-512 register holds; rows shorter than that are not vectorised


def _bmm(a: Tensor, b: Tensor) -> Tensor:
    """(members, rows, inner) @ (members, inner, few) as the transpose of few × inner @ inner × rows."""
    if b.shape[2] >= VECTOR or a.shape[1] < VECTOR:
        return NotImplemented
    return aten.bmm(b.transpose(1, 2), a.transpose(1, 2)).transpose(1, 2)


def _log_softmax(x: Tensor, dim: int, half_to_float: bool) -> Tensor:
    if x.shape[dim] >= VECTOR or half_to_float:
        return NotImplemented
    shifted = x - aten.amax(x, [dim], True)
    return shifted - aten.log(aten.sum(aten.exp(shifted), [dim], True))


def _log_softmax_backward(gradient: Tensor, output: Tensor, dim: int, dtype: torch.dtype) -> Tensor:
    if output.shape[dim] >= VECTOR or dtype != gradient.dtype:
        return NotImplemented
    return gradient - aten.exp(output) * aten.sum(gradient, [dim], True)


def _softmax(x: Tensor, dim: int, half_to_float: bool) -> Tensor:
    if x.shape[dim] >= VECTOR or half_to_float:
        return NotImplemented
    powers = aten.exp(x - aten.amax(x, [dim], True))
    return powers / aten.sum(powers, [dim], True)


def _softmax_backward(gradient: Tensor, output: Tensor, dim: int, dtype: torch.dtype) -> Tensor:
    if output.shape[dim] >= VECTOR or dtype != gradient.dtype:
        return NotImplemented
    weighted = gradient * output
    return weighted - output * aten.sum(weighted, [dim], True)


def _max_pool(
    x: Tensor,
    kernel: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0,),
    dilation: Sequence[int] = (1,),
    ceil_mode: bool = False,
) -> Any:
    """Windows of 2 × 2 side by side, which is most of the pooling there is."""
    twos = {*kernel, *(stride or kernel)} == {2} and not (x.shape[-2] % 2 or x.shape[-1] % 2)
    plain = set(padding) == {0} and set(dilation) == {1} and x.device.type == "cpu"
    if not (twos and plain and x.dtype in (torch.float32, torch.float64)):
        return NotImplemented
    return max_pool2x2(x)


def _multiply(x: Tensor, by: Any) -> Tensor:
    return x if by == 1 and x.is_floating_point() else NotImplemented


REWRITES: dict[Any, Callable[..., Any]] = {
    aten.bmm.default: _bmm,
    aten._log_softmax.default: _log_softmax,
    aten._log_softmax_backward_data.default: _log_softmax_backward,
    aten._softmax.default: _softmax,
    aten._softmax_backward_data.default: _softmax_backward,
    aten.max_pool2d_with_indices.default: _max_pool,
    aten.mul.Scalar: _multiply,
}
