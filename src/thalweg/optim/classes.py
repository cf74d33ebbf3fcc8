"""Optimizer classes made from formulas: the drop-ins, and a class for any other formula."""

from __future__ import annotations

import copyreg
import importlib
import inspect
import operator
import pickle
from typing import Any

from ..errors import FormulaError, UsageError
from ..formulas import Formula, known
from ..formulas.registry import catalogued, forms_of
from .optimizer import WHOLE_STEP, FormulaOptimizer
from .rules import RULES, Rule, rule_of_formula


def from_formula(formula: Formula | str) -> type[FormulaOptimizer]:
    """A torch optimizer class for a formula: a user's own, or one of the catalogue by name.

    Its keyword arguments are the formula's hyperparameters and options with their defaults, ``maximize=False``,
    and those of every class of `tw.optim` (``max_norm``, ``clip_value``, ``ema_decay``, ``zero_grad``).
    A state_dict has the formula's states by their names, and ``step``. A rule that reads the loss, looks
    ahead or takes a second gradient needs ``step(closure)``.

    Raises:
        FormulaError: no such formula, or a hyperparameter whose name the class needs itself.

    >>> import torch, thalweg as tw
    >>> @tw.formula()
    ... def heavy_ball(g, a, *, lr=0.1, beta=0.9):
    ...     a = beta * a + g
    ...     return tw.Update(-lr * a, a=a)
    >>> HeavyBall = tw.optim.from_formula(heavy_ball)
    >>> weight = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
    >>> optimizer = HeavyBall([weight], beta=0.5)
    >>> for _ in range(2):
    ...     weight.grad = torch.tensor([1.0, 0.5])
    ...     optimizer.step()
    >>> weight.data, optimizer.state[weight]["a"]
    (tensor([ 0.7500, -2.1250]), tensor([1.5000, 0.7500]))
    """
    formula = known(formula)
    rule = rule_of_formula(formula)
    reserved = [a.name for a in rule.arguments[:-1] if a.name in ("params", "maximize", *WHOLE_STEP)]
    if reserved:
        raise FormulaError(
            "formula {formula}: {reserved} is an argument of every optimizer; give the hyperparameter another name.",
            formula=formula.name,
            reserved=reserved[0],
        )
    return _class(_OfFormula, formula.name, formula, rule, __name__)


def drop_in(name: str) -> type[FormulaOptimizer]:
    """The class of `tw.optim` with that name, made from the formula that declares it."""
    return _class(type, name, forms_of(name)[0][0], RULES[name], "thalweg.optim")


class _OfFormula(type):
    """The type of the classes that `from_formula` makes: they are pickled as the place of their formula."""

    formula: Formula


def _class(kind: type, class_name: str, formula: Formula, rule: Rule, module: str) -> type[FormulaOptimizer]:
    whole = [p for p in inspect.signature(FormulaOptimizer.__init__).parameters.values() if p.name in WHOLE_STEP]
    params = inspect.Parameter("params", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    body = {
        "__doc__": _document(formula, rule),
        "__module__": module,
        "__qualname__": class_name,
        "rule": rule,
        "formula": formula,
        "__signature__": inspect.Signature([params, *rule.arguments, *whole]),
    }
    return kind(class_name, (FormulaOptimizer,), body)


def _document(formula: Formula, rule: Rule) -> str:
    arguments = ", ".join(f"{a.name}={a.default!r}" for a in rule.arguments)
    parts = [formula.doc or f"The formula {formula.name}.", f"Arguments, after params: {arguments}."]
    parts += [f"Source: {formula.source}."] if formula.source else []
    parts += [f"Departs from it: {formula.departs}"] if formula.departs else []
    return "\n\n".join([*parts, "See `FormulaOptimizer` for max_norm, clip_value, ema_decay and zero_grad."])


def _place(of_formula: Any) -> tuple[Any, ...]:
    """How to make the class again in another process: from where its formula stands, and what was changed."""
    formula = of_formula.formula
    if catalogued(formula):
        return from_formula, (formula.label,)
    where = (formula.function.__module__, getattr(formula.function, "__qualname__", formula.name))
    try:
        there = _formula_at(*where)
    except (ImportError, AttributeError, UsageError):
        there = None
    if there is None or there.equations != formula.with_(**there.options).equations:
        raise pickle.PicklingError(
            f"an optimizer of formula {formula.label} cannot be pickled, because {where[1]} is not found in "
            f"{where[0]}: declare the formula at the top of a module, or save optimizer.state_dict()."
        )
    return _again, (*where, formula.changed)


def _formula_at(module: str, name: str) -> Formula:
    formula = operator.attrgetter(name)(importlib.import_module(module))
    if not isinstance(formula, Formula):
        raise UsageError(f"{name} of {module} is not a formula any more.")
    return formula


def _again(module: str, name: str, changed: tuple[tuple[str, Any], ...]) -> type[FormulaOptimizer]:
    formula = _formula_at(module, name)
    return from_formula(formula.with_(**dict(changed)) if changed else formula)


copyreg.pickle(_OfFormula, _place)  # pyright: ignore[reportArgumentType]
