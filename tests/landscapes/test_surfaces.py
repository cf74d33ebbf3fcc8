"""The surfaces: their minima are minima, their gradients are derivatives, and wrong ones are refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sympy as sp
import torch

import thalweg as tw
from thalweg.errors import SurfaceError, UsageError
from thalweg.landscapes import Surface

NAMES = [
    *tw.landscapes.names(),
    "quadratic(condition=50, rotation=30)",
    "quadratic(dimensions=5, rotation=20)",
    "quadratic(dimensions=20, rotation=20)",
    "rosenbrock(dimensions=4)",
    "rastrigin(dimensions=1)",
    "ackley(dimensions=3)",
    "styblinski_tang(dimensions=3)",
]


def points_on(surface: Surface, count: int = 20) -> np.ndarray:
    low, high = np.array(surface.bounds).T
    return low + (high - low) * np.random.default_rng(0).random((count, surface.dimensions))


@pytest.mark.parametrize("name", NAMES)
def test_known_minima_are_minima(name: str) -> None:
    surface = tw.landscapes.get(name)
    heights = [float(surface(m)) for m in surface.minima]
    assert heights == pytest.approx(sorted(heights), abs=1e-12)  # the lowest first
    for minimum in map(np.array, surface.minima):
        around = minimum + 1e-3 * np.random.default_rng(1).standard_normal((100, surface.dimensions))
        assert (surface(around) > surface(minimum)).all()
        if not name.startswith("ackley"):  # which has a point there, and no slope
            assert np.abs(surface.gradient(minimum)).max() < 1e-12
            assert np.linalg.eigvalsh(surface.hessian(minimum)).min() > 0


@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_the_slopes_of_the_values(name: str) -> None:
    surface = tw.landscapes.get(name)
    points, h = points_on(surface), 1e-6
    for k in range(surface.dimensions):
        shift = h * np.eye(surface.dimensions)[k]
        slope = (surface(points + shift) - surface(points - shift)) / (2 * h)
        np.testing.assert_allclose(surface.gradient(points)[:, k], slope, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_every_surface_starts_where_there_is_something_to_go_down(name: str) -> None:
    surface = tw.landscapes.get(name)
    low, high = np.array(surface.bounds).T
    assert surface.dimensions == len(surface.start) == len(surface.variables)
    assert ((low < surface.start) & (high > surface.start)).all()
    assert np.abs(surface.gradient(surface.start)).max() > 1e-3
    assert tw.landscapes.get(surface.name).evaluate(surface.start)[0] == surface(surface.start)


def test_values_of_the_test_functions() -> None:
    """At points where arithmetic by hand is easy."""
    for name, point, value in (
        ("x**2 - 4*x + 6", [5.0], 11),
        ("x*sin(x)", [np.pi / 2], np.pi / 2),
        ("saddle", [3.0, 2.0], 5),
        ("monkey_saddle", [2.0, 1.0], 2),
        ("rosenbrock", [2.0, 3.0], 101),
        ("beale", [0.0, 0.0], 14.203125),
        ("himmelblau", [1.0, 1.0], 106),
        ("rastrigin", [1.0, -2.0], 5),
        ("rastrigin", [0.5, 0.0], 20.25),
        ("styblinski_tang", [1.0, 2.0], -24),
        ("three_hump_camel", [1.0, 1.0], 1.95 + 1 / 6 + 1),
        ("ackley", [1.0, 1.0], 20 + np.e - 20 * np.exp(-0.2) - np.e),
        ("quadratic(condition=7)", [2.0, 3.0], 33.5),
        ("ravine", [100.0, 1.0], 502),
    ):
        assert tw.landscapes.get(name)(point) == pytest.approx(value, abs=1e-9), name


def test_a_ravine_has_steep_walls_and_a_cliff_towards_the_middle() -> None:
    ravine = tw.landscapes.get("ravine")
    (plateau, cliff, floor), (wall,) = (
        ravine.gradient([[-4.0, 0], [-1.0, 0], [1.0, 0]])[:, 0],
        ravine.gradient([[-4.0, 1.0]])[:, 1],
    )
    assert wall > 5 * abs(plateau)
    assert cliff < -10 * abs(plateau)
    assert 0 < floor < 0.2


@pytest.mark.parametrize("dimensions", [2, 3, 20])
def test_a_quadratic_has_the_conditioning_that_was_asked_for(dimensions: int) -> None:
    for rotation in (0, 35):
        surface = tw.landscapes.get(f"quadratic(condition=40, dimensions={dimensions}, rotation={rotation})")
        found = np.linalg.eigvalsh(surface.hessian([0.3] * dimensions))
        np.testing.assert_allclose(found, 40 ** (np.arange(dimensions) / (dimensions - 1)), rtol=1e-9)
    turned = tw.landscapes.get("quadratic(condition=40, rotation=90)").gradient([1.0, 1.0])
    np.testing.assert_allclose(turned, [40, 1], rtol=1e-12)


def test_torch_functions_are_surfaces() -> None:
    def rosenbrock(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return 100 * (y - x**2) ** 2 + (1 - x) ** 2

    known = tw.landscapes.get("rosenbrock")
    points = points_on(known)
    for mine in (
        tw.landscapes.surface(rosenbrock),
        tw.landscapes.surface(lambda w: rosenbrock(w[0], w[1]), dimensions=2),
    ):
        np.testing.assert_allclose(mine(points), known(points), rtol=1e-12)
        np.testing.assert_allclose(mine.gradient(points), known.gradient(points), rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(mine.hessian((1.0, 1.0)), known.hessian((1.0, 1.0)))


def test_a_builtin_takes_one_point_and_a_function_without_a_formula_its_variables() -> None:
    total = tw.landscapes.surface(torch.sum, dimensions=3)
    assert float(total([1.0, 2.0, 4.0])) == 7
    assert total.gradient([1.0, 2.0, 4.0]).tolist() == [1, 1, 1]
    later = tw.function(lambda v, u: torch.as_tensor(v) * u, variables="v u")
    assert later.expression is None
    made = tw.landscapes.surface(later)
    assert made.variables == ("v", "u")
    assert made.gradient([3.0, 5.0]).tolist() == [5, 3]


def test_corners_and_steps_have_the_slope_a_walker_sees() -> None:
    x = sp.Symbol("x")
    for expression, at, slope in (
        (sp.Abs(x), -2, -1),
        (sp.Max(x, 3 * x), 2, 3),
        (sp.Max(x, 3 * x), -2, 1),
        (sp.sign(x) + x, 0, 1),
        (sp.floor(x) * x, 2.5, 2),
        (sp.Min(x**2, 1), 3, 0),
        (sp.Piecewise((x**2, x > 1), (2 * x - 1, True)), 3, 6),
        (sp.ceiling(x), 0.3, 0),
    ):
        assert tw.landscapes.surface(expression).gradient([float(at)]) == slope, expression


TEXTS = [
    "x*sin(x)",
    "x**2 - 4*x + 6",
    "3x^2 - 2x + 1",
    "sqrt(x^2 + 1) + |x|",
    "exp(-x^2)*cos(3x)",
    "log(1 + x^2)",
    "tanh(x)/2",
    "sigmoid(3x) + softplus(x)",
    "relu(x - 1) + max(x, 2, x^2)",
    "atan(x) + asinh(x) + erf(x)",
    "x^3.5",
    "2^x",
    "log2(x^2 + 1) + log10(4 + x^2)",
    "heaviside(x)*x^2 + sign(x)",
    "floor(x)*ceil(x) + x",
    "cosh(x) - sinh(x) + tan(x/4)",
    "x^2*y - 3*x*y^2",
    "(a - 1)^2 + 100*(b - a^2)^2",
    "min(p, q)^2 + sin(p*q)",
    "asin(x/10) + acos(x/10) + acosh(2 + x^2) + atanh(x/10)",
    "x1^2 + x2^2 + x3^2 - x1*x3",
]


@pytest.mark.parametrize("text", TEXTS)
def test_texts_are_surfaces(text: str) -> None:
    """Values as the function itself has them; slopes against differences."""
    surface, known = tw.landscapes.surface(text), tw.function(text)
    assert surface.variables == known.variables
    points = np.random.default_rng(3).uniform(-3, 3, (40, surface.dimensions)) + 0.1234
    np.testing.assert_allclose(surface(points), known(*points.T), rtol=1e-12, atol=1e-12)
    h = 1e-6
    smooth = ~(np.abs(points - np.round(points)) < 1e-4).any(axis=1)
    for k in range(surface.dimensions):
        shift = h * np.eye(surface.dimensions)[k]
        slope = (surface(points + shift) - surface(points - shift)) / (2 * h)
        near = smooth & np.isfinite(slope)
        np.testing.assert_allclose(surface.gradient(points)[near, k], slope[near], rtol=1e-4, atol=1e-4)


def test_a_text_goes_down_as_its_surface_does() -> None:
    path = tw.descend("(x^2 + y - 11)^2 + (x + y^2 - 7)^2", [0.0, 0.0], ["adam", "halving"], 0.1, steps=40)
    known = tw.descend("himmelblau", [0.0, 0.0], ["adam", "halving"], 0.1, steps=40)
    np.testing.assert_allclose(path.points, known.points, rtol=1e-6)
    ordered = tw.landscapes.surface(tw.function("y - 2x", variables="y x"))
    assert ordered.variables == ("y", "x")
    assert ordered.gradient([0.0, 0.0]).tolist() == [1, -2]


def test_points_of_any_shape() -> None:
    saddle = tw.landscapes.get("saddle")
    points = np.random.default_rng(0).standard_normal((3, 4, 2))
    np.testing.assert_allclose(saddle(points), points[..., 0] ** 2 - points[..., 1] ** 2)
    assert saddle.gradient(points).shape == (3, 4, 2)
    assert saddle(np.empty((0, 2))).shape == (0,)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("rosenbrok", "'rosenbrok' is not a surface: did you mean rosenbrock?"),
        ("quadratic(codition=3)", "'codition' is not an argument of quadratic: did you mean condition"),
        ("saddle(depth=3)", "saddle takes no arguments; leave depth out."),
        ("quadratic(condition=-1)", "quadratic: condition is -1; give a number above 0."),
        ("quadratic(dimensions=0)", "quadratic: dimensions is 0; give a whole number from 1 to 1,000."),
        ("rosenbrock(dimensions=1)", "dimensions is 1; give a whole number from 2 to 1,000."),
        ("quadratic(__import__('os'))", "is not of the form name(argument=value, …)"),
        ("rosenbrok(dimensions=3)", "'rosenbrok' is not a surface: did you mean rosenbrock?"),
        ("3 + 4", "7 has no variable to go down along"),
        (sp.Integer(3), "3 has no variable to go down along"),
        (sp.Symbol("x") + sp.Symbol("x", positive=True), "has two variables named x"),
        (42, "something of type int is not a surface"),
        ("quadratic(rotation=1e400)", "quadratic: rotation is ∞; give a number."),
    ],
)
def test_what_is_no_surface_is_refused(given: Any, said: str) -> None:
    with pytest.raises(SurfaceError) as refused:
        tw.landscapes.surface(given)
    assert said in str(refused.value)
    assert str(refused.value).count("\n") == 0


def test_functions_that_are_no_surface_are_refused() -> None:
    for hostile in ("__import__('os')", "x.__class__", "x*", "9**9**9**9*x", "x if x else y"):
        with pytest.raises(UsageError):
            tw.descend(hostile, 1.0)
    with pytest.raises(SurfaceError, match="must give one number for one point, not a tensor of shape"):
        tw.landscapes.surface(lambda w: w * 2, dimensions=2)([1.0, 2.0])
    with pytest.raises(SurfaceError, match="cannot be evaluated on tensors"):
        tw.landscapes.surface(lambda x: float(x))([1.0])
    with pytest.raises(SurfaceError, match="takes no point"):
        tw.landscapes.surface(lambda: 3)
    with pytest.raises(SurfaceError, match="takes 2 numbers, and a point of 3 was given"):
        tw.landscapes.surface(lambda x, y: x + y, dimensions=3)
    with pytest.raises(SurfaceError, match=r"gamma\(.*\) has no compiled form; use"):
        tw.descend(sp.gamma(sp.Symbol("x")), 2.0)
    with pytest.raises(SurfaceError, match="which has 2 variables"):
        tw.landscapes.get("saddle")([1.0, 2.0, 3.0])


def test_what_is_known_replaces_what_a_named_surface_has() -> None:
    near = tw.landscapes.surface("quadratic", bounds=[(-1, 2), (-1, 1)])
    assert [tuple(side) for side in near.bounds] == [(-1, 2), (-1, 1)]
    assert near([1.0, 1.0]) == tw.landscapes.surface("quadratic")([1.0, 1.0])
    assert tw.landscapes.surface(near).bounds == near.bounds
