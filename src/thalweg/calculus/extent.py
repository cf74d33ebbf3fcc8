"""How large an expression is, and so what may be asked of it: decided by counting, before any work begins.

What SymPy does with an expression can take longer than anybody waits: limits, equations and the comparison of several
functions have no bound in its size. So these are not asked of SymPy at all, and what is, is counted first:

    operations   of an expression written out; a question may come to `WORK` of them, over all its derivatives
    degree       of numerator and denominator of a rational function, on one line; up to a degree, it is multiplied out
    terms        that multiplying out leaves at most
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from ..errors import ExpressionError

WORK = 6_000
TERMS = 2_000


@dataclass
class Work:
    """Operations that one question has come to.

    Raises:
        ExpressionError: more than `WORK`.
    """

    spent: int = 0

    def spend(self, count: int) -> None:
        self.spent += count
        if self.spent > WORK:
            raise ExpressionError(
                "a derivative has more than {most:,} operations; take a shorter formula or a lower order.", most=WORK
            )


def operations(expression: Any, most: int) -> int:
    """Operations and operands of an expression written out, counted up to a limit."""
    count, rest = 0, [expression]
    while rest and count <= most:
        node = rest.pop()
        count += 1
        rest.extend(node.args)
    return count


def degree(expression: Any) -> float:
    """The highest power, in all variables together, of a rational function's numerator and denominator.

    An upper bound, found without multiplying out; infinite for what is not a rational function.

    >>> import sympy as sp
    >>> x, y = sp.symbols("x y", real=True)
    >>> degree((x + 1) ** 7 * y), degree(1 / (x + 1) + 1 / (x**2 + y)), degree(sp.sin(x))
    (8, 3, inf)
    """
    return max(_degrees(expression))


def _degrees(expression: Any) -> tuple[float, float]:
    """Of numerator and denominator."""
    if not expression.free_symbols:
        return 0, 0
    if expression.is_Symbol:
        return 1, 0
    if expression.is_Pow and expression.exp.is_Integer:
        above, below = _degrees(expression.base)
        power = int(expression.exp)
        return (above * power, below * power) if power > 0 else (-below * power, -above * power)
    if not (expression.is_Add or expression.is_Mul):
        return math.inf, math.inf
    parts = [_degrees(part) for part in expression.args]
    below = sum(under for _, under in parts)
    if expression.is_Mul:
        return sum(over for over, _ in parts), below
    return max(over + below - under if below < math.inf else math.inf for over, under in parts), below


def multiplies_out(expression: Any, highest: int, more: int = 0) -> bool:
    """Whether this is a rational function with plain numbers, short when multiplied out with `more` variables."""
    power, count = degree(expression), len(expression.free_symbols) + more
    if power > highest or math.comb(int(power) + count, count) > TERMS:
        return False
    return all(number.is_Rational or number.is_Float for number in _constants(expression))


def _constants(expression: Any) -> list[Any]:
    """The parts without variables, as large as they can be taken."""
    if not expression.free_symbols:
        return [expression]
    return [number for part in expression.args for number in _constants(part)]
