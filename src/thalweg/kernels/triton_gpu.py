"""A formula compiled for the GPU: the update of all tensors of all parameter groups in one launch, through Triton.

It is the CPU kernel (`numba_cpu.py`, read it first) on another machine: the same program, the same formats and
whole step, and the same table of segments, here whole tensors. A program instance takes `BLOCK` weights of one
segment: it looks up in a table which segment is its own, where that segment's weights, gradients and states lie,
and the scalars of its row. The table travels to the device with every launch, in one copy that nothing waits for;
so neither 500 parameter groups nor a schedule nor gradients in new places cost a launch or a compilation more.

The norm of the gradients stays on the device too: `squares` leaves a sum for each program instance, and a
launch takes the factor that comes of them as a tensor.

Triton is imported when the first kernel is asked for. With ``TRITON_INTERPRET=1`` in the environment the same
kernels run on the CPU, slowly, which is how they are tested.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Protocol

import numpy as np
import sympy as sp
import torch

from ..errors import UsageError
from ..formulas.base import Equations, Formula
from .generated import module
from .lower import Printer, lower
from .numba_cpu import UPDATE_ONLY, Formats, Whole, segment_table
from .storage import BLOCK as ACROSS
from .storage import GOLDEN, stochastic
from .torch_ref import scalar_function

FORMATS = ("float32", "float64", "bfloat16", "bfloat16 stochastic", "float16", "int8")
BLOCK = 1024  # weights of a program instance
_POINTERS = {"bfloat16": "uint16"}  # as which its values are read and written; see triton_device.py


class _ElementPrinter(Printer):
    """In the dtype of the computation."""

    def __init__(self) -> None:
        super().__init__()
        self.constants: dict[float, str] = {}

    def number(self, value: float) -> str:
        return self.constants.setdefault(value, f"_k{len(self.constants)}")

    def call(self, function: str, *arguments: str) -> str:
        own = {"abs": "_tl.abs", "floor": "_tl.floor"}.get(function, f"_{function}")
        return f"{own}({', '.join(arguments)})"

    def root(self, argument: str) -> str:
        return self.call("root", argument)

    def ratio(self, above: str, below: str) -> str:
        return self.call("ratio", above, below)

    def power(self, base: str, exponent: str) -> str:
        return self.call("whole_power" if exponent.isdecimal() else "power", base, exponent)

    def choose(self, condition: str, yes: str, no: str) -> str:
        return f"_tl.where({condition}, {yes}, {no})"

    def _print_And(self, expr: sp.And) -> str:
        return functools.reduce(lambda a, b: self.call("logical_and", a, b), self._sorted(expr.args))

    def _print_Or(self, expr: sp.Or) -> str:
        return functools.reduce(lambda a, b: self.call("logical_or", a, b), self._sorted(expr.args))


_HEADER = """
import triton as _triton
import triton.language as _tl
from triton.language import constexpr
"""
_HEADER += "\n".join(f"from thalweg.kernels.triton_device import {name} as _{name}" for name in (
    "cos", "draw", "exp", "inlined", "load", "log", "logical_and", "logical_not", "logical_or", "maximum", "minimum",
    "pack", "power", "ratio", "root", "sign", "sin", "store", "tanh", "unpack", "whole_power",
))  # fmt: skip


class _Source:
    """The text of one kernel; only the formula's own names start without an underscore."""

    def __init__(self, equations: Equations, formats: Formats, whole: Whole) -> None:
        self.equations, self.whole, self.program = equations, whole, lower(equations)
        self.dtype = f"_tl.{formats.computed}"
        names = [name for name, _ in self.program.states]
        self.form = {"w": formats.weight, "g": formats.gradient}
        self.form |= dict(zip(names, formats.states, strict=True))
        if whole.average:
            self.form["_a"] = formats.average
        self.packed = [name for name in names if self.form[name] == "int8"]
        self.streams = (*self.form, *(f"_scale_{name}" for name in self.packed))
        drawn = [n for n in ("w", *names) if stochastic(self.form[n])]
        self.drawn = {name: k for k, name in enumerate(drawn)}
        self.passed = (*map(str, self.program.passed), *whole.numbers)
        self.element = _ElementPrinter()

    def text(self) -> str:
        arguments = ["_i", "_mask", *(f"_at_{name}" for name in self.streams), *self.passed]
        arguments += ["_block", "_present"] if self.packed else []
        arguments += ["_key", "_element"] if self.drawn else []
        body = [f"    {line}" for line in self._body()]  # first: it finds out which constants there are
        constants = self.element.constants.items()
        return "\n".join([
            f'"""{self.equations.name}, {self.dtype[3:]}: generated from its formula."""',
            _HEADER,
            "@_inlined",
            f"def _update({', '.join(arguments)}):",
            *(f"    {name} = _tl.full((), {value!r}, {self.dtype})" for value, name in constants),
            *body,
            "",
            '@_triton.jit(do_not_specialize=["_count"])',
            "def segments(_table, _owner, _count, _factor_at, ALIGNED: constexpr):",
            *(f"    {line}" for line in self._segment(arguments)),
            "",
        ])  # fmt: skip

    def _segment(self, arguments: Sequence[str]) -> Iterator[str]:
        """Where this instance's weights lie, and the scalars of their row; `Kernel.launch` lays out the table."""
        streams, passed = len(self.streams), len(self.passed)
        yield "_p = _tl.program_id(0)"
        yield "_n = _tl.load(_owner + _p).to(_tl.int64)"
        yield f"_own = _table + _n*{streams + COLUMNS}"
        yield f"_start = (_p - _tl.load(_own + {streams}))*{BLOCK}"
        yield f"_left = _tl.load(_own + {streams + 1}) - _start"
        yield f"_row = _tl.load(_own + {streams + 2})"
        kind = f"_tl.pointer_type({self.dtype})"
        yield f"_scalars = (_table + _count.to(_tl.int64)*{streams + COLUMNS}).to({kind}) + _row*{passed}"
        yield from (f"{name} = _tl.load(_scalars + {k})" for k, name in enumerate(self.passed))
        if self.whole.factor:
            yield f"_factor = _factor*_tl.load(_factor_at).to({self.dtype})"
        if self.drawn:
            yield f"_key = _tl.load(_own + {streams + 3}).to(_tl.uint32)"
            yield f"_first = _tl.load(_own + {streams + 4})"
        for k, name in enumerate(self.streams):
            form = self.form.get(name, "float32").split()[0]
            per = f"//{ACROSS}" if name not in self.form else ""
            yield f"_at_{name} = _tl.load(_own + {k}).to(_tl.pointer_type(_tl.{_POINTERS.get(form, form)}))"
            yield f"_at_{name} += _start{per}"
        yield "if ALIGNED:"
        yield from (f"    _at_{name} = _tl.multiple_of(_at_{name}, 16)" for name in self.form)
        if self.packed:
            yield f"_block = _tl.arange(0, {BLOCK // ACROSS})"
            yield f"_i = _block[:, None]*{ACROSS} + _tl.arange(0, {ACROSS})[None, :]"
            yield f"_present = _block*{ACROSS} < _left"
        else:
            yield f"_i = _tl.arange(0, {BLOCK})"
        if self.drawn:
            yield "_element = (_first + _start + _i).to(_tl.uint32)"
        yield f"if _left >= {BLOCK}:"
        yield f"    _update({', '.join('None' if a in ('_mask', '_present') else a for a in arguments)})"
        yield "else:"
        yield "    _mask = _i < _left"
        yield f"    _update({', '.join(arguments)})"

    def _body(self) -> Iterator[str]:
        """What is done for `BLOCK` weights."""
        print_ = self.element.doprint
        for pair in sorted({k // 2 for k in self.drawn.values()}):
            yield f"_bits{pair} = _draw(_element, _key, {pair * GOLDEN & 0xFFFFFFFF})"
        for name in self.packed:
            yield f"_scaled_{name} = _tl.load(_at__scale_{name} + _block, mask=_present)"
        yield from (f"{name} = {self._loaded(name)}" for name in self.form)
        yield from self.whole.before()
        yield from (f"{name} = {print_(value)}" for name, value in self.program.shared)
        yield f"_w = w + ({print_(self.program.step)})"
        yield self._stored("w", "_w")
        yield from (self._stored(name, str(new)) for name, new in self.program.states)
        if self.whole.average:
            yield self._stored("_a", "_a + _share*(_w - _a)")
        if self.whole.zero:
            yield self._stored("g", self.element.number(0.0))

    def _loaded(self, name: str) -> str:
        if name in self.packed:
            return f"_unpack(_at_{name}, _i, _mask, _scaled_{name}).to({self.dtype})"
        return f"_load(_at_{name}, _i, _mask, {self.dtype})"

    def _stored(self, name: str, value: str) -> str:
        bits = self._bits(self.drawn[name]) if name in self.drawn else "None"
        if name in self.packed:
            return f"_pack(_at_{name}, _i, _mask, _at__scale_{name}, _block, _present, {value}, {bits})"
        return f"_store(_at_{name}, _i, _mask, {value}, {bits})"

    def _bits(self, stream: int) -> str:
        return f"_bits{stream // 2} >> 16" if stream % 2 else f"_bits{stream // 2} & 0xFFFF"


# Of a segment in the table, behind its addresses: first instance, length, row, key, first element.
COLUMNS = 5


def source(equations: Equations, formats: Formats, whole: Whole = UPDATE_ONLY) -> str:
    """The kernel's Python source, for Triton."""
    return _Source(equations, formats, whole).text()


class Launch(Protocol):
    """What `run` can start, as often as is wanted; its arrays may be changed in place before each start."""

    device: torch.device

    def start(self) -> None: ...


def run(launches: Sequence[Launch]) -> None:
    """Start the launches, each on its device's current stream, and wait for none."""
    for launch in launches:
        with _on(launch.device):
            launch.start()


def _on(device: torch.device) -> contextlib.AbstractContextManager[Any]:
    if device.type == "cuda":
        return torch.cuda.device(device)
    return np.errstate(all="ignore")  # the interpreter's NumPy: 1/0 is inf here as in every kernel


@dataclass(frozen=True)
class Kernel:
    """A formula compiled for one set of formats; `launch` prepares a step, `run` starts it.

    Attributes:
        streams: how many addresses a segment has: weight, gradient and states, the average of the weights
            where one is kept, and the scales of int8 states.
        kept: how many states are one number per row.
        noisy: whether anything is rounded at random.
        dtype: of the computation.
        warps: of an instance; 8 give packing the registers it needs.
    """

    equations: Equations
    segments: Any
    streams: int
    kept: int
    noisy: bool
    dtype: str
    warps: int

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
        kept: np.ndarray | None = None,
        noise: np.ndarray | None = None,
        *,
        device: torch.device,
    ) -> Step:
        """A step for every segment whose row is active; arguments as of `numba_cpu.Kernel.launch`."""
        rows = len(table)
        whole = np.empty((rows, 0)) if whole is None else whole
        kept = np.empty((rows, 0)) if kept is None else kept
        noise = np.zeros((len(length), 2), dtype=np.int64) if noise is None else noise
        assert kept.shape == (rows, self.kept)
        return Step(self, address, length, row, active, t, loss, table, whole, kept, noise, device)


class Step:
    """A launch of a `Kernel`.

    Attributes:
        factor: one float64 on the device that multiplies `whole`'s factor; 1 until something else is put there.
    """

    def __init__(
        self, kernel: Kernel, address: np.ndarray, length: np.ndarray, row: np.ndarray, active: np.ndarray,
        t: np.ndarray, loss: np.ndarray, table: np.ndarray, whole: np.ndarray, kept: np.ndarray,
        noise: np.ndarray, device: torch.device,
    ) -> None:  # fmt: skip
        self.kernel, self.device = kernel, device
        self.address, self.length, self.row, self.active = address, length, row, active
        self.t, self.loss, self.table, self.whole, self.kept, self.noise = t, loss, table, whole, kept, noise
        self.factor = torch.ones((), dtype=torch.float64, device=device)
        self.owner, first = _instances(length, device)
        # what is sent: a line per segment, then the scalars of each row in the dtype of the computation
        scalars = (len(table), len(lower(kernel.equations).passed) + whole.shape[1])
        lines, size = len(length) * (kernel.streams + COLUMNS) * 8, np.dtype(kernel.dtype).itemsize
        self.sent = np.zeros(-(-(lines + scalars[0] * scalars[1] * size) // 8), dtype=np.int64)
        self.lines = self.sent[: lines // 8].reshape(len(length), -1)
        in_bytes = self.sent.view(np.uint8)[lines : lines + scalars[0] * scalars[1] * size]
        self.scalars = in_bytes.view(kernel.dtype).reshape(scalars)
        self.lines[:, kernel.streams :] = np.stack([first, length, row, row, noise[:, 1]], axis=1)

    def start(self) -> None:
        kernel, count = self.kernel, len(self.length)
        self._fill_scalars()
        if not len(self.owner):
            return
        self.lines[:, : kernel.streams] = self.address
        self.lines[:, kernel.streams + 1] = np.where(self.active[self.row], self.length, 0)
        if kernel.noisy:
            self.lines[:, kernel.streams + 3] = _keys(self.noise[:, 0], self.t[self.row])
        aligned = not (self.address & 15).any()
        arguments = (_sent(self.sent, self.device), self.owner, count, self.factor, aligned)
        kernel.segments[(len(self.owner),)](*arguments, num_warps=kernel.warps)

    def _fill_scalars(self) -> None:
        """Each row's, computed in float64; `kept` is advanced where the row is active."""
        compute = scalar_function(self.kernel.equations)
        with np.errstate(all="ignore"):
            passed, advanced = compute(self.t, self.loss, *self.table.T, *self.kept.T.copy())
            for k, column in enumerate((*passed, *self.whole.T)):
                self.scalars[:, k] = column
        for k, column in enumerate(advanced):
            np.copyto(self.kept[:, k], column, where=self.active)


def _keys(tensors: np.ndarray, t: np.ndarray) -> np.ndarray:
    """What the random bits of each tensor and step begin from; `storage.noise`."""
    return _mix(_mix((tensors + GOLDEN) & 0xFFFFFFFF) ^ (t.astype(np.int64) & 0xFFFFFFFF))


def _mix(x: np.ndarray) -> np.ndarray:
    """`storage.mix`, in NumPy."""
    words = x.astype(np.uint32)
    words = (words ^ (words >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    words = (words ^ (words >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return (words ^ (words >> np.uint32(16))).astype(np.int64)


def _instances(length: np.ndarray, device: torch.device) -> tuple[torch.Tensor, np.ndarray]:
    """The segment of each program instance, on the device, and the first instance of each segment."""
    counts = -(-length // BLOCK)
    owner = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    return torch.from_numpy(owner).to(device), np.cumsum(counts) - counts


def _sent(array: np.ndarray, device: torch.device) -> torch.Tensor:
    """The array on the device, without waiting: pinned memory is not used anew before it has been read."""
    tensor = torch.from_numpy(array)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor


def compiled(equations: Equations, formats: Formats, whole: Whole = UPDATE_ONLY) -> Kernel:
    """The kernel of these equations; compiled at its first launch, or found in Triton's on-disk cache.

    Raises:
        UsageError: if Triton is not installed.
    """
    return _compiled(equations, formats, whole)


@functools.cache
def _compiled(equations: Equations, formats: Formats, whole: Whole) -> Kernel:
    device_functions()
    text = _Source(equations, formats, whole)
    made = module(text.text(), f"{equations.name}_triton")
    return Kernel(
        equations, made.segments, len(text.streams), len(text.program.kept), bool(text.drawn),
        formats.computed, 8 if text.packed else 4,
    )  # fmt: skip


def installed() -> bool:
    """Whether Triton is."""
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
        made, kind = device_functions(), form.split()[0]
        self.function, self.kind = made.squares, getattr(made.tl, _POINTERS.get(kind, kind))

    def start(self) -> None:
        if not len(self.owner):
            return
        gradients = self.address[:, 1]
        table = _sent(np.stack([gradients, self.first, self.length], axis=1), self.device)
        aligned = not (gradients & 15).any()
        self.function[(len(self.owner),)](table, self.owner, self.sums, self.kind, BLOCK, aligned)


def squares(form: str, address: np.ndarray, length: np.ndarray, device: torch.device) -> Squares:
    """What finds the norm of the gradients; hand it to `run`, then add up its `sums`."""
    return Squares(form, address, length, device)


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
    single = {name for name, _ in lower(formula.equations).kept}
    named = dict(zip(formula.states, states, strict=True))
    streamed = [s for name, s in named.items() if name not in single]
    kept = np.array([[float(s.reshape(-1)[0]) for name, s in named.items() if name in single]]).reshape(1, -1)
    forms = [str(x.dtype).removeprefix("torch.") for x in (w, g, *streamed)]
    formats = Formats(forms[0], forms[1], tuple(forms[2:]), forms[0])
    address, length = segment_table([w], [g.contiguous()], [streamed])
    table = np.array([[values[name] for name in formula.equations.hyperparameters]])
    launch = compiled(formula.equations, formats).launch(
        address, length, np.zeros(1, dtype=np.int64), np.ones(1, dtype=np.bool_), np.array([float(t)]),
        np.array([loss]), table, kept=kept, device=w.device,
    )  # fmt: skip
    run([launch])
    for name, value in zip((n for n in named if n in single), kept[0].tolist(), strict=True):
        named[name].fill_(value)
