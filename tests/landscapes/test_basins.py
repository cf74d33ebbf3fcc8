"""Basins: the ends of `tw.descend`, the right minimum, and the steps until a path stays there."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sympy as sp
import torch

import thalweg as tw
from thalweg.errors import PlanError, SurfaceError
from thalweg.landscapes.basins import RATES
from thalweg.landscapes.minima import minima_among

RULES = [
    ("sgd", 0.01),
    ("momentum", 0.002),
    ("nesterov(lookahead=True)", 0.002),
    ("adam", 0.1),
    ("nadam", 0.1),
    ("rprop", 0.05),
    ("halving", 0.02),
    ("asgd", 0.01),
    ("adagrad", 0.5),
    ("adadelta", 5.0),
]


@pytest.mark.parametrize(("rule", "rate"), RULES)
def test_ends_are_those_of_a_descent(rule: str, rate: float) -> None:
    """37 × 37 starts: more than a chunk, and no whole number of chunks."""
    found = tw.basins("himmelblau", rule, rate, steps=40, resolution=37)
    starts = found.starts.reshape(-1, 2)
    path = tw.descend("himmelblau", starts, rule, rate, steps=40)
    ends = path.points[:, -1].reshape(37, 37, 2)
    np.testing.assert_array_equal(np.isnan(ends), np.isnan(found.ends))
    np.testing.assert_allclose(found.ends, ends, rtol=1e-8, atol=1e-8)
    assert np.abs(ends - found.starts).max() > 0.1


@pytest.mark.parametrize("rule", ["sgd", "halving"])
def test_a_schedule_moves_the_rate_of_every_chunk(rule: str) -> None:
    found = tw.basins("himmelblau", rule, 0.02, "cosine", steps=30, resolution=40)
    path = tw.descend("himmelblau", found.starts.reshape(-1, 2), rule, 0.02, "cosine", steps=30)
    np.testing.assert_allclose(found.ends.reshape(-1, 2), path.points[:, -1], rtol=1e-9, equal_nan=True)


def test_the_four_basins_of_himmelblau() -> None:
    found = tw.basins("himmelblau", "sgd", 0.01, resolution=60)
    np.testing.assert_allclose(sorted(found.minima.tolist()), sorted(tw.landscapes.get("himmelblau").minima), atol=1e-9)
    assert found.labels.shape == found.diverged.shape == (60, 60)
    corners = [found.minima[found.labels[i, j]] for i, j in ((-1, -1), (-1, 0), (0, 0), (0, -1))]
    np.testing.assert_allclose(np.sign(corners), [[1, 1], [-1, 1], [-1, -1], [1, -1]])  # y goes down the rows
    assert found.axes[0][0] == -5
    assert (found.starts[3, 5] == [found.axes[0][5], found.axes[1][3]]).all()


def test_steps_until_a_path_stays_at_its_minimum() -> None:
    for rule, rate in (("momentum", 0.003), ("halving", 0.02), ("nesterov(lookahead=True)", 0.002)):
        found = tw.basins("himmelblau", rule, rate, steps=120, resolution=36)
        path = tw.descend("himmelblau", found.starts.reshape(-1, 2), rule, rate, steps=120)
        for k in range(0, 36 * 36, 7):
            label, settled = found.labels.ravel()[k], found.settled.ravel()[k]
            if label < 0:
                assert settled == -1
                continue
            inside = np.linalg.norm(path.points[k] - found.minima[label], axis=1) <= found.radius
            assert inside[settled:].all()
            assert settled == 0 or not inside[settled - 1]
        assert found.settled.max() > 20


def test_one_variable() -> None:
    found = tw.basins("x*sin(x)", lr=0.1, resolution=701)
    assert found.labels.shape == (701,)
    np.testing.assert_allclose(found.minima[:, 0], [-4.913180439434884, 4.913180439434884, 0], atol=1e-9)
    x = found.axes[0]
    slope = np.sin(x) + x * np.cos(x)  # the nearest downhill minimum is where a small rate leads
    right = (np.abs(x) < 2) & (x != 0)
    assert (found.labels[right] == 2).all()
    assert (found.labels[(x > 2.1) & (x < 7)] == 1).all()
    assert slope[350] == 0
    table = found.table()
    assert table["share"].sum() == pytest.approx(1)
    assert table["steps"][0] > 0


def test_minima_that_nobody_told_are_found() -> None:
    x, y = sp.symbols("x y")
    well = (x**2 - 1) ** 2 + y**2
    for expression, expected in (
        (well, [(-1, 0), (1, 0)]),
        (sp.Abs(x - 1) + (y + 2) ** 2, [(1, -2)]),
        (sp.sin(x) + sp.cos(y) + (x**2 + y**2) / 50, None),
    ):
        found = tw.basins(
            expression, "sgd", 0.05, steps=300, resolution=41, bounds=((-2, 2), (-4, 4)) if expression == well else None
        )
        gradients = found.surface.gradient(found.minima)
        if expected:
            np.testing.assert_allclose(found.minima, expected, atol=1e-4)
            assert (found.labels >= 0).mean() > 0.95
        else:
            assert len(found.minima) >= 4
            assert np.abs(gradients).max() < 1e-6
            assert (np.diff(found.surface(found.minima)) > -1e-9).all()


def test_rastrigin_has_a_minimum_near_every_whole_number() -> None:
    found = tw.basins("rastrigin", lr=0.003, resolution=220, steps=100)
    assert len(found.minima) == 121
    np.testing.assert_allclose(found.minima, np.round(found.minima), atol=0.03)
    assert np.abs(found.surface.gradient(found.minima)).max() < 1e-5
    assert tuple(found.minima[0]) == (0, 0)


def test_saddles_and_slopes_are_no_minima() -> None:
    camel = tw.landscapes.get("three_hump_camel")
    ends = np.array([[0.0, 0.0]] * 50 + [[1.07054, -0.535]] * 50 + [[2.9, 2.9]] * 50)  # a minimum, a saddle, a slope
    assert minima_among(camel, ends, 0.05).shape == (3, 2)  # those that were known
    free = tw.landscapes.surface(camel.expression)
    np.testing.assert_allclose(minima_among(free, ends, 0.05), [[0, 0]], atol=1e-9)
    assert len(minima_among(tw.landscapes.get("saddle"), np.zeros((50, 2)), 0.05)) == 0  # level, and yet no minimum


def test_what_diverges_or_comes_nowhere_has_no_minimum() -> None:
    found = tw.basins("himmelblau", "sgd", 0.03, resolution=50)
    assert 0.01 < found.diverged.mean() < 0.9
    assert (found.labels[found.diverged] == -1).all()
    assert np.isnan(found.ends[found.diverged]).all()
    assert (found.settled[found.labels < 0] == -1).all()
    slow = tw.basins("himmelblau", "sgd", 1e-6, resolution=50)
    assert (slow.labels == -1).mean() > 0.9
    assert not slow.diverged.any()
    saddle = tw.basins("saddle", "sgd", 0.1, resolution=20)
    assert len(saddle.minima) == 0
    assert (saddle.labels == -1).all()
    assert len(saddle.table()) == 1


@pytest.mark.parametrize("surface", ["himmelblau", "x*sin(x)", "x^4/4 - x^3/3 - x^2 + 0.2x"])
@pytest.mark.parametrize("rule", ["sgd", "adam"])
def test_without_a_rate_most_starts_come_to_a_minimum(surface: str, rule: str) -> None:
    found = tw.basins(surface, rule, resolution=60)
    assert (found.labels >= 0).mean() > 0.9
    assert found.rate in RATES
    same = tw.basins(surface, rule, found.rate, resolution=60)
    np.testing.assert_array_equal(same.labels, found.labels)


def test_a_rate_of_ones_own_and_a_surface_without_minima() -> None:
    assert tw.basins("himmelblau", "sgd(lr=0.001)", resolution=10).rate == 0.001
    assert tw.basins("saddle", "sgd", resolution=10).rate == tw.formulas.get("sgd").hyperparameters["lr"]


@pytest.mark.slow
def test_a_python_function_has_basins() -> None:
    def himmelblau(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return (x**2 + y - 11) ** 2 + (x + y**2 - 7) ** 2

    for rule, rate in (("momentum", 0.003), ("halving", 0.02), ("nesterov(lookahead=True)", 0.002)):
        mine = tw.basins(himmelblau, rule, rate, steps=60, resolution=33)
        known = tw.basins("himmelblau", rule, rate, steps=60, resolution=33)
        np.testing.assert_allclose(mine.ends, known.ends, rtol=1e-6, atol=1e-6)
        assert (mine.settled == known.settled).mean() > 0.99 or rule == "halving"


def test_a_map_of_many_starts() -> None:
    found = tw.basins("himmelblau", "adam", 0.1, resolution=316)
    assert (found.labels >= 0).mean() > 0.95


REFUSED: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"surface": "rosenbrock(dimensions=3)"}, SurfaceError, "has 3 variables, and a map of basins has one or two"),
    ({"optimizer": ["sgd", "adam"]}, SurfaceError, "2 pairs of optimizer and rate"),
    ({"lr": [0.1, 0.2]}, SurfaceError, "2 pairs of optimizer and rate"),
    ({"lr": -1}, SurfaceError, "lr is −1"),
    ({"schedule": "plateau"}, SurfaceError, "plateau follows the loss of each path"),
    ({"schedule": "cosin"}, PlanError, "did you mean cosine"),
    ({"steps": 0}, SurfaceError, "steps is 0"),
    ({"resolution": 1}, SurfaceError, "resolution is 1; give a whole number of at least 2"),
    ({"resolution": 100_000}, SurfaceError, r"takes [\d,]+ bytes, and at most 2,147,483,648"),
    ({"bounds": (1, 1)}, SurfaceError, "1:1 are not bounds of himmelblau: the lower end comes first"),
    ({"bounds": ((0, 1), (1, 0))}, SurfaceError, "the lower end comes first"),
    ({"bounds": "wide"}, SurfaceError, "'wide' are not bounds; give"),
    ({"radius": -1}, SurfaceError, "radius is -1"),
]


@pytest.mark.parametrize(("given", "error", "said"), REFUSED, ids=[str(given) for given, *_ in REFUSED])
def test_what_cannot_be_meant_is_refused(given: dict[str, Any], error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        tw.basins(**{"surface": "himmelblau", **given})


def test_one_variable_takes_a_pair_of_bounds() -> None:
    given, each = (tw.basins("x**4 - x**2", lr=0.1, resolution=9, bounds=b) for b in ((-1, 1), [(-1, 1)]))
    assert given.axes[0].tolist() == each.axes[0].tolist() == np.linspace(-1, 1, 9).tolist()
    assert given.labels.tolist() == each.labels.tolist()
