"""Formulas: what an optimizer is. `get`, `names` and `formula` are the way in."""

from .base import Equations, Formula, Update, formula
from .masked import cautious
from .meanings import Meaning
from .registry import CLASSIC, FORMULAS, WRAPPERS, get, known, names, of
from .sharpness_aware import sam
from .slow_weights import lookahead

__all__ = [
    "CLASSIC",
    "FORMULAS",
    "WRAPPERS",
    "Equations",
    "Formula",
    "Meaning",
    "Update",
    "cautious",
    "formula",
    "get",
    "known",
    "lookahead",
    "names",
    "of",
    "sam",
]
