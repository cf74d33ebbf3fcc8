"""sin, cos, exp and what is made of exp, for compiled loops over many values.

A value has the same bits in a vector as alone. The C library's functions are called once per value, which keeps a loop
from becoming vectors; these have no branches, and are several times faster. The argument is reduced in parts (Cody &
Waite 1980), and what is left goes into the polynomials of fdlibm (Sun Microsystems 1993); errors are below 2 units in
the last place for sin and cos up to |x| = 10⁶, for exp everywhere.
"""

from __future__ import annotations

from math import log1p
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types

from .memory import operation

_LONG = ir.IntType(64)


@operation(types.float64, types.float64)
def _power_of_two(builder: Any, n: Any) -> Any:
    """2ⁿ of a whole float64 n between −1022 and 1023; n + 1023 stands in the last bits of a sum with 2⁵²."""
    shifted = builder.fadd(n, ir.Constant(ir.DoubleType(), 2.0**52 + 1023))
    return builder.bitcast(builder.shl(builder.bitcast(shifted, _LONG), _LONG(52)), ir.DoubleType())


@njit(inline="always")
def _quarters(x):
    """x as a number of quarter turns, modulo 4, and what is left of it, within ± π/4."""
    n = np.rint(x * 0.6366197723675814)
    rest = ((x - n * 1.5707963267341256) - n * 6.077100506303966e-11) - n * 2.0222662487959506e-21
    return n - 4.0 * np.floor(n * 0.25), rest


@njit(inline="always")
def _sine(r):
    z = r * r
    series = -2.5050760253406863e-08 + z * 1.58969099521155e-10
    series = 2.7557313707070068e-06 + z * series
    series = 0.00833333333332249 + z * (-0.0001984126982985795 + z * series)
    return r + r * z * (-0.16666666666666632 + z * series)


@njit(inline="always")
def _cosine(r):
    z = r * r
    series = 2.087572321298175e-09 + z * -1.1359647557788195e-11
    series = 2.480158728947673e-05 + z * (-2.7557314351390663e-07 + z * series)
    tail = z * z * (0.0416666666666666 + z * (-0.001388888888887411 + z * series))
    half = 0.5 * z
    rough = 1.0 - half
    return rough + (((1.0 - rough) - half) + tail)


@njit(inline="always")
def sin(x):
    n, r = _quarters(x)
    value = _cosine(r) if n - 2.0 * np.floor(0.5 * n) > 0.5 else _sine(r)
    return -value if n > 1.5 else value


@njit(inline="always")
def cos(x):
    n, r = _quarters(x)
    value = _sine(r) if n - 2.0 * np.floor(0.5 * n) > 0.5 else _cosine(r)
    return -value if (n > 0.5) & (n < 2.5) else value


@njit(inline="always")
def exp(x):
    x = 1400.0 if x > 1400.0 else x
    x = -1400.0 if x < -1400.0 else x
    n = np.rint(x * 1.4426950408889634)
    high, low = x - n * 0.6931471803691238, n * 1.9082149292705877e-10
    r = high - low
    z = r * r
    series = 6.613756321437934e-05 + z * (-1.6533902205465252e-06 + z * 4.1381367970572385e-08)
    c = r - z * (0.16666666666666602 + z * (-0.0027777777777015593 + z * series))
    first = np.floor(0.5 * n)  # in two steps, so that the end of the range is reached from inside
    return (1.0 - ((low - r * c / (2.0 - c)) - high)) * _power_of_two(first) * _power_of_two(n - first)


@njit(inline="always")
def sigmoid(x):
    return 1.0 / (1.0 + exp(-x))


@njit(inline="always")
def softplus(x):
    return (x if x > 0.0 else 0.0) + log1p(exp(-abs(x)))
