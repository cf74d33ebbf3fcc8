"""Parameter groups: parts of a model's parameters that have some numbers of their own, as in torch.optim.

A group gives a hyperparameter another value, or a factor on whatever the member has; what it does not name stays the
member's, tuned and scheduled as ever. A frozen parameter is one of the model that does not train.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from torch import nn

from ..errors import PlanError
from ..formulas import Formula
from ..formulas.opaque import Opaque


@dataclass(frozen=True)
class ParameterGroup:
    """Some parameters, and the numbers that they have in place of the member's.

    Attributes:
        names: of the parameters, as `named_parameters` has them.
        values: hyperparameter → value; or an option that chooses a form of the rule → whether it may hold.
        factors: hyperparameter → factor on the member's value.
    """

    names: tuple[str, ...]
    values: Mapping[str, float] = field(default_factory=dict)
    factors: Mapping[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        """Its numbers, in words."""
        scaled = [f"{'rate' if name == 'lr' else name} × {factor:g}" for name, factor in self.factors.items()]
        own = {n: f"{v:g}" if not isinstance(v, bool) else "on" if v else "off" for n, v in self.values.items()}
        return ", ".join([*(f"{name} {value}" for name, value in own.items()), *scaled])

    def changes(self, usual: Mapping[str, float]) -> dict[str, float]:
        """Its numbers in place of those of a member that has these; a rule that lacks one goes without it."""
        scaled = {name: usual[name] * factor for name, factor in self.factors.items() if name in usual}
        return scaled | {name: value for name, value in self.values.items() if name in usual}

    def forms(self, rule: Formula) -> dict[str, bool]:
        """The options of the rule that choose its form here."""
        return {name: bool(value) for name, value in self.values.items() if name in rule.by_shape}

    def arguments(self, rule: Formula, usual: Mapping[str, float]) -> dict[str, Any]:
        """What stands in its dict for an optimizer of PyTorch's kind; a function that makes one is given everything."""
        changes = {**self.changes(usual), **self.forms(rule)}
        if not isinstance(rule, Opaque):
            return changes
        return {n: rule.typed(n, v) for n, v in changes.items()} if rule.is_class else {**self.values, **changes}


@dataclass(frozen=True)
class ParameterGroups:
    """The parameter groups of a study, all disjoint.

    Attributes:
        label: what the user gave, in words.
        groups: those with numbers of their own.
        frozen: names of the parameters that do not train though the model would train them.
        others: how many parameters that train are in none of the groups.
        idle: the optimizers for which all this changes nothing, as no decay does where there is none.
    """

    label: str
    groups: tuple[ParameterGroup, ...]
    frozen: tuple[str, ...] = ()
    others: int = 0
    idle: tuple[str, ...] = ()

    def rows(self, usual: Mapping[str, float]) -> list[dict[str, float]]:
        """The numbers of a member: first those of parameters without a group, then those of each group."""
        return [dict(usual), *({**usual, **group.changes(usual)} for group in self.groups)]

    def of_torch(
        self, parameters: Sequence[Any], names: Sequence[str], rule: Formula, usual: Mapping[str, float]
    ) -> list[dict[str, Any]]:
        """The parameters as torch's list of groups, those without a group first."""
        places = self.places(names)
        numbers = [{}, *(group.arguments(rule, usual) for group in self.groups)]
        each = [[p for p, at in zip(parameters, places, strict=True) if at == k] for k in range(len(numbers))]
        return [{"params": params, **own} for params, own in zip(each, numbers, strict=True) if params]

    def forms(self, rule: Formula) -> tuple[str, ...]:
        """The options that choose a form of the rule in some group."""
        return tuple(dict.fromkeys(name for group in self.groups for name in group.forms(rule)))

    def rules(self, rule: Formula, names: Sequence[str]) -> list[Formula]:
        """The rule as each of these parameters has it, its shape aside."""
        each = [rule, *(rule.form(**group.forms(rule)) for group in self.groups)]
        return [each[place] for place in self.places(names)]

    def places(self, names: Sequence[str]) -> np.ndarray:
        """(parameters,) the place of each among the rows."""
        place = {name: k for k, group in enumerate(self.groups, 1) for name in group.names}
        return np.array([place.get(name, 0) for name in names], dtype=np.int64)

    @property
    def sentence(self) -> str:
        """What they are, in words."""
        parts = [f"{group} for {_count(len(group.names))}" for group in self.groups]
        parts += [f"{_count(len(self.frozen))} frozen"] if self.frozen else []
        parts += [f"the optimizer's own numbers for {_count(self.others)}"] if self.others else []
        idle = f" They change nothing for {', '.join(self.idle)}." if self.idle else ""
        return f"Parameter groups ({self.label}): {'; '.join(parts)}.{idle}"

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, plain: Mapping[str, Any] | None) -> ParameterGroups | None:
        if plain is None:
            return None
        groups = tuple(ParameterGroup(tuple(g["names"]), g["values"], g["factors"]) for g in plain["groups"])
        return cls(plain["label"], groups, tuple(plain["frozen"]), plain["others"], tuple(plain.get("idle", ())))

    def check(self, model: nn.Module) -> None:
        """Refuse groups of parameters that the model lacks."""
        names = dict(model.named_parameters())
        for name in (*self.frozen, *(name for group in self.groups for name in group.names)):
            if name not in names:
                raise PlanError(f"the parameter groups name {name}, which is not a parameter of this model.")


def _count(parameters: int) -> str:
    return f"{parameters} parameter{'s' * (parameters != 1)}"


@dataclass(frozen=True)
class Freezing:
    """A function that returns a fresh model, some of whose parameters do not train."""

    model: Callable[[], nn.Module]
    frozen: tuple[str, ...]

    def __call__(self) -> nn.Module:
        module = self.model()
        for name in self.frozen:
            module.get_parameter(name).requires_grad_(False)
        return module
