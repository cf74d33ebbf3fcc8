"""The functions a formula may use; each is elementwise and has a form in every kernel."""

from __future__ import annotations

from typing import Any

import sympy as sp

__all__ = ["abs", "cos", "exp", "floor", "log", "maximum", "minimum", "sign", "sin", "sqrt", "tanh", "where"]

abs = sp.Abs  # the builtin works too; named so that the list is complete
cos = sp.cos
exp = sp.exp
floor = sp.floor
log = sp.log
maximum = sp.Max
minimum = sp.Min
sign = sp.sign
sin = sp.sin
sqrt = sp.sqrt
tanh = sp.tanh


def where(condition: Any, yes: Any, no: Any) -> Any:
    """`yes` where the condition holds, else `no`; a condition is a comparison such as ``t > 5``."""
    return sp.Piecewise((yes, condition), (no, True))
