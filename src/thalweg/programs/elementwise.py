"""Operations on one element after the other."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch

from .operations import Context, aten, converted, rule
from .trace import Share
from .values import Value, broadcast

_COSTS = {"neg": 1, "exp": 20, "log": 25, "sqrt": 4, "tanh": 30, "sigmoid": 24, "erf": 40, "log1p": 30, "expm1": 50}
_COSTS |= {"abs": 1, "sign": 2, "maximum": 1, "minimum": 1}
_LIBRARY = ("sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "log2", "log10", "exp2", "erfc", "atan2")
_ROUNDED = {"floor": "floor", "ceil": "ceil", "trunc": "trunc", "round": "rint"}
_LOGIC = {"and": "both", "or": "either", "xor": "differ"}


def _each(*targets: Any, how: str | Callable[..., Any], cost: int = 1, of: torch.dtype | None = None) -> None:
    """Registers operations that are one function of their elements; arguments as of `Context.pointwise`."""
    rule(*targets)(lambda c, *operands: c.pointwise(how, *operands, of=of, cost=cost))


for _name, _cost in _COSTS.items():
    _each(getattr(aten, _name).default, how=_name, cost=_cost)
for _name in _LIBRARY:
    _each(getattr(aten, _name).default, how=lambda e, *x, n=_name: e.library(n, *x), cost=40)
for _name, _how in _ROUNDED.items():
    _each(getattr(aten, _name).default, how=lambda e, x, n=_how: e.intrinsic(n, x))
for _name, _how in _LOGIC.items():
    _bitwise = getattr(aten, f"bitwise_{_name}")
    _each(_bitwise.Tensor, _bitwise.Scalar, how=_how)
    _each(getattr(aten, f"logical_{_name}").default, how=_how, of=torch.bool)
_each(aten.bitwise_not.default, how="inverted")
_each(aten.logical_not.default, how="inverted", of=torch.bool)
_each(aten.reciprocal.default, how=lambda e, x: e.div(e.number(1.0, x), x), cost=4)
_each(aten.rsqrt.default, how=lambda e, x: e.div(e.number(1.0, x), e.sqrt(x)), cost=6)
_each(aten.relu.default, how=lambda e, x: e.choose(e.compare("<", x, 0.0), 0.0, x))  # NaN stays
_each(aten.fmod.Scalar, aten.fmod.Tensor, how="rest", cost=20)
_each(aten.pow.Tensor_Tensor, aten.pow.Scalar, how=lambda e, x, y: e.library("pow", x, y), cost=40)


@rule(aten.gelu.default)
def _gelu(c: Context, x: Value, approximate: str = "none") -> Value:
    def by_erf(e: Any, a: Any) -> Any:
        return e.mul(e.mul(a, 0.5), e.add(e.erf(e.mul(a, math.sqrt(0.5))), 1.0))

    def by_tanh(e: Any, a: Any) -> Any:
        inner = e.mul(e.add(a, e.mul(e.mul(e.mul(a, a), a), 0.044715)), math.sqrt(2 / math.pi))
        return e.mul(e.mul(a, 0.5), e.add(e.tanh(inner), 1.0))

    return c.pointwise(by_tanh if approximate == "tanh" else by_erf, x, cost=45)


@rule(aten.elu.default)
def _elu(c: Context, x: Value, alpha: float = 1, scale: float = 1, input_scale: float = 1) -> Value:
    def elu(e: Any, a: Any) -> Any:
        below = e.mul(e.sub(e.exp(e.mul(a, input_scale)), 1.0), alpha * scale)
        return e.choose(e.compare(">", a, 0.0), e.mul(a, scale), below)

    return c.pointwise(elu, x, cost=25)


@rule(aten.add.Tensor, aten.add.Scalar, aten.sub.Tensor, aten.sub.Scalar, aten.rsub.Tensor, aten.rsub.Scalar)
def _add(c: Context, x: Any, y: Any, alpha: float = 1) -> Value:
    """x + αy or x − αy; y − αx of rsub."""
    name = c.target.overloadpacket.__name__
    x, y, how = (y, x, "sub") if name == "rsub" else (x, y, name)
    return c.pointwise(lambda e, a, b: getattr(e, how)(a, b if alpha == 1 else e.mul(b, alpha)), x, y)


@rule(aten.mul.Tensor, aten.mul.Scalar)
def _mul(c: Context, x: Any, y: Any) -> Value:
    return c.pointwise("both" if c.dtype == torch.bool else "mul", x, y)


@rule(aten.div.Tensor, aten.div.Scalar)
def _div(c: Context, x: Any, y: Any) -> Value:
    if isinstance(y, int | float) and y and math.frexp(y)[0] == 0.5:
        return c.pointwise(lambda e, a: e.mul(a, 1 / y), x)  # by a power of two, exactly
    return c.pointwise("div", x, y, cost=3)


@rule(aten.div.Tensor_mode, aten.div.Scalar_mode)
def _div_rounded(c: Context, x: Any, y: Any, rounding_mode: str | None = None) -> Value:
    """Towards zero or down."""
    if not c.dtype.is_floating_point:

        def whole(e: Any, a: Any, b: Any) -> Any:
            quotient = e.div(a, b)
            if rounding_mode == "trunc":
                return quotient
            rest = e.sub(a, e.mul(quotient, b))
            down = e.both(e.compare("!=", rest, 0), e.compare("<", e.mul(rest, b), 0))
            return e.choose(down, e.sub(quotient, 1), quotient)

        return c.pointwise(whole, x, y, cost=20)
    if rounding_mode is None:
        return c.pointwise("div", x, y, cost=4)
    return c.pointwise(lambda e, a, b: e.intrinsic(rounding_mode, e.div(a, b)), x, y, cost=4)


@rule(aten.remainder.Scalar, aten.remainder.Tensor)
def _remainder(c: Context, x: Any, y: Any) -> Value:
    """With the sign of the divisor."""

    def remainder(e: Any, a: Any, b: Any) -> Any:
        rest = e.rest(a, b)
        other = e.differ(e.compare("<", rest, 0), e.compare("<", b, 0))
        return e.choose(e.both(e.compare("!=", rest, 0), other), e.add(rest, b), rest)

    return c.pointwise(remainder, x, y, cost=22)


@rule(aten.softshrink_backward.default, aten.hardshrink_backward.default)
def _shrink_backward(c: Context, g: Value, x: Value, within: float) -> Value:
    return c.pointwise(lambda e, a, b: e.choose(e.compare("<=", e.abs(b), within), 0.0, a), g, x, cost=2)


@rule(aten.pow.Tensor_Scalar)
def _pow(c: Context, x: Value, y: Any) -> Value:
    simple = float(y) in (0.0, 1.0, 2.0, 3.0, -1.0, -2.0)
    return c.pointwise(lambda e, a: e.sqrt(a) if y == 0.5 else e.power(a, y), x, cost=2 if simple else 40)


@rule(aten.clamp.default, aten.clamp_min.default, aten.clamp_max.default, aten.hardtanh.default)
@rule(aten.clamp.Tensor, aten.clamp_min.Tensor, aten.clamp_max.Tensor)
def _clamp(c: Context, x: Value, low: Any = None, high: Any = None) -> Value:
    if c.target == aten.hardtanh.default:
        low, high = -1 if low is None else low, 1 if high is None else high
    if c.target in (aten.clamp_max.default, aten.clamp_max.Tensor):
        low, high = None, low
    for end, beyond, of_tensors in ((low, "<", "maximum"), (high, ">", "minimum")):
        if isinstance(end, Value):  # whose NaN counts
            x = c.pointwise(of_tensors, x, end)
        elif end is not None:
            x = c.pointwise(lambda e, a, b, how=beyond: e.choose(e.compare(how, a, b), b, a), x, end)
    return x


@rule(aten.leaky_relu.default)
def _leaky(c: Context, x: Value, slope: float = 0.01) -> Value:
    return c.pointwise(lambda e, a: e.choose(e.compare(">", a, 0.0), a, e.mul(a, slope)), x, cost=2)


def _compared(*targets: Any, how: str | Callable[..., Any]) -> None:
    """Registers operations on elements of their operands' dtype, which is not that of the result."""

    @rule(*targets)
    def compare(c: Context, *operands: Any) -> Value:
        kinds = [v.dtype for v in operands if isinstance(v, Value)]
        kind = torch.promote_types(*kinds) if len(kinds) == 2 else kinds[0]
        if len(kinds) == 1 and not kind.is_floating_point and any(isinstance(v, float | Share) for v in operands):
            kind = torch.float32
        return c.pointwise(how, *operands, of=kind)


for _name, _how in (("eq", "=="), ("ne", "!="), ("lt", "<"), ("le", "<="), ("gt", ">"), ("ge", ">=")):
    _compare = getattr(aten, _name)
    _compared(_compare.Tensor, _compare.Scalar, how=lambda e, a, b, how=_how: e.compare(how, a, b))
_compared(aten.isnan.default, how="isnan")
_compared(aten.isinf.default, how=lambda e, a: e.compare("==", e.abs(a), math.inf))


@rule(aten.where.self, aten.where.ScalarOther, aten.where.ScalarSelf, aten.where.Scalar)
def _where(c: Context, condition: Value, x: Any, y: Any) -> Value:
    flag = converted(condition, torch.bool)
    shape = broadcast([v.shape for v in (flag, x, y) if isinstance(v, Value)])
    x, y = (converted(v, c.dtype) if isinstance(v, Value) else c.constant((), c.dtype, v) for v in (x, y))
    flag, x, y = (c.spread(v, shape) for v in (flag, x, y))
    cost = 1 + flag.cost + x.cost + y.cost
    return Value(shape, c.dtype, lambda e, i: e.choose(flag.at(e, i), x.at(e, i), y.at(e, i)), None, cost)
