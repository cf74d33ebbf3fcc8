"""A formula compiled for the GPU: the update of all tensors of all parameter groups in one launch, through Triton.

It is the CPU kernel (`numba_cpu.py`, read it first) on another machine: the same program, the same formats and
whole step, and the same table of segments, here whole tensors. A program instance takes `BLOCK` weights of one
segment: it looks up in a table which segment is its own, where that segment's weights, gradients and states lie,
and the scalars of its row. The table travels to the device with every start, in one copy that nothing waits for;
so neither 500 parameter groups nor a schedule nor gradients in new places cost a launch or a compilation more.

The norm of the gradients stays on the device too: `Squares` leaves a sum for each program instance, and a step
takes the factor that comes of them from a tensor.

Triton is imported when the first kernel is asked for. With ``TRITON_INTERPRET=1`` in the environment the same
kernels run on the CPU, slowly, which is how they are tested. Read next: `triton_source.py`, `triton_device.py`.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Protocol

import numpy as np
import torch

from ..errors import UsageError
from ..formulas.equations import Equations
from . import storage
from .formats import Formats, FusedOptions
from .generated import module
from .lower import lower
from .torch_ref import scalar_function, scalars_on_device
from .triton_source import BLOCK, COLUMNS, POINTERS, Source

_FORMATS = frozenset(("float32", "float64", "bfloat16", "bfloat16 stochastic", "float16", "int8"))


class Launch(Protocol):
    """What a `Round` can start again and again; its arrays may be changed in place before each start."""

    device: torch.device

    def start(self) -> None: ...


def _on(device: torch.device) -> contextlib.AbstractContextManager[Any]:
    if device.type == "cuda":
        return torch.cuda.device(device)
    return np.errstate(all="ignore")  # the interpreter's NumPy: 1/0 is inf here as in every kernel


@dataclass(frozen=True)
class Kernel:
    """A formula compiled for one set of formats; `launch` prepares a step, a `Round` starts it.

    Attributes:
        streams: how many addresses a segment has: weight, gradient and states, the average of the weights
            where one is kept, and the scales of int8 states.
        row_states: how many states are one number per row.
        noisy: whether anything is rounded at random.
        dtype: of the computation.
        warps: of an instance; 8 give packing the registers it needs.
        device: where all it works on lies.
    """

    equations: Equations
    segments: Any
    streams: int
    row_states: int
    noisy: bool
    dtype: str
    warps: int
    device: torch.device

    def launch(self, *arrays: Any, **others: Any) -> Step | Resident:
        """A step for every segment whose row is active; arguments as of `numba_cpu.Kernel.launch`.

        Where what it reads of the rows are tensors on the device, it stays there.
        """
        kind = Resident if isinstance(arrays[-1], torch.Tensor) else Step
        return kind(self, *arrays, **others)


@dataclass(eq=False)
class Step:
    """A launch of a `Kernel`; for the arrays see `numba_cpu.Kernel.launch`.

    Attributes:
        factor: one float64 on the device that multiplies `fused`'s factor; 1 until something else is put there.
    """

    kernel: Kernel
    address: np.ndarray
    length: np.ndarray
    row: np.ndarray
    active: np.ndarray
    t: np.ndarray
    loss: np.ndarray
    table: np.ndarray
    fused: Any = None
    row_states: Any = None
    noise: Any = None

    def __post_init__(self) -> None:
        kernel, length, row, table = self.kernel, self.length, self.row, self.table
        empty = np.empty((len(table), 0))
        self.fused = empty if self.fused is None else self.fused
        self.row_states = empty if self.row_states is None else self.row_states
        assert self.row_states.shape == (len(table), kernel.row_states)
        self.noise = np.zeros((len(length), 2), dtype=np.int64) if self.noise is None else self.noise
        self.device = kernel.device
        self.factor = torch.ones((), dtype=torch.float64, device=self.device)
        self.owner, first = _instances(length, self.device)
        scalars = (len(table), len(lower(kernel.equations).passed) + self.fused.shape[1])
        self.message = _message(len(length), kernel, scalars)
        self.lines, in_bytes = _parts(self.message, len(length), kernel, scalars)
        self.scalars = in_bytes.view(kernel.dtype).reshape(scalars)
        self.lines[:, kernel.streams :] = np.stack([first, length, row, row, self.noise[:, 1]], axis=1)

    def scale(self, factor: float | torch.Tensor) -> float:
        """Leave the factor on the device, where nothing waits for it."""
        if isinstance(factor, torch.Tensor):
            self.factor.copy_(factor, non_blocking=True)
        else:
            self.factor.fill_(factor)
        return 1.0

    def settle(self) -> None:
        """Every start sends what it reads."""

    def start(self) -> None:
        kernel, count = self.kernel, len(self.length)
        self._fill_scalars()
        if not len(self.owner):
            return
        self.lines[:, : kernel.streams] = self.address
        self.lines[:, kernel.streams + 1] = np.where(self.active[self.row], self.length, 0)
        if kernel.noisy:
            self.lines[:, kernel.streams + 3] = storage.key(self.noise[:, 0], self.t[self.row].astype(np.int64))
        aligned = not (self.address & 15).any()
        arguments = (_send(self.message, self.device), self.owner, count, self.factor, aligned)
        _launch(kernel.segments, len(self.owner), arguments, num_warps=kernel.warps)

    def _fill_scalars(self) -> None:
        """Each row's, computed in float64; `row_states` is advanced where the row is active."""
        compute = scalar_function(self.kernel.equations)
        with np.errstate(all="ignore"):
            passed, advanced = compute(self.t, self.loss, *self.table.T, *self.row_states.T.copy())
            for k, column in enumerate((*passed, *self.fused.T)):
                self.scalars[:, k] = column
        for k, column in enumerate(advanced):
            np.copyto(self.row_states[:, k], column, where=self.active)


def _message(segments: int, kernel: Kernel, scalars: tuple[int, int]) -> np.ndarray:
    """Room for what a kernel reads: a line per segment, then each row's scalars in the dtype of the computation."""
    lines, size = segments * (kernel.streams + COLUMNS), np.dtype(kernel.dtype).itemsize
    return np.zeros(lines + -(-scalars[0] * scalars[1] * size // 8), dtype=np.int64)


def _parts(message: Any, segments: int, kernel: Kernel, scalars: tuple[int, int]) -> tuple[Any, Any]:
    """The lines of a message, an array or a tensor, and the bytes of its scalars."""
    lines, size = segments * (kernel.streams + COLUMNS), np.dtype(kernel.dtype).itemsize
    kind: Any = torch.uint8 if isinstance(message, torch.Tensor) else np.uint8
    in_bytes = message.view(kind)[lines * 8 : lines * 8 + scalars[0] * scalars[1] * size]
    return message[:lines].reshape(segments, -1), in_bytes


class Resident:
    """A launch of a `Kernel` whose rows lie on the device: a start computes on the device alone, and waits for nothing.

    For the arguments see `numba_cpu.Kernel.launch`; addresses, lengths and rows of segments are arrays, all others
    tensors on the device. While a graph is captured the addresses are not sent; `settle` sends them afterwards.
    """

    def __init__(
        self,
        kernel: Kernel,
        address: np.ndarray,
        length: np.ndarray,
        row: np.ndarray,
        active: torch.Tensor,
        t: torch.Tensor,
        loss: torch.Tensor,
        table: torch.Tensor,
        row_states: torch.Tensor,
    ) -> None:
        self.kernel, self.address, self.active, self.t, self.loss = kernel, address, active, t, loss
        self.table, self.row_states, self.device = table, row_states, kernel.device
        self.owner, first = _instances(length, self.device)
        self.factor = torch.ones((), dtype=torch.float64, device=self.device)
        scalars = (len(table), len(lower(kernel.equations).passed))
        message = _message(len(length), kernel, scalars)
        lines, _ = _parts(message, len(length), kernel, scalars)
        lines[:, kernel.streams :] = np.stack([first, length, row, row, np.zeros_like(row)], axis=1)
        self.message = torch.from_numpy(message).to(self.device)
        self.lines, in_bytes = _parts(self.message, len(length), kernel, scalars)
        self.scalars = in_bytes.view(getattr(torch, kernel.dtype)).reshape(scalars)
        self.length, self.row = torch.from_numpy(length).to(self.device), torch.from_numpy(row).to(self.device)

    def scale(self, factor: float | torch.Tensor) -> float:
        return float(factor)

    def settle(self) -> None:
        self.lines[:, : self.kernel.streams] = torch.from_numpy(self.address).to(self.device)

    def start(self) -> None:
        kernel = self.kernel
        if not capturing(self.device):
            self.settle()
        rows = (self.t, self.loss, self.table, self.row_states.unbind(1))
        passed, advanced = scalars_on_device(kernel.equations, *rows)
        for k, column in enumerate(passed):
            self.scalars[:, k] = column
        for k, column in enumerate(advanced):
            self.row_states[:, k] = torch.where(self.active, column, self.row_states[:, k])
        self.lines[:, kernel.streams + 1] = torch.where(self.active[self.row], self.length, 0)
        if len(self.owner):
            aligned = not (self.address & 15).any()
            arguments = (self.message, self.owner, len(self.length), self.factor, aligned)
            _launch(kernel.segments, len(self.owner), arguments, num_warps=kernel.warps)


def capturing(device: torch.device) -> bool:
    """Whether what is started on the device is captured in a graph, and not carried out."""
    return device.type == "cuda" and torch.cuda.is_current_stream_capturing()


def _launch(function: Any, instances: int, arguments: Sequence[Any], **options: int) -> None:
    function[(instances,)](*arguments, **options)


def _instances(length: np.ndarray, device: torch.device) -> tuple[torch.Tensor, np.ndarray]:
    """The segment of each program instance, on the device, and the first instance of each segment."""
    counts = -(-length // BLOCK)
    owner = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    return torch.from_numpy(owner).to(device), np.cumsum(counts) - counts


def _send(array: np.ndarray, device: torch.device) -> torch.Tensor:
    """The array on the device, without waiting: pinned memory is not used anew before it has been read."""
    tensor = torch.from_numpy(array)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor


@functools.cache
def compiled(equations: Equations, formats: Formats, fused: FusedOptions, device: torch.device) -> Kernel:
    """The kernel of these equations; compiled at its first start, or found in Triton's on-disk cache.

    Raises:
        UsageError: if Triton is not installed.
    """
    device_functions()
    source = Source(equations, formats, fused)
    segments = module(source.text(), f"{equations.name}_triton").segments
    streams, row_states, warps = len(source.streams), len(source.program.row_states), 8 if source.packed else 4
    return Kernel(equations, segments, streams, row_states, bool(source.drawn), formats.computed, warps, device)


def installed() -> bool:
    """Whether Triton is installed."""
    return importlib.util.find_spec("triton") is not None


@functools.cache
def device_functions() -> ModuleType:
    """`triton_device`, imported now."""
    if not installed():
        raise UsageError(
            "the weights are on a GPU, whose kernels are compiled by Triton, and triton is not installed: "
            "pip install triton (on Windows triton-windows)."
        )
    from . import triton_device

    return triton_device


class Squares:
    """A launch that reads the gradients once.

    Attributes:
        sums: of g², one for each program instance, float64, on the device.
    """

    def __init__(self, form: str, address: np.ndarray, length: np.ndarray, device: torch.device) -> None:
        self.address, self.length, self.device = address, length, device
        self.owner, self.first = _instances(length, device)
        self.sums = torch.zeros(len(self.owner), dtype=torch.float64, device=device)
        functions, kind = device_functions(), form.split()[0]
        self.function, self.kind = functions.squares, getattr(functions.tl, POINTERS.get(kind, kind))

    def start(self) -> None:
        if not len(self.owner):
            return
        gradients = self.address[:, 1]
        table = _send(np.stack([gradients, self.first, self.length], axis=1), self.device)
        aligned = not (gradients & 15).any()
        _launch(self.function, len(self.owner), (table, self.owner, self.sums, self.kind, BLOCK, aligned))


@dataclass(frozen=True)
class Gpu:
    """The backend of one device; see `backends.py`. A segment is a whole tensor."""

    device: torch.device
    FORMATS: Collection[str] = _FORMATS
    CUT: int = 2**62

    def compiled(self, equations: Equations, formats: Formats, fused: FusedOptions) -> Kernel:
        return compiled(equations, formats, fused, self.device)

    def squares(self, form: str, address: np.ndarray, length: np.ndarray) -> tuple[Squares, torch.Tensor]:
        launch = Squares(form, address, length, self.device)
        return launch, launch.sums

    def array(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor

    def Round(self, launches: Sequence[Launch], threads: int) -> Round:
        return Round(launches)


@dataclass(frozen=True)
class Round:
    """Launches, to be started again and again, each on its device's current stream; nothing waits for them."""

    launches: Sequence[Launch]

    def run(self) -> None:
        for launch in self.launches:
            with _on(launch.device):
                launch.start()
