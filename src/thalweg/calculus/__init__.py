"""Formulas as data, their derivatives and their minima.

`function` reads a user's text through a whitelist; it is what surfaces, descents and the command line are given.
Read next: `syntax.py`, `bounds.py`, `rules.py`.
"""

from .derivative import Derivative, Gradient, Hessian, derivative, gradient, hessian
from .function import Function, function
from .limit import Limit
from .minimum import Minimum, minimum
from .stationary import Stationary

__all__ = [
    "Derivative",
    "Function",
    "Gradient",
    "Hessian",
    "Limit",
    "Minimum",
    "Stationary",
    "derivative",
    "function",
    "gradient",
    "hessian",
    "minimum",
]
