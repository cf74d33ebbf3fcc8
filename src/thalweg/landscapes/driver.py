"""Many steps without coming back to Python: chunks of points that stay in cache from their start to their end.

A chunk takes all its steps before the next begins, so that what it touches is read from memory once. Nothing of a rule
or a surface is in here: for every step the loop calls the surface's compiled gradient and then the very kernel that
trains networks, by their addresses.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import torch

from ..kernels import numba_cpu
from ..kernels.generated import module
from ..kernels.threads import Launch, addresses
from . import compiled
from .surface import Surface
from .walkers import Walkers

CHUNK = 1024  # points; two variables and four states take 100 kB, which is a part of the second cache
_FIELDS = (
    "ahead_rows ahead_rows_job ahead ahead_job slopes slopes_job losses losses_job rows rows_job step step_job steps t "
    "table columns values chunk walkers shared points lookahead dimensions targets reach outside"
)
_SOURCE = """
from numba import cfunc as _cfunc
from thalweg.kernels.memory import call, load_float64, load_int64, store_float64, store_int64

@_cfunc("void(int64, int64, int64)", nopython=True, cache=True, error_model="numpy", boundscheck=False)
def drive(job, start, stop):
{fields}
    for c in range(start, stop):
        first, last = chunk*c, min(chunk*c + chunk, walkers)
        r, s = (c, c + 1) if shared else (first, last)
        for k in range(steps):
            for i in range(r, s):
                store_float64(t, i, 99, k + 1.0)
            if values:
                for i in range(r, s):
                    for h in range(columns):
                        store_float64(table, columns*i + h, 99, load_float64(values, columns*k + h, 99))
            if losses:
                call(losses, losses_job, first, last)
            if ahead:
                for i in range(dimensions*first, dimensions*last):
                    store_float64(lookahead, i, 99, load_float64(points, i, 99))
                call(ahead_rows, ahead_rows_job, r, s)
                call(ahead, ahead_job, r, s)
            if ahead or not losses:
                call(slopes, slopes_job, first, last)
            call(rows, rows_job, r, s)
            call(step, step_job, r, s)
            if targets:
                radius = load_float64(reach, 0, 99)
                for i in range(first, last):
                    away = 0.0
                    for d in range(dimensions*i, dimensions*i + dimensions):
                        gap = load_float64(points, d, 99) - load_float64(targets, d, 99)
                        away += gap*gap
                    if not away <= radius*radius:
                        store_int64(outside, i, 99, k + 1)
"""


@functools.cache
def _drive() -> Any:
    fields = "\n".join(f"    {name} = load_int64(job, {k}, 99)" for k, name in enumerate(_FIELDS.split()))
    return module(_SOURCE.format(fields=fields), "drive").drive


def advance(
    surface: Surface, walkers: Walkers, steps: int, shared: bool, targets: np.ndarray | None = None, radius: float = 0.0
) -> np.ndarray:
    """Take all points `steps` steps further, from step 0 of the walk; only where they end is kept.

    Args:
        shared: each chunk is one segment and has one row; else each point has its own.
        targets: (walkers, dimensions); given with a radius, the last step at which each point was further away than
            that from its target is returned (walkers,), 0 if it was so at the start only, −1 if never.
    """
    points = walkers.points
    outside = np.full(len(points), -1, dtype=np.int64)

    def stamp(step: int) -> None:
        if targets is not None:
            outside[~(((points - targets) ** 2).sum(axis=1) <= radius**2)] = step

    stamp(0)
    if not surface.is_compiled or walkers.kernel is None:
        for k in range(steps):
            walkers.walk(surface, k)
            stamp(k + 1)
        return outside
    gradients, losses = np.empty_like(points), np.full(len(points), np.nan)
    t = np.ones(walkers.count)
    lookahead = np.empty_like(points) if walkers.lookahead_kernel else points
    unread = np.full(walkers.count, np.nan)
    step = walkers.launch(walkers.kernel, points, gradients, unread if shared else losses, t)
    ahead = walkers.lookahead_kernel and walkers.launch(walkers.lookahead_kernel, lookahead, lookahead, unread, t)
    kernels = compiled.compiled(surface.expression, surface.symbols)
    at_lookahead, at_points = addresses(lookahead, gradients, losses), addresses(points, gradients, losses)
    assert step.rows
    fields: dict[str, Any] = {"slopes": kernels.gradients.address, "slopes_job": at_lookahead, "steps": steps, "t": t}
    fields |= {"rows": step.rows.function, "rows_job": step.rows.job, "step": step.function, "step_job": step.job}
    fields |= {"table": walkers.table, "columns": walkers.table.shape[1], "chunk": CHUNK, "walkers": len(points)}
    fields |= {"shared": shared, "points": points, "lookahead": lookahead, "dimensions": points.shape[1]}
    fields |= {"values": walkers.scheduled(steps), "targets": targets, "reach": np.array([radius]), "outside": outside}
    if walkers.reads_loss:
        fields |= {"losses": kernels.both.address, "losses_job": at_points}
    if ahead and ahead.rows:
        fields |= {"ahead_rows": ahead.rows.function, "ahead_rows_job": ahead.rows.job}
        fields |= {"ahead": ahead.function, "ahead_job": ahead.job}
    values = [fields.get(name) for name in _FIELDS.split()]
    job = np.array([v.ctypes.data if isinstance(v, np.ndarray) else v or 0 for v in values], dtype=np.int64)
    sizes = np.diff(np.arange(0, len(points), CHUNK), append=len(points)) * steps
    arrays = (gradients, losses, *(v for v in values if isinstance(v, np.ndarray)))
    numba_cpu.run([Launch(_drive().address, job, sizes, arrays)], torch.get_num_threads())
    return outside
