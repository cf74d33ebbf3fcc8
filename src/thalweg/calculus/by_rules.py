"""A derivative with the rules that led to it, and its value at a point.

`tw.derivative` (`derivative.py`) gives these, or by the definition those of `limit.py`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import sympy as sp

from ..language import mark, say
from ..typeset import Typeset
from .extent import Work, multiplies_out
from .function import Function
from .rules import Rules, Step
from .symbolic import symbol
from .text import RAISED, bracketed, digits, latex, plain

HIGHEST = 12  # degree of what is multiplied out


@dataclass(frozen=True)
class Derivative(Typeset):
    """The derivative of a function, and how it was found; `tw.derivative` makes it.

    Attributes:
        function: what was differentiated.
        wrt: with respect to which variable.
        order: how many times.
        expression: the derivative, in SymPy.
        steps: each use of a rule, inner ones first.
        at: a point, or None.
        value: the derivative there; NaN where there is none, and `note` says why.
    """

    function: Function
    wrt: str
    order: int
    expression: Any
    steps: tuple[Step, ...]
    at: tuple[float, ...] | None = None
    value: float | None = None
    note: str = ""

    def __call__(self, *values: Any, **named: Any) -> Any:
        """The derivative at numbers, arrays or tensors, as for `Function`."""
        return self.slope(*values, **named)

    @property
    def slope(self) -> Function:
        """The derivative as a function of the same variables."""
        return Function(self.expression, self.function.variables)

    @property
    def collected(self) -> Function | None:
        """A sum multiplied out, its like terms collected; None for a product, or where that is not shorter.

        >>> import thalweg as tw
        >>> print(tw.derivative("(2x - 1)(x + 3)").collected, tw.derivative("(2x - 1)^3").collected)
        4x + 5 None
        """
        if not (self.expression.is_Add and multiplies_out(self.expression, HIGHEST)):
            return None
        together = Function(sp.expand(self.expression), self.function.variables)
        return together if len(str(together)) < len(plain(self.expression)) else None

    def latex(self) -> str:
        r"""The result, and its value where a point was given.

        >>> import thalweg as tw
        >>> tw.derivative("3x^2").latex()
        '\\frac{d}{d x} 3 x^{2} = 6 x'
        >>> tw.derivative("3x^2", at=2).latex()
        '\\frac{d}{d x} 3 x^{2} = 6 x,\\quad \\left. \\frac{d f}{d x} \\right|_{x = 2} = 12'
        """
        of = latex(self.function.expression)
        of = rf"\left({of}\right)" if self.function.expression.is_Add or of.startswith("-") else of
        d, power = (r"\partial" if self._partial else "d"), f"^{{{self.order}}}" if self.order > 1 else ""
        name = latex(symbol(self.wrt))
        forms = (self.expression, *(() if self.collected is None else (self.collected.expression,)))
        found = rf"\frac{{{d}{power}}}{{{d} {name}{power}}} {of} = {' = '.join(map(latex, forms))}"
        if self.at is None or self.value is None or math.isnan(self.value):
            return found
        names = (latex(symbol(one)) for one in self.function.variables)
        where = ", ".join(f"{one} = {x:.10g}" for one, x in zip(names, self.at, strict=True))
        there = rf"\left. \frac{{{d}{power} f}}{{{d} {name}{power}}} \right|_{{{where}}}"
        return rf"{found},\quad {there} = {self.value:.10g}"

    def steps_latex(self) -> str:
        """All steps below each other, with the rules beside them."""
        rows = [step.latex().replace(" = ", " &= ", 1) for step in self.steps]
        return "\n".join([r"\begin{aligned}", " \\\\\n".join(rows), r"\end{aligned}"])

    def __str__(self) -> str:
        lines = [f"{self._sign} {bracketed(self.function.expression)} = {plain(self.expression)}"]
        if self.collected is not None:
            lines[0] += f" = {self.collected}"
        if self.at is not None and self.value is not None:
            lines += ["", value_in_words(self.function, self.at, digits(self.value), self.note)]
        if self.steps:
            lines.append("")
        for count, step in enumerate(self.steps, start=1):
            if step.order > 1 and step.order != self.steps[count - 2].order:
                lines += ["", say("and once more, order {order}:", order=step.order), ""]
            *chain, inner = step.rule.split(", ")
            rule = f"{say('chain')}, {say(inner)}" if chain else say(inner)
            lines += [f"  {count:>2}  {rule}: {say(step.law)}", f"      {step}"]
        return "\n".join(lines)

    @property
    def _partial(self) -> bool:
        return len(self.function.variables) > 1

    @property
    def _sign(self) -> str:
        d = "∂" if self._partial else "d"
        power = str(self.order).translate(RAISED) if self.order > 1 else ""
        return f"{d}{power}/{d}{self.wrt}{power}"


def value_in_words(f: Function, at: tuple[float, ...], value: str, note: str, off: str = "") -> str:
    """The derivative at a point, or why there is none; `off` says how far off it may be."""
    where = ", ".join(f"{n} = {digits(v)}" for n, v in zip(f.variables, at, strict=True))
    if note:
        return say("at {where}: none, because {note}", where=where, note=say(note))
    return say("at {where}: {value}{off}", where=where, value=value, off=off)


def differentiated(f: Function, name: str, order: int = 1, work: Work | None = None) -> Derivative:
    """The derivative by the rules, without a point; `work` is what the question has come to."""
    expression, steps, work = f.symbolic(), [], work or Work()
    for count in range(1, order + 1):
        rules = Rules(symbol(name), count, len(f.variables) > 1, work=work)
        expression = rules.of(expression)
        steps += rules.steps
    return Derivative(f, name, order, expression, tuple(steps))


def valued(derivative: Derivative, at: tuple[float, ...]) -> Derivative:
    """With its value at a point, unless there is a kink or a gap."""
    f = derivative.function
    value, note = float(derivative(*at)), ""
    if not math.isfinite(f(*at)):
        value, note = math.nan, mark("the function is not a real number there")
    elif any(step.kink is not None and Function(step.kink, f.variables)(*at) == 0 for step in derivative.steps):
        left, right = _sides(derivative, at)
        if not abs(left - right) <= 1e-3 * (1 + min(abs(left), abs(right))):
            value, note = math.nan, differing(left, right)
    elif math.isnan(value):
        note = mark("the derivative is not a real number there")
    return replace(derivative, at=at, value=value, note=note)


def differing(left: float, right: float) -> str:
    """Why there is no derivative where the slopes of both sides differ."""
    return say(
        "the slope is {left} from the left and {right} from the right",
        left=digits(float(f"{left:.4g}")),
        right=digits(float(f"{right:.4g}")),
    )


def _sides(derivative: Derivative, at: tuple[float, ...]) -> tuple[float, float]:
    """The slopes of what was differentiated last, a little to the left and to the right."""
    f, wrt = derivative.function, derivative.wrt
    last = f if derivative.order == 1 else differentiated(f, wrt, derivative.order - 1).slope
    place = f.variables.index(wrt)
    h = 1e-6 * max(1.0, abs(at[place]))
    here = last(*at)
    beside = [last(*(v + s * h * (i == place) for i, v in enumerate(at))) for s in (-1, 1)]
    return (here - beside[0]) / h, (beside[1] - here) / h
