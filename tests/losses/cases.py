"""Batches for every loss, and the comparison with torch that all tests of this folder share."""

from __future__ import annotations

from collections.abc import Callable

import torch
from hypothesis import strategies as st
from torch import Tensor

CLASSES = 4
SEEDS = st.integers(0, 10_000)
DTYPES = st.sampled_from([torch.float32, torch.float64])
REDUCTIONS = st.sampled_from(["mean", "sum", "none"])


def draw(seed: int, *shape: int, dtype: torch.dtype = torch.float64, scale: float = 3.0) -> Tensor:
    return (torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * scale).to(dtype)


def ids(seed: int, *shape: int, high: int = CLASSES) -> Tensor:
    return torch.randint(high, shape, generator=torch.Generator().manual_seed(seed))


def chances(seed: int, *shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return draw(seed, *shape, dtype=torch.float64).softmax(1).to(dtype)


def batch(label: str, seed: int = 0, count: int = 6) -> tuple[Tensor, Tensor]:
    """Outputs and targets that suit the loss or metric of that label."""
    name = label.partition("(")[0]
    if "axis=" in label:  # the classes on the last axis
        outputs = draw(seed, count, 3, CLASSES)
        return (outputs.log_softmax(2) if name == "nll" else outputs), ids(seed, count, 3)
    if name == "nll":
        return draw(seed, count, CLASSES).log_softmax(1), ids(seed, count)
    if name == "bce":
        return draw(seed, count, CLASSES), ids(seed, count, CLASSES, high=2).double()
    if name in ("cross_entropy", "accuracy", "top_k", "perplexity", "f1", "auc"):
        return draw(seed, count, CLASSES), ids(seed, count)
    if name == "kl_div":
        outputs = draw(seed, count, CLASSES)
        return (outputs if "logits" in label else outputs.log_softmax(1)), chances(seed + 1, count, CLASSES)
    if name == "triplet_margin":
        return draw(seed, count, 3, CLASSES), torch.zeros(count)
    if "Poisson" in label:
        return draw(seed, count, CLASSES, scale=1.0), ids(seed, count, CLASSES, high=9).double()
    if "('loc', 'scale')" in label:
        return draw(seed, count, 2, CLASSES), draw(seed + 1, count, CLASSES)
    return draw(seed, count, CLASSES), draw(seed + 1, count, CLASSES)


def with_gradient(loss: Callable[..., Tensor], outputs: Tensor, *others: object) -> tuple[Tensor, Tensor]:
    """The value, and the gradient of its weighted sum by the outputs."""
    x = outputs.detach().clone().requires_grad_()
    value = loss(x, *others)
    factors = torch.arange(1.0, value.numel() + 1, dtype=value.dtype).reshape(value.shape)
    return value.detach(), torch.autograd.grad((value * factors).sum(), x)[0]


def same(
    ours: Callable[..., Tensor], torchs: Callable[..., Tensor], outputs: Tensor, *others: object, exact: bool = True
) -> None:
    """Value and gradient of both are equal: bit for bit, or to rounding."""
    tolerance = {"rtol": 0.0, "atol": 0.0} if exact else {}
    for mine, theirs in zip(
        with_gradient(ours, outputs, *others), with_gradient(torchs, outputs, *others), strict=True
    ):
        torch.testing.assert_close(mine, theirs, equal_nan=True, **tolerance)
