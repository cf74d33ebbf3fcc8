"""The formulas thalweg knows by name: those that the files of this folder declare."""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path

from .. import calls
from ..errors import FormulaError, unknown
from .base import Formula


def _declared() -> list[Formula]:
    """Every formula in the order of its file, and the files by the year of their oldest."""
    families = []
    for file in pkgutil.iter_modules([str(Path(__file__).parent)]):
        place = f"{__package__}.{file.name}"
        values = vars(importlib.import_module(place)).values()
        family = [v for v in values if isinstance(v, Formula) and v.function and v.function.__module__ == place]
        families += [family] if family else []
    families.sort(key=lambda family: min(rule.year for rule in family if rule.year))
    return [rule for family in families for rule in family]


FORMULAS: dict[str, Formula] = {rule.name: rule for rule in _declared()}

# What a study compares unless told otherwise: the methods every course teaches, in the order of their years.
CLASSIC = ("sgd", "momentum", "nesterov", "adagrad", "adadelta", "rmsprop", "adam", "adamw")


def names() -> list[str]:
    """The names of the built-in formulas, oldest family first."""
    return list(FORMULAS)


def get(text: str | Formula) -> Formula:
    """The formula of that name; ``adam(beta2=0.99)`` gives it with another default.

    >>> get("adam(beta2=0.99)").hyperparameters["beta2"]
    0.99
    """
    if isinstance(text, Formula):
        return text
    name, _, _ = text.strip().partition("(")
    rule = FORMULAS.get(name.strip())
    if rule is None:
        raise FormulaError(unknown("optimizer", calls.short(name.strip()), FORMULAS))
    changes = calls.parse(text, FormulaError, "adam(beta2=0.99)")[1]
    return rule.with_(**changes) if changes else rule
