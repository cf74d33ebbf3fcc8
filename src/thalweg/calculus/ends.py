"""How low a function goes: whether its values fall below every bound, and whether its lowest minimum holds everywhere.

Polynomials are judged by their highest powers, fractions of them also at their poles, sums of powers, exponentials and
logarithms by SymPy's limits, which are quick for these, and everything else by intervals: an end that lies in
[−∞, −∞] falls. What none of these settles is not claimed.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import sympy as sp

from .bounds import power
from .by_rules import differentiated
from .closed import DIGITS, fraction, real_roots
from .extent import multiplies_out, operations
from .function import Function
from .symbolic import sigmoid, softplus

HIGHEST = 60  # degree of what is multiplied out
LONGEST = 40  # operations of an expression whose limits SymPy is asked for, or whose second derivative's sign
ENDS = ((math.inf, 1e3), (-math.inf, -1e3), (0.0, 1e-6))  # of the line, and right of 0; with a point beside
Interval = tuple[float, float]
ANYTHING: Interval = (-math.inf, math.inf)


def falls_below_all(f: Function) -> bool:
    """Whether its values are shown to fall below every bound."""
    symbols, expression = f.symbols(), f.expression
    if multiplies_out(expression, HIGHEST):
        if expression.is_polynomial(*symbols):
            return _far(sp.Poly(expression, *symbols, domain="QQ")) == "below"
        return len(symbols) == 1 and _fraction_falls(*fraction(expression, symbols[0]))
    return len(symbols) == 1 and any(_at(f, *end)[1] == -math.inf for end in ENDS)


def holds_everywhere(f: Function, lowest: float) -> bool:
    """Whether the lowest of its minima is shown to be the lowest value anywhere, if it does not fall."""
    symbols, expression = f.symbols(), f.expression
    if expression.is_nonnegative and abs(lowest) < 1e-12:
        return True
    if multiplies_out(expression, HIGHEST):
        if expression.is_polynomial(*symbols):
            return _far(sp.Poly(expression, *symbols, domain="QQ")) == "holds"
        if len(symbols) == 1:
            above, below = fraction(expression, symbols[0])
            return above.degree() > below.degree()
    return len(symbols) == 1 and operations(expression, LONGEST) < LONGEST and _convex(f)


def _far(polynomial: Any) -> str:
    """By the terms of the highest degree: `holds` if they rise in every direction, `below` if they fall in one."""
    symbols, degree = polynomial.gens, polynomial.total_degree()
    if degree < 1:
        return "holds"
    if len(symbols) == 1:
        return "holds" if polynomial.LC() > 0 and degree % 2 == 0 else "below"
    if degree % 2:
        return "below"
    if degree == 2:
        return _by_eigenvalues(sp.hessian(polynomial.as_expr(), symbols))
    terms = sp.Add.make_args(polynomial.as_expr())
    if all(len(term.free_symbols) <= 1 for term in terms):  # a sum of functions of one variable each
        parts = [sp.Add(*(term for term in terms if term.has(symbol))) for symbol in symbols]
        ends = {_far(sp.Poly(part, symbol)) for part, symbol in zip(parts, symbols, strict=True) if part != 0}
        return "below" if "below" in ends else "holds"
    top = sp.Add(*(term for term in terms if sp.Poly(term, *symbols).total_degree() == degree))
    return _by_directions(top, symbols)


def _by_directions(top: Any, symbols: tuple[Any, ...]) -> str:
    """The signs of a form: one that falls is seen by trying; that none does is proven for two variables."""
    directions = np.random.default_rng(0).normal(size=(4000, len(symbols)))
    values = Function(top, tuple(s.name for s in symbols))(*directions.T)
    if values.min() < -1e-9 * np.abs(values).max():
        return "below"
    if len(symbols) > 2:
        return "open"
    first, second = list(symbols)
    across = sp.Poly(top.xreplace({first: sp.S.One}), second)
    end = top.xreplace({first: sp.S.Zero, second: sp.S.One})
    return "holds" if across.count_roots() == 0 and end > 0 else "open"


def _by_eigenvalues(matrix: Any) -> str:
    """Of a quadratic with a stationary point: any falling direction goes below; none, and it holds."""
    eigenvalues = np.linalg.eigvalsh(np.array(matrix.tolist(), dtype=float))
    return "below" if eigenvalues[0] < -1e-9 * np.abs(eigenvalues).max() else "holds"


def _convex(f: Function) -> bool:
    """A second derivative that is nowhere negative, on a line without kinks and poles."""
    second = differentiated(f, f.variables[0], 2)
    poles = any(p.exp.is_negative and p.base != sp.E and p.free_symbols for p in f.expression.atoms(sp.Pow))
    kinks = any(step.kink is not None for step in second.steps)
    return bool(second.expression.is_nonnegative and not poles and not kinks)


def _fraction_falls(above: Any, below: Any) -> bool:
    """At an end, or beside a pole: at one of odd order it falls on one side."""
    more = above.degree() - below.degree()
    if more > 0 and (more % 2 or above.LC() * below.LC() < 0):
        return True
    for root, order in real_roots(below):
        at = sp.Float(root, DIGITS)
        if order % 2 or above.eval(at) * below.diff((below.gen, order)).eval(at) < 0:
            return True
    return False


def _at(f: Function, end: float, beside: float) -> Interval:
    """What the values come to at an end of the line, or right of 0, where they are real."""
    (x,) = f.symbols()
    if math.isnan(f(beside)) or (end == 0 and not f.expression.has(sp.log)):
        return ANYTHING
    if _quick(f.expression, x):
        limit = sp.limit(f.expression, x, {math.inf: sp.oo, -math.inf: -sp.oo}.get(end, 0))
        return (float(limit), float(limit)) if limit.is_extended_real else ANYTHING
    return _interval(f.expression, (end, end)) if end else ANYTHING


def _quick(expression: Any, x: Any) -> bool:
    """A short sum of powers, exponentials and logarithms of polynomials, for which SymPy's limits are quick."""
    calls = expression.atoms(sp.Function, sp.exp)
    powers = expression.atoms(sp.Pow) - calls
    return (
        all(isinstance(call, sp.log | sp.exp) for call in calls)
        and not expression.has(sp.Max, sp.Min)
        and operations(expression, LONGEST) < LONGEST
        and all((call.exp if isinstance(call, sp.exp) else call.args[0]).is_polynomial(x) for call in calls)
        and not any(power.exp.free_symbols for power in powers)
    )


_RISING: dict[Any, Interval] = {
    **dict.fromkeys((sp.sinh, sp.asinh, sp.floor, sp.ceiling, sp.log), ANYTHING),
    **dict.fromkeys((sp.tanh, sp.erf, sp.sign), (-1, 1)),
    **dict.fromkeys((sp.exp, softplus), (0, math.inf)),
    sp.atan: (-math.pi / 2, math.pi / 2),
    sigmoid: (0, 1),
}  # by their values at the ends of the line


def _interval(e: Any, x: Interval) -> Interval:
    """Between which values an expression stays as its variable goes to an end."""
    if not e.free_symbols:
        return float(e), float(e)
    if e.is_Symbol:
        return x
    parts = [_interval(part, x) for part in e.args]
    if e.is_Add:
        low, high = sum(p[0] for p in parts), sum(p[1] for p in parts)
        return ANYTHING if math.isnan(low) or math.isnan(high) else (low, high)
    if e.is_Mul:
        product = parts[0]
        for part in parts[1:]:
            corners = [a * b for a in product for b in part]
            if any(map(math.isnan, corners)):
                return ANYTHING
            product = min(corners), max(corners)
        return product
    if isinstance(e, sp.Max | sp.Min):
        best = max if isinstance(e, sp.Max) else min
        return best(p[0] for p in parts), best(p[1] for p in parts)
    if isinstance(e, sp.sin | sp.cos):
        return -1, 1
    low, high = parts[0]
    if isinstance(e, sp.Abs) or (e.is_Pow and e.exp.is_Integer and e.exp.is_even and e.exp > 0):
        low, high = (0.0 if low <= 0 <= high else min(abs(low), abs(high))), max(abs(low), abs(high))
    if isinstance(e, sp.Abs):
        return low, high
    if e.is_Pow and not isinstance(e, sp.exp) and e.exp.is_Number and e.exp > 0 and (low >= 0 or e.exp.is_odd):
        return power(low, float(e.exp)), power(high, float(e.exp))
    if type(e) in _RISING and low == high and math.isinf(low):
        value = _RISING[type(e)][low > 0]
        return (value, value) if not (isinstance(e, sp.log) and low < 0) else ANYTHING
    return _RISING.get(type(e), ANYTHING)
