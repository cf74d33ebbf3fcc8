"""The formulas thalweg knows by name, listed one by one, and how a name on a command line is read."""

from __future__ import annotations

import ast
import math

from ..errors import FormulaError, unknown
from .adadelta import adadelta
from .adagrad import adagrad
from .adam import adam, adamw
from .base import Formula
from .descent import momentum, nesterov, sgd
from .rmsprop import rmsprop

FORMULAS: dict[str, Formula] = {
    rule.name: rule for rule in (sgd, momentum, nesterov, adagrad, adadelta, rmsprop, adam, adamw)
}


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
    name, _, rest = text.strip().partition("(")
    rule = FORMULAS.get(name.strip())
    if rule is None:
        raise FormulaError(unknown("optimizer", name.strip(), FORMULAS))
    return rule.with_(**_arguments(text)) if rest else rule


def _arguments(text: str) -> dict[str, float | bool | str]:
    """``name(a=1, b=True)`` → {"a": 1, "b": True}; only literals, nothing is run."""
    refused = FormulaError(f"{text!r} is not of the form name(hyperparameter=value, …), e.g. adam(beta2=0.99).")
    try:
        call = ast.parse(text.strip(), mode="eval").body
        if not isinstance(call, ast.Call) or call.args or any(k.arg is None for k in call.keywords):
            raise refused
        values = {str(k.arg): ast.literal_eval(k.value) for k in call.keywords}
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise refused from error
    for name, value in values.items():
        if not isinstance(value, bool | str | int | float) or (isinstance(value, float) and not math.isfinite(value)):
            raise FormulaError(f"{text!r}: {name} must be a number, True, False or a name, not {value!r}.")
    return values
