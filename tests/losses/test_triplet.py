"""Triplet margin: torch's, on anchor, positive and negative stacked."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from thalweg import losses
from thalweg.errors import ProblemError

from .cases import DTYPES, REDUCTIONS, SEEDS, draw, same


@settings(max_examples=40, deadline=None)
@given(
    seed=SEEDS,
    dtype=DTYPES,
    reduction=REDUCTIONS,
    margin=st.floats(0.1, 9),
    p=st.sampled_from([1.0, 2.0, 3.0]),
    eps=st.sampled_from([1e-6, 1e-2]),
    swap=st.booleans(),
    inner=st.sampled_from([(4,), (2, 4)]),
)
def test_triplet_margin(
    seed: int, dtype: torch.dtype, reduction: str, margin: float, p: float, eps: float, swap: bool, inner: Any
) -> None:
    options = {"margin": margin, "p": p, "eps": eps, "swap": swap, "reduction": reduction}
    x = draw(seed, 6, 3, *inner, dtype=dtype)
    same(losses.TripletMargin(**options), lambda x, _: F.triplet_margin_loss(*x.unbind(1), **options), x, None)


def test_triplet_margin_by_hand() -> None:
    x = torch.tensor([[[0.0], [2.0], [5.0]], [[0.0], [2.0], [2.5]], [[0.0], [2.0], [1.0]]])
    values = losses.TripletMargin(eps=0.0, reduction="none")(x, None)
    assert values.tolist() == [0.0, 0.5, 2.0]
    swapped = losses.TripletMargin(eps=0.0, swap=True, reduction="none")(x, None)
    assert swapped.tolist() == [0.0, 2.5, 2.0]  # 2.5 − 2 = 0.5 is nearer than 2.5 from the positive


def test_identical_embeddings_have_a_gradient() -> None:
    x = torch.zeros(2, 3, 4, requires_grad=True)
    losses.TripletMargin()(x, None).backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"margin": 0}, r"triplet_margin: margin is 0; give a number above 0"),
        ({"margin": -1.0}, r"margin is -1"),
        ({"p": 0.0}, r"p is 0\.0; give a number above 0"),
        ({"eps": -1e-9}, r"eps is -1e-09; give a number of at least 0"),
        ({"swap": "no"}, r"swap is 'no'; give True or False"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ProblemError, match=words):
        losses.TripletMargin(**options)


@pytest.mark.parametrize("shape", [(5, 3), (5, 2, 3), (5, 4)])
def test_outputs_that_are_no_triplets(shape: tuple[int, ...]) -> None:
    with pytest.raises(ProblemError, match=r"stacked as \(samples, 3, features\), and the outputs are \(samples, "):
        losses.TripletMargin()(torch.zeros(shape), None)
