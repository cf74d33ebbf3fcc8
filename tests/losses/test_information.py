"""Entropy and cross-entropy of distributions, in nats."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from torch.distributions import Categorical, kl_divergence

from thalweg import losses
from thalweg.errors import ProblemError

from .cases import SEEDS, draw


@settings(max_examples=30, deadline=None)
@given(seed=SEEDS)
def test_entropy_h_p_and_h_p_q(seed: int) -> None:
    a, b = draw(seed, 5, 7), draw(seed + 1, 5, 7)
    p, q = a.softmax(-1), b.softmax(-1)
    torch.testing.assert_close(losses.entropy(p), Categorical(p).entropy())
    torch.testing.assert_close(losses.entropy(a, logits=True), losses.entropy(p))
    torch.testing.assert_close(losses.cross_entropy_of(p, q), torch.nn.functional.cross_entropy(b, p, reduction="none"))
    torch.testing.assert_close(losses.cross_entropy_of(a, b, logits=True), losses.cross_entropy_of(p, q))
    torch.testing.assert_close(losses.cross_entropy_of(p.T, q.T, dim=0), losses.cross_entropy_of(p, q))
    torch.testing.assert_close(losses.entropy(a.T, logits=True, dim=0), losses.entropy(p))


@settings(max_examples=30, deadline=None)
@given(seed=SEEDS)
def test_kullback_leibler_is_cross_entropy_less_entropy(seed: int) -> None:
    p, q = draw(seed, 5, 7).softmax(-1), draw(seed + 1, 5, 7).softmax(-1)
    difference = losses.cross_entropy_of(p, q) - losses.entropy(p)
    torch.testing.assert_close(difference, losses.KLDiv(outputs="probabilities").per_sample(q, p))
    torch.testing.assert_close(difference, kl_divergence(Categorical(p), Categorical(q)))


def test_zero_times_the_logarithm_of_zero_is_zero() -> None:
    sure = torch.tensor([0.0, 1.0, 0.0])
    assert losses.entropy(sure) == 0
    assert losses.cross_entropy_of(sure, sure) == 0
    assert losses.cross_entropy_of(torch.tensor([0.5, 0.5, 0.0]), sure) == math.inf
    assert losses.entropy(torch.full((8,), 1 / 8)).item() == pytest.approx(math.log(8))
    scores = torch.tensor([0.0, -math.inf, 0.0], requires_grad=True)
    value = losses.entropy(scores, logits=True)
    assert value.item() == pytest.approx(math.log(2))
    assert torch.autograd.grad(value, scores)[0].isfinite().all()
    other = torch.tensor([0.0, 0.0, -math.inf])
    assert losses.cross_entropy_of(scores, other, logits=True) == math.inf
    assert losses.entropy(torch.tensor([1e4, -1e4, 0.0]), logits=True) == 0


def test_two_shapes_are_refused() -> None:
    with pytest.raises(ProblemError, match=r"of shapes \(3,\) and \(2, 3\); give two of one shape"):
        losses.cross_entropy_of(torch.ones(3), torch.ones(2, 3))


@pytest.mark.parametrize("wrong", [[0.5, 0.5], np.array([0.5, 0.5]), 0.5, [[0.5], [0.5]]], ids=str)
def test_what_is_no_tensor_is_refused(wrong: Any) -> None:
    said = r"takes tensors, not (list|ndarray|float); give torch\.tensor\(…\)\."
    for call in (
        lambda: losses.entropy(wrong),
        lambda: losses.cross_entropy_of(torch.tensor([0.5, 0.5]), wrong),
        lambda: losses.get("mse")(torch.zeros(2), wrong),
        lambda: losses.get("mse")(wrong, torch.zeros(2)),
    ):
        with pytest.raises(ProblemError, match=said):
            call()
