"""Maps of convergence: the boundaries of the books come out of the formulas, and the paths keep to them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import thalweg as tw
from thalweg.errors import FormulaError, SurfaceError
from thalweg.landscapes import convergence

BETAS = np.array([0.0, 0.3, 0.6, 0.9])


@pytest.mark.parametrize(
    ("rule", "limit"),
    [
        ("momentum", 2 * (1 + BETAS)),  # Polyak 1964
        ("momentum(rate_inside=True)", 2 * (1 + BETAS)),
        ("nesterov", 2 * (1 + BETAS) / (1 + 2 * BETAS)),
        ("nesterov(lookahead=True)", 2 * (1 + BETAS) / (1 + 2 * BETAS)),
        ("nesterov(change_of_variables=True)", 2 * (1 + BETAS) / (1 + 2 * BETAS)),
    ],
)
def test_the_boundary_comes_out_of_the_formula(rule: str, limit: np.ndarray) -> None:
    found = convergence("quadratic(condition=25, rotation=30)", rule, [0.01], values=BETAS, steps=5)
    assert found.boundary is not None
    np.testing.assert_allclose(found.boundary, limit / 25, rtol=1e-9)
    np.testing.assert_allclose(found.eigenvalues, [1, 25], rtol=1e-9)


def test_gradient_descent_converges_below_two_over_the_curvature() -> None:
    rates = np.array([0.05, 0.1, 0.199, 0.2, 0.201])
    found = convergence("quadratic(condition=10)", "sgd", rates, "weight_decay", [0.0], steps=2000)
    np.testing.assert_allclose(found.factors[0], [0.95, 0.9, 0.99, 1, 1.01], rtol=1e-3)
    assert found.converges[0].tolist() == [True, True, True, False, False]
    assert found.boundary is not None
    assert found.boundary[0] == pytest.approx(0.2)
    decayed = convergence("quadratic(condition=10)", "sgd", rates, "weight_decay", [0.0, 10.0], steps=50)
    assert decayed.boundary is not None
    np.testing.assert_allclose(decayed.boundary, [0.2, 0.1])  # the decay adds to the curvature


@pytest.mark.parametrize("rule", ["momentum", "nesterov", "nesterov(lookahead=True)"])
def test_paths_keep_to_the_theory(rule: str) -> None:
    found = convergence("quadratic(condition=10)", rule, np.linspace(0.01, 0.45, 23), values=np.linspace(0, 0.95, 20))
    assert found.theory is not None
    sure = np.abs(found.theory - 1) > 0.003
    assert (found.converges == (found.theory < 1))[sure].all()
    assert 0.1 < found.converges.mean() < 0.95
    between = (found.theory > 0.2) & (found.theory < 1.2)
    assert np.abs(found.factors - found.theory)[between].max() < 0.03
    boundary = found.boundary
    assert boundary is not None
    below = found.rates[None, :] < boundary[:, None] - 1e-3
    assert (found.theory[below] < 1).all()


def test_the_best_momentum_is_the_textbooks() -> None:
    """η = 4/(√λ₁ + √λ₂)², β = ((√κ − 1)/(√κ + 1))², with a factor of √β at each step (Polyak 1964)."""
    found = convergence(
        "quadratic(condition=16)", "momentum", np.linspace(0.1, 0.2, 51), values=np.linspace(0.2, 0.6, 41)
    )
    beta, rate = found.best
    assert (beta, rate) == pytest.approx((0.36, 0.16), abs=0.02)
    assert found.factors.min() == pytest.approx(0.6, abs=0.02)


def test_near_its_minimum_any_surface_is_a_bowl() -> None:
    for surface in ("himmelblau", "rosenbrock"):
        found = convergence(surface, "momentum", values=[0.0, 0.5, 0.9], steps=200)
        curvature = np.linalg.eigvalsh(found.surface.hessian(found.minimum.tolist())).max()
        assert found.boundary is not None
        np.testing.assert_allclose(found.boundary, 2 * (1 + found.values) / curvature, rtol=1e-9)
        assert found.theory is not None
        sure = np.abs(found.theory - 1) > 0.1
        assert (found.converges == (found.theory < 1))[sure].mean() > 0.95


def test_the_minimum_nearest_to_the_start() -> None:
    found = convergence("himmelblau", "momentum", [0.01], values=[0.5], start=[-2.7, 3.0], steps=20)
    np.testing.assert_allclose(found.minimum, [-2.805118, 3.131313], atol=1e-6)
    camel = tw.landscapes.surface(lambda x, y: x**2 + 3 * y**2 + torch.cos(x * y), minima=((0.0, 0.0),))
    assert convergence(camel, "momentum", [0.01], values=[0.5], steps=20).eigenvalues.tolist() == [2, 6]


def test_rules_that_are_not_linear_are_measured_only() -> None:
    found = convergence("quadratic", "adam", [1e-3, 0.1], "beta2", [0.9, 0.999], steps=60)
    assert found.theory is None
    assert found.boundary is None
    assert found.factors.shape == (2, 2)
    assert repr(found) == "<Convergence of adam on quadratic: 2 beta2 × 2 lr>"
    halving = convergence("quadratic", "halving", [0.1, 10.0], "factor", [0.5, 0.9], steps=60)
    assert halving.theory is None
    assert halving.converges[0, 0]


REFUSED: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"surface": "saddle"}, SurfaceError, "has no known minimum"),
    ({"surface": "ackley"}, SurfaceError, "has no bowl at its minimum"),
    ({"optimizer": "sgd"}, FormulaError, "'momentum' is not a hyperparameter of sgd"),
    ({"hyperparameter": "lr"}, SurfaceError, "lr always varies"),
    ({"rates": [0.1, 0.0]}, SurfaceError, "rates must be a list of finite positive numbers"),
    ({"rates": "fast"}, SurfaceError, "rates is 'fast'"),
    ({"values": [np.nan]}, SurfaceError, "momentum must be a list of finite numbers"),
    ({"start": [[1.0, 1.0], [2.0, 2.0]]}, SurfaceError, "2 starts were given"),
    ({"steps": 0}, SurfaceError, "steps is 0"),
]


@pytest.mark.parametrize(("given", "error", "said"), REFUSED, ids=[str(given) for given, *_ in REFUSED])
def test_what_cannot_be_meant_is_refused(given: dict[str, Any], error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        convergence(**given)
