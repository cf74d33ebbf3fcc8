"""Rules that look beyond one weight go where their papers and torch.optim go, on tensors of every shape."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.tensor_papers import PAPERS, soap
from thalweg import formulas
from thalweg.kernels import torch_ref

STEPS = 50
Ends = tuple[list[np.ndarray], list[list[np.ndarray]]]
SHAPES = [(7, 3), (3, 8), (5, 5), (6,), (), (4, 2, 3, 3), (1, 4), (6, 1)]


def model(seed: int) -> tuple[list[np.ndarray], list[list[np.ndarray]]]:
    """Tensors of every shape, and their gradients, which differ in size and go from step to step."""
    random = np.random.default_rng(seed)
    scales = [10 ** random.uniform(-2, 1, shape) for shape in SHAPES]
    weights = [random.normal(size=shape) for shape in SHAPES]
    return weights, [[random.normal(size=s.shape) * s for s in scales] for _ in range(STEPS)]


def ours(text: str, weights: list[np.ndarray], gradients: list[list[np.ndarray]]) -> Ends:
    """The weights after these steps, and the states of each."""
    formula = formulas.get(text)
    here = [torch.tensor(w, dtype=torch.float64) for w in weights]
    states = [torch_ref.initial_states(formula, w, {}) for w in here]
    for t, step in enumerate(gradients, start=1):
        torch_ref.update_model(formula, here, [torch.tensor(g, dtype=torch.float64) for g in step], states, t)
    return [w.numpy() for w in here], [[state.numpy() for state in own] for own in states]


def first_bases(text: str, weights: list[np.ndarray], gradients: list[list[np.ndarray]]) -> list[list[np.ndarray]]:
    """SOAP's, of the rows and the columns of each tensor, after the first step; of a vector none."""
    names = [formulas.get(text).of_shape(w.shape).states for w in weights]
    return [
        [own[at.index(name)] for name in ("row_basis", "column_basis") if name in at]
        for at, own in zip(names, ours(text, weights, gradients[:1])[1], strict=True)
    ]


@pytest.mark.parametrize("text", PAPERS)
def test_float64_goes_where_the_paper_goes(text: str) -> None:
    weights, gradients = model(seed=1)
    # Correlations that have not full rank leave open which eigenvectors SOAP begins with: there both begin with ours.
    begun = [first_bases(text, weights, gradients)] if PAPERS[text] is soap else []
    expected = PAPERS[text]([w.copy() for w in weights], gradients, *begun)
    for shape, w, end, truth in zip(SHAPES, weights, ours(text, weights, gradients)[0], expected, strict=True):
        assert np.linalg.norm(end - truth) <= 1e-10 * np.linalg.norm(truth), shape
        assert np.linalg.norm(end - w) > 1e-3 * np.linalg.norm(w), shape


def test_soap_begins_with_the_eigenvectors_of_the_first_gradient_and_stays() -> None:
    weights, gradients = model(seed=1)
    assert all(map(np.array_equal, ours("soap", weights, gradients[:1])[0], weights))
    for g, bases in zip(gradients[0], first_bases("soap", weights, gradients), strict=True):
        x = g.reshape(len(g), -1) if g.ndim > 1 else g
        assert len(bases) == (2 if g.ndim > 1 else 0)
        for basis, outer in zip(bases, (x @ x.T, x.T @ x) if bases else (), strict=True):
            values = basis.T @ outer @ basis  # the largest first
            np.testing.assert_allclose(basis.T @ basis, np.eye(len(basis)), atol=1e-12)
            np.testing.assert_allclose(values, np.diag(np.linalg.eigvalsh(outer)[::-1]), atol=1e-12 * outer.trace())
