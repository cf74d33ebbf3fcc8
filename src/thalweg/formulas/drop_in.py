"""A formula as a class of `tw.optim`: what its arguments and states are called there, as torch.optim calls them.

torch.optim and the formulas name the same things differently: ``betas`` against ``beta1`` and ``beta2``, ``exp_avg``
against ``m``, one ``SGD`` against three formulas. A `DropIn` stands beside the formula and says how; the classes, the
recipes in plain PyTorch and the tests against torch.optim are derived from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from ..errors import UsageError

# The tuples that are arguments of the classes, and the hyperparameters they hold.
TUPLES = {
    "betas": ("beta1", "beta2", "beta3"),
    "nus": ("nu1", "nu2"),
    "etas": ("eta_minus", "eta_plus"),
    "step_sizes": ("size_min", "size_max"),
    "ns_coefficients": ("ns_a", "ns_b", "ns_c"),
    "eps": ("eps1", "eps2"),
}
SCALES = ("original", "match_rms_adamw")  # of Muon's steps
MEANS = {"m": "exp_avg", "v": "exp_avg_sq"}  # what most rules call Adam's averages


def parts(name: str, value: Any) -> list[tuple[str, Any]]:
    """An argument of a class as the hyperparameters that it holds.

    >>> parts("betas", (0.9, 0.99)), parts("lr", 0.1)
    ([('beta1', 0.9), ('beta2', 0.99)], [('lr', 0.1)])
    """
    return list(zip(TUPLES[name], value, strict=False)) if name in TUPLES and _is_pair(value) else [(name, value)]


class Form(Protocol):
    """A formula's numbers, and the options it has chosen."""

    @property
    def hyperparameters(self) -> Mapping[str, float]: ...

    @property
    def options(self) -> Mapping[str, bool | str | int | None]: ...


@dataclass(frozen=True)
class DropIn:
    """The class of `tw.optim` that means a formula.

    Attributes:
        name: of the class.
        states: the formula's state → its name in a state_dict, where that is another.
        options: those of the formula that are arguments of the class; 0 or None there is as the formula has it.
        on: of these, those that are on unless the class is told otherwise.
        chosen_by: the arguments that, all set, make the class mean this formula and no other of the same class.
        in_torch: whether torch.optim has the class, whose arguments and path are then the same.
        keeps_step: whether a state_dict has the step; torch's SGD keeps none.
        matrices: whether the class takes tensors of two axes only.
        without: hyperparameters of the formula that the class has no argument for.
        fixed: options of the formula that the class has no argument for, as the class has them.
    """

    name: str
    states: Mapping[str, str] = field(default_factory=dict)
    options: tuple[str, ...] = ()
    on: tuple[str, ...] = ()
    chosen_by: tuple[str, ...] = ()
    in_torch: bool = True
    keeps_step: bool = True
    matrices: bool = False
    without: tuple[str, ...] = ()
    fixed: Mapping[str, bool] = field(default_factory=dict)

    def means(self, formula: Form, usual: Form) -> bool:
        """Whether the class can be this form of the usual formula."""
        others = [name for name in formula.options if name not in (*self.options, *self.fixed)]
        forgets = formula.hyperparameters.get("momentum") == 0  # torch would leave its state out
        return not forgets and all(formula.options[n] == usual.options[n] for n in others)

    def arguments(self, formula: Form, **changed: float) -> dict[str, Any]:
        """The keyword arguments with which the class is this formula."""
        values: dict[str, Any] = {**formula.hyperparameters, **changed}
        values = {name: value for name, value in values.items() if name not in self.without}
        values |= {name: value for name in self.options if (value := formula.options.get(name)) or name in self.on}
        for whole, parts in TUPLES.items():
            present = [k for k, part in enumerate(parts) if part in values]
            if present:  # what is absent before one that is given is None
                together = tuple(values.pop(part, None) for part in parts[: present[-1] + 1])
                values = {"lr": values.pop("lr"), whole: together, **values}
        return {**values, **{name: True for name in self.chosen_by if name not in values}}


def check(group: Mapping[str, Any], *, grouped: bool) -> None:
    """Refuse hyperparameters that classes of torch.optim refuse, in their words; of a rule of one's own, the rate."""
    for name, value in group.items():
        if name != "params" and hasattr(value, "numel") and value.numel() != 1:  # a tensor; nothing here needs torch
            raise UsageError(f"Tensor {name} must be 1-element, not of shape {tuple(value.shape)}.")
        if name in (_FROM_ZERO if grouped else ("lr",)) and not (_is_pair(value) or value >= 0.0):
            raise UsageError(_below_zero(name, value, group))
        if not grouped:
            continue
        for place, beta in enumerate(value if name == "betas" else ()):
            if not 0.0 <= beta < 1.0:
                raise UsageError(f"Invalid beta parameter at index {place}: {beta}; it must be in [0, 1).")
        if name == "alpha" and "centered" in group and not value >= 0.0:
            raise UsageError(f"Invalid alpha value: {value}; it must be at least 0.")
        if name == "rho" and not 0.0 <= value <= 1.0:
            raise UsageError(f"Invalid rho value: {value}; it must be in [0, 1].")
        if name == "etas" and not 0.0 < value[0] < 1.0 < value[1]:
            raise UsageError(f"Invalid eta values: {value[0]}, {value[1]}; one below 1 and one above.")
    if "beta2_decay" in group and grouped:
        _check_adafactor(group)
    if group.get("adjust_lr_fn") not in (None, *SCALES):
        raise UsageError(
            f"Adjust learning rate function {group['adjust_lr_fn']} is not supported; give {' or '.join(SCALES)}."
        )
    if group.get("nesterov") and "dampening" in group and (group["momentum"] <= 0 or group["dampening"] != 0):
        raise UsageError("Nesterov momentum requires a momentum and zero dampening.")
    for name in ("capturable", "differentiable"):
        if group.get(name):
            raise UsageError(f"{name}=True is not available: leave it out, or use torch.optim's own class.")


def _is_pair(value: Any) -> bool:
    return isinstance(value, tuple | list)


def _below_zero(name: str, value: Any, group: Mapping[str, Any]) -> str:
    """In the words that the class of torch.optim with such arguments has."""
    if "beta2_decay" in group or "ns_steps" in group:
        words = {"lr": "Learning rate", "weight_decay": "weight decay" if "ns_steps" in group else name}
        return f"{words.get(name, name)} should be >= 0 but is: {value}."
    return f"Invalid {_FROM_ZERO[name]}: {value}; it must be at least 0."


def _check_adafactor(group: Mapping[str, Any]) -> None:
    if not group["beta2_decay"] <= 0.0:
        raise UsageError(f"beta2_decay should be <= 0 but is: {group['beta2_decay']}.")
    for place, eps in enumerate(group["eps"], 1):
        if eps is not None and not eps >= 0.0:
            raise UsageError(f"epsilon{place} should be >= 0 but is: {eps}.")
    if not group["d"] >= 1.0:
        raise UsageError(f"Clipping threshold d should be >= 1 but is: {group['d']}.")


_FROM_ZERO = {
    "lr": "learning rate",
    "eps": "epsilon value",
    "weight_decay": "weight_decay value",
    "momentum": "momentum value",
    "lr_decay": "lr_decay value",
    "momentum_decay": "momentum_decay value",
    "initial_accumulator_value": "initial_accumulator_value value",
}
