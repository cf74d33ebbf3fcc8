"""The formulas thalweg knows by name, listed one by one."""

from __future__ import annotations

from .. import calls
from ..errors import FormulaError, unknown
from .adadelta import adadelta
from .adagrad import adagrad
from .adam import adam, adamax, adamw
from .adam_variants import nadam, radam
from .base import Formula
from .descent import asgd, halving, sgd
from .momentum import momentum, nesterov
from .rmsprop import rmsprop
from .second_moments import adabelief, adan, qhadam, yogi
from .signs import lion, rprop, signsgd

FORMULAS: dict[str, Formula] = {
    rule.name: rule
    for rule in (
        sgd,
        momentum,
        nesterov,
        asgd,
        halving,
        rprop,
        signsgd,
        lion,
        adagrad,
        adadelta,
        rmsprop,
        adam,
        adamax,
        adamw,
        nadam,
        radam,
        adabelief,
        yogi,
        qhadam,
        adan,
    )
}

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
