"""What an optimizer class is made of: its arguments, and how they choose a formula and give it numbers.

torch.optim and the formulas name the same things differently: ``betas`` against ``beta1`` and ``beta2``,
``exp_avg`` against ``m``, one ``SGD`` against three formulas. A `Rule` is that dictionary, and nothing else:
the classes that torch has take their arguments from torch's own signatures, all others from their formula.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from ..errors import UsageError
from ..formulas import Formula, get
from ..formulas.equations import number

# A hyperparameter of a formula → the tuple it is part of, and its place there.
_PARTS: dict[str, tuple[str, int]] = {
    "beta1": ("betas", 0),
    "beta2": ("betas", 1),
    "beta3": ("betas", 2),
    "nu1": ("nus", 0),
    "nu2": ("nus", 1),
    "eta_minus": ("etas", 0),
    "eta_plus": ("etas", 1),
    "size_min": ("step_sizes", 0),
    "size_max": ("step_sizes", 1),
}
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
    """

    arguments: tuple[inspect.Parameter, ...]
    choose: Callable[[Group], Formula]
    states: Mapping[str, str] = field(default_factory=dict)
    keeps_step: bool = True
    grouped: bool = True

    def numbers(self, formula: Formula, group: Group) -> list[float]:
        """The group's hyperparameters in the order of `formula.equations.hyperparameters`."""
        places = _places(formula.equations.hyperparameters, self.grouped)
        return [float(group[name] if place is None else group[name][place]) for name, place in places]

    def places(self, formula: Formula, argument: str) -> list[tuple[int, int | None]]:
        """Which hyperparameters an argument holds: the place of each among them, and in the argument, if a tuple."""
        found = _places(formula.equations.hyperparameters, self.grouped)
        return [(k, place) for k, (name, place) in enumerate(found) if name == argument]

    def verify(self, group: Group) -> None:
        """Refuse what no formula can be chosen for, and hyperparameters that are not numbers."""
        formula = self.choose(group)
        names = formula.equations.hyperparameters
        for name, (argument, place) in zip(names, _places(names, self.grouped), strict=True):
            value = group[argument] if place is None else group[argument][place]
            if not isinstance(value, torch.Tensor):
                number(formula.name, name, value)

    def state(self, name: str) -> str:
        """The name of a formula's state in a state_dict."""
        return self.states.get(name, name)


@functools.cache
def _places(hyperparameters: tuple[str, ...], grouped: bool) -> list[tuple[str, int | None]]:
    """The argument that holds each hyperparameter, and where in it, if it is a tuple."""
    parts: Mapping[str, tuple[str, int | None]] = _PARTS if grouped else {}
    return [parts.get(name, (name, None)) for name in hyperparameters]


def check(group: Group, *, grouped: bool) -> None:
    """Refuse hyperparameters outside of their range, in torch's words; of a rule of one's own, the rate."""
    for name, value in group.items():
        if isinstance(value, torch.Tensor) and name != "params" and value.numel() != 1:
            raise UsageError(f"Tensor {name} must be 1-element, not of shape {tuple(value.shape)}.")
        if name in (_FROM_ZERO if grouped else ("lr",)) and not value >= 0.0:
            raise UsageError(f"Invalid {_FROM_ZERO[name]}: {value}; it must be at least 0.")
        if not grouped:
            continue
        for place, beta in enumerate(value if name == "betas" else ()):
            if not 0.0 <= beta < 1.0:
                raise UsageError(f"Invalid beta parameter at index {place}: {beta}; it must be in [0, 1).")
        if name == "rho" and not 0.0 <= value <= 1.0:
            raise UsageError(f"Invalid rho value: {value}; it must be in [0, 1].")
        if name == "etas" and not 0.0 < value[0] < 1.0 < value[1]:
            raise UsageError(f"Invalid eta values: {value[0]}, {value[1]}; one below 1 and one above.")
    if group.get("nesterov") and (group["momentum"] <= 0 or group["dampening"] != 0):
        raise UsageError("Nesterov momentum requires a momentum and zero dampening.")
    for name in ("capturable", "differentiable"):
        if group.get(name):
            raise UsageError(f"{name}=True is not available: leave it out, or use torch.optim's own class.")


_FROM_ZERO = {
    "lr": "learning rate",
    "eps": "epsilon value",
    "weight_decay": "weight_decay value",
    "momentum": "momentum value",
    "lr_decay": "lr_decay value",
    "momentum_decay": "momentum_decay value",
    "initial_accumulator_value": "initial_accumulator_value value",
}


@functools.cache
def _form(name: str, changes: tuple[tuple[str, float | bool], ...]) -> Formula:
    return get(name).with_(**dict(changes)) if changes else get(name)


def rule_of_torch(
    class_name: str, form: Callable[[Group], tuple[str, dict[str, Any]]], states: Mapping[str, str], **more: Any
) -> Rule:
    """A rule with the arguments of ``torch.optim.<class_name>``.

    Args:
        form: a group's formula, by name and what `Formula.with_` is to change.
    """
    _self, _params, *arguments = inspect.signature(getattr(torch.optim, class_name).__init__).parameters.values()

    def choose(group: Group) -> Formula:
        name, changes = form(group)
        return _form(name, tuple(changes.items()))

    return Rule(tuple(a.replace(annotation=a.empty) for a in arguments), choose, states, **more)


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
    absent = {n for n, p in inspect.signature(formula.function).parameters.items() if p.default is None}

    @functools.cache
    def form(chosen: tuple[tuple[str, Any], ...]) -> Formula:
        return formula.with_(**dict(chosen))

    def choose(group: Group) -> Formula:
        wanted = {name: group[name] for name in (*options, *(absent & formula.hyperparameters.keys()))}
        for name in absent & wanted.keys():  # only whether there is one: its value is a number in a table
            given = wanted[name] is not None and not (grouped and wanted[name] == 0)
            wanted[name] = 0.5 if given else None
        present = {**formula.options, **dict.fromkeys(absent & formula.hyperparameters.keys(), 0.5)}
        changes = {name: value for name, value in wanted.items() if present[name] != value}
        return form(tuple(sorted(changes.items()))) if changes else formula

    return Rule(tuple(arguments), choose, states or {}, grouped=grouped)


def _sgd(group: Group) -> tuple[str, dict[str, Any]]:
    if not group["momentum"]:
        return "sgd", {}
    if group["nesterov"]:
        return "nesterov", {}
    return "momentum", {"dampening": 0.5} if group["dampening"] else {}  # any number: it stands in the table


def _rmsprop(group: Group) -> tuple[str, dict[str, Any]]:
    momentum = {"momentum": 0.5} if group["momentum"] > 0 else {}
    return "rmsprop", {**momentum, **({"centered": True} if group["centered"] else {})}


def _adam(group: Group) -> tuple[str, dict[str, Any]]:
    name = "adamw" if group.get("decoupled_weight_decay") else "adam"
    return name, {"amsgrad": True} if group["amsgrad"] else {}


def _decoupled(name: str) -> Callable[[Group], tuple[str, dict[str, Any]]]:
    changes = {"decoupled_weight_decay": True}
    return lambda group: (name, changes if group["decoupled_weight_decay"] else {})


_MEANS = {"m": "exp_avg", "v": "exp_avg_sq"}
_LARGEST = {**_MEANS, "v_max": "max_exp_avg_sq"}

# The classes torch.optim has too.
OF_TORCH: dict[str, Rule] = {
    "SGD": rule_of_torch("SGD", _sgd, {"a": "momentum_buffer"}, keeps_step=False),
    "Adagrad": rule_of_torch("Adagrad", lambda _: ("adagrad", {}), {"r": "sum"}),
    "Adadelta": rule_of_torch("Adadelta", lambda _: ("adadelta", {}), {"v": "square_avg", "u": "acc_delta"}),
    "RMSprop": rule_of_torch("RMSprop", _rmsprop, {"v": "square_avg", "m": "grad_avg", "b": "momentum_buffer"}),
    "Adam": rule_of_torch("Adam", _adam, _LARGEST),
    "AdamW": rule_of_torch("AdamW", lambda g: ("adamw", _adam(g)[1]), _LARGEST),
    "NAdam": rule_of_torch("NAdam", _decoupled("nadam"), _MEANS),
    "RAdam": rule_of_torch("RAdam", _decoupled("radam"), _MEANS),
    "Adamax": rule_of_torch("Adamax", lambda _: ("adamax", {}), {"m": "exp_avg", "u": "exp_inf"}),
    "ASGD": rule_of_torch("ASGD", lambda _: ("asgd", {}), {"average": "ax", "rate": "eta"}),
    "Rprop": rule_of_torch("Rprop", lambda _: ("rprop", {}), {"previous": "prev", "size": "step_size"}),
}
# The classes it has not, with its habits: betas in tuples, its names of states.
OF_PAPERS: dict[str, Rule] = {
    "Lion": rule_of_formula(get("lion"), _MEANS, grouped=True),
    "AdaBelief": rule_of_formula(get("adabelief"), {"m": "exp_avg", "s": "exp_avg_var"}, grouped=True),
    "Yogi": rule_of_formula(get("yogi"), _MEANS, grouped=True),
    "Adan": rule_of_formula(
        get("adan"), {"m": "exp_avg", "d": "exp_avg_diff", "n": "exp_avg_sq", "previous": "previous_grad"}, grouped=True
    ),
    "QHAdam": rule_of_formula(get("qhadam"), _MEANS, grouped=True),
    "SignSGD": rule_of_formula(get("signsgd"), {"m": "momentum_buffer"}, grouped=True),
}

__all__ = ["OF_PAPERS", "OF_TORCH", "Group", "Rule", "check", "rule_of_formula", "rule_of_torch"]
