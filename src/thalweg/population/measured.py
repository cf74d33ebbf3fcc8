"""What a block's members are worth on some samples: from sums and outputs to values, and to what their samples say.

Means over samples come as sums, which the program computed. Any other metric is computed of the outputs, of one member
after another in plain PyTorch or NumPy, after the program has made them: it changes nothing of how a model is trained.

How much a value depends on the samples is read off parts of them. A mean is linear in its parts. A value that is not,
as an area under a curve, is left without one group of samples at a time, and G θ − (G − 1) θ₋ₖ says what group k adds:
the delete-a-group jackknife (Quenouille 1956; Efron & Stein 1981), which of a mean gives the means of the groups.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch.utils import _pytree as pytree

from .. import losses
from ..losses.foreign import finite
from ..samples import Tree, leaves, take
from .batched import Batched

GROUPS = 16  # of samples, at most: each costs every member another computation of the metric


@dataclass(frozen=True)
class Measured:
    """Sums and outputs of a block on the parts of some samples.

    Attributes:
        sums: (1 + means, members, parts) of the loss and of each mean that the program computes.
        shares: (1 + means, 1, parts) what to divide them by.
        outputs: of each part, (members, samples, …), if there are metrics to be computed of them.
        targets: of each part.
        broken: (members,) whether the loss has stopped being finite.
    """

    batched: Batched
    sums: np.ndarray
    shares: np.ndarray
    outputs: Sequence[Tree | None]
    targets: Sequence[Any]
    broken: np.ndarray

    def values(self) -> dict[str, np.ndarray]:
        """Loss and metrics over all samples, (members,) each; NaN where broken, or where a metric has no value."""
        means = self.sums.sum(-1) / self.shares.sum(-1)
        pairs = zip(self._inside(), means, strict=True)
        inside = {name: m.finish(mean) if isinstance(m, losses.Mean) else mean for (name, m), mean in pairs}
        outside = {name: self._computed(name, *self._joined) for name in self.batched.outside}
        return self._in_order({n: np.where(self.broken, np.nan, v) for n, v in {**inside, **outside}.items()})

    def by_parts(self) -> dict[str, np.ndarray]:
        """Loss and metrics as their parts say, (members, parts) each: the plain mean over parts is the value over all
        samples, and its variance that of parts of their own sizes. A metric without a value on a group is left out."""
        rows = zip(self._inside(), self.sums, self.shares, strict=True)
        values = {name: _by_parts(measure, *row) for (name, measure), *row in rows}
        for name in self.batched.outside:
            by_groups = self._by_groups(name)
            if np.isfinite(by_groups[~self.broken]).all():
                values[name] = by_groups
        return self._in_order({n: np.where(self.broken[:, None], np.nan, v) for n, v in values.items()})

    def _inside(self) -> list[tuple[str, Any]]:
        return [("loss", self.batched.judge), *self.batched.inside.items()]

    def _in_order(self, values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {name: values[name] for name in ("loss", *self.batched.metrics) if name in values}

    def _by_groups(self, name: str) -> np.ndarray:
        """(members, groups): every so-manieth sample makes a group, so that an order of the samples does not matter."""
        outputs, targets = self._joined
        group = torch.arange(leaves(outputs)[0].shape[1]) % GROUPS
        whole = self._computed(name, outputs, targets)[:, None]
        rest = []
        for k in group[:GROUPS].tolist():
            kept = group != k
            few = pytree.tree_map(lambda t, rows=kept: t[:, rows], outputs)
            rest.append(self._computed(name, few, take(targets, kept)))
        return _jackknife(whole, np.stack(rest, -1)) if len(rest) > 1 else whole

    @cached_property
    def _joined(self) -> tuple[Tree, Tree]:
        """Outputs (members, samples, …) and targets of all parts."""
        outputs = pytree.tree_map(lambda *t: torch.cat(t, dim=1), *self.outputs)
        return outputs, pytree.tree_map(lambda *t: torch.cat(t), *self.targets)

    def _computed(self, name: str, outputs: Tree, targets: Tree) -> np.ndarray:
        """(members,) a metric of these outputs."""
        metric = self.batched.outside[name]
        values = np.full(len(self.broken), np.nan)
        for k in np.flatnonzero(~self.broken):
            if all(map(finite, leaves(own := take(outputs, k)))):
                try:
                    values[k] = float(metric(own, targets))
                except Exception as error:  # whatever a user's metric may raise: no run ends for it
                    self.batched.fail(name, error)
        return values


@np.errstate(invalid="ignore")  # ∞ − ∞: a mean that is too large for the program's numbers has no parts
def _by_parts(measure: Any, sums: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """(members, parts) of sums (members, parts) that are to be divided by shares (1, parts)."""
    sum_, share = sums.sum(-1, keepdims=True), shares.sum(-1, keepdims=True)
    mean = sum_ / share
    if isinstance(measure, losses.Mean) and type(measure).finish is not losses.Mean.finish:
        return _jackknife(measure.finish(mean), measure.finish((sum_ - sums) / (share - shares)))
    return mean + (sums - mean * shares) * shares.shape[-1] / share


def _jackknife(whole: np.ndarray, without: np.ndarray) -> np.ndarray:
    """What each group adds, with the value over all samples as their mean: θ − (G − 1) (θ₋ₖ − mean of θ₋)."""
    spread = without - without.mean(-1, keepdims=True)
    return whole - (without.shape[-1] - 1) * spread
