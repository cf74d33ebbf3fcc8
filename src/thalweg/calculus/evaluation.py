"""An expression evaluated for numbers: floats, NumPy arrays and torch tensors alike.

The expression is walked once and becomes a list of operations, each on the results of others, so that equal parts are
computed once. No code is written, and the expression is never rebuilt: SymPy would simplify it anew, with symbols it
knows nothing of, which can take for ever. What the operations mean is looked up in a table for NumPy or in one
for torch. Numbers keep to the array's own type, and torch can differentiate through.
"""

from __future__ import annotations

import functools
import operator
import sys
from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import sympy as sp

from ..errors import ExpressionError, short
from .closed import DIGITS, value

_INVERSE = "asin acos atan asinh acosh atanh"
_SAME = f"sin cos tan sinh cosh tanh exp log sqrt sign floor ceil abs {_INVERSE}".split()  # in NumPy, torch and mpmath
_NAMES = {"ceiling": "ceil", "Abs": "abs", "Heaviside": "heaviside", "Max": "maximum", "Min": "minimum"}
_OPERATORS: dict[Any, Callable[..., Any]] = {
    sp.StrictLessThan: operator.lt,
    sp.LessThan: operator.le,
    sp.StrictGreaterThan: operator.gt,
    sp.GreaterThan: operator.ge,
    sp.Equality: operator.eq,
    sp.Unequality: operator.ne,
    sp.And: operator.and_,
    sp.Or: operator.or_,
}


class _Program:
    """Operations in the order in which they can be done; the first places are those of the variables."""

    def __init__(self, expression: Any, variables: tuple[str, ...], meanings: dict[str, Any]) -> None:
        self.meanings = meanings
        self.places: dict[Any, int] = {sp.Symbol(name, real=True): n for n, name in enumerate(variables)}
        self.operations: list[tuple[Callable[..., Any] | None, Any]] = [(None, None)] * len(variables)
        self.result = self.place(expression)
        last = {k: n for n, (_, parts) in enumerate(self.operations) if isinstance(parts, tuple) for k in parts}
        self.unneeded: dict[int, list[int]] = {}  # after each operation
        for k, n in last.items():
            if k != self.result:
                self.unneeded.setdefault(n, []).append(k)

    def __call__(self, *values: Any) -> Any:
        results: list[Any] = [*values, *[None] * (len(self.operations) - len(values))]
        for n in range(len(values), len(self.operations)):
            function, parts = self.operations[n]
            results[n] = parts if function is None else function(*(results[k] for k in parts))
            for k in self.unneeded.get(n, ()):
                results[k] = None  # memory for the next
        return results[self.result]

    def place(self, expression: Any) -> int:
        """Where the value of an expression will be."""
        if expression not in self.places:
            self.places[expression] = self._added(expression)
        return self.places[expression]

    def _add(self, function: Callable[..., Any] | None, parts: Any) -> int:
        self.operations.append((function, parts))
        return len(self.operations) - 1

    def _added(self, e: Any) -> int:
        if e.is_Number or e.is_NumberSymbol:
            return self._add(None, self.meanings["number"](e))
        if e in (sp.zoo, sp.I):  # 1/0, and what is not real
            return self._add(None, float("nan"))
        if e.is_Add:
            return self._chain(operator.add, e.args)
        if e.is_Mul:
            return self._product(e)
        if e.is_Pow and not isinstance(e, sp.exp):
            return self._power(*e.args)
        if isinstance(e, sp.Piecewise):
            place = self._add(None, float("nan"))
            for value, condition in reversed(e.args):
                if condition == sp.true:
                    place = self.place(value)
                else:
                    parts = (self.place(condition), self.place(value), place)
                    place = self._add(self.meanings["where"], parts)
            return place
        if type(e) in _OPERATORS:
            return self._chain(_OPERATORS[type(e)], e.args)
        name = _NAMES.get(type(e).__name__, type(e).__name__)
        if name in ("maximum", "minimum"):
            return self._chain(self.meanings[name], e.args)
        if name not in self.meanings:
            raise ExpressionError("{part} has no numeric form; use the functions that tw.function reads.", part=e)
        return self._add(self.meanings[name], tuple(map(self.place, e.args)))

    def _chain(self, function: Callable[..., Any], parts: Any) -> int:
        """Two at a time."""
        return functools.reduce(lambda a, b: self._add(function, (a, b)), map(self.place, parts))

    def _product(self, e: Any) -> int:
        above, below = [], []
        for factor in e.args:
            if factor.is_Rational and not factor.is_Integer:
                above += [sp.Integer(factor.p)] if factor.p != 1 else []
                below.append(sp.Integer(factor.q))
            elif factor.is_Pow and factor.exp.is_Number and factor.exp.is_negative:
                below.append(factor)
            else:
                above.append(factor)
        top = self._chain(operator.mul, above) if above else self._add(None, 1.0)
        if not below:
            return top
        under = [self._power(f.base, -f.exp) if f.is_Pow else self.place(f) for f in below]
        return self._add(_over, (top, functools.reduce(lambda a, b: self._add(operator.mul, (a, b)), under)))

    def _power(self, base: Any, exponent: Any) -> int:
        if exponent == 1:
            return self.place(base)
        if exponent.is_Number and exponent.is_negative:
            return self._add(_over, (self._add(None, 1.0), self._power(base, -exponent)))
        if exponent == sp.S.Half:
            return self._add(self.meanings["sqrt"], (self.place(base),))
        if exponent.is_Integer:
            return self._add(functools.partial(_raised, int(exponent)), (self.place(base),))
        return self._add(self.meanings["power"], (self.place(base), self.place(exponent)))


def _raised(exponent: int, base: Any) -> Any:
    return float(np.float64(base) ** exponent) if isinstance(base, float) else base**exponent


def _over(above: Any, below: Any) -> Any:
    if isinstance(above, float) and isinstance(below, float) and below == 0:
        return above * float("inf")
    return above / below


@functools.lru_cache(maxsize=512)
def compiled(expression: Any, variables: tuple[str, ...], backend: str = "numpy") -> _Program:
    """f(*values) without regard to shapes and types; `backend` is numpy or torch."""
    return _Program(expression, variables, _torch() if backend == "torch" else _numpy())


def evaluated(expression: Any, variables: tuple[str, ...], values: tuple[Any, ...]) -> Any:
    """The values of an expression, of the common shape and type of what is given; NaN where it is not real."""
    torch = sys.modules.get("torch")
    if torch is not None and any(isinstance(value, torch.Tensor) for value in values):
        return _as_tensor(torch, compiled(expression, variables, "torch"), values)
    plain = all(isinstance(value, int | float) and not isinstance(value, np.generic) for value in values)
    arrays = [_floating(value) for value in values]
    with np.errstate(all="ignore"):
        result = compiled(expression, variables)(*arrays)
    shape = np.broadcast_shapes(*(array.shape for array in arrays))
    dtype = np.result_type(*arrays) if arrays else np.dtype(float)
    result = np.where(np.imag(result) == 0, np.real(result), np.nan)  # a constant root of a negative number
    result = np.broadcast_to(result.astype(dtype), shape)
    return float(result) if plain else result.copy() if shape else dtype.type(result)


def _as_tensor(torch: Any, function: Callable[..., Any], values: tuple[Any, ...]) -> Any:
    device = next(value.device for value in values if isinstance(value, torch.Tensor))
    tensors = [torch.as_tensor(value, device=device) for value in values]
    dtype = functools.reduce(torch.promote_types, (tensor.dtype for tensor in tensors))
    dtype = dtype if dtype.is_floating_point else torch.get_default_dtype()
    tensors = torch.broadcast_tensors(*(tensor.to(dtype) for tensor in tensors))
    result = function(*tensors)
    if isinstance(result, torch.Tensor):
        return result
    return torch.full_like(tensors[0], result if isinstance(result, float | int) else torch.nan)


def _floating(value: Any) -> np.ndarray:
    try:
        array = np.asarray(value)
        if array.dtype.kind not in "biufO" or (array.dtype.kind == "O" and None in array.flat):
            raise TypeError("no numbers")
        return array if array.dtype.kind == "f" else array.astype(float)
    except (ValueError, TypeError) as error:  # or rows of several lengths
        raise ExpressionError(
            "the value of a variable is {given}; give a number or an array of them.", given=short(repr(value))
        ) from error


@functools.cache
def _numpy() -> dict[str, Any]:
    from scipy import special

    table: dict[str, Any] = {
        name: getattr(np, f"arc{name[1:]}" if name in _INVERSE.split() else name)
        for name in (*_SAME, "maximum", "minimum", "power", "where")
    }
    return table | {
        "number": float,
        "erf": special.erf,
        "sigmoid": special.expit,
        "heaviside": np.heaviside,
        "softplus": lambda u: np.logaddexp(0, u),
    }


@functools.cache
def _torch() -> dict[str, Any]:
    """torch's functions for tensors; NumPy's for the constants among them, as plain floats."""
    import torch

    plain = _numpy()

    def either(name: str, tensors: Callable[..., Any]) -> Callable[..., Any]:
        def function(*values: Any) -> Any:
            like = next((value for value in values if isinstance(value, torch.Tensor)), None)
            if like is None:
                with np.errstate(all="ignore"):
                    return float(plain[name](*values))
            return tensors(*(v if isinstance(v, torch.Tensor) else torch.full_like(like, v) for v in values))

        return function

    def heaviside(u: Any, at_0: Any) -> Any:
        return torch.where(u > 0, torch.ones_like(u), torch.where(u < 0, torch.zeros_like(u), at_0))

    functions = {name: getattr(torch, name) for name in (*_SAME, "maximum", "minimum", "erf", "sigmoid")}
    functions |= {
        "power": torch.pow,
        "softplus": lambda u: torch.logaddexp(torch.zeros_like(u), u),
        "heaviside": heaviside,
    }
    either_way = {name: either(name, function) for name, function in functions.items()}
    return either_way | {"where": torch.where, "number": float}


def precisely(expression: Any, variables: tuple[str, ...]) -> Callable[..., Any]:
    """f(*values) to sixty digits, by mpmath; infinite where it is not a number."""
    program = _Program(expression, variables, _mpmath())

    def function(*values: Any) -> Any:
        with mpmath.workdps(DIGITS):
            try:
                return program(*map(mpmath.mpf, values))
            except (ArithmeticError, TypeError, ValueError):  # a pole; max of complex numbers
                return mpmath.inf

    return function


@functools.cache
def _mpmath() -> dict[str, Any]:
    table: dict[str, Any] = {name: getattr(mpmath, name) for name in _SAME if name != "abs"}
    return table | {
        "abs": abs,
        "erf": mpmath.erf,
        "maximum": max,
        "minimum": min,
        "power": mpmath.power,
        "number": value,
        "where": lambda condition, a, b: a if condition else b,
        "sigmoid": lambda u: 1 / (1 + mpmath.exp(-u)),
        "softplus": lambda u: mpmath.log1p(mpmath.exp(u)),
        "heaviside": lambda u, at_0: (mpmath.sign(u) + 1) / 2,
    }
