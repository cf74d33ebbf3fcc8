"""sin, cos and exp of compiled loops: against NumPy, at the edges, and the same bits in a vector as alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numba import njit

from thalweg.kernels import elementary


@njit(error_model="numpy")
def sines(x, out):  # type: ignore[no-untyped-def]
    for i in range(len(x)):
        out[i] = elementary.sin(x[i])


@njit(error_model="numpy")
def cosines(x, out):  # type: ignore[no-untyped-def]
    for i in range(len(x)):
        out[i] = elementary.cos(x[i])


@njit(error_model="numpy")
def powers(x, out):  # type: ignore[no-untyped-def]
    for i in range(len(x)):
        out[i] = elementary.exp(x[i])


def applied(loop: Any, x: np.ndarray) -> np.ndarray:
    out = np.empty_like(x)
    loop(x, out)
    return out


@pytest.mark.parametrize(("loop", "exact"), [(sines, np.sin), (cosines, np.cos)])
@pytest.mark.parametrize("size", [1e-8, 1.0, 100.0, 1e6])
def test_sin_and_cos(loop: Any, exact: Any, size: float) -> None:
    x = np.random.default_rng(0).uniform(-size, size, 20_000)
    truth = exact(x.astype(np.longdouble))
    error = np.abs(applied(loop, x) - truth) / np.spacing(np.abs(truth).astype(np.float64))
    assert error.max() < 2


def test_at_turning_points_and_beyond() -> None:
    x = np.array([0.0, np.pi / 4, np.pi / 2, np.pi, 1.5 * np.pi, 2 * np.pi, -np.pi, 1e9, -1e12])
    np.testing.assert_allclose(applied(sines, x[:7]), np.sin(x[:7]), atol=1e-18, rtol=1e-15)
    np.testing.assert_allclose(applied(cosines, x[:7]), np.cos(x[:7]), atol=1e-18, rtol=1e-15)
    assert np.abs(applied(sines, x)).max() <= 1
    odd = np.array([np.nan, np.inf, -np.inf])
    assert np.isnan(applied(sines, odd)).all()
    assert np.isnan(applied(cosines, odd)).all()


def test_exp() -> None:
    x = np.concatenate([np.random.default_rng(0).uniform(-708, 709, 20_000), np.linspace(-1, 1, 1001)])
    truth = np.exp(x.astype(np.longdouble))
    assert (np.abs(applied(powers, x) - truth) / np.spacing(truth.astype(np.float64))).max() < 2
    edges = np.array([0.0, 709.7, 709.8, 1e300, np.inf, -745.0, -746.0, -1e300, -np.inf, np.nan])
    with np.errstate(over="ignore", under="ignore"):
        np.testing.assert_allclose(applied(powers, edges), np.exp(edges), rtol=1e-14, atol=5e-324)


@pytest.mark.parametrize("loop", [sines, cosines, powers])
def test_a_value_has_the_same_bits_among_others_as_alone(loop: Any) -> None:
    x = np.random.default_rng(1).uniform(-30, 30, 999)
    together = applied(loop, x)
    alone = np.array([applied(loop, x[k : k + 1])[0] for k in range(999)])
    np.testing.assert_array_equal(together, alone)
