"""Equations written with each other's names: what a formula's function names, its expressions have lost.

Both the LaTeX and the kernels start from here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sympy as sp

from .equations import Equations, symbol

Assignment = tuple[sp.Symbol, sp.Expr]


def in_terms_of_states(equations: Equations, fresh: Sequence[sp.Symbol]) -> tuple[tuple[sp.Expr, ...], sp.Expr]:
    """The new states and the step, with each new state that occurs in another written as its name.

    A formula's function says ``m = …`` and uses m further on; the expressions it returns have m's text
    pasted in. This finds it again, so that each state is computed (and printed) once.
    """
    uniform = {symbol(name) for name in ("t", "loss", *equations.hyperparameters)}
    values = [value for _, value in equations.states]
    names: list[tuple[sp.Expr, sp.Symbol]] = []
    rewritten = list(values)
    for i in sorted(range(len(values)), key=lambda i: (sp.count_ops(values[i]), i)):
        rewritten[i] = _with_names(values[i], names)
        if values[i].args and not values[i].free_symbols <= uniform:
            names.insert(0, (values[i], fresh[i]))  # longest first
    return tuple(rewritten), _with_names(equations.step, names)


def _with_names(expression: sp.Expr, names: Sequence[tuple[sp.Expr, sp.Symbol]]) -> sp.Expr:
    for value, name in names:
        expression = replace_part(expression, value, name)
    return expression


def replace_part(expression: sp.Basic, value: sp.Expr, name: sp.Symbol) -> Any:
    """`name` for `value` wherever it occurs, also as some of the terms of a sum or factors of a product."""
    if expression == value:
        return name
    if not expression.args:
        return expression
    arguments = [replace_part(a, value, name) for a in expression.args]
    if list(expression.args) != arguments:
        expression = expression.func(*arguments)
    if not (isinstance(value, sp.Add | sp.Mul) and type(expression) is type(value)):
        return expression
    ratios = [a / value.args[0] for a in expression.args] if value.is_Add else []
    for factor in (sp.S.One, *(r for r in ratios if r.is_Number)):  # SymPy writes 2(a + b) as 2a + 2b
        terms = {factor * a for a in value.args} if value.is_Add else set(value.args)
        if terms <= set(expression.args):
            return expression.func(factor * name, *(a for a in expression.args if a not in terms))
    return expression


def in_order(assignments: Sequence[Assignment]) -> tuple[Assignment, ...]:
    """Each assignment behind those it reads."""
    rest, ordered = dict(assignments), {}
    while rest:
        ready = [name for name, value in rest.items() if not value.free_symbols & rest.keys()]
        ordered |= {name: rest.pop(name) for name in ready}
    return tuple(ordered.items())
