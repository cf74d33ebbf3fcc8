"""A formula compiled for the CPU: the whole update in one pass over memory, through Numba.

The kernel works on *segments*: contiguous runs of weights, given by their addresses, each belonging to
one row of a table of hyperparameters. A tensor of a single model is a segment and its parameter group a
row; in a population every member is a row, and each of its tensors a segment. So one compiled function
serves a user's own optimizer, hundreds of parameter groups, and a population with a different rate for
every member, and a scheduled hyperparameter is a number in a table, never a recompilation.

Three things make it run at the speed of memory: the scalars of a row are computed once, in float64;
loads and stores carry alias scopes, so that LLVM vectorises the loop without run-time overlap checks;
and the segments are divided over threads with the interpreter lock released.

The source is written to the cache folder (`THALWEG_CACHE`, else the user's cache) so that Numba's own
on-disk cache makes the next process start at once.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import os
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
from .lower import Printer, lower

DTYPES = {torch.float32: "float32", torch.float64: "float64"}
_GRAIN = 16_384  # weights; below this a second thread costs more than it saves
_lock = threading.Lock()


class _ScalarPrinter(Printer):
    """Float64, inside the compiled function."""

    def call(self, function: str, *arguments: str) -> str:
        return f"{_SPELLED.get(function, 'math.' + function)}({', '.join(arguments)})"

    def root(self, argument: str) -> str:
        return f"math.sqrt({argument})"


class _ElementPrinter(_ScalarPrinter):
    """In the weights' dtype: every number is converted once, outside the loop."""

    def __init__(self) -> None:
        super().__init__()
        self.constants: dict[float, str] = {}

    def number(self, value: float) -> str:
        return self.constants.setdefault(value, f"k{len(self.constants)}")


_SPELLED = {"abs": "abs", "sign": "sign", "maximum": "maximum", "minimum": "minimum", "not_": "not "}


def source(equations: Equations, dtype: str) -> str:
    """The kernel's Python source; `compiled` hands it to Numba."""
    program = lower(equations)
    scalar, element = _ScalarPrinter(), _ElementPrinter()
    names, states = equations.hyperparameters, equations.state_names
    body = [f"{name} = {element.doprint(value)}" for name, value in program.shared]
    body += [f"next_{name} = {element.doprint(value)}" for name, value in program.states]
    body += [f"store(w_, i, 0, w + ({element.doprint(program.step)}))"]
    body += [f"store({name}_, i, {2 + j}, next_{name})" for j, name in enumerate(states)]
    loads = ["w = load(w_, i, 0)", "g = load(g_, i, 1)"]
    loads += [f"{name} = load({name}_, i, {2 + j})" for j, name in enumerate(states)]
    pointers = ["w_ = address[n, 0]", "g_ = address[n, 1]"]
    pointers += [f"{name}_ = address[n, {2 + j}]" for j, name in enumerate(states)]
    text = [
        f'"""{equations.name}, {dtype}: generated from its formula."""',
        "import math",
        "import numpy as np",
        "from numba import njit",
        f"from thalweg.kernels.memory import load_{dtype} as load, store_{dtype} as store",
        "from thalweg.kernels.memory import maximum, minimum, sign",
        "",
        f"@njit(nogil=True, cache=True, error_model='numpy', fastmath={FASTMATH!r}, boundscheck=False)",
        "def rows(t_of, loss_of, table, scalars):",
        "    for r in range(table.shape[0]):",
        "        t = t_of[r]",
        "        loss = loss_of[r]",
        *(f"        {name} = table[r, {j}]" for j, name in enumerate(names)),
        *(f"        {name} = {scalar.doprint(value)}" for name, value in program.scalars),
        *(f"        scalars[r, {j}] = {name}" for j, name in enumerate(program.passed)),
        "",
        f"@njit(nogil=True, cache=True, error_model='numpy', fastmath={FASTMATH!r}, boundscheck=False)",
        "def segments(address, length, row, active, scalars, start, stop):",
        *(f"    {name} = np.{dtype}({value!r})" for value, name in element.constants.items()),
        "    for n in range(start, stop):",
        "        r = row[n]",
        "        if not active[r]:",
        "            continue",
        *(f"        {line}" for line in pointers),
        *(f"        {name} = np.{dtype}(scalars[r, {j}])" for j, name in enumerate(program.passed)),
        "        for i in range(length[n]):",
        *(f"            {line}" for line in loads),
        *(f"            {line}" for line in body),
        "",
    ]
    return "\n".join(text)


# nnan and ninf are left out on purpose: a NaN in one member must stay a NaN, and stay there.
FASTMATH = {"contract", "nsz", "arcp"}


@dataclass(frozen=True)
class Kernel:
    """A formula compiled for one dtype.

    `launch` prepares a step over a table of segments, `run` carries launches out.
    """

    equations: Equations
    rows: Callable[..., None]
    segments: Callable[..., None]

    def launch(
        self,
        address: np.ndarray,
        length: np.ndarray,
        row: np.ndarray,
        active: np.ndarray,
        t: np.ndarray,
        loss: np.ndarray,
        table: np.ndarray,
    ) -> Launch:
        """One step for every segment whose row is active; hand it to `run`.

        Args:
            address: (segments, 2 + states) int64; weight, gradient and states of each segment.
            length: (segments,) int64, in elements.
            row: (segments,) int64, the row of `table` the segment belongs to.
            active: (rows,) bool; the segments of other rows are not touched.
            t, loss: (rows,) float64.
            table: (rows, hyperparameters) float64, in the order of `equations.hyperparameters`.
        """
        scalars = np.empty((len(table), max(1, len(lower(self.equations).passed))))
        self.rows(t, loss, table, scalars)
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


@functools.lru_cache(maxsize=None)
def compiled(equations: Equations, dtype: torch.dtype) -> Kernel:
    """The kernel of these equations, from the on-disk cache where it has been compiled before."""
    if dtype not in DTYPES:
        raise TypeError(f"the CPU kernel has {', '.join(DTYPES.values())}, not {dtype}; convert the weights.")
    with _lock:
        module = _module(source(equations, DTYPES[dtype]), equations.name)
    return Kernel(equations, module.rows, module.segments)


def _module(text: str, name: str) -> ModuleType:
    """Import generated source from the cache folder, writing it there first if it is new."""
    key = hashlib.sha256(f"{text}{np.__version__}".encode()).hexdigest()[:16]
    unique = f"thalweg_kernel_{name}_{key}" if name.isidentifier() else f"thalweg_kernel_{key}"
    path = cache_folder() / f"{unique}.py"
    if not path.exists():
        handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
        with os.fdopen(handle, "w") as file:
            file.write(text)
        os.replace(temporary, path)
    spec = importlib.util.spec_from_file_location(unique, path)
    assert spec is not None and spec.loader is not None
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
    return Path(tempfile.mkdtemp(prefix="thalweg-kernels-"))


@functools.lru_cache(maxsize=None)
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
