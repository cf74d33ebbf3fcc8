"""L1, mean squared error and Huber: torch's, in value and gradient."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from thalweg import losses
from thalweg.errors import ProblemError

from .cases import DTYPES, REDUCTIONS, SEEDS, draw, same

SHAPES = st.sampled_from([(1,), (7,), (5, 3), (4, 2, 3)])


@settings(max_examples=30, deadline=None)
@given(seed=SEEDS, dtype=DTYPES, reduction=REDUCTIONS, shape=SHAPES)
def test_l1_mse_l2_mean_sum_none(seed: int, dtype: torch.dtype, reduction: str, shape: tuple[int, ...]) -> None:
    x, y = draw(seed, *shape, dtype=dtype), draw(seed + 1, *shape, dtype=dtype)
    same(losses.L1(reduction=reduction), functools.partial(F.l1_loss, reduction=reduction), x, y)
    same(losses.MSE(reduction=reduction), functools.partial(F.mse_loss, reduction=reduction), x, y)


@settings(max_examples=30, deadline=None)
@given(seed=SEEDS, dtype=DTYPES, reduction=REDUCTIONS, delta=st.floats(0.01, 20))
def test_huber(seed: int, dtype: torch.dtype, reduction: str, delta: float) -> None:
    x, y = draw(seed, 5, 3, dtype=dtype), draw(seed + 1, 5, 3, dtype=dtype)
    plain = functools.partial(F.huber_loss, reduction=reduction, delta=delta)
    same(losses.Huber(delta, reduction=reduction), plain, x, y)
    as_tensor = losses.Huber(torch.tensor(delta, dtype=dtype), reduction=reduction)
    same(as_tensor, plain, x, y, exact=False)


def test_huber_by_hand_on_both_sides_of_delta() -> None:
    values = losses.Huber(2.0, reduction="none")(torch.tensor([1.0, -1.0, 2.0, 5.0]), torch.zeros(4))
    assert values.tolist() == [0.5, 0.5, 2.0, 2 * (5 - 1)]


@pytest.mark.parametrize("scale", [0.0, 1e-30, 1e4, 1e30])
def test_residuals_of_any_size(scale: float) -> None:
    x = torch.tensor([0.0, 1.0, -1.0], dtype=torch.float64) * scale
    for loss, plain in ((losses.L1(), F.l1_loss), (losses.MSE(), F.mse_loss), (losses.Huber(), F.huber_loss)):
        same(loss, plain, x, torch.zeros_like(x))


@pytest.mark.parametrize(
    ("outputs", "targets", "words"),
    [
        ((5, 1), (5,), r"outputs are \(samples, 1\) where the targets are \(samples,\); reshape the targets to \(sa"),
        ((5,), (5, 1), r"outputs are \(samples,\) where the targets are \(samples, 1\)"),
        ((5, 3), (5, 1), r"change the model or the targets"),
        ((5, 3), (4, 3), r"there are 5 outputs, and for targets 4; give one for each output"),
        ((5,), (1,), r"there are 5 outputs, and for targets 1"),
    ],
)
@pytest.mark.parametrize("name", ["l1", "mse", "huber"])
def test_what_torch_would_broadcast_is_refused(name: str, outputs: Any, targets: Any, words: str) -> None:
    for call in (losses.get(name), losses.get(name).per_sample):
        with pytest.raises(ProblemError, match=words):
            call(torch.zeros(outputs), torch.zeros(targets))


@pytest.mark.parametrize("delta", [0, -1.0, float("nan"), float("inf"), "1", True, None, 10**400])
def test_huber_refuses_a_delta_that_is_none(delta: Any) -> None:
    with pytest.raises(
        ProblemError, match=r"^huber: delta is .{1,80}; give a number above 0( and at most 1\.79769e\+308)?\.$"
    ):
        losses.Huber(delta)
