"""The schedules of a block's members: which number of the table of hyperparameters is what at which step.

Members that share a schedule share its row of factors. Schedules that follow the loss have a state for each
member, which belongs into a checkpoint.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..schedules import Schedule
from .member import Member


class Scheduling:
    """Moves the hyperparameters of members that share one formula.

    Args:
        members: in the order of the table's rows.
        names: hyperparameters, in the order of its columns.
        base: (members, hyperparameters) values before any schedule.
        total: steps of the run.
    """

    def __init__(self, members: Sequence[Member], names: Sequence[str], base: np.ndarray, total: int) -> None:
        steps = np.arange(total)
        each: list[tuple[int, int, Any]] = [
            (row, names.index(name), one) for row, m in enumerate(members) for name, one in m.schedules.items()
        ]
        opened = [(row, column, one) for row, column, one in each if not one.closed]
        distinct: dict[Schedule, int] = {}
        self.kinds = np.array([distinct.setdefault(one, len(distinct)) for *_, one in opened], dtype=np.intp)
        self.factors = np.array([one.factor(steps, total) for one in distinct]).reshape(-1, total).T.copy()
        self.rows = np.array([row for row, _, _ in opened], dtype=np.intp)
        self.columns = np.array([column for _, column, _ in opened], dtype=np.intp)
        absolute = np.array([one.absolute for *_, one in opened], dtype=bool)
        self.scale = np.where(absolute, 1.0, base[self.rows, self.columns])
        self.loops = [
            (row, column, one, torch.from_numpy(one.start(base[row, column])))
            for row, column, one in each
            if one.closed
        ]

    def write(self, table: np.ndarray, step: int) -> None:
        """Put the values of this step into the table."""
        table[:] = self.over(table, range(step, step + 1))[0]

    def over(self, table: np.ndarray, steps: range) -> np.ndarray:
        """The table at each of these steps, (steps, *table.shape); none of them lies behind the end of a pass."""
        each = np.repeat(table[None], len(steps), axis=0)
        if len(self.rows):
            each[:, self.rows, self.columns] = self.scale * self.factors[steps.start : steps.stop, self.kinds]
        for row, column, _, state in self.loops:
            each[:, row, column] = state[0]
        return each

    def observe(self, losses: np.ndarray) -> None:
        """Tell the schedules that follow the loss what it is, (members,), after a pass over the data."""
        for row, _, one, state in self.loops:
            state.copy_(torch.from_numpy(one.observe(state.numpy(), losses[row])))

    def adopt(self, other: Scheduling, rows: Mapping[int, int]) -> None:
        """What the schedules of members at other rows (row there → row here) remember."""
        states = {(row, column): state for row, column, _, state in self.loops}
        for row, column, _, state in other.loops:
            if row in rows:
                states[rows[row], column].copy_(state)

    def tensors(self) -> Mapping[str, Tensor]:
        """What the schedules remember, by name."""
        return {f"schedule.{k}": state for k, (*_, state) in enumerate(self.loops)}
