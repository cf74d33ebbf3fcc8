"""Steps of a block's members by one program for all of them, wherever the block's tensors lie.

Everything that a step does after its batch has been chosen happens on the device of the weights: gradients, the mask of
members whose loss stopped being finite, decoupled decay, the updates, averages. The host sends the numbers of several
steps beforehand and reads what became of the members after them, so that a GPU never waits in between; there, steps of
one form are captured as one graph and replayed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from ..kernels.stacks import Rows, Stacked, renew, shaped, stacked
from ..samples import Samples
from .batched import Batched, Extra, Groups
from .regularized import Regularized
from .tensor_updates import second_of
from .updates import Update

Launches = tuple[Stacked, Stacked | None, Stacked | None]  # the update; the ways to a lookahead, and from there on
EAGER = 3  # steps of a form before it is captured: libraries choose their algorithms and get their memory in these


class Block(Protocol):
    """What of a block changes as it trains; see `block.Block`."""

    weights: list[Tensor]
    moving: list[Tensor]
    fixed: list[Tensor]
    updates: list[Update]
    regularized: Regularized
    active: np.ndarray
    broken: np.ndarray
    loss_sum: np.ndarray
    step: int
    total: int

    @property
    def per_epoch(self) -> int: ...

    def given(self, step: int, batch: Samples) -> tuple[Groups, Extra]: ...


class Stepper:
    """Takes the members of a block from step to step.

    Attributes:
        capture: makes of a step's operations what repeats them on the same memory; None where they are carried out.
    """

    def __init__(self, block: Block, batched: Batched) -> None:
        self.block, self.batched = block, batched
        self.device = device = block.weights[0].device
        host = [block.active, block.broken, block.loss_sum, *(part.row_states for part in block.updates)]
        self.mirrors = [(array, torch.from_numpy(array).to(device)) for array in host]
        self.active, self.broken, self.loss_sum, *states = (there for _, there in self.mirrors)
        self.numbers = Numbers(block, device)
        pairs = zip(block.updates, self.numbers.tables, states, strict=True)
        self.parts = [_Part(part, table, state, device) for part, table, state in pairs]
        moved = any(p.lookahead or p.second for p in block.updates)
        self.points = [w.clone() for w in block.weights] if moved else block.weights
        twice = [p.second is not None for p in block.updates for _ in range(p.count)]
        self.twice = torch.tensor(twice, device=device) if any(twice) else None
        self.launches = self._prepared()
        self.capture = captured if device.type == "cuda" and batched.replays else None
        self._seen: dict[tuple, int] = {}
        self._replays: dict[tuple, tuple[list[Tensor], Callable[[], None]]] = {}

    def advance(self, batches: Sequence[Samples]) -> None:
        """Train all members on these batches."""
        block = self.block
        steps = range(block.step, block.step + len(batches))
        each = torch.from_numpy(self.numbers.over(steps)).to(self.device)
        self._exchange(there=True)
        for step, numbers, batch in zip(steps, each, batches, strict=True):
            self.numbers.now.copy_(numbers)
            self._step(step, batch)
        self._exchange(there=False)
        block.step += len(batches)
        for part in block.updates:
            part.scheduling.write(part.table, steps[-1])

    def _exchange(self, there: bool) -> None:
        """What became of the members so far, to the device or from it; on a CPU it is the same memory."""
        if self.device.type != "cpu":
            for array, tensor in self.mirrors:
                tensor.copy_(torch.from_numpy(array)) if there else np.copyto(array, tensor.cpu().numpy())

    def _step(self, step: int, batch: Samples) -> None:
        groups, extra = self.block.given(step, batch)
        begun = [part.begin(step) for part in self.block.updates]
        if self.capture is None or not all(part.replays for part in self.block.updates):
            self._carry_out(batch, extra)
            return
        groups = (self.points, *groups[1:])
        given = self.batched.given(groups, extra)
        changing = [
            t for t in given if all(t is not own for own in (*self.points, *self.block.moving, *self.block.fixed))
        ]
        form = (*((t.shape, t.dtype) for t in changing), *(part.program for part in extra.parts), *begun)
        self._seen[form] = self._seen.get(form, 0) + 1
        if self._seen[form] <= EAGER:
            self._carry_out(batch, extra)
            return
        if form not in self._replays:
            self._replays[form] = self._captured(groups, extra, given, changing)
        places, replay = self._replays[form]
        for place, tensor in zip(places, changing, strict=True):
            place.copy_(tensor)
        replay()

    def _carry_out(self, batch: Samples, extra: Extra) -> None:
        fixed, moving = self.block.fixed, self.block.moving
        self._whole(lambda: self.batched.gradient(self.points, *batch, fixed, moving, extra), self.launches)

    def _whole(self, program: Callable[[], Sequence[Tensor]], launches: Sequence[Launches]) -> None:
        """A step, where the program gives gradients, losses and moved buffers at the points."""
        self._ahead(launches)
        results = program()
        if self.twice is not None:
            results = self._again(results, program, self.twice, launches)
        self._follow(results, launches)

    def _again(
        self,
        results: Sequence[Tensor],
        program: Callable[[], Sequence[Tensor]],
        twice: Tensor,
        launches: Sequence[Launches],
    ) -> Sequence[Tensor]:
        """Results whose gradients and moved buffers are, for these members (members,), those further on."""
        count, block = len(self.points), self.block
        renew(block.moving, results[count + 1 :], self.active & results[count].isfinite())
        gradients = [g.contiguous() for g in results[:count]]
        for part, (_, _, second) in zip(self.parts, launches, strict=True):
            if second is not None:
                second.run([g[part.start : part.stop] for g in gradients])
        pairs = zip(results, program(), strict=True)
        mixed = [torch.where(shaped(twice, one), other, one) for one, other in pairs]
        return [*mixed[:count], results[count], *mixed[count + 1 :]]

    def _captured(
        self, groups: Groups, extra: Extra, given: Sequence[Tensor], changing: Sequence[Tensor]
    ) -> tuple[list[Tensor], Callable[[], None]]:
        """Where a step of this form finds what changes from step to step, and what repeats it."""
        assert self.capture is not None
        places = {id(t): t.clone() for t in changing}
        program, launches = self.batched.program(groups, extra), self._prepared()
        inputs = [places.get(id(t), t) for t in given]

        def step() -> None:
            self._whole(lambda: program(*inputs), launches)

        replay = self.capture(step)
        for launch in (one for pair in launches for one in pair if one is not None):
            launch.settle()
        return list(places.values()), replay

    def _prepared(self) -> list[Launches]:
        """Each formula's update, and its ways to where gradients are taken."""
        return [part.prepared(self.points) for part in self.parts]

    def _ahead(self, launches: Sequence[Launches]) -> None:
        """The rows' numbers of this step; and to where the gradients are taken, for rules that look ahead."""
        for part in self.parts:
            part.rows.t.copy_(self.numbers.now[:1].expand_as(part.rows.t))
            part.rows.active.copy_(part.per_row(self.active))
        if self.points is self.block.weights:
            return
        for point, w in zip(self.points, self.block.weights, strict=True):
            point.copy_(w)
        for part, (_, ahead, _) in zip(self.parts, launches, strict=True):
            if ahead is not None:
                part.before.copy_(part.rows.states)
                part.rows.loss.fill_(float("nan"))
                ahead.run([p[part.start : part.stop] for p in self.points])

    def _follow(self, results: Sequence[Tensor], launches: Sequence[Launches]) -> None:
        """What follows the gradients: who goes on, and where to."""
        block, numbers, count = self.block, self.numbers, len(self.block.weights)
        loss = results[count].double()
        fine = loss.isfinite()
        broken = self.active & ~fine
        self.broken.copy_(torch.where(broken, (numbers.now[0] - 1).long(), self.broken))
        self.active &= fine
        self.loss_sum += torch.where(self.active, loss, float("nan"))
        if block.moving:
            renew(block.moving, results[count + 1 :], self.active)
        if numbers.factors is not None:
            block.regularized.shrink(numbers.factors, self.active, block.updates[0].place)
        gradients = [g.contiguous() for g in results[:count]]  # alive until the updates have run
        for part, (update, _, _) in zip(self.parts, launches, strict=True):
            part.rows.loss.copy_(part.per_row(loss))
            part.rows.active.copy_(part.per_row(self.active))
            update.run([g[part.start : part.stop] for g in gradients])
        if numbers.shares is not None and (self.capture is not None or numbers.shares.any()):
            block.regularized.after(numbers.shares, self.active)


class _Part:
    """The members of one formula, on the device."""

    def __init__(self, part: Update, table: Tensor, states: Tensor, device: torch.device) -> None:
        self.update, self.start, self.stop, rows = part, part.start, part.stop, len(part.table)
        t, loss = torch.zeros(2, rows, dtype=torch.float64, device=device).unbind()
        active = torch.ones(rows, dtype=torch.bool, device=device)
        self.rows = Rows(t, loss, active, table, states, part.place, part.width)
        self.before = states.clone()

    def per_row(self, values: Tensor) -> Tensor:
        """Those of the block's members, (members,), for each row of the table."""
        return values[self.start : self.stop].repeat_interleave(self.update.width)

    def prepared(self, points: Sequence[Tensor]) -> Launches:
        at, rows = [p[self.start : self.stop] for p in points], self.rows
        ahead = again = None
        if (lookahead := self.update.lookahead) is not None:
            tensors = [(p, *states) for p, states in zip(at, self.update.states, strict=True)]
            ahead = stacked(lookahead, tensors, replace(rows, states=self.before))
        if (second := second_of(self.update, at)) is not None:
            again = second.stacked(replace(rows, states=rows.states[:, :0]))
        return self.update.stacked(rows), ahead, again


class Numbers:
    """What the host knows of steps beforehand, as one row of float64 for each.

    Attributes:
        now: the row of the step at work, on the device; the others are views of it.
        tables: of each formula, (rows, hyperparameters).
        factors: (members, width) of decoupled decay, or None.
        shares: (members,) of the new weights in their averages, or None.
    """

    def __init__(self, block: Block, device: torch.device) -> None:
        self.block = block
        shapes = [part.table.shape for part in block.updates]
        members, width = len(block.active), block.updates[0].width
        decays, averages = bool(block.regularized.decays), block.regularized.average is not None
        shapes += [(members, width)] * decays + [(members,)] * averages
        self.now = torch.zeros(1 + sum(int(np.prod(s)) for s in shapes), dtype=torch.float64, device=device)
        cut = self.now[1:].split([int(np.prod(s)) for s in shapes])
        views = [part.view(shape) for part, shape in zip(cut, shapes, strict=True)]
        self.tables = views[: len(block.updates)]
        self.factors = views[len(block.updates)] if decays else None
        self.shares = views[-1] if averages else None

    def over(self, steps: range) -> np.ndarray:
        """(steps, numbers)."""
        block = self.block
        tables = [part.scheduling.over(part.table, steps) for part in block.updates]
        columns = [np.arange(steps.start + 1.0, steps.stop + 1.0)[:, None], *tables]
        if (factors := decay_factors(block, tables)) is not None:
            columns.append(factors)
        if self.shares is not None:
            columns.append(block.regularized.shares(steps, block.per_epoch, block.total))
        return np.concatenate([c.reshape(len(steps), -1) for c in columns], axis=1)


def decay_factors(block: Block, tables: Sequence[np.ndarray]) -> np.ndarray | None:
    """(steps, members, width) by which decoupled decay multiplies the weights before each update, by the tables
    (steps, rows, hyperparameters) of each formula; None without decay."""
    if not block.regularized.decays:
        return None
    rates = [part.rates_of(table) for part, table in zip(block.updates, tables, strict=True)]
    return np.stack([block.regularized.factors(row) for row in np.concatenate(rates, axis=1)])


def captured(step: Callable[[], None]) -> Callable[[], None]:
    """The step's operations as a CUDA graph: one launch repeats them on the same memory."""
    graph = torch.cuda.CUDAGraph()
    torch.cuda.synchronize()
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        step()
    return graph.replay


__all__ = ["Stepper", "captured"]
