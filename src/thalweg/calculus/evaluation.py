"""An expression compiled for numbers: one Python function for floats, NumPy arrays and torch tensors alike.

The printed code has names only (`sin(x)`, `maximum(a, b)`); what they mean is looked up in a table for NumPy or in
one for torch. Numbers keep to the array's own type, so float32 stays float32, and torch can differentiate through.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import sympy as sp
from sympy.printing.numpy import NumPyPrinter

_SAME = ("sin", "cos", "tan", "sinh", "cosh", "tanh", "exp", "log", "sqrt", "sign", "floor", "ceil", "abs")
_INVERSE = ("arcsin", "arccos", "arctan", "arcsinh", "arccosh", "arctanh")
_RENAMED = {
    "ceiling": "ceil", "Abs": "abs", "Heaviside": "heaviside", "Larger": "maximum", "Smaller": "minimum",
}  # fmt: skip


class Larger(sp.Function):
    """Max without SymPy's comparisons of its arguments, which sharing subexpressions would start again."""

    is_extended_real = True


class Smaller(sp.Function):
    """Likewise Min."""

    is_extended_real = True


def _held(expression: Any, known: dict[Any, Any]) -> Any:
    """The expression with `Larger` and `Smaller` for Max and Min."""
    if not expression.args:
        return expression
    if expression not in known:
        args = [_held(part, known) for part in expression.args]
        if isinstance(expression, sp.Max | sp.Min):
            held = Larger if isinstance(expression, sp.Max) else Smaller
            known[expression] = functools.reduce(held, args)
        else:
            changed = any(new is not old for new, old in zip(args, expression.args, strict=True))
            known[expression] = expression.func(*args) if changed else expression
    return known[expression]


class _Code(NumPyPrinter):
    """Calls by bare names, numbers as floats, exponents as they are."""

    def _print_Function(self, expr: Any) -> str:
        name = type(expr).__name__
        return f"{_RENAMED.get(name, name)}({', '.join(map(self._print, expr.args))})"

    def _print_Piecewise(self, expr: Any) -> str:
        text = "nan"
        for value, condition in reversed(expr.args):
            text = self._print(value) if condition == True else (  # noqa: E712
                f"where({self._print(condition)}, {self._print(value)}, {text})"
            )  # fmt: skip
        return text

    def _print_Pow(self, expr: Any, rational: bool = False, sqrt: str = "sqrt") -> str:
        base, exponent = expr.args
        if exponent == sp.S.Half:
            return f"sqrt({self._print(base)})"
        if base == sp.E:
            return f"exp({self._print(exponent)})"
        power = str(int(exponent)) if exponent.is_Integer else self._print(exponent)
        return f"({self._print(base)})**({power})"

    def _print_Integer(self, expr: Any) -> str:
        try:
            return repr(float(expr))
        except OverflowError:
            return "inf" if expr > 0 else "(-inf)"

    def _print_Rational(self, expr: Any) -> str:
        return repr(float(expr))

    def _print_Float(self, expr: Any) -> str:
        return repr(float(expr))

    def _print_NumberSymbol(self, expr: Any) -> str:
        return repr(float(expr))

    def _print_BooleanTrue(self, expr: Any) -> str:
        return "True"

    _print_Abs = _print_sign = _print_floor = _print_ceiling = _print_exp = _print_log = _print_Function
    _print_Heaviside = _print_erf = _print_Function
    _print_Half = _print_One = _print_Zero = _print_NegativeOne = _print_Rational
    _print_Pi = _print_Exp1 = _print_NumberSymbol


@functools.lru_cache(maxsize=512)
def compiled(expression: Any, variables: tuple[str, ...], backend: str = "numpy") -> Callable[..., Any]:
    """f(*values) without regard to shapes and types; `backend` is numpy or torch."""
    symbols = [sp.Symbol(name, real=True) for name in variables]
    meanings = _torch() if backend == "torch" else _numpy()
    printer = _Code({"fully_qualified_modules": False, "inline": True, "allow_unknown_functions": True})
    return sp.lambdify(
        symbols, _held(expression, {}), modules=[meanings], printer=printer, cse=True, dummify=True
    )


def evaluated(expression: Any, variables: tuple[str, ...], values: tuple[Any, ...]) -> Any:
    """The values of an expression, of the common shape and type of what is given; NaN where it is not real."""
    torch = sys.modules.get("torch")
    if torch is not None and any(isinstance(value, torch.Tensor) for value in values):
        return _as_tensor(torch, compiled(expression, variables, "torch"), values)
    plain = all(isinstance(value, int | float) and not isinstance(value, np.generic) for value in values)
    arrays = [_floating(value) for value in values]
    with np.errstate(all="ignore"):
        found = compiled(expression, variables)(*arrays)
    shape = np.broadcast_shapes(*(array.shape for array in arrays))
    dtype = np.result_type(*arrays) if arrays else np.dtype(float)
    found = np.where(np.imag(found) == 0, np.real(found), np.nan)  # a constant root of a negative number
    found = np.broadcast_to(found.astype(dtype), shape)
    return float(found) if plain else found.copy() if shape else dtype.type(found)


def _as_tensor(torch: Any, function: Callable[..., Any], values: tuple[Any, ...]) -> Any:
    device = next(value.device for value in values if isinstance(value, torch.Tensor))
    tensors = [torch.as_tensor(value, device=device) for value in values]
    dtype = functools.reduce(torch.promote_types, (tensor.dtype for tensor in tensors))
    dtype = dtype if dtype.is_floating_point else torch.get_default_dtype()
    tensors = torch.broadcast_tensors(*(tensor.to(dtype) for tensor in tensors))
    found = function(*tensors)
    if isinstance(found, torch.Tensor):
        return found
    return torch.full_like(tensors[0], found if isinstance(found, float | int) else torch.nan)


def _floating(value: Any) -> np.ndarray:
    array = np.asarray(value)
    return array if np.issubdtype(array.dtype, np.floating) else array.astype(float)


@functools.cache
def _numpy() -> dict[str, Any]:
    from scipy import special

    table: dict[str, Any] = {
        name: getattr(np, name) for name in (*_SAME, *_INVERSE, "maximum", "minimum", "where")
    }
    return table | {
        "nan": np.nan, "inf": np.inf, "erf": special.erf, "sigmoid": special.expit, "heaviside": np.heaviside,
        "softplus": lambda u: np.logaddexp(0, u),
    }  # fmt: skip


@functools.cache
def _torch() -> dict[str, Any]:
    """torch's functions for tensors; NumPy's for the constants among them, as plain floats."""
    import torch

    plain = _numpy()

    def either(name: str, tensors: Callable[..., Any]) -> Callable[..., Any]:
        def function(*values: Any) -> Any:
            own = next((value for value in values if isinstance(value, torch.Tensor)), None)
            if own is None:
                return float(plain[name](*values))
            return tensors(*(v if isinstance(v, torch.Tensor) else torch.full_like(own, v) for v in values))

        return function

    def heaviside(u: Any, at_0: Any) -> Any:
        return torch.where(u > 0, torch.ones_like(u), torch.where(u < 0, torch.zeros_like(u), at_0))

    functions = {
        name: getattr(torch, name) for name in (*_SAME, *_INVERSE, "maximum", "minimum", "erf", "sigmoid")
    }
    functions |= {"softplus": lambda u: torch.logaddexp(torch.zeros_like(u), u), "heaviside": heaviside}
    return {name: either(name, function) for name, function in functions.items()} | {
        "where": torch.where, "nan": torch.nan, "inf": torch.inf,
    }  # fmt: skip
