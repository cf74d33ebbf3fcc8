"""LLVM instructions for the loops of a compiled step: arithmetic, elementary functions, loads, stores, loops.

LLVM comes with Numba's llvmlite. Its text is written directly rather than through Numba's own compiler, which takes 100
to 200 ms for a loop where LLVM alone takes ten (`benchmarks/NOTES.md`). Functions of float32 are polynomials
without branches, so that loops over them become vectors (Moshier's Cephes, `expf`, `logf`, `tanhf`, `erff`); those of
float64, which is for reference, are the C library's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from llvmlite import ir

from .dims import Affine, Dim

I1, I8, I32, I64 = (ir.IntType(bits) for bits in (1, 8, 32, 64))
F32, F64 = ir.FloatType(), ir.DoubleType()
TYPES = {torch.float32: F32, torch.float64: F64, torch.int64: I64, torch.int32: I32, torch.uint8: I8, torch.bool: I1}
FLAGS = ("contract", "nsz")
SUMS = (*FLAGS, "reassoc")  # a sum may be taken in any order; NaN and infinity stay what they are


def in_memory(dtype: torch.dtype) -> Any:
    return I8 if dtype == torch.bool else TYPES[dtype]


def _element(kind: Any) -> Any:
    return kind.element if isinstance(kind, ir.VectorType) else kind


def _as(kind: Any, like: Any) -> Any:
    """`kind`, or so many of it as `like` has."""
    return ir.VectorType(kind, like.count) if isinstance(like, ir.VectorType) else kind


def _instruction(whole: str, real: str) -> Callable[[Any, Any, Any], Any]:
    """A method for a and b: the builder's instruction for whole numbers, or for real ones."""

    def apply(self: Arithmetic, a: Any, b: Any) -> Any:
        b = self.like(b, a)
        if isinstance(a.type, ir.IntType):
            return getattr(self.builder, whole)(a, b)
        return getattr(self.builder, real)(a, b, flags=FLAGS)

    return apply


class Arithmetic:
    """Operations on values, written by `builder`. A `Probe` (see `loops.py`) has the same ones and writes nothing."""

    def __init__(self, builder: ir.IRBuilder) -> None:
        self.builder = builder

    # numbers

    def number(self, value: float, like: Any) -> Any:
        kind = like if isinstance(like, ir.Type) else like.type
        if isinstance(kind, ir.VectorType):
            return ir.Constant(kind, [self.number(value, kind.element)] * kind.count)
        if isinstance(kind, ir.IntType):
            return ir.Constant(kind, int(value))
        return ir.Constant(kind, float(np.float32(value)) if kind == F32 else float(value))

    def convert(self, value: Any, to: torch.dtype) -> Any:
        b, kind = self.builder, TYPES[to]
        if value.type == kind:
            return value
        whole = isinstance(value.type, ir.IntType)
        if to == torch.bool:
            return b.icmp_unsigned("!=", value, self.number(0, value)) if whole else self.compare("!=", value, 0.0)
        if isinstance(kind, ir.IntType):
            if whole:
                unsigned = value.type in (I1, I8)
                wider = kind.width > value.type.width
                return (b.zext if unsigned else b.sext)(value, kind) if wider else b.trunc(value, kind)
            return b.fptosi(value, kind)
        if whole:
            return (b.uitofp if value.type in (I1, I8) else b.sitofp)(value, kind)
        return b.fpext(value, kind) if kind == F64 else b.fptrunc(value, kind)

    # arithmetic

    add, sub, mul = _instruction("add", "fadd"), _instruction("sub", "fsub"), _instruction("mul", "fmul")
    div = _instruction("sdiv", "fdiv")
    rest = _instruction("srem", "frem")  # what is left of a after whole b, with the sign of a

    def total(self, a: Any, b: Any) -> Any:
        """a + b, one of the steps of a sum."""
        return self.builder.add(a, b) if isinstance(a.type, ir.IntType) else self.builder.fadd(a, b, flags=SUMS)

    def neg(self, a: Any) -> Any:
        return self.sub(self.number(0, a), a) if isinstance(a.type, ir.IntType) else self.builder.fneg(a, flags=FLAGS)

    def like(self, value: Any, other: Any) -> Any:
        return self.number(value, other) if isinstance(value, int | float) else value

    def compare(self, how: str, a: Any, b: Any) -> Any:
        """A comparison as PyTorch makes it: NaN is unequal to everything, and neither above nor below."""
        b = self.like(b, a)
        if isinstance(a.type, ir.IntType):
            unsigned = a.type in (I1, I8)
            return (self.builder.icmp_unsigned if unsigned else self.builder.icmp_signed)(how, a, b)
        return (self.builder.fcmp_unordered if how == "!=" else self.builder.fcmp_ordered)(how, a, b)

    def choose(self, condition: Any, yes: Any, no: Any) -> Any:
        if isinstance(yes, int | float):
            yes = self.like(yes, no)
        return self.builder.select(condition, yes, self.like(no, yes))

    def both(self, a: Any, b: Any) -> Any:
        return self.builder.and_(a, b)

    def either(self, a: Any, b: Any) -> Any:
        return self.builder.or_(a, b)

    def differ(self, a: Any, b: Any) -> Any:
        return self.builder.xor(a, b)

    def inverted(self, a: Any) -> Any:
        return self.builder.not_(a)

    def isnan(self, a: Any) -> Any:
        return self.compare("!=", a, a)

    def maximum(self, a: Any, b: Any) -> Any:
        return self._extreme("maximum", ">", a, self.like(b, a))

    def minimum(self, a: Any, b: Any) -> Any:
        return self._extreme("minimum", "<", a, self.like(b, a))

    def _extreme(self, name: str, how: str, a: Any, b: Any) -> Any:
        if isinstance(a.type, ir.IntType):
            return self.choose(self.compare(how, a, b), a, b)
        return self.intrinsic(name, a, b)

    def intrinsic(self, name: str, *arguments: Any) -> Any:
        kind, module = arguments[0].type, self.builder.module
        lanes = f"v{kind.count}" if isinstance(kind, ir.VectorType) else ""
        full = f"llvm.{name}.{lanes}{_element(kind).intrinsic_name}"
        f = module.globals.get(full) or ir.Function(module, ir.FunctionType(kind, [kind] * len(arguments)), full)
        return self.builder.call(f, arguments, fastmath=("nsz",) if name in ("maximum", "minimum") else ())

    def library(self, name: str, *arguments: Any) -> Any:
        """The C library's function."""
        kind = arguments[0].type
        name = name + ("f" if kind == F32 else "")
        module = self.builder.module
        f = module.globals.get(name)
        if f is None:
            f = ir.Function(module, ir.FunctionType(kind, [kind] * len(arguments)), name)
            f.attributes.add("nounwind")
        return self.builder.call(f, arguments)

    # elementary functions

    def sqrt(self, x: Any) -> Any:
        return self.intrinsic("sqrt", x)

    def abs(self, x: Any) -> Any:
        if isinstance(x.type, ir.IntType):
            return self.choose(self.compare("<", x, 0), self.neg(x), x)
        return self.intrinsic("fabs", x)

    def _polynomial(self, x: Any, coefficients: Sequence[float]) -> Any:
        value = self.number(coefficients[0], x)
        for c in coefficients[1:]:
            value = self.add(self.mul(value, x), c)
        return value

    def _bits(self, x: Any) -> Any:
        return self.builder.bitcast(x, _as(I32, x.type))

    def _real(self, bits: Any) -> Any:
        return self.builder.bitcast(bits, _as(F32, bits.type))

    def _power_of_two(self, n: Any) -> Any:
        """2ⁿ of a whole float32 n between −126 and 127; n + 127 stands in the last bits of a sum with 1.5 · 2²³."""
        bits = self._bits(self.add(n, 12582912.0 + 127))
        return self._real(self.builder.shl(bits, self.number(23, bits)))

    def exp(self, x: Any) -> Any:
        if _element(x.type) != F32:
            return self.intrinsic("exp", x) if isinstance(x.type, ir.VectorType) else self.library("exp", x)
        x = self.choose(self.compare(">", x, 89.0), 89.0, x)
        tiny = self.compare("<", x, -104.0)
        x = self.choose(tiny, 0.0, x)  # numbers below the smallest normal one take a hundred times as long
        value, n = self._exp_parts(x)
        half = self.intrinsic("floor", self.mul(n, 0.5))  # in two steps, so that the end of the range is reached
        value = self.mul(self.mul(value, self._power_of_two(half)), self._power_of_two(self.sub(n, half)))
        return self.choose(tiny, 0.0, value)

    def _exp_parts(self, x: Any) -> tuple[Any, Any]:
        """float32 v between √½ and √2 and a whole n, with eˣ = v · 2ⁿ."""
        n = self.intrinsic("rint", self.mul(x, 1.44269504088896341))
        r = self.sub(self.sub(x, self.mul(n, 0.693359375)), self.mul(n, -2.12194440e-4))
        series = self._polynomial(
            r, (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1)
        )
        return self.add(self.add(self.mul(self.mul(r, r), series), r), 1.0), n

    def _exp_within(self, x: Any, low: float = -math.inf, high: float = math.inf) -> Any:
        """eˣ of the nearest float32 to x between these ends: from −87 on, and infinite from 88.4."""
        x = self.choose(self.compare(">", x, high), high, x)
        x = self.choose(self.compare("<", x, low), low, x)
        value, n = self._exp_parts(x)
        return self.mul(value, self._power_of_two(n))

    def log(self, x: Any) -> Any:
        if x.type != F32:
            return self.library("log", x)
        small = self.compare("<", x, 1.17549435e-38)
        scaled = self.choose(small, self.mul(x, 8388608.0), x)
        bits = self.builder.sub(self._bits(scaled), I32(0x3F3504F3))  # of √½, so that what is left is in [√½, √2)
        exponent = self.builder.sitofp(self.builder.ashr(bits, I32(23)), F32)
        exponent = self.choose(small, self.sub(exponent, 23.0), exponent)
        mantissa = self.builder.add(self.builder.and_(bits, I32(0x007FFFFF)), I32(0x3F3504F3))
        r = self.sub(self._real(mantissa), 1.0)
        z = self.mul(r, r)
        series = self._polynomial(
            r,
            (
                7.0376836292e-2,
                -1.1514610310e-1,
                1.1676998740e-1,
                -1.2420140846e-1,
                1.4249322787e-1,
                -1.6668057665e-1,
                2.0000714765e-1,
                -2.4999993993e-1,
                3.3333331174e-1,
            ),
        )
        y = self.add(self.mul(self.mul(r, z), series), self.mul(exponent, -2.12194440e-4))
        y = self.sub(y, self.mul(z, 0.5))
        y = self.add(self.add(r, y), self.mul(exponent, 0.693359375))
        y = self.choose(self.builder.fcmp_ordered("<", x, self.number(np.inf, x)), y, x)  # of infinity and NaN, itself
        y = self.choose(self.compare("==", x, 0.0), -np.inf, y)
        return self.choose(self.compare("<", x, 0.0), np.nan, y)

    def log1p(self, x: Any) -> Any:
        """log(1 + x): log(u) · x / (u − 1) with u = 1 + x as it is rounded, whose errors cancel (Kahan)."""
        if x.type != F32:
            return self.library("log1p", x)
        u = self.add(x, 1.0)
        less = self.sub(u, 1.0)
        value = self.mul(self.log(u), self.div(x, less))
        value = self.choose(self.compare("==", x, np.inf), x, value)
        return self.choose(self.compare("==", less, 0.0), x, value)

    def expm1(self, x: Any) -> Any:
        """exp(x) − 1: (u − 1) · x / log(u) with u = exp(x) as it is rounded (Kahan)."""
        if x.type != F32:
            return self.library("expm1", x)
        u = self.exp(x)
        less = self.sub(u, 1.0)
        value = self.mul(less, self.div(x, self.log(u)))
        value = self.choose(self.compare("==", u, np.inf), u, value)
        value = self.choose(self.compare("==", less, -1.0), -1.0, value)
        return self.choose(self.compare("==", less, 0.0), x, value)

    def tanh(self, x: Any) -> Any:
        if x.type != F32:
            return self.library("tanh", x)
        size = self.abs(x)
        z = self.mul(x, x)
        series = self._polynomial(
            z, (-5.70498872745e-3, 2.06390887954e-2, -5.37397155531e-2, 1.33314422036e-1, -3.33332819422e-1)
        )
        near = self.add(self.mul(self.mul(x, z), series), x)
        twice = self.add(self._exp_within(self.add(size, size), high=20.0), 1.0)  # of which tanh rounds to 1
        far = self.intrinsic("copysign", self.sub(self.number(1.0, x), self.div(self.number(2.0, x), twice)), x)
        return self.choose(self.compare("<", size, 0.625), near, far)

    def sigmoid(self, x: Any) -> Any:
        if _element(x.type) != F32:
            return self.div(self.number(1.0, x), self.add(self.exp(self.neg(x)), 1.0))
        return self.div(self.number(1.0, x), self.add(self._exp_within(self.neg(x), -87.0, 89.0), 1.0))

    def erf(self, x: Any) -> Any:
        if x.type != F32:
            return self.library("erf", x)
        z, size = self.mul(x, x), self.abs(x)
        series = self._polynomial(
            z,
            (
                7.853861353153693e-5,
                -8.010193625184903e-4,
                5.188327685732524e-3,
                -2.685381193529856e-2,
                1.128358514861418e-1,
                -3.761262582423300e-1,
                1.128379165726710,
            ),
        )
        t = self.div(self.number(1.0, x), self.add(self.mul(size, 0.3275911), 1.0))  # Abramowitz & Stegun 7.1.26
        tail = self._polynomial(t, (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592))
        beyond = self.sub(self.number(1.0, x), self.mul(self.mul(tail, t), self._exp_within(self.neg(z), low=-87.0)))
        far = self.intrinsic("copysign", beyond, x)
        return self.choose(self.compare("<", size, 1.0), self.mul(x, series), far)

    def power(self, x: Any, y: Any) -> Any:
        exponents: dict[float, Callable[[Any], Any]] = {
            0.0: lambda x: self.number(1.0, x),
            1.0: lambda x: x,
            2.0: lambda x: self.mul(x, x),
            3.0: lambda x: self.mul(self.mul(x, x), x),
            -1.0: lambda x: self.div(self.number(1.0, x), x),
            -2.0: lambda x: self.div(self.number(1.0, x), self.mul(x, x)),
        }
        if isinstance(y, int | float) and float(y) in exponents:
            return exponents[float(y)](x)
        if isinstance(x.type, ir.IntType):
            raise NotImplementedError
        return self.library("pow", x, self.like(y, x))

    def sign(self, x: Any) -> Any:
        zero = self.number(0, x)
        kind = x.type
        up = self.builder.uitofp(self.compare(">", x, zero), kind)
        return self.sub(up, self.builder.uitofp(self.compare("<", x, zero), kind))


class Body(Arithmetic):
    """The inside of one compiled loop: a function of the batch size and of the buffers that it reads and writes."""

    def __init__(self, function: ir.Function, buffers: Sequence[Any]) -> None:
        super().__init__(ir.IRBuilder(function.append_basic_block("entry")))
        self.function = function
        self.samples, *pointers = function.args
        self.pointers = dict(zip(buffers, pointers, strict=True))
        for pointer in pointers:
            pointer.add_attribute("noalias")
        self._powers = [I64(1), self.samples]

    def dim(self, dim: Dim | int) -> Any:
        dim = Dim.of(dim)
        total: Any = None
        for k, c in enumerate(dim.coefficients):
            while len(self._powers) <= k:
                self._powers.append(self.builder.mul(self._powers[-1], self.samples, flags=["nsw"]))
            if c:
                term = I64(c) if k == 0 else self.builder.mul(I64(c), self._powers[k], flags=["nsw"])
                total = term if total is None else self.builder.add(total, term, flags=["nsw"])
        return I64(0) if total is None else total

    def index(self, at: Affine) -> Any:
        total = None if at.terms and not at.constant.coefficients else self.dim(at.constant)
        for counter, factor in at.terms:
            term = counter.value
            if factor != Dim((1,)):
                term = self.builder.mul(term, self.dim(factor), flags=["nsw"])
            total = term if total is None else self.builder.add(total, term, flags=["nsw"])
        return total

    def load(self, buffer: Any, at: Affine) -> Any:
        value = self.builder.load(self._pointer(buffer, at))
        return self.convert(value, torch.bool) if buffer.dtype == torch.bool else value

    def store(self, buffer: Any, at: Affine, value: Any) -> None:
        if buffer.dtype == torch.bool:
            value = self.builder.zext(value, I8)
        self.builder.store(value, self._pointer(buffer, at))

    def _pointer(self, buffer: Any, at: Affine) -> Any:
        return self.builder.gep(self.pointers[buffer], [self.index(at)], inbounds=True)

    def share(self, a: float, b: float, c: float, like: Any) -> Any:
        """(a + bn) / (c + n)."""
        n = self.builder.sitofp(self.samples, F64)
        above = self.builder.fadd(F64(a), self.builder.fmul(F64(b), n))
        quotient = self.builder.fdiv(above, self.builder.fadd(F64(c), n))
        kind = like if isinstance(like, ir.Type) else like.type
        return quotient if kind == F64 else self.builder.fptrunc(quotient, kind)

    @contextmanager
    def loop(self, size: Dim | int, *carried: Any, end: Any = None) -> Iterator[tuple[Counter, list[Any]]]:
        """A loop from 0 to `size` − 1, which is at least 1. `carried` are values that one round hands to the next: put
        the new ones into the list that is given, which holds the last ones afterwards. `end`: the size, where it is
        known only here."""
        size, b = Dim.of(size), self.builder
        counter, handed = Counter(size), list(carried)
        if size.fixed == 1 and end is None:
            counter.value = I64(0)
            yield counter, handed
            return
        end = self.dim(size) if end is None else end
        before, head, after = b.block, b.append_basic_block("loop"), b.append_basic_block("after")
        b.branch(head)
        b.position_at_end(head)
        phi = b.phi(I64)
        phi.add_incoming(I64(0), before)
        phis = []
        for value in carried:
            one = b.phi(value.type)
            one.add_incoming(value, before)
            phis.append(one)
        counter.value, handed[:] = phi, phis
        yield counter, handed
        following = b.add(phi, I64(1), flags=["nsw", "nuw"])
        phi.add_incoming(following, b.block)
        for one, value in zip(phis, handed, strict=True):
            one.add_incoming(value, b.block)
        b.cbranch(b.icmp_signed("<", following, end), head, after)
        b.position_at_end(after)

    @contextmanager
    def rounds(self, count: Any) -> Iterator[Any]:
        """A loop of `count` rounds, at least 1; gives its counter."""
        with self.loop(0, end=count) as (counter, _):
            yield counter.value

    @contextmanager
    def parts(self, size: Any, each: int) -> Iterator[tuple[Any, Any]]:
        """A loop through `size`, at least 1, by so many: where a part starts, and what is left from there."""
        b = self.builder
        with self.rounds(b.sdiv(b.add(size, I64(each - 1)), I64(each))) as k:
            start = b.mul(k, I64(each))
            yield start, b.sub(size, start)


class Counter:
    """The counter of a loop."""

    def __init__(self, size: Dim | int) -> None:
        self.size = Dim.of(size)
        self.value: Any = None
