"""The partial derivatives of a surface, as a walker would see them, and whether they are short enough to compile."""

from __future__ import annotations

import functools
from typing import Any

import sympy as sp

from ..calculus.extent import operations

MOST_CALLS, MOST_COMPARED, MOST_OPERATIONS = 6, 4, 100
WIDE = ("cos", "exp", "sigmoid", "sin", "softplus")  # a compiled loop has code of its own for each


def is_short(expression: sp.Expr, variables: tuple[sp.Symbol, ...]) -> bool:
    """Whether the loop of an expression is compiled in about two seconds, by counting; others go through NumPy.

    Each distinct call in `WIDE` becomes code of its own; and SymPy compares the arguments of a maximum in all pairs
    when it differentiates it.
    """
    extremes = expression.atoms(sp.Max, sp.Min)
    nested = any(part.has(sp.Max, sp.Min) for one in extremes for part in one.args)
    if nested or any(len(one.args) > MOST_COMPARED for one in extremes):
        return False
    if operations(expression, MOST_OPERATIONS) > MOST_OPERATIONS:
        return False
    outputs = (expression, *derivatives(expression, variables))
    if any(one.has(sp.nan, sp.zoo) for one in outputs):  # 0ˣ: the rules know its slope
        return False
    calls = {call for one in outputs for call in one.atoms(sp.Function, sp.exp) if type(call).__name__ in WIDE}
    return len(calls) <= MOST_CALLS and sum(operations(one, MOST_OPERATIONS) for one in outputs) <= 2 * MOST_OPERATIONS


@functools.cache
def derivatives(expression: sp.Expr, variables: tuple[sp.Symbol, ...]) -> tuple[sp.Expr, ...]:
    """The partial derivatives; steps and corners have the slope that a walker there would see."""
    return tuple(walkable(sp.diff(expression, variable)) for variable in variables)


def walkable(derivative: Any) -> sp.Expr:
    zero = sp.S.Zero
    derivative = derivative.replace(sp.DiracDelta, lambda *_: zero)
    derivative = derivative.replace(sp.Heaviside, lambda x, *_: (1 + sp.sign(x)) / 2)
    flat = derivative.atoms(sp.Derivative, sp.Subs)  # of floor and ceiling, which are level between their steps
    return derivative.xreplace(dict.fromkeys(flat, zero))
