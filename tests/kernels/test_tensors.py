"""Rules that look beyond one weight go where their papers and torch.optim go, on tensors of every shape."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.tensor_papers import OPEN, PAPERS
from thalweg import formulas
from thalweg.kernels import torch_ref

STEPS = 50
SHAPES = [(7, 3), (3, 8), (5, 5), (6,), (), (4, 2, 3, 3), (1, 4), (6, 1)]


def model(seed: int) -> tuple[list[np.ndarray], list[list[np.ndarray]]]:
    """Tensors of every shape, and their gradients, which differ in size and go from step to step."""
    random = np.random.default_rng(seed)
    scales = [10 ** random.uniform(-2, 1, shape) for shape in SHAPES]
    weights = [random.normal(size=shape) for shape in SHAPES]
    return weights, [[random.normal(size=s.shape) * s for s in scales] for _ in range(STEPS)]


def ours(text: str, weights: list[np.ndarray], gradients: list[list[np.ndarray]]) -> list[np.ndarray]:
    formula = formulas.get(text)
    here = [torch.tensor(w, dtype=torch.float64) for w in weights]
    states = [torch_ref.initial_states(formula, w, {}) for w in here]
    for t, step in enumerate(gradients, start=1):
        torch_ref.update_model(formula, here, [torch.tensor(g, dtype=torch.float64) for g in step], states, t)
    return [w.numpy() for w in here]


@pytest.mark.parametrize("text", PAPERS)
def test_float64_goes_where_the_paper_goes(text: str) -> None:
    weights, gradients = model(seed=1)
    expected = PAPERS[text]([w.copy() for w in weights], gradients)
    for shape, w, end, truth in zip(SHAPES, weights, ours(text, weights, gradients), expected, strict=True):
        allowed = 0.2 if shape in OPEN.get(text, ()) else 1e-10
        assert np.linalg.norm(end - truth) <= allowed * np.linalg.norm(truth), shape
        assert np.linalg.norm(end - w) > 1e-3 * np.linalg.norm(w), shape
