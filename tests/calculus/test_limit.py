"""The derivative by its definition: quotient, limit, table and picture."""

from __future__ import annotations

import math

import numpy as np
import pytest

import thalweg as tw
from thalweg.calculus.limit import Limit
from thalweg.errors import ExpressionError
from thalweg.pictures.secant import FRAMES
from thalweg.pictures.still import Drawing


def limit(formula: object, at: object = None, wrt: str | None = None) -> Limit:
    return tw.derivative(formula, wrt, at=at, method="limit")


def test_the_course_s_case_is_worked_out() -> None:
    found = limit("3x³−2x+1", 2)
    assert str(tw.function(found.quotient)) == "3h² + 9h·x + 9x² − 2"
    assert str(tw.function(found.expression)) == "9x² − 2"
    assert (found.value, found.error) == (34, 0)
    f = lambda x: 3 * x**3 - 2 * x + 1  # noqa: E731
    np.testing.assert_allclose(found.right, (f(2 + found.h) - f(2)) / found.h, rtol=1e-4)
    np.testing.assert_allclose(found.left, (f(2 - found.h) - f(2)) / -found.h, rtol=1e-4)
    assert found.table().iloc[0].tolist() == [1.0, 55.0, 19.0]
    assert str(found).splitlines()[2:4] == ["(f(x + h) − f(x))/h = 3h² + 9h·x + 9x² − 2", "→ 9x² − 2 as h → 0"]
    assert str(found).endswith("at x = 2: 34")
    assert found.latex() == r"\lim_{h \to 0} \left(3 h^{2} + 9 h x + 9 x^{2} - 2\right) = 9 x^{2} - 2"


@pytest.mark.parametrize("formula", ["sin(x)", "exp(2x)", "1/x", "x*exp(x)", "sqrt(x)", "log(x)", "(x+1)/(x²+1)"])
def test_limits_are_what_the_rules_give(formula: str) -> None:
    found = limit(formula, 0.7)
    due = tw.derivative(formula, at=0.7).value
    assert found.value == pytest.approx(due, rel=1e-9)
    assert found.expression is not None
    assert tw.function(found.expression)(0.7) == pytest.approx(due)
    middle = (found.right + found.left) / 2
    assert abs(middle[5] - due) < abs(middle[2] - due) < abs(middle[1] - due)


def test_functions_without_a_formula() -> None:
    f = lambda x: np.interp(x, [0, 1, 3], [0, 2, 4])  # noqa: E731
    found = limit(f, 0.5)
    assert found.expression is None
    assert found.value == pytest.approx(2, abs=1e-6)
    assert 0 < found.error < 1e-3
    assert limit(f, 1).note == "the slope is 2 from the left and 1 from the right"
    with pytest.raises(ExpressionError, match="has no formula"):
        limit(f)


@pytest.mark.parametrize(
    ("formula", "at", "words"),
    [
        ("|x|", 0, "the slope is −1 from the left and 1 from the right"),
        ("sqrt(x)", 0, "not a real number to the left"),
        ("floor(x)", 1, "do not settle"),
        ("max(x, x²)", 1, "1 from the left and 2 from the right"),
    ],
)
def test_where_there_is_none(formula: str, at: float, words: str) -> None:
    found = limit(formula, at)
    assert math.isnan(found.value or 0)
    assert words in found.note
    assert f"none, because {found.note}" in str(found)
    with pytest.raises(ExpressionError, match="there is no tangent to draw"):
        found.picture()


def test_several_variables() -> None:
    found = limit("x*y² + h", {"x": 3, "y": 2, "h": 0}, "y")
    assert found.value == 12
    assert "Δ" in str(found)


def test_wrong_use() -> None:
    for call, words in (
        (lambda: limit("log(x)", -1), "not a real number at −1"),
        (lambda: tw.derivative("x", order=2, method="limit"), "gives the first derivative, not order 2"),
        (lambda: limit("x").picture(), "give it with at="),
        (lambda: limit("x", 1).picture(h=0), "must be a number that is not 0"),
    ):
        with pytest.raises(ExpressionError, match=words):
            call()


@pytest.mark.parametrize("h", [1.0, -0.4])
def test_the_secant_becomes_the_tangent(h: float) -> None:
    figure = limit("3x³−2x+1", 1).picture(h)
    f = tw.function("3x³−2x+1")
    slopes = []
    for frame in figure.frames:
        secant, _, ends, words = frame.data
        slopes.append((secant.y[1] - secant.y[0]) / (secant.x[1] - secant.x[0]))
        np.testing.assert_allclose(ends.y, f(np.array(ends.x)))
        assert f"slope {slopes[-1]:.4g}".replace("-", "−") in words.text[0]
    assert len(slopes) == FRAMES
    np.testing.assert_allclose(slopes[0], (f(1 + h) - f(1)) / h)
    assert slopes[-1] == pytest.approx(7)
    assert (np.diff(np.abs(np.array(slopes) - 7)) <= 1e-9).all()
    assert figure.layout.title.text == "f(x) = 3x³ − 2x + 1"
    tangent = next(trace for trace in figure.data if trace.name == "tangent")
    assert (tangent.y[1] - tangent.y[0]) / (tangent.x[1] - tangent.x[0]) == pytest.approx(7)


def test_the_table_settles_where_the_function_is_not_real_on_the_far_side() -> None:
    found = tw.derivative(lambda x: math.log(float(x)) if x > 0 else math.nan, at=0.05, method="limit")
    assert found.value == pytest.approx(20)
    assert 0 < found.error < 1e-6


def test_a_pole_does_not_flatten_the_picture() -> None:
    figure = limit("1/x", 0.5).picture(0.4)
    low, high = figure.layout.yaxis.range
    assert high - low < 15
    assert np.isnan(np.asarray(figure.data[0].y, dtype=float)).any()
    assert Drawing(figure).image().ndim == 3
