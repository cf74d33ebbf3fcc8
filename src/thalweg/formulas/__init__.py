"""Formulas: what an optimizer is. `get`, `names` and `formula` are the way in."""

from .base import Equations, Formula, Update, formula
from .registry import FORMULAS, get, names

__all__ = ["FORMULAS", "Equations", "Formula", "Update", "formula", "get", "names"]
