"""The update of a block's members that share a formula: their hyperparameters, and what the formula remembers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from ..errors import PlanError
from ..formulas.base import Equations
from ..formulas.equations import WEIGHT_ITSELF
from ..formulas.shapes import MODEL
from ..kernels import torch_ref
from ..kernels.lower import lower
from ..kernels.stacks import Rows, Stacked, renew, shaped, stacked
from .member import Member
from .scheduling import Scheduling


def take_rows(new: Tensor, here: np.ndarray, old: Tensor, there: np.ndarray) -> None:
    """new[here] = old[there], as copies of whole rows: an index that may be of any kind goes value by value."""
    first, second = (torch.as_tensor(rows, device=new.device) for rows in (here, there))
    new.index_copy_(0, first, old.index_select(0, second))


class Update:
    """The update of the members of one formula: rows [start, stop) of a block's stacked weights.

    A member has a row of the table for each of its parameter groups, the first for all other parameters; without groups
    it has one.

    Attributes:
        width: rows of the table for each member.
        place: (tensors,) which of these rows each weight tensor goes by.
        tensors: for each weight tensor its rows and the formula's states, (count, *shape) each; `states` are these.
        row_states: (rows, states) those that a row has once, and not for each weight.
        table: (rows, hyperparameters) as the kernel reads them at this step.
        lookahead: the equations of the way to where the gradient is taken, or None.
        second: those of the way on from there to where a second one is taken, or None.
        flushes: whether denormal numbers may be taken as 0, which makes them as fast as others: only a rule that jumps,
            or divides by what may be as small, would tell.
    """

    def __init__(
        self, equations: Equations, start: int, members: Sequence[Member], total: int, parameters: Sequence[str]
    ) -> None:
        self.equations, self.start, self.count = equations, start, len(members)
        self.lookahead, self.second = equations.lookahead, equations.second
        self.stop, self.total = start + len(members), total
        self.names = names = equations.hyperparameters
        self.members, self.parameter_names = tuple(members), parameters
        base = [row for m in members for row in m.rows]
        self.width, groups = len(base) // len(members), members[0].groups
        self.place = np.zeros(len(parameters), dtype=np.int64) if groups is None else groups.places(parameters)
        self.base = np.array([[values[name] for name in names] for values in base]).reshape(len(base), len(names))
        self.table = self.base.copy()
        self.scheduling = Scheduling([m for m in members for _ in range(self.width)], names, self.base, total)
        self.values = base
        self.flushes = not equations.jumps and all(values.get("eps", 1.0) > 0 for values in base)
        self.row_states = self.numbers_of([dict(equations.initial)[name] for name, _ in lower(equations).row_states])

    def forms_of(self, extents: Iterable[Sequence[int]]) -> list[Equations]:
        """The form of the rule for each weight tensor, of these shapes."""
        rule, groups = self.members[0].formula, self.members[0].groups
        names = self.parameter_names
        rules = [rule] * len(names) if groups is None else groups.rules(rule, names)
        return [one.of_shape(extent).equations for one, extent in zip(rules, extents, strict=True)]

    def first(self, value: float | str) -> list[float]:
        """The first value of a state, for each row of the table."""
        return [float(values[value] if isinstance(value, str) else value) for values in self.values]

    def numbers_of(self, values: Sequence[float | str]) -> np.ndarray:
        """(rows, states) of states that begin with these."""
        return np.array([self.first(v) for v in values], dtype=np.float64).reshape(-1, len(self.values)).T.copy()

    def begun(self, w: Tensor, value: float | str, place: int, extent: Sequence[int]) -> Tensor:
        """A state of the weights (members, *shape) before the first step, (count, *extent).

        Args:
            place: of the tensor's row among those of a member.
        """
        if value == WEIGHT_ITSELF:
            return w[self.start : self.stop].clone()
        first = torch.tensor(self.first(value)[place :: self.width], dtype=w.dtype, device=w.device)
        return first.reshape(-1, *[1] * len(extent)).expand(self.count, *extent).clone()

    def allocate(self, weights: Sequence[Tensor]) -> None:
        """States for every weight tensor, where it lies."""
        names, initial = [name for name, _ in lower(self.equations).states], dict(self.equations.initial)
        pairs = list(zip(weights, self.place.tolist(), strict=True))
        self.states = [[self.begun(w, initial[n], place, w.shape[1:]) for n in names] for w, place in pairs]
        self.tensors = [(w[self.start : self.stop], *s) for w, s in zip(weights, self.states, strict=True)]

    def shown(self, weights: Sequence[Tensor], step: int) -> list[Tensor]:
        """What is evaluated after so many steps of these weights, (count, *shape) each; most rules' are the weights."""
        if (equations := self.equations.showing) is None:
            return list(weights)
        given = list(zip(weights, weights, self.states, strict=True))
        computed = self._computed(equations, step, self.table, self.row_states, given)
        return [w + way for w, (way, *_) in zip(weights, computed, strict=True)]

    def estimate(self, gradients: Sequence[Tensor], weights: Sequence[Tensor], active: Tensor, step: int) -> None:
        """Renew the states that gradients (count, *shape) on sampled targets give before this step, counted from 0.

        Args:
            active: (count,) members whose states are renewed.
        """
        equations = self.equations.estimate
        assert equations is not None
        names = [name for name, _ in lower(self.equations).states if self.equations.shape(name) != MODEL]
        states = [[own[names.index(name)] for name in equations.state_names] for own in self.states]
        table, none = self.scheduling.over(self.table, range(step, step + 1))[0], self.row_states[:, :0]
        given = list(zip(gradients, weights, states, strict=True))
        for own, (_, *new) in zip(states, self._computed(equations, step + 1, table, none, given), strict=True):
            renew(own, new, active)

    def _computed(
        self,
        equations: Equations,
        t: int,
        table: np.ndarray,
        row_states: np.ndarray,
        given: Sequence[tuple[Tensor, Tensor, Sequence[Tensor]]],
    ) -> Iterator[Sequence[Tensor]]:
        """Step and new states by torch operations, of each weight tensor with its gradient and states."""
        times, loss = np.full(len(table), float(t)), np.full(len(table), np.nan)
        passed, _ = torch_ref.scalar_function(equations)(times, loss, *table.T, *row_states.T)
        each = [torch.from_numpy(np.broadcast_to(p, len(table)).copy()).to(given[0][1]) for p in passed]
        for (g, w, states), place in zip(given, self.place.tolist(), strict=True):
            numbers = (shaped(p[place :: self.width], w) for p in each)
            yield torch_ref.body(equations)(g, w, *states, *numbers)

    def begin(self, step: int) -> tuple[bool, ...]:
        """Take up a step, counted from 0; what of it another program belongs to."""
        return ()

    @property
    def replays(self) -> bool:
        """Whether the step at work can be captured on a GPU: its update does not wait for the host."""
        return True

    def stacked(self, rows: Rows) -> Stacked:
        """The update, prepared for the device of the weights."""
        return stacked(self.equations, self.tensors, rows)

    def per_row(self, values: np.ndarray) -> np.ndarray:
        """Those of the block's members, (members,), for each row of the table."""
        return np.repeat(values[self.start : self.stop], self.width)

    def has(self, places: np.ndarray) -> np.ndarray:
        """Which of these places in the block are among its rows."""
        return (places >= self.start) & (places < self.stop)

    def adopt(self, other: Update, here: np.ndarray, there: np.ndarray) -> None:
        """The optimizer's memory of members at other places of another block."""
        rows, before = here - self.start, there - other.start
        for states, old in zip(self.states, other.states, strict=True):
            for state, old_state in zip(states, old, strict=True):
                take_rows(state, rows, old_state, before)
        rows, before = ((self.width * at[:, None] + np.arange(self.width)).reshape(-1) for at in (rows, before))
        self.row_states[rows] = other.row_states[before]
        self.scheduling.adopt(other.scheduling, dict(zip(before.tolist(), rows.tolist(), strict=True)))

    def saved(self) -> dict[str, Tensor]:
        """What belongs into a checkpoint beside states and schedules, by name."""
        return {}

    def load(self, saved: Mapping[str, Tensor]) -> None:
        """Take up what `saved` gave."""

    def rates_of(self, tables: np.ndarray) -> np.ndarray:
        """The column of learning rates, (…, members, width), of tables (…, rows, hyperparameters)."""
        names = self.equations.hyperparameters
        if "lr" not in names:
            raise PlanError(
                f"{self.equations.name} has no hyperparameter lr, which decoupled decay goes by; add lr to it."
            )
        return tables[..., names.index("lr")].reshape(*tables.shape[:-2], self.count, self.width)
