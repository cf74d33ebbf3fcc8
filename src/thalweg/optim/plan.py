"""One step over all tensors of all groups, prepared once.

What a step needs is mostly what the last one needed: where weights, gradients and states lie, which
group each belongs to, how tensors are cut into segments. A `Plan` holds that; a step then checks that
it still `fits`, fills a table with one row per (group, step count), and launches one compiled loop per
formula, format and device, whatever the number of tensors and groups. Tensors that no kernel can
take (float16 on the CPU, other devices, gaps in memory) go through the reference one by one, computed in
float32 and rounded once. Nothing waits for a GPU, unless the loss is read or CPU weights share the norm.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.autograd.graph import increment_version

from ..errors import UsageError
from ..formulas import Formula
from ..kernels import storage, torch_ref
from ..kernels.backends import Backend, backend_of
from ..kernels.formats import Formats, FusedOptions
from ..kernels.lower import lower
from . import sharded, states
from .rules import Rule
from .table import Table

_POINTER, _STRIDE = Tensor.data_ptr, Tensor.stride
_DTYPE, _SHAPE = operator.attrgetter("dtype"), operator.attrgetter("shape")


@dataclass(frozen=True)
class StepOptions:
    """What surrounds the update in one step, and how the results are kept; see `FormulaOptimizer`."""

    max_norm: float | None
    clip_value: float | None
    ema_decay: float | None
    zero_grad: bool
    state_dtype: states.StateDtype = None
    stochastic_rounding: bool = False


class Optimizer(Protocol):
    """What a plan reads of an optimizer, and the states that it puts there.

    Attributes:
        scaled: whether the gradients still have the scale of the loss.
    """

    rule: ClassVar[Rule]
    options: StepOptions
    scaled: bool
    state: Any
    param_groups: list[dict[str, Any]]


@dataclass(frozen=True)
class _Parameter:
    """A parameter that has a gradient: what a step needs of it."""

    index: int  # among all parameters
    group: int
    weight: Tensor
    states: tuple[Tensor, ...]  # one value per weight each, as values or codes
    scales: tuple[Tensor, ...]  # of those that are int8
    kept: tuple[float, ...]  # one number each
    average: Tensor | None
    steps: float  # before this plan
    formula: Formula
    formats: Formats | None  # None: no compiled kernel

    @property
    def streams(self) -> list[Tensor]:
        """Everything beside weight and gradient, in the order of the kernel."""
        return [*self.states, *(() if self.average is None else (self.average,)), *self.scales]


class _Batch:
    """Tensors of one formula and one set of formats, that one compiled loop updates."""

    def __init__(self, parameters: Sequence[_Parameter], fused: FusedOptions, places: Sequence[int]) -> None:
        self.parameters, self.formula = parameters, parameters[0].formula
        formats = parameters[0].formats
        assert formats is not None
        self.gradient_format, self.numbers = formats.gradient, len(fused.numbers)
        self.backend = _backend(parameters[0].weight.device)
        self.kernel = self.backend.compiled(self.formula.equations, formats, fused)
        self.places = np.array(places)  # of these parameters among those with a gradient
        cut = self.backend.CUT
        cuts = [np.arange(0, h.weight.numel(), cut) for h in parameters]
        owner = np.repeat(np.arange(len(parameters)), [len(c) for c in cuts])
        starts = np.concatenate(cuts)
        size = np.array([h.weight.numel() for h in parameters])
        self.length = np.minimum(cut, size[owner] - starts).astype(np.int64)
        streams = [[h.weight, h.weight, *h.streams] for h in parameters]
        first = np.array([[s.data_ptr() for s in row] for row in streams], dtype=np.int64)
        sizes = np.array([s.element_size() for s in streams[0]])
        scales = len(parameters[0].scales)
        index = np.tile(starts[:, None], (1, len(sizes)))
        index[:, len(sizes) - scales :] //= storage.BLOCK
        self.address = first[owner] + index * sizes
        self.offset = (starts * sizes[1]).astype(np.int64)
        self.noise = np.stack([np.array([h.index for h in parameters])[owner], starts], axis=1).astype(np.int64)
        self.owner = owner
        self.gradients = self.places[owner]

    def rows(self, counts: np.ndarray, kept: np.ndarray) -> None:
        """One row of the table for each different (group, step count, kept numbers) of the parameters."""
        number: dict[tuple[Any, ...], int] = {}
        keys = [
            (h.group, *pair) for h, pair in zip(self.parameters, np.column_stack([counts, kept]).tolist(), strict=True)
        ]
        self.row_of = np.array([number.setdefault(key, len(number)) for key in keys], dtype=np.int64)
        self.row = self.row_of[self.owner]
        self.groups = [key[0] for key in number]
        first = np.unique(self.row_of, return_index=True)[1]
        self.first = self.places[first]
        rows = len(number)
        self.kept = np.ascontiguousarray(kept[first])
        self.t, self.loss = np.zeros(rows), np.zeros(rows)
        self.table = np.zeros((rows, len(self.formula.equations.hyperparameters)))
        self.fused = np.zeros((rows, self.numbers))
        self.launch = self.kernel.launch(
            self.address,
            self.length,
            self.row,
            np.ones(rows, dtype=np.bool_),
            self.t,
            self.loss,
            self.table,
            self.fused,
            self.kept,
            self.noise,
        )
        self.read, self.squares = self.backend.squares(self.gradient_format, self.address, self.length)


class Plan:
    """Everything about a step that stays while parameters, gradients' places, states and forms stay."""

    def __init__(self, optimizer: Optimizer, params: list[Tensor], gradients: list[Tensor | None]) -> None:
        self.rule, self.options = optimizer.rule, optimizer.options
        self.form = states.format_of(self.options.state_dtype)
        self.params, self.missing = params, [g is None for g in gradients]
        self.pointers = list(map(_POINTER, params))
        self.shapes, self.strides = list(map(_SHAPE, params)), list(map(_STRIDE, params))
        owners = [k for k, group in enumerate(optimizer.param_groups) for _ in group["params"]]
        self.table = Table(self.rule, optimizer.param_groups)
        self.forms = self.table.formulas
        self.needs_loss = any(lower(f.equations).uses_loss for f in self.forms)
        self.parameters = [
            self._parameter(optimizer, k, owners[k], p, g)
            for k, (p, g) in enumerate(zip(params, gradients, strict=True))
            if g is not None
        ]
        self.shards = sharded.shards(params, [h.index for h in self.parameters])
        self.layouts = [(h.weight, h.weight.stride(), h.weight.dtype) for h in self.parameters]
        self.contiguous = all(h.weight.is_contiguous() for h in self.parameters)
        self.dtypes = {h.weight.dtype for h in self.parameters}
        self._count(optimizer)
        self._split(optimizer)
        self.threads = 0
        self.states = [s for state in optimizer.state.values() for s in state.values()]
        self.kept = [s for h in self.parameters for s in h.streams]
        self.kept_pointers = list(map(_POINTER, self.kept))
        self.weights = [h.weight for h in self.parameters] + ([] if self.shards is None else self.shards.weights)

    def fits(self, optimizer: Optimizer, params: list[Tensor], gradients: list[Tensor | None]) -> bool:
        """Whether everything lies where it lay, and means the same formulas."""
        present = itertools.chain.from_iterable(map(dict.values, optimizer.state.values()))
        return (
            _same(params, self.params)
            and list(map(operator.is_, gradients, itertools.repeat(None))) == self.missing
            and list(map(_POINTER, params)) == self.pointers
            and list(map(_STRIDE, params)) == self.strides  # p.data = p.data.t() leaves the address
            and list(map(_SHAPE, params)) == self.shapes
            and (self.shards is None or self.shards.stayed())
            and all(map(operator.is_, present, itertools.chain(self.states, itertools.repeat(None))))
            and sum(map(len, optimizer.state.values())) == len(self.states)
            and list(map(_POINTER, self.kept)) == self.kept_pointers
            and self.options == optimizer.options
            and (self.fused.factor or not optimizer.scaled)
            and self.table.fill(optimizer.param_groups)
        )

    def _parameter(self, optimizer: Optimizer, index: int, group: int, p: Tensor, g: Tensor) -> _Parameter:
        _refuse(p, g)
        sharded.check(p, g, self.form)
        formula = self.forms[group]
        numbers = self._hyperparameters(formula, group)
        steps = self._steps_taken(optimizer.state.get(p, {}))
        single = {name for name, _ in lower(formula.equations).kept}
        each, scales, kept = [], [], []
        for name, first in formula.equations.initial:
            own, key = optimizer.state[p], self.rule.state(name)
            value = numbers[first] if isinstance(first, str) else first
            if name in single:
                kept.append(float(own.get(key, value)))
                continue
            state, scale = states.take_up(own, key, p, value, self.form)
            each.append(sharded.local(state))
            scales += [] if scale is None else [scale]
        average = None
        if self.options.ema_decay is not None:
            half = p.dtype in (torch.float16, torch.bfloat16)
            first = p.detach().to(torch.float32) if half else p.detach().clone()
            present = sharded.placed(optimizer.state[p].get("ema", first), p)
            optimizer.state[p]["ema"] = states.laid_out(present, p, present.dtype)
            average = sharded.local(optimizer.state[p]["ema"])
        w = sharded.local(p)
        parameter = _Parameter(index, group, w, tuple(each), tuple(scales), tuple(kept), average, steps, formula, None)
        return dataclasses.replace(parameter, formats=self._formats(parameter))

    def _formats(self, h: _Parameter) -> Formats | None:
        """The formats a kernel is compiled for, or None where no compiled kernel can take it."""
        w = h.weight
        dense = torch.empty_like(w, device="meta").stride() == w.stride()
        each = [s for s in (*h.states, h.average) if s is not None]
        alike = all(s.stride() == w.stride() and s.device == w.device for s in each)
        forms = [states.name_of(s.dtype, self.form) for s in h.states]
        average = None if h.average is None else states.name_of(h.average.dtype, None)
        backend, weight = backend_of(w.device), states.name_of(w.dtype, None)
        if backend is None or not (dense and alike):
            return None
        rounded = weight == "bfloat16" and self.options.stochastic_rounding
        if h.average is None:
            average = weight
        if not {weight, average, *forms}.issubset(backend.FORMATS):
            return None
        return Formats(
            f"{weight} stochastic" if rounded else str(weight), str(weight), tuple(map(str, forms)), str(average)
        )

    def _steps_taken(self, state: Mapping[str, Any]) -> float:
        if self.rule.keeps_step:
            return float(state.get("step", 0))
        return float(any(name != "ema" for name in state))  # SGD asks only whether a step is the first

    def _count(self, optimizer: Optimizer) -> None:
        """Step counts, and numbers kept for a whole tensor, side by side, so that one operation advances them."""
        double = torch.get_default_dtype() == torch.float64
        dtype = torch.float64 if double else torch.float32  # as torch.optim keeps it
        steps = torch.tensor([h.steps for h in self.parameters], dtype=dtype)
        if self.rule.keeps_step:
            for h, step in zip(self.parameters, steps.unbind(), strict=True):
                optimizer.state[self.params[h.index]]["step"] = step
        self.counts = steps.numpy()
        width = max((len(h.kept) for h in self.parameters), default=0)
        numbers = torch.zeros(len(self.parameters), width, dtype=torch.float64)
        for h, row in zip(self.parameters, numbers, strict=True):
            names = [self.rule.state(name) for name, _ in lower(h.formula.equations).kept]
            for name, place, value in zip(names, row.unbind(), h.kept, strict=False):
                place.fill_(value)
                optimizer.state[self.params[h.index]][name] = place
        self.single = numbers.numpy()

    def _split(self, optimizer: Optimizer) -> None:
        self.fused = FusedOptions(
            factor=self.options.max_norm is not None
            or optimizer.scaled
            or any(group.get("maximize") for group in optimizer.param_groups),
            bound=self.options.clip_value is not None,
            average=self.options.ema_decay is not None,
            zero=self.options.zero_grad,
        )
        together: dict[Any, list[int]] = {}
        self.loose: list[int] = []
        for place, h in enumerate(self.parameters):
            if h.formats is not None:
                together.setdefault((h.formula.equations, h.formats, h.weight.device), []).append(place)
            else:
                self.loose.append(place)
        self.batches = []
        for places in together.values():
            batch = _Batch([self.parameters[k] for k in places], self.fused, places)
            batch.rows(self.counts[places], self.single[places, : batch.kernel.kept])
            self.batches.append(batch)

    def step(self, gradients: list[Tensor | None], loss: float, unscale: float, threads: int) -> None:
        """Carry one step out.

        Args:
            unscale: multiplies the gradients first, 1 / the scale of the loss.
        """
        given, moved = [g for g in gradients if g is not None], []
        if self.shards is not None:
            given, moved = self.shards.gradients(given)
            loss = self.shards.mean(loss) if self.needs_loss else loss
        used = given if self._as_weights(given) else self._laid_out(given)
        pointers = np.fromiter(map(_POINTER, used), np.int64, len(used))
        for batch in self.batches:
            np.add(pointers[batch.gradients], batch.offset, out=batch.address[:, 1])
        if self.threads != threads:
            self.threads = threads
            own = {b.backend: [o for o in self.batches if o.backend == b.backend] for b in self.batches}
            self.reading = [k.Round([b.read for b in batches], threads) for k, batches in own.items()]
            self.rounds = [k.Round([b.launch for b in batches], threads) for k, batches in own.items()]
        factor = unscale * self._clipping(used, unscale)
        self.counts += 1
        for batch in self.batches:
            self._fill(batch, loss, factor)
        for round_ in self.rounds:
            round_.run()
        for batch in self.batches:
            if batch.kernel.kept:
                self.single[batch.places, : batch.kernel.kept] = batch.kept[batch.row_of]
        increment_version(self.weights)  # so that autograd notices, as it does after torch's own steps
        for k in self.loose:
            self._by_reference(k, used[k], loss, factor)
        if self.options.zero_grad and (used is not given or moved):
            copied = (g for g, copy in zip(given, used, strict=True) if g is not copy)
            for g in (*copied, *moved):
                g.zero_()

    def _as_weights(self, given: list[Tensor]) -> bool:
        """Whether gradients lie as the weights do; the common case, checked quickly."""
        return (
            self.contiguous
            and set(map(_DTYPE, given)) == self.dtypes
            and len(self.dtypes) == 1
            and all(map(Tensor.is_contiguous, given))  # sparse gradients are not
        )

    def _laid_out(self, given: list[Tensor]) -> list[Tensor]:
        return [
            g if g.layout is torch.strided and g.stride() == stride and g.dtype is dtype else _laid_out(g, p)
            for g, (p, stride, dtype) in zip(given, self.layouts, strict=True)
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
        parts += [used[k].double().square().sum() for k in self.loose]
        if place is not None:
            squares = torch.stack([torch.as_tensor(p).to(place, non_blocking=True) for p in parts]).sum()
            return (self.options.max_norm / (abs(unscale) * squares.sqrt() + 1e-6)).clamp(max=1.0)
        return self._coefficient(sum(map(float, parts)), unscale)

    def _squares(self, used: Sequence[Tensor]) -> np.ndarray:
        """Σg² of each gradient that lies here."""
        squares = np.zeros(len(used))
        for batch in self.batches:
            own = torch.as_tensor(batch.squares).cpu().numpy()
            squares += np.bincount(batch.gradients, own, len(used))
        for k in self.loose:
            squares[k] = float(used[k].double().square().sum())
        return squares

    def _coefficient(self, total: float, unscale: float) -> float:
        assert self.options.max_norm is not None
        coefficient = self.options.max_norm / (abs(unscale) * math.sqrt(total) + 1e-6)
        return coefficient if not coefficient >= 1.0 else 1.0  # NaN stays NaN

    def _fill(self, batch: _Batch, loss: float, factor: float | Tensor) -> None:
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

    def _by_reference(self, place: int, g: Tensor, loss: float, factor: float | Tensor) -> None:
        h, t = self.parameters[place], int(self.counts[place])
        wide = torch.float64 if h.weight.dtype == torch.float64 else torch.float32
        program = lower(h.formula.equations)
        weight, single = h.weight.detach(), self.single[place]
        int8 = self.form == "int8"
        streamed = [states.unpacked(s, h.scales[k]).to(wide) if int8 else s.to(wide) for k, s in enumerate(h.states)]
        own = [torch.tensor(value, dtype=torch.float64) for value in single[: len(program.kept)].tolist()]
        names = (name for name, _ in (*program.states, *program.kept))
        named = dict(zip(names, (*streamed, *own), strict=True))
        w = weight.to(wide, copy=True)
        factor = factor.to(g.device) if isinstance(factor, Tensor) else factor
        used = g.to(wide) * (factor * self.table.signs[h.group])
        if self.options.clip_value is not None:
            used = used.clamp(-self.options.clip_value, self.options.clip_value)
        numbers = self._hyperparameters(h.formula, h.group)
        torch_ref.update(h.formula, w, used, [named[n] for n in h.formula.states], t, numbers, loss)
        self._keep(h, t, w, streamed)
        single[: len(own)] = [float(value) for value in own]
        if h.average is not None:
            h.average.lerp_(w.to(h.average.dtype), 1 - (self.options.ema_decay or 0.0))
        if self.options.zero_grad:
            g.zero_()

    def _hyperparameters(self, formula: Formula, group: int) -> dict[str, float]:
        names = formula.equations.hyperparameters
        return dict(zip(names, self.table.numbers[group, : len(names)].tolist(), strict=True))

    def _keep(self, h: _Parameter, t: int, w: Tensor, streamed: Sequence[Tensor]) -> None:
        """Put new weights and states into their formats, rounded as the compiled kernels do."""
        rounded = self.options.stochastic_rounding and w is not h.weight and h.weight.dtype == torch.bfloat16
        noisy = self.form is not None and storage.stochastic(self.form)
        stream = 0
        if rounded:
            h.weight.detach().copy_(storage.to_bfloat16(w, storage.noise(h.index, t, stream, w.numel())))
            stream += 1
        else:
            h.weight.detach().copy_(w)
        for k, (state, new) in enumerate(zip(h.states, streamed, strict=True)):
            bits = storage.noise(h.index, t, stream + k, new.numel()) if noisy else None
            if self.form == "int8":
                codes, scale = states.packed(states.laid_out(new, state, new.dtype), bits)
                state.copy_(codes)
                h.scales[k].copy_(scale)
            else:
                state.copy_(new if bits is None else storage.to_bfloat16(new, bits))


def _backend(device: torch.device) -> Backend:
    backend = backend_of(device)
    assert backend is not None
    return backend


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
    if g.shape != p.shape:
        raise UsageError(
            f"a parameter of shape {tuple(p.shape)} has a gradient of shape {tuple(g.shape)}; "
            "compute the gradient after the parameter is replaced."
        )


def _laid_out(g: Tensor, p: Tensor) -> Tensor:
    """A copy of the gradient with the strides and the dtype of the weight."""
    _refuse(p, g)
    return torch.empty_like(p, requires_grad=False).copy_(g)
