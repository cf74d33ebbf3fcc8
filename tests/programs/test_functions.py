"""Elementary functions of float32 over their whole range, in units in the last place."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import scipy.special
import torch
from torch import Tensor

from .harness import compiled, run

FLOAT = np.finfo(np.float32)
SMALLEST, TINY, LARGEST = FLOAT.smallest_subnormal, float(FLOAT.tiny), FLOAT.max
ENDS = [0.0, -0.0, SMALLEST, -SMALLEST, 1e-39, -1e-39, TINY, LARGEST, -LARGEST, np.inf, -np.inf, np.nan, 1.0, -1.0]

FUNCTIONS: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[np.ndarray], np.ndarray], float]] = {
    "exp": (torch.exp, np.exp, 1.0),
    "log": (torch.log, np.log, 0.8),
    "tanh": (torch.tanh, np.tanh, 1.1),
    "sigmoid": (torch.sigmoid, scipy.special.expit, 2.0),
    "erf": (torch.erf, scipy.special.erf, 3.0),
    "log1p": (torch.log1p, np.log1p, 2.5),
    "expm1": (torch.expm1, np.expm1, 2.5),
    "sqrt": (torch.sqrt, np.sqrt, 0.5),
    "rsqrt": (torch.rsqrt, lambda x: 1 / np.sqrt(x), 1.5),
    "reciprocal": (torch.reciprocal, lambda x: 1 / x, 0.5),
    "sin": (torch.sin, np.sin, 1.0),
    "log2": (torch.log2, np.log2, 1.0),
}


def arguments() -> np.ndarray:
    """Every sign, exponent and a few mantissas; the usual range densely; the ends of the range; what is no number."""
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2**32, 40_000, dtype=np.uint64).astype(np.uint32).view(np.float32)
    dense = np.linspace(-110, 110, 40_001, dtype=np.float32)
    near = np.concatenate([end + np.linspace(-1, 1, 2001) for end in (0, 1, -1, 88.72284, -87.33655, -103.97208)])
    return np.concatenate([bits, dense, near.astype(np.float32), np.array(ENDS, np.float32)])


def off(values: np.ndarray, exact: np.ndarray) -> np.ndarray:
    """|value − exact| in units in the last place of the exact value as float32."""
    unit = np.spacing(np.abs(exact).astype(np.float32)).astype(np.float64)
    return np.abs(values - exact) / unit


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_error_is_a_few_units_in_the_last_place(name: str) -> None:
    ours, reference, most = FUNCTIONS[name]
    x = arguments()
    a, b = torch.from_numpy(x[:8]), torch.from_numpy(x[:5])
    step = compiled(lambda t: [ours(t)], (8, [a]), (5, [b]))
    with np.errstate(all="ignore"):
        values = run(step, [torch.from_numpy(x)], len(x))[0].numpy().astype(np.float64)
        exact = reference(x.astype(np.float64))
        rounded = exact.astype(np.float32)
    assert np.array_equal(np.isnan(values), np.isnan(exact))
    infinite = np.isinf(rounded)
    assert np.array_equal(values[infinite], rounded[infinite])
    finite = np.isfinite(rounded)
    normal = finite & (np.abs(exact) >= TINY)
    assert off(values[normal], exact[normal]).max() <= most
    assert np.abs(values[finite & ~normal] - exact[finite & ~normal]).max(initial=0.0) <= TINY  # they may be 0


def test_a_unit_in_the_last_place_is_seen() -> None:
    x = np.array([1.0, 3.0, 1e-40])
    assert off(np.nextafter(x.astype(np.float32), np.float32(9)).astype(np.float64), x.astype(np.float32)).min() >= 0.5


def test_whole_numbers_are_never_nan() -> None:
    x = torch.tensor([0, -1, 2**40])
    step = compiled(lambda x: [x.isnan()], (3, [x]), (2, [x[:2]]))
    assert not run(step, [x], 3)[0].any()


VIEWS: dict[str, Callable[[Tensor], Tensor]] = {
    "place": lambda x: torch.select_scatter(x, x[:, 0] * 2, 1, -1),
    "slice": lambda x: torch.slice_scatter(x, x[:, :2] * 2, 1, 0, 4, 2),
    "diagonal": lambda x: torch.diagonal_scatter(x, x.diagonal(1, 1, 2) * 3, 1, 1, 2),
}


@pytest.mark.parametrize("view", VIEWS)
def test_what_is_written_into_a_view_leaves_the_rest(view: str) -> None:
    x, call = torch.randn(6, 4, 5, generator=torch.Generator().manual_seed(0)), VIEWS[view]
    step = compiled(lambda x: [call(x)], (6, [x]), (5, [x[:5]]))
    assert torch.equal(run(step, [x], 6)[0], call(x))
