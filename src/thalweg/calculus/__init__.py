"""Formulas as data, their derivatives and their minima.

`function` reads a user's text through a whitelist; it is what surfaces, descents and the command line are given.
Read next: `syntax.py`, `bounds.py`.
"""

from .function import Function, function

__all__ = ["Function", "function"]
