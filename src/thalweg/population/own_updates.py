"""The updates of members whose optimizers are somebody's own code: each member has an optimizer object of its own.

Its parameters are rows of the block's stacked weights, so that everything else about a block stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from ..formulas.opaque import Opaque, needs_closure
from .packing import packed, unpacked
from .updates import Update

Gradient = Callable[[], tuple[list[Tensor], float]]  # a member's gradients and loss where its weights are


class _NotFinite(Exception):
    """A member's loss stopped being finite."""


class OwnUpdates(Update):
    """`Update` for optimizers without a kernel."""

    def allocate(self, weights: Sequence[Tensor]) -> None:
        self.states = [[] for _ in weights]
        self.lookahead = None
        rows = range(self.start, self.stop)
        self.parameters = [[nn.Parameter(w[row]) for w in weights] for row in rows]
        self.optimizers = [self._built(k) for k in range(self.count)]
        # A maker may give each group of parameters a rate of its own: a share of the one it was given.
        rates = self.base[:: self.width, self.names.index("lr")]
        pairs = zip(self.optimizers, rates, strict=True)
        self.shares = [[group.get("lr", lr) / lr for group in optimizer.param_groups] for optimizer, lr in pairs]
        at = [dict(zip(map(id, own), self.place.tolist(), strict=True)) for own in self.parameters]
        self.places = [
            [places[id(group["params"][0])] if group["params"] else 0 for group in optimizer.param_groups]
            for places, optimizer in zip(at, self.optimizers, strict=True)
        ]
        self.varied = [name for name in self.names if any(name in m.schedules for m in self.members)]
        self.closure = needs_closure(self.optimizers[0])

    def _built(self, k: int) -> Any:
        member, parameters = self.members[k], self.parameters[k]
        rule, usual = member.formula, member.rows[0]
        assert isinstance(rule, Opaque)
        if member.groups is not None:
            parameters = member.groups.of_torch(parameters, self.parameter_names, rule, usual)
        return rule.build(parameters, lr=float(usual["lr"]))

    def step(self, k: int, gradient: Gradient) -> float:
        """Take the member at place `k` a step; its loss where it stood.

        A loss that is not finite is returned, and nothing is moved.
        """
        first: list[float] = []

        def closure() -> float:
            with torch.no_grad():
                slopes, loss = gradient()
            first.append(loss)
            if not np.isfinite(first[0]):
                raise _NotFinite
            for parameter, slope in zip(self.parameters[k], slopes, strict=True):
                parameter.grad = slope
            return loss

        optimizer = self.optimizers[k]
        table = self.table[k * self.width : (k + 1) * self.width]
        for group, share, place in zip(optimizer.param_groups, self.shares[k], self.places[k], strict=True):
            for name in self.varied:
                column = table[:, self.names.index(name)]
                group[name] = float(column[0] * share if name == "lr" else column[place])
        try:
            if self.closure:
                optimizer.step(closure)
            else:
                closure()
                optimizer.step()
        except _NotFinite:
            pass
        for parameter in self.parameters[k]:
            parameter.grad = None
        return first[0]

    def adopt(self, other: Update, here: np.ndarray, there: np.ndarray) -> None:
        assert isinstance(other, OwnUpdates)
        super().adopt(other, here, there)
        for k, before in zip(here - self.start, there - other.start, strict=True):
            state = pytree.tree_map_only(Tensor, Tensor.clone, other.optimizers[before].state_dict())
            self.optimizers[k].load_state_dict(state)

    def saved(self) -> dict[str, Tensor]:
        """What the optimizers remember, by name."""
        return packed([optimizer.state_dict() for optimizer in self.optimizers])

    def load(self, saved: Mapping[str, Tensor]) -> None:
        """Take up what `saved` gave."""
        for optimizer, state in zip(self.optimizers, unpacked(saved), strict=True):
            optimizer.load_state_dict(state)
