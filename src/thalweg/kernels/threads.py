"""Compiled loops shared among threads: the very threads that torch computes with.

Two pools on the same cores are in each other's way: after each of its operations torch's threads wait
busily for the next, and other threads on their cores meanwhile run at half speed. So a launch is handed
to torch's own OpenMP runtime, found among the libraries torch is linked to; that also starts in microseconds.
Where torch has another runtime, and in a forked child, which OpenMP does not survive, a pool of Python
threads does the same work with the interpreter lock released.
"""

from __future__ import annotations

import ctypes
import functools
import itertools
import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import llvmlite.binding as llvm
import numpy as np
import torch

from .generated import module

_GRAIN = 16_384  # weights; below this a second thread costs more than it saves
_forked = False


@dataclass(frozen=True)
class Rows:
    """What a launch computes first, once for each row: a compiled ``f(job, 0, rows)``."""

    function: int
    job: np.ndarray
    count: int


@dataclass(frozen=True, eq=False)
class Launch:
    """A compiled loop over segments, where its arguments lie, and the lengths of the segments.

    Attributes:
        function: address of a compiled ``f(job, start, stop)``.
        job: (arguments,) int64, the addresses of its arrays.
        length: (segments,) int64.
        arrays: kept from being freed.
        rows: what comes before.
        t: the step that each row is at, of a step by a formula.
    """

    function: int
    job: np.ndarray
    length: np.ndarray
    arrays: tuple[np.ndarray, ...]
    rows: Rows | None = None
    t: np.ndarray | None = None

    def scale(self, factor: float | torch.Tensor) -> float:
        """The factor, for the table that the loop reads."""
        return float(factor)

    def settle(self) -> None:
        """The loop reads its arrays where they are."""


def addresses(*arrays: np.ndarray) -> np.ndarray:
    """Where the arrays lie, as compiled loops read it."""
    assert all(a.flags.c_contiguous and a.itemsize in (1, 8) for a in arrays)
    return np.array([a.ctypes.data for a in arrays], dtype=np.int64)


def run(launches: Sequence[Launch], threads: int) -> None:
    """Carry the launches out, their segments shared among `threads` in runs of about equal length."""
    Round(launches, threads).run()


class Round:
    """Launches, divided among threads, to be carried out again and again."""

    def __init__(self, launches: Sequence[Launch], threads: int) -> None:
        self.launches = tuple(launches)
        total = sum(int(launch.length.sum()) for launch in launches)
        self.threads = max(1, min(threads, total // _GRAIN))
        rows = [[r.function, r.job.ctypes.data, 0, r.count] for launch in launches if (r := launch.rows)]
        items, edges = _shares(launches, total, self.threads)
        self.edges = edges = [len(rows) + e for e in edges]
        self.table = np.array([*rows, *items], dtype=np.int64).reshape(-1, 4)
        self.bounds = np.array(edges, dtype=np.int64)
        self.at = self.table.ctypes.data
        self.work = np.array([self.at, self.bounds.ctypes.data, self.threads], dtype=np.int64)
        self.work_at = self.work.ctypes.data

    def run(self) -> None:
        carry_out = _carry_out()
        if self.threads == 1:
            carry_out(self.at, 0, self.edges[-1])
            return
        carry_out(self.at, 0, self.edges[0])
        openmp = None if _forked else _openmp()
        if openmp is not None:
            openmp(self.work_at, self.threads)
            return
        parts = list(itertools.pairwise(self.edges))
        jobs = [_pool(self.threads).submit(carry_out, self.at, *part) for part in parts[1:]]
        carry_out(self.at, *parts[0])
        for job in jobs:
            job.result()


def _shares(launches: Sequence[Launch], total: int, threads: int) -> tuple[list[list[int]], list[int]]:
    """(function, job, start, stop) for every run of segments, and where each thread's begin."""
    if threads == 1:
        items = [[launch.function, launch.job.ctypes.data, 0, len(launch.length)] for launch in launches]
        return items, [0, len(items)]
    shares: list[list[list[int]]] = [[] for _ in range(threads)]
    before = 0
    for launch in launches:
        ends = before + np.cumsum(launch.length)
        before = int(ends[-1]) if len(ends) else before
        cuts = np.searchsorted(ends, total * np.arange(1, threads) / threads)
        bounds = [0, *cuts.tolist(), len(launch.length)]
        for share, start, stop in zip(shares, bounds, bounds[1:], strict=False):
            if stop > start:
                share.append([launch.function, launch.job.ctypes.data, start, stop])
    edges = np.cumsum([0, *map(len, shares)]).tolist()
    return [item for share in shares for item in share], edges


_SOURCE = """
from numba import cfunc as _cfunc, njit as _njit
from thalweg.kernels.memory import call as _call, load_int64 as _load
{imports}

@_njit(inline="always")
def _do(_items, _i):
    _call(_load(_items, 4*_i, 99), _load(_items, 4*_i + 1, 99),
          _load(_items, 4*_i + 2, 99), _load(_items, 4*_i + 3, 99))

@_cfunc("void(int64, int64, int64)", nopython=True, cache=True)
def carry_out(_items, _start, _stop):
    for _i in range(_start, _stop):
        _do(_items, _i)
{more}
"""
# A team may be smaller than was asked for: then its threads take more than one share.
_SHARE = """
@_cfunc("void(int64)", nopython=True, cache=True)
def share(_work):
    _items, _edges, _shares = _load(_work, 0, 99), _load(_work, 1, 99), _load(_work, 2, 99)
    for _k in range(_number(), _shares, _team()):
        for _i in range(_load(_edges, _k, 99), _load(_edges, _k + 1, 99)):
            _do(_items, _i)
"""
_TEAM_IMPORTS = """from numba.core.types import ExternalFunction as _External, int32 as _int32
_number = _External("thalweg_thread_number", _int32())
_team = _External("thalweg_team_size", _int32())
"""


@functools.cache
def _carry_out() -> Callable[[int, int, int], None]:
    address = module(_SOURCE.format(imports="", more=""), "threads").carry_out.address
    return ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 3)(address)


@functools.cache
def _openmp() -> Callable[[int, int], None] | None:
    """Run `share` on a team of torch's threads; None where torch has no OpenMP runtime of GNU's interface."""
    name = {"darwin": "libtorch_cpu.dylib", "win32": "torch_cpu.dll"}.get(sys.platform, "libtorch_cpu.so")
    try:  # what a library is linked to is searched too, so this is torch's own runtime, whichever it is
        torch_cpu = ctypes.CDLL(str(Path(torch.__file__).parent / "lib" / name))
        names = ("GOMP_parallel", "omp_get_thread_num", "omp_get_num_threads")
        begin, number, team = (getattr(torch_cpu, name) for name in names)
    except (OSError, AttributeError):
        return None
    for symbol, function in (("thalweg_thread_number", number), ("thalweg_team_size", team)):
        llvm.add_symbol(symbol, ctypes.cast(function, ctypes.c_void_p).value)
    address = module(_SOURCE.format(imports=_TEAM_IMPORTS, more=_SHARE), "team").share.address
    begin.argtypes, begin.restype = (ctypes.c_void_p, ctypes.c_int64, ctypes.c_uint, ctypes.c_uint), None
    return lambda work, threads: begin(address, work, threads, 0)


@functools.cache
def _pool(workers: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(workers, thread_name_prefix="thalweg-kernel")


def _in_the_child() -> None:
    global _forked
    _forked = True
    _pool.cache_clear()  # threads do not survive a fork: let the child make its own


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_the_child)
