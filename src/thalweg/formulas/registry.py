"""The formulas thalweg knows by name, listed one by one, and how a name on a command line is read."""

from __future__ import annotations

import ast
import warnings

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
        sgd, momentum, nesterov, asgd, halving, rprop, signsgd, lion, adagrad, adadelta, rmsprop,
        adam, adamax, adamw, nadam, radam, adabelief, yogi, qhadam, adan,
    )
}  # fmt: skip

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
    name, bracket, _ = text.strip().partition("(")
    rule = FORMULAS.get(name.strip())
    if rule is None:
        raise FormulaError(unknown("optimizer", _short(name.strip()), FORMULAS))
    return rule.with_(**_arguments(text.strip())) if bracket else rule


def _arguments(text: str) -> dict[str, float | bool | str | None]:
    """``name(a=1, b=True)`` → {"a": 1, "b": True}; only literals, nothing is run."""
    refused = FormulaError(
        f"{_short(text)!r} is not of the form name(hyperparameter=value, …), e.g. adam(beta2=0.99)."
    )
    if len(text) > _LONGEST:
        raise refused
    try:
        with warnings.catch_warnings(action="error"):
            call = ast.parse(text, mode="eval").body
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name) or call.args:
            raise refused
        names = [k.arg for k in call.keywords]
        if None in names or len(set(names)) < len(names):
            raise refused
        return {str(k.arg): ast.literal_eval(k.value) for k in call.keywords}
    except (SyntaxError, SyntaxWarning, DeprecationWarning, ValueError, RecursionError, MemoryError) as error:
        raise refused from error


_LONGEST = 1000  # characters; no hyperparameters take more


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:60] + "…"
