"""A measured tree becomes a SymPy expression of real variables.

Coefficients stay in front of sums as they were written, 3(x − 2)² and 6(x − 2) rather than 6x − 12, so that what a
rule gave can be recognised. Decimals are read as the fractions they are. `Max` and `Min` are left unevaluated:
SymPy would compare their arguments in every pair.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import partial
from typing import Any

import sympy as sp
from sympy.core.parameters import distribute

from .bounds import Measure
from .syntax import Node


class _Named(sp.Function):
    """A positive function that is not written out; `rewrite(exp)` does so."""

    nargs = 1
    is_positive = True
    sign: str

    def _eval_evalf(self, prec: int) -> Any:
        return self.rewrite(sp.exp)._eval_evalf(prec)

    def _latex(self, printer: Any, exp: str | None = None) -> str:
        power = f"^{{{exp}}}" if exp else ""
        return rf"{self.sign}{power}\left({printer._print(self.args[0])}\right)"


class sigmoid(_Named):
    """σ(u) = 1/(1 + e⁻ᵘ), left under its name because σ' = σ(1 − σ)."""

    sign = r"\sigma"

    @classmethod
    def eval(cls, u: Any) -> Any:
        return sp.S.Half if u.is_zero else None

    def fdiff(self, argindex: int = 1) -> Any:
        return self * (1 - self)

    def _eval_rewrite_as_exp(self, u: Any, **_: Any) -> Any:
        return 1 / (1 + sp.exp(-u))


class softplus(_Named):
    """log(1 + eᵘ), whose derivative is σ(u); left under its name because the sum overflows where this does not."""

    sign = r"\operatorname{softplus}"

    @classmethod
    def eval(cls, u: Any) -> Any:
        return sp.log(2) if u.is_zero else None

    def fdiff(self, argindex: int = 1) -> Any:
        return sigmoid(self.args[0])

    def _eval_rewrite_as_exp(self, u: Any, **_: Any) -> Any:
        return sp.log(1 + sp.exp(u))


def absolute(u: Any) -> Any:
    """|u|, left as it stands where SymPy, which knows not that u is real, would speak of parts of complex numbers."""
    value = sp.Abs(u)
    return sp.Abs(u, evaluate=False) if value.has(sp.re, sp.im, sp.arg, sp.atan2) else value


_SMOOTH = "sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh exp log erf"
SMOOTH: dict[str, Callable[..., Any]] = {name: getattr(sp, name) for name in _SMOOTH.split()} | {
    "sigmoid": sigmoid,
    "softplus": softplus,
}
BUILD: dict[str, Callable[..., Any]] = SMOOTH | {
    "log2": lambda u: sp.log(u, 2),
    "log10": lambda u: sp.log(u, 10),
    "sqrt": sp.sqrt,
    "abs": absolute,
    "sign": sp.sign,
    "floor": sp.floor,
    "ceil": sp.ceiling,
    "heaviside": lambda u: sp.Heaviside(u, sp.S.Half),
    "min": partial(sp.Min, evaluate=False),
    "max": partial(sp.Max, evaluate=False),
    "relu": lambda u: sp.Max(sp.S.Zero, u, evaluate=False),
}
WHOLE = 2.0**53  # from here on a float64 has no digits behind the point
_ROUNDING = ("sign", "floor", "ceil", "heaviside")


def symbol(name: str) -> Any:
    """The variable of that name; all variables are real."""
    return sp.Symbol(name, real=True)


def build(tree: Node, sizes: Measure) -> Any:
    """The expression of a tree whose bounds have been checked."""
    value = sizes.number(tree)
    if isinstance(value, Fraction) and not _at_a_jump(tree, sizes):
        return sp.Rational(value.numerator, value.denominator)
    if value is not None and (tree.head == "number" or (sizes.decimals and tree.args)):
        return sp.Float(float(value))
    if tree.head == "name":
        return {"pi": sp.pi, "e": sp.E}.get(tree.word) or symbol(tree.word)
    parts = [build(part, sizes) for part in tree.args]
    if tree.head == "sum":
        return sp.Add(*parts)
    if tree.head == "product":
        return product(*parts)
    if tree.head == "quotient":
        return product(parts[0], 1 / parts[1])
    if tree.head == "power":
        return sp.Pow(*parts)
    return BUILD[tree.word](*parts)


def product(*factors: Any) -> Any:
    """A product that leaves 3(x − 2) as it is; only a sign goes into a sum.

    No function is built in here: SymPy's oddness rules, f(−u) = −f(u), rely on signs going in.
    """
    with distribute(False):
        whole = sp.Mul(*factors)
    sign, rest = whole.as_coeff_Mul()
    return sp.Add(*(-term for term in rest.args)) if sign == -1 and rest.is_Add else whole


def _at_a_jump(node: Node, sizes: Measure) -> bool:
    """Whether an irrational constant is rounded, which SymPy does to the digits it takes; a large one is whole."""
    if node.head != "call" or node.word not in _ROUNDING:
        return False
    value = sizes.number(node.args[0])
    return not isinstance(value, Fraction) and value is not None and abs(value) < WHOLE
