"""A formula or an expression printed as JavaScript, for pages that compute in the reader's own browser.

What is printed is float64 and does what the reference (`torch_ref.py`) does, one weight after the other. A rule is the
text of a function that changes weights and states in place:

    (w, g, s, r, h, t, loss) => …    w, g: arrays over the weights;  s: an array for each state;
                                     r: the states that are one number;  h: hyperparameters in their order

Names of a formula get a $ in front, so that none meets a word of the language; those of `lower` begin with an
underscore. What `Math` lacks is in `special.js`, which the page has to bring along. Nothing here imports torch.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from importlib import resources
from typing import Any

import sympy as sp

from ..formulas.equations import Equations
from .lower import Printer, lower

_MATH = "abs acos acosh asin asinh atan atanh cos cosh exp floor log sign sin sinh sqrt tan tanh"
_SPECIAL = ("erf", "sigmoid", "softplus")
_NAMES = {"maximum": "Math.max", "minimum": "Math.min", "ceiling": "Math.ceil", "logical_not": "!"}
_NAMES |= {name: f"Math.{name}" for name in _MATH.split()} | {name: f"special.{name}" for name in _SPECIAL}


class JavaScript(Printer):
    """Prints an expression."""

    both, either = "&&", "||"

    def call(self, function: str, *arguments: str) -> str:
        return f"{_NAMES[function]}({', '.join(arguments)})"

    def power(self, base: str, exponent: str) -> str:
        """A square is multiplied, as NumPy does; −x**2 is an error in JavaScript."""
        simple = exponent == "2" and base.removeprefix("$").isidentifier()
        return f"({base}*{base})" if simple else f"Math.pow({base}, {exponent})"

    def choose(self, condition: str, yes: str, no: str) -> str:
        return f"({condition} ? {yes} : {no})"

    def _print_Symbol(self, expr: sp.Symbol) -> str:
        return expr.name if expr.name.startswith("_") else f"${expr.name}"

    def _print_Heaviside(self, expr: Any) -> str:
        return f"(0.5 + 0.5*Math.sign({self._print(expr.args[0])}))"  # ½ at 0, as `tw.function` reads it


@functools.cache
def rule(equations: Equations) -> str:
    """The text of a function that takes one step; its arguments are those of the module.

    >>> import thalweg as tw
    >>> print(rule(tw.formulas.get("signsgd").equations))
    (w, g, s, r, h, t, loss) => {
      const $t = t, $loss = loss, $lr = h[0], $weight_decay = h[1];
      const _s0 = $weight_decay;
      const _s1 = -$lr;
      for (let i = 0; i < w.length; i++) {
        const $w = w[i], $g = g[i];
        w[i] += _s1*Math.sign($g + _s0*$w);
      }
    }
    """
    assert equations.elementwise, "it looks beyond one weight"
    program, print_ = lower(equations), JavaScript().doprint
    numbers = [f"${name} = h[{k}]" for k, name in enumerate(equations.hyperparameters)]
    single = [f"${name} = r[{k}]" for k, (name, _) in enumerate(program.row_states)]
    states = [f"${name} = s[{k}][i]" for k, (name, _) in enumerate(program.states)]
    once = [f"const {name} = {print_(value)};" for name, value in program.scalars]
    each = [f"const {name} = {print_(value)};" for name, value in program.shared]
    new = [f"s[{k}][i] = {print_(value)};" for k, (_, value) in enumerate(program.states)]
    advanced = [f"r[{k}] = {value};" for k, (_, value) in enumerate(program.row_states)]
    return "\n".join(
        [
            "(w, g, s, r, h, t, loss) => {",
            f"  const {', '.join(['$t = t', '$loss = loss', *numbers, *single])};",
            *(f"  {line}" for line in once),
            "  for (let i = 0; i < w.length; i++) {",
            f"    const {', '.join(['$w = w[i]', '$g = g[i]', *states])};",
            *(f"    {line}" for line in each),
            f"    w[i] += {print_(program.step)};",
            *(f"    {line}" for line in new),
            "  }",
            *(f"  {line}" for line in advanced),
            "}",
        ]
    )


def gradient(expression: sp.Expr, slopes: Sequence[sp.Expr], variables: Sequence[sp.Symbol]) -> str:
    """The text of a function (p, d) that returns the value of an expression at p, and puts its slopes there into d.

    >>> x, y = sp.symbols("x y", real=True)
    >>> print(gradient(x**2 + y, (2 * x, sp.S.One), (x, y)))
    (p, d) => {
      const _p0 = p[0], _p1 = p[1];
      d[0] = 2.0*_p0;
      d[1] = 1.0;
      return _p1 + (_p0*_p0);
    }
    """
    lines, (*values, last) = _parts((*slopes, expression), variables)
    lines += [f"d[{k}] = {value};" for k, value in enumerate(values)]
    return "\n".join(["(p, d) => {", *(f"  {line}" for line in lines), f"  return {last};", "}"])


def value(expression: sp.Expr, variables: Sequence[sp.Symbol]) -> str:
    """The text of a function (p) that returns the value of an expression at p."""
    lines, (last,) = _parts((expression,), variables)
    return "\n".join(["(p) => {", *(f"  {line}" for line in lines), f"  return {last};", "}"])


def _parts(outputs: Sequence[Any], variables: Sequence[sp.Symbol]) -> tuple[list[str], list[str]]:
    """Lines that compute what the outputs share, and the outputs."""
    named = {v: sp.Symbol(f"_p{k}", real=True) for k, v in enumerate(variables)}
    parts = sp.numbered_symbols("_x", real=True)
    shared, values = sp.cse([output.xreplace(named) for output in outputs], symbols=parts, order="none")
    print_ = JavaScript().doprint
    places = ", ".join(f"{name} = p[{k}]" for k, name in enumerate(named.values()))
    lines = [f"const {places};", *(f"const {name} = {print_(part)};" for name, part in shared)]
    return lines, [print_(v) for v in values]


def special() -> str:
    """The module that has what `Math` lacks."""
    return resources.files("thalweg.kernels").joinpath("special.js").read_text(encoding="utf-8")
