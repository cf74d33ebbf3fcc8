"""A formula becomes a program: once-a-step scalars first, then one short loop body per weight.

Every expression in a formula is of one of two kinds. What depends only on t, the loss and the hyperparameters has the
same value for all the weights of a member; it is hoisted, so that a kernel computes it once per step, in float64. What
is left mentions g, w or a state, and is computed per weight with common subexpressions shared. For Adam this leaves two
powers per step and, per weight, a square root, a division and a handful of multiplications.

An equation may look beyond one weight (`formulas/operations.py`); then what is left is computed per tensor, and each
sum over the whole model is an assignment of its own, at which a step waits for all tensors.

`lower` is cached on the equations: formulas that differ only in defaults share one program and therefore one compiled
kernel. A state that depends on nothing else (NAdam's product of momenta) is such a scalar too, and takes no memory per
weight. The kernels print a `Program` through `Printer`, each with its own spelling of the few operations there are.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import sympy as sp
from sympy.functions.elementary.piecewise import ExprCondPair
from sympy.logic.boolalg import Boolean, BooleanAtom
from sympy.printing.precedence import PRECEDENCE, precedence
from sympy.printing.str import StrPrinter

from ..formulas.equations import Equations, symbol
from ..formulas.operations import total
from ..formulas.rewriting import Assignment, in_order, in_terms_of_states


@dataclass(frozen=True)
class Program:
    """What a kernel has to compute, in order.

    Every name made here starts with an underscore, which no parameter of a formula may do.

    Attributes:
        scalars: once per step and member, in float64; functions of t, loss and hyperparameters.
        shared: once per weight; subexpressions used more than once, and the new state values.
        step: added to the weight.
        states: (name, the name of its new value in `shared`) in the order of `Equations.states`, those
            that are the same for all the weights of a member aside.
        row_states: (name, the name of its new value in `scalars`) of the states that are the same for all.
        passed: the scalars that the loop over weights needs.
        guards: of these, those that are 1 or 0 by the step alone: what they choose is the same for all members.
    """

    equations: Equations
    scalars: tuple[Assignment, ...]
    shared: tuple[Assignment, ...]
    step: sp.Expr
    states: tuple[tuple[str, sp.Symbol], ...]
    row_states: tuple[tuple[str, sp.Symbol], ...]
    passed: tuple[sp.Symbol, ...]

    @property
    def uses_loss(self) -> bool:
        return any(symbol("loss") in value.free_symbols for _, value in self.scalars)

    @functools.cached_property
    def guards(self) -> tuple[sp.Symbol, ...]:
        scalars, each = dict(self.scalars), [*(value for _, value in self.shared), self.step]
        conditions = set().union(*(value.atoms(sp.core.relational.Relational) for value in each))
        asked = {c.lhs for c in conditions if c.rhs == sp.S.Half} | {c.rhs for c in conditions if c.lhs == sp.S.Half}
        return tuple(p for p in self.passed if p in asked and _closure(p, scalars) == {symbol("t")})


@functools.cache
def lower(equations: Equations) -> Program:
    """Split the equations into once-a-step scalars and a per-weight body."""
    fresh = {name: _name(f"new_{name}") for name in equations.state_names}
    of_rows = equations.single  # states that are one number per row
    uniform = {symbol(name) for name in ("t", "loss", *equations.hyperparameters, *of_rows)}
    uniform |= {fresh[name] for name in of_rows}
    values, step = in_terms_of_states(equations, tuple(fresh.values()))
    once = [value for name, value in zip(fresh, values, strict=True) if name in of_rows]
    each = {fresh[name]: value for name, value in zip(fresh, values, strict=True) if name not in of_rows}
    hoisted: dict[sp.Basic, sp.Symbol] = {}
    bodies = [_hoist(body, uniform, hoisted) for body in (*each.values(), step)]
    totals: dict[sp.Basic, sp.Symbol] = {}
    bodies = [apart(body, totals) for body in bodies]
    names = (*each, *totals.values())
    shared, reduced = _common([*bodies[:-1], *totals, bodies[-1]], "x")
    needed: set[sp.Basic] = set().union(*(e.free_symbols for e in (*reduced, *(v for _, v in shared))))
    passed: dict[sp.Symbol, Any] = {name: value for value, name in hoisted.items() if name in needed}
    common, scalars = _common([*once, *passed.values()], "c")
    assignments = zip((*(fresh[name] for name in of_rows), *passed), scalars, strict=True)
    return Program(
        equations=equations,
        scalars=in_order([*common, *assignments]),
        shared=in_order([*shared, *zip(names, reduced[:-1], strict=True)]),
        step=reduced[-1],
        states=tuple((name, new) for name, new in fresh.items() if name not in of_rows),
        row_states=tuple((name, fresh[name]) for name in of_rows),
        passed=tuple(passed),
    )


def _hoist(expression: Any, uniform: set[sp.Symbol], hoisted: dict[sp.Basic, sp.Symbol]) -> Any:
    """`expression` with every part that is the same for all weights replaced by a name in `hoisted`."""
    if isinstance(expression, sp.Number | BooleanAtom):
        return expression
    if isinstance(expression, ExprCondPair):  # (value, condition) is not an expression
        return ExprCondPair(*(_hoist(a, uniform, hoisted) for a in expression.args))
    if expression.free_symbols <= uniform:
        if isinstance(expression, Boolean) and not expression.is_Symbol:
            return _hoist(sp.Piecewise((1, expression), (0, True)), uniform, hoisted) > sp.S.Half
        return hoisted.setdefault(expression, _name(f"s{len(hoisted)}"))
    if isinstance(expression, sp.Add | sp.Mul):
        once = [a for a in expression.args if a.free_symbols <= uniform]
        each = [_hoist(a, uniform, hoisted) for a in expression.args if not a.free_symbols <= uniform]
        common = [_hoist(expression.func(*once), uniform, hoisted)] if once else []
        return expression.func(*common, *each)
    if not expression.args:
        return expression
    return expression.func(*(_hoist(a, uniform, hoisted) for a in expression.args))


def apart(expression: Any, totals: dict[sp.Basic, sp.Symbol], prefix: str = "_total") -> Any:
    """`expression` with each sum over the model replaced by a name in `totals`."""
    if not expression.has(total):
        return expression
    expression = expression.func(*(apart(a, totals, prefix) for a in expression.args))
    if not isinstance(expression, total):
        return expression
    return totals.setdefault(expression, sp.Symbol(f"{prefix}{len(totals)}", real=True))


def _closure(name: sp.Symbol, scalars: dict[sp.Symbol, sp.Expr]) -> set[Any]:
    """What a scalar depends on in the end."""
    if name not in scalars:
        return {name}
    return set().union(*(_closure(s, scalars) for s in scalars[name].free_symbols))


def _name(name: str) -> sp.Symbol:
    return sp.Symbol(f"_{name}", real=True)


def _common(expressions: Sequence[Any], letter: str) -> tuple[list[Assignment], list[sp.Expr]]:
    """Common subexpressions with a name each, and the expressions written with those names."""
    names = (_name(f"{letter}{i}") for i in itertools.count())
    return cast(Any, sp.cse(expressions, symbols=names, order="none"))


class Printer(StrPrinter):
    """Prints an expression for one target; a kernel overrides the few methods it spells otherwise.

    Integers and fractions are printed through `number`, roots through `root`, and a product with negative
    powers as one division (`ratio`); whole exponents stay whole (`power`).
    """

    both, either = "&", "|"

    def number(self, value: float) -> str:
        return repr(value)

    def call(self, function: str, *arguments: str) -> str:
        return f"{function}({', '.join(arguments)})"

    def root(self, argument: str) -> str:
        return self.call("sqrt", argument)

    def ratio(self, above: str, below: str) -> str:
        return f"{above}/{below}"

    def power(self, base: str, exponent: str) -> str:
        return f"{base}**{exponent}"

    def choose(self, condition: str, yes: str, no: str) -> str:
        return f"({yes} if {condition} else {no})"

    def _print_Float(self, expr: Any) -> str:
        return self.number(float(expr))

    _print_Integer = _print_One = _print_NegativeOne = _print_Zero = _print_Rational = _print_Half = _print_Float
    _print_NumberSymbol = _print_Pi = _print_Exp1 = _print_Float

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
            text = self.ratio(text, below[0] if len(below) == 1 else f"({'*'.join(below)})")
        return f"-{text}" if negative else text

    def _print_Pow(self, expr: sp.Pow, rational: bool = False) -> str:
        base, exponent = expr.args
        if exponent.is_Number and float(exponent) == 0.5:
            return self.root(self._print(base))
        if exponent.is_Number and exponent.is_negative:
            below = self.parenthesize(base**-exponent, PRECEDENCE["Mul"], strict=False)
            return self.ratio(self.number(1.0), below)
        inner = self.parenthesize(base, PRECEDENCE["Pow"], strict=False)
        if exponent.is_Number and float(exponent).is_integer():
            return self.power(inner, str(int(exponent)))  # a whole number: compilers write multiplications
        return self.power(inner, self.parenthesize(exponent, PRECEDENCE["Pow"], strict=False))

    def _print_UnevaluatedExpr(self, expr: Any) -> str:
        return f"({self._print(expr.args[0])})"

    def _print_Abs(self, expr: sp.Abs) -> str:
        return self.call("abs", self._print(expr.args[0]))

    def _print_Function(self, expr: sp.Function) -> str:
        return self.call(type(expr).__name__, *map(self._print, expr.args))

    _print_sign = _print_exp = _print_log = _print_tanh = _print_sin = _print_cos = _print_Function
    _print_floor = _print_Function

    def _print_Max(self, expr: sp.Max) -> str:
        return self._pairwise("maximum", expr)

    def _print_Min(self, expr: sp.Min) -> str:
        return self._pairwise("minimum", expr)

    def _print_Piecewise(self, expr: Any) -> str:
        *branches, (last, _) = expr.args
        text = self._print(last)
        for value, condition in reversed(branches):
            text = self.choose(self._print(condition), self._print(value), text)
        return text

    def _print_Relational(self, expr: Any) -> str:
        return f"({self._print(expr.lhs)} {expr.rel_op} {self._print(expr.rhs)})"

    def _print_And(self, expr: sp.And) -> str:
        return f"({f' {self.both} '.join(self._sorted(expr.args))})"

    def _print_Or(self, expr: sp.Or) -> str:
        return f"({f' {self.either} '.join(self._sorted(expr.args))})"

    def _print_Not(self, expr: sp.Not) -> str:
        return self.call("logical_not", self._print(expr.args[0]))

    def _pairwise(self, function: str, expr: sp.Basic) -> str:
        """f(f(a, b), c) for a function of two arguments."""
        return functools.reduce(lambda a, b: self.call(function, a, b), self._sorted(expr.args))

    def _sorted(self, arguments: Sequence[sp.Basic]) -> list[str]:
        """SymPy keeps the arguments of symmetric functions in sets; the text must not depend on that."""
        return [self._print(a) for a in sorted(arguments, key=sp.default_sort_key)]


class ConstantsPrinter(Printer):
    """Names each number: a kernel converts it to the dtype of the computation once, outside the loop."""

    def __init__(self) -> None:
        super().__init__()
        self.constants: dict[float, str] = {}

    def number(self, value: float) -> str:
        return self.constants.setdefault(value, f"_k{len(self.constants)}")


def _negated(term: sp.Expr) -> sp.Expr | None:
    """−term where the term is printed with a minus sign, else None."""
    return -term if term.could_extract_minus_sign() and precedence(-term) >= precedence(term) else None


__all__ = ["ConstantsPrinter", "Printer", "Program", "apart", "lower"]
