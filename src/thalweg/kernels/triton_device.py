"""What kernels for the GPU are made of: loads and stores in every format, and functions exact where Triton's are not.

Triton's own spelling of a division or a root of float32 is an estimate on NVIDIA's chips, its maximum drops NaN,
and it has no powers; what is here agrees with torch's operations.

bfloat16 is read and written as its 16 bits: so it rounds as `storage.py` says, by random bits too, and in the
interpreter (``TRITON_INTERPRET=1``, the CPU in tests), whose own conversion does not round to even.

Nothing here is imported before a kernel is wanted: Triton comes with torch's builds for CUDA and not with others.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import triton
import triton.language as tl

INTERPRETED: bool = triton.knobs.runtime.interpret


def inlined(function: Any) -> Any:
    """A function for kernels to call; an interpreted kernel calls the plain one, a hundred times as fast."""
    return function if INTERPRETED else triton.jit(function)


@inlined
def load(at, i, mask, dtype: tl.constexpr):
    """Values in the dtype of the computation; those masked out are anything."""
    value = tl.load(at + i, mask=mask)
    if value.dtype == tl.uint16:  # bfloat16
        value = (value.to(tl.uint32) << 16).to(tl.float32, bitcast=True)
    return value.to(dtype)


@inlined
def store(at, i, mask, value, bits):
    """Round values once, to the format in memory; bfloat16 by 16 random bits where there are any."""
    if at.dtype.element_ty == tl.uint16:
        value = value.to(tl.float32)
        word = value.to(tl.uint32, bitcast=True)
        if bits is None:
            added = ((word >> 16) & 1) + 0x7FFF
        else:
            added = bits
        number = (word & 0x7F800000) < 0x7F800000
        quiet = tl.where(value != value, word | 0x400000, word)  # NaN must not become an infinity
        tl.store(at + i, (tl.where(number, word + added, quiet) >> 16).to(tl.uint16), mask=mask)
    else:
        tl.store(at + i, value.to(at.dtype.element_ty), mask=mask)


@inlined
def draw(element, key, shift: tl.constexpr):
    """32 random bits for each element: 16 each for two streams; `storage.noise`."""
    bits = (element + shift) * 0x9E3779B9 + key
    bits = (bits ^ (bits >> 16)) * 0x85EBCA6B
    return bits ^ (bits >> 15)


@inlined
def unpack(at, i, mask, scale):
    """Values of int8 codes, shaped (blocks, 256), and of a scale for each block; `storage.from_int8`."""
    code = tl.load(at + i, mask=mask).to(tl.float32)
    unsigned = scale < 0
    share = tl.where(unsigned, 1 / 255, 1 / 127)[:, None]
    y = tl.where(unsigned[:, None] & (code < 0), code + 256, code) * share
    return tl.abs(scale)[:, None] * (y * tl.abs(y)) * (y * y)


@inlined
def pack(at, i, mask, at_scale, block, present, x, bits):
    """Codes of values shaped (blocks, 256), and the scales, into memory; `storage.to_int8`."""
    x = x.to(tl.float32)
    if mask is not None:
        x = tl.where(mask, x, 0.0)
    size = x.to(tl.int32, bitcast=True) & 0x7FFFFFFF  # in order as magnitudes are, with NaN the largest
    largest = tl.max(size, axis=1).to(tl.float32, bitcast=True)
    unsigned = tl.max((x < 0).to(tl.int32), axis=1) == 0
    sound = (largest > 1.2e-38) & (largest <= 3.4028235e38)
    scale = tl.where(largest <= 1.2e-38, 0.0, tl.where(unsigned, -largest, largest))
    tl.store(at_scale + block, scale, mask=present)
    sound = sound[:, None]
    most = tl.where(unsigned, 255.0, 127.0)[:, None]
    share = tl.where(unsigned, 1 / 255, 1 / 127)[:, None]
    y = tl.where(sound, tl.abs(x) * tl.div_rn(1.0, largest)[:, None], 0.0)
    k = tl.floor(tl.sqrt_rn(tl.sqrt_rn(y)) * most)
    k = tl.where(k < most - 1, k, most - 1)
    low, high = k * share, (k + 1) * share
    low, high = low * low, high * high
    low, high = low * low, high * high
    k = tl.where(bits.to(tl.float32) * (1 / 65536) * (high - low) < y - low, k + 1, k)
    k = tl.where((k == 0) & (x != 0) & sound, 1.0, k)
    code = tl.where(x < 0, -k, tl.where(k > 127, k - 256, k))
    tl.store(at + i, code.to(tl.int8), mask=mask)


@inlined
def maximum(a, b):
    """The larger; NaN if either is, as torch.maximum."""
    return tl.where(a > b, a, tl.where(a != a, a, b))


@inlined
def minimum(a, b):
    """The smaller; NaN if either is, as torch.minimum."""
    return tl.where(a < b, a, tl.where(a != a, a, b))


@inlined
def sign(a):
    """−1, 0 or 1; 0 for NaN, as torch.sign."""
    return (a > 0).to(a.dtype) - (a < 0).to(a.dtype)


@inlined
def logical_and(a, b):
    """Both conditions; not &, which in the interpreter refuses one number beside many."""
    return tl.where(a, b, a)


@inlined
def logical_or(a, b):
    """Either condition."""
    return tl.where(a, a, b)


@inlined
def logical_not(a):
    """The opposite of a condition."""
    return a == 0


@inlined
def whole_power(a, n: tl.constexpr):
    """aⁿ by multiplications, n ≥ 1."""
    result = a
    for _ in tl.static_range(n - 1):
        result = result * a
    return result


@inlined
def root(a):
    """√a, rounded once."""
    if a.dtype == tl.float32:
        result = tl.sqrt_rn(a)
    else:
        result = tl.sqrt(a)
    return result


@inlined
def ratio(a, b):
    """a / b, rounded once."""
    if a.dtype == tl.float32:
        result = tl.div_rn(a, b)
    else:
        result = a / b
    return result


if INTERPRETED:  # the interpreter cannot call CUDA's library of functions: NumPy stands in
    from triton.runtime.interpreter import TensorHandle

    def _by_numpy(function: Any) -> Any:
        def call(*arguments: Any) -> Any:
            shaped = next((a for a in arguments if a.type.is_block()), arguments[0])
            data = function(*(a.handle.data for a in arguments))
            return tl.tensor(TensorHandle(data, shaped.handle.dtype), shaped.type)

        return call

    cos, exp, log, sin, tanh, power = map(_by_numpy, (np.cos, np.exp, np.log, np.sin, np.tanh, np.power))
else:
    from triton.language.extra import libdevice

    cos, exp, log = libdevice.cos, libdevice.exp, libdevice.log
    sin, tanh, power = libdevice.sin, libdevice.tanh, libdevice.pow


@inlined
def summed(at, i, mask, at_sum):
    g = load(at, i, mask, tl.float64)
    if mask is not None:
        g = tl.where(mask, g, 0.0)
    tl.store(at_sum, tl.sum(g * g, axis=0))


@triton.jit
def squares(_table, _owner, _sums, kind: tl.constexpr, block: tl.constexpr, aligned: tl.constexpr):
    """Σg² of each instance's gradients, in float64, where no square overflows."""
    p = tl.program_id(0)
    line = _table + tl.load(_owner + p).to(tl.int64) * 3
    start = (p - tl.load(line + 1)) * block
    left = tl.load(line + 2) - start
    at = tl.load(line).to(tl.pointer_type(kind)) + start
    if aligned:
        at = tl.multiple_of(at, 16)
    i = tl.arange(0, block)
    if left >= block:
        summed(at, i, None, _sums + p)
    else:
        summed(at, i, i < left, _sums + p)
