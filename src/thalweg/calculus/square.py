"""Completing the square: a quadratic as a sum of squares and a constant, in any number of variables.

    f(x) = c + ½ (x − m)ᵀ H (x − m),   H m = −∇f(0)

Lagrange's reduction takes one variable after the other: its square takes all products with the others along, and
what is left has one variable less. It works in fractions, so nothing is rounded.
"""

from __future__ import annotations

from typing import Any

import sympy as sp

from .symbolic import product


def completed(expression: Any, symbols: tuple[Any, ...]) -> Any:
    """The quadratic with its squares completed; None for what is not a quadratic, or lacks squares.

    >>> x, y = sp.symbols("x y", real=True)
    >>> completed(x**2 - 4 * x + 6, (x,)), completed(2 * x**2 + 4 * x * y + 3 * y**2 - 6 * y, (x, y))
    ((x - 2)**2 + 2, 2*(x + y)**2 + (y - 3)**2 - 9)
    """
    if not symbols or not expression.is_polynomial(*symbols):
        return None
    rest, squares = sp.Poly(expression, *symbols), []
    if rest.total_degree() != 2:
        return None
    for symbol in symbols:
        lead = rest.coeff_monomial(symbol**2)
        if lead == 0:
            continue
        inside = sp.expand(sp.diff(rest.as_expr(), symbol) / (2 * lead))  # symbol + what belongs to it
        squares.append(product(lead, inside**2))
        rest = sp.Poly(sp.expand(rest.as_expr() - lead * inside**2), *symbols)
    return sp.Add(*squares, rest.as_expr()) if squares else None
