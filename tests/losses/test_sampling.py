"""The square of the gradient on sampled targets has the diagonal of the Gauss–Newton matrix for its mean."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from thalweg import losses
from thalweg.samples import Weighted

DRAWS = 40_000
IDS = torch.tensor([0, 2, -100, 1])
WEIGHTS = torch.tensor([1.0, 2.0, 0.5, 3.0], dtype=torch.float64)


def scores(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


CASES: dict[str, tuple[str, Tensor, Any]] = {
    "classes": ("cross_entropy", scores(4, 3), IDS.clamp(min=0)),
    "smoothed": ("cross_entropy(label_smoothing=0.2)", scores(4, 3), IDS.clamp(min=0)),
    "ignored": ("cross_entropy", scores(4, 3), IDS),
    "weighted": ("cross_entropy", scores(4, 3), Weighted(IDS, WEIGHTS)),
    "probabilities": ("cross_entropy", scores(4, 3), scores(4, 3).softmax(1)),
    "language": ("cross_entropy", scores(2, 2, 3), IDS.reshape(2, 2)),
    "pixels": ("cross_entropy", scores(2, 3, 2), IDS.reshape(2, 2)),
    "answers": ("bce", scores(4, 2), (scores(4, 2) > 0).double()),
    "weighted answers": ("bce", scores(4, 2), Weighted((scores(4, 2) > 0).double(), WEIGHTS)),
    "numbers": ("mse", scores(4, 2), scores(4, 2)),
    "weighted numbers": ("mse", scores(4, 2), Weighted(scores(4, 2), WEIGHTS)),
}


@pytest.mark.parametrize("case", CASES)
def test_it_estimates_the_curvature_of_the_loss(case: str) -> None:
    label, outputs, targets = CASES[case]
    loss = losses.get(label)
    hessian = torch.func.jacrev(torch.func.jacrev(lambda x: loss(x, targets)))(outputs)
    exact = hessian.reshape(outputs.numel(), -1).diagonal()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        squares = torch.zeros_like(exact)
        gradient = torch.func.grad(lambda x: loss.sampled(x, targets))
        together = torch.func.vmap(lambda _: gradient(outputs), randomness="different")
        for _ in range(4):
            squares += together(torch.zeros(DRAWS // 4)).flatten(1).square().sum(0)
    estimated = squares / DRAWS
    torch.testing.assert_close(estimated, exact, rtol=0.06, atol=1e-3 * float(exact.max()))
