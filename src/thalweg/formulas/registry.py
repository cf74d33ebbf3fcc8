"""The formulas thalweg knows by name: those that the files of this folder declare."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .. import calls
from ..aliases import called
from ..errors import FormulaError
from ..language import say
from ..unknown import unknown
from .around import Around, Wrapper
from .base import Formula
from .drop_in import DropIn, parts
from .equations import Equations, symbol
from .masked import cautious
from .opaque import Opaque, is_maker, opaque, taken_apart
from .sharpness_aware import sam
from .slow_weights import lookahead
from .typed import is_text, typed


def _declared() -> list[Formula]:
    """Every formula in the order of its file, and the files by the year of their oldest."""
    families = []
    for file in pkgutil.iter_modules([str(Path(__file__).parent)]):
        place = f"{__package__}.{file.name}"
        values = vars(importlib.import_module(place)).values()
        family = [v for v in values if isinstance(v, Formula) and v.function and _home(v.function) == place]
        families += [family] if family else []
    families.sort(key=lambda family: min(rule.year for rule in family if rule.year))
    return [rule for family in families for rule in family]


def _home(function: Any) -> str:
    """The file that declares a formula; one around another is declared with the wrapper."""
    return (function.wrapper.function if isinstance(function, Around) else function).__module__


FORMULAS: dict[str, Formula] = {rule.name: rule for rule in _declared()}
WRAPPERS: dict[str, Wrapper] = {around.name: around for around in (lookahead, cautious, sam)}  # rules around any rule

# What a study compares unless told otherwise: the methods every course teaches, in the order of their years.
CLASSIC = ("sgd", "momentum", "nesterov", "adagrad", "adadelta", "rmsprop", "adam", "adamw")


def names() -> list[str]:
    """The names of the built-in formulas, oldest family first."""
    return list(FORMULAS)


def of(maker: Any) -> Formula:
    """The formula that a class of optimizers stands for, or the class itself as `Opaque`.

    Args:
        maker: a class of torch.optim or `tw.optim`, somebody's own class, a function (params, lr) → optimizer, or a
            `functools.partial` of these.

    >>> import functools, torch
    >>> of(torch.optim.AdamW).name, of(torch.optim.LBFGS).label
    ('adamw', 'lbfgs')
    >>> of(functools.partial(torch.optim.SGD, momentum=0.8)).label
    'momentum(momentum=0.8)'
    """
    if isinstance(known := getattr(maker, "formula", None), Formula):
        return known
    return _catalogued(*taken_apart(maker)) or opaque(maker)


def word(name: str) -> Opaque:
    """An optimizer that is known by its name alone, which a command is told."""
    equations = Equations(f"word {name}", ("lr",), -symbol("lr") * symbol("g"), (), ())
    return Opaque(name, equations, {"lr": 0.0}, {}, source="")


def forms_of(name: str) -> list[tuple[Formula, DropIn]]:
    """The formulas that the class of `tw.optim` with that name can mean, the usual one first."""
    return [(rule, drop_in) for rule in FORMULAS.values() for drop_in in rule.drop_ins if drop_in.name == name]


def chosen_form(forms: Sequence[tuple[Formula, DropIn]], given: Mapping[str, Any]) -> tuple[Formula, DropIn]:
    """The one of a class's forms that these arguments choose."""
    fitting = [form for form in forms if all(map(given.get, form[1].chosen_by))]
    return max(fitting, key=lambda form: len(form[1].chosen_by))


def _catalogued(maker: Any, fixed: Mapping[str, Any]) -> Formula | None:
    """The formula that agrees with a class of torch.optim with these arguments."""
    if not str(maker.__module__).startswith("torch.optim") or not (forms := forms_of(maker.__name__)):
        return None
    rule, _ = chosen_form(forms, fixed)
    done = {"foreach", "fused"} | {name for _, d in forms for name in d.chosen_by} - {*rule.hyperparameters}
    given = {part: v for name, whole in fixed.items() if name not in done for part, v in parts(name, whole)}
    try:
        return rule.with_(**{n: v for n, v in given.items() if v != rule.hyperparameters.get(n)})
    except FormulaError:  # it has arguments that the formula lacks
        return None


def _in_torch(name: str) -> Formula | None:
    """What a class of torch.optim of that name, however written, stands for."""
    import torch

    plain = name.replace("_", "").lower()
    kinds = (kind for kind in vars(torch.optim).values() if inspect.isclass(kind) and is_maker(kind))
    return next((of(kind) for kind in kinds if kind.__name__.lower() == plain), None)


def get(text: str | Formula) -> Formula:
    """The formula of that name, its case and separators aside; ``adam(beta2=0.99)`` gives it with another default.

    ``lookahead(adam, steps=10)`` is a rule around that of its first argument. A class of torch.optim that has no
    formula, such as ``LBFGS`` or ``torch.optim.LBFGS``, is `Opaque`. The text of a rule,
    ``def mine(g, *, lr=0.01): …``, is that rule; it is read and never run (`typed.py`).

    >>> get("adam(beta2=0.99)").hyperparameters["beta2"]
    0.99
    >>> get("def mine(g, *, lr=0.01): return Update(-lr * sign(g))").name
    'mine'
    """
    if isinstance(text, Formula):
        return text
    if is_text(text):
        return of_text(text)
    text = text.replace("torch.optim.", "")
    name, _, _ = text.strip().partition("(")
    if (wrapper := called("optimizer", name.strip(), WRAPPERS)) is not None:
        return _around(WRAPPERS[wrapper], calls.read(text, FormulaError, f"{wrapper}(adam)"))
    known = called("optimizer", name.strip(), FORMULAS)
    rule = _in_torch(name.strip()) if known is None else FORMULAS[known]
    if rule is None:
        raise FormulaError(unknown("optimizer", calls.short(name.strip()), [*FORMULAS, *WRAPPERS]))
    changes = calls.parse(text, FormulaError, "adam(beta2=0.99)")[1]
    return changed(rule, changes) if changes else rule


def changed(rule: Formula, changes: Mapping[str, Any]) -> Formula:
    """`Formula.with_`, which names the rules that have a number where this one lacks it."""
    try:
        return rule.with_(**changes)
    except FormulaError as error:
        raise FormulaError(f"{error}{elsewhere(rule, changes)}") from error


def elsewhere(rule: Formula, changes: Mapping[str, Any]) -> str:
    """Of names that a rule lacks, the first two of the catalogue that grew from it and have them, as calls;
    of those that are one class with it in torch, if there are any. A call leaves out what is None.

    >>> elsewhere(get("sgd"), {"nesterov": True, "momentum": 0.9})
    ' A rule that grew from sgd has it: nesterov(momentum=0.9).'
    """
    if changes.keys() <= rule.arguments.keys():
        return ""
    grown = [rule.name]
    for one in grown:  # which becomes longer: the nearest relatives come first
        grown += [other.name for other in FORMULAS.values() if one in other.parents and other.name not in grown]
    fitting = [
        heir
        for heir in (FORMULAS[name] for name in grown[1:])
        if changes.keys() <= {*heir.arguments, *(name for d in heir.drop_ins for name in d.chosen_by)}
    ]
    classes = {d.name for d in rule.drop_ins}
    alike = [heir for heir in fitting if classes & {d.name for d in heir.drop_ins}]  # of the same class in torch
    given = {name: value for name, value in changes.items() if value is not None}
    found = [
        calls.write(heir.name, {name: given[name] for name in given if name in heir.arguments})
        for heir in (alike or fitting)[:2]
    ]
    rules = say(" or ").join(found)
    return say(" A rule that grew from {rule} has it: {rules}.", rule=rule.name, rules=rules) if found else ""


def known(text: str | Formula) -> Formula:
    """As `get`, for what needs equations, which other classes of torch.optim lack.

    Raises:
        FormulaError: it has none.
    """
    if isinstance(rule := get(text), Opaque):
        raise FormulaError(
            "{rule} is {origin}, whose equations are not known here: it can be compared, and this takes a formula, "
            "of the catalogue or of your own.",
            rule=rule.label,
            origin=f"torch.optim.{rule.maker.__name__}",
        )
    return rule


def of_text(text: str) -> Formula:
    """The rule of a text.

    Raises:
        FormulaError: it is not one, or has the name of one of the catalogue.
    """
    if (rule := typed(text)).name in (*FORMULAS, *WRAPPERS):
        raise FormulaError(f"{rule.name} is a rule of the catalogue; give yours another name.")
    return rule


def _around(wrapper: Wrapper, call: calls.Call) -> Formula:
    """The rule that a call of a wrapper names."""
    match call.positional:
        case (calls.Call() as inner,) if not any(isinstance(value, calls.Call) for value in call.named.values()):
            return wrapper(get(calls.literal(inner)), **call.named)
    raise FormulaError(f"{wrapper.name} goes around a rule, and its own numbers have names: {wrapper.name}(adam).")


def usual(formula: Formula) -> Formula | None:
    """The catalogue's formula of that name, if this is a form of it, whatever was changed by `with_`."""
    function = formula.function
    if isinstance(function, Around) and formula.name == function.wrapper.around(function.rule):
        inner = usual(function.rule)
        return None if inner is None else function.wrapper(inner)
    known = FORMULAS.get(formula.name)
    return known if known is not None and known.function is function else None


def catalogued(formula: Formula) -> bool:
    """Whether it is the catalogue's formula of that name, whatever was changed by `with_`."""
    known = usual(formula)
    return known is not None and known.with_(**dict(formula.changed)).equations == formula.equations


def torch_class(formula: Formula) -> DropIn | None:
    """The class of torch.optim that is this form of a catalogued formula, for tensors of any shape."""
    known = usual(formula)
    if known is None or not catalogued(formula):
        return None
    drop_ins = (d for d in known.drop_ins if d.in_torch and not d.matrices)
    return next((d for d in drop_ins if d.means(formula, known)), None)
