"""linear_cross_entropy against linear, then cross_entropy: same numbers, same gradients, a small part of the memory."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from thalweg.errors import ProblemError
from thalweg.losses import linear, linear_cross_entropy

from .cases import SEEDS, draw, ids

WEIGHTS = torch.tensor([0.5, 1.0, 2.0, 0.0, 1.0, 3.0, 1.0], dtype=torch.float64)


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three tokens at a time, so that every test has whole chunks and a rest."""
    monkeypatch.setattr(linear, "CHUNK", 0)
    monkeypatch.setattr(linear, "FEWEST", 3)


def plain(
    hidden: Tensor,
    weight: Tensor,
    targets: Tensor,
    bias: Tensor | None = None,
    class_weight: Any = None,
    **options: Any,
) -> Tensor:
    return F.cross_entropy(F.linear(hidden, weight, bias).flatten(0, -2), targets.flatten(), class_weight, **options)


def inputs(seed: int = 0, dtype: torch.dtype = torch.float64, *, bias: bool = True) -> list[Tensor]:
    """Hidden (8, 5), weight (7, 5) and bias (7,), all asking for gradients."""
    found = [draw(seed, 8, 5, dtype=dtype, scale=1), draw(seed + 1, 7, 5, dtype=dtype), draw(seed + 2, 7, dtype=dtype)]
    return [x.requires_grad_() for x in found[: 2 + bias]]


def gradients(loss: Any, given: list[Tensor], targets: Tensor, factor: Any = 1.0, **options: Any) -> list[Tensor]:
    """The value, then the gradients of factor · value by everything that asks for one."""
    value = loss(given[0], given[1], targets, *given[2:], **options)
    return [value, *torch.autograd.grad((value * factor).sum(), [x for x in given if x.requires_grad])]


@settings(max_examples=60, deadline=None)
@given(
    seed=SEEDS,
    reduction=st.sampled_from(["mean", "sum", "none"]),
    smoothing=st.sampled_from([0.0, 0.1, 1.0]),
    weighted=st.booleans(),
    ignore=st.sampled_from([-100, 2]),
    bias=st.booleans(),
    factor=st.floats(-3, 3),
)
def test_value_and_gradients_are_those_of_the_plain_way(
    seed: int, reduction: str, smoothing: float, weighted: bool, ignore: int, bias: bool, factor: float
) -> None:
    targets = ids(seed, 8, high=7).masked_fill(ids(seed + 1, 8) == 0, ignore)
    options: dict[str, Any] = {"reduction": reduction, "label_smoothing": smoothing, "ignore_index": ignore}
    options["class_weight"] = WEIGHTS if weighted else None
    scales = factor * torch.arange(1.0, 9) if reduction == "none" else factor
    mine = gradients(linear_cross_entropy, inputs(seed, bias=bias), targets, scales, **options)
    theirs = gradients(plain, inputs(seed, bias=bias), targets, scales, **options)
    for a, b in zip(mine, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-11, equal_nan=True)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
def test_targets_of_no_weight_are_as_in_the_plain_way(smoothing: float) -> None:
    options: dict[str, Any] = {"label_smoothing": smoothing, "class_weight": torch.eye(7, dtype=torch.float64)[3]}
    mine, theirs = (gradients(loss, inputs(), ids(0, 8, high=2), **options) for loss in (linear_cross_entropy, plain))
    for a, b in zip(mine, theirs, strict=True):
        torch.testing.assert_close(a, b, equal_nan=True)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_gradients_by_finite_differences(reduction: str, smoothing: float) -> None:
    targets = ids(0, 8, high=7).index_fill(0, torch.tensor([3]), -100)

    def loss(*given: Tensor) -> Tensor:
        options: dict[str, Any] = {"reduction": reduction, "label_smoothing": smoothing, "class_weight": WEIGHTS}
        return linear_cross_entropy(given[0], given[1], targets, given[2], **options)

    assert torch.autograd.gradcheck(loss, inputs())


@pytest.mark.parametrize(
    "wanted", [(True, False, False), (False, True, False), (False, False, True), (True, True, False)]
)
@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_only_what_asks_for_a_gradient_gets_one(wanted: tuple[int, ...], reduction: str) -> None:
    targets = ids(0, 8, high=7)
    given = [x.detach().requires_grad_(bool(w)) for x, w in zip(inputs(), wanted, strict=True)]
    mine = gradients(linear_cross_entropy, given, targets, reduction=reduction)
    theirs = gradients(plain, given, targets, reduction=reduction)
    assert len(mine) == 1 + sum(wanted)
    for a, b in zip(mine, theirs, strict=True):
        torch.testing.assert_close(a, b)


def test_without_gradients_none_are_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear, "_add", lambda *given: pytest.fail("a gradient nobody asked for"))
    targets = ids(0, 8, high=7)
    with torch.no_grad():
        value = linear_cross_entropy(*inputs()[:2], targets)
    assert not value.requires_grad
    torch.testing.assert_close(value, plain(*inputs()[:2], targets).detach())
    assert not linear_cross_entropy(*(x.detach() for x in inputs()[:2]), targets).requires_grad


def test_backward_twice_through_one_graph_adds_up() -> None:
    targets, (hidden, weight) = ids(0, 8, high=7), inputs(bias=False)
    loss = linear_cross_entropy(hidden, weight, targets)
    (3 * loss).backward(retain_graph=True)
    first = hidden.grad.clone()  # type: ignore[union-attr]
    (3 * loss).backward()
    torch.testing.assert_close(hidden.grad, 2 * first)
    torch.testing.assert_close(first, 3 * gradients(plain, inputs(bias=False), targets)[1])


def test_second_derivatives_are_refused_in_a_sentence() -> None:
    hidden, weight = inputs(bias=False)
    loss = linear_cross_entropy(hidden, weight, ids(0, 8, high=7))
    with pytest.raises(ProblemError, match=r"cannot be differentiated twice; for second derivatives use") as caught:
        torch.autograd.grad(loss, hidden, create_graph=True)
    assert "\n" not in str(caught.value)


def test_batches_of_sequences() -> None:
    targets = ids(0, 2, 4, high=7)
    given = inputs()
    given[0] = draw(0, 2, 4, 5).requires_grad_()
    for a, b in zip(gradients(linear_cross_entropy, given, targets), gradients(plain, given, targets), strict=True):
        torch.testing.assert_close(a, b)
    assert linear_cross_entropy(*given[:2], targets, reduction="none").shape == (2, 4)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_all_ignored_is_nan_as_in_torch_and_pulls_at_nothing(smoothing: float) -> None:
    targets = torch.full((8,), -100)
    value, *found = gradients(linear_cross_entropy, inputs(), targets, label_smoothing=smoothing)
    assert value.isnan()
    assert all((g == 0).all() for g in found)


def test_logits_of_ten_thousand() -> None:
    hidden, weight, _ = (x.detach().float() for x in inputs())
    given = [(hidden * 1e4).requires_grad_(), weight.requires_grad_()]
    targets = ids(0, 8, high=7)
    for a, b in zip(gradients(linear_cross_entropy, given, targets), gradients(plain, given, targets), strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_as_near_to_the_truth_as_rounding_once_per_chunk_allows(
    dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linear, "FEWEST", 8)  # 8 chunks
    hidden, weight = draw(0, 64, 32, dtype=dtype, scale=1), draw(1, 501, 32, dtype=dtype, scale=0.2)
    targets = ids(2, 64, high=501)
    given = [x.requires_grad_() for x in (hidden, weight)]
    truth = gradients(plain, [x.detach().double().requires_grad_() for x in given], targets)
    mine, theirs = gradients(linear_cross_entropy, given, targets), gradients(plain, given, targets)
    assert [x.dtype for x in mine] == [x.dtype for x in theirs] == [dtype] * 3
    off, usual = ([(x.double() - t).norm() / t.norm() for x, t in zip(y, truth, strict=True)] for y in (mine, theirs))
    assert off[0] <= torch.finfo(dtype).eps
    assert off[1] <= 1.1 * usual[1]
    assert off[2] <= 2 * usual[2]


def test_autocast_computes_in_bfloat16_and_gives_gradients_in_float32() -> None:
    targets, given = ids(0, 8, high=7), inputs(dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mine, theirs = (gradients(loss, given, targets) for loss in (linear_cross_entropy, plain))
    exact = gradients(plain, given, targets)
    for a, b, c in zip(mine, theirs, exact, strict=True):
        assert a.dtype == b.dtype == torch.float32
        torch.testing.assert_close(a, b, rtol=0.03, atol=0.01)
        assert not torch.equal(a, c), "computed in float32 after all"


def test_chunks_need_not_divide_the_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for fewest in (1, 5, 8, 100):
        monkeypatch.setattr(linear, "FEWEST", fewest)
        found.append(gradients(linear_cross_entropy, inputs(), ids(0, 8, high=7)))
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            torch.testing.assert_close(a, b)


def test_no_more_than_a_chunk_of_logits_exists_at_a_time() -> None:
    """Every tensor that an operation makes is looked at: none has more rows of classes than a chunk."""
    from torch.utils._python_dispatch import TorchDispatchMode

    seen: list[int] = []

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            made = function(*args, **(kwargs or {}))
            seen.extend(t.numel() for t in (made if isinstance(made, tuple) else (made,)) if isinstance(t, Tensor))
            return made

    hidden, weight = draw(0, 60, 5).requires_grad_(), draw(1, 211, 5).requires_grad_()
    with Watch():
        linear_cross_entropy(hidden, weight, ids(2, 60, high=211), label_smoothing=0.1).backward()
    assert max(seen) == weight.numel() > 3 * 211
    with Watch():
        plain(hidden, weight, ids(2, 60, high=211)).backward()
    assert max(seen) == 60 * 211


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"targets": torch.tensor([0] * 7 + [7])}, r"targets run from 0 to 7, .*allows classes 0 to 6"),
        ({"targets": torch.tensor([0] * 7 + [-1])}, r"targets run from -1 to 0"),
        ({"targets": torch.zeros(8)}, r"needs class ids, and the targets are float32; make them int64"),
        ({"targets": ids(0, 9)}, r"hidden \(8, 5\), weight \(7, 5\) and targets \(9,\); give hidden \(…, features\)"),
        ({"weight": torch.zeros(7, 4)}, r"weight \(7, 4\)"),
        ({"weight": torch.zeros(7, 5)}, r"hidden is float64 and weight and bias are of another type"),
        ({"bias": torch.zeros(6)}, r"the bias is of shape \(6,\) for 7 classes"),
        ({"class_weight": (1, 2)}, r"has 2 class weights for 7 classes; give one per class"),
        ({"class_weight": (-1,) * 7}, r"the class weights are \(-1, "),
        ({"label_smoothing": 1.5}, r"label_smoothing is 1\.5; give a number from 0 to 1"),
        ({"reduction": "max"}, r"reduction is 'max'; give 'mean' or 'sum' or 'none'"),
    ],
)
def test_what_does_not_fit(changes: dict[str, Any], words: str) -> None:
    hidden, weight = inputs(bias=False)
    with pytest.raises(ProblemError, match=words) as caught:
        linear_cross_entropy(**{"hidden": hidden, "weight": weight, "targets": ids(0, 8, high=7), **changes})
    assert "\n" not in str(caught.value)
