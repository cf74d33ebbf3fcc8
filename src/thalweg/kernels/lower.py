"""A formula becomes a program: once-a-step scalars first, then one short loop body per weight.

Every expression in a formula is of one of two kinds. What depends only on t, the loss and the
hyperparameters has the same value for all the weights of a member; it is hoisted, so that a kernel
computes it once per step, in float64. What is left mentions g, w or a state, and is computed per
weight with common subexpressions shared. For Adam this leaves two powers per step and, per weight,
a square root, a division and a handful of multiplications.

`lower` is cached on the equations: formulas that differ only in defaults share one program and
therefore one compiled kernel. The kernels print a `Program` through `Printer`, each with its own
spelling of the few operations there are.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import sympy as sp
from sympy.printing.precedence import PRECEDENCE, precedence
from sympy.printing.str import StrPrinter

from ..formulas.base import Equations, symbol

Assignment = tuple[sp.Symbol, sp.Expr]


@dataclass(frozen=True)
class Program:
    """What a kernel has to compute, in order.

    Attributes:
        scalars: once per step and member, in float64; functions of t, loss and hyperparameters.
        shared: once per weight; subexpressions used more than once.
        step: added to the weight.
        states: (name, new value) in the order of `Equations.states`.
        passed: the scalars that the loop over weights needs.
    """

    equations: Equations
    scalars: tuple[Assignment, ...]
    shared: tuple[Assignment, ...]
    step: sp.Expr
    states: tuple[tuple[str, sp.Expr], ...]
    passed: tuple[sp.Symbol, ...]

    @property
    def uses_loss(self) -> bool:
        return any(symbol("loss") in value.free_symbols for _, value in self.scalars)


@functools.lru_cache(maxsize=None)
def lower(equations: Equations) -> Program:
    """Split the equations into once-a-step scalars and a per-weight body."""
    uniform = {symbol(name) for name in ("t", "loss", *equations.hyperparameters)}
    hoisted: dict[sp.Expr, sp.Symbol] = {}

    def hoist(expression: sp.Expr) -> sp.Expr:
        if isinstance(expression, sp.Number):
            return expression
        if expression.free_symbols <= uniform:
            name = sp.Symbol(f"s{len(hoisted)}", real=True)
            return hoisted.setdefault(expression, name)
        if isinstance(expression, sp.Add | sp.Mul):
            once = [a for a in expression.args if a.free_symbols <= uniform]
            each = [hoist(a) for a in expression.args if not a.free_symbols <= uniform]
            return expression.func(hoist(expression.func(*once)), *each) if once else expression.func(*each)
        return expression.func(*(hoist(a) for a in expression.args)) if expression.args else expression

    # The step mentions the new states: name them first, so that each is computed once.
    fresh = [sp.Symbol(f"new_{name}", real=True) for name in equations.state_names]
    known = {value: name for name, (_, value) in zip(fresh, equations.states, strict=True) if not value.is_Atom}
    bodies = [value.xreplace({v: n for v, n in known.items() if v != value}) for _, value in equations.states]
    bodies = [hoist(body) for body in (*bodies, equations.step.xreplace(known))]

    shared, reduced = sp.cse(bodies, symbols=(sp.Symbol(f"x{i}", real=True) for i in range(10_000)), order="none")
    needed: set[sp.Symbol] = set().union(*(e.free_symbols for e in (*reduced, *(v for _, v in shared))))
    passed = tuple(name for name in hoisted.values() if name in needed)
    common, values = sp.cse(
        [value for value, name in hoisted.items() if name in needed],
        symbols=(sp.Symbol(f"c{i}", real=True) for i in range(10_000)), order="none",
    )  # fmt: skip
    renamed = dict(zip(fresh, reduced[:-1], strict=True))
    ordered = _in_order([*shared, *((n, v) for n, v in renamed.items())])
    return Program(
        equations=equations,
        scalars=(*((n, v) for n, v in common), *zip(passed, values, strict=True)),
        shared=tuple((n, v) for n, v in ordered if n not in renamed or _mentions(n, ordered, reduced[-1])),
        step=reduced[-1],
        states=tuple(
            (name, n if _mentions(n, ordered, reduced[-1]) else renamed[n])
            for name, n in zip(equations.state_names, fresh, strict=True)
        ),
        passed=passed,
    )


def _mentions(name: sp.Symbol, assignments: Sequence[Assignment], step: sp.Expr) -> bool:
    return any(name in value.free_symbols for _, value in (*assignments, (None, step)))


def _in_order(assignments: list[Assignment]) -> list[Assignment]:
    """Each assignment behind those it reads."""
    names = {name for name, _ in assignments}
    done: list[Assignment] = []
    ready: set[sp.Symbol] = set()
    while len(done) < len(assignments):
        for name, value in assignments:
            if name not in ready and (value.free_symbols & names) <= ready:
                done.append((name, value))
                ready.add(name)
    return done


class Printer(StrPrinter):
    """Prints an expression for one target; a kernel overrides the few methods it spells otherwise.

    Integers and fractions are printed through `number`, small whole powers as products, roots through
    `root`, and a product with negative powers as one division.
    """

    def number(self, value: float) -> str:
        return repr(value)

    def call(self, function: str, *arguments: str) -> str:
        return f"{function}({', '.join(arguments)})"

    def root(self, argument: str) -> str:
        return self.call("sqrt", argument)

    def choose(self, condition: str, yes: str, no: str) -> str:
        return f"({yes} if {condition} else {no})"

    def extreme(self, name: str, a: str, b: str) -> str:
        return self.call(name, a, b)

    def power(self, base: str, exponent: str) -> str:
        return f"{base}**{exponent}"

    def _print_Integer(self, expr: sp.Integer) -> str:
        return self.number(float(expr))

    def _print_Rational(self, expr: sp.Rational) -> str:
        return self.number(float(expr))

    def _print_Float(self, expr: sp.Float) -> str:
        return self.number(float(expr))

    _print_One = _print_NegativeOne = _print_Zero = _print_Half = _print_Integer

    def _print_NumberSymbol(self, expr: sp.NumberSymbol) -> str:
        return self.number(float(expr))

    _print_Pi = _print_Exp1 = _print_NumberSymbol

    def _print_Add(self, expr: sp.Add, order: str | None = None) -> str:
        parts = []
        for term in expr.args:
            positive = _negated(term)
            sign, value = ("-", positive) if positive is not None else ("+", term)
            text = self.parenthesize(value, PRECEDENCE["Add"], strict=sign == "+")
            parts.append(f"{sign} {text}" if parts else (f"-{text}" if sign == "-" else text))
        return " ".join(parts)

    def _print_Mul(self, expr: sp.Mul) -> str:
        above, below = [], []
        coefficient, rest = expr.as_coeff_Mul()
        negative = coefficient.is_negative
        if abs(coefficient) != 1:
            above.append(self.number(abs(float(coefficient))))
        for factor in sp.Mul.make_args(rest):
            base, exponent = factor.as_base_exp()
            if exponent.is_Number and exponent.is_negative:
                below.append(self.parenthesize(base**-exponent, PRECEDENCE["Mul"], strict=False))
            else:
                above.append(self.parenthesize(factor, PRECEDENCE["Mul"]))
        text = "*".join(above) or self.number(1.0)
        if below:
            text = f"{text}/{below[0]}" if len(below) == 1 else f"{text}/({'*'.join(below)})"
        return f"-{text}" if negative else text

    def _print_Pow(self, expr: sp.Pow, rational: bool = False) -> str:
        base, exponent = expr.args
        if exponent == sp.S.Half:
            return self.root(self._print(base))
        if exponent.is_Number and exponent.is_negative:
            return f"{self.number(1.0)}/{self.parenthesize(base**-exponent, PRECEDENCE['Mul'], strict=False)}"
        inner = self.parenthesize(base, PRECEDENCE["Pow"], strict=False)
        if exponent.is_Integer and 2 <= int(exponent) <= 4 and base.is_Symbol:
            return f"({'*'.join([inner] * int(exponent))})"
        return self.power(inner, self.parenthesize(exponent, PRECEDENCE["Pow"], strict=False))

    def _print_Abs(self, expr: sp.Abs) -> str:
        return self.call("abs", self._print(expr.args[0]))

    def _print_Function(self, expr: sp.Function) -> str:
        return self.call(type(expr).__name__, *map(self._print, expr.args))

    _print_sign = _print_exp = _print_log = _print_tanh = _print_sin = _print_cos = _print_floor = _print_Function

    def _print_Max(self, expr: sp.Max) -> str:
        return functools.reduce(lambda a, b: self.extreme("maximum", a, b), map(self._print, _ordered(expr.args)))

    def _print_Min(self, expr: sp.Min) -> str:
        return functools.reduce(lambda a, b: self.extreme("minimum", a, b), map(self._print, _ordered(expr.args)))

    def _print_Piecewise(self, expr: sp.Piecewise) -> str:
        *branches, (last, _) = expr.args
        text = self._print(last)
        for value, condition in reversed(branches):
            text = self.choose(self._print(condition), self._print(value), text)
        return text

    def _print_Relational(self, expr: sp.core.relational.Relational) -> str:
        return f"({self._print(expr.lhs)} {expr.rel_op} {self._print(expr.rhs)})"

    def _print_And(self, expr: sp.And) -> str:
        return f"({' & '.join(map(self._print, _ordered(expr.args)))})"

    def _print_Or(self, expr: sp.Or) -> str:
        return f"({' | '.join(map(self._print, _ordered(expr.args)))})"

    def _print_Not(self, expr: sp.Not) -> str:
        return self.call("not_", self._print(expr.args[0]))


def _ordered(arguments: Sequence[sp.Basic]) -> Iterator[sp.Basic]:
    return iter(sorted(arguments, key=sp.default_sort_key))


def _negated(term: sp.Expr) -> sp.Expr | None:
    """−term where the term is printed with a minus sign, else None."""
    return -term if term.could_extract_minus_sign() and precedence(-term) >= precedence(term) else None


__all__ = ["Printer", "Program", "lower"]
