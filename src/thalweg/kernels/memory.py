"""Loads and stores by address, for compiled kernels, in every format a value may have in memory.

`load_<dtype>(address, i, k)` and `store_<dtype>(address, i, k, value)` carry LLVM alias metadata: what goes
through scope `k` never overlaps what goes through another scope. Without it LLVM must compare every pair of
pointers at run time, and gives up vectorising beyond three or four arrays; with it a rule with many states runs
as wide as one with none.

What is kept in fewer bits (see `storage.py`) is packed and unpacked here, one value at a time and without
branches, so that these loops become vectors too.
"""

from __future__ import annotations

import platform
from collections.abc import Callable
from math import sqrt
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.core.errors import TypingError
from numba.extending import intrinsic

_SCOPES = 48  # w, g, the states and what belongs to them; what lies beyond is accessed without a promise
_WORD, _HALF = ir.IntType(32), ir.IntType(16)
_GOLDEN, _PAIR = 0x9E3779B9, 0x3C6EF35F


def _promise(builder: Any, instruction: Any, scope: int) -> None:
    """Tell LLVM that this access never overlaps one of another scope; equal nodes of a module are one."""
    if scope >= _SCOPES:
        return
    module = builder.module
    domain = module.add_metadata([ir.MetaDataString(module, "thalweg")])
    names = [ir.MetaDataString(module, f"thalweg {k}") for k in range(_SCOPES)]
    scopes = [module.add_metadata([name, domain]) for name in names]
    instruction.set_metadata("alias.scope", module.add_metadata([scopes[scope]]))
    instruction.set_metadata("noalias", module.add_metadata([s for s in scopes if s is not scopes[scope]]))


def _constant(scope: Any) -> None:
    if not isinstance(scope, types.IntegerLiteral):
        raise TypingError("the alias scope must be a constant")


Convert = Callable[[Any, Any], Any]


def _pair(dtype: Any, width: ir.Type, unpack: Convert | None = None, pack: Convert | None = None) -> Any:
    """Load and store of values that are `width` in memory and `dtype` in a formula."""

    @intrinsic(prefer_literal=True)
    def load(typingctx: Any, address: Any, index: Any, scope: Any) -> Any:
        _constant(scope)

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            pointer = builder.inttoptr(arguments[0], width.as_pointer())
            value = builder.load(builder.gep(pointer, [arguments[1]], inbounds=True))
            _promise(builder, value, scope.literal_value)
            return unpack(builder, value) if unpack else value

        return dtype(types.int64, types.int64, scope), generate

    @intrinsic(prefer_literal=True)
    def store(typingctx: Any, address: Any, index: Any, scope: Any, value: Any) -> Any:
        _constant(scope)

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            pointer = builder.inttoptr(arguments[0], width.as_pointer())
            packed = pack(builder, arguments[3]) if pack else arguments[3]
            instruction = builder.store(packed, builder.gep(pointer, [arguments[1]], inbounds=True))
            _promise(builder, instruction, scope.literal_value)
            return context.get_dummy_value()

        return types.void(types.int64, types.int64, scope, dtype), generate

    return load, store


def _upper_half(builder: Any, word: Any) -> Any:
    return builder.trunc(builder.lshr(word, _WORD(16)), _HALF)


def _is_number(builder: Any, word: Any) -> Any:
    return builder.icmp_unsigned("<", builder.and_(word, _WORD(0x7F800000)), _WORD(0x7F800000))


def _rounded(builder: Any, word: Any, added: Any) -> Any:
    """The upper half of a float32 word after an addition; of NaN and infinity, the upper half unchanged."""
    quiet = builder.fcmp_unordered("uno", *[builder.bitcast(word, ir.FloatType())] * 2)
    special = builder.select(quiet, builder.or_(word, _WORD(0x400000)), word)
    return _upper_half(builder, builder.select(_is_number(builder, word), builder.add(word, added), special))


def _from_bfloat16(builder: Any, half: Any) -> Any:
    return builder.bitcast(builder.shl(builder.zext(half, _WORD), _WORD(16)), ir.FloatType())


def _to_bfloat16(builder: Any, value: Any) -> Any:
    word = builder.bitcast(value, _WORD)
    odd = builder.and_(builder.lshr(word, _WORD(16)), _WORD(1))
    return _rounded(builder, word, builder.add(odd, _WORD(0x7FFF)))


load_float32, store_float32 = _pair(types.float32, ir.FloatType())
load_float64, store_float64 = _pair(types.float64, ir.DoubleType())
load_int64, store_int64 = _pair(types.int64, ir.IntType(64))
load_bool, store_bool = _pair(types.int8, ir.IntType(8))
load_bfloat16, store_bfloat16 = _pair(types.float32, _HALF, _from_bfloat16, _to_bfloat16)
# the upper half of a float32, without rounding
_, store_cut = _pair(types.float32, _HALF, _from_bfloat16, lambda b, v: _upper_half(b, b.bitcast(v, _WORD)))
_BYTE = ir.IntType(8)
load_int8, store_int8 = _pair(types.int32, _BYTE, lambda b, v: b.sext(v, _WORD), lambda b, v: b.trunc(v, _BYTE))


def operation(result: types.Type, *operands: types.Type) -> Callable[[Callable[..., Any]], Any]:
    """Make f(builder, *operands), which writes LLVM's instructions, a function for compiled loops to call."""

    def declare(write: Callable[..., Any]) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return write(builder, *arguments)

        def unary(typingctx: Any, a: Any) -> Any:
            return result(*operands), generate

        def binary(typingctx: Any, a: Any, b: Any) -> Any:
            return result(*operands), generate

        return intrinsic(unary if len(operands) == 1 else binary)

    return declare


@operation(types.float32, types.float32, types.uint32)
def jitter(builder: Any, value: Any, bits: Any) -> Any:
    """A float32 moved up by 16 random bits, for `store_cut`; what is not finite stays."""
    word = builder.bitcast(value, _WORD)
    moved = builder.select(_is_number(builder, word), builder.add(word, bits), word)
    return builder.bitcast(moved, ir.FloatType())


def _mixed(builder: Any, x: Any) -> Any:
    """`storage.mix`."""
    x = builder.mul(builder.xor(x, builder.lshr(x, _WORD(16))), _WORD(0x85EBCA6B))
    x = builder.mul(builder.xor(x, builder.lshr(x, _WORD(13))), _WORD(0xC2B2AE35))
    return builder.xor(x, builder.lshr(x, _WORD(16)))


@intrinsic(prefer_literal=True)
def origin(typingctx: Any, tensor: Any, t: Any, first: Any, pair: Any) -> Any:
    """What the random bits of a tensor and a step begin from, for the elements from `first` on."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        number, step, place = (builder.trunc(a, _WORD) for a in arguments[:3])
        key = _mixed(builder, builder.xor(_mixed(builder, builder.add(number, _WORD(_GOLDEN))), step))
        place = builder.add(place, _WORD(pair.literal_value * _PAIR & 0xFFFFFFFF))
        return builder.add(builder.mul(place, _WORD(_GOLDEN)), key)

    return types.uint32(types.int64, types.int64, types.int64, pair), generate


@operation(types.uint32, types.int64, types.uint32)
def draw(builder: Any, element: Any, origin: Any) -> Any:
    """32 random bits for an element: 16 each for the streams 2·pair and 2·pair + 1; `storage.noise`."""
    x = builder.add(builder.mul(builder.trunc(element, _WORD), _WORD(_GOLDEN)), origin)
    x = builder.mul(builder.xor(x, builder.lshr(x, _WORD(16))), _WORD(0x85EBCA6B))
    return builder.xor(x, builder.lshr(x, _WORD(15)))


@intrinsic(prefer_literal=True)
def half(typingctx: Any, bits: Any, which: Any) -> Any:
    """The lower (0) or the upper (1) 16 of 32 bits."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        upper = which.literal_value == 1
        return builder.lshr(arguments[0], _WORD(16)) if upper else builder.and_(arguments[0], _WORD(0xFFFF))

    return types.uint32(types.uint32, which), generate


@operation(types.uint32, types.float32)
def magnitude(builder: Any, value: Any) -> Any:
    """|x| of a float32 as a word: they are in order as the values are, and NaN is the largest."""
    return builder.and_(builder.bitcast(value, _WORD), _WORD(0x7FFFFFFF))


@operation(types.uint32, types.float32)
def is_negative(builder: Any, value: Any) -> Any:
    """A word that is not 0 where a float32 is below 0: a comparison of words, because one of floats, with its care
    for NaN, would keep the loop from becoming vectors."""
    return builder.zext(builder.icmp_unsigned(">", builder.bitcast(value, _WORD), _WORD(0x80000000)), _WORD)


@operation(types.uint32, types.uint32, types.uint32)
def either(builder: Any, a: Any, b: Any) -> Any:
    """The bits of one word or the other."""
    return builder.or_(a, b)


@operation(types.uint32, types.uint32, types.uint32)
def larger(builder: Any, a: Any, b: Any) -> Any:
    """The larger of two words."""
    return builder.select(builder.icmp_unsigned(">", a, b), a, b)


@operation(types.float32, types.uint32)
def as_float32(builder: Any, word: Any) -> Any:
    """The float32 of a word."""
    return builder.bitcast(word, ir.FloatType())


@intrinsic(prefer_literal=True)
def scratch(typingctx: Any, count: Any) -> Any:
    """The address of room for `count` float32 on the stack."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        room = ir.ArrayType(ir.FloatType(), count.literal_value)
        with builder.goto_entry_block():
            place = builder.alloca(room)
            place.align = 64
        return builder.ptrtoint(place, ir.IntType(64))

    return types.int64(count), generate


_CONTROL = platform.machine().lower() in ("x86_64", "amd64")  # elsewhere numbers are never flushed
_FLUSHING = 0x8040  # of the control word: denormal results are 0, and so are denormal operands


def _control_word(builder: Any) -> tuple[Any, Any]:
    """Room for the processor's control word, and the word."""
    with builder.goto_entry_block():
        place = builder.alloca(_WORD)
    _of_control(builder, "stmxcsr", place)
    return place, builder.load(place)


def _of_control(builder: Any, name: str, place: Any) -> None:
    byte = ir.IntType(8).as_pointer()
    kind = ir.FunctionType(ir.VoidType(), [byte])
    function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.x86.sse.{name}")
    builder.call(function, [builder.bitcast(place, byte)])


@intrinsic
def flush_denormals(typingctx: Any, asked: Any) -> Any:
    """Take numbers below the smallest normal one as 0 from here on, if asked; what `control` is given to end that."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        if not _CONTROL:
            return _WORD(0)
        place, before = _control_word(builder)
        asked = builder.icmp_signed("!=", arguments[0], ir.IntType(64)(0))
        builder.store(builder.select(asked, builder.or_(before, _WORD(_FLUSHING)), before), place)
        _of_control(builder, "ldmxcsr", place)
        return before

    return types.uint32(types.int64), generate


@intrinsic
def control(typingctx: Any, word: Any) -> Any:
    """Have the processor compute as it did when that word was its own."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        if _CONTROL:
            place, _ = _control_word(builder)
            builder.store(arguments[0], place)
            _of_control(builder, "ldmxcsr", place)
        return context.get_dummy_value()

    return types.void(types.uint32), generate


@intrinsic
def call(typingctx: Any, function: Any, job: Any, start: Any, stop: Any) -> Any:
    """Call a compiled loop by its address."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(ir.VoidType(), [ir.IntType(64)] * 3)
        builder.call(builder.inttoptr(arguments[0], kind.as_pointer()), arguments[1:])
        return context.get_dummy_value()

    return types.void(*[types.int64] * 4), generate


@intrinsic
def added(typingctx: Any, total: Any, value: Any) -> Any:
    """A sum whose terms may be taken in any order, so that a loop over them becomes vectors."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.fadd(*arguments, flags=("reassoc", "nsz", "contract"))

    return total(total, total), generate


@njit(inline="always")
def maximum(a, b):
    """The larger; NaN if either is, as torch.maximum."""
    return a if (a > b or a != a) else b


@njit(inline="always")
def minimum(a, b):
    """The smaller; NaN if either is, as torch.minimum."""
    return a if (a < b or a != a) else b


@njit(inline="always")
def sign(a):
    """−1, 0 or 1; 0 for NaN, as torch.sign."""
    return type(a)((a > 0) - (a < 0))


@njit(inline="always")
def logical_not(a):
    """The opposite of a condition."""
    return not a


# Float32 constants: a Python number would widen the whole loop to float64.
_F = np.float32
_ZERO, _ONE, _TINY, _HUGE, _UNIT = _F(0), _F(1), _F(1.2e-38), _F(3.4028235e38), _F(2.0**-16)
_SIGNED, _UNSIGNED = _F(127), _F(255)
_PER_SIGNED, _PER_UNSIGNED = _F(1 / 127), _F(1 / 255)


@njit(inline="always")
def unpacking(scale):
    """(what is added to negative codes, the share of a code, the magnitude) of a block; `storage.from_int8`."""
    unsigned = scale < _ZERO
    return (_F(256) if unsigned else _ZERO, _PER_UNSIGNED if unsigned else _PER_SIGNED, -scale if unsigned else scale)


@njit(inline="always")
def unpack(code, wrap, share, size):
    k = _F(code)
    y = (k + (wrap if k < _ZERO else _ZERO)) * share
    return size * (y * abs(y)) * (y * y)


@njit(inline="always")
def packing(largest, negative):
    """(scale, its reciprocal, the largest code, a code's share) of a block, from its largest magnitude and
    whether any value is negative."""
    sound = (largest > _TINY) & (largest <= _HUGE)
    size = _ZERO if largest <= _TINY else largest
    scale = size if negative else -size
    inverse = _ONE / largest if sound else _ZERO
    return scale, inverse, _SIGNED if negative else _UNSIGNED, _PER_SIGNED if negative else _PER_UNSIGNED


@njit(inline="always")
def pack(x, inverse, most, share, bits):
    """The code of a value, rounded by 16 random bits; `storage.to_int8`."""
    y = abs(x) * inverse
    k = _F(np.int32(sqrt(sqrt(y)) * most))
    k = k if k < most - _ONE else most - _ONE
    low, high = k * share, (k + _ONE) * share
    low, high = low * low, high * high
    low, high = low * low, high * high
    k = k + (_ONE if _F(np.int32(bits)) * _UNIT * (high - low) < y - low else _ZERO)
    k = _ONE if (k == _ZERO) & (x != _ZERO) & (inverse > _ZERO) else k
    return np.int32(-k if x < _ZERO else k)
