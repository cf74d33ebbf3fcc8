"""The update of a block's members that share a formula: their states, and the addresses that its kernel works on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from ..errors import PlanError
from ..formulas.base import Equations
from ..formulas.equations import WEIGHT_ITSELF
from ..kernels import numba_cpu
from ..kernels.lower import lower
from .member import Member
from .scheduling import Scheduling


class Update:
    """The update of the members of one formula: rows [start, stop) of a block's stacked weights.

    A member has a row of the table for each of its parameter groups, the first for all other parameters; without groups
    it has one.

    Attributes:
        width: rows of the table for each member.
        units: calls that a launch makes for each member.
        compiled: whether a launch is all that a step takes.
        place: (tensors,) which of these rows each weight tensor goes by.
        states: for each weight tensor the formula's states, (count, *shape) each.
        row_states: (rows, states) those that a row has once, and not for each weight.
        table: (rows, hyperparameters) as the kernel reads them at this step.
    """

    compiled = True

    def __init__(
        self, equations: Equations, start: int, members: Sequence[Member], total: int, parameters: Sequence[str]
    ) -> None:
        self.equations, self.start, self.count = equations, start, len(members)
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
        self.row_states = self.numbers_of([dict(equations.initial)[name] for name, _ in lower(equations).row_states])

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
        first = torch.tensor(self.first(value)[place :: self.width], dtype=w.dtype)
        return first.reshape(-1, *[1] * len(extent)).expand(self.count, *extent).clone()

    def allocate(self, weights: Sequence[Tensor]) -> None:
        """States for every weight tensor, and the table of addresses the kernel works on: member by member."""
        self.states: list[list[Tensor]] = []
        addresses, sizes = [], np.array([w[0].numel() for w in weights], dtype=np.int64)
        initial = dict(self.equations.initial)
        for w, size, place in zip(weights, sizes, self.place.tolist(), strict=True):
            names = [name for name, _ in lower(self.equations).states]
            states = [self.begun(w, initial[name], place, w.shape[1:]) for name in names]
            self.states.append(states)
            stride = np.arange(self.count) * size * w.element_size()
            starts = [w.data_ptr() + self.start * size * w.element_size(), 0, *(s.data_ptr() for s in states)]
            addresses.append(np.array(starts, dtype=np.int64)[None, :] + stride[:, None])
        element = np.array([w.element_size() for w in weights])
        self.stride = np.arange(self.start, self.stop)[:, None] * (sizes * element)[None, :]  # (count, tensors)
        self.address = np.stack(addresses, axis=1).reshape(-1, addresses[0].shape[1]).astype(np.int64)
        self.length, self.units = np.tile(sizes, self.count), len(weights)
        self.row = (self.width * np.arange(self.count)[:, None] + self.place).reshape(-1)
        self.kernel = numba_cpu.compiled(self.equations, weights[0].dtype)
        self.lookahead = self.equations.lookahead and numba_cpu.compiled(self.equations.lookahead, weights[0].dtype)

    def addressed(self, gradients: np.ndarray) -> np.ndarray:
        """The table of addresses with gradients at these: of stacks (tensors,), or each member's (count, tensors)."""
        self.address[:, 1] = (gradients + self.stride if gradients.ndim == 1 else gradients).reshape(-1)
        return self.address

    def ahead(self, points: np.ndarray) -> np.ndarray:
        """The same for copies of the weights, which a rule moves to where it wants its gradient."""
        address = self.address.copy()
        address[:, 0] = address[:, 1] = (points + self.stride if points.ndim == 1 else points).reshape(-1)
        return address

    def launch_lookahead(self, points: np.ndarray, active: np.ndarray, step: int) -> numba_cpu.Launch | None:
        """Move copies of the weights, given by their addresses, to where the formula wants its gradient."""
        if self.lookahead is None:
            return None
        self.scheduling.write(self.table, step)
        loss = np.full(len(self.table), np.nan)
        return self.prepared(
            self.lookahead, self.ahead(points), loss, self.per_row(active), step, self.row_states.copy()
        )

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
                state[rows] = old_state[before]
        rows, before = ((self.width * at[:, None] + np.arange(self.width)).reshape(-1) for at in (rows, before))
        self.row_states[rows] = other.row_states[before]
        self.scheduling.adopt(other.scheduling, dict(zip(before.tolist(), rows.tolist(), strict=True)))

    def saved(self) -> dict[str, Tensor]:
        """What belongs into a checkpoint beside states and schedules, by name."""
        return {}

    def load(self, saved: Mapping[str, Tensor]) -> None:
        """Take up what `saved` gave."""

    def rates(self) -> np.ndarray:
        """The learning rates of the step that was launched last, (members, width)."""
        return self.rates_of(self.table)

    def rates_of(self, tables: np.ndarray) -> np.ndarray:
        """The column of learning rates, (…, members, width), of tables (…, rows, hyperparameters)."""
        names = self.equations.hyperparameters
        if "lr" not in names:
            raise PlanError(
                f"{self.equations.name} has no hyperparameter lr, which decoupled decay goes by; add lr to it."
            )
        return tables[..., names.index("lr")].reshape(*tables.shape[:-2], self.count, self.width)

    def launch(self, gradients: np.ndarray, losses: np.ndarray, active: np.ndarray, step: int) -> numba_cpu.Launch:
        """The update by gradients, given by their addresses."""
        self.scheduling.write(self.table, step)
        address, training = self.addressed(gradients), self.per_row(active)
        return self.prepared(self.kernel, address, self.per_row(losses), training, step, self.row_states)

    def prepared(
        self,
        kernel: numba_cpu.Kernel,
        address: np.ndarray,
        loss: np.ndarray,
        active: np.ndarray,
        step: int,
        row_states: np.ndarray,
    ) -> numba_cpu.Launch:
        """A launch at this step, with the hyperparameters that stand in the table.

        Args:
            loss, active: (rows,).
        """
        t = np.full(len(self.table), float(step + 1))
        return kernel.launch(address, self.length, self.row, active, t, loss, self.table, row_states=row_states)
