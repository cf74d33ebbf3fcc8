"""Roots to sixty digits, and the closed form of a number: 1.5707963… is π/2.

The roots of a polynomial of one variable are isolated exactly, by intervals with fractions for ends, and found inside
them. A closed form is recognised: numbers of the usual kinds (fractions, their roots, logarithms and exponentials,
multiples of π, inverse cosines, roots of quadratics) beside the root are put where it belongs, and the one that
fits to forty digits is taken. Unlike solving, this takes the same time for every equation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import mpmath
import sympy as sp
from sympy.polys.fields import field

DIGITS = 60
SAME = mpmath.mpf(10) ** -40  # of two numbers computed to `DIGITS`: nearer than that they are one
NEAR = 1e-7  # of a root that is known as a float to its closed form
LARGEST = 1000  # numerator and denominator of a fraction, as people write them


def real_roots(polynomial: Any) -> list[tuple[Any, int]]:
    """All real roots of a polynomial with fractions for coefficients, each once, with how often it is one.

    >>> x = sp.Symbol("x", real=True)
    >>> [(sp.Float(root, 5), count) for root, count in real_roots(sp.Poly((x**2 - 2) * (x - 3) ** 2, x))]
    [(-1.4142, 1), (1.4142, 1), (3.0000, 2)]
    """
    roots = []
    for part, count in polynomial.sqf_list()[1]:
        while fractions := [low for (low, high), _ in part.intervals() if low == high]:
            roots += [(_number(root), count) for root in fractions]
            part = part.quo(sp.Poly(sp.prod([part.gen - root for root in fractions]), part.gen, domain="QQ"))
        coefficients = [_number(c) for c in part.all_coeffs()]
        roots += [(_inside(coefficients, low, high), count) for (low, high), _ in part.intervals()]
    return sorted(roots)


def fraction(expression: Any, x: Any) -> tuple[Any, Any]:
    """Numerator and denominator of a rational function, polynomials without a common root.

    >>> x = sp.Symbol("x", real=True)
    >>> [part.as_expr() for part in fraction(x / (x + 1) + 1 / (x + 1), x)]
    [1, 1]
    """
    one = field(x, sp.QQ)[0].from_expr(expression)
    return sp.Poly(one.numer.as_expr(), x, domain="QQ"), sp.Poly(one.denom.as_expr(), x, domain="QQ")


def _number(fraction: Any) -> Any:
    with mpmath.workdps(2 * DIGITS):
        return mpmath.mpf(int(fraction.p)) / int(fraction.q)


def _inside(coefficients: list[Any], low: Any, high: Any) -> Any:
    """The one root between two fractions."""
    ends = _number(low), _number(high)
    with mpmath.workdps(2 * DIGITS):
        return mpmath.findroot(
            lambda v: mpmath.polyval(coefficients, v), ends, solver="anderson", tol=mpmath.mpf(10) ** -180, verify=False
        )


def value(expression: Any) -> Any:
    """A constant to sixty digits."""
    with mpmath.workdps(DIGITS):
        return mpmath.mpf(sp.Float(expression.evalf(DIGITS), DIGITS)._to_mpmath(int(DIGITS * 3.4)))


def closed_form(root: Any, is_root: Callable[[Any], bool] | None = None) -> Any:
    """The closed form of a root; None where it is not of the usual kinds.

    Args:
        root: a float, or a number of sixty digits.
        is_root: whether a candidate, in SymPy, is the root; unless given, whether forty digits are the same.

    >>> closed_form(1.5707963267948966, lambda form: sp.cos(form) == 0)
    pi/2
    """
    is_root = is_root or (lambda form: abs(value(form) - root) < SAME)
    return next((form for form in _candidates(root) if abs(float(form) - float(root)) < NEAR and is_root(form)), None)


def _candidates(root: Any) -> Iterator[Any]:
    exact = isinstance(root, mpmath.mpf)
    largest, digits = (10**15, 50) if exact else (LARGEST, 12)

    def near(number: Any) -> Any:
        fraction = Fraction(str(number)).limit_denominator(largest)
        close = abs(mpmath.mpf(fraction.numerator) / fraction.denominator - number) < mpmath.mpf(10) ** (8 - digits)
        return sp.Rational(fraction) if close and (exact or abs(fraction.numerator) <= largest) else None

    with mpmath.workdps(DIGITS if exact else 15):
        r = mpmath.mpf(root)
        if (form := near(r)) is not None:
            yield form
        if r == 0:
            return
        for n in range(2, 7):
            if (form := near(r**n)) is not None:
                yield sp.sign(float(r)) * abs(form) ** sp.Rational(1, n)
        if quadratic := mpmath.findpoly(r, 2, maxcoeff=largest, tol=mpmath.mpf(10) ** -digits):
            a, b, c = (sp.Integer(k) for k in ([0] * (3 - len(quadratic)) + quadratic))
            if a and b * b > 4 * a * c:
                for side in (1, -1):
                    yield (-b + side * sp.sqrt(b * b - 4 * a * c)) / (2 * a)
        if exact:  # the root of a polynomial
            return
        if (form := near(r / mpmath.pi)) is not None:
            yield form * sp.pi
        if (form := near(mpmath.log(abs(r)))) is not None:
            yield sp.sign(float(r)) * sp.exp(form)
        if abs(r) < 30:
            for n in (1, 2, 3):
                if (form := near(mpmath.exp(n * r))) is not None and form > 0:
                    yield sp.log(form) / n
        if (form := near(mpmath.cos(r))) is not None and abs(form) <= 1:
            turns = sp.Integer(int(mpmath.nint(r / (2 * mpmath.pi))))
            for side in (1, -1):
                yield side * sp.acos(form) + 2 * turns * sp.pi
