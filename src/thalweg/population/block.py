"""A block: members of one seed, trained as one job.

Weights are stacked on a leading axis, and the members of each formula, which lie side by side, are updated by that
formula's kernel with a row of hyperparameters each. A compiled program takes one member after another through many
steps (`passes.py`); other programs give the gradients of all members at each step. Members never mix: what happens to
one changes no bit of another.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from ..errors import PlanError, TrainingError
from ..kernels.stacks import renew
from ..losses.base import unsampled
from ..samples import Samples, Tree
from .batched import Batched, Extra, Groups
from .batches import RANDOM, Batches, OwnBatches
from .compiled import Compiled
from .measured import Measured
from .member import RUINED, Member
from .own_updates import OwnUpdates
from .passes import Room, advance
from .regularized import Regularized
from .stacked import Stepper
from .tensor_updates import update_of
from .updates import Update, take_rows

EVALUATION_BATCH = 1024  # samples evaluated at once
MOST_STEPS = 512  # at once: what they need beforehand takes memory
CPU = torch.device("cpu")
PARTS = 64  # of the samples, at most: enough to see how much the mean depends on them


@dataclass(frozen=True)
class Task:
    """What every member of a block learns: the model, the batches, and the data to validate on, if there are any."""

    model: Callable[[], nn.Module]
    batched: Batched
    batches: Batches
    validation: tuple[Tree, Tree] | None

    @property
    def sample(self) -> Samples:
        """A few samples."""
        if self.validation is not None:
            return Samples(*self.validation).take(slice(2)).to(self.batched.device)
        batch = next(iter(self.batches.epoch(0, 0)))
        few = (batch.take(0) if isinstance(self.batches, OwnBatches) else batch).take(slice(2))
        return few.to(self.batched.device)


@dataclass(frozen=True)
class Epoch:
    """What one pass over the data left behind; each value is (members,) float64."""

    step: int
    values: Mapping[str, np.ndarray]


class Block:
    """Members of one seed, from their first step to their last; or, with batches of their own, of several seeds.

    Args:
        task: what they learn.
        members: of one seed, unless the task has `OwnBatches`, which are theirs in this order; those of one formula
            side by side (see `arranged`).
        epochs: passes over the training data.

    Attributes:
        weights: one tensor (members, *shape) per parameter of the model.
        moving: one tensor (members, *shape) per buffer that training moves, such as running statistics.
        active: (members,) whether a member still trains.
        broken: (members,) the step at which the loss stopped being finite, or −1.
        untrained: (members,) validation loss of the initial weights; NaN before the first step.
        ruined_since: (members,) the step of the pass since which it exceeds `RUINED` times that, or −1.
        step: steps taken so far.
        recorded: the step of the last pass over the data that was yielded and taken.
        per_member: whether inputs, targets and fixed tensors are each member's, (members, …).
    """

    def __init__(self, task: Task, members: Sequence[Member], epochs: int) -> None:
        self.per_member = isinstance(task.batches, OwnBatches)
        self.seeds = tuple(m.seed for m in members) if self.per_member else tuple({m.seed for m in members})
        if len(self.seeds) != (len(members) if self.per_member else 1):
            raise PlanError("members that share their batches have one seed; give those of each a block of its own.")
        if any(m.groups != members[0].groups for m in members):
            raise PlanError("members of one block share their parameter groups; give those of each a block of its own.")
        self.total = epochs * task.batches.steps
        members = tuple(member.over(epochs, self.total) for member in members)
        self.task, self.members, self.seed, self.epochs = task, members, self.seeds[0], epochs
        self.device = task.batched.device
        each = [initial_tensors(task.model, seed, self.device) for seed in self.seeds]
        start, fixed = each[0]
        task.batched.find_moving_buffers(task.sample)
        moving = {name: fixed[name] for name in task.batched.moving if name in fixed}
        fixed = {name: tensor for name, tensor in fixed.items() if name not in moving}
        self.fixed = [torch.stack([f[n] for _, f in each]) if self.per_member else t for n, t in fixed.items()]
        self.weights = [self._stacked([weights[name] for weights, _ in each]) for name in start]
        self.moving = [self._stacked([rest[name] for _, rest in each]) for name in moving]
        if (list(start), list(fixed)) != (task.batched.names, task.batched.fixed):
            raise TrainingError(
                "the model function returns a different model at each call; it must always be the same."
            )
        self.regularized = Regularized(members, self.weights, self.moving)
        self.active = np.ones(len(members), dtype=np.bool_)
        self.broken = np.full(len(members), -1, dtype=np.int64)
        self.untrained = np.full(len(members), np.nan)
        self.ruined_since = self.broken.copy()
        self.step = 0
        self.recorded = 0
        self.seconds: float | None = None  # of a step, as the last ones took
        self.rooms: dict[int, Room] = {}  # of each compiled step
        self.stepper: Stepper | None = None  # of steps that are not compiled
        self.loss_sum = np.zeros(len(members))
        self.updates = list(self._by_formula())
        for part in self.updates:
            if part.equations.sampled and not task.batched.loss.samples:
                raise unsampled(part.members[0].formula.label, task.batched.loss)
        if any(part.equations.showing is not None for part in self.updates):
            self.regularized.showing = self._shown
        self.own = [part for part in self.updates if isinstance(part, OwnUpdates)]  # all of them or none

    def _stacked(self, each: Sequence[Tensor]) -> Tensor:
        """(members, *shape), of each seed's tensor."""
        stack = torch.stack(list(each))
        return stack if self.per_member else stack.repeat(len(self.members), *[1] * (stack.dim() - 1))

    def _by_formula(self) -> Iterator[Update]:
        first = 0
        for _, group in itertools.groupby(self.members, key=lambda m: m.formula.forms):
            members = tuple(group)
            yield update_of(members, first, self.weights, self.total, self.task.batched.names)
            first += len(members)

    def _shown(self) -> list[Tensor]:
        """The weights as they are evaluated, for rules that train at other ones."""
        each = [part.shown([w[part.start : part.stop] for w in self.weights], self.step) for part in self.updates]
        return [torch.cat(parts) for parts in zip(*each, strict=True)]

    @property
    def per_epoch(self) -> int:
        """Steps in a pass over the data."""
        return self.task.batches.steps

    @property
    def diverged(self) -> np.ndarray:
        """(members,) the step at which a member diverged, or −1.

        Its loss stopped being finite; or it ended far above the untrained loss, and from that step on it was. Before
        the end that may still pass. Where the untrained loss is not above 0, no multiple of it is far.
        """
        return np.where((self.broken < 0) & (self.step >= self.total), self.ruined_since, self.broken)

    def train(self, until: int | None = None, pause: float = 0.2) -> Iterator[Epoch | None]:
        """Train from wherever the block stands to the end, or to the end of the pass `until`.

        Yields None after some steps, and an `Epoch` after every pass over the data. The block may be saved (`tensors`)
        between any two yields, and taken up again later. Schedules go by the whole run, wherever it is cut.

        Args:
            pause: seconds that a compiled program may go on without a yield; others yield after every step.
        """
        per_epoch = self.per_epoch
        end = self.total if until is None else min(self.total, until * per_epoch)
        if self.step == 0 and self.task.validation is not None:
            self.untrained[:] = self.evaluate(*self.task.validation)["loss"]
        while True:
            epoch, place = divmod(self.step, per_epoch)
            if place == 0 and self.step > self.recorded:
                report = self._epoch(per_epoch)
                yield report
                # Only now: a run that stops before this point sees the same epoch again, and loses nothing.
                self.recorded = self.step
                for part in self.updates if self.task.validation is not None else ():
                    part.scheduling.observe(part.per_row(report.values["validation_loss"]))
                self.loss_sum.fill(0)
            if self.step >= end:
                return
            batches = itertools.islice(self.task.batches.epoch(self.seed, epoch), place, None)
            while taken := list(itertools.islice(batches, self._at_once(pause))):
                self._advance(taken)
                yield None

    def _at_once(self, pause: float) -> int:
        """Steps that take about so many seconds."""
        several = self.task.batched.several and self.seconds is not None
        return at_once(pause, self.seconds or 0.0) if several else 1

    def _advance(self, batches: Sequence[Samples]) -> None:
        batches = [batch.to(self.device) for batch in batches]
        batched, first = self.task.batched, batches[0]
        if self.step == 0:
            for part in self.regularized.parts:
                part.fits(batched.loss, first.take(0) if self.per_member else first)
        if self.own:
            for batch in batches:
                self._own_step(batch)
            return
        sampled = [part for part in self.updates if part.equations.sampled]
        due = {k for part in sampled for k in range(len(batches)) if part.equations.estimates(self.step + k)}
        for first, end in itertools.pairwise(sorted({0, *due, len(batches)})):
            if first in due:
                self._estimate(batches[first])
            self._take_steps(batches[first:end])

    def _estimate(self, batch: Samples) -> None:
        """What rules estimate before this step, by a gradient on targets drawn from the model's own outputs."""
        due = [part for part in self.updates if part.equations.estimates(self.step)]
        every = self.regularized.extra(self.seeds, self.step, batch.inputs, self.per_member)
        every, active = replace(every, sampled=True), torch.from_numpy(self.active).to(self.device)
        for part in due:
            rows = slice(part.start, part.stop)
            weights = [w[rows] for w in self.weights]
            results = self._gradients(rows, batch, every)
            part.estimate(results[: len(weights)], weights, active[rows], self.step)

    def _take_steps(self, batches: Sequence[Samples]) -> None:
        batched, start = self.task.batched, time.perf_counter()
        if not (isinstance(batched, Compiled) and advance(self, self.rooms, batched, batches)):
            self.stepper = self.stepper or Stepper(self, batched)
            start = time.perf_counter()
            self.stepper.advance(batches)
        self.seconds = (time.perf_counter() - start) / len(batches)

    def given(self, step: int, batch: Samples) -> tuple[Groups, Extra]:
        """What a program is given at a step of training."""
        extra = self.regularized.extra(self.seeds, step, batch.inputs, self.per_member)
        return self.task.batched.groups(self.weights, batch, self.fixed, self.moving, extra), extra

    def _own_step(self, batch: Samples) -> None:
        """A step of members whose optimizers are their own code, one after another."""
        every = self.regularized.extra(self.seeds, self.step, batch.inputs, self.per_member)
        for part in self.own:
            part.scheduling.write(part.table, self.step)
        if self.regularized.decays:
            rates = np.concatenate([part.rates_of(part.table) for part in self.own])
            factors = torch.from_numpy(self.regularized.factors(rates)).to(self.device)
            active = torch.from_numpy(self.active).to(self.device)
            self.regularized.shrink(factors, active, self.updates[0].place)
        for part in self.own:
            for k in range(part.start, part.stop):
                if self.active[k]:
                    loss = part.step(k - part.start, lambda k=k: self._gradient_of(k, batch, every))
                    self.loss_sum[k] += loss
                    if not np.isfinite(loss):
                        self.active[k], self.broken[k], self.loss_sum[k] = False, self.step, np.nan
                else:
                    self.loss_sum[k] = np.nan
        shares = self.regularized.shares(range(self.step, self.step + 1), self.per_epoch, self.total)
        if shares is not None:
            each = (torch.from_numpy(a).to(self.device) for a in (shares[0], self.active))
            self.regularized.after(*each)
        self.step += 1

    def _gradient_of(self, k: int, batch: Samples, every: Extra) -> tuple[list[Tensor], float]:
        """One member's gradients and loss where its weights are now; its moved buffers are moved."""
        results, count = self._gradients(slice(k, k + 1), batch, every), len(self.weights)
        return [g[0].contiguous() for g in results[:count]], float(results[count][0])

    def _gradients(self, rows: slice, batch: Samples, every: Extra) -> Sequence[Tensor]:
        """Gradients and losses of members where their weights are now; buffers of those that train are moved."""
        own = self.per_member
        fixed = [f[rows] for f in self.fixed] if own else self.fixed
        inputs, targets = batch.take(rows) if own else batch
        weights, moving = ([t[rows] for t in stacks] for stacks in (self.weights, self.moving))
        results = self.task.batched.gradient(weights, inputs, targets, fixed, moving, every.of(rows))
        active = torch.from_numpy(self.active[rows]).to(self.device)
        renew(moving, results[len(weights) + 1 :], active)
        return results

    def _epoch(self, steps: int) -> Epoch:
        train_loss = self.loss_sum / steps
        if self.task.validation is None:
            return Epoch(self.step, {"train_loss": train_loss})
        measures = self.evaluate(*self.task.validation)
        last = self.step >= self.total
        if self.regularized.stop(measures["loss"], train_loss, self.active, self.step, last):
            measures = self.evaluate(*self.task.validation)
        far = (self.untrained > 0) & (measures["loss"] > RUINED * self.untrained)
        self.ruined_since[:] = np.where(far, np.where(self.ruined_since < 0, self.step, self.ruined_since), -1)
        values = {"train_loss": train_loss} | {f"validation_{name}": value for name, value in measures.items()}
        if self.regularized.stopping:
            stopped = self.regularized.stopped
            last_steps = np.where(self.broken >= 0, self.broken, np.where(stopped >= 0, stopped, self.step))
            values["trained_steps"] = last_steps.astype(np.float64)
        return Epoch(self.step, values)

    def evaluate(self, inputs: Tree, targets: Tree) -> dict[str, np.ndarray]:
        """Loss and metrics over the samples, (members,) each; NaN where the loss stopped being finite."""
        return self._measured([Samples(inputs, targets).to(self.device)]).values()

    def by_parts(self, inputs: Tree, targets: Tree) -> dict[str, np.ndarray]:
        """What the samples say of loss and metrics, (members, parts) each, at most `PARTS`; NaN as in `evaluate`.

        A part is every so-manieth sample, so that an order of the samples does not matter; see `Measured.by_parts`.
        """
        samples = Samples(inputs, targets).to(self.device)
        size = -(-samples.size // PARTS)
        order = (torch.arange(samples.size) % -(-samples.size // size)).argsort(stable=True)
        return self._measured([samples.take(rows) for rows in order.split(size)]).by_parts()

    def _measured(self, parts: Sequence[Samples]) -> Measured:
        sums, shares, outputs = zip(*map(self._summed, parts), strict=True)
        targets = [part.to(CPU).plain_targets for part in parts]
        return Measured(self.task.batched, np.stack(sums, -1), np.stack(shares, -1), outputs, targets, self.broken >= 0)

    def _summed(self, samples: Samples) -> tuple[np.ndarray, np.ndarray, Tree | None]:
        """Loss and means summed over the samples, (names, members), what to divide them by, (names, 1), and the
        outputs where metrics ask for them, (members, samples, …)."""
        batched = self.task.batched
        weights, moving = self.regularized.evaluated
        means = list(batched.inside.values())
        sums, shares = np.zeros((1 + len(means), len(self.members))), np.zeros((1 + len(means), 1))
        outputs: list[Tree] = []
        for chunk in samples.split(self._evaluated_at_once):
            each = batched.evaluate(weights, *chunk, self.fixed, moving, self.per_member)
            values = torch.stack([v.double() for v in each[: 1 + len(means)]]).cpu().numpy()
            outputs += [batched.outputs(tuple(t.cpu() for t in each[1 + len(means) :]))] if batched.outside else []
            counts = [m.counts(chunk.plain_targets) for m in means]
            # With weights of samples or of classes a chunk's mean is not one over its samples.
            counted = [chunk.size if c is None else float(c.sum()) for c in counts]
            share = np.array([batched.judge.total(chunk), *counted])[:, None]
            sums += np.where(share > 0, values * share, 0)
            shares += share
        joined = pytree.tree_map(lambda *t: torch.cat(t, dim=1), *outputs) if outputs else None
        return sums, shares, joined

    @property
    def _evaluated_at_once(self) -> int:
        """Samples; no more than are trained on at once where memory is short, so that evaluations take less of it."""
        trained = getattr(self.task.batches, "batch_size", EVALUATION_BATCH)  # which a loader need not have
        return min(EVALUATION_BATCH, trained) if self.task.batched.spares_memory else EVALUATION_BATCH

    def state(self) -> dict[str, Tensor]:
        """name → (members, *shape) of every parameter and buffer of the model, as they are evaluated."""
        batched, (weights, moving) = self.task.batched, self.regularized.evaluated
        fixed = self.fixed if self.per_member else [f.expand(len(self.members), *f.shape) for f in self.fixed]
        names = (*batched.names, *batched.moving, *batched.fixed)
        return dict(zip(names, (*weights, *moving, *fixed), strict=True))

    def tensors(self) -> dict[str, Tensor]:
        """Everything needed to go on from here, by name; `load` takes it back bit for bit."""
        saved = {f"weight.{i}": w for i, w in enumerate(self.weights)}
        for k, part in enumerate(self.updates):
            saved |= {f"state.{k}.{i}.{j}": s for i, states in enumerate(part.states) for j, s in enumerate(states)}
            saved[f"kept.{k}"] = torch.from_numpy(part.row_states)
            saved |= {f"{k}.{name}": s for name, s in part.scheduling.tensors().items()}
            saved |= {f"own.{k}.{name}": t for name, t in part.saved().items()}
        places = {"step": torch.tensor(self.step), "recorded": torch.tensor(self.recorded)}
        return saved | self.regularized.tensors() | self._counters() | places

    def adopt(self, other: Block, places: Sequence[tuple[int, int]]) -> None:
        """Go on from where members of another block stand; both blocks are of one seed and program.

        Args:
            places: a member's place here, and its place there.
        """
        here, there = np.array(places, dtype=np.intp).reshape(-1, 2).T
        for new, old in zip(self._stacks(), other._stacks(), strict=True):
            take_rows(new, here, old, there)
        for part in self.updates:
            for before in other.updates:
                inside = part.has(here) & before.has(there)
                if inside.any():
                    part.adopt(before, here[inside], there[inside])
        self.step, self.recorded = other.step, other.recorded

    def _stacks(self) -> list[Tensor]:
        """What lasts from step to step and has all members on its first axis."""
        return [*self.weights, *self._counters().values(), *self.regularized.stacks().values()]

    def _counters(self) -> dict[str, Tensor]:
        counters = {"active": self.active, "diverged": self.broken, "loss_sum": self.loss_sum}
        counters |= {"untrained": self.untrained, "above": self.ruined_since}
        return {name: torch.from_numpy(array) for name, array in counters.items()}

    def load(self, saved: Mapping[str, Tensor]) -> None:
        """Take up the state that `tensors` gave."""
        state = self.tensors()
        # Checkpoints of older versions lack what an end far above the untrained loss is judged by.
        saved = {name: state[name] for name in ("untrained", "above")} | dict(saved)
        own = {name: saved.pop(name) for name in list(saved) if name.startswith("own.")}
        state = {name: tensor for name, tensor in state.items() if not name.startswith("own.")}
        if state.keys() != saved.keys() or any(state[n].shape != saved[n].shape for n in state):
            raise TrainingError("the checkpoint belongs to another population; delete it to start this block afresh.")
        for name, tensor in state.items():
            tensor.copy_(saved[name])
        for k, part in enumerate(self.updates):
            first = f"own.{k}."
            part.load({name.removeprefix(first): t for name, t in own.items() if name.startswith(first)})
        self.step, self.recorded = int(saved["step"]), int(saved["recorded"])


def at_once(pause: float, seconds: float) -> int:
    """How many steps of so many seconds a compiled program takes until a pause; as many as it may where they take 0."""
    return max(1, min(MOST_STEPS, int(pause / seconds))) if seconds else MOST_STEPS


def initial_tensors(
    model: Callable[[], nn.Module], seed: int, device: torch.device = CPU
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """What a fresh model made under this seed holds: trainable weights, and everything that stays fixed.

    It is made on the CPU, so that it is the same for every device. The caller's random state is untouched.
    """
    with RANDOM, torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        fresh = model()
    weights = {name: _copied(p, device) for name, p in fresh.named_parameters() if p.requires_grad}
    fixed = {name: _copied(p, device) for name, p in fresh.named_parameters() if not p.requires_grad}
    return weights, fixed | {name: _copied(b, device) for name, b in fresh.named_buffers()}


def _copied(tensor: Tensor, device: torch.device) -> Tensor:
    return tensor.detach().to(device, copy=True)


def arranged(members: Sequence[Member]) -> list[int]:
    """An order of the members in which those of one formula lie side by side."""
    order: dict[Any, int] = {}
    for m in members:
        order.setdefault(m.formula.forms, len(order))
    return sorted(range(len(members)), key=lambda k: order[members[k].formula.forms])
