"""What the regularizers of a block's members keep and do around its steps.

The members share a program, and differ in strengths: a row of numbers each. Averages of the weights and the
best weights of early stopping are stacks like the weights themselves, and are saved with them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from ..errors import PlanError
from ..kernels.stacks import shaped
from ..regularizers.base import Regularizer, draw_seed
from ..regularizers.stopping import EarlyStopping, Patience
from ..samples import Tree, measured
from .batched import Extra
from .member import Member


class Regularized:
    """The regularizers of the members of one block.

    Attributes:
        stopped: (members,) the step at which a member stopped early, or −1.
        average: what is evaluated in place of weights, then of moving buffers; None without an average.
        showing: the weights that are evaluated, of rules that train at others; None without such a rule.
        settled: (members,) who went back to the best weights, which are evaluated as they are.
    """

    def __init__(self, members: Sequence[Member], weights: Sequence[Tensor], moving: Sequence[Tensor]) -> None:
        each = [m.regularizer.parts if m.regularizer else () for m in members]
        programs = {tuple(part.program for part in parts) for parts in each}
        if len(programs) > 1:
            labels = dict.fromkeys(m.regularizer.label if m.regularizer else "none" for m in members)
            raise PlanError(
                f"members of one block cannot differ in the kind of their regularizers ({', '.join(labels)}); "
                "train those of one kind in a block of their own."
            )
        self.weights, self.moving, self.parts = weights, moving, each[0]
        self.showing: Callable[[], list[Tensor]] | None = None
        self.settled = np.zeros(len(members), dtype=np.bool_)
        self.each = [tuple(parts[k] for parts in each) for k in range(len(self.parts))]  # part → member
        self.strengths = [np.array([p.strengths for p in part]).reshape(len(part), -1) for part in self.each]
        self.stopped = np.full(len(members), -1, dtype=np.int64)
        self.decays = [part for part in self.each if type(part[0]).shrink is not Regularizer.shrink]
        averages = [part for part in self.each if part[0].share(0, 1, 1) is not None]
        self.averaging = averages[0] if averages else None
        self.average = [t.clone() for t in (*weights, *moving)] if averages else None
        stopping = [part for part in self.each if isinstance(part[0], EarlyStopping)]
        self.stopping = stopping[0] if stopping else None
        if self.stopping:
            self.patience = Patience(len(members))
            self.best = [t.clone() for t in (*weights, *moving)]
            self.last_loss = np.full(len(members), np.nan)
            self.last_step = np.zeros(1, dtype=np.int64)  # the last step after which the losses were looked at
            self.limits = np.array([p.strengths for p in self.stopping])  # type: ignore[attr-defined]

    @property
    def evaluated(self) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
        """Weights and moving buffers that stand for the members."""
        if self.average is None:
            return self._shown(), self.moving
        return self.average[: len(self.weights)], self.average[len(self.weights) :]

    def _shown(self) -> Sequence[Tensor]:
        if self.showing is None:
            return self.weights
        settled = torch.from_numpy(self.settled).to(self.weights[0].device)
        pairs = zip(self.weights, self.showing(), strict=True)
        return [torch.where(shaped(settled, w), w, shown) for w, shown in pairs]

    def extra(self, seeds: Sequence[int], step: int, inputs: Tree, per_member: bool) -> Extra:
        """The random numbers and the amounts of one step.

        Args:
            seeds: one for all members, or one for each.
            inputs: (batch, …), or (members, batch, …) where each member has a batch of its own.
        """
        inputs = measured(inputs)
        single, members = [w[0] for w in self.weights], len(self.weights[0])
        draws, amounts, dtype, device = [], [], self.weights[0].dtype, self.weights[0].device
        for part, rows in zip(self.parts, self.strengths, strict=True):
            random, tables = [], []
            for k, seed in enumerate(seeds):
                x = inputs[k] if per_member else inputs
                drawn = part.draws(seed, step, x, single)
                tables.append(part.amounts(rows[k : k + 1] if per_member else rows, drawn, x))
                random.append(tuple(d.to(device) for d in drawn))
            draws.append(tuple(map(torch.stack, zip(*random, strict=True))) if per_member else random[0])
            table = np.concatenate(tables).reshape(members, -1)
            amounts.append(tuple(torch.from_numpy(np.ascontiguousarray(c)).to(device, dtype) for c in table.T))
        model_seeds = tuple(draw_seed(seed, step) for seed in seeds)
        return Extra(self.parts, tuple(amounts), tuple(draws), model_seeds, per_member)

    def shrink(self, factors: Tensor, active: Tensor, place: np.ndarray) -> None:
        """Decoupled decay, before the update.

        Args:
            factors: (members, width) of this step.
            active: (members,) who still trains.
            place: (tensors,) which of a member's factors each weight tensor has.
        """
        factors = torch.where(active[:, None], factors, 1.0)
        for w, column in zip(self.weights, place.tolist(), strict=True):
            w.mul_(shaped(factors[:, column].to(w.dtype), w))

    def factors(self, rates: np.ndarray) -> np.ndarray:
        """(members, width) by which decoupled decay multiplies the weights, at these rates (members, width)."""
        each = [[one.shrink(lr) for one, lr in zip(decay, rates, strict=True)] for decay in self.decays]
        return np.prod(each, axis=0)

    def after(self, shares: Tensor, active: Tensor) -> None:
        """Averages, after the update of a step with these shares (members,) of the new weights."""
        share = torch.where(active, shares, 0.0)
        for a, now in zip(self.average or (), (*self.weights, *self.moving), strict=False):
            if a.is_floating_point():
                a.lerp_(now, shaped(share.to(a.dtype), a))
            else:
                a.copy_(torch.where(share.any(), now, a))

    def shares(self, steps: range, per_epoch: int, total: int) -> np.ndarray | None:
        """(steps, members) shares of the new weights in their average after each of these steps; None without one."""
        if self.averaging is None:
            return None
        each = [[part.share(step, per_epoch, total) for part in self.averaging] for step in steps]
        return np.array(each, dtype=np.float64)

    def stop(self, losses: np.ndarray, train_loss: np.ndarray, active: np.ndarray, step: int, last: bool) -> bool:
        """Early stopping after a pass over the data; whether the weights of some member went back to its best.

        `train_loss` of members that no longer train becomes that of their last pass.
        """
        if self.stopping is None:
            return False
        back = np.zeros_like(active)
        if step > self.last_step[0]:  # a pass that was interrupted as it was reported is met again
            self.last_step[0] = step
            better, over = self.patience.see(np.where(active, losses, np.nan), self.limits[:, 1], self.limits[:, 0])
            over &= active
            back = active & ~better & (over | last) & np.isfinite(self.patience.best)
            self.last_loss = np.where(active, train_loss, self.last_loss)
            self.stopped[over] = step
            active &= ~over
            self._exchange(torch.from_numpy(better), torch.from_numpy(back))
        np.copyto(train_loss, self.last_loss, where=self.stopped >= 0)
        return bool(back.any())

    def _exchange(self, better: Tensor, back: Tensor) -> None:
        """Keep what stands for members that are better than ever; give others their best back."""
        weights, moving = self.evaluated
        put = self.weights if self.average is None else weights
        for best, now, kept in zip(self.best, (*weights, *moving), (*put, *moving), strict=True):
            best[better] = now[better]
            kept[back] = best[back]
        self.settled |= back.numpy()

    def tensors(self) -> dict[str, Tensor]:
        """Everything that lasts from step to step, by name."""
        return self.stacks() | ({} if self.stopping is None else {"seen": torch.from_numpy(self.last_step)})

    def stacks(self) -> dict[str, Tensor]:
        """What lasts of each member, (members, …), by name."""
        saved = {f"moving.{i}": b for i, b in enumerate(self.moving)}
        saved |= {f"average.{i}": a for i, a in enumerate(self.average or ())}
        if self.stopping is not None:
            saved |= {f"best.{i}": b for i, b in enumerate(self.best)}
            counters = {"stopped": self.stopped, "best_loss": self.patience.best}
            counters |= {"waited": self.patience.waited, "held_loss": self.last_loss}
            counters |= {"settled": self.settled} if self.showing else {}
            saved |= {name: torch.from_numpy(array) for name, array in counters.items()}
        return saved
