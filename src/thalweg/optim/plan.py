"""One step over all tensors of all groups, prepared once.

What a step needs is mostly what the last one needed: where weights, gradients and states lie, which
group each belongs to, how tensors are cut into segments. A `Plan` holds that; a step then checks that
it still `fits`, fills a table with one row per (group, step count), and launches one compiled loop per
formula, format and device, whatever the number of tensors and groups. Tensors that no such loop can
take (float16 on the CPU, other devices, gaps in memory) go through `tensors.py`, as those do whose rule
looks beyond one weight. Nothing waits for a GPU, unless the loss is read or CPU weights share the norm.
"""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.graph import increment_version

from ..formulas import Formula
from ..kernels import numba_tensors
from ..kernels.formats import FusedOptions
from ..kernels.lower import lower
from . import sharded, tensors
from .batch import Batch
from .parameter import Optimizer, Parameter, computed_in, parameter_of, refuse
from .states import format_of
from .table import Table

_POINTER, _STRIDE = Tensor.data_ptr, Tensor.stride
_DTYPE, _SHAPE = operator.attrgetter("dtype"), operator.attrgetter("shape")


class _Snapshot:
    """Where parameters and states lay when the plan was prepared, and which parameters had a gradient."""

    def __init__(
        self, optimizer: Optimizer, params: list[Tensor], gradients: list[Tensor | None], streams: list[Tensor]
    ) -> None:
        self.params, self.missing = params, [g is None for g in gradients]
        self.pointers = list(map(_POINTER, params))
        self.shapes, self.strides = list(map(_SHAPE, params)), list(map(_STRIDE, params))
        self.states = [s for state in optimizer.state.values() for s in state.values()]
        self.streams, self.stream_pointers = streams, list(map(_POINTER, streams))

    def holds(self, optimizer: Optimizer, params: list[Tensor], gradients: list[Tensor | None]) -> bool:
        """Whether all of it still lies there."""
        present = itertools.chain.from_iterable(map(dict.values, optimizer.state.values()))
        return (
            len(params) == len(self.params)
            and all(map(operator.is_, params, self.params))
            and list(map(operator.is_, gradients, itertools.repeat(None))) == self.missing
            and list(map(_POINTER, params)) == self.pointers
            and list(map(_STRIDE, params)) == self.strides  # p.data = p.data.t() leaves the address
            and list(map(_SHAPE, params)) == self.shapes
            and all(map(operator.is_, present, itertools.chain(self.states, itertools.repeat(None))))
            and sum(map(len, optimizer.state.values())) == len(self.states)
            and list(map(_POINTER, self.streams)) == self.stream_pointers
        )


class Plan:
    """Everything about a step that stays while parameters, gradients' places, states and forms stay.

    Attributes:
        parameters: those that have a gradient; `others` are the places of those that no batch has.
        counts: (parameters,) steps taken; the optimizer's states are views of it.
        row_states: (parameters, numbers) the states of one number; likewise.
        places: of those of `others`; `kinds` are the pairs of equations and group among them, with a formula, and
            `kind` says which of these each is.
    """

    def __init__(self, optimizer: Optimizer, params: list[Tensor], gradients: list[Tensor | None]) -> None:
        self.options, self.table = optimizer.options, Table(optimizer.rule, optimizer.param_groups)
        groups = [k for k, group in enumerate(optimizer.param_groups) for _ in group["params"]]
        self.parameters = [
            self._parameter(optimizer, p, g, k, group)
            for k, (p, g, group) in enumerate(zip(params, gradients, groups, strict=True))
            if g is not None
        ]
        self.needs_loss = any(lower(h.formula.equations).uses_loss for h in self.parameters)
        self.others = [k for k, h in enumerate(self.parameters) if h.formats is None]
        others = [self.parameters[k] for k in self.others]
        others = tensors.share(others, optimizer.state, params, optimizer.rule.state)
        for k, h in zip(self.others, others, strict=True):
            self.parameters[k] = h
        self.places = [tensors.place_of(h) for h in others]
        self.kept = dict[Any, numba_tensors.Sweep]()
        several = [(h.formula.equations, h.group) for h in others]
        self.kinds = {kind: h.formula for kind, h in zip(several, others, strict=True)}
        self.kind = [[*self.kinds].index(kind) for kind in several]
        places = [h.index for h in self.parameters]
        self.shards = sharded.Shards(params, places) if any(map(sharded.is_sharded, params)) else None
        self._count(optimizer, params)
        self._split(optimizer)
        self.layouts = [(h.weight, h.weight.stride(), h.weight.dtype) for h in self.parameters]
        self.dtypes = {h.weight.dtype for h in self.parameters}
        self.contiguous = all(h.weight.is_contiguous() for h in self.parameters)
        self.threads = 0
        self.snapshot = _Snapshot(optimizer, params, gradients, [s for h in self.parameters for s in h.streams])
        self.weights = [h.weight for h in self.parameters] + ([] if self.shards is None else self.shards.weights)

    def fits(self, optimizer: Optimizer, params: list[Tensor], gradients: list[Tensor | None]) -> bool:
        """Whether everything lies where it lay, and means the same formulas."""
        return (
            self.snapshot.holds(optimizer, params, gradients)
            and (self.shards is None or self.shards.stayed())
            and self.options == optimizer.options
            and (self.fused.factor or not optimizer.scaled)
            and self.table.fill(optimizer.param_groups)
        )

    def _parameter(self, optimizer: Optimizer, p: Tensor, g: Tensor, index: int, group: int) -> Parameter:
        refuse(p, g)
        sharded.check(p, g, format_of(self.options.state_dtype))
        formula = self.table.formulas[group].of_shape(p.shape)
        if not formula.equations.elementwise:
            tensors.refuse_sharded(formula, p)
        return parameter_of(optimizer, p, index, group, formula, self._hyperparameters(formula, group))

    def _hyperparameters(self, formula: Formula, group: int) -> dict[str, float]:
        names = formula.equations.hyperparameters
        return dict(zip(names, self.table.numbers[group, : len(names)].tolist(), strict=True))

    def _count(self, optimizer: Optimizer, params: list[Tensor]) -> None:
        """Step counts, and states of one number, side by side, so that one operation advances them."""
        double = torch.get_default_dtype() == torch.float64
        dtype = torch.float64 if double else torch.float32  # as torch.optim keeps it
        steps = torch.tensor([h.steps for h in self.parameters], dtype=dtype)
        if optimizer.rule.keeps_step:
            for h, step in zip(self.parameters, steps.unbind(), strict=True):
                optimizer.state[params[h.index]]["step"] = step
        width = max((len(h.row_states) for h in self.parameters), default=0)
        numbers = torch.zeros(len(self.parameters), width, dtype=torch.float64)
        for h, row in zip(self.parameters, numbers, strict=True):
            for name, place, value in zip(h.formula.equations.single, row.unbind(), h.row_states, strict=False):
                place.fill_(value)
                optimizer.state[params[h.index]][optimizer.rule.state(name)] = place
        self.counts, self.row_states = steps.numpy(), numbers.numpy()

    def _split(self, optimizer: Optimizer) -> None:
        self.fused = FusedOptions(
            factor=self.options.max_norm is not None
            or optimizer.scaled
            or any(group.get("maximize") for group in optimizer.param_groups),
            bound=self.options.clip_value is not None,
            average=self.options.ema_decay is not None,
            zero=self.options.zero_grad,
        )
        alike: dict[Any, list[int]] = {}
        for place, h in enumerate(self.parameters):
            if h.formats is not None:
                alike.setdefault((h.formula.equations, h.formats, h.weight.device), []).append(place)
        self.batches = []
        for places in alike.values():
            parameters = [self.parameters[k] for k in places]
            row_states = self.row_states[places, : len(parameters[0].row_states)]
            self.batches.append(Batch(parameters, places, self.counts[places], row_states, self.fused))

    def step(self, gradients: list[Tensor | None], loss: float, unscale: float, threads: int) -> None:
        """Carry one step out.

        Args:
            unscale: multiplies the gradients first, 1 / the scale of the loss.
        """
        present, moved = [g for g in gradients if g is not None], []
        if self.shards is not None:
            present, moved = self.shards.gradients(present)
            loss = self.shards.mean(loss) if self.needs_loss else loss
        used = present if self._as_weights(present) else self._laid_out(present)
        pointers = np.fromiter(map(_POINTER, used), np.int64, len(used))
        for batch in self.batches:
            batch.point(pointers)
        if self.threads != threads:
            self._share(threads)
        factor = unscale * self._clipping(used, unscale)
        self.counts += 1
        for batch in self.batches:
            self._fill(batch, loss, factor)
        for round_ in self.rounds:
            round_.run()
        for batch in self.batches:
            if width := batch.row_states.shape[1]:
                self.row_states[batch.places, :width] = batch.row_states[batch.row]
        increment_version(self.weights)  # so that autograd notices, as it does after torch's own steps
        if self.others:
            self._advance_others(used, loss, factor)
        if self.options.zero_grad and (used is not present or moved):
            copied = (g for g, copy in zip(present, used, strict=True) if g is not copy)
            for g in (*copied, *moved):
                g.zero_()

    def _share(self, threads: int) -> None:
        """Divide the launches of each backend among threads."""
        self.threads, backends = threads, dict.fromkeys(b.backend for b in self.batches)
        batches = [(backend, [b for b in self.batches if b.backend == backend]) for backend in backends]
        self.reading = [backend.Round([b.reading for b in members], threads) for backend, members in batches]
        self.rounds = [backend.Round([b.launch for b in members], threads) for backend, members in batches]

    def _as_weights(self, gradients: list[Tensor]) -> bool:
        """Whether gradients lie as the weights do; the common case, checked quickly."""
        return (
            self.contiguous
            and set(map(_DTYPE, gradients)) == self.dtypes
            and len(self.dtypes) == 1
            and all(map(Tensor.is_contiguous, gradients))  # sparse gradients are not
        )

    def _laid_out(self, gradients: list[Tensor]) -> list[Tensor]:
        return [
            g if g.layout is torch.strided and g.stride() == stride and g.dtype is dtype else _laid_out(g, p)
            for g, (p, stride, dtype) in zip(gradients, self.layouts, strict=True)
        ]

    def _clipping(self, used: Sequence[Tensor], unscale: float) -> float | Tensor:
        """min(1, max_norm / (‖g‖ + 1e-6)), with the norm over all gradients; as clip_grad_norm_.

        Where some of them are on a GPU it stays there, so that nothing waits for it.
        """
        if self.options.max_norm is None:
            return 1.0
        for round_ in self.reading:
            round_.run()
        if self.shards is not None:
            return self._coefficient(self.shards.total(self._squares(used)), unscale)
        parts = [b.squares.sum() for b in self.batches]
        place = next((p.device for p in parts if isinstance(p, Tensor)), None)
        parts += [used[k].double().square().sum() for k in self.others]
        if place is not None:
            squares = torch.stack([torch.as_tensor(p).to(place, non_blocking=True) for p in parts]).sum()
            return (self.options.max_norm / (abs(unscale) * squares.sqrt() + 1e-6)).clamp(max=1.0)
        return self._coefficient(sum(map(float, parts)), unscale)

    def _squares(self, used: Sequence[Tensor]) -> np.ndarray:
        """Σg² of each gradient that lies here."""
        squares = np.zeros(len(used))
        for batch in self.batches:
            sums = torch.as_tensor(batch.squares).cpu().numpy()
            squares += np.bincount(batch.gradients, sums, len(used))
        for k in self.others:
            squares[k] = float(used[k].double().square().sum())
        return squares

    def _coefficient(self, total: float, unscale: float) -> float:
        assert self.options.max_norm is not None
        coefficient = self.options.max_norm / (abs(unscale) * math.sqrt(total) + 1e-6)
        return coefficient if not coefficient >= 1.0 else 1.0  # NaN stays NaN

    def _fill(self, batch: Batch, loss: float, factor: float | Tensor) -> None:
        """The numbers of this step, where the kernel reads them."""
        batch.t[:] = self.counts[batch.first]
        batch.loss.fill(loss)
        if batch.table.size:
            batch.table[:] = self.table.numbers[batch.groups, : batch.table.shape[1]]
        columns = iter(batch.fused.T)
        if self.fused.factor:
            scale = batch.launch.scale(factor)
            next(columns)[:] = [scale * self.table.signs[k] for k in batch.groups]
        if self.fused.bound:
            next(columns)[:] = self.options.clip_value
        if self.fused.average:
            next(columns)[:] = 1 - (self.options.ema_decay or 0.0)

    def _advance_others(self, used: Sequence[Tensor], loss: float, factor: float | Tensor) -> None:
        others, several = self.others, [self.parameters[k] for k in self.others]
        gradients = [self._scaled(k, used[k], factor) for k in others]
        values = [self._hyperparameters(formula, group) for (_, group), formula in self.kinds.items()]
        numbers = [values[kind] for kind in self.kind]
        rows = self.row_states[others]
        counts = self.counts[others].tolist()
        tensors.update(several, self.places, self.kept, gradients, counts, rows, numbers, loss, self.options)
        self.row_states[others] = rows
        for k in others if self.options.zero_grad else ():
            used[k].zero_()

    def _scaled(self, place: int, g: Tensor, factor: float | Tensor) -> Tensor:
        """The gradient as it is used, in the dtype of the computation."""
        h = self.parameters[place]
        factor = (factor.to(g.device) if isinstance(factor, Tensor) else factor) * self.table.signs[h.group]
        wide = computed_in(h.weight)
        g = g if g.dtype is wide else g.to(wide)
        return g if isinstance(factor, float) and factor == 1.0 else g * factor


def _laid_out(g: Tensor, p: Tensor) -> Tensor:
    """A copy of the gradient with the strides and the dtype of the weight."""
    refuse(p, g)
    return torch.empty_like(p, requires_grad=False).copy_(g)
