"""A formula compiled for the CPU: the whole update in one pass over memory, through Numba.

The kernel works on *segments*: contiguous runs of weights, given by their addresses, each belonging to
one row of a table of hyperparameters. A tensor of a single model is a segment and its parameter group a
row; in a population every member is a row, and each of its tensors a segment. So one compiled function
serves a user's own optimizer, hundreds of parameter groups, and a population with a different rate for
every member, and a scheduled hyperparameter is a number in a table, never a recompilation.

Three things make it run at the speed of memory: the scalars of a row are computed once, in float64;
loads and stores carry alias scopes, so that LLVM vectorises the loop without run-time overlap checks;
and the segments are divided over torch's own threads with the interpreter lock released.

What surrounds an update in a training loop (`FusedOptions`: a factor on the gradient, a bound on it, an average of
the weights, the zeroing of gradients) is generated into the same loop, so that it costs no further pass.
So is the packing of what is kept in fewer bytes (`Formats`, `storage.py`): it is unpacked, used, and packed
again while it is in registers; int8 goes block by block, through a buffer on the stack.

Read next: `memory.py` (loads, stores, packing), `threads.py` (launches), `generated.py` (compilation).
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..formulas.equations import Equations
from .formats import UPDATE_ONLY, Formats, FusedOptions
from .generated import module
from .layout import Layout
from .lower import ConstantsPrinter, Printer, lower
from .storage import BLOCK, FORMATS
from .threads import Launch, Round, Rows, addresses, run

DTYPES = {torch.float32: "float32", torch.float64: "float64", torch.bfloat16: "bfloat16"}
CUT = 65_536  # elements of a segment: enough to run at full speed, few enough to share among threads


class ScalarPrinter(Printer):
    """Float64, inside the compiled function."""

    def call(self, function: str, *arguments: str) -> str:
        return f"_{function}({', '.join(arguments)})"


class _ElementPrinter(ConstantsPrinter, ScalarPrinter):
    """In the dtype of the computation."""


PREAMBLE = """
from math import cos as _cos, exp as _exp, log as _log, sin as _sin, sqrt as _sqrt, tanh as _tanh
from numba import cfunc as _cfunc
from numpy import float32 as _float32, float64 as _float64, floor as _floor
from thalweg.kernels import memory as _memory
from thalweg.kernels.memory import load_bool as _load_bool, load_int64 as _load_int64
from thalweg.kernels.memory import load_float64 as _load_float64, store_float64 as _store_float64
from thalweg.kernels.memory import logical_not as _logical_not, maximum as _maximum
from thalweg.kernels.memory import minimum as _minimum, sign as _sign
_abs = abs
_compiled = _cfunc("void(int64, int64, int64)", nopython=True, cache=True, error_model="numpy",
                   fastmath=set({fastmath!r}), boundscheck=False)
"""
# nnan and ninf are left out on purpose: a NaN must stay a NaN. So is arcp: it turns 1/sqrt into an estimate
# that fails at 0 and at denormal numbers.
FASTMATH = ("contract", "nsz")


def rows_text(
    forms: Sequence[Equations], single: Sequence[str], columns: int, further: Sequence[str] = ()
) -> Iterator[str]:
    """`rows`: the scalars of each row, once a step, in float64, those of one form after another's; see `_ROWS`.

    Args:
        forms: with the same hyperparameters.
        single: the states that are one number of a row, of any form; each is advanced once.
        columns: of the table of scalars.
        further: numbers that stand behind those of all forms.
    """
    numbers, printer = forms[0].hyperparameters, ScalarPrinter()
    yield "@_compiled"
    yield "def rows(_job, _start, _stop):"
    yield from (f"    {name} = _load_int64(_job, {k}, 99)" for k, name in enumerate(_ROWS))
    yield "    for _r in range(_start, _stop):"
    yield "        if _load_bool(_active, _r, 99) == 0:"
    yield "            continue"
    yield "        t = _load_float64(_t, _r, 99)"
    yield "        loss = _load_float64(_loss, _r, 99)"
    for k, name in enumerate(numbers):
        yield f"        {name} = _load_float64(_table, {len(numbers)}*_r + {k}, 99)"
    for k, name in enumerate(single):
        yield f"        {name} = _load_float64(_row_states, {len(single)}*_r + {k}, 99)"
    place, advanced = itertools.count(), set[str]()
    for form in forms:
        program = lower(form)
        yield from (f"        {name} = {printer.doprint(value)}" for name, value in program.scalars)
        for name in program.passed:
            yield f"        _store_float64(_scalars, {columns}*_r + {next(place)}, 99, _float64({name}))"
        for name, new in program.row_states:
            if name not in advanced:
                yield f"        _after_{name} = _float64({new})"
            advanced.add(name)
    for name in further:
        yield f"        _store_float64(_scalars, {columns}*_r + {next(place)}, 99, {name})"
    for k, name in enumerate(single):
        yield f"        _store_float64(_row_states, {len(single)}*_r + {k}, 99, _after_{name})"


class Source(Layout):
    """The text of one kernel."""

    def __init__(self, equations: Equations, formats: Formats, fused: FusedOptions) -> None:
        super().__init__(equations, formats, fused)
        self.scope = {name: k for k, name in enumerate((*self.streams, *(f"_room_{n}" for n in self.packed)))}
        self.columns = len(self.passed) + bool(self.drawn) or 1
        self.single = [name for name, _ in self.program.row_states]
        self.element = _ElementPrinter()

    def text(self) -> str:
        body = self._body()  # first: it finds out which constants there are
        loop = self._blocks(body) if self.packed else ["for _i in range(_count):", *(f"    {line}" for line in body)]
        dtype, streams = self.formats.computed, len(self.streams)
        at = (f"_at_{name} = _load_int64(_address, {streams}*_n + {k}, 99)" for k, name in enumerate(self.streams))
        return "\n".join(
            [
                f'"""{self.equations.name}, {dtype}: generated from its formula."""',
                PREAMBLE.format(fastmath=FASTMATH),
                *rows_text([self.equations], self.single, self.columns, ["t"] * bool(self.drawn)),
                "",
                "@_compiled",
                "def segments(_job, _start, _stop):",
                *(f"    {name} = _load_int64(_job, {k}, 99)" for k, name in enumerate(_SEGMENTS)),
                *(f"    {name} = _{dtype}({value!r})" for value, name in self.element.constants.items()),
                *(f"    _room_{name} = _memory.scratch({BLOCK})" for name in self.packed),
                "    for _n in range(_start, _stop):",
                "        _r = _load_int64(_row, _n, 99)",
                "        if _load_bool(_active, _r, 99) == 0:",
                "            continue",
                "        _count = _load_int64(_length, _n, 99)",
                *(f"        {line}" for line in (*at, *self._numbers(), *self._origins(), *loop)),
                "",
            ]
        )

    def _numbers(self) -> Iterator[str]:
        """What the loop over weights needs of its row, in the dtype of the computation."""
        fused = self.fused.numbers
        for place, names, columns in (("_scalars", self.passed, self.columns), ("_fused", fused, len(fused))):
            for k, name in enumerate(names):
                yield f"{name} = _{self.formats.computed}(_load_float64({place}, {columns}*_r + {k}, 99))"

    def _origins(self) -> list[str]:
        if not self.drawn:
            return []
        step = f"int(_load_float64(_scalars, {self.columns}*_r + {self.columns - 1}, 99))"
        lines = [f"_tensor, _first, _step = _load_int64(_noise, 2*_n, 99), _load_int64(_noise, 2*_n + 1, 99), {step}"]
        pairs = sorted({k // 2 for k in self.drawn.values()})
        return [*lines, *(f"_origin{p} = _memory.origin(_tensor, _step, _first, {p})" for p in pairs)]

    def _body(self) -> list[str]:
        """What is done for one weight."""
        print_ = self.element.doprint
        lines = self._draws([n for n in self.drawn if n not in self.packed])
        lines += [f"{name} = {self._loaded(name)}" for name in self.form if name != "_a"]
        lines += self.fused.before()
        lines += [f"{name} = {print_(value)}" for name, value in self.program.shared]
        lines += [f"_w = w + ({print_(self.program.step)})", self._stored("w", "_w")]
        for name, new in self.program.states:
            lines += self._set_aside(name, str(new)) if name in self.packed else [self._stored(name, str(new))]
        if self.fused.average:
            lines += [f"_a = {self._loaded('_a')}", self._stored("_a", "_a + _share*(_w - _a)")]
        if self.fused.zero:
            lines += [self._stored("g", self.element.number(0.0))]
        return lines

    def _blocks(self, body: Sequence[str]) -> list[str]:
        """Block by block: unpack and compute, set aside what is to be packed; then pack."""
        lines, names = [], self.packed
        lines += [f"_scaled_{n} = _memory.load_float32(_at__scale_{n}, _b, {self.scope[f'_scale_{n}']})" for n in names]
        lines += [f"_wrap_{n}, _part_{n}, _size_{n} = _memory.unpacking(_scaled_{n})" for n in names]
        lines += [f"_top_{n} = _below_{n} = _memory.magnitude(_float32(0))" for n in names]
        lines += ["for _i in range(_from, _to):", *(f"    {line}" for line in body)]
        for n in names:
            packing = f"_memory.packing(_memory.as_float32(_top_{n}), _below_{n} > 0)"
            lines += [f"_scaled_{n}, _inverse_{n}, _most_{n}, _part_{n} = {packing}"]
            lines += [f"_memory.store_float32(_at__scale_{n}, _b, {self.scope[f'_scale_{n}']}, _scaled_{n})"]
        lines += ["for _i in range(_from, _to):", *(f"    {line}" for line in self._draws(names))]
        for n in names:
            value = f"_memory.load_float32(_room_{n}, _i - _from, {self.scope[f'_room_{n}']})"
            code = f"_memory.pack({value}, _inverse_{n}, _most_{n}, _part_{n}, {self._bits(n)})"
            lines += [f"    _memory.store_int8(_at_{n}, _i, {self.scope[n]}, {code})"]
        return [
            f"for _b in range((_count + {BLOCK - 1})//{BLOCK}):",
            f"    _from, _to = {BLOCK}*_b, min({BLOCK}*_b + {BLOCK}, _count)",
            *(f"    {line}" for line in lines),
        ]

    def _draws(self, names: Sequence[str]) -> list[str]:
        pairs = sorted({self.drawn[n] // 2 for n in names})
        return [f"_bits{p} = _memory.draw(_i, _origin{p})" for p in pairs]

    def _bits(self, name: str) -> str:
        return f"_memory.half(_bits{self.drawn[name] // 2}, {self.drawn[name] % 2})"

    def _loaded(self, name: str) -> str:
        form, scope = self.form[name], self.scope[name]
        if form == "int8":
            code = f"_memory.load_int8(_at_{name}, _i, {scope})"
            value, natural = f"_memory.unpack({code}, _wrap_{name}, _part_{name}, _size_{name})", "float32"
        else:
            kind = form.split()[0]
            value = f"_memory.load_{kind}(_at_{name}, _i, {scope})"
            natural = "float32" if kind == "bfloat16" else kind
        return value if natural == self.formats.computed else f"_{self.formats.computed}({value})"

    def _stored(self, name: str, value: str) -> str:
        form = self.form[name]
        kind = form.split()[0]
        if kind != "float64":
            value = self._float32(value)
        elif self.formats.computed != "float64":
            value = f"_float64({value})"
        if form == "bfloat16 stochastic":
            value, kind = f"_memory.jitter({value}, {self._bits(name)})", "cut"
        return f"_memory.store_{kind}(_at_{name}, _i, {self.scope[name]}, {value})"

    def _set_aside(self, name: str, value: str) -> list[str]:
        return [
            f"_x = {self._float32(value)}",
            f"_memory.store_float32(_room_{name}, _i - _from, {self.scope[f'_room_{name}']}, _x)",
            f"_top_{name} = _memory.larger(_top_{name}, _memory.magnitude(_x))",
            f"_below_{name} = _memory.either(_below_{name}, _memory.is_negative(_x))",
        ]

    def _float32(self, value: str) -> str:
        return value if self.formats.computed == "float32" else f"_float32({value})"


_SEGMENTS = ("_address", "_length", "_row", "_active", "_scalars", "_fused", "_noise")
_ROWS = ("_t", "_loss", "_table", "_row_states", "_scalars", "_active")


@dataclass(frozen=True)
class Kernel:
    """A formula compiled for one set of formats.

    `launch` prepares a step over a table of segments, `run` carries launches out.

    Attributes:
        row_states: how many states are one number per row.
    """

    equations: Equations
    segments: Any
    rows: Any
    row_states: int
    columns: int

    def launch(
        self,
        address: np.ndarray,
        length: np.ndarray,
        row: np.ndarray,
        active: np.ndarray,
        t: np.ndarray,
        loss: np.ndarray,
        table: np.ndarray,
        fused: np.ndarray | None = None,
        row_states: np.ndarray | None = None,
        noise: np.ndarray | None = None,
    ) -> Launch:
        """A step for every segment whose row is active, for `run`.

        The arrays may be changed in place between two runs; all are contiguous.

        Args:
            address: (segments, streams) int64.
            length: (segments,) int64, in elements.
            row: (segments,) int64, the row of `table` the segment belongs to.
            active: (rows,) bool; the segments of other rows are not touched.
            t, loss: (rows,) float64.
            table: (rows, hyperparameters) float64, in the order of `equations.hyperparameters`.
            fused: (rows, numbers) float64, in the order of `FusedOptions.numbers`.
            row_states: (rows, row states) float64, the states that are one number per row; advanced by each run.
            noise: (segments, 2) int64, the number of each segment's tensor, and of its first element there.
        """
        scalars, empty = np.empty((len(table), self.columns)), np.empty((len(table), 0))
        row_states = empty if row_states is None else row_states
        assert row_states.shape == (len(table), self.row_states)
        once = addresses(t, loss, table, row_states, scalars, active)
        fused, noise = empty if fused is None else fused, length if noise is None else noise
        each = (address, length, row, active, scalars, fused, noise)
        arrays, rows = (*each, once, t, loss, table, row_states), Rows(self.rows.address, once, len(table))
        return Launch(self.segments.address, addresses(*each), length, arrays, rows, t)


def compiled(equations: Equations, formats: Formats | torch.dtype, fused: FusedOptions = UPDATE_ONLY) -> Kernel:
    """The kernel of these equations, from the on-disk cache where it has been compiled before."""
    if isinstance(formats, torch.dtype):
        if formats not in DTYPES:
            raise TypeError(f"the CPU kernel has {', '.join(DTYPES.values())}, not {formats}; convert the weights.")
        formats = Formats.plain(equations, DTYPES[formats])
    return _compiled(equations, formats, fused)


@functools.cache
def _compiled(equations: Equations, formats: Formats, fused: FusedOptions) -> Kernel:
    assert equations.elementwise, "it looks beyond one weight, see staged.py"
    source = Source(equations, formats, fused)
    generated = module(source.text(), equations.name)
    return Kernel(equations, generated.segments, generated.rows, len(source.single), source.columns)


_SQUARES = """
@_cfunc("void(int64, int64, int64)", nopython=True, cache=True, error_model="numpy",
        fastmath={{"contract", "nsz", "reassoc"}}, boundscheck=False)
def squares(_job, _start, _stop):
    _address, _length = _load_int64(_job, 0, 99), _load_int64(_job, 1, 99)
    _sums, _shape = _load_int64(_job, 2, 99), _load_int64(_job, 3, 99)
    _streams = _load_int64(_shape, 0, 99)
    for _n in range(_start, _stop):
        _at_g = _load_int64(_address, _streams*_n + 1, 99)
        _sum = 0.0
        for _i in range(_load_int64(_length, _n, 99)):
            _g = _float64(_memory.load_{dtype}(_at_g, _i, 1))
            _sum += _g*_g
        _store_float64(_sums, _n, 99, _sum)
"""


@functools.cache
def _squares(form: str) -> Any:
    text = PREAMBLE.format(fastmath=FASTMATH) + _SQUARES.format(dtype=form)
    return module(text, "squares").squares


def squares(form: str, address: np.ndarray, length: np.ndarray) -> tuple[Launch, np.ndarray]:
    """A launch that reads the gradients once, and where it leaves Σg² of each segment, in float64.

    The sums do not depend on the number of threads.
    """
    sums, shape = np.zeros(len(length)), np.array([address.shape[1]])
    arrays = (address, length, sums, shape)
    return Launch(_squares(form).address, addresses(*arrays), length, arrays), sums


def array(tensor: torch.Tensor) -> np.ndarray:
    """A tensor as `Kernel.launch` takes it, of the same memory."""
    return tensor.numpy()


__all__ = ["CUT", "DTYPES", "FORMATS", "Kernel", "Launch", "Round", "Source", "array", "compiled", "run", "squares"]
