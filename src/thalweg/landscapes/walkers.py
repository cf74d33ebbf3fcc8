"""Points that go down a surface by one formula, through the kernels that train networks.

To a kernel a point is a weight tensor: a segment of memory that belongs to a row of hyperparameters. Points that
start elsewhere and are otherwise alike share a row; a rule that reads the loss, and a schedule that follows it,
need one for each. A segment holds one point, so that a path has the bits it would have alone, or many, for speed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.func import vmap

from ..errors import SurfaceError
from ..formulas import Formula, shapes
from ..formulas.equations import WEIGHT_ITSELF, Equations
from ..kernels import numba_cpu
from ..kernels.lower import lower
from ..kernels.staged import TensorUpdate, advance
from ..kernels.threads import Launch
from ..kernels.torch_ref import scalar_function
from ..population.member import Member
from ..population.scheduling import Scheduling
from ..schedules import Schedule
from .surface import Surface


def needs_rows(formula: Formula, schedule: Schedule) -> bool:
    """Whether what is the same for all coordinates of a point differs between points."""
    return lower(formula.equations).uses_loss or schedule.closed


class Walkers:
    """Points of one formula with their states.

    Args:
        formula: what moves them.
        rows: how many rows of hyperparameters there are.
        levels: hyperparameter → (rows,) values; the others have their defaults.
        points: (walkers, dimensions) float64, moved in place; those of a row side by side, and of every row equally
            many, the last apart.
        schedule: of the hyperparameters.
        steps: of the whole walk, which the schedule goes by.
        segment: points in one segment.

    Attributes:
        states: for each state that is not a number known before the step, (walkers, …).
        scalars: (rows, states that are one number), see `numba_cpu.Kernel`.
        table: (rows, hyperparameters) of the step taken last.
    """

    def __init__(
        self,
        formula: Formula,
        rows: int,
        levels: Mapping[str, np.ndarray],
        points: np.ndarray,
        schedule: Schedule,
        steps: int,
        segment: int = 1,
    ) -> None:
        formula = formula.of_shape(points.shape[1:])
        if formula.equations.sampled:
            raise SurfaceError(
                "{rule} estimates curvature on targets that are drawn from a model's outputs, and a surface has "
                "none; take another rule, such as adamw.",
                rule=formula.label,
            )
        equations, program = formula.equations, lower(formula.equations)
        self.formula, self.points, self.count, self.names = formula, points, rows, equations.hyperparameters
        # which row a point belongs to
        self.row_of = np.arange(len(points)) // (segment if segment > 1 else len(points) // rows)
        values = {name: np.full(rows, default) for name, default in formula.hyperparameters.items()} | dict(levels)
        self.base = np.array([values[name] for name in self.names]).reshape(-1, rows).T.copy()
        self.table = self.base.copy()
        self.member = Member(formula, schedules=schedule.on(self.names))
        self.scheduling = Scheduling([self.member] * rows, self.names, self.base, steps)
        first = {
            name: values[value] if value in values else np.full(rows, float(value))
            for name, value in equations.initial
            if value != WEIGHT_ITSELF
        }
        self.states = {name: self._begun(name, first) for name, _ in program.states}
        self.scalar_names = [name for name, _ in program.row_states]
        self.scalars = np.array([first[n] for n in self.scalar_names], dtype=np.float64).reshape(-1, rows).T.copy()
        self.active = np.ones(rows, dtype=np.bool_)
        self.first = np.arange(0, len(points), segment)
        self.row = self.row_of[self.first]
        self.length = np.diff(self.first, append=len(points)) * points.shape[1]
        self.kernel = numba_cpu.compiled(equations, torch.float64) if equations.races else None
        self.lookahead_kernel = equations.lookahead and numba_cpu.compiled(equations.lookahead, torch.float64)

    def _begun(self, name: str, first: Mapping[str, np.ndarray]) -> np.ndarray:
        """A state before the first step, (walkers, *extent)."""
        if name not in first:
            return self.points.copy()
        equations, dimensions = self.formula.equations, self.points.shape[1]
        extent = shapes.extent(equations.shape(name), (dimensions,), equations.batched)
        values = first[name][self.row_of].reshape(-1, *[1] * len(extent))
        return np.broadcast_to(values, (len(self.points), *extent)).copy()

    def launch(
        self, kernel: numba_cpu.Kernel, points: np.ndarray, gradients: np.ndarray, losses: np.ndarray, t: np.ndarray
    ) -> Launch:
        """Move points by gradients (walkers, dimensions), losses and numbers of the step (rows,).

        The lookahead's kernel takes no gradients: given the points twice, it moves them to where the gradient is taken.
        """
        offset = self.first * points.shape[1] * points.itemsize
        streams = [s.ctypes.data for s in (points, gradients, *self.states.values())]
        addresses = np.array(streams, dtype=np.int64) + offset[:, None]
        rows = (self.length, self.row, self.active, t, losses, self.table)
        return kernel.launch(addresses, *rows, row_states=self.scalars)

    def lookahead(self, step: int) -> np.ndarray:
        """Where the gradients of this step (counted from 0) are taken; the points themselves for most rules."""
        if not self.lookahead_kernel:
            return self.points
        self.scheduling.write(self.table, step)
        points, losses, t = self.points.copy(), np.full(self.count, np.nan), np.full(self.count, step + 1.0)
        numba_cpu.run([self.launch(self.lookahead_kernel, points, points, losses, t)], torch.get_num_threads())
        return points

    def second(self, points: np.ndarray, gradients: np.ndarray, step: int) -> np.ndarray:
        """Where second gradients are taken, on from points with these first ones; the points for most rules."""
        if (second := self.formula.equations.second) is None:
            return points
        self.scheduling.write(self.table, step)
        passed, _ = scalar_function(second)(np.full(self.count, step + 1.0), np.nan, *self.table.T)
        return self._moved(second, passed, [points], gradients)[0]

    def step(self, gradients: np.ndarray, losses: np.ndarray, step: int) -> None:
        """Move all points by the gradients (walkers, dimensions) that were taken at `lookahead`, or at `second`."""
        self.scheduling.write(self.table, step)
        per_row = losses.copy() if self.count == len(losses) else np.full(self.count, np.nan)
        t = np.full(self.count, step + 1.0)
        if self.kernel is None:
            self._as_tensors(gradients, per_row, t)
        else:
            numba_cpu.run([self.launch(self.kernel, self.points, gradients, per_row, t)], torch.get_num_threads())
        if self.scheduling.loops:
            self.scheduling.observe(per_row)

    def _as_tensors(self, gradients: np.ndarray, losses: np.ndarray, t: np.ndarray) -> None:
        """A step by a rule that looks at all coordinates of a point, which is to it a model of one vector."""
        equations = self.formula.equations
        with np.errstate(all="ignore"):  # 1/0 is inf here as in every kernel
            passed, advanced = scalar_function(equations)(t, losses, *self.table.T, *self.scalars.T.copy())
        self.scalars[:] = np.array(advanced).reshape(-1, self.count).T
        kept = [self.points, *self.states.values()]
        for old, new in zip(kept, self._moved(equations, passed, kept, gradients), strict=True):
            old[:] = new

    def _moved(
        self, equations: Equations, passed: Sequence[Any], kept: Sequence[np.ndarray], gradients: np.ndarray
    ) -> list[np.ndarray]:
        """Points and states after equations have moved them.

        Args:
            passed: the numbers that the equations need, one or (rows,) each.
        """
        program, wide = lower(equations), [np.broadcast_to(p, self.count) for p in passed]
        held = {k: float(p[0]) for k, p in enumerate(wide) if program.passed[k] in program.guards}
        numbers = [torch.from_numpy(p[self.row_of]) for k, p in enumerate(wide) if k not in held]

        def one(w: Tensor, g: Tensor, *more: Tensor) -> tuple[Tensor, ...]:
            states, rest = more[: len(kept) - 1], iter(more[len(kept) - 1 :])
            given = [held[k] if k in held else next(rest) for k in range(len(wide))]
            ((new, after),) = advance([TensorUpdate(equations, w, g, states, given)])
            return (new, *after)

        arrays = map(torch.from_numpy, (kept[0], np.ascontiguousarray(gradients), *kept[1:]))
        return [new.numpy() for new in vmap(one)(*arrays, *numbers)]

    def walk(self, surface: Surface, step: int) -> None:
        """Take this step (counted from 0) on a surface."""
        losses, gradients = surface.evaluate(ahead := self.lookahead(step))
        if self.formula.equations.second is not None:
            gradients = surface.gradient(self.second(ahead, gradients, step))
        if self.lookahead_kernel and self.reads_loss:
            losses = surface(self.points)
        self.step(gradients, losses, step)

    @property
    def reads_loss(self) -> bool:
        return lower(self.formula.equations).uses_loss

    def scheduled(self, steps: int) -> np.ndarray | None:
        """The table's rows at every step, (steps, hyperparameters), where all rows are alike and change."""
        if not len(self.scheduling.rows):
            return None
        one = Scheduling([self.member], self.names, self.base[:1], steps)
        table = np.repeat(self.base[None, :1], steps, axis=0)
        for k in range(steps):
            one.write(table[k], k)
        return table

    @property
    def shown_states(self) -> list[str]:
        """The states that have a value for every coordinate, or one for all."""
        sizes = {name: v[0].size for name, v in self.states.items()}
        return [name for name in self.formula.states if sizes.get(name, 1) in (1, self.points.shape[1])]

    def states_by_name(self) -> dict[str, np.ndarray]:
        """Each state by name, (walkers, dimensions); what is one number is given for every coordinate."""
        wide = {name: v[self.row_of, None] for name, v in zip(self.scalar_names, self.scalars.T, strict=True)}
        every = {name: v.reshape(len(v), -1) for name, v in self.states.items()} | wide
        return {name: np.broadcast_to(every[name], self.points.shape) for name in self.shown_states}
