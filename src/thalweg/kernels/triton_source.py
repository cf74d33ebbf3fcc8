"""The text of a GPU kernel, from a formula's program; `triton_gpu.py` compiles and launches it.

It has two functions. ``segments`` finds out what a program instance is to do, from a table: a line of integers for each
segment (the addresses of its streams, then `COLUMNS` more), and behind the lines the scalars of each row. ``_update``
does it: the same text twice, with and without a mask, since only loads without one are 16 bytes wide for certain.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import sympy as sp

from ..formulas.base import Equations
from .formats import Formats, FusedOptions
from .layout import Layout
from .lower import ConstantsPrinter
from .storage import BLOCK as ACROSS
from .storage import PAIR

BLOCK = 1024  # weights of a program instance
# Of a segment in the table, behind its addresses: first instance, length, row, key, first element.
COLUMNS = 5
POINTERS = {"bfloat16": "uint16"}  # as which its values are read and written; see triton_device.py


class _ElementPrinter(ConstantsPrinter):
    """In the dtype of the computation."""

    def call(self, function: str, *arguments: str) -> str:
        name = f"_tl.{function}" if function in ("abs", "floor") else f"_{function}"
        return f"{name}({', '.join(arguments)})"

    def root(self, argument: str) -> str:
        return self.call("root", argument)

    def ratio(self, above: str, below: str) -> str:
        return self.call("ratio", above, below)

    def power(self, base: str, exponent: str) -> str:
        return self.call("whole_power" if exponent.isdecimal() else "power", base, exponent)

    def choose(self, condition: str, yes: str, no: str) -> str:
        return f"_tl.where({condition}, {yes}, {no})"

    def _print_And(self, expr: sp.And) -> str:
        return self._pairwise("logical_and", expr)

    def _print_Or(self, expr: sp.Or) -> str:
        return self._pairwise("logical_or", expr)


_FUNCTIONS = """cos draw exp inlined load log logical_and logical_not logical_or maximum minimum pack power ratio root
sign sin store tanh unpack whole_power"""
_HEADER = """
import triton as _triton
import triton.language as _tl
from triton.language import constexpr
"""
_HEADER += "\n".join(f"from thalweg.kernels.triton_device import {name} as _{name}" for name in _FUNCTIONS.split())


class Source(Layout):
    """The text of one kernel; only the formula's own names start without an underscore."""

    def __init__(self, equations: Equations, formats: Formats, fused: FusedOptions) -> None:
        super().__init__(equations, formats, fused)
        self.dtype, self.element = f"_tl.{formats.computed}", _ElementPrinter()
        self.scalars = (*self.passed, *fused.numbers)

    def text(self) -> str:
        arguments = ["_i", "_mask", *(f"_at_{name}" for name in self.streams), *self.scalars]
        arguments += ["_block", "_present"] if self.packed else []
        arguments += ["_key", "_element"] if self.drawn else []
        body = [f"    {line}" for line in self._body()]  # first: it finds out which constants there are
        constants = self.element.constants.items()
        return "\n".join(
            [
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
            ]
        )

    def _segment(self, arguments: Sequence[str]) -> Iterator[str]:
        """Where this instance's weights lie, and the scalars of their row; `Kernel.launch` lays out the table."""
        streams, scalars = len(self.streams), len(self.scalars)
        yield "_p = _tl.program_id(0)"
        yield "_n = _tl.load(_owner + _p).to(_tl.int64)"
        yield f"_line = _table + _n*{streams + COLUMNS}"
        yield f"_start = (_p - _tl.load(_line + {streams}))*{BLOCK}"
        yield f"_left = _tl.load(_line + {streams + 1}) - _start"
        yield f"_row = _tl.load(_line + {streams + 2})"
        kind = f"_tl.pointer_type({self.dtype})"
        yield f"_scalars = (_table + _count.to(_tl.int64)*{streams + COLUMNS}).to({kind}) + _row*{scalars}"
        yield from (f"{name} = _tl.load(_scalars + {k})" for k, name in enumerate(self.scalars))
        if self.fused.factor:
            yield f"_factor = _factor*_tl.load(_factor_at).to({self.dtype})"
        if self.drawn:
            yield f"_key = _tl.load(_line + {streams + 3}).to(_tl.uint32)"
            yield f"_first = _tl.load(_line + {streams + 4})"
        for k, name in enumerate(self.streams):
            form = self.form.get(name, "float32").split()[0]
            per = f"//{ACROSS}" if name not in self.form else ""
            yield f"_at_{name} = _tl.load(_line + {k}).to(_tl.pointer_type(_tl.{POINTERS.get(form, form)}))"
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
            yield f"_bits{pair} = _draw(_element, _key, {pair * PAIR & 0xFFFFFFFF})"
        for name in self.packed:
            yield f"_scaled_{name} = _tl.load(_at__scale_{name} + _block, mask=_present)"
        yield from (f"{name} = {self._loaded(name)}" for name in self.form)
        yield from self.fused.before()
        yield from (f"{name} = {print_(value)}" for name, value in self.program.shared)
        yield f"_w = w + ({print_(self.program.step)})"
        yield self._stored("w", "_w")
        yield from (self._stored(name, str(new)) for name, new in self.program.states)
        if self.fused.average:
            yield self._stored("_a", "_a + _share*(_w - _a)")
        if self.fused.zero:
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
