"""Minima: the course's cases, surfaces whose points are known, and what must not be claimed."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize

import thalweg as tw
from thalweg.calculus.square import completed
from thalweg.errors import ExpressionError

HIMMELBLAU = "(x²+y-11)²+(x+y²-7)²"
ROSENBROCK = "(1-x)² + 100(y-x²)²"


def kinds(found: tw.calculus.Minimum) -> list[str]:
    return sorted(one.kind for one in found.points)


def test_the_course_s_case() -> None:
    found = tw.minimum("x² − 4x + 6")
    assert (found.at, found.value, found.everywhere) == ((2,), 2, True)
    assert str(tw.function(found.square)) == "(x − 2)² + 2"
    assert "= (x − 2)² + 2, by completing the square" in str(found)
    assert "The lowest value anywhere is 2, at x = 2." in str(found)
    assert [(one.kind, one.reason) for one in found.points] == [("minimum", "f″ > 0")]
    assert r"&= \left(x - 2\right)^{2} + 2" in found.latex()


@pytest.mark.slow
@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(-4, 4), min_size=9, max_size=9), st.lists(st.integers(-9, 9), min_size=4, max_size=4))
def test_squares_are_completed_in_several_variables(entries: list[int], linear: list[int]) -> None:
    names = sp.symbols("x y z", real=True)
    half = sp.Matrix(3, 3, entries)
    v = sp.Matrix(names)
    quadratic = sp.expand(
        (v.T * half.T * half * v)[0] + sum(c * s for c, s in zip(linear, names, strict=False)) + linear[3]
    )
    square = completed(quadratic, names)
    if sp.Poly(quadratic, *names).total_degree() < 2:
        assert square is None
        return
    assert sp.expand(square - quadratic) == 0
    squares = [term for term in sp.Add.make_args(square) if term.has(sp.Pow) and term.as_coeff_Mul()[1].exp == 2]
    assert squares
    assert all(term.as_coeff_Mul()[0] > 0 for term in squares)
    mixed = sp.Poly(sp.Add(square, *(-s for s in squares)), *names)
    assert mixed.total_degree() <= 1


@pytest.mark.parametrize(
    ("formula", "at", "value", "due"),
    [
        ("x^4", [0], 0, ["minimum"]),
        ("x^4 − 2x²", [-1], -1, ["maximum", "minimum", "minimum"]),
        ("|x|", [0], 0, ["minimum"]),
        ("e^x + e^(−x)", [0], 2, ["minimum"]),
        ("3(x−2)²+(y−2)²", [2, 2], 0, ["minimum"]),
        (ROSENBROCK, [1, 1], 0, ["minimum"]),
        ("2x²+4x*y+3y²−6y+1", [-3, 3], -8, ["minimum"]),
        ("x^4+y^4", [0, 0], 0, ["minimum"]),
        ("x²+y²+z²−x*y", [0, 0, 0], 0, ["minimum"]),
        ("x² + 1/x²", [-1], 2, ["minimum", "minimum"]),
        ("(x−1)²(x+1)²", [-1], 0, ["maximum", "minimum", "minimum"]),
    ],
)
def test_lowest_anywhere(formula: str, at: list[float], value: float, due: list[str]) -> None:
    found = tw.minimum(formula)
    assert found.at == pytest.approx(at, abs=1e-9)
    assert found.value == pytest.approx(value, abs=1e-12)
    assert found.everywhere
    assert kinds(found) == due
    assert "The lowest value anywhere is" in str(found)


@pytest.mark.parametrize(
    ("formula", "bounds", "words"),
    [
        ("x^2", (1, 3), "In 1 ≤ x ≤ 3 it is lowest with 1 at x = 1."),
        ("x", (1, 3), "In 1 ≤ x ≤ 3 it is lowest with 1 at x = 1."),
        ("x^4−2x^2+0.3x", (0, 3), "In 0 ≤ x ≤ 3 it is lowest with −0.705853519 at x = 0.9601495555."),
        ("x^2 + y^2", [(1, 2), (-1, 1)], "it is lowest with 1 at x = 1, y = 0."),
        ("x^2", (-1, 3), None),
        ("x^2", None, None),
        ("sin(x)", (0, 3), None),
    ],
)
def test_bounds_that_leave_the_minimum_out_are_answered_too(formula: str, bounds: Any, words: str | None) -> None:
    said = str(tw.minimum(formula, bounds))
    assert words in said if words else "it is lowest with" not in said


def test_a_slope_that_is_0_nowhere_is_no_equation() -> None:
    assert "df/dx = 1\n" in str(tw.minimum("x"))
    assert "= 1 = 0" not in tw.minimum("x").latex()


@pytest.mark.parametrize(
    ("formula", "due"),
    [
        ("x³", ["inflection"]),
        ("1/x", []),
        ("log(x)", []),
        ("x²−y²", ["saddle"]),
        ("x*y", ["saddle"]),
        ("x³−3x*y²", ["saddle"]),
        ("x+1/x", ["maximum", "minimum"]),
        ("−x²", ["maximum"]),
        ("−|x|", ["maximum"]),
        ("x^5−x", ["maximum", "minimum"]),
        ("x³−3x+y²", ["minimum", "saddle"]),
        ("x + sin(x)", ["inflection"] * 4),
        ("x", []),
        ("x + y", []),
    ],
)
def test_without_a_lowest_value(formula: str, due: list[str]) -> None:
    found = tw.minimum(formula)
    assert kinds(found) == due
    assert not found.everywhere
    assert "falls below every bound" in found.verdict


def test_himmelblau_has_four_minima_four_saddles_and_a_maximum() -> None:
    found = tw.minimum(HIMMELBLAU)
    assert kinds(found) == ["maximum"] + ["minimum"] * 4 + ["saddle"] * 4
    assert found.value == 0
    assert found.everywhere
    assert all(one.reason.startswith("eigenvalues ") and ";" not in one.reason for one in found.points)
    minima = sorted(one.at for one in found.points if one.kind == "minimum")
    due = [(-3.779310, -3.283186), (-2.805118, 3.131312), (3.0, 2.0), (3.584428, -1.848126)]
    np.testing.assert_allclose(minima, due, atol=1e-6)
    (top,) = (one for one in found.points if one.kind == "maximum")
    assert top.value == pytest.approx(181.616521, abs=1e-5)
    assert "and 3 other points" in found.verdict


def test_x_sin_x_in_its_bounds() -> None:
    found = tw.minimum("x*sin(x)", bounds=(-6, 6))
    roots = [optimize.brentq(lambda x: x * math.cos(x) + math.sin(x), *pair) for pair in ((1.5, 2.5), (4.5, 5.5))]
    due = sorted([*roots, *(-root for root in roots), 0.0])
    np.testing.assert_allclose([one.at[0] for one in found.points], due, atol=1e-9)
    assert [one.kind for one in found.points] == ["minimum", "maximum", "minimum", "maximum", "minimum"]
    assert found.value == pytest.approx(-4.814469889712269)
    assert not found.everywhere
    assert "beyond the bounds nothing is proven" in found.verdict
    wide = tw.minimum("x*sin(x)")
    assert "go down to −5.44" in wide.verdict


@pytest.mark.slow
def test_what_is_not_proven_is_not_claimed() -> None:
    exp = tw.minimum("exp(x)")
    assert exp.best is None
    assert "no minimum in −10 ≤ x ≤ 10" in exp.verdict
    root = tw.minimum("sqrt(x)")
    assert (root.at, root.value) == ((0,), 0)
    assert root.points[0].kind == "edge minimum"
    bell = tw.minimum("1/(1+x²)")
    assert kinds(bell) == ["maximum"]
    assert bell.verdict.startswith("it has no minimum; ")
    product = tw.minimum("x*log(x)")
    assert str(tw.function(product.best.exact[0])) == "e^(−1)" if product.best and product.best.exact else False
    assert not product.everywhere
    constant = tw.minimum("7", variables="x")
    assert "it is 7 everywhere" in constant.verdict
    degenerate = tw.minimum("x^4*y^4 + x^3*y^5")
    assert not degenerate.everywhere
    corner = tw.minimum("|x| + |y|")
    assert corner.best is None
    assert "a grid is lowest inside, 0 at x = 0, y = 0" in corner.verdict


def test_flat_stretches_and_curves_are_one_point() -> None:
    plateau = tw.minimum("|x−1| + |x+2|")
    assert plateau.value == 3
    assert [one.reason.partition(" ")[0] for one in plateau.points] == ["a", "level", "a"]
    assert kinds(tw.minimum("floor(x)", bounds=(0, 3))) == ["inflection"] * 3
    line = tw.minimum("(x + y)²")
    assert "y may be anything" in line.note
    assert line.everywhere
    ring = tw.minimum("(x² + y² − 1)²", bounds=(-2, 2))
    assert kinds(ring) == ["maximum", "minimum"]
    assert "level along a whole curve" in ring.note


def test_closed_forms_stand_beside_decimals() -> None:
    found = tw.minimum("x⁴ − 3x²")
    assert [str(tw.function(one.exact[0])) for one in found.points if one.exact] == ["−√6/2", "0", "√6/2"]
    assert "x = √6/2 ≈ 1.22474" in str(found)
    assert found.value == pytest.approx(-2.25)


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(-5, 5), min_size=3, max_size=7))
def test_polynomials_have_all_their_stationary_points(coefficients: list[int]) -> None:
    if not any(coefficients[:-1]):
        return
    f = np.poly1d(coefficients)
    text = "+".join(f"({c})*x^{f.order - k}" for k, c in enumerate(f.coeffs.astype(int)))
    found = tw.minimum(text)
    roots = f.deriv().roots if f.order else np.array([])
    real = roots[np.abs(roots.imag) < 1e-7].real
    for one in found.points:
        assert np.abs(roots - one.at[0]).min() < 1e-3
        assert one.value == pytest.approx(f(one.at[0]), rel=1e-9, abs=1e-9)
    for root in real:
        assert any(abs(root - one.at[0]) < 1e-3 for one in found.points) or np.sum(np.abs(roots - root) < 1e-2) > 1
    if found.everywhere and found.best is not None:
        assert found.value == pytest.approx(f(np.append(real, 0)).min(), rel=1e-6, abs=1e-6)


def test_grid() -> None:
    found = tw.minimum(ROSENBROCK, bounds=[(-2, 2), (-1, 3)], method="grid", resolution=201)
    assert found.at == pytest.approx((1, 1))
    assert "the lowest of 40,401 points in −2 ≤ x ≤ 2, −1 ≤ y ≤ 3, 0.02, 0.02 apart" in found.verdict
    edge = tw.minimum("exp(x)", method="grid")
    assert edge.at == (-10,)
    assert "on the edge" in edge.note
    plain = tw.minimum(lambda x: np.abs(x - 0.5), bounds=(0, 1), method="grid", resolution=11)
    assert plain.at == (0.5,)
    inside = tw.minimum("log(x) + 1/x", bounds=(-1, 3), method="grid")
    assert inside.at == pytest.approx((1,), abs=0.01)


def test_descent() -> None:
    found = tw.minimum(ROSENBROCK, method="descent", start=(-1.2, 1))
    assert found.at == pytest.approx((1, 1), abs=1e-4)
    assert found.points[0].reason.startswith("eigenvalues 0.399")
    assert tw.minimum("x*sin(x)", method="descent", start=2.5).at == pytest.approx((4.913180439,), abs=1e-4)
    assert tw.minimum("x*sin(x)", method="descent", start="1.5").at == pytest.approx((0,), abs=1e-4)
    assert "does not settle" in tw.minimum("−x²", method="descent", start=1).verdict
    assert "does not settle" in tw.minimum(lambda x: -(np.abs(x) ** 3), method="descent", start=1).verdict
    assert tw.minimum(lambda x: np.abs(x - 0.5), method="descent", start=2).at == pytest.approx((0.5,), abs=1e-3)


def test_wrong_use() -> None:
    for call, words in (
        (lambda: tw.minimum("7"), "is constant: it has this value everywhere"),
        (lambda: tw.minimum("x", method="magic"), "give exact, grid or descent"),
        (lambda: tw.minimum("x", method="descent"), "give it with start="),
        (lambda: tw.minimum("x", bounds=(1, 1)), "the lower end comes first"),
        (lambda: tw.minimum("x", bounds=5), "are not bounds"),
        (lambda: tw.minimum("x", bounds=("a", 2)), "because it has a"),
        (lambda: tw.minimum("x", bounds={"y": (0, 1)}), "the bounds are for y"),
        (lambda: tw.minimum("x", bounds=[(0, 1), (0, 1)]), "are not bounds of x"),
        (lambda: tw.minimum("x", method="grid", resolution=1), "a whole number from 2"),
        (lambda: tw.minimum("x+y+z", method="grid", resolution=10_000), "a whole number from 2 to 158"),
        (lambda: tw.minimum(lambda x: np.abs(x)[0]), "has no formula"),
    ):
        with pytest.raises(ExpressionError, match=words):
            call()
