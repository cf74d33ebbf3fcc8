"""Operations on one element after the other."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch

from .operations import Context, aten, converted, rule
from .trace import Share
from .values import Value, broadcast

_UNARY: dict[Any, tuple[str, int]] = {
    aten.neg: ("neg", 1),
    aten.exp: ("exp", 20),
    aten.log: ("log", 25),
    aten.sqrt: ("sqrt", 4),
    aten.tanh: ("tanh", 30),
    aten.sigmoid: ("sigmoid", 24),
    aten.erf: ("erf", 40),
    aten.log1p: ("log1p", 30),
    aten.expm1: ("expm1", 50),
    aten.abs: ("abs", 1),
    aten.sign: ("sign", 2),
}
_LIBRARY = ("sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "log2", "log10", "exp2", "erfc")
_ROUNDED = ("floor", "ceil", "trunc")


def _unary(name: str, cost: int, how: Callable[..., Any]) -> None:
    @rule(getattr(aten, name).default)
    def one(c: Context, x: Value) -> Value:
        return c.pointwise(how, x, cost=cost)


for _op, (_method, _cost) in _UNARY.items():
    _unary(_op.__name__ if hasattr(_op, "__name__") else _method, _cost, lambda e, x, m=_method: getattr(e, m)(x))
for _name in _LIBRARY:
    _unary(_name, 40, lambda e, x, n=_name: e.library(n, x))
for _name in _ROUNDED:
    _unary(_name, 1, lambda e, x, n=_name: e.intrinsic(n, x))
_unary("round", 1, lambda e, x: e.intrinsic("rint", x))
_unary("reciprocal", 4, lambda e, x: e.div(e.number(1.0, x), x))
_unary("rsqrt", 6, lambda e, x: e.div(e.number(1.0, x), e.sqrt(x)))


def _relu(e: Any, x: Any) -> Any:
    return e.choose(e.compare("<", x, 0.0), 0.0, x)  # NaN stays


_unary("relu", 1, _relu)


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


def _scaled(alpha: float, how: str) -> Callable[..., Any]:
    return lambda e, x, y: getattr(e, how)(x, y if alpha == 1 else e.mul(y, alpha))


@rule(aten.add.Tensor, aten.add.Scalar)
def _add(c: Context, x: Any, y: Any, alpha: float = 1) -> Value:
    return c.pointwise(_scaled(alpha, "add"), x, y)


@rule(aten.sub.Tensor, aten.sub.Scalar)
def _sub(c: Context, x: Any, y: Any, alpha: float = 1) -> Value:
    return c.pointwise(_scaled(alpha, "sub"), x, y)


@rule(aten.rsub.Scalar, aten.rsub.Tensor)
def _rsub(c: Context, x: Any, y: Any, alpha: float = 1) -> Value:
    return c.pointwise(_scaled(alpha, "sub"), y, x)


@rule(aten.mul.Tensor, aten.mul.Scalar)
def _mul(c: Context, x: Any, y: Any) -> Value:
    if c.dtype == torch.bool:
        return c.pointwise(lambda e, a, b: e.both(a, b), x, y)
    return c.pointwise(lambda e, a, b: e.mul(a, b), x, y)


@rule(aten.div.Tensor, aten.div.Scalar)
def _div(c: Context, x: Any, y: Any) -> Value:
    if isinstance(y, int | float) and y and math.frexp(y)[0] == 0.5:
        return c.pointwise(lambda e, a: e.mul(a, 1 / y), x)  # by a power of two, exactly
    return c.pointwise(lambda e, a, b: e.div(a, b), x, y, cost=3)


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
    ends = {"trunc": "trunc", "floor": "floor", None: None}[rounding_mode]
    return c.pointwise(lambda e, a, b: e.intrinsic(ends, e.div(a, b)) if ends else e.div(a, b), x, y, cost=4)


@rule(aten.fmod.Scalar, aten.fmod.Tensor)
def _fmod(c: Context, x: Any, y: Any) -> Value:
    return c.pointwise(lambda e, a, b: e.rest(a, b), x, y, cost=20)


@rule(aten.remainder.Scalar, aten.remainder.Tensor)
def _remainder(c: Context, x: Any, y: Any) -> Value:
    """With the sign of the divisor."""

    def remainder(e: Any, a: Any, b: Any) -> Any:
        rest = e.rest(a, b)
        other = e.differ(e.compare("<", rest, 0), e.compare("<", b, 0))
        return e.choose(e.both(e.compare("!=", rest, 0), other), e.add(rest, b), rest)

    return c.pointwise(remainder, x, y, cost=22)


@rule(aten.atan2.default)
def _atan2(c: Context, x: Any, y: Any) -> Value:
    return c.pointwise(lambda e, a, b: e.library("atan2", a, b), x, y, cost=40)


@rule(aten.softshrink_backward.default, aten.hardshrink_backward.default)
def _shrink_backward(c: Context, g: Value, x: Value, within: float) -> Value:
    return c.pointwise(lambda e, a, b: e.choose(e.compare("<=", e.abs(b), within), 0.0, a), g, x, cost=2)


@rule(aten.pow.Tensor_Scalar)
def _pow(c: Context, x: Value, y: Any) -> Value:
    simple = float(y) in (0.0, 1.0, 2.0, 3.0, -1.0, -2.0)
    return c.pointwise(lambda e, a: e.sqrt(a) if y == 0.5 else e.power(a, y), x, cost=2 if simple else 40)


@rule(aten.pow.Tensor_Tensor, aten.pow.Scalar)
def _pow_tensor(c: Context, x: Any, y: Any) -> Value:
    return c.pointwise(lambda e, a, b: e.library("pow", a, b), x, y, cost=40)


@rule(aten.maximum.default)
def _maximum(c: Context, x: Any, y: Any) -> Value:
    return c.pointwise(lambda e, a, b: e.maximum(a, b), x, y)


@rule(aten.minimum.default)
def _minimum(c: Context, x: Any, y: Any) -> Value:
    return c.pointwise(lambda e, a, b: e.minimum(a, b), x, y)


@rule(aten.clamp.default, aten.hardtanh.default)
def _clamp(c: Context, x: Value, low: Any = None, high: Any = None) -> Value:
    if c.target == aten.hardtanh.default:
        low, high = -1 if low is None else low, 1 if high is None else high

    if low is not None:
        x = c.pointwise(lambda e, a, b: e.choose(e.compare("<", a, b), b, a), x, low)
    return x if high is None else c.pointwise(lambda e, a, b: e.choose(e.compare(">", a, b), b, a), x, high)


@rule(aten.clamp.Tensor, aten.clamp_min.Tensor, aten.clamp_max.Tensor)
def _clamp_by(c: Context, x: Value, low: Any = None, high: Any = None) -> Value:
    if c.target == aten.clamp_max.Tensor:
        low, high = None, low
    if low is not None:
        x = c.pointwise(lambda e, a, b: e.maximum(a, b), x, low)
    return x if high is None else c.pointwise(lambda e, a, b: e.minimum(a, b), x, high)


@rule(aten.clamp_min.default, aten.clamp_max.default)
def _clamp_one(c: Context, x: Value, end: Any) -> Value:
    return _clamp(c, x, end) if c.target == aten.clamp_min.default else _clamp(c, x, None, end)


@rule(aten.leaky_relu.default)
def _leaky(c: Context, x: Value, slope: float = 0.01) -> Value:
    return c.pointwise(lambda e, a: e.choose(e.compare(">", a, 0.0), a, e.mul(a, slope)), x, cost=2)


def _compared(name: str, how: str) -> None:
    @rule(getattr(aten, name).Tensor, getattr(aten, name).Scalar)
    def compare(c: Context, x: Any, y: Any) -> Value:
        kinds = [v.dtype for v in (x, y) if isinstance(v, Value)]
        kind = torch.promote_types(*kinds) if len(kinds) == 2 else kinds[0]
        if len(kinds) == 1 and not kind.is_floating_point and any(isinstance(v, float | Share) for v in (x, y)):
            kind = torch.float32
        return c.pointwise(lambda e, a, b: e.compare(how, a, b), x, y, of=kind)


for _name, _how in (("eq", "=="), ("ne", "!="), ("lt", "<"), ("le", "<="), ("gt", ">"), ("ge", ">=")):
    _compared(_name, _how)


@rule(aten.where.self, aten.where.ScalarOther, aten.where.ScalarSelf, aten.where.Scalar)
def _where(c: Context, condition: Value, x: Any, y: Any) -> Value:
    flag = converted(condition, torch.bool)
    shape = broadcast([v.shape for v in (flag, x, y) if isinstance(v, Value)])
    x, y = (converted(v, c.dtype) if isinstance(v, Value) else c.constant((), c.dtype, v) for v in (x, y))
    flag, x, y = (c.spread(v, shape) for v in (flag, x, y))
    cost = 1 + flag.cost + x.cost + y.cost
    return Value(shape, c.dtype, lambda e, i: e.choose(flag.at(e, i), x.at(e, i), y.at(e, i)), None, cost)


for _name, _method in (("bitwise_and", "both"), ("bitwise_or", "either"), ("bitwise_xor", "differ")):

    @rule(getattr(aten, _name).Tensor, getattr(aten, _name).Scalar)
    def _bitwise(c: Context, x: Any, y: Any, method: str = _method) -> Value:
        return c.pointwise(lambda e, a, b: getattr(e, method)(a, b), x, y)


for _name, _method in (("logical_and", "both"), ("logical_or", "either"), ("logical_xor", "differ")):

    @rule(getattr(aten, _name).default)
    def _logical(c: Context, x: Any, y: Any, method: str = _method) -> Value:
        return c.pointwise(lambda e, a, b: getattr(e, method)(a, b), x, y, of=torch.bool)


@rule(aten.logical_not.default)
def _not(c: Context, x: Value) -> Value:
    return c.pointwise(lambda e, a: e.inverted(a), x, of=torch.bool)


@rule(aten.bitwise_not.default)
def _bitwise_not(c: Context, x: Value) -> Value:
    return c.pointwise(lambda e, a: e.inverted(a), x)


@rule(aten.isnan.default)
def _isnan(c: Context, x: Value) -> Value:
    return c.pointwise(lambda e, a: e.isnan(a), x, of=x.dtype)


@rule(aten.isinf.default)
def _isinf(c: Context, x: Value) -> Value:
    return c.pointwise(lambda e, a: e.compare("==", e.abs(a), math.inf), x, of=x.dtype)
