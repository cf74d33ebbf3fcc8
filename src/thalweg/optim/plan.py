"""One step over all tensors of all groups, prepared once.

What a step needs is mostly what the last one needed: where weights, gradients and states lie, which
group each belongs to, how tensors are cut into segments. A `Plan` holds that; a step then looks whether
it still `fits`, fills a table with one row per (group, step count), and launches one compiled loop per
formula and dtype, whatever the number of tensors and groups. Tensors that the kernel cannot
take (half precision, other devices, gaps in memory) go through the reference one by one, computed in
float32 and rounded once.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.graph import increment_version

from ..errors import UsageError
from ..formulas import Formula
from ..kernels import numba_cpu, torch_ref
from ..kernels.lower import lower
from .table import Table

if TYPE_CHECKING:
    from .optimizer import FormulaOptimizer

_CUT = 65_536  # elements of a segment: enough to run at full speed, few enough to share among threads


@dataclass(frozen=True)
class Around:
    """What surrounds the update in one step; see `FormulaOptimizer`."""

    max_norm: float | None
    clip_value: float | None
    ema_decay: float | None
    zero_grad: bool


@dataclass(frozen=True)
class _Held:
    """A parameter with a gradient: what it needs in every step."""

    index: int  # among all parameters
    group: int
    weight: Tensor
    states: tuple[Tensor, ...]
    average: Tensor | None
    taken: float  # steps before this plan
    formula: Formula


class _Batch:
    """Tensors of one formula and one dtype, that one compiled loop updates."""

    def __init__(self, held: Sequence[_Held], whole: numba_cpu.Whole, places: Sequence[int]) -> None:
        self.held, self.formula = held, held[0].formula
        self.dtype = held[0].weight.dtype
        self.kernel = numba_cpu.compiled(self.formula.equations, self.dtype, whole)
        self.places = np.array(places)  # of these parameters among those with a gradient
        size = held[0].weight.element_size()
        cuts = [np.arange(0, h.weight.numel(), _CUT) for h in held]
        owner = np.repeat(np.arange(len(held)), [len(c) for c in cuts])
        starts = np.concatenate(cuts)
        whole_length = np.array([h.weight.numel() for h in held])
        self.length = np.minimum(_CUT, whole_length[owner] - starts).astype(np.int64)
        self.offset = (starts * size).astype(np.int64)
        streams = [
            [h.weight.data_ptr(), 0, *(s.data_ptr() for s in h.states)]
            + ([] if h.average is None else [h.average.data_ptr()])
            for h in held
        ]
        self.address = np.array(streams, dtype=np.int64)[owner] + self.offset[:, None]
        self.owner = owner
        self.gradients = self.places[owner]

    def rows(self, keys: Sequence[tuple[int, float]]) -> None:
        """One row of the table for each different (group, step count) in `keys`, which are per parameter."""
        number: dict[tuple[int, float], int] = {}
        row = np.array([number.setdefault(key, len(number)) for key in keys], dtype=np.int64)
        self.row = row[self.owner]
        self.groups = [group for group, _ in number]
        first = np.unique(row, return_index=True)[1]
        self.first = self.places[first]
        self.active = np.ones(len(number), dtype=np.bool_)


class Plan:
    """Everything about a step that stays while parameters, gradients' places, states and forms stay."""

    def __init__(
        self, optimizer: FormulaOptimizer, params: list[Tensor], gradients: list[Tensor | None]
    ) -> None:
        self.rule, self.around = optimizer.rule, optimizer.around
        self.params, self.missing = params, [g is None for g in gradients]
        self.pointers = [p.data_ptr() for p in params]
        owners = [k for k, group in enumerate(optimizer.param_groups) for _ in group["params"]]
        self.table = Table(self.rule, optimizer.param_groups)
        self.forms = self.table.formulas
        self.needs_loss = any(lower(f.equations).uses_loss for f in self.forms)
        self.held = [
            self._hold(optimizer, k, owners[k], p, g)
            for k, (p, g) in enumerate(zip(params, gradients, strict=True))
            if g is not None
        ]
        self.layouts = [(h.weight, h.weight.stride(), h.weight.dtype) for h in self.held]
        self._count(optimizer)
        self._split(optimizer)
        self.states = [s for state in optimizer.state.values() for s in state.values()]
        self.kept = [s for h in self.held for s in (*h.states, h.average) if s is not None]
        self.kept_pointers = [s.data_ptr() for s in self.kept]
        self.weights = [h.weight for h in self.held]

    def fits(self, optimizer: FormulaOptimizer, params: list[Tensor], gradients: list[Tensor | None]) -> bool:
        """Whether all is where it was."""
        states = [s for state in optimizer.state.values() for s in state.values()]
        return (
            _same(params, self.params)
            and [g is None for g in gradients] == self.missing
            and [p.data_ptr() for p in params] == self.pointers
            and _same(states, self.states)
            and [s.data_ptr() for s in self.kept] == self.kept_pointers
            and self.around == optimizer.around
            and (self.whole.factor or not optimizer.scaled)
            and self.table.fill(optimizer.param_groups)
        )

    def _hold(self, optimizer: FormulaOptimizer, index: int, group: int, p: Tensor, g: Tensor) -> _Held:
        _refuse(p, g)
        formula, values = self.forms[group], self.table.numbers[group]
        numbers = dict(zip(formula.equations.hyperparameters, values, strict=True))
        states, taken = [], self._steps_taken(optimizer.state.get(p, {}))
        for name, first in formula.equations.initial:
            key = self.rule.state(name)
            present = optimizer.state[p].get(key)
            if present is None:
                value = numbers[first] if isinstance(first, str) else first
                present = torch.full_like(p, value, requires_grad=False)
            states.append(_as_laid_out(present, p))
            optimizer.state[p][key] = states[-1]
        average = None
        if self.around.ema_decay is not None:
            half = p.dtype in (torch.float16, torch.bfloat16)
            first = p.detach().to(torch.float32) if half else p.detach().clone()
            average = _as_laid_out(optimizer.state[p].get("ema", first), p)
            optimizer.state[p]["ema"] = average
        return _Held(index, group, p, tuple(states), average, taken, formula)

    def _steps_taken(self, state: Mapping[str, Any]) -> float:
        if self.rule.keeps_step:
            return float(state.get("step", 0))
        return float(state.get("momentum_buffer") is not None)  # SGD asks only whether a step is the first

    def _count(self, optimizer: FormulaOptimizer) -> None:
        """The step counts of all these parameters side by side, so that one addition advances them."""
        double = torch.get_default_dtype() == torch.float64
        dtype = torch.float64 if double else torch.float32  # as torch.optim keeps it
        steps = torch.tensor([h.taken for h in self.held], dtype=dtype)
        if self.rule.keeps_step:
            for h, step in zip(self.held, steps.unbind(), strict=True):
                optimizer.state[h.weight]["step"] = step
        self.counts = steps.numpy()

    def _split(self, optimizer: FormulaOptimizer) -> None:
        whole = numba_cpu.Whole(
            factor=self.around.max_norm is not None or optimizer.scaled
            or any(group.get("maximize") for group in optimizer.param_groups),
            bound=self.around.clip_value is not None,
            average=self.around.ema_decay is not None,
            zero=self.around.zero_grad,
        )  # fmt: skip
        self.whole = whole
        together: dict[Any, list[int]] = {}
        self.loose: list[int] = []
        for place, h in enumerate(self.held):
            if _fits_the_kernel(h):
                together.setdefault((h.formula.equations, h.weight.dtype), []).append(place)
            else:
                self.loose.append(place)
        self.batches = []
        for places in together.values():
            batch = _Batch([self.held[k] for k in places], whole, places)
            batch.rows([(self.held[k].group, float(self.counts[k])) for k in places])
            self.batches.append(batch)

    def step(self, gradients: list[Tensor | None], loss: float, unscale: float, threads: int) -> None:
        """Carry one step out.

        Args:
            unscale: multiplies the gradients first, 1 / the scale of the loss.
        """
        given = [g for g in gradients if g is not None]
        used = [
            g if g.layout is torch.strided and g.stride() == stride and g.dtype is dtype else _laid_out(g, p)
            for g, (p, stride, dtype) in zip(given, self.layouts, strict=True)
        ]
        pointers = np.array([g.data_ptr() for g in used], dtype=np.int64)
        for batch in self.batches:
            batch.address[:, 1] = pointers[batch.gradients] + batch.offset
        factor = unscale * self._clipping(used, unscale, threads)
        self.counts += 1
        launches = [self._launch(batch, loss, factor) for batch in self.batches]
        numba_cpu.run(launches, threads)
        increment_version(self.weights)  # so that autograd notices, as it does after torch's own steps
        for k in self.loose:
            self._by_reference(self.held[k], used[k], float(self.counts[k]), loss, factor)
        if self.around.zero_grad:
            for g, copy in zip(given, used, strict=True):
                if g is not copy:
                    g.zero_()

    def _clipping(self, used: Sequence[Tensor], unscale: float, threads: int) -> float:
        """min(1, max_norm / (‖g‖ + 1e-6)), with the norm over all gradients; as clip_grad_norm_."""
        if self.around.max_norm is None:
            return 1.0
        read = [numba_cpu.squares(b.dtype, b.address, b.length) for b in self.batches]
        numba_cpu.run([launch for launch, _ in read], threads)
        total = sum(float(sums.sum()) for _, sums in read)
        total += sum(float(used[k].double().square().sum()) for k in self.loose)
        coefficient = self.around.max_norm / (abs(unscale) * np.sqrt(total) + 1e-6)
        return float(np.minimum(coefficient, 1.0))  # NaN stays NaN

    def _launch(self, batch: _Batch, loss: float, factor: float) -> numba_cpu.Launch:
        table = np.array([self.table.numbers[k] for k in batch.groups], dtype=np.float64)
        count = len(batch.groups)
        table = table.reshape(count, -1)
        numbers = self._numbers(factor, [self.table.signs[k] for k in batch.groups])
        t = self.counts[batch.first].astype(np.float64)
        return batch.kernel.launch(
            batch.address, batch.length, batch.row, batch.active, t, np.full(count, loss), table, numbers
        )

    def _numbers(self, factor: float, signs: Sequence[float]) -> np.ndarray | None:
        columns = []
        if self.whole.factor:
            columns.append(factor * np.array(signs))
        if self.whole.bound:
            columns.append(np.full(len(signs), self.around.clip_value))
        if self.whole.average:
            columns.append(np.full(len(signs), 1 - (self.around.ema_decay or 0.0)))
        return np.stack(columns, axis=1) if columns else None

    def _by_reference(self, h: _Held, g: Tensor, t: float, loss: float, factor: float) -> None:
        wide = torch.float64 if h.weight.dtype == torch.float64 else torch.float32
        weight = h.weight.detach()
        w, states = weight.to(wide), [s.to(wide) for s in h.states]
        used = g.to(wide) * (factor * self.table.signs[h.group])
        if self.around.clip_value is not None:
            used = used.clamp(-self.around.clip_value, self.around.clip_value)
        numbers = dict(zip(h.formula.equations.hyperparameters, self.table.numbers[h.group], strict=True))
        torch_ref.update(h.formula, w, used, states, int(t), numbers, loss)
        weight.copy_(w)
        for state, new in zip(h.states, states, strict=True):
            state.copy_(new)
        if h.average is not None:
            h.average.lerp_(w.to(h.average.dtype), 1 - (self.around.ema_decay or 0.0))
        if self.around.zero_grad:
            g.zero_()


def _same(a: Sequence[Any], b: Sequence[Any]) -> bool:
    return len(a) == len(b) and all(map(operator.is_, a, b))


def _refuse(p: Tensor, g: Tensor) -> None:
    if g.layout != torch.strided:
        raise UsageError(
            f"the gradient of a parameter of shape {tuple(p.shape)} is sparse; thalweg's optimizers take dense "
            "gradients only: make the layer with sparse=False, or use torch.optim.SparseAdam for it."
        )
    if p.is_complex() or g.is_complex():
        raise UsageError(
            f"a parameter of shape {tuple(p.shape)} is complex; thalweg's optimizers take real weights only: "
            "hold its real and imaginary parts, torch.view_as_real(w), as the parameter."
        )


def _as_laid_out(state: Tensor, p: Tensor) -> Tensor:
    """The state with the strides of the weight."""
    if state.stride() == p.stride() or state.shape != p.shape:
        return state
    return torch.empty_like(p, dtype=state.dtype, requires_grad=False).copy_(state)


def _laid_out(g: Tensor, p: Tensor) -> Tensor:
    """A copy of the gradient with the strides and the dtype of the weight."""
    _refuse(p, g)
    return torch.empty_like(p, requires_grad=False).copy_(g)


def _fits_the_kernel(h: _Held) -> bool:
    others = [s for s in (*h.states, h.average) if s is not None]
    w = h.weight
    dense = torch.empty_like(w, device="meta").stride() == w.stride()
    alike = all(s.dtype == w.dtype and s.stride() == w.stride() and s.device == w.device for s in others)
    return w.device.type == "cpu" and w.dtype in numba_cpu.DTYPES and dense and alike
