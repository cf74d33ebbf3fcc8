"""Softmax and extremes of rows in registers: of every width, with infinities and NaN, as PyTorch has it."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from .harness import compiled, run

WAYS: dict[str, Callable[[Tensor], Tensor]] = {
    "softmax": lambda x: x.softmax(1),
    "log softmax": lambda x: x.log_softmax(1),
    "softmax of columns": lambda x: x.t().softmax(0),
    "place of the largest": lambda x: x.argmax(1),
    "place of the smallest": lambda x: x.argmin(1),
    "place in columns": lambda x: x.t().argmax(0, keepdim=True),
}


def rows(width: int, dtype: torch.dtype) -> Tensor:
    """Usual rows, and those with infinities, NaN, both, far apart values, and equal ones."""
    x = 5 * torch.randn(12, width, dtype=dtype, generator=torch.Generator().manual_seed(width))
    x[1, 0] = x[5] = x[8, width // 2] = math.nan
    x[2] = x[4, 0] = -math.inf
    x[3, -1] = x[8, 0] = math.inf
    x[6] *= torch.finfo(dtype).max / 100
    x[7] = 0
    x[9, 0], x[9, 1:] = -0.0, 0  # alike
    x[10] = math.inf
    x[10, -1] = math.nan
    x[11] = -math.inf
    return x


@pytest.mark.everyday(of=4)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("width", [2, 3, 10, 16, 17, 94, 128, 129])
@pytest.mark.parametrize("way", WAYS)
def test_as_pytorch_has_it(way: str, width: int, dtype: torch.dtype) -> None:
    x, call = rows(width, dtype), WAYS[way]
    step = compiled(lambda a: (call(a),), (12, (x,)), (7, (x[:7],)))
    for count in (12, 7, 2):
        (ours,) = run(step, (x[:count],), count)
        near = 8 * torch.finfo(dtype).eps
        torch.testing.assert_close(ours, call(x[:count]), rtol=2 * near, atol=near, equal_nan=True)
