"""Expressions as people write them: 9x² − 2 in a terminal, which `tw.function` reads again, and LaTeX."""

from __future__ import annotations

import math
import re
from typing import Any

import sympy as sp
from sympy.printing.latex import LatexPrinter
from sympy.printing.precedence import PRECEDENCE, precedence
from sympy.printing.str import StrPrinter

from .syntax import GREEK

RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_GREEK = dict(zip("αβγδεζηθικλμνξρστυφχψω", GREEK.split(), strict=True))
_WORD = re.compile(r"[^\W\d_][^\W²³¹⁰⁴-⁹]*|\d+")
_WORDS = {"Abs": "abs", "Max": "max", "Min": "min", "Heaviside": "heaviside", "ceiling": "ceil"}


def plain(expression: Any) -> str:
    """One line of text, in the grammar of `syntax.py`.

    >>> x, y = sp.symbols("x y", real=True)
    >>> print(plain(9 * x**2 - 2), plain(x * sp.sin(x) / 2), plain(6 * x * y - sp.exp(-x)), sep="; ")
    9x² − 2; x·sin(x)/2; 6x·y − e^(−x)
    """
    return _Text().doprint(expression)


def bracketed(expression: Any) -> str:
    """The same in brackets if it is a sum or has a sign.

    >>> x = sp.Symbol("x", real=True)
    >>> bracketed(x + 1), bracketed(-x), bracketed(x**2)
    ('(x + 1)', '(−x)', 'x²')
    """
    return _Text().factor(expression, True)


def digits(value: float) -> str:
    """A number in at most ten digits.

    >>> digits(-0.1 * 3), digits(float("-inf")), digits(float("nan"))
    ('−0.3', '−∞', '—')
    """
    text = "—" if math.isnan(value) else f"{value + 0.0:.10g}".replace("inf", "∞")
    return text.replace("-", "−")


def latex(expression: Any) -> str:
    """The same as LaTeX."""
    return _Paper({"fold_short_frac": False, "inv_trig_style": "full"}).doprint(expression)


class _Text(StrPrinter):
    def _print_Add(self, expr: Any, order: Any = None) -> str:
        text = ""
        for term in ordered(expr):
            word = self._print(term)
            if precedence(term) < PRECEDENCE["Add"]:
                word = f"({word})"
            minus = word.startswith("−")
            sign = (" − " if minus else " + ") if text else ("−" if minus else "")
            text += sign + word.removeprefix("−")
        return text

    def _print_Mul(self, expr: Any) -> str:
        minus, coefficient, above, below = _fraction(expr)
        numbers = [coefficient] if coefficient != 1 or not above else []
        top = self._product([*numbers, *above], minus or bool(below))
        if below:
            bottom = self._product(below, True)
            simple = len(below) == 1 or bottom.isdigit()
            top = f"{top}/{bottom if simple else f'({bottom})'}"
        return f"−{top}" if minus else top

    def _product(self, factors: list[Any], bracketed: bool) -> str:
        """3x, 3·2^x, 3(x + 1), x·sin(x): a number stands right before a name or a bracket."""
        words = [self.factor(factor, bracketed or len(factors) > 1) for factor in factors]
        if len(words) > 1 and factors[0].is_Number and not words[1][0].isdigit():
            words[:2] = [words[0] + words[1]]
        return "·".join(words)

    def factor(self, factor: Any, among: bool) -> str:
        word = self._print(factor)
        return f"({word})" if among and (factor.is_Add or word.startswith("−")) else word

    def _print_Pow(self, expr: Any, rational: bool = False) -> str:
        base, exponent = expr.args
        if exponent == sp.S.Half:
            return f"√{self._print(base)}" if base.is_Integer and base > 0 else f"sqrt({self._print(base)})"
        if exponent.is_negative and exponent.is_Number:
            return self._print_Mul(expr)
        word = self._print(base)
        if not (base.is_Symbol or base.is_Function or base == sp.E or base == sp.pi or (base.is_Integer and base >= 0)):
            word = f"({word})"
        if exponent.is_Integer and not base.is_Function:
            return word + str(exponent).translate(RAISED)
        power = self._print(exponent)
        return f"{word}^{power}" if _WORD.fullmatch(power) else f"{word}^({power})"

    def _print_ExpBase(self, expr: Any) -> str:
        power = self._print(expr.exp)
        return f"e^{power}" if _WORD.fullmatch(power) else f"e^({power})"

    def _print_Rational(self, expr: Any) -> str:
        return str(expr).replace("-", "−")

    def _print_Float(self, expr: Any) -> str:
        return f"{float(expr):.12g}".replace("-", "−")

    def _print_Exp1(self, expr: Any) -> str:
        return "e"

    def _print_Pi(self, expr: Any) -> str:
        return "π"

    def _print_Function(self, expr: Any) -> str:
        name = type(expr).__name__
        arguments = expr.args[:1] if name == "Heaviside" else expr.args
        return f"{_WORDS.get(name, name)}({', '.join(str(self._print(part)) for part in arguments)})"

    _print_Abs = _print_Max = _print_Min = _print_Heaviside = _print_Function
    _print_exp = _print_ExpBase
    _print_Half = _print_Integer = _print_One = _print_Zero = _print_NegativeOne = _print_Rational


class _Paper(LatexPrinter):
    def _as_ordered_terms(self, expr: Any, order: Any = None) -> list[Any]:
        return ordered(expr)

    def _print_Symbol(self, expr: Any, style: Any = "plain") -> str:
        if expr.name.isascii():
            return super()._print_Symbol(expr, style)
        greek = "".join(str(_GREEK.get(letter, letter)) for letter in expr.name)
        if greek.isascii():
            return super()._print_Symbol(sp.Symbol(greek))
        return rf"\text{{{expr.name}}}".replace("_", r"\_")

    def _print_Heaviside(self, expr: Any, exp: Any = None) -> str:
        word = rf"\theta\left({self._print(expr.args[0])}\right)"
        return f"{word}^{{{exp}}}" if exp else word


def ordered(expression: Any) -> list[Any]:
    """Terms as on paper: the highest power first, but y − x² rather than −x² + y."""
    terms = sp.Add._from_args(expression.args).as_ordered_terms()
    if len(terms) == 2 and terms[0].could_extract_minus_sign() > terms[1].could_extract_minus_sign():
        terms.reverse()
    return terms


def _fraction(expr: Any) -> tuple[bool, Any, list[Any], list[Any]]:
    """Sign, coefficient, factors above and below the line."""
    above, below, coefficient = [], [], sp.S.One
    for factor in expr.as_ordered_factors():
        base, exponent = factor.as_base_exp()
        if factor.is_Number:
            coefficient *= factor
        elif exponent.is_Number and exponent.is_negative and base != sp.E:
            below.append(sp.Pow(base, -exponent))
        else:
            above.append(factor)
    minus = bool(coefficient.is_negative)
    coefficient = abs(coefficient)
    if coefficient.is_Rational and coefficient.q != 1:
        below.insert(0, sp.Integer(coefficient.q))
        coefficient = sp.Integer(coefficient.p)
    above.sort(key=_place)
    return minus, coefficient, above, below


def _place(factor: Any) -> int:
    """Names, then powers of sums, then functions: x·sin(x), 2x·(x − 1)²."""
    base = factor if isinstance(factor, sp.exp) else factor.as_base_exp()[0]
    return 0 if base.is_Number or base.is_NumberSymbol else 1 if base.is_Symbol else 2 if base.is_Add else 3
