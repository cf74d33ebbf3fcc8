"""The functions a formula may use; each is elementwise and has a form in every kernel."""

from __future__ import annotations

from typing import Any

import sympy as sp

from ..errors import FormulaError

__all__ = [
    "abs",
    "cos",
    "equal",
    "exp",
    "floor",
    "log",
    "maximum",
    "minimum",
    "once",
    "sign",
    "sin",
    "sqrt",
    "tanh",
    "where",
]

abs = sp.Abs  # the builtin works too; named so that the list is complete
cos = sp.cos
equal = sp.Eq
exp = sp.exp
floor = sp.floor
log = sp.log
maximum = sp.Max
minimum = sp.Min
sign = sp.sign
sin = sp.sin
sqrt = sp.sqrt
tanh = sp.tanh


def once(value: Any) -> Any:
    """`value` computed once and as written.

    SymPy merges what it can: it writes (√a/√b·g)² as a·g²/b, which overflows where the square of the
    whole would not. What stands inside ``once`` is not merged with what stands outside.
    """
    return sp.UnevaluatedExpr(value)


def where(condition: Any, yes: Any, no: Any) -> Any:
    """`yes` where the condition holds, else `no`; a condition is a comparison such as ``t > 5``."""
    if isinstance(condition, bool):  # a == b of two expressions asks how they are written
        raise FormulaError(
            f"where({condition}, …) has a condition that is always the same: "
            "compare values with <, >, <=, >= or equal(a, b), and pick by an option with if."
        )
    return sp.Piecewise((yes, condition), (no, True))
