"""The numbers of a step: each parameter group's formula and hyperparameters, read from its arguments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from .rules import IMPLEMENTATION, Group, Rule

_PLAIN = frozenset([float, int, bool, tuple, type(None)])


class Table:
    """Each group's formula and numbers, read anew only where a group has changed.

    What changes in a training loop is one argument of all groups, the rate, so the groups are compared argument
    by argument; which formula a group means is chosen anew only if an argument changed that the choice depended on.

    Attributes:
        formulas: of each group.
        numbers: (groups, hyperparameters) float64, each row in the order of its formula's.
        signs: −1 for a group that goes up.
    """

    def __init__(self, rule: Rule, groups: Sequence[dict[str, Any]]) -> None:
        self.rule = rule
        names = [a.name for a in rule.arguments if a.name not in IMPLEMENTATION]
        extra = ["decoupled_weight_decay"] if any("decoupled_weight_decay" in g for g in groups) else []
        self.columns = {name: _column(name, groups) for name in (*names, *extra)}
        recording = [_RecordingGroup(group) for group in groups]
        self.formulas = [rule.choose(group) for group in recording]
        self.chosen_by = {"maximize"}.union(*(group.names for group in recording))
        rows = [[*rule.numbers(f, g).values()] for f, g in zip(self.formulas, groups, strict=True)]
        self.numbers = np.zeros((len(rows), max(map(len, rows), default=0)))
        for numbers, row in zip(self.numbers, rows, strict=True):
            numbers[: len(row)] = row
        self.signs = [_sign(group) for group in groups]

    def fill(self, groups: Sequence[dict[str, Any]]) -> bool:
        """Read what has changed; False where a group now means another formula or direction."""
        if len(groups) != len(self.formulas):
            return False
        now = {name: _column(name, groups) for name in self.columns}
        changed = [name for name, column in now.items() if column != self.columns[name]]
        if not self.chosen_by.isdisjoint(changed) and not self._same_forms(groups):
            return False
        alike = len(set(map(id, self.formulas))) == 1
        for name in changed if alike else ():
            for k, place in self.rule.places(self.formulas[0], name):
                values = now[name] if place is None else [v[place] for v in now[name]]
                self.numbers[:, k] = list(map(float, values))
        for row, formula, group in zip(self.numbers, self.formulas, groups, strict=True):
            if alike or not changed:
                break
            numbers = self.rule.numbers(formula, group)
            row[: len(numbers)] = [*numbers.values()]
        self.columns = now
        return True

    def _same_forms(self, groups: Sequence[Group]) -> bool:
        return all(
            self.rule.choose(group).equations == formula.equations and _sign(group) == sign
            for group, formula, sign in zip(groups, self.formulas, self.signs, strict=True)
        )


class _RecordingGroup(dict[str, Any]):
    """A group that records which of its arguments were read."""

    def __init__(self, group: Group) -> None:
        super().__init__(group)
        self.names: set[str] = set()

    def __getitem__(self, name: str) -> Any:
        self.names.add(name)
        return super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        self.names.add(name)
        return super().get(name, default)


def _column(name: str, groups: Sequence[Group]) -> list[Any]:
    """An argument of all groups; a tensor's number, because it may change where it lies."""
    values = [group.get(name) for group in groups]
    if not _PLAIN.issuperset(map(type, values)):
        return [float(v) if isinstance(v, Tensor) else v for v in values]
    return values


def _sign(group: Group) -> float:
    return -1.0 if group.get("maximize") else 1.0
