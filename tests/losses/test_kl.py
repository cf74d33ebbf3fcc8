"""Kullback–Leibler divergence: torch's in both directions, and zeros that cost nothing."""

from __future__ import annotations

import functools
import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import Categorical, kl_divergence

from thalweg import losses
from thalweg.errors import ProblemError

from .cases import CLASSES, DTYPES, SEEDS, chances, draw, same

Q = {"logits": lambda x: x.softmax(1), "log_probabilities": torch.exp, "probabilities": lambda x: x}


def outputs_for(form: str, seed: int, *shape: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    x = draw(seed, *shape, dtype=dtype)
    return {"logits": x, "log_probabilities": x.log_softmax(1), "probabilities": x.softmax(1)}[form]


@settings(max_examples=60, deadline=None)
@given(
    seed=SEEDS,
    dtype=DTYPES,
    reduction=st.sampled_from(["batchmean", "sum", "none"]),
    form=st.sampled_from(sorted(Q)),
    log_target=st.booleans(),
    positions=st.sampled_from([(), (3,)]),
)
def test_kullback_leibler_forward(
    seed: int, dtype: torch.dtype, reduction: str, form: str, log_target: bool, positions: tuple[int, ...]
) -> None:
    x = outputs_for(form, seed, 5, CLASSES, *positions, dtype=dtype)
    p = chances(seed + 1, 5, CLASSES, *positions, dtype=dtype)
    p = p.log() if log_target else p

    def plain(x: torch.Tensor, p: torch.Tensor) -> torch.Tensor:
        return F.kl_div(Q[form](x).log(), p, reduction=reduction, log_target=log_target)

    loss = losses.KLDiv(outputs=form, log_target=log_target, reduction=reduction)
    same(loss, plain, x, p, exact=False)


@settings(max_examples=30, deadline=None)
@given(seed=SEEDS, reduction=st.sampled_from(["batchmean", "sum", "none"]), form=st.sampled_from(sorted(Q)))
def test_kullback_leibler_reverse(seed: int, reduction: str, form: str) -> None:
    x, p = outputs_for(form, seed, 5, CLASSES), chances(seed + 1, 5, CLASSES)

    def plain(x: torch.Tensor, p: torch.Tensor) -> torch.Tensor:
        return F.kl_div(p.log(), Q[form](x), reduction=reduction)

    same(losses.KLDiv(reverse=True, outputs=form, reduction=reduction), plain, x, p, exact=False)


def test_kullback_leibler_is_asymmetric_and_that_of_torch_distributions() -> None:
    q, p = chances(0, 6, CLASSES), chances(1, 6, CLASSES)
    one, other = (losses.KLDiv(outputs="probabilities", reverse=r).per_sample(q, p) for r in (False, True))
    torch.testing.assert_close(one, kl_divergence(Categorical(p), Categorical(q)))
    torch.testing.assert_close(other, kl_divergence(Categorical(q), Categorical(p)))
    assert not torch.allclose(one, other)
    assert (one > 0).all()
    assert losses.KLDiv(outputs="probabilities")(p, p).abs() < 1e-12


def test_mean_divides_by_the_classes_too_as_in_torch() -> None:
    q, p = chances(0, 6, CLASSES), chances(1, 6, CLASSES)
    mean, batchmean = (losses.KLDiv(outputs="probabilities", reduction=r)(q, p) for r in ("mean", "batchmean"))
    torch.testing.assert_close(mean * CLASSES, batchmean)
    with pytest.warns(UserWarning, match="batchmean"):
        torch.testing.assert_close(mean, F.kl_div(q.log(), p, reduction="mean"))


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("form", sorted(Q))
def test_zero_probabilities_cost_nothing_where_both_are_zero_and_all_where_one_is(form: str, reverse: bool) -> None:
    q, p = torch.tensor([[0.5, 0.5, 0.0]]), torch.tensor([[0.25, 0.75, 0.0]])
    loss = losses.KLDiv(outputs=form, reverse=reverse)
    x = (q if form == "probabilities" else q.log()).requires_grad_()
    value = loss(x, p)
    P, R = ((0.5, 0.5), (0.25, 0.75)) if reverse else ((0.25, 0.75), (0.5, 0.5))
    assert value.item() == pytest.approx(sum(a * math.log(a / b) for a, b in zip(P, R, strict=True)), rel=1e-6)
    value.backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()
    everywhere = torch.full((1, 3), 1 / 3)
    nothing = loss(x.detach(), everywhere)  # q = 0 where p is not
    assert (nothing.isfinite() if reverse else nothing.isposinf()).item()
    everything = loss(everywhere if form == "probabilities" else everywhere.log(), p)  # p = 0 where q is not
    assert (everything.isposinf() if reverse else everything.isfinite()).item()


def test_logits_of_ten_thousand() -> None:
    x = torch.tensor([[1e4, -1e4, 0.0]]).requires_grad_()
    for reverse in (False, True):
        value = losses.KLDiv(outputs="logits", reverse=reverse)(x, torch.tensor([[1.0, 0.0, 0.0]]))
        assert value == 0
        assert torch.autograd.grad(value, x)[0].isfinite().all()


def test_weights_of_one_and_weights_that_leave_out() -> None:
    q, p = chances(0, 6, CLASSES, 2), chances(1, 6, CLASSES, 2)
    loss = losses.KLDiv(outputs="probabilities")
    same(functools.partial(loss, weights=torch.ones(6)), loss, q, p, exact=False)
    torch.testing.assert_close(loss(q, p, torch.tensor([1.0, 1, 1, 0, 0, 0])), loss(q[:3], p[:3]))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"outputs": "log"}, r"kl_div: outputs is 'log'; give 'log_probabilities' or "),
        ({"reverse": 1}, r"kl_div: reverse is 1; give True or False"),
        ({"reduction": "avg"}, r"reduction is 'avg'; give 'batchmean' or"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ProblemError, match=words):
        losses.KLDiv(**options)


def test_targets_that_are_no_probabilities() -> None:
    loss = losses.KLDiv()
    with pytest.raises(ProblemError, match=r"kl_div needs probabilities that sum to 1 along axis 1, and the train ta"):
        loss.check(draw(0, 3, 4), torch.full((3, 4), 0.5), "train")
    with pytest.raises(ProblemError, match=r"compares numbers, and the targets are int64"):
        loss.check(draw(0, 3, 4), torch.ones(3, 4).long())
    with pytest.raises(ProblemError, match=r"needs outputs and targets of one shape"):
        loss(draw(0, 3, 4), torch.ones(3, 1))
    with pytest.raises(ProblemError, match=r"needs scores of shape"):
        loss(draw(0, 4), torch.ones(4))
    loss.check(draw(0, 3, 4), chances(0, 3, 4))
    losses.KLDiv(log_target=True).check(draw(0, 3, 4), chances(0, 3, 4).log())
