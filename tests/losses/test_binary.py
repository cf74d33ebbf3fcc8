"""bce and nll are torch's, in value and gradient, for every option; and names are found however they are written."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from torch import Tensor

from thalweg import losses
from thalweg.errors import ProblemError

from .cases import CLASSES, DTYPES, REDUCTIONS, SEEDS, draw, ids, same


@settings(max_examples=15, deadline=None)
@given(seed=SEEDS, dtype=DTYPES, reduction=REDUCTIONS)
@pytest.mark.parametrize("weight", [None, 3.0, (0.5, 1.0, 0.0, 7.0)])
@pytest.mark.parametrize("integers", [False, True])
def test_bce(weight: Any, integers: bool, seed: int, dtype: torch.dtype, reduction: str) -> None:
    x, y = draw(seed, 5, CLASSES, dtype=dtype), ids(seed, 5, CLASSES, high=2)
    loss = losses.BCE(weight, reduction=reduction)
    positive = None if weight is None else torch.tensor(weight, dtype=dtype)

    def torchs(x: Tensor, y: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(x, y.to(dtype), pos_weight=positive, reduction=reduction)

    same(loss, torchs, x, y if integers else y.to(dtype))


def test_bce_of_chances() -> None:
    x, y = draw(0, 5, CLASSES), draw(1, 5, CLASSES).sigmoid()
    same(losses.BCE(), F.binary_cross_entropy_with_logits, x, y)


@settings(max_examples=15, deadline=None)
@given(seed=SEEDS, dtype=DTYPES, reduction=REDUCTIONS)
@pytest.mark.parametrize("positions", [(), (3,), (2, 3)])
def test_nll(positions: tuple[int, ...], seed: int, dtype: torch.dtype, reduction: str) -> None:
    x, y = draw(seed, 5, CLASSES, *positions, dtype=dtype).log_softmax(1), ids(seed, 5, *positions)
    y[y == 3] = -100
    y.flatten()[0] = 0
    weight = torch.tensor([1.0, 2.0, 0.5, 0.0], dtype=dtype)
    loss = losses.NLL((1, 2, 0.5, 0), reduction=reduction)
    same(loss, lambda x, y: F.nll_loss(x, y, weight, reduction=reduction), x, y)
    last = losses.NLL((1, 2, 0.5, 0), axis=-1, reduction=reduction)
    same(lambda x, y: last(x.movedim(1, -1), y), loss, x, y, exact=False)


@pytest.mark.parametrize(
    ("given_name", "name"),
    [
        ("CrossEntropyLoss", "cross_entropy"),
        ("crossentropy", "cross_entropy"),
        ("Cross-Entropy", "cross_entropy"),
        ("BCEWithLogitsLoss", "bce"),
        ("binary_cross_entropy_with_logits", "bce"),
        ("NLLLoss", "nll"),
        ("MSELoss", "mse"),
        ("mse_loss", "mse"),
        ("L1Loss", "l1"),
        ("HuberLoss(delta=0.5)", "huber(delta=0.5)"),
        ("TripletMarginLoss", "triplet_margin"),
        ("KLDivLoss", "kl_div"),
    ],
)
def test_names_of_torch_whatever_the_case_and_the_separators(given_name: str, name: str) -> None:
    assert losses.get(given_name) == losses.get(name)
    assert losses.name_of(given_name) == name


def test_every_alias_is_a_name() -> None:
    from thalweg.aliases import ALIASES

    for alias, name in ALIASES["loss"].items():
        assert losses.get(alias).label == losses.get(name).label
    for alias, name in ALIASES["metric"].items():
        assert losses.name_of(alias) == ("mae" if name == "l1" and "l1" not in alias else name)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("BCELoss", "BCELoss is of probabilities, and bce of scores"),
        ("binary_cross_entropy", "is of probabilities"),
        ("bce(pos_weight='a')", "bce: pos_weight is 'a'; give a number of at least 0"),
        ("bce(pos_weight=())", r"bce: pos_weight is \(\); give"),
        ("bcee", "did you mean bce"),
    ],
)
def test_what_bce_is_not(text: str, words: str) -> None:
    with pytest.raises(ProblemError, match=words):
        losses.get(text)


def test_shapes_and_values_that_do_not_fit() -> None:
    scores = draw(0, 5, 1)
    with pytest.raises(ProblemError, match=r"reshape the targets to \(samples, 1\)"):
        losses.BCE()(scores, torch.ones(5))
    with pytest.raises(ProblemError, match=r"bce needs targets from 0 to 1, and the test targets run from -1 to 1"):
        losses.BCE().check(scores, torch.tensor([-1.0, 1, 1, 1, 1]).unsqueeze(1), "test")
    with pytest.raises(ProblemError, match=r"cross_entropy: axis is 3, and the outputs are \(samples, 4, 3\)"):
        losses.CrossEntropy(axis=3)(draw(0, 5, 4, 3), ids(0, 5, 3))
