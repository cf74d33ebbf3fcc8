"""A formula compiled for the CPU: the whole update in one pass over memory, through Numba.

The kernel works on *segments*: contiguous runs of weights, given by their addresses, each belonging to
one row of a table of hyperparameters. A tensor of a single model is a segment and its parameter group a
row; in a population every member is a row, and each of its tensors a segment. So one compiled function
serves a user's own optimizer, hundreds of parameter groups, and a population with a different rate for
every member, and a scheduled hyperparameter is a number in a table, never a recompilation.

Three things make it run at the speed of memory: the scalars of a row are computed once, in float64;
loads and stores carry alias scopes, so that LLVM vectorises the loop without run-time overlap checks;
and the segments are divided over threads with the interpreter lock released.

What surrounds an update in a training loop (`Whole`: a factor on the gradient, a bound on it, an average of
the weights, the zeroing of gradients) is generated into the same loop, so that it costs no further pass.

The source is written to the cache folder (`THALWEG_CACHE`, else the user's cache) so that Numba's own
on-disk cache makes the next process start at once.
"""

from __future__ import annotations

import atexit
import functools
import hashlib
import importlib.util
import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import torch

from ..formulas.base import Equations, Formula
from . import memory
from .lower import Printer, lower

DTYPES = {torch.float32: "float32", torch.float64: "float64"}
_GRAIN = 16_384  # weights; below this a second thread costs more than it saves
_lock = threading.Lock()


class _ScalarPrinter(Printer):
    """Float64, inside the compiled function."""

    def call(self, function: str, *arguments: str) -> str:
        return f"_{function}({', '.join(arguments)})"


class _ElementPrinter(_ScalarPrinter):
    """In the weights' dtype: every number is converted once, outside the loop."""

    def __init__(self) -> None:
        super().__init__()
        self.constants: dict[float, str] = {}

    def number(self, value: float) -> str:
        return self.constants.setdefault(value, f"_k{len(self.constants)}")


_HEADER = """
from math import cos as _cos, exp as _exp, log as _log, sin as _sin, sqrt as _sqrt, tanh as _tanh
from numpy import {dtype} as _dtype, floor as _floor
from numba import njit as _njit
from thalweg.kernels.memory import load_{dtype} as _load, store_{dtype} as _store
from thalweg.kernels.memory import logical_not as _logical_not, maximum as _maximum
from thalweg.kernels.memory import minimum as _minimum, sign as _sign
_abs = abs
_jit = _njit(nogil=True, cache=True, error_model="numpy", fastmath=set({fastmath!r}), boundscheck=False)
"""


@dataclass(frozen=True)
class Whole:
    """What a kernel does in the same loop, beside the update.

    Attributes:
        factor: multiply the gradient by a number: −1 to go up, 1 / loss scale, the norm's clipping.
        bound: keep the gradient's elements within ± a number, after the factor.
        average: keep a moving average of the weights, a ← a + share·(w − a), behind the states.
        zero: leave zeros in the gradient.
    """

    factor: bool = False
    bound: bool = False
    average: bool = False
    zero: bool = False

    @property
    def numbers(self) -> tuple[str, ...]:
        """The numbers a row needs for it, in the order of `Kernel.launch`'s `whole`."""
        wanted = {"_factor": self.factor, "_bound": self.bound, "_share": self.average}
        return tuple(name for name, on in wanted.items() if on)

    def before(self) -> list[str]:
        """What is done to the gradient."""
        lines = ["g = g*_factor"] if self.factor else []
        return [*lines, "g = _minimum(_maximum(g, -_bound), _bound)"] if self.bound else lines

    def after(self, zero: str, scope: int) -> list[str]:
        """What is done with the new weight and the gradient that was used."""
        lines = []
        if self.average:
            lines = [
                f"_a = _load(_at__a, _i, {scope})",
                f"_store(_at__a, _i, {scope}, _a + _share*(_w - _a))",
            ]
        return [*lines, f"_store(_at_g, _i, 1, {zero})"] if self.zero else lines


UPDATE_ONLY = Whole()


def source(equations: Equations, dtype: str, whole: Whole = UPDATE_ONLY) -> str:
    """The kernel's Python source, for Numba; only the formula's own names start without an underscore."""
    program = lower(equations)
    scalar, element = _ScalarPrinter(), _ElementPrinter()
    loaded = ("w", "g", *equations.state_names)
    streams = (*loaded, "_a") if whole.average else loaded
    body = [f"{name} = _load(_at_{name}, _i, {k})" for k, name in enumerate(loaded)]
    body += whole.before()
    body += [f"{name} = {element.doprint(value)}" for name, value in program.shared]
    body += [f"_w = w + ({element.doprint(program.step)})", "_store(_at_w, _i, 0, _w)"]
    body += [f"_store(_at_{name}, _i, {2 + k}, {new})" for k, (name, new) in enumerate(program.states)]
    body += whole.after(element.number(0.0) if whole.zero else "", len(loaded))
    passed = (*map(str, program.passed), *whole.numbers)
    text = [
        f'"""{equations.name}, {dtype}: generated from its formula."""',
        _HEADER.format(dtype=dtype, fastmath=FASTMATH),
        "@_jit",
        "def rows(_t, _loss, _table, _scalars):",
        "    for _r in range(_table.shape[0]):",
        "        t = _t[_r]",
        "        loss = _loss[_r]",
        *(f"        {name} = _table[_r, {k}]" for k, name in enumerate(equations.hyperparameters)),
        *(f"        {name} = {scalar.doprint(value)}" for name, value in program.scalars),
        *(f"        _scalars[_r, {k}] = {name}" for k, name in enumerate(program.passed)),
        "",
        "@_jit",
        "def segments(_address, _length, _row, _active, _scalars, _start, _stop):",
        *(f"    {name} = _dtype({value!r})" for value, name in element.constants.items()),
        "    for _n in range(_start, _stop):",
        "        _r = _row[_n]",
        "        if not _active[_r]:",
        "            continue",
        *(f"        _at_{name} = _address[_n, {k}]" for k, name in enumerate(streams)),
        *(f"        {name} = _dtype(_scalars[_r, {k}])" for k, name in enumerate(passed)),
        "        for _i in range(_length[_n]):",
        *(f"            {line}" for line in body),
        "",
    ]
    return "\n".join(text)


# nnan and ninf are left out on purpose: a NaN must stay a NaN. So is arcp: it turns 1/sqrt into an estimate
# that fails at 0 and at denormal numbers.
FASTMATH = ("contract", "nsz")


@dataclass(frozen=True)
class Kernel:
    """A formula compiled for one dtype.

    `launch` prepares a step over a table of segments, `run` carries launches out.
    """

    equations: Equations
    rows: Callable[..., None]
    segments: Callable[..., None]
    passed: int  # scalars that the loop needs of a row, the whole step's numbers aside

    def launch(
        self,
        address: np.ndarray,
        length: np.ndarray,
        row: np.ndarray,
        active: np.ndarray,
        t: np.ndarray,
        loss: np.ndarray,
        table: np.ndarray,
        whole: np.ndarray | None = None,
    ) -> Launch:
        """One step for every segment whose row is active; hand it to `run`.

        Args:
            address: (segments, 2 + states) int64; weight, gradient and states of each segment, and behind
                them the average of the weights where the kernel keeps one.
            length: (segments,) int64, in elements.
            row: (segments,) int64, the row of `table` the segment belongs to.
            active: (rows,) bool; the segments of other rows are not touched.
            t, loss: (rows,) float64.
            table: (rows, hyperparameters) float64, in the order of `equations.hyperparameters`.
            whole: (rows, numbers) float64, in the order of `Whole.numbers`.
        """
        numbers = 0 if whole is None else whole.shape[1]
        scalars = np.empty((len(table), max(1, self.passed + numbers)))
        self.rows(t, loss, table, scalars)
        if whole is not None:
            scalars[:, self.passed : self.passed + numbers] = whole
        return Launch(self.segments, (address, length, row, active, scalars), length)


@dataclass(frozen=True)
class Launch:
    """A compiled loop, its arguments, and the lengths of the segments it goes over."""

    segments: Callable[..., None]
    arguments: tuple[np.ndarray, ...]
    length: np.ndarray


def run(launches: Sequence[Launch], threads: int) -> None:
    """Carry the launches out, their segments shared among `threads` in runs of about equal length."""
    total = sum(int(launch.length.sum()) for launch in launches)
    threads = max(1, min(threads, total // _GRAIN))
    shares: list[list[tuple[Launch, int, int]]] = [[] for _ in range(threads)]
    before = 0
    for launch in launches:
        ends = before + np.cumsum(launch.length)
        before = int(ends[-1]) if len(ends) else before
        cuts = np.searchsorted(ends, total * np.arange(1, threads) / threads)
        edges = [0, *cuts.tolist(), len(launch.length)]
        for share, start, stop in zip(shares, edges, edges[1:], strict=False):
            if stop > start:
                share.append((launch, start, stop))
    jobs = [_pool(threads).submit(_carry_out, share) for share in shares[1:] if share]
    _carry_out(shares[0])
    for job in jobs:
        job.result()


def _carry_out(share: Sequence[tuple[Launch, int, int]]) -> None:
    for launch, start, stop in share:
        launch.segments(*launch.arguments, start, stop)


def compiled(equations: Equations, dtype: torch.dtype, whole: Whole = UPDATE_ONLY) -> Kernel:
    """The kernel of these equations, from the on-disk cache where it has been compiled before."""
    return _compiled(equations, dtype, whole)


@functools.cache
def _compiled(equations: Equations, dtype: torch.dtype, whole: Whole) -> Kernel:
    if dtype not in DTYPES:
        raise TypeError(f"the CPU kernel has {', '.join(DTYPES.values())}, not {dtype}; convert the weights.")
    with _lock:
        module = _module(source(equations, DTYPES[dtype], whole), equations.name)
    return Kernel(equations, module.rows, module.segments, len(lower(equations).passed))


_SQUARES = """
@_njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract", "nsz", "reassoc"}, boundscheck=False)
def squares(_address, _length, _sums, _start, _stop):
    for _n in range(_start, _stop):
        _at_g = _address[_n, 1]
        _sum = 0.0
        for _i in range(_length[_n]):
            _g = _wide(_load(_at_g, _i, 1))
            _sum += _g*_g
        _sums[_n] = _sum
"""


@functools.cache
def _squares(dtype: torch.dtype) -> Callable[..., None]:
    header = _HEADER.format(dtype=DTYPES[dtype], fastmath=FASTMATH)
    with _lock:
        text = header + "from numpy import float64 as _wide\n" + _SQUARES
        return _module(text, "squares").squares


def squares(dtype: torch.dtype, address: np.ndarray, length: np.ndarray) -> tuple[Launch, np.ndarray]:
    """A launch that reads the gradients once, and where it leaves Σg² of each segment, in float64.

    What it leaves does not depend on the number of threads.
    """
    sums = np.zeros(len(length))
    return Launch(_squares(dtype), (address, length, sums), length), sums


def _module(text: str, name: str) -> ModuleType:
    """Import generated source from the cache folder, writing it there first if it is new."""
    compiled_in = Path(memory.__file__).read_bytes()  # Numba's cache would not see that it changed
    parts = (text.encode(), np.__version__.encode(), compiled_in)
    key = hashlib.sha256(b"".join(parts)).hexdigest()[:16]
    unique = f"thalweg_kernel_{name}_{key}" if name.isidentifier() else f"thalweg_kernel_{key}"
    path = cache_folder() / f"{unique}.py"
    if not path.exists():
        handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(temporary, path)
    spec = importlib.util.spec_from_file_location(unique, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[unique] = module
    spec.loader.exec_module(module)
    return module


@functools.lru_cache(maxsize=1)
def cache_folder() -> Path:
    """Where generated kernels live: THALWEG_CACHE, else the user's cache, else a temporary folder."""
    choices = [os.environ.get("THALWEG_CACHE"), os.environ.get("XDG_CACHE_HOME"), "~/.cache"]
    for base in filter(None, choices):
        folder = Path(base).expanduser() / "thalweg" / "kernels"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                return folder
        except OSError:
            continue
    last = Path(tempfile.mkdtemp(prefix="thalweg-kernels-"))
    atexit.register(shutil.rmtree, last, ignore_errors=True)
    return last


@functools.cache
def _pool(workers: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(workers, thread_name_prefix="thalweg-kernel")


if hasattr(os, "register_at_fork"):  # threads do not survive a fork: let the child make its own
    os.register_at_fork(after_in_child=_pool.cache_clear)


def segment_table(
    weights: Sequence[torch.Tensor],
    gradients: Sequence[torch.Tensor],
    states: Sequence[Sequence[torch.Tensor]],
) -> tuple[np.ndarray, np.ndarray]:
    """Addresses and lengths of whole tensors, one segment each.

    Args:
        weights, gradients: contiguous tensors of one dtype.
        states: for each tensor, its states.
    """
    address = np.array(
        [[w.data_ptr(), g.data_ptr(), *(s.data_ptr() for s in row)]
         for w, g, row in zip(weights, gradients, states, strict=True)],
        dtype=np.int64,
    )  # fmt: skip
    return address, np.array([w.numel() for w in weights], dtype=np.int64)


def update(
    formula: Formula,
    w: torch.Tensor,
    g: torch.Tensor,
    states: Sequence[torch.Tensor],
    t: int,
    hyperparameters: dict[str, float] | None = None,
    loss: float = float("nan"),
) -> None:
    """One step of the formula on one tensor, in place; the same arguments as `torch_ref.update`."""
    values = {**formula.hyperparameters, **(hyperparameters or {})}
    address, length = segment_table([w], [g.contiguous()], [list(states)])
    table = np.array([[values[name] for name in formula.equations.hyperparameters]])
    one = np.zeros(1, dtype=np.int64)
    launch = compiled(formula.equations, w.dtype).launch(
        address, length, one, np.ones(1, dtype=np.bool_), np.array([float(t)]), np.array([loss]), table
    )
    run([launch], threads=1)
