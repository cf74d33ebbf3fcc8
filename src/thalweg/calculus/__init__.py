"""Formulas as data, their derivatives and their minima.

`function` reads a user's text through a whitelist; it is what surfaces, descents and the command line are given.
Read next: `syntax.py`, `bounds.py`, `rules.py`.
"""

from .by_rules import Derivative
from .derivative import derivative
from .function import Function, function
from .gradient import Gradient, Hessian, gradient, hessian
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
