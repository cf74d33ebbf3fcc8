"""`tw.function`: what is read, what is refused and how fast, what it evaluates to."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import thalweg as tw
from thalweg.calculus.symbolic import symbol
from thalweg.errors import ExpressionError

from ..hangs import no_hang
from .expressions import ANY, Meaning, steady
from .hostile import texts

x, y, z = map(symbol, "xyz")
R = sp.Rational


@pytest.mark.parametrize(
    ("text", "expression"),
    [
        ("3x³−2x+1", 3 * x**3 - 2 * x + 1),
        ("3*x*y**2+4x³−5y²+1", 3 * x * y**2 + 4 * x**3 - 5 * y**2 + 1),
        ("(2x−1)³", (2 * x - 1) ** 3),
        ("3(x−2)²+(y−2)²", 3 * (x - 2) ** 2 + (y - 2) ** 2),
        ("x²−4x+6", x**2 - 4 * x + 6),
        ("x·sin(x)", x * sp.sin(x)),
        ("x * sin( x )", x * sp.sin(x)),
        ("-x^2", -(x**2)),
        ("2^-x", 2**-x),
        ("x^y^2", x ** (y**2)),
        ("x**-2", x**-2),
        ("--x", x),
        ("-+-x", x),
        ("0.1x", x / 10),
        ("1.5e-3*x", R(3, 2000) * x),
        (".5", R(1, 2)),
        ("2.*x", 2 * x),
        ("1e30", sp.Float(1e30)),
        ("|x-1|", sp.Abs(x - 1)),
        ("2|x||y|", 2 * sp.Abs(x) * sp.Abs(y)),
        ("|x|*|y-|x||", sp.Abs(x) * sp.Abs(y - sp.Abs(x))),
        ("√2·x", sp.sqrt(2) * x),
        ("√(x+1)", sp.sqrt(x + 1)),
        ("sqrt(2)x", sp.sqrt(2) * x),
        ("2pi x", None),
        ("2e", 2 * sp.E),
        ("2e^x", 2 * sp.exp(x)),
        ("e", sp.E),
        ("2π", 2 * sp.pi),
        ("log2(8)", sp.Integer(3)),
        ("ln(x)", sp.log(x)),
        ("log(x, 2)", sp.log(x) / sp.log(2)),
        ("arctan(x)", sp.atan(x)),
        ("x²y", x**2 * y),
        ("(x-1)(x+2)", (x - 1) * (x + 2)),
        ("a-(b-c)", symbol("a") - symbol("b") + symbol("c")),
        ("x_1 + x₂", symbol("x_1") + symbol("x2")),
        ("x⁻²", x**-2),
        ("x¹⁰", x**10),
        ("floor(sqrt(3)^2)", sp.Integer(3)),
        ("min(3, 2) + max(1, 5/2)", R(9, 2)),
        ("학습률·x", symbol("학습률") * x),
        ("λ", symbol("λ")),
        ("lambda*x", symbol("lambda") * x),
        ("I*E", symbol("I") * symbol("E")),
        ("sqrt(x²)", sp.Abs(x)),
    ],
)
def test_reads(text: str, expression: sp.Expr | None) -> None:
    if expression is None:
        with pytest.raises(ExpressionError):
            tw.function(text)
        return
    found = tw.function(text)
    assert found.expression == expression
    assert found.variables == tuple(sorted(s.name for s in expression.free_symbols))


def test_coefficients_stay_in_front_of_sums() -> None:
    assert str(tw.function("6(x-2) + 2(y-2)")) == "6(x − 2) + 2(y − 2)"
    assert str(tw.function("x-(y+1)")) == "x − y − 1"


TEXTS = texts()


def test_full_width_signs_are_read() -> None:
    assert str(tw.function("３ｘ＋２")) == str(tw.function("3x+2"))
    assert tw.function("ｘ＾２　＋　ｙ").variables == ("x", "y")


def test_there_are_enough_of_them() -> None:
    assert len(TEXTS) >= 200


def test_hostile_texts_are_refused_in_a_sentence() -> None:
    for text in TEXTS:
        with pytest.raises(ExpressionError) as refusal, no_hang():
            tw.function(text)
        words = str(refusal.value)
        assert words.endswith("."), text
        assert "\n" not in words, text
        assert len(words) < 500, text
        assert words.isprintable(), text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("9**9**9**9", "'9**9**9**9' is refused: its numbers would have hundreds of digits"),
        ("x.__class__", "at '.__class__' (character 2): '.' has no meaning here"),
        ("1/2x", "write a/(b*c) or (a/b)*c"),
        ("xy² + x²", "xy, which could be a product"),
        ("x*sinx", "sinx, which could be sin of x or a variable of its own: write sin(x); in Python"),
        ("log2xy", "log2xy, which could be log2 of xy or a variable of its own: write log2(x*y); in Python"),
        ("x = x^2", "'=' has no meaning here"),
        ("f(y)=x", "has x, and variables= has y"),
        ("x(x+1)", "write x*(…) for a product"),
        ("sin x", "write sin(x), and its square sin(x)^2"),
        ("sin²x", "write sin(x), and its square sin(x)^2"),
        ("sin^-1(x)", "the inverse of sin is written asin(x)"),
        ("tan⁻¹x", "the inverse of tan is written atan(x)"),
        ("ln^-1(x)", "ln is a function: write ln(x)"),
        ("sine(x)", "did you mean sin"),
        ("0,5", "write decimals with a point"),
        ("sin(x, y)", "sin takes 1 argument, not 2"),
        ("log(-1)", "log(-1) is not a real number"),
        ("1/(x-x)", "is not a real number whatever the variables are"),
        ("(x", "the '(' at character 1 is not closed"),
        ("x*", "it ends where a number"),
        ("", "write one, e.g. x*sin(x)"),
        ("x^2y", "an operation is missing before it"),
    ],
)
def test_the_sentence_says_what_to_do(text: str, words: str) -> None:
    with pytest.raises(ExpressionError) as refusal:
        tw.function(text)
    assert words in str(refusal.value)


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.text(max_size=60), st.text("xy019.+-*/^(),|√²e ", max_size=40)))
@example("((((((((((x^9)^9)^9)^9)")
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        found = tw.function(text)
    except ExpressionError:
        return
    found(*(0.7 for _ in found.variables))
    assert found.latex()
    assert str(found)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(ANY, st.floats(-3, 3), st.floats(-3, 3))
def test_values_are_those_of_numpy(meaning: Meaning, at_x: float, at_y: float) -> None:
    values = (np.float64(at_x), np.float64(at_y))
    try:
        found = tw.function(meaning.text, variables="x y")
    except ExpressionError:
        return
    due = steady(meaning, values)
    if due is not None:
        assert found(*values) == pytest.approx(due, rel=1e-6, abs=1e-6)
        assert tw.function(str(found), variables="x y")(*values) == pytest.approx(due, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize(
    "text", ["|0^(x^x)|", "|0^(x^0.5)|", "|e^(x^x)|", "|2^(x^y)|", "sign(e^(x^x))", "log(|e^(x^x)|)"]
)
def test_a_power_of_a_power_is_real(text: str) -> None:
    """SymPy holds x^x for complex and would speak of its real part."""
    found = tw.function(text, variables="x y")
    assert tw.function(str(found), variables="x y")(0.7, 0.5) == found(0.7, 0.5)
    assert np.isfinite(found(0.7, 0.5))
    assert "re" not in str(found) + found.latex()


EVERYTHING = (
    "sin(x) + cos(y) + tan(x/2) + asin(y/4) + acos(y/4) + atan(x) + sinh(x) + cosh(x) + tanh(y) + asinh(x) + "
    "acosh(3 + y) + atanh(y/4) + exp(x) + log(5 + x) + log2(5 + x) + log10(5 + x) + sqrt(5 + x) + |x| + sign(x) + "
    "floor(3x) + ceil(3y) + heaviside(x) + erf(x) + sigmoid(x) + relu(y) + softplus(x) + min(x, y, 1) + max(x, y, 0) + "
    "x^3 - 1/(4 + y) + (5 + x)^0.3 + 2^x + log(3)*x + pi + e + sqrt(2)"
)


def test_torch_and_numpy_agree_on_everything() -> None:
    f = tw.function(EVERYTHING)
    rng = np.random.default_rng(0)
    points = rng.uniform(-1.9, 1.9, (2, 3, 50))
    found = f(torch.from_numpy(points[0]), torch.from_numpy(points[1]))
    assert found.dtype == torch.float64
    np.testing.assert_allclose(found.numpy(), f(*points), rtol=1e-12)
    each = [f(float(a), float(b)) for a, b in zip(points[0].flat, points[1].flat, strict=True)]
    np.testing.assert_allclose(np.reshape(each, (3, 50)), f(*points), rtol=1e-12)


def test_shapes_and_types() -> None:
    f = tw.function("x*sin(x) + 1/3")
    assert type(f(2)) is float
    assert f(np.arange(6).reshape(2, 3)).shape == (2, 3)
    assert f(np.arange(6)).dtype == np.float64
    assert f(np.ones(2, dtype=np.float32)).dtype == np.float32
    assert f(torch.ones(2, 1)).dtype == torch.float32
    assert f(torch.ones(3, dtype=torch.float64)).shape == (3,)
    constant = tw.function("7", variables="x")
    assert constant(np.zeros((2, 2))).tolist() == [[7, 7], [7, 7]]
    assert constant(torch.zeros(2)).tolist() == [7, 7]
    assert tw.function("7")() == 7.0
    wide = tw.function("x + y")(np.zeros((4, 1)), np.zeros(3))
    assert wide.shape == (4, 3)
    assert wide.flags.writeable
    assert np.isnan(tw.function("log(x)")(-1))
    assert tw.function("softplus(x) - x")(1000) == 0
    assert tw.function("x*10^200*10^90")(np.float32(1)) == np.inf


def test_nothing_is_simplified_again_when_it_is_evaluated() -> None:
    """SymPy given this with symbols that are not real works on the sign of an exponent for minutes."""
    with no_hang():
        f = tw.function("min(asin(acos(x)), x/2 − 1/5, sigmoid(cos(3))) + tanh((y^999)^sqrt(x))")
        assert f(0.7, 0.3) == pytest.approx(0.35 - 0.2)
        assert tw.function("x0*sin(x0) + sin(x0)")(2) == pytest.approx(3 * np.sin(2))


@pytest.mark.parametrize("value", ["a", "2", None, 1j, {}, [[1], [1, 2]], [1, None]], ids=repr)
def test_what_is_no_number_is_no_value(value: object) -> None:
    with pytest.raises(ExpressionError, match=r"the value of a variable is .*; give a number or an array of them"):
        tw.function("x^2")(value)


def test_torch_differentiates_through() -> None:
    at = torch.tensor([0.3, 2.0], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(tw.function("x*sin(x) + max(x, 1) + sqrt(2)").__call__(at).sum(), at)
    torch.testing.assert_close(slope, torch.sin(at) + at * torch.cos(at) + (at > 1).double())


def test_arguments() -> None:
    f = tw.function("x - 2y")
    assert f(5, 1) == f(y=1, x=5) == f(5, y=1) == 3
    assert tw.function("x - 2y", variables=("y", "x"))(1, 5) == 3
    assert tw.function("x", variables="x, y").variables == ("x", "y")
    for wrong in (
        lambda: f(1),
        lambda: f(1, 2, 3),
        lambda: f(1, x=2),
        lambda: f(1, 2, z=3),
        lambda: tw.function("1")(2),
    ):
        with pytest.raises(ExpressionError, match="give each variable once"):
            wrong()
    with pytest.raises(ExpressionError, match="has y, and variables= has x; name all of them"):
        tw.function("x + y", variables="x")
    with pytest.raises(ExpressionError, match="name each once"):
        tw.function("x", variables="x x")
    with pytest.raises(ExpressionError, match="'2x' is not a variable's name"):
        tw.function("x", variables="2x")


def test_python_callables_and_sympy() -> None:
    assert tw.function(lambda x, y: x**2 + y).expression == x**2 + y
    assert tw.function(lambda b, a, k=3: a * b**k).variables == ("b", "a")
    plain = sp.Symbol("x")
    assert tw.function(plain**2).expression == x**2
    assert tw.function(sp.Piecewise((plain, plain > 1), (plain**2, True)))(np.array([0.5, 2.0])).tolist() == [0.25, 2.0]
    assert tw.function(sp.Max(plain, 1) + sp.Min(2, plain, 3))(5) == 7
    numeric = tw.function(lambda x: np.interp(x, [0, 1], [0, 2]))
    assert numeric.expression is None
    assert numeric(0.25) == 0.5
    with pytest.raises(ExpressionError, match="takes numbers only, so it has no formula"):
        numeric.latex()
    same = tw.function("x")
    assert tw.function(same) is same
    assert tw.function(same, variables="x y").variables == ("x", "y")
    assert tw.function(3).expression == 3
    for wrong in (None, [1], "x" == "x", lambda *values: 0):
        with pytest.raises(ExpressionError):
            tw.function(wrong)
    with pytest.raises(ExpressionError, match="two symbols of one name"):
        tw.function(sp.Symbol("x") + sp.Symbol("x", real=True))


@pytest.mark.parametrize(
    ("text", "plain", "latex"),
    [
        ("exp(-x**2/2)/sqrt(2pi)", "√2·e^(−x²/2)/(2sqrt(π))", r"\frac{\sqrt{2} e^{- \frac{x^{2}}{2}}}{2 \sqrt{\pi}}"),
        ("(1-x)^2+100(y-x²)²", "(1 − x)² + 100(y − x²)²", r"\left(1 - x\right)^{2} + 100 \left(y - x^{2}\right)^{2}"),
        ("-3/x^2 + 1/(2x)", "1/(2x) − 3/x²", r"\frac{1}{2 x} - \frac{3}{x^{2}}"),
        ("sin(x)^2*e^-x", None, r"e^{- x} \sin^{2}{\left(x \right)}"),
        ("학습률*λ_1", None, r"\lambda_{1} \text{학습률}"),
        ("sigmoid(x)", "sigmoid(x)", r"\sigma\left(x\right)"),
        ("2*3^x", "2·3^x", r"2 \cdot 3^{x}"),
        ("x^(1/3)", "x^(1/3)", r"\sqrt[3]{x}"),
    ],
)
def test_written(text: str, plain: str | None, latex: str) -> None:
    found = tw.function(text)
    assert plain is None or str(found) == plain
    assert found.latex() == latex
    assert tw.function(str(found)).expression == found.expression


def test_functions_are_values() -> None:
    assert tw.function("x+1") == tw.function("1 + x")
    assert len({tw.function("x"), tw.function("x"), tw.function("x", variables="x y")}) == 2


def test_a_sign_before_a_sum_keeps_its_brackets() -> None:
    f = tw.function("|-(min(x, y − x))|")
    assert str(f) == "abs(min(x, −(x − y)))"
    assert tw.function(str(f))(0.0, 1.0) == f(0.0, 1.0) == 0


def test_the_named_functions_have_numbers_in_sympy_too() -> None:
    assert float(tw.function("sigmoid(1)").expression.evalf()) == pytest.approx(0.7310585786300049, abs=1e-14)
    assert float(tw.function("softplus(1)").expression.evalf()) == pytest.approx(1.3132616875182228, abs=1e-14)


def test_a_number_beyond_floats_is_infinite_and_one_that_is_not_real_is_nan() -> None:
    x = symbol("x")
    assert tw.function(sp.Integer(10) ** 400 * x)(1.0) == np.inf
    assert tw.function(-(sp.Integer(10) ** 400) * x)(1.0) == -np.inf
    assert np.isnan(tw.function(sp.I * x)(1.0))


def test_a_builtin_does_not_say_its_arguments() -> None:
    with pytest.raises(ExpressionError, match="max> does not say its arguments; name them with variables="):
        tw.function(max)
    assert tw.function(max, variables="x y")(1.0, 2.0) == 2


def test_what_a_formula_is_called_may_stand_before_it() -> None:
    for text in ("f(x)=x^2-4x+6", "f(x) = x^2-4x+6", "y = x^2-4x+6", "x^2-4x+6"):
        assert str(tw.function(text)) == "x² − 4x + 6"
    assert tw.function("g(y, x) = x - y").variables == ("y", "x")
    assert tw.function("f(x, y) = x").variables == ("x", "y")
    assert tw.function("sinx + signal", variables="sinx signal").variables == ("sinx", "signal")
    assert tw.function("signal*x").variables == ("signal", "x")
