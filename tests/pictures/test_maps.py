"""Maps of basins and of convergence, and the cloud that noise makes: colours and lines are the numbers."""

from __future__ import annotations

import numpy as np
import pytest

import thalweg as tw
from thalweg.pictures.maps import NOWHERE, basin_map
from thalweg.pictures.noisy import noisy_picture


def test_every_start_has_the_colour_of_its_minimum() -> None:
    found = tw.basins("himmelblau", lr=0.01, steps=100, resolution=40)
    figure = basin_map(found)
    cells = np.asarray(figure.data[0].z)
    which = np.where(found.labels < 0, 4, found.labels)
    np.testing.assert_array_equal(np.floor(cells), which)
    settled = found.settled[found.labels == 0]
    paleness = cells[found.labels == 0] % 1
    np.testing.assert_array_equal(np.argsort(settled, kind="stable"), np.argsort(paleness, kind="stable"))
    entries = [trace.name for trace in figure.data if trace.showlegend]
    assert entries[0] == f"(−3.779, −3.283): {(found.labels == 0).mean():.1%} of the starts"
    assert figure.layout.title.subtitle.text.startswith("sgd at rate 0.01, 100 steps from each of 40 × 40 starts")


def test_starts_that_come_to_none_have_a_colour_of_their_own() -> None:
    found = tw.basins("himmelblau", lr=0.03, steps=50, resolution=20)
    assert (found.labels < 0).any()
    figure = basin_map(found)
    assert figure.data[0].colorscale[-2][1] == NOWHERE or NOWHERE in str(figure.data[0].colorscale)
    assert [t.name for t in figure.data if t.showlegend][-1] == f"none: {(found.labels < 0).mean():.1%}"


def test_a_curve_is_coloured_by_where_its_points_fall() -> None:
    found = tw.basins("x*sin(x)", lr=0.1, steps=200, resolution=101)
    curve, *parts = [trace for trace in basin_map(found).data if trace.mode == "lines"]
    shown = np.isfinite(np.array([trace.y for trace in parts]))
    np.testing.assert_array_equal(shown[1:].argmax(axis=0), found.labels)
    assert (shown.sum(axis=0) == 1).all()
    assert len(curve.x) == 401


def test_momentum_converges_where_theory_says() -> None:
    """The map is empty beyond 2(1 + μ)/λmax and filled before it; at μ = 0 that is 2/λmax."""
    rates, values = np.linspace(0.005, 0.45, 40), np.linspace(0, 0.95, 20)
    found = tw.landscapes.convergence("quadratic(condition=10)", "momentum", rates, values=values)
    cells, boundary, _ = found.picture().data
    steps = np.asarray(cells.customdata, dtype=float)
    limit = np.asarray(boundary.x)
    np.testing.assert_allclose(limit, 2 * (1 + values) / 10)
    assert limit[0] == pytest.approx(0.2)
    assert np.isnan(steps[rates[None] > 1.01 * limit[:, None]]).all()
    assert np.isfinite(steps[rates[None] < 0.97 * limit[:, None]]).all()
    k = int(np.argmin(abs(rates - 0.1)))
    assert steps[0, k] == pytest.approx(-1 / np.log10(1 - rates[k]), rel=1e-3)
    np.testing.assert_allclose(np.asarray(cells.z, dtype=float), np.log10(steps))
    assert "2/λmax = 0.2." in found.picture().layout.title.subtitle.text


def test_a_rule_without_a_theory_has_no_boundary() -> None:
    found = tw.landscapes.convergence("quadratic", "rmsprop", [0.01, 0.1], "alpha", [0.5, 0.9], steps=50)
    assert [trace.name for trace in found.picture().data] == ["converges", "does not converge"]


def test_noise_leaves_a_fixed_rate_swinging() -> None:
    starts = np.tile([1.0, 1.0], (20, 1))
    kinds = {"fixed": "constant", "falling": "inverse_time(k=0.1)"}
    runs = {k: tw.descend("quadratic", starts, "sgd", 0.1, s, 300, noise=1.0) for k, s in kinds.items()}
    figure = noisy_picture(runs, last=100)
    fixed, falling = ([t for t in figure.data if t.name == name] for name in kinds)
    np.testing.assert_array_equal(fixed[0].x, runs["fixed"].all_points[0, 0, 0, -100:, 0])
    np.testing.assert_allclose(fixed[1].y[-1], runs["fixed"].losses[:, -1].mean())
    assert fixed[1].y[-1] > 5 * falling[1].y[-1]
    band = next(t for t in figure.data if t.name == "fixed: band")
    low, high = np.quantile(runs["fixed"].losses[:, -1], [0.05, 0.95])
    assert low in band.y
    assert high in band.y
