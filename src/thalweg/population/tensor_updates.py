"""The update of members whose rule looks beyond one weight: a member's whole update is one compiled function.

What `kernels/staged.py` does with the tensors of a model is traced once, for one member, and compiled as the model's
own step is: products, row means and norms stand in one function behind the gradient. Where something of it has no rule
in `programs`, the members are updated by the torch operations themselves, stacked.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.func import vmap

from ..formulas import shapes
from ..formulas.equations import Equations
from ..kernels import numba_cpu, numba_rows, staged
from ..kernels.generated import module
from ..kernels.lower import lower
from ..kernels.threads import Launch, Rows, addresses
from ..kernels.torch_ref import scalar_function
from ..programs.compiled import Step, compile_graph
from ..programs.operations import RULES, Uncovered
from ..programs.trace import graph
from .batched import TRACING
from .driver import TENSORS
from .member import Member as OfBlock
from .updates import Update

Guards = tuple[bool, ...]  # which of a rule's guards hold at a step


@dataclass(frozen=True)
class Member:
    """One member's update, as a function of tensors.

    It is given the weights, their gradients, the states of each weight, those that are one number of the member, and
    for each (row, form) the numbers that are no guards; it gives the new weights and states, in the same order.

    Attributes:
        forms, extents, dtypes: of each weight.
        rows: the row of the table that each weight goes by.
    """

    forms: tuple[Equations, ...]
    extents: tuple[tuple[int, ...], ...]
    dtypes: tuple[torch.dtype, ...]
    rows: tuple[int, ...]

    @property
    def models(self) -> tuple[str, ...]:
        """The states that are one number of the member."""
        shared = (name for form in self.forms for name, _ in form.states if form.shape(name) == shapes.MODEL)
        return tuple(dict.fromkeys(shared))

    @property
    def guards(self) -> tuple[tuple[Equations, Any], ...]:
        return tuple((form, guard) for form in dict.fromkeys(self.forms) for guard in lower(form).guards)

    @property
    def numbers(self) -> list[tuple[int, Equations, int]]:
        """(row, form, place among its scalars) of each number that is given."""
        pairs = dict.fromkeys(zip(self.rows, self.forms, strict=True))
        each = ((row, form, k, name) for row, form in pairs for k, name in enumerate(lower(form).passed))
        return [(row, form, k) for row, form, k, name in each if name not in lower(form).guards]

    def function(self, guards: Guards) -> Callable[..., tuple[Tensor, ...]]:
        """Where these guards hold."""
        count, models = len(self.forms), self.models
        held = dict(zip(self.guards, map(float, guards), strict=True))

        def call(*tensors: Tensor) -> tuple[Tensor, ...]:
            given = iter(tensors)
            weights, gradients = ([next(given) for _ in range(count)] for _ in range(2))
            states = [{name: next(given) for name in own_states(form)} for form in self.forms]
            shared = {name: next(given) for name in models}
            numbers = {key: next(given) for key in self.numbers}
            updates = []
            for w, g, own, form, row in zip(weights, gradients, states, self.forms, self.rows, strict=True):
                passed = [
                    held[form, name] if (form, name) in held else numbers[row, form, k].to(w.dtype)
                    for k, name in enumerate(lower(form).passed)
                ]
                kept = [{**shared, **own}[name] for name, _ in lower(form).states]
                updates.append(staged.TensorUpdate(form, w, g, kept, passed))
            ends = staged.advance(updates)
            after = [
                dict(zip((n for n, _ in lower(f).states), s, strict=True))
                for f, (_, s) in zip(self.forms, ends, strict=True)
            ]
            of_model = {name: value for states in reversed(after) for name, value in states.items() if name in models}
            each = (after[k][name] for k, form in enumerate(self.forms) for name in own_states(form))
            return (*(w for w, _ in ends), *each, *(of_model[name].to(torch.float64) for name in models))

        return call

    def example(self) -> list[Tensor]:
        """Arguments of the function."""
        pairs = list(zip(self.extents, self.dtypes, strict=True))
        weights = [torch.ones(extent, dtype=dtype) for extent, dtype in (*pairs, *pairs)]
        states = [
            torch.ones(shapes.extent(form.shape(name), extent, form.batched), dtype=dtype)
            for form, (extent, dtype) in zip(self.forms, pairs, strict=True)
            for name in own_states(form)
        ]
        ones = [torch.ones((), dtype=torch.float64) for _ in (*self.models, *self.numbers)]
        return [*weights, *states, *ones]


def own_states(form: Equations) -> list[str]:
    """The states that each weight tensor has of its own."""
    return [name for name, _ in lower(form).states if form.shape(name) != shapes.MODEL]


@functools.cache
def _compiled(member: Member, guards: Guards) -> Step:
    with TRACING:
        return compile_graph(graph(member.function(guards), [(1, member.example())], RULES))


@functools.cache
def _driver() -> int:
    return module(TENSORS, "tensors").members.address


class TensorUpdates(Update):
    """`Update` for rules that look beyond one weight.

    Attributes:
        member: the update of one.
        models: (count,) float64 each, the states that are one number of a member.
        uncovered: why it is not compiled; None where it is.
    """

    uncovered: str | None = None

    def allocate(self, weights: Sequence[Tensor]) -> None:
        rule = self.members[0].formula
        forms = tuple(rule.of_shape(w.shape[1:]).equations for w in weights)
        extents, dtypes = tuple(tuple(w.shape[1:]) for w in weights), tuple(w.dtype for w in weights)
        self.member = Member(forms, extents, dtypes, tuple(self.place.tolist()))
        self.row_numbers = numba_rows.row_numbers(tuple(dict.fromkeys(forms)))
        initial = {name: first for form in forms for name, first in form.initial}
        self.row_states = self.numbers_of([initial[name] for name in self.row_numbers.single])
        self.states = [
            [
                self.begun(w, initial[name], place, shapes.extent(form.shape(name), w.shape[1:], form.batched))
                for name in own_states(form)
            ]
            for w, form, place in zip(weights, forms, self.member.rows, strict=True)
        ]
        of_models = (self.first(initial[name])[:: self.width] for name in self.member.models)
        self.models = [torch.tensor(values, dtype=torch.float64) for values in of_models]
        self.weights, self.lookahead, self.units = [w[self.start : self.stop] for w in weights], None, 1
        self.kernel = self.row_numbers
        self.length = np.full(self.count, sum(w[0].numel() for w in weights), dtype=np.int64)
        self.scalars = np.zeros((len(self.table), self.row_numbers.columns))
        try:
            self.programs = [_compiled(self.member, guards) for guards in self._met()]
            self._lay_out()
        except Uncovered as error:
            self.uncovered, self.compiled = str(error), False

    def _columns(self) -> list[int]:
        """Of the scalars, the places of the guards."""
        first = dict(zip(self.row_numbers.forms, self.row_numbers.first, strict=True))
        return [first[form] + lower(form).passed.index(guard) for form, guard in self.member.guards]

    def _met(self) -> list[Guards]:
        """The combinations of guards that hold at some step of the run."""
        held = []
        for form, guard in self.member.guards:
            numbers = [np.ones(self.total)] * (1 + len(form.hyperparameters) + len(lower(form).row_states))
            with np.errstate(all="ignore"):  # a guard goes by the step alone
                passed, _ = scalar_function(form)(np.arange(1.0, self.total + 1), *numbers)
            held.append(np.broadcast_to(passed[lower(form).passed.index(guard)] > 0.5, self.total))
        return sorted(set(zip(*(one.tolist() for one in held), strict=True))) if held else [()]

    def _lay_out(self) -> None:
        """Where each program finds the arguments of each member, and what is copied from its results."""
        first = self.programs[0]
        pairs = zip(first.shapes, first.dtypes, strict=True)
        self.results = [torch.empty([d.at(1) for d in shape], dtype=dtype) for shape, dtype in pairs]
        self.arena = np.empty(max(1, *(step.room.at(1) for step in self.programs)), dtype=np.uint8)
        self.status = np.zeros(1, dtype=np.int64)
        columns = dict(zip(self.row_numbers.forms, self.row_numbers.first, strict=True))
        numbers = [(row, columns[form] + k) for row, form, k in self.member.numbers]
        own = [*self.weights, *self.weights, *itertools.chain(*self.states), *self.models]
        members = np.arange(self.count)[:, None]
        starts = np.array([t.data_ptr() for t in own]), np.array([t.stride(0) * t.element_size() for t in own])
        at, size = self.scalars.ctypes.data, self.scalars.shape[1]
        scalars = np.array([at + 8 * (row * size + column) for row, column in numbers], dtype=np.int64)
        given = np.concatenate([starts[0] + members * starts[1], scalars + members * (8 * self.width * size)], axis=1)
        ends = [*(r.data_ptr() for r in self.results), self.status.ctypes.data]
        self.address = [
            np.concatenate(
                [given, np.tile([*ends, *(c.data_ptr() for c in step.constants)], (self.count, 1))], axis=1
            ).astype(np.int64)
            for step in self.programs
        ]
        targets = [*self.weights, *itertools.chain(*self.states), *self.models]
        kept = zip(self.results, targets, strict=True)
        self.copied = np.array([[r.data_ptr(), t.data_ptr(), r.nbytes] for r, t in kept], dtype=np.int64)
        self._choices()

    def _choices(self) -> None:
        """Which program belongs to which guards."""
        met, count = self._met(), len(self.member.guards)
        of = {sum(held << k for k, held in enumerate(guards)): place for place, guards in enumerate(met)}
        self.chosen = np.array([of.get(k, 0) for k in range(2**count)], dtype=np.int64)
        self.asked = np.array([*self._columns(), 0], dtype=np.int64)
        rows = zip(self.programs, self.address, strict=True)
        self.called = np.array([[s.function, a.ctypes.data, a.shape[1]] for s, a in rows], dtype=np.int64)

    def addressed(self, gradients: np.ndarray) -> np.ndarray:
        """Take gradients at these addresses: of stacks (tensors,), or each member's (count, tensors)."""
        count = len(self.weights)
        sizes = np.array([w.stride(0) * w.element_size() for w in self.weights])
        stride = np.arange(self.start, self.stop)[:, None] * sizes
        for table in self.address:
            table[:, count : 2 * count] = gradients + stride if gradients.ndim == 1 else gradients
        return self.address[0]

    def prepared(
        self, kernel: Any, address: np.ndarray, loss: np.ndarray, active: np.ndarray, step: int, row_states: np.ndarray
    ) -> Launch:
        t = np.full(len(self.table), float(step + 1))
        rows, job = self._rows(t, loss, active, row_states)
        held = (self.called, self.chosen, self.arena, active, self.scalars, self.asked, self.copied)
        at = [a.ctypes.data for a in held]
        numbers = [*at[:4], self.width, at[4], self.scalars.shape[1], len(self.member.guards), at[5]]
        work = np.array([*numbers, len(self.copied), at[6]], dtype=np.int64)
        arrays = (*held, job, t, loss, self.table, row_states)
        return Launch(_driver(), work, self.length, arrays, rows, t)

    def _rows(
        self, t: np.ndarray, loss: np.ndarray, active: np.ndarray, row_states: np.ndarray
    ) -> tuple[Rows, np.ndarray]:
        """What computes the scalars of this step."""
        job = addresses(t, loss, self.table, row_states, self.scalars, active)
        return Rows(self.row_numbers.function.address, job, len(self.table)), job

    def by_torch(self, gradients: Sequence[Tensor], loss: np.ndarray, active: np.ndarray, step: int) -> None:
        """The update by the torch operations themselves, of all members at once."""
        self.scheduling.write(self.table, step)
        training, t = self.per_row(active), np.full(len(self.table), float(step + 1))
        rows, job = self._rows(t, self.per_row(loss), training, self.row_states)
        numba_cpu.run([Launch(_driver(), np.zeros(11, dtype=np.int64), self.length[:0], (job, t), rows, t)], threads=1)
        guards = tuple((self.scalars[0, self._columns()] > 0.5).tolist())
        columns = dict(zip(self.row_numbers.forms, self.row_numbers.first, strict=True))
        scalars = torch.from_numpy(self.scalars).reshape(self.count, self.width, -1)
        numbers = [scalars[:, row, columns[form] + k] for row, form, k in self.member.numbers]
        kept = [*self.weights, *itertools.chain(*self.states), *self.models]
        own = [g[self.start : self.stop] for g in gradients]
        given = [*self.weights, *own, *kept[len(own) :], *numbers]
        here = torch.from_numpy(active[self.start : self.stop])
        for old, new in zip(kept, vmap(self.member.function(guards))(*given), strict=True):
            old.copy_(torch.where(here.reshape(-1, *[1] * (old.dim() - 1)), new, old))

    def adopt(self, other: Update, here: np.ndarray, there: np.ndarray) -> None:
        assert isinstance(other, TensorUpdates)
        super().adopt(other, here, there)
        for state, before in zip(self.models, other.models, strict=True):
            state[here - self.start] = before[there - other.start]

    def saved(self) -> dict[str, Tensor]:
        return dict(zip(self.member.models, self.models, strict=True))

    def load(self, saved: Mapping[str, Tensor]) -> None:
        for name, state in zip(self.member.models, self.models, strict=True):
            state.copy_(saved[name])


def update_of(
    members: Sequence[OfBlock], start: int, weights: Sequence[Tensor], total: int, parameters: Sequence[str]
) -> Update:
    """The update of members of one rule, which are rows of stacked weights from `start` on; see `Update`."""
    rule = members[0].formula
    whole = rule.by_shape is not None or not rule.equations.elementwise
    part = (TensorUpdates if whole else Update)(rule.equations, start, members, total, parameters)
    part.allocate(weights)
    return part
