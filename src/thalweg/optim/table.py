"""The numbers of a step: each parameter group's formula and hyperparameters, read from its arguments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from .rules import Group, Rule


class Table:
    """Each group's formula and numbers, read anew only where a group has changed."""

    def __init__(self, rule: Rule, groups: Sequence[dict[str, Any]]) -> None:
        self.rule = rule
        names = [a.name for a in rule.arguments]
        extra = ["decoupled_weight_decay"] if any("decoupled_weight_decay" in g for g in groups) else []
        self.names = list(dict.fromkeys([*names, *extra]))
        self.seen: list[Any] = [self._key(group) for group in groups]
        self.formulas = [rule.choose(group) for group in groups]
        self.numbers = [rule.numbers(f, g) for f, g in zip(self.formulas, groups, strict=True)]
        self.signs = [-1.0 if group.get("maximize") else 1.0 for group in groups]

    def _key(self, group: Group) -> tuple[Any, ...]:
        values = tuple(map(group.get, self.names))
        if any(isinstance(v, Tensor) for v in values):  # a tensor may change where it lies
            return tuple(float(v) if isinstance(v, Tensor) else v for v in values)
        return values

    def fill(self, groups: Sequence[dict[str, Any]]) -> bool:
        """Read what has changed; False where a group now asks for another formula or direction."""
        for k, group in enumerate(groups):
            key = self._key(group)
            if key == self.seen[k]:
                continue
            if self.rule.choose(group).equations != self.formulas[k].equations:
                return False
            if (-1.0 if group.get("maximize") else 1.0) != self.signs[k]:
                return False
            self.numbers[k], self.seen[k] = self.rule.numbers(self.formulas[k], group), key
        return True
