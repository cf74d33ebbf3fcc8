"""Formulas: what an optimizer is. `get`, `names` and `formula` are the way in."""

from .base import Equations, Formula, Update, formula
from .registry import CLASSIC, FORMULAS, get, names, of

__all__ = ["CLASSIC", "FORMULAS", "Equations", "Formula", "Update", "formula", "get", "names", "of"]
