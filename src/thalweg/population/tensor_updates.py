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

from ..errors import PlanError
from ..formulas import shapes
from ..formulas.equations import Equations
from ..formulas.opaque import Opaque
from ..formulas.operations import eigenvectors, matrix_power, qr
from ..kernels import numba_rows, staged
from ..kernels.generated import module
from ..kernels.lower import lower
from ..kernels.stacks import Rows, Stacked, renew
from ..kernels.threads import Launch, Round, addresses
from ..kernels.threads import Rows as RowsLaunch
from ..kernels.torch_ref import scalar_function, scalars_on_device
from ..programs.compiled import Step, compile_graph
from ..programs.operations import RULES, Uncovered
from ..programs.trace import graph
from .batched import TRACING
from .driver import TENSORS
from .member import Member
from .own_updates import OwnUpdates
from .updates import Update

WAITING = (eigenvectors, qr, matrix_power)
Guards = tuple[bool, ...]  # which of a rule's guards hold at a step


@dataclass(frozen=True)
class MemberUpdate:
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
def _waits(form: Equations) -> bool:
    """Whether a GPU asks the host how a decomposition went, which a guard may leave out of a step."""
    return any(expression.has(*WAITING) for expression in (form.step, *(value for _, value in form.states)))


@functools.cache
def _compiled(member: MemberUpdate, guards: Guards) -> Step:
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
        single: the states that are one number of a row.
        guards: which of the rule's hold at the step at work.
    """

    def allocate(self, weights: Sequence[Tensor]) -> None:
        rule = self.members[0].formula
        forms = tuple(self.forms_of(w.shape[1:] for w in weights))
        for what, moved in (("shows other weights than it trains", "shown"), ("takes its gradient ahead", "at")):
            if any(getattr(form, moved) is not None for form in forms):
                raise PlanError(
                    f"{rule.label} {what} and looks beyond one weight, and a population takes rules that do one of the "
                    "two; use it with tw.optim.from_formula in a loop of your own."
                )
        self._take(forms, weights)
        initial = {name: first for form in forms for name, first in form.initial}
        self.row_states = self.numbers_of([initial[name] for name in self.single])
        self.states = [
            [
                self.begun(w, initial[name], place, shapes.extent(form.shape(name), w.shape[1:], form.batched))
                for name in own_states(form)
            ]
            for w, form, place in zip(weights, forms, self.member.rows, strict=True)
        ]
        of_models = (self.first(initial[name])[:: self.width] for name in self.member.models)
        device = weights[0].device
        self.models = [torch.tensor(values, dtype=torch.float64, device=device) for values in of_models]
        self.weights, self.lookahead = [w[self.start : self.stop] for w in weights], None
        self.guards: Guards = self.begin(0)

    def _take(self, forms: tuple[Equations, ...], weights: Sequence[Tensor]) -> None:
        extents, dtypes = tuple(tuple(w.shape[1:]) for w in weights), tuple(w.dtype for w in weights)
        self.member = MemberUpdate(forms, extents, dtypes, tuple(self.place.tolist()))
        self.forms = tuple(dict.fromkeys(forms))
        self.single = tuple(dict.fromkeys(name for form in self.forms for name, _ in lower(form).row_states))

    @property
    def kept(self) -> list[Tensor]:
        """What a step changes, in the order of `MemberUpdate`'s results."""
        return [*self.weights, *itertools.chain(*self.states), *self.models]

    def begin(self, step: int) -> Guards:
        """Take up a step, counted from 0; which guards hold at it."""
        self.guards = tuple(bool(held[step]) for held in self._held)
        return self.guards

    @property
    def replays(self) -> bool:
        return not any(map(_waits, self.forms)) or (bool(self.guards) and not any(self.guards))

    @functools.cached_property
    def _held(self) -> list[np.ndarray]:
        """For each guard, at which steps of the run it holds."""
        each = []
        for form, guard in self.member.guards:
            numbers = [np.ones(self.total)] * (1 + len(form.hyperparameters) + len(lower(form).row_states))
            with np.errstate(all="ignore"):  # a guard goes by the step alone
                passed, _ = scalar_function(form)(np.arange(1.0, self.total + 1), *numbers)
            each.append(np.broadcast_to(passed[lower(form).passed.index(guard)] > 0.5, self.total))
        return each

    @functools.cached_property
    def programs(self) -> dict[Guards, Step] | None:
        """The compiled update of a member, for the guards that hold at some step; None where it cannot be compiled."""
        met = sorted(set(zip(*(held.tolist() for held in self._held), strict=True))) or [()]
        try:
            return {guards: _compiled(self.member, guards) for guards in met}
        except Uncovered:
            return None

    def stacked(self, rows: Rows) -> Stacked:
        if self.weights[0].device.type == "cpu" and self.programs is not None:
            return _ByProgram(self, rows)
        return _ByTorch(self, rows)

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


class Second(TensorUpdates):
    """The way of points to where a rule takes its second gradient, for the members of its update.

    Args:
        points: (members, *shape) each, which a run moves.
    """

    def __init__(self, part: Update, points: Sequence[Tensor], forms: Sequence[Equations]) -> None:
        super().__init__(forms[0], part.start, part.members, part.total, part.parameter_names)
        self.table, self.weights = part.table, list(points)
        self._take(tuple(forms), points)
        self.states, self.models, self.guards = [[] for _ in points], [], ()


def second_of(part: Update, points: Sequence[Tensor]) -> Second | None:
    """Of the members of an update; None where their rule takes one gradient."""
    if part.second is None:
        return None
    forms = [form.second for form in part.forms_of(p.shape[1:] for p in points)]
    return Second(part, points, [form for form in forms if form is not None])


class _ByTorch(Stacked):
    """By the torch operations themselves, of all members at once."""

    def __init__(self, update: TensorUpdates, rows: Rows) -> None:
        self.update, self.rows = update, rows

    def run(self, gradients: Sequence[Tensor]) -> None:
        update, rows, kept = self.update, self.rows, self.update.kept
        scalars: dict[Any, list[Tensor]] = {}
        single, after = rows.states.unbind(1), list(rows.states.unbind(1))
        for form in update.forms:
            at = [update.single.index(name) for name, _ in lower(form).row_states]
            scalars[form], new = scalars_on_device(
                form, rows.t, rows.loss, rows.table, [single[column] for column in at]
            )
            for column, value in zip(at, new, strict=True):
                after[column] = torch.where(rows.active, value, single[column])
        numbers = [scalars[form][k][row :: rows.width] for row, form, k in update.member.numbers]
        given = [*update.weights, *gradients, *kept[len(gradients) :], *numbers]
        renew(kept, vmap(update.member.function(update.guards))(*given), rows.active[:: rows.width])
        for column, value in zip(single, after, strict=True):
            column.copy_(value)


class _ByProgram(Stacked):
    """By the compiled update of each member."""

    def __init__(self, update: TensorUpdates, rows: Rows) -> None:
        self.call = Calls(update, *(a.numpy() for a in (rows.t, rows.loss, rows.active, rows.table, rows.states)))
        self.round = Round([self.call.launch], 1)

    def run(self, gradients: Sequence[Tensor]) -> None:
        self.call.point(gradients)
        self.round.run()


class Calls:
    """The compiled update of members as a launch: where each program finds its arguments, and what is copied from its
    results.

    Args:
        t, loss, active: (rows,) as of `numba_cpu.Kernel.launch`, read at each run.
        table, row_states: (rows, …), likewise.
    """

    def __init__(
        self,
        update: TensorUpdates,
        t: np.ndarray,
        loss: np.ndarray,
        active: np.ndarray,
        table: np.ndarray,
        row_states: np.ndarray,
    ) -> None:
        assert update.programs is not None
        self.update, member, programs = update, update.member, list(update.programs.values())
        numbers = numba_rows.row_numbers(update.forms, update.single)
        self.scalars = np.zeros((len(table), numbers.columns))
        self.results = [
            torch.empty([d.at(1) for d in shape], dtype=dtype)
            for shape, dtype in zip(programs[0].shapes, programs[0].dtypes, strict=True)
        ]
        self.arena = np.empty(max(1, *(step.room.at(1) for step in programs)), dtype=np.uint8)
        self.status = np.zeros(1, dtype=np.int64)
        first = dict(zip(numbers.forms, numbers.first, strict=True))
        given = self._given([(row, first[form] + k) for row, form, k in member.numbers])
        self.address = [self._with_ends(given, step) for step in programs]
        held = [(first[form] + lower(form).passed.index(guard)) for form, guard in member.guards]
        self.asked, self.chosen = np.array([*held, 0], dtype=np.int64), _chosen(list(update.programs), len(held))
        pairs = zip(programs, self.address, strict=True)
        called = np.array([[s.function, a.ctypes.data, a.shape[1]] for s, a in pairs], dtype=np.int64)
        pairs = zip(self.results, update.kept, strict=True)
        moves = [[r.data_ptr(), old.data_ptr(), r.nbytes, old.stride(0) * old.element_size()] for r, old in pairs]
        copied = np.array(moves, dtype=np.int64)
        rows = RowsLaunch(
            numbers.function.address, addresses(t, loss, table, row_states, self.scalars, active), len(table)
        )
        at = [a.ctypes.data for a in (called, self.chosen, self.arena, active)]
        work = [*at, update.width, self.scalars.ctypes.data, numbers.columns, len(held), self.asked.ctypes.data]
        job = np.array([*work, len(copied), copied.ctypes.data], dtype=np.int64)
        arrays = (called, copied, active, t, loss, table, row_states, *self.address)
        length = np.full(update.count, sum(w[0].numel() for w in update.weights), dtype=np.int64)
        self.launch = Launch(_driver(), job, length, arrays, rows, t)

    def _given(self, numbers: Sequence[tuple[int, int]]) -> np.ndarray:
        """(members, inputs) addresses; the gradients' are to be filled in."""
        update, members = self.update, np.arange(self.update.count)[:, None]
        own = [*update.weights, *update.weights, *update.kept[len(update.weights) :]]
        starts = np.array([t.data_ptr() for t in own], dtype=np.int64)
        apart = np.array([t.stride(0) * t.element_size() for t in own], dtype=np.int64)
        at, size = self.scalars.ctypes.data, self.scalars.shape[1]
        scalars = np.array([at + 8 * (row * size + column) for row, column in numbers], dtype=np.int64)
        return np.concatenate([starts + members * apart, scalars + members * (8 * update.width * size)], axis=1)

    def _with_ends(self, given: np.ndarray, step: Step) -> np.ndarray:
        ends = [*(r.data_ptr() for r in self.results), self.status.ctypes.data]
        ends += [c.data_ptr() for c in step.constants]
        return np.concatenate([given, np.tile(np.array(ends, dtype=np.int64), (len(given), 1))], axis=1)

    def point(self, gradients: Sequence[Tensor]) -> None:
        """The gradients are these stacks, (members, *shape)."""
        members = np.arange(self.update.count)[:, None]
        self._point(np.array([g.data_ptr() for g in gradients]) + members * np.array([g[0].nbytes for g in gradients]))

    def point_all(self, gradients: Sequence[Tensor]) -> None:
        """Every member finds its gradients in these tensors."""
        self._point(np.array([g.data_ptr() for g in gradients]))

    def _point(self, pointers: np.ndarray) -> None:
        count = len(self.update.weights)
        for table in self.address:
            table[:, count : 2 * count] = pointers


def _chosen(met: Sequence[Guards], count: int) -> np.ndarray:
    """Guards as bits → the program for them."""
    of = {sum(held << k for k, held in enumerate(guards)): place for place, guards in enumerate(met)}
    return np.array([of.get(bits, 0) for bits in range(2**count)], dtype=np.int64)


def update_of(
    members: Sequence[Member], start: int, weights: Sequence[Tensor], total: int, parameters: Sequence[str]
) -> Update:
    """The update of members of one rule, which are rows of stacked weights from `start` on; see `Update`."""
    rule, kind = members[0].formula, Update
    if isinstance(rule, Opaque):
        kind = OwnUpdates
    elif rule.by_shape or not rule.equations.elementwise:
        kind = TensorUpdates
    part = kind(rule.equations, start, members, total, parameters)
    part.allocate(weights)
    return part
