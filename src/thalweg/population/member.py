"""One training run among many."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ..formulas import Formula
from ..regularizers.base import Regularizer
from ..schedules import Schedule
from .groups import ParameterGroups

RUINED = 10.0  # a run whose loss ends above so many times that of its untrained weights has diverged


@dataclass(frozen=True)
class Member:
    """A run: a formula, its hyperparameters, their schedules, a seed, and a regularizer.

    Attributes:
        formula: the update rule.
        hyperparameters: values that differ from the formula's defaults, e.g. ``{"lr": 0.01}``.
        schedules: hyperparameter → schedule that multiplies it over the run.
        seed: fixes the initial weights and the order of the batches; members of one seed share both.
        regularizer: what keeps it from overfitting; `regularizers.chain` makes one of several.
        groups: parameters with numbers of their own.
    """

    formula: Formula
    hyperparameters: Mapping[str, float] = field(default_factory=dict)
    schedules: Mapping[str, Schedule] = field(default_factory=dict)
    seed: int = 0
    regularizer: Regularizer | None = None
    groups: ParameterGroups | None = None

    @property
    def rows(self) -> list[dict[str, float]]:
        """Its hyperparameters, for each of its parameter groups; the first row is that of all other parameters."""
        values = {**self.formula.hyperparameters, **self.hyperparameters}
        return [values] if self.groups is None else self.groups.rows(values)

    def over(self, epochs: int, total: int) -> Member:
        """Itself in a run of so many epochs and steps, which lengths in epochs ask for."""
        schedules = {name: schedule.over(epochs, total) for name, schedule in self.schedules.items()}
        same = all(schedules[name] is schedule for name, schedule in self.schedules.items())
        return self if same else replace(self, schedules=schedules)
