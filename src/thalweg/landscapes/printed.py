"""A surface printed as JavaScript: its value, and its value with the gradient, from the expression that is compiled."""

from __future__ import annotations

import sympy as sp

from ..calculus import Function, gradient
from ..errors import SurfaceError
from ..kernels import javascript
from .slopes import derivatives
from .surface import Surface


def printed(surface: Surface) -> dict[str, str]:
    """`value`: the text of a function (p); `gradient`: of a function (p, d), which puts the slopes at p into d.

    Raises:
        SurfaceError: the surface is a Python function and has no expression.
    """
    if surface.expression is None:
        raise SurfaceError("{surface} is a function in torch operations; a page needs an expression.", surface=surface)
    variables, expression = surface.symbols, surface.expression
    if surface.is_compiled:
        slopes = derivatives(expression, variables)
    else:
        slopes = [part.expression for part in gradient(Function(expression, surface.variables)).parts]
    finite = [slope.replace(lambda e: e in (sp.nan, sp.zoo), lambda _: sp.Float("nan")) for slope in slopes]
    return {
        "value": javascript.value(expression, variables),
        "gradient": javascript.gradient(expression, finite, variables),
    }
