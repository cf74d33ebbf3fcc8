"""An expression's value and gradient as one compiled loop over points.

SymPy differentiates; what the partial derivatives have in common is computed once; Numba compiles the rest. No two
operations are merged into one that rounds once, so that a point's gradient has the same bits among any others.
Points lie as (points, dimensions) float64, so that the kernels of the rules read the gradients without a copy.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import sympy as sp

from ..errors import SurfaceError
from ..kernels import numba_cpu
from ..kernels.generated import module
from ..kernels.lower import Printer
from ..kernels.numba_cpu import Launch
from ..kernels.threads import addresses
from .slopes import WIDE, derivatives, walkable

_LIBRARY = "acos acosh asin asinh atan atan2 atanh cosh erf log sinh sqrt tan tanh"
_FUNCTIONS = sorted([*WIDE, *_LIBRARY.split()])
_HEAD = f"""
from math import {", ".join(f"{name} as _{name}" for name in _LIBRARY.split())}
from numba import cfunc as _cfunc
from numpy import ceil as _ceil, floor as _floor
from thalweg.kernels.elementary import {", ".join(f"{name} as _{name}" for name in WIDE)}
from thalweg.kernels.memory import load_float64 as _load, load_int64 as _load_int64, store_float64 as _store
from thalweg.kernels.memory import logical_not as _logical_not, maximum as _maximum, minimum as _minimum, sign as _sign
_abs = abs
_compiled = _cfunc("void(int64, int64, int64)", nopython=True, cache=True, error_model="numpy",
                   fastmath={{"nsz"}}, boundscheck=False)
"""


class _Printer(Printer):
    def call(self, function: str, *arguments: str) -> str:
        return f"_{function}({', '.join(arguments)})"

    def _print_Function(self, expr: sp.Function) -> str:
        name = type(expr).__name__
        if name not in (*_FUNCTIONS, "ceiling", "floor", "sign"):
            raise SurfaceError(
                "{expr} has no compiled form; use + − * / ** and {names}.", expr=expr, names=", ".join(_FUNCTIONS)
            )
        return self.call(name.replace("ceiling", "ceil"), *map(self._print, expr.args))

    _print_sin = _print_cos = _print_tanh = _print_exp = _print_log = _print_Function


@functools.cache
def compiled(expression: sp.Expr, variables: tuple[sp.Symbol, ...]) -> Any:
    """A module with `gradients` and, of more work, `both`: ``f(job, start, stop)`` over points start … stop.

    job: the addresses of points (points, dimensions), gradients (the same) and losses (points,).
    """
    slopes = derivatives(expression, variables)
    text = f'"""{len(variables)} variables: generated from an expression."""\n{_HEAD}'
    for name, outputs in (("gradients", slopes), ("both", (*slopes, walkable(expression)))):
        text += "\n".join(_loop(name, outputs, variables)) + "\n\n"
    return module(text, "surface")


def _loop(name: str, outputs: Sequence[sp.Expr], variables: Sequence[sp.Symbol]) -> list[str]:
    count, print_ = len(variables), _Printer().doprint
    named = {v: sp.Symbol(f"_w{k}", real=True) for k, v in enumerate(variables)}
    parts = sp.numbered_symbols("_x", real=True)
    shared, values = sp.cse([output.xreplace(named) for output in outputs], symbols=parts, order="none")
    slopes, losses = values[:count], values[count:]
    return [
        "@_compiled",
        f"def {name}(_job, _start, _stop):",
        *(f"    _{what} = _load_int64(_job, {k}, 99)" for k, what in enumerate(("at", "slopes", "losses"))),
        "    for _i in range(_start, _stop):",
        *(f"        _w{k} = _load(_at, {count}*_i + {k}, 0)" for k in range(count)),
        *(f"        {x} = {print_(value)}" for x, value in shared),
        *(f"        _store(_slopes, {count}*_i + {k}, 1, float({print_(v)}))" for k, v in enumerate(slopes)),
        *(f"        _store(_losses, _i, 2, float({print_(value)}))" for value in losses),
    ]


def evaluate(
    expression: sp.Expr, variables: tuple[sp.Symbol, ...], points: np.ndarray, threads: int
) -> tuple[np.ndarray, np.ndarray]:
    """Losses (points,) and gradients (points, dimensions) at points (points, dimensions)."""
    points = np.ascontiguousarray(points, dtype=np.float64)
    losses, gradients = np.empty(len(points)), np.empty_like(points)
    arrays = (points, gradients, losses)
    length = np.ones(len(points), dtype=np.int64)
    function = compiled(expression, variables).both.address
    numba_cpu.run([Launch(function, addresses(*arrays), length, arrays)], threads)
    return losses, gradients
