"""Max pooling of 2 × 2 windows, compiled.

`benchmarks/rewrites.py` measures it against PyTorch's CPU kernel. Values and places are those of torch: the
first of equals wins, and NaN wins over everything.
"""

from __future__ import annotations

import numpy as np
import torch
from numba import njit
from torch import Tensor


@njit(nogil=True, error_model="numpy", boundscheck=False)
def _pool(x: np.ndarray, best: np.ndarray, place: np.ndarray) -> None:
    planes, height, width = x.shape
    for p in range(planes):
        for i in range(height // 2):
            for j in range(width // 2):
                # Selections, not branches: which of the four is largest cannot be predicted.
                first = 2 * i * width + 2 * j
                largest, at = x[p, 2 * i, 2 * j], first
                for k in range(1, 4):
                    down, right = k // 2, k % 2
                    value = x[p, 2 * i + down, 2 * j + right]
                    wins = (value > largest) | (value != value)
                    largest = value if wins else largest
                    at = first + down * width + right if wins else at
                best[p, i, j] = largest
                place[p, i, j] = at


@torch.library.custom_op("thalweg::max_pool2x2", mutates_args=())
def max_pool2x2(x: Tensor) -> tuple[Tensor, Tensor]:
    """The largest of each 2 × 2 window and its place in the plane, as torch gives them.

    Args:
        x: (…, height, width), both even.
    """
    *lead, height, width = x.shape
    shape = (*lead, height // 2, width // 2)
    best, place = x.new_empty(shape), x.new_empty(shape, dtype=torch.int64)
    planes = x.contiguous().numpy().reshape(-1, height, width)
    _pool(planes, best.numpy().reshape(-1, *shape[-2:]), place.numpy().reshape(-1, *shape[-2:]))
    return best, place
