"""A block: members of one seed, trained as one batched program.

Weights are stacked on a leading axis, gradients of all members come from one batched call, and the
members of each formula, which lie side by side, are updated by that formula's kernel with a row of
hyperparameters each. Members never mix: what happens to one changes no bit of another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import PlanError, TrainingError
from ..formulas.base import Equations
from ..kernels import numba_cpu
from ..kernels.lower import lower
from .batched import Batched
from .batches import RANDOM, Batches, OwnBatches
from .member import RUINED, Member
from .regularized import Regularized
from .scheduling import Scheduling

EVALUATION_BATCH = 1024  # samples evaluated at once
CACHE = 24 * 2**20  # bytes
MEMORY = 2**30  # bytes


@dataclass(frozen=True)
class Task:
    """What every member of a block learns: the model, the batches, and the data to validate on, if there are any."""

    model: Callable[[], nn.Module]
    batched: Batched
    batches: Batches
    validation: tuple[Tensor, Tensor] | None

    @property
    def sample(self) -> Tensor:
        """The inputs of a few samples."""
        if self.validation is not None:
            return self.validation[0][:2]
        inputs = next(iter(self.batches.epoch(0, 0)))[0]
        return (inputs[0] if isinstance(self.batches, OwnBatches) else inputs)[:2]


@dataclass(frozen=True)
class Epoch:
    """What one pass over the data left behind; each value is (members,) float64."""

    step: int
    values: Mapping[str, np.ndarray]


class _Slice:
    """The members of one formula within a block: rows [start, stop) of the stacked weights."""

    def __init__(self, equations: Equations, start: int, members: Sequence[Member], total: int) -> None:
        self.equations, self.start, self.count = equations, start, len(members)
        self.stop = start + len(members)
        names = equations.hyperparameters
        base = [{**m.formula.hyperparameters, **m.hyperparameters} for m in members]
        self.base = np.array([[values[name] for name in names] for values in base]).reshape(len(members), len(names))
        self.table = self.base.copy()
        self.scheduling = Scheduling(members, names, self.base, total)
        initial = {
            name: [values[first] if isinstance(first, str) else first for values in base]
            for name, first in equations.initial
        }
        program = lower(equations)
        self.initial = [initial[name] for name, _ in program.states]
        kept = [initial[name] for name, _ in program.kept]
        self.kept = np.array(kept, dtype=np.float64).reshape(-1, self.count).T.copy()

    def allocate(self, weights: Sequence[Tensor]) -> None:
        """States for every weight tensor, and the table of addresses the kernel works on."""
        self.states: list[list[Tensor]] = []
        addresses, lengths = [], []
        for w in weights:
            shape = (self.count, *w.shape[1:])
            first = [torch.tensor(values, dtype=w.dtype) for values in self.initial]
            states = [f.reshape(-1, *[1] * (w.dim() - 1)).expand(shape).clone() for f in first]
            self.states.append(states)
            size = w[0].numel()
            stride = np.arange(self.count) * size * w.element_size()
            own = [w.data_ptr() + self.start * size * w.element_size(), 0, *(s.data_ptr() for s in states)]
            addresses.append(np.array(own, dtype=np.int64)[None, :] + stride[:, None])
            lengths.append(np.full(self.count, size))
        self.stride = (
            np.array([w[0].numel() * w.element_size() for w in weights])[:, None]
            * (np.arange(self.start, self.stop)[None, :])
        )
        self.address = np.ascontiguousarray(np.concatenate(addresses), dtype=np.int64)
        self.length = np.concatenate(lengths).astype(np.int64)
        self.row = np.tile(np.arange(self.count), len(weights)).astype(np.int64)
        self.kernel = numba_cpu.compiled(self.equations, weights[0].dtype)
        self.look = self.equations.lookahead and numba_cpu.compiled(self.equations.lookahead, weights[0].dtype)

    def launch_look(self, points: np.ndarray, active: np.ndarray, step: int) -> numba_cpu.Launch | None:
        """Move copies of the weights, given by their addresses, to where the formula wants its gradient."""
        if self.look is None:
            return None
        self.scheduling.write(self.table, step)
        address = self.address.copy()
        address[:, 0] = address[:, 1] = (points[:, None] + self.stride).reshape(-1)
        t = np.full(self.count, float(step + 1))
        own = active[self.start : self.stop]
        return self.look.launch(
            address, self.length, self.row, own, t, np.full(self.count, np.nan), self.table, kept=self.kept.copy()
        )

    def has(self, places: np.ndarray) -> np.ndarray:
        """Which of these places in the block are the slice's."""
        return (places >= self.start) & (places < self.stop)

    def take(self, other: _Slice, here: np.ndarray, there: np.ndarray) -> None:
        """The optimizer's memory of members at other places of another block."""
        rows, before = here - self.start, there - other.start
        for states, old in zip(self.states, other.states, strict=True):
            for state, kept in zip(states, old, strict=True):
                state[rows] = kept[before]
        self.kept[rows] = other.kept[before]
        self.scheduling.take(other.scheduling, dict(zip(before.tolist(), rows.tolist(), strict=True)))

    def rates(self) -> np.ndarray:
        """The learning rates of the step that was launched last, (members,)."""
        names = self.equations.hyperparameters
        if "lr" not in names:
            raise PlanError(
                f"{self.equations.name} has no hyperparameter lr, which decoupled decay goes by; add lr to it."
            )
        return self.table[:, names.index("lr")]

    def launch(self, gradients: np.ndarray, losses: np.ndarray, active: np.ndarray, step: int) -> numba_cpu.Launch:
        self.scheduling.write(self.table, step)
        self.address[:, 1] = (gradients[:, None] + self.stride).reshape(-1)
        t = np.full(self.count, float(step + 1))
        loss = losses[self.start : self.stop]
        return self.kernel.launch(
            self.address, self.length, self.row, active[self.start : self.stop], t, loss, self.table, kept=self.kept
        )


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
        above: (members,) the step of the pass since which the validation loss is above `RUINED` times that, or −1.
        step: steps taken so far.
        recorded: the step of the last pass over the data that was yielded and taken.
    """

    def __init__(self, task: Task, members: Sequence[Member], epochs: int) -> None:
        self.own = isinstance(task.batches, OwnBatches)
        self.seeds = tuple(m.seed for m in members) if self.own else tuple({m.seed for m in members})
        if len(self.seeds) != (len(members) if self.own else 1):
            raise PlanError("members that share their batches have one seed; give those of each a block of its own.")
        self.task, self.members, self.seed, self.epochs = task, tuple(members), self.seeds[0], epochs
        self.total = epochs * task.batches.steps
        each = [initial_tensors(task.model, seed) for seed in self.seeds]
        start, fixed = each[0]
        task.batched.look(task.sample)
        moving = {name: fixed[name] for name in task.batched.moving if name in fixed}
        fixed = {name: held for name, held in fixed.items() if name not in moving}
        self.fixed = [torch.stack([f[n] for _, f in each]) if self.own else held for n, held in fixed.items()]
        self.weights, self.moving = (
            [
                torch.stack([held[place][name] for held in each])
                if self.own
                else one.unsqueeze(0).repeat(len(members), *[1] * one.dim())
                for name, one in tensors.items()
            ]
            for place, tensors in enumerate((start, moving))
        )
        if (list(start), list(fixed)) != (task.batched.names, task.batched.fixed):
            raise TrainingError(
                "the model function returns a different model at each call; it must always be the same."
            )
        self.regularized = Regularized(members, self.weights, self.moving)
        self.active = np.ones(len(members), dtype=np.bool_)
        self.broken = np.full(len(members), -1, dtype=np.int64)
        self.untrained = np.full(len(members), np.nan)
        self.above = self.broken.copy()
        self.step = 0
        self.recorded = 0
        self.loss_sum = np.zeros(len(members))
        self.slices = list(self._slices())
        for part in self.slices:
            part.allocate(self.weights)

    def _slices(self) -> Iterator[_Slice]:
        first = 0
        for k in range(1, len(self.members) + 1):
            here = self.members[first].formula.equations
            if k == len(self.members) or self.members[k].formula.equations != here:
                yield _Slice(here, first, self.members[first:k], self.total)
                first = k

    @property
    def diverged(self) -> np.ndarray:
        """(members,) the step at which a member diverged, or −1.

        Its loss stopped being finite; or it ended far above the untrained loss, and from that step on it was. Before
        the end that may still pass. Where the untrained loss is not above 0, no multiple of it is far.
        """
        return np.where((self.broken < 0) & (self.step >= self.total), self.above, self.broken)

    def train(self, until: int | None = None) -> Iterator[Epoch | None]:
        """Train from wherever the block stands to the end, or to the end of the pass `until`.

        Yields None after every step and an `Epoch` after every pass over the data. The block may be
        saved (`tensors`) between any two yields, and taken up again later. Schedules go by the whole run,
        wherever it is cut.
        """
        per_epoch = self.task.batches.steps
        end = self.total if until is None else min(self.total, until * per_epoch)
        if self.step == 0 and self.task.validation is not None:
            self.untrained[:] = self.evaluate(*self.task.validation)["loss"]
        while True:
            epoch, done = divmod(self.step, per_epoch)
            if done == 0 and self.step > self.recorded:
                passed = self._epoch(per_epoch)
                yield passed
                # Only now: whoever stops before this point sees the same epoch again, and loses nothing.
                self.recorded = self.step
                for part in self.slices if self.task.validation is not None else ():
                    part.scheduling.observe(passed.values["validation_loss"][part.start : part.stop])
                self.loss_sum.fill(0)
            if self.step >= end:
                return
            for i, (inputs, targets) in enumerate(self.task.batches.epoch(self.seed, epoch)):
                if i >= done:
                    self._step(inputs, targets)
                    yield None

    def _step(self, inputs: Tensor, targets: Tensor) -> None:
        batched, regularized = self.task.batched, self.regularized
        if self.step == 0:
            for part in regularized.parts:
                part.check(batched.loss, *((inputs[0], targets[0]) if self.own else (inputs, targets)))
        extra = regularized.extra(self.seeds, self.step, inputs, self.own)
        made = batched.gradient(self._points(), inputs, targets, self.fixed, self.moving, extra)
        count = len(self.weights)
        loss = made[count].double().numpy()
        broken = self.active & ~np.isfinite(loss)
        if broken.any():
            self.active &= ~broken
            self.broken[broken] = self.step
        self.loss_sum += np.where(self.active, loss, np.nan)
        if self.moving:
            regularized.move(made[count + 1 :], self.active)
        held = [g.contiguous() for g in made[:count]]
        pointers = np.array([g.data_ptr() for g in held], dtype=np.int64)
        launches = [part.launch(pointers, loss, self.active, self.step) for part in self.slices]
        if regularized.decays:  # a launch has set the rates of this step
            regularized.shrink(np.concatenate([part.rates() for part in self.slices]), self.active)
        numba_cpu.run(launches, threads=1)
        regularized.after(self.step, self.task.batches.steps, self.total, self.active)
        self.step += 1

    def _points(self) -> list[Tensor]:
        """Where the gradients are taken: at the weights, or ahead of them for rules that look ahead."""
        if all(part.look is None for part in self.slices):
            return self.weights
        points = [w.clone() for w in self.weights]
        pointers = np.array([p.data_ptr() for p in points], dtype=np.int64)
        moves = [part.launch_look(pointers, self.active, self.step) for part in self.slices]
        numba_cpu.run([move for move in moves if move is not None], threads=1)
        return points

    def _epoch(self, steps: int) -> Epoch:
        train_loss = self.loss_sum / steps
        if self.task.validation is None:
            return Epoch(self.step, {"train_loss": train_loss})
        found = self.evaluate(*self.task.validation)
        last = self.step >= self.total
        if self.regularized.stop(found["loss"], train_loss, self.active, self.step, last):
            found = self.evaluate(*self.task.validation)
        far = (self.untrained > 0) & (found["loss"] > RUINED * self.untrained)
        self.above[:] = np.where(far, np.where(self.above < 0, self.step, self.above), -1)
        values = {"train_loss": train_loss} | {f"validation_{name}": value for name, value in found.items()}
        if self.regularized.stopping:
            stopped = self.regularized.stopped
            trained = np.where(self.broken >= 0, self.broken, np.where(stopped >= 0, stopped, self.step))
            values["trained_steps"] = trained.astype(np.float64)
        return Epoch(self.step, values)

    def evaluate(self, inputs: Tensor, targets: Tensor) -> dict[str, np.ndarray]:
        """Mean loss and metrics over the samples, (members,) each; NaN where the loss stopped being finite."""
        batched = self.task.batched
        names = ("loss", *batched.metrics)
        weights, moving = self.regularized.evaluated
        sums, counted = np.zeros((len(names), len(self.members))), np.zeros((len(names), 1))
        for x, y in zip(inputs.split(EVALUATION_BATCH), targets.split(EVALUATION_BATCH), strict=True):
            found = batched.evaluate(weights, x, y, self.fixed, moving, self.own)
            values = np.stack([v.double().numpy() for v in found])
            counts = batched.judge.counts(y)  # with class weights a chunk's loss is no plain mean over its samples
            share = np.full_like(counted, len(x))
            share[0] = len(x) if counts is None else float(counts.sum())
            sums += np.where(share > 0, values * share, 0)
            counted += share
        means = np.where(self.broken >= 0, np.nan, sums / counted)
        return dict(zip(names, means, strict=True))

    def state(self) -> dict[str, Tensor]:
        """name → (members, *shape) of every parameter and buffer of the model, as they are evaluated."""
        batched, (weights, moving) = self.task.batched, self.regularized.evaluated
        fixed = self.fixed if self.own else [f.expand(len(self.members), *f.shape) for f in self.fixed]
        names = (*batched.names, *batched.moving, *batched.fixed)
        return dict(zip(names, (*weights, *moving, *fixed), strict=True))

    def tensors(self) -> dict[str, Tensor]:
        """Everything needed to go on from here, by name; `load` takes it back bit for bit."""
        saved = {f"weight.{i}": w for i, w in enumerate(self.weights)}
        for k, part in enumerate(self.slices):
            for i, states in enumerate(part.states):
                saved |= {f"state.{k}.{i}.{j}": s for j, s in enumerate(states)}
        saved |= {f"kept.{k}": torch.from_numpy(part.kept) for k, part in enumerate(self.slices)}
        for k, part in enumerate(self.slices):
            saved |= {f"{k}.{name}": s for name, s in part.scheduling.tensors().items()}
        places = {"step": torch.tensor(self.step), "recorded": torch.tensor(self.recorded)}
        saved |= self.regularized.tensors()
        return saved | self._counters() | places

    def take(self, other: Block, places: Sequence[tuple[int, int]]) -> None:
        """Go on from where members of another block stand; both blocks are of one seed and program.

        Args:
            places: a member's place here, and its place there.
        """
        here, there = np.array(places, dtype=np.intp).reshape(-1, 2).T
        for own, old in zip(self._stacks(), other._stacks(), strict=True):
            own[here] = old[there]
        for part in self.slices:
            for before in other.slices:
                inside = part.has(here) & before.has(there)
                if inside.any():
                    part.take(before, here[inside], there[inside])
        self.step, self.recorded = other.step, other.recorded

    def _stacks(self) -> list[Tensor]:
        """What is kept between steps with all members on its first axis."""
        return [*self.weights, *self._counters().values(), *self.regularized.stacks().values()]

    def _counters(self) -> dict[str, Tensor]:
        kept = {
            "active": self.active,
            "diverged": self.broken,
            "loss_sum": self.loss_sum,
            "untrained": self.untrained,
            "above": self.above,
        }
        return {name: torch.from_numpy(array) for name, array in kept.items()}

    def load(self, saved: Mapping[str, Tensor]) -> None:
        """Take up the state that `tensors` gave."""
        own = self.tensors()
        # Checkpoints of older versions lack what an end far above the untrained loss is judged by.
        saved = {name: own[name] for name in ("untrained", "above")} | dict(saved)
        if own.keys() != saved.keys() or any(own[n].shape != saved[n].shape for n in own):
            raise TrainingError("the checkpoint belongs to another population; delete it to start this block afresh.")
        for name, tensor in own.items():
            tensor.copy_(saved[name])
        self.step, self.recorded = int(saved["step"]), int(saved["recorded"])


def initial_tensors(model: Callable[[], nn.Module], seed: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """What a fresh model made under this seed holds: trainable weights, and everything that stays fixed.

    The caller's random state is untouched.
    """
    with RANDOM, torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = model()
    weights = {name: p.detach().clone() for name, p in made.named_parameters() if p.requires_grad}
    fixed = {name: p.detach().clone() for name, p in made.named_parameters() if not p.requires_grad}
    return weights, fixed | {name: b.clone() for name, b in made.named_buffers()}


def arranged(members: Sequence[Member]) -> list[int]:
    """An order of the members in which those of one formula lie side by side."""
    order: dict[Equations, int] = {}
    for m in members:
        order.setdefault(m.formula.equations, len(order))
    return sorted(range(len(members)), key=lambda k: order[members[k].formula.equations])


def block_size(weights: int, states: int, activations: int, element: int = 4) -> int:
    """How many members fit into one block: as many as keep all that a step touches in cache.

    At least eight, so that a batched program is worth it, unless they would take more than a gigabyte, as a
    batch of all samples may.

    Args:
        weights: of one member.
        states: values the optimizer keeps per weight.
        activations: outputs of one member's layers for one batch; each is met about three times, on the
            way forward, as a gradient, and in between.
    """
    each = (weights * (2 + states) + 3 * activations) * element
    return max(1, min(max(8, int(CACHE / each)), int(MEMORY / each)))


def activations_of(model: nn.Module, sample: Tensor) -> float:
    """Outputs of the model's layers per sample, measured on a few."""
    counted = 0

    def count(layer: nn.Module, inputs: object, output: object) -> None:
        nonlocal counted
        counted += output.numel() if isinstance(output, Tensor) else 0

    hooks = [layer.register_forward_hook(count) for layer in model.modules() if not list(layer.children())]
    try:
        with torch.no_grad():
            model.eval()(sample)
    finally:
        for hook in hooks:
            hook.remove()
    return counted / len(sample)
