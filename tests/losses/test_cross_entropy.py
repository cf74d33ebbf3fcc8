"""Cross-entropy with softmax inside: torch's under every option, at the edges too."""

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

from .cases import CLASSES, DTYPES, REDUCTIONS, SEEDS, chances, draw, ids, same

WEIGHT = (0.5, 1.0, 2.0, 0.0)
OPTIONS = {
    "weight": st.sampled_from([None, WEIGHT]),
    "smoothing": st.sampled_from([0.0, 0.1, 1.0]),
    "positions": st.sampled_from([(), (3,), (2, 2)]),
}


def pair(weight: Any, dtype: torch.dtype, **options: Any) -> tuple[losses.CrossEntropy, Any]:
    given_weight = None if weight is None else torch.tensor(weight, dtype=dtype)
    return losses.CrossEntropy(weight, **options), functools.partial(F.cross_entropy, weight=given_weight, **options)


@settings(max_examples=60, deadline=None)
@given(seed=SEEDS, dtype=DTYPES, reduction=REDUCTIONS, ignore=st.sampled_from([-100, 0, 2]), **OPTIONS)
def test_cross_entropy_class_weights_ignore_index_label_smoothing(
    seed: int,
    dtype: torch.dtype,
    reduction: str,
    ignore: int,
    weight: Any,
    smoothing: float,
    positions: tuple[int, ...],
) -> None:
    x, y = draw(seed, 5, CLASSES, *positions, dtype=dtype), ids(seed, 5, *positions)
    y = y.masked_fill(ids(seed + 1, 5, *positions) == 0, ignore)
    options = {"reduction": reduction, "ignore_index": ignore, "label_smoothing": smoothing}
    same(*pair(weight, dtype, **options), x, y)


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS, dtype=DTYPES, reduction=REDUCTIONS, **OPTIONS)
def test_cross_entropy_of_probabilities(
    seed: int, dtype: torch.dtype, reduction: str, weight: Any, smoothing: float, positions: tuple[int, ...]
) -> None:
    x, p = (f(seed, 5, CLASSES, *positions, dtype=dtype) for f in (draw, chances))
    same(*pair(weight, dtype, reduction=reduction, label_smoothing=smoothing), x, p)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_logits_of_ten_thousand(dtype: torch.dtype, smoothing: float) -> None:
    x = torch.tensor([[1e4, -1e4, 0, 0], [-1e4, 1e4, 0, 1e4], [0, 0, 0, -1e4]], dtype=dtype)
    for y in (torch.tensor([0, 0, 3]), torch.tensor([1, 3, 0])):
        same(*pair(None, dtype, label_smoothing=smoothing), x, y)
    assert losses.CrossEntropy()(x[:1], torch.tensor([1])) == 2e4


def test_a_batch_that_is_all_ignored_is_nan_as_in_torch_and_pulls_at_nothing() -> None:
    x, y = draw(0, 3, CLASSES), torch.full((3,), -100)
    same(losses.CrossEntropy(), F.cross_entropy, x, y)
    assert losses.CrossEntropy()(x, y).isnan()
    assert losses.CrossEntropy(reduction="sum")(x, y) == 0


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS, weight=OPTIONS["weight"], smoothing=OPTIONS["smoothing"], positions=OPTIONS["positions"])
def test_sample_weights_of_one_are_torchs_weighted_mean(
    seed: int, weight: Any, smoothing: float, positions: tuple[int, ...]
) -> None:
    x, y = draw(seed, 7, CLASSES, *positions), ids(seed, 7, *positions)
    y = y.masked_fill(ids(seed + 1, 7, *positions) == 0, -100)
    loss, plain = pair(weight, torch.float64, label_smoothing=smoothing)
    ones = torch.ones(7, dtype=torch.float64)
    same(functools.partial(loss, weights=ones), plain, x, y, exact=False)
    doubled = torch.tensor([2.0, 1, 1, 0, 1, 1, 1], dtype=torch.float64)  # a bootstrap that drew these rows
    rows = torch.tensor([0, 0, 1, 2, 4, 5, 6])
    torch.testing.assert_close(loss(x, y, doubled), plain(x[rows], y[rows]), equal_nan=True)


def test_per_sample_is_torchs_none_averaged_over_positions() -> None:
    x, y = draw(0, 5, CLASSES, 3), ids(0, 5, 3)
    loss, plain = pair(WEIGHT, torch.float64, reduction="mean")
    plain = functools.partial(plain, reduction="none")
    assert torch.equal(loss.per_sample(x, y), plain(x, y).mean(1))
    assert torch.equal(loss.per_sample(x[..., 0], y[:, 0]), plain(x[..., 0], y[:, 0]))


@pytest.mark.parametrize("smoothing", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("soft", [False, True])
def test_label_smoothing_and_weights_may_be_tensors(smoothing: float, soft: bool) -> None:
    x, y = draw(0, 5, CLASSES), chances(1, 5, CLASSES) if soft else ids(0, 5)
    loss = losses.CrossEntropy(torch.tensor(WEIGHT), label_smoothing=torch.tensor(smoothing, dtype=torch.float64))
    same(loss, pair(WEIGHT, torch.float64, label_smoothing=smoothing)[1], x, y, exact=False)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"label_smoothing": 1.1}, r"label_smoothing is 1\.1; give a number from 0 to 1"),
        ({"label_smoothing": -0.1}, r"label_smoothing is -0\.1"),
        ({"label_smoothing": float("nan")}, r"label_smoothing is nan"),
        ({"label_smoothing": "a"}, r"label_smoothing is 'a'"),
        ({"weight": (1, -1)}, r"the class weights are \(1, -1\); give one number of at least 0 per class"),
        ({"weight": "ab"}, r"the class weights are 'ab'"),
        ({"weight": ()}, r"the class weights are \(\)"),
        ({"weight": torch.ones(2, 2)}, r"the class weights are tensor"),
        ({"weight": [float("nan")]}, r"the class weights are \[nan\]"),
        ({"ignore_index": 0.5}, r"ignore_index is 0\.5; give a whole number"),
        ({"reduction": "avg"}, r"reduction is 'avg'; give 'mean' or 'sum' or 'none'"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ProblemError, match=words):
        losses.CrossEntropy(**options)


@pytest.mark.parametrize(
    ("outputs", "targets", "words"),
    [
        (torch.zeros(3, 4), torch.tensor([0, 1, 4]), r"targets run from 0 to 4, .*allows classes 0 to 3"),
        (torch.zeros(3, 4), torch.tensor([0, 1, -1]), r"targets run from -1 to 1"),
        (torch.zeros(3, 4), torch.zeros(3), r"needs integer class ids or probabilities of shape \(samples, 4\)"),
        (torch.zeros(3, 4), torch.zeros(3, 1).long(), r"class ids of shape \(samples,\), and the targets are \(s.*1\)"),
        (torch.zeros(3, 4, 2), torch.zeros(3).long(), r"class ids of shape \(samples, 2\)"),
        (torch.zeros(4), torch.zeros(4).long(), r"needs scores of shape \(samples, classes, \.\.\.\)"),
        (torch.zeros(3, 4), torch.zeros(2).long(), r"there are 3 outputs, and for targets 2"),
        (torch.zeros(3, 5), torch.zeros(3).long(), r"has 4 class weights, and the outputs are scores for 5 classes"),
    ],
)
def test_targets_that_do_not_fit(outputs: torch.Tensor, targets: torch.Tensor, words: str) -> None:
    with pytest.raises(ProblemError, match=words) as caught:
        losses.CrossEntropy((1, 1, 1, 1))(outputs, targets)
    assert "\n" not in str(caught.value)


def test_sample_weights_that_do_not_fit() -> None:
    for weights, words in ((torch.ones(2), "sample weights 2"), (torch.ones(3, 1), r"of shape \(3, 1\)")):
        with pytest.raises(ProblemError, match=words):
            losses.CrossEntropy()(torch.zeros(3, 4), ids(0, 3), weights)
