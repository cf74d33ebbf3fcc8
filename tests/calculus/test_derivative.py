"""Derivatives by the rules: the cases of the course, every step against SymPy, values against torch's autograd."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable

import numpy as np
import pytest
import sympy as sp
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import thalweg as tw
from thalweg.calculus.rules import RULES
from thalweg.calculus.symbolic import symbol
from thalweg.errors import ExpressionError

from ..hangs import no_hang
from .expressions import DIFFERENTIABLE, Meaning
from .test_function import EVERYTHING

x = symbol("x")


@pytest.mark.parametrize(
    ("formula", "wrt", "due"),
    [
        ("3x³−2x+1", "x", "9x² − 2"),
        ("3*x*y²+4x³−5y²+1", "x", "12x² + 3y²"),
        ("3*x*y²+4x³−5y²+1", "y", "6x·y − 10y"),
        ("(2x−1)³", "x", "6(2x − 1)²"),
        ("3(x−2)²+(y−2)²", "x", "6(x − 2)"),
        ("3(x−2)²+(y−2)²", "y", "2(y − 2)"),
        ("x²−4x+6", "x", "2x − 4"),
        ("x*sin(x)", "x", "x·cos(x) + sin(x)"),
        ("sin(x)/x", "x", "(x·cos(x) − sin(x))/x²"),
        ("1/x", "x", "−1/x²"),
        ("e^(−x²)", "x", "−2x·e^(−x²)"),
        ("2^(3x)", "x", "3·2^(3x)·log(2)"),
        ("x^x", "x", "x^x·(log(x) + 1)"),
        ("log(x²+1)", "x", "2x/(x² + 1)"),
        ("sqrt(x²+1)", "x", "x/sqrt(x² + 1)"),
        ("7", "x", "0"),
        ("sigmoid(x)", "x", "(1 − sigmoid(x))·sigmoid(x)"),
        ("softplus(2x)", "x", "2sigmoid(2x)"),
        ("relu(x)", "x", "heaviside(x)"),
        ("|x − 1|", "x", "sign(x − 1)"),
        ("tan(x)", "x", "tan(x)^2 + 1"),
    ],
)
def test_cases(formula: str, wrt: str, due: str) -> None:
    found = tw.derivative(formula, wrt)
    assert str(found.slope) == due
    assert str(found).partition("\n")[0].endswith(f" = {due}")


STEPPED = [
    "3x³−2x+1",
    "(2x−1)³",
    "x*sin(x)*e^x",
    "sin(x)/(x+1)",
    "x^x",
    "2^(3x)",
    "1/(2sin(x)^2)",
    "sqrt(x²+1)·log(x)",
    "sigmoid(3x) − softplus(x)",
    "atan(x^2) + asin(x/9)/acos(x/9)",
    "tanh(x)*sinh(x)*cosh(x)",
    "erf(x)/(3x)",
    "(1-x)^2+100(y-x²)²",
    "|x−1|·sign(x)",
    "floor(x)*x",
    "max(x, 2x, y)·min(x, 1)",
    "5(x²+x)^3·y",
    "tan(1/x)",
    "acosh(x+2) + atanh(x/9) + asinh(x)",
]


KINKED = (sp.floor, sp.Max, sp.Min, sp.Abs, sp.sign)


@pytest.mark.parametrize("formula", STEPPED)
def test_every_step_is_true(formula: str) -> None:
    """SymPy differentiates each `of` by its own means, or a difference quotient does where there are kinks."""
    found = tw.derivative(formula, "x")
    assert found.steps
    points = np.random.default_rng(1).uniform(0.1, 3, (2, 30))
    for step in found.steps:
        own = tw.function(step.result, variables="x y")(*points)
        if step.of.has(*KINKED):
            f = tw.function(step.of, variables="x y")
            theirs = (f(points[0] + 1e-6, points[1]) - f(points[0] - 1e-6, points[1])) / 2e-6
        else:
            theirs = tw.function(sp.diff(step.of, x), variables="x y")(*points)
        both = np.isfinite(own) & np.isfinite(theirs)
        assert both.sum() > 5
        np.testing.assert_allclose(own[both], theirs[both], rtol=1e-5, atol=1e-5, err_msg=str(step))
        assert step.law
        assert str(step) in str(found)
        assert step.latex() in found.steps_latex().replace(" &= ", " = ")


def test_rules_are_named_where_they_are_used() -> None:
    def used(formula: str) -> list[str]:
        return [step.rule for step in tw.derivative(formula).steps]

    assert used("x*sin(x)") == ["sin", "product"]
    assert used("sin(x)/(x+1)") == ["sin", "sum", "quotient"]
    assert used("(2x-1)^3") == ["constant multiple", "sum", "chain, power"]
    assert used("sin(2x)") == ["constant multiple", "chain, sin"]
    assert used("x^x") == ["power of two functions"]
    assert used("2^x") == ["exponential"]
    assert used("e^x + log(x)") == ["exp", "log", "sum"]
    assert set(RULES) - {"SymPy"} <= {rule for formula in STEPPED for rule in used(formula.replace("y", "3"))}


def test_laws_say_the_rule() -> None:
    laws = {step.rule: step.law for step in tw.derivative("sin(2x) + e^(3x) + log(x) + |x|").steps}
    assert laws["chain, sin"] == "sin(u)′ = u′·cos(u)"
    assert laws["chain, exp"] == "(e^u)′ = u′·e^u"
    assert laws["log"] == "log(x)′ = 1/x"
    assert laws["abs"] == "abs(x)′ = sign(x)"


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(DIFFERENTIABLE, st.floats(0.1, 2), st.floats(0.1, 2))
def test_values_are_those_of_autograd(meaning: Meaning, at_x: float, at_y: float) -> None:
    try:
        f = tw.function(meaning.text, variables="x y")
    except ExpressionError:
        return
    slope = tw.derivative(f, "x")
    at = torch.tensor([at_x, at_y], dtype=torch.float64)
    due, near = (_autograd(f, at * scale) for scale in (1, 1 + 1e-13))
    # torch has a slope of acosh below 1 too, where there is no value
    settled = abs(due) < 1e12 and abs(due - near) < 1e-9 * (1 + abs(due))
    if settled and math.isfinite(f(at_x, at_y)):
        assert slope(at_x, at_y) == pytest.approx(due, rel=1e-6, abs=1e-6)


def _autograd(f: tw.Function, at: torch.Tensor) -> float:
    at = at.clone().requires_grad_()
    value = f(at[0], at[1])
    if not value.requires_grad:
        return 0.0 if torch.isfinite(value) else math.nan
    found = torch.autograd.grad(value, at, allow_unused=True)[0]
    return float(found[0])


def test_a_constant_that_is_not_real_is_nan_among_tensors() -> None:
    assert math.isnan(tw.function("(-(x^0))^.25", variables="x")(torch.tensor(0.5)))


def test_everything_at_once_and_twice() -> None:
    f = tw.function(EVERYTHING)
    at = np.random.default_rng(2).uniform(-1.7, 1.7, (2, 40))
    for name, place in (("x", 0), ("y", 1)):
        tensors = [torch.tensor(values, requires_grad=True) for values in at]
        (due,) = torch.autograd.grad(f(*tensors).sum(), tensors[place])
        np.testing.assert_allclose(tw.derivative(f, name)(*at), due, rtol=1e-9)
    second = tw.hessian(f)
    h = 1e-5
    slope = tw.derivative(f, "x")
    np.testing.assert_allclose(
        second(*at)[..., 0, 0], (slope(at[0] + h, at[1]) - slope(at[0] - h, at[1])) / (2 * h), rtol=1e-4, atol=1e-4
    )


def test_orders() -> None:
    assert str(tw.derivative("x^5", order=3).slope) == "60x²"
    assert str(tw.derivative("(2x−1)³", order=2).slope) == "24(2x − 1)"
    found = tw.derivative("x^2*y", "x", order=2, at={"y": 3, "x": 1})
    assert found.value == 6
    assert str(found).startswith("∂²/∂x² x²·y = 2y\n\nat x = 1, y = 3: 6\n")
    assert "order 2:" in str(found)
    assert found.latex() == (
        r"\frac{\partial^{2}}{\partial x^{2}} x^{2} y = 2 y,\quad "
        r"\left. \frac{\partial^{2} f}{\partial x^{2}} \right|_{x = 1, y = 3} = 6"
    )


def test_points() -> None:
    assert tw.derivative("3x^3 − 2x + 1", at=2).value == 34
    assert tw.derivative("sin(x)", at="pi").value == -1
    assert tw.derivative("sqrt(x)", at=0).value == math.inf
    kink = tw.derivative("|x|", at=0)
    assert math.isnan(kink.value or 0)
    assert kink.note == "the slope is −1 from the left and 1 from the right"
    assert tw.derivative("x*|x|", at=0).value == 0
    assert tw.derivative("max(x, x^2)", at=0.5).value == 1
    assert "2 from the right" in tw.derivative("max(x, x^2)", at=1).note
    gap = tw.derivative("log(x)", at=-1)
    assert gap.note == "the function is not a real number there"
    assert "at x = −1: none, because" in str(gap)
    for wrong, words in (
        ("a", "because it has a"),
        ([1, 2], "give one number for each"),
        ({"y": 1}, "give each variable once"),
        (math.inf, "not a finite number"),
        ([[1]], "is not a number"),
    ):
        with pytest.raises(ExpressionError, match=words):
            tw.derivative("x^2", at=wrong)


def test_gradient_and_hessian() -> None:
    found = tw.gradient("3(x−2)²+(y−2)²", at=(1, 1))
    assert [str(part.slope) for part in found.parts] == ["6(x − 2)", "2(y − 2)"]
    assert found.value is not None
    assert found.value.tolist() == [-6, -2]
    assert found(np.zeros(3), 1.0).tolist() == [[-12, -2]] * 3
    assert found.latex() == (r"\nabla f = \begin{pmatrix} 6 \left(x - 2\right) \\ 2 \left(y - 2\right) \end{pmatrix}")
    rosenbrock = tw.hessian("(1-x)² + 100(y-x²)²", at=(1, 1))
    assert rosenbrock.value is not None
    assert rosenbrock.value.tolist() == [[802, -400], [-400, 200]]
    assert rosenbrock(torch.ones(5), torch.ones(5)).shape == (5, 2, 2)
    assert "1200x² − 400y + 2  −400x\n−400x              200" in str(rosenbrock)
    due = sp.hessian(rosenbrock.function.expression, rosenbrock.function.symbols())
    assert sp.simplify(rosenbrock.expression - due) == sp.zeros(2)
    assert tw.gradient("x", variables="x y").expression == sp.Matrix([1, 0])
    with pytest.raises(ExpressionError, match="is constant"):
        tw.gradient("7")


def test_wrong_use() -> None:
    for call, words in (
        (lambda: tw.derivative("x*y"), r"say which with wrt \(--wrt x\), or ask for the gradient"),
        (lambda: tw.derivative("x", "y"), "'y' is not a variable of x"),
        (lambda: tw.derivative("x", order=0), "a whole number from 1 to 12"),
        (lambda: tw.derivative("x", order=True), "a whole number from 1 to 12"),
        (lambda: tw.derivative("x", method="magic"), "give rules or limit"),
        (lambda: tw.derivative(lambda x: np.interp(x, [0, 1], [0, 1])), "has no formula"),
    ):
        with pytest.raises(ExpressionError, match=words):
            call()


def test_no_derivative_grows_without_bound() -> None:
    """Products of many factors and nested powers: a sentence or a result."""
    for formula, order in (
        ("·".join(f"sin({n}x+1)" for n in range(2, 60)), 3),
        ("x^x^x^x^x^x^x^x", 6),
        ("sin(" * 30 + "x" + ")" * 30, 4),
        ("max(" + "max(x,1)·" * 40 + "x,2)", 3),
    ):
        with contextlib.suppress(ExpressionError), no_hang():
            str(tw.derivative(formula, order=order))


@pytest.mark.parametrize(
    "answer",
    [
        lambda at: tw.derivative("3x*y² + x³", "x", at=at),
        lambda at: tw.derivative("3x*y² + x³", "x", at=at, method="limit"),
        lambda at: tw.gradient("3x*y² + x³", at=at),
        lambda at: tw.hessian("3x*y² + x³", at=at),
        lambda at: tw.minimum("3x*y² + x³", bounds={"y": (at[0], 2), "x": (-1, 1)}),
    ],
)
def test_answers_are_values(answer: Callable[..., object]) -> None:
    assert answer([1, 2]) == answer([1, 2]) != answer([0, 2])
    assert len({answer([1, 2]), answer([1, 2]), answer([0, 2])}) == 2


def test_a_gradient_has_the_steps_of_its_parts_and_a_hessian_each_mixed_part_once() -> None:
    found, second = tw.gradient("x² + y³"), tw.hessian("x³*y²")
    assert [step.rule for step in found.steps] == ["power", "sum"] * 2
    assert {step.variable for step in found.steps} == {"x", "y"}
    upper = [second.parts[0][0], second.parts[0][1], second.parts[1][1]]
    assert second.steps == tuple(step for part in upper for step in part.steps)
    assert second.latex() == (
        r"\nabla^2 f = \begin{pmatrix} 6 x y^{2} & 6 x^{2} y \\ 6 x^{2} y & 2 x^{3} \end{pmatrix}"
    )


def test_sympy_works_out_what_has_no_rule_here() -> None:
    x = sp.Symbol("x", real=True)
    pieces = tw.derivative(sp.Piecewise((3 * x, x > 0), (x**2, True)), at=-2)
    assert (pieces.value, pieces(2.0), pieces.steps[-1].rule) == (-4, 3, "SymPy")
    bessel = tw.derivative(sp.besselj(0, x))
    assert (bessel.expression, bessel.steps[-1].rule) == (-sp.besselj(1, x), "SymPy")
    with pytest.raises(ExpressionError, match=r"besselj\(0, x\) has no numeric form"):
        tw.function(sp.besselj(0, x))(1.0)


def test_zero_to_a_power_that_varies_is_level() -> None:
    assert tw.derivative("0^x").expression == 0
