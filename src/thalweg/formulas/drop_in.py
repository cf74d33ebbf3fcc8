"""A formula as a class of `tw.optim`: what its arguments and states are called there, as torch.optim calls them.

torch.optim and the formulas name the same things differently: ``betas`` against ``beta1`` and ``beta2``, ``exp_avg``
against ``m``, one ``SGD`` against three formulas. A `DropIn` stands beside the formula and says how; the classes, the
recipes in plain PyTorch and the tests against torch.optim are derived from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

# The tuples that are arguments of the classes, and the hyperparameters they hold.
TUPLES = {
    "betas": ("beta1", "beta2", "beta3"),
    "nus": ("nu1", "nu2"),
    "etas": ("eta_minus", "eta_plus"),
    "step_sizes": ("size_min", "size_max"),
}
MEANS = {"m": "exp_avg", "v": "exp_avg_sq"}  # what most rules call Adam's averages


class Form(Protocol):
    """A formula's numbers, and the options it has chosen."""

    @property
    def hyperparameters(self) -> Mapping[str, float]: ...

    @property
    def options(self) -> Mapping[str, bool | str | None]: ...


@dataclass(frozen=True)
class DropIn:
    """The class of `tw.optim` that means a formula.

    Attributes:
        name: of the class.
        states: the formula's state → its name in a state_dict, where that is another.
        options: those of the formula that are arguments of the class; 0 or False there is off.
        chosen_by: the arguments that, all set, make the class mean this formula and no other of the same class.
        in_torch: whether torch.optim has the class, whose arguments and path are then the same.
        keeps_step: whether a state_dict has the step; torch's SGD keeps none.
    """

    name: str
    states: Mapping[str, str] = field(default_factory=dict)
    options: tuple[str, ...] = ()
    chosen_by: tuple[str, ...] = ()
    in_torch: bool = True
    keeps_step: bool = True

    def means(self, formula: Form, usual: Form) -> bool:
        """Whether the class can be this form of the usual formula."""
        others = [name for name in formula.options if name not in self.options]
        forgets = formula.hyperparameters.get("momentum") == 0  # torch would leave its state out
        return not forgets and all(formula.options[n] == usual.options[n] for n in others)

    def arguments(self, formula: Form, **changed: float) -> dict[str, Any]:
        """The keyword arguments with which the class is this formula."""
        values: dict[str, Any] = {**formula.hyperparameters, **changed}
        values |= {name: value for name in self.options if (value := formula.options.get(name))}
        for whole, parts in TUPLES.items():
            if parts[0] in values:
                together = tuple(values.pop(part) for part in parts if part in values)
                values = {"lr": values.pop("lr"), whole: together, **values}
        return {**values, **{name: True for name in self.chosen_by if name not in values}}
