"""Differentiation by the rules one learns, each use written down.

SymPy has the derivatives of the functions; the rules above them are here, because SymPy says neither which it used
nor keeps the form they give: 6(2x − 1)² stays as the chain rule made it. Equal parts are differentiated once, and
what the result may come to is bounded. A rule at a kink or a jump says where it holds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import sympy as sp

from ..language import mark, say
from ..typeset import Typeset
from .extent import WORK, Work, operations
from .symbolic import SMOOTH, product
from .text import bracketed, latex, plain

# rule: the same in letters, as text and as LaTeX
RULES = {
    mark("sum"): ("(u + v)′ = u′ + v′", "(u + v)' = u' + v'"),
    mark("constant multiple"): ("(c·u)′ = c·u′", "(c u)' = c u'"),
    mark("power"): ("(xⁿ)′ = n·xⁿ⁻¹", "(x^n)' = n x^{n-1}"),
    "chain, power": ("(uⁿ)′ = n·uⁿ⁻¹·u′", "(u^n)' = n u^{n-1} u'"),
    mark("product"): ("(u·v)′ = u′·v + u·v′", "(u v)' = u' v + u v'"),
    mark("quotient"): ("(u/v)′ = (u′·v − u·v′)/v²", r"\left(\frac{u}{v}\right)' = \frac{u' v - u v'}{v^2}"),
    mark("exponential"): ("(aᵘ)′ = aᵘ·log(a)·u′", r"(a^u)' = a^u \log(a)\, u'"),
    mark("power of two functions"): (
        "(uᵛ)′ = uᵛ·(v′·log(u) + v·u′/u)",
        r"(u^v)' = u^v \left(v' \log u + v \frac{u'}{u}\right)",
    ),
    mark("larger or smaller"): (mark("the derivative of the one taken"), r"\max(u, v)' = u' \text{ or } v'"),
    "SymPy": (mark("found by SymPy"), r"\text{found by SymPy}"),
}


@dataclass(frozen=True)
class Step(Typeset):
    """One use of a rule: the derivative of `of` is `result`.

    Attributes:
        rule: its name; `chain, sin` is the chain rule with the derivative of the sine.
        of, result: SymPy expressions.
        variable: with respect to which.
        order: of the derivative this belongs to.
        kink: an expression; the rule holds where it is not 0.
        partial: whether there are other variables.
    """

    rule: str
    of: Any
    result: Any
    variable: str
    order: int = 1
    kink: Any = None
    partial: bool = False

    @property
    def law(self) -> str:
        """The rule in letters."""
        return RULES[self.rule][0] if self.rule in RULES else _law(self.rule)[0]

    def latex(self) -> str:
        """The claim, and the rule in letters beside it."""
        law = RULES[self.rule][1] if self.rule in RULES else _law(self.rule)[1]
        d = r"\partial" if self.partial else "d"
        of = latex(self.of)
        of = rf"\left({of}\right)" if self.of.is_Add or of.startswith("-") else of
        where = rf" \quad \text{{where }} {latex(self.kink)} \neq 0" if self.kink is not None else ""
        claim = rf"\frac{{{d}}}{{{d} {latex(sp.Symbol(self.variable))}}} {of} = {latex(self.result)}{where}"
        return rf"{claim} && \text{{{self.rule}: }} {law}"

    def __str__(self) -> str:
        where = say(", where {kink} ≠ 0", kink=plain(self.kink)) if self.kink is not None else ""
        d = "∂" if self.partial else "d"
        return f"{d}/{d}{self.variable} {bracketed(self.of)} = {plain(self.result)}{where}"


def _law(rule: str) -> tuple[str, str]:
    """What the table does not hold: a function's derivative, alone or in the chain rule, from SymPy."""
    name = rule.removeprefix("chain, ")
    u = sp.Symbol("x" if rule == name else "u", real=True)
    outer = next(kind for kind, word in FUNCTIONS.items() if word == name)(u)
    slope = _slope(outer)[0]
    inner = [sp.S.One, sp.S.One] if rule == name else [sp.Symbol("u′"), sp.Symbol("uprime")]
    left = f"({plain(outer)})" if isinstance(outer, sp.exp) else plain(outer)
    return (f"{left}′ = {plain(product(slope, inner[0]))}", f"{latex(outer)}' = {latex(product(slope, inner[1]))}")


@dataclass
class Rules:
    """Derivatives with respect to one variable, and the steps that led to them, inner ones first."""

    variable: Any
    order: int = 1
    partial: bool = False
    steps: list[Step] = field(default_factory=list)
    slopes: dict[Any, Any] = field(default_factory=dict)
    work: Work = field(default_factory=Work)

    def of(self, expression: Any) -> Any:
        """The derivative of an expression."""
        if expression == self.variable:
            return sp.S.One
        if self.variable not in expression.free_symbols:
            return sp.S.Zero
        if expression not in self.slopes:
            rule, result, kink = self._apply(expression)
            self.work.spend(1 + operations(result, WORK))
            self.slopes[expression] = result
            self.steps.append(Step(rule, expression, result, str(self.variable), self.order, kink, self.partial))
        return self.slopes[expression]

    def _apply(self, expression: Any) -> tuple[str, Any, Any]:
        if expression.is_Add:
            return "sum", sp.Add(*map(self.of, expression.args)), None
        if expression.is_Mul:
            return self._product(expression)
        if isinstance(expression, sp.exp) or not (expression.is_Pow or isinstance(expression, sp.Max | sp.Min)):
            return self._function(expression)
        if expression.is_Pow:
            return self._power(*expression.args)
        return self._larger(expression)

    def _product(self, expression: Any) -> tuple[str, Any, Any]:
        fixed, moving = expression.as_independent(self.variable, as_Add=False)
        if fixed != 1:
            inner = self.of(moving)
            terms = inner.args if inner.is_Add and moving.is_Mul else (inner,)  # of the product rule, one by one
            return "constant multiple", sp.Add(*(product(fixed, term) for term in terms)), None
        below = [f for f in expression.args if f.is_Pow and f.exp.is_Number and f.exp.is_negative]
        if below:
            above = product(*(f for f in expression.args if f not in below))
            under = product(*(1 / f for f in below))
            top = product(self.of(above), under) - product(above, self.of(under))
            return "quotient", product(top, under**-2), None
        terms = [
            product(self.of(factor), *expression.args[:place], *expression.args[place + 1 :])
            for place, factor in enumerate(expression.args)
        ]
        return "product", sp.Add(*terms), None

    def _power(self, base: Any, exponent: Any) -> tuple[str, Any, Any]:
        if self.variable not in exponent.free_symbols:
            rule = "power" if base == self.variable else "chain, power"
            return rule, product(exponent, base ** (exponent - 1), self.of(base)), None
        power = sp.Pow(base, exponent)
        if base == 0:  # 0ᵘ is 0 wherever u > 0
            return "exponential", sp.S.Zero, None
        if self.variable not in base.free_symbols:
            return "exponential", product(sp.log(base), power, self.of(exponent)), None
        rate = product(self.of(exponent), sp.log(base)) + product(exponent, self.of(base), 1 / base)
        return "power of two functions", product(power, rate), None

    def _larger(self, expression: Any) -> tuple[str, Any, Any]:
        """max(u, v)′ is u′ where u > v and v′ where v > u; their mean where they are equal."""
        first, *others = expression.args
        rest = others[0] if len(others) == 1 else expression.func(*others, evaluate=False)
        lead = first - rest if isinstance(expression, sp.Max) else rest - first
        taken = product(sp.Heaviside(lead, sp.S.Half), self.of(first))
        other = product(sp.Heaviside(-lead, sp.S.Half), self.of(rest))
        return "larger or smaller", taken + other, -lead if lead.could_extract_minus_sign() else lead

    def _function(self, expression: Any) -> tuple[str, Any, Any]:
        if isinstance(expression, sp.Piecewise):
            parts = [(self.of(value), condition) for value, condition in expression.args]
            return "SymPy", sp.Piecewise(*parts), None
        if type(expression) not in FUNCTIONS:
            return "SymPy", sp.diff(expression, self.variable), None
        slope, kink = _slope(expression)
        name = FUNCTIONS[type(expression)]
        inner = expression.args[0]
        rule = name if inner == self.variable else f"chain, {name}"
        return rule, product(slope, self.of(inner)), kink


FUNCTIONS: dict[Any, str] = {function: name for name, function in SMOOTH.items()} | {
    sp.Abs: "abs",
    sp.sign: "sign",
    sp.Heaviside: "heaviside",
    sp.floor: "floor",
    sp.ceiling: "ceil",
}


def _slope(expression: Any) -> tuple[Any, Any]:
    """f′(u) of f(u), and what is 0 where it has none."""
    inner = expression.args[0]
    if isinstance(expression, sp.Abs):
        return sp.sign(inner), inner
    if isinstance(expression, sp.sign | sp.Heaviside):
        return sp.S.Zero, inner
    if isinstance(expression, sp.floor | sp.ceiling):
        return sp.S.Zero, inner - sp.floor(inner)
    return expression.fdiff(1), None
