"""What an optimizer class is made of: its arguments, and how they choose a formula and give it numbers.

What a formula is called in torch.optim stands beside it (`formulas/drop_in.py`); a `Rule` is made of that. The
classes that torch has take their arguments from torch's own signatures, all others from their formula.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from numbers import Real
from typing import Any

import torch

from ..errors import UsageError, short
from ..formulas import FORMULAS, Formula, get
from ..formulas.drop_in import TUPLES
from ..formulas.equations import number
from ..formulas.registry import chosen_form, forms_of
from ..language import say

# A hyperparameter → the tuple it is part of, and its place there.
_PARTS = {part: (whole, k) for whole, parts in TUPLES.items() for k, part in enumerate(parts)}
# Arguments of torch.optim that choose an implementation, and ask nothing of the rule.
IMPLEMENTATION = ("foreach", "fused", "capturable", "differentiable")

Group = Mapping[str, Any]


@dataclass(frozen=True)
class Rule:
    """How the arguments of an optimizer class choose a formula and give it numbers.

    Attributes:
        arguments: in order, with defaults, `params` apart.
        choose: the formula that a parameter group asks for.
        states: the formula's state → its name in a state_dict, where that is another.
        keeps_step: whether a state_dict has the step; torch's SGD keeps none.
        grouped: whether hyperparameters are parts of tuples, as ``beta1`` of ``betas``.
        matrices: whether it takes tensors of two axes only.
        declared: the formula whose ranges hold for the arguments; None for a class of torch.optim's, which has its own.
    """

    arguments: tuple[inspect.Parameter, ...]
    choose: Callable[[Group], Formula]
    states: Mapping[str, str] = field(default_factory=dict)
    keeps_step: bool = True
    grouped: bool = True
    matrices: bool = False
    declared: Formula | None = None

    def numbers(self, formula: Formula, group: Group) -> dict[str, float]:
        """The group's hyperparameters, in the order of `formula.equations.hyperparameters`."""
        return {name: float(value) for name, value in self._values(formula, group).items()}

    def _values(self, formula: Formula, group: Group) -> dict[str, Any]:
        """The same as they were given. What the class has no argument for is the formula's own."""
        names, own = formula.equations.hyperparameters, formula.hyperparameters
        each = zip(names, _places(names, self.grouped), strict=True)
        return {name: _at(group[argument], k) if argument in group else own[name] for name, (argument, k) in each}

    def places(self, formula: Formula, argument: str) -> list[tuple[int, int | None]]:
        """Which hyperparameters an argument holds: the place of each among them, and in the argument, if a tuple."""
        places = _places(formula.equations.hyperparameters, self.grouped)
        return [(k, place) for k, (name, place) in enumerate(places) if name == argument]

    def fit(self, owner: str, group: Group) -> None:
        """Refuse what is not a number where the default is one, and a tuple that is not like its default."""
        absent = _absent(self.declared) if self.declared else ()  # hyperparameters that the formula can do without
        for name, usual in ((a.name, a.default) for a in self.arguments if a.name in group):
            value = group[name]
            if isinstance(usual, tuple):
                fits = isinstance(value, tuple | list) and len(value) == len(usual)
                fits = fits and all(_numeric(v) or v is u is None for v, u in zip(value, usual, strict=True))
                allowed = say("{count} numbers, such as {example}", count=len(usual), example=str(usual))
            else:
                fits = not _numeric(usual) or isinstance(usual, bool) or _numeric(value)
                fits, allowed = fits or (value is None and name in absent), say("a number")
            if not fits:
                what, shown = say("{kind} of {owner}", kind=name, owner=owner), short(repr(value))
                raise UsageError("{what} is {value}; give {allowed}.", what=what, value=shown, allowed=allowed)

    def verify(self, group: Group) -> None:
        """Refuse numbers out of their ranges, what no formula can be chosen for, and what is not a number."""
        if self.declared is not None:
            self._within(self.declared, group)
        formula = self.choose(group)
        for name, value in self._values(formula, group).items():
            if not isinstance(value, torch.Tensor):
                number(formula.name, name, value)

    def _within(self, formula: Formula, group: Group) -> None:
        names = formula.meanings
        for name, (argument, place) in zip(names, _places(tuple(names), self.grouped), strict=True):
            value = _at(group.get(argument), place)
            absent = self.grouped and value == 0 and formula.options.get(name, 0) is None
            if isinstance(value, int | float) and not absent:
                formula.within(name, value)

    def state(self, name: str) -> str:
        """The name of a formula's state in a state_dict."""
        return self.states.get(name, name)


def _numeric(value: Any) -> bool:
    return isinstance(value, Real | torch.Tensor)


def _absent(formula: Formula) -> set[str]:
    assert formula.function is not None
    return {name for name, p in inspect.signature(formula.function).parameters.items() if p.default is None}


def _at(value: Any, place: int | None) -> Any:
    return value if place is None or value is None else value[place]


@functools.cache
def _places(hyperparameters: tuple[str, ...], grouped: bool) -> list[tuple[str, int | None]]:
    """The argument that holds each hyperparameter, and where in it, if it is a tuple."""
    parts: Mapping[str, tuple[str, int | None]] = _PARTS if grouped else {}
    return [parts.get(name, (name, None)) for name in hyperparameters]


@functools.cache
def _form(name: str, changes: tuple[tuple[str, Any], ...]) -> Formula:
    return _free(get(name)).with_(**dict(changes)) if changes else get(name)


def _free(formula: Formula) -> Formula:
    """The same without ranges: a number of it may stand for every other."""
    return replace(formula, meanings={})


def rule_of_class(name: str) -> Rule:
    """The rule of the class of `tw.optim` with that name."""
    forms = forms_of(name)
    states = {ours: theirs for _, drop_in in forms for ours, theirs in drop_in.states.items()}
    if not forms[0][1].in_torch:
        return rule_of_formula(forms[0][0], states, grouped=True)
    _self, _params, *arguments = inspect.signature(getattr(torch.optim, name).__init__).parameters.values()

    def choose(group: Group) -> Formula:
        formula, drop_in = chosen_form(forms, group)
        changes = {n: value for n in drop_in.options if (value := _chosen(formula, n, group)) != formula.options[n]}
        return _form(formula.name, tuple({**drop_in.fixed, **changes}.items()))

    keeps_step, matrices = all(d.keeps_step for _, d in forms), any(d.matrices for _, d in forms)
    arguments = tuple(a.replace(annotation=a.empty) for a in arguments)
    return Rule(arguments, choose, states, keeps_step, matrices=matrices)


def _chosen(formula: Formula, name: str, group: Group) -> Any:
    """What a group says of an option; of a hyperparameter that may be absent 0.5, as its number stands in the table."""
    whole, place = _PARTS.get(name, (name, None))
    value, usual = _at(group[whole], place), formula.options[name]
    if usual is None:
        return 0.5 if value else None
    return bool(value) if isinstance(usual, bool) else usual if value is None else value


def rule_of_formula(formula: Formula, states: Mapping[str, str] | None = None, *, grouped: bool = False) -> Rule:
    """A rule with the formula's own hyperparameters and options for arguments, and `maximize`.

    Args:
        grouped: beta1 and beta2 become the tuple ``betas``, as torch.optim would have it; hyperparameters
            that are absent at first become 0.
    """
    assert formula.function is not None
    values: dict[str, Any] = {}
    for name in inspect.signature(formula.function).parameters:
        value = formula.hyperparameters.get(name, formula.options.get(name))
        if grouped and name in _PARTS:
            values[_PARTS[name][0]] = (*values.get(_PARTS[name][0], ()), value)
        elif name in formula.hyperparameters or name in formula.options:
            values[name] = 0.0 if grouped and value is None else value
    kinds = inspect.Parameter.POSITIONAL_OR_KEYWORD if grouped else inspect.Parameter.KEYWORD_ONLY
    arguments = [inspect.Parameter(name, kinds, default=value) for name, value in values.items()]
    arguments.append(inspect.Parameter("maximize", inspect.Parameter.KEYWORD_ONLY, default=False))
    options = {name: value for name, value in formula.options.items() if name in values}
    absent = _absent(formula)

    @functools.cache
    def form(chosen: tuple[tuple[str, Any], ...]) -> Formula:
        return _free(formula).with_(**dict(chosen))

    def choose(group: Group) -> Formula:
        choices = {name: group[name] for name in (*options, *(absent & formula.hyperparameters.keys()))}
        for name in absent & choices.keys():  # only whether there is one: its value is a number in a table
            missing = choices[name] is None or (grouped and choices[name] == 0)
            choices[name] = None if missing else 0.5
        present = {**formula.options, **dict.fromkeys(absent & formula.hyperparameters.keys(), 0.5)}
        changes = {name: value for name, value in choices.items() if present[name] != value}
        return form(tuple(sorted(changes.items()))) if changes else formula

    return Rule(tuple(arguments), choose, states or {}, grouped=grouped, declared=formula)


RULES = {name: rule_of_class(name) for name in dict.fromkeys(d.name for f in FORMULAS.values() for d in f.drop_ins)}
