"""The updates of members whose optimizers are somebody's own code: each member has an optimizer object of its own.

Its parameters are rows of the block's stacked weights, so that everything else about a block stays as it is.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from ..formulas.opaque import Opaque, needs_closure
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
        rates = self.base[:, self.names.index("lr")]
        pairs = zip(self.optimizers, rates, strict=True)
        self.shares = [[group.get("lr", lr) / lr for group in optimizer.param_groups] for optimizer, lr in pairs]
        self.varied = [name for name in self.names if any(name in m.schedules for m in self.members)]
        self.closure = needs_closure(self.optimizers[0])

    def _built(self, k: int) -> Any:
        rule = self.members[k].formula
        assert isinstance(rule, Opaque)
        return rule.build(self.parameters[k], lr=float(self.base[k, self.names.index("lr")]))

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
        for group, share in zip(optimizer.param_groups, self.shares[k], strict=True):
            for name in self.varied:
                group[name] = float(self.table[k, self.names.index(name)]) * (share if name == "lr" else 1)
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
            self.optimizers[k].load_state_dict(_copied(other.optimizers[before].state_dict()))

    def saved(self) -> dict[str, Tensor]:
        """What the optimizers remember, by name; numbers and places as JSON in bytes."""
        tensors: dict[str, Tensor] = {}
        about = []
        for k, optimizer in enumerate(self.optimizers):
            leaves, form = pytree.tree_flatten(optimizer.state_dict())
            plain = [None if isinstance(leaf, Tensor) else [leaf] for leaf in leaves]
            tensors |= {f"{k}.{i}": leaf for i, leaf in enumerate(leaves) if isinstance(leaf, Tensor)}
            about.append([pytree.treespec_dumps(form), plain])
        return {"about": torch.frombuffer(bytearray(json.dumps(about).encode()), dtype=torch.uint8), **tensors}

    def load(self, saved: Mapping[str, Tensor]) -> None:
        """Take up what `saved` gave."""
        about = json.loads(saved["about"].numpy().tobytes())
        for k, (form, plain) in enumerate(about):
            leaves = [saved[f"{k}.{i}"].clone() if one is None else one[0] for i, one in enumerate(plain)]
            self.optimizers[k].load_state_dict(pytree.tree_unflatten(leaves, pytree.treespec_loads(form)))


def _copied(state: Any) -> Any:
    return pytree.tree_map(lambda leaf: leaf.clone() if isinstance(leaf, Tensor) else leaf, state)
