"""The derivative by its definition: the slope of a secant, as its second point moves onto the first.

    f′(x) = lim h→0 (f(x + h) − f(x))/h

Three views of one thing: the quotient, worked out where numerator and denominator are polynomials, its limit, and a
table of its values from the right and the left, which also serves functions without a formula. In floating point the
table is best near h = 10⁻⁸: from there on rounding, about 10⁻¹⁶·|f|/h, outgrows what is left of h.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import sympy as sp

from ..errors import ExpressionError
from ..language import mark, say
from ..typeset import Typeset
from .by_rules import differentiated, differing, value_in_words
from .extent import multiplies_out, operations
from .function import Function
from .symbolic import symbol
from .text import digits, latex, plain

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

STEPS = tuple(10.0**-k for k in range(11))
HIGHEST = 12  # degree of a quotient that is worked out
TERMS = 60  # operations of a quotient that is worked out


@dataclass(frozen=True)
class Limit(Typeset):
    """(f(x + h) − f(x))/h and where it goes; `tw.derivative(…, method="limit")` makes it.

    Attributes:
        function: of which.
        wrt: the variable that h is added to.
        quotient: the difference quotient in SymPy, worked out if it is a polynomial; None without a formula.
        expression: its limit, in SymPy; None where there are kinks, or no formula.
        at: the point, or None.
        h: (11,) 1, 0.1, …, 10⁻¹⁰.
        right, left: (11,) the quotients for h and for −h; empty without a point.
        value: the derivative there; NaN where the sides disagree.
        error: how far off it may be; 0 where it comes from `expression`.
    """

    function: Function
    wrt: str
    quotient: Any
    expression: Any
    at: tuple[float, ...] | None
    h: np.ndarray = field(compare=False)
    right: np.ndarray = field(compare=False)
    left: np.ndarray = field(compare=False)
    value: float | None
    error: float
    note: str = ""

    def table(self) -> pd.DataFrame:
        """h, and the quotients from the right and the left."""
        import pandas as pd

        return pd.DataFrame({"h": self.h[: len(self.right)], "from the right": self.right, "from the left": self.left})

    def latex(self) -> str:
        """The definition with its limit.

        Raises:
            ExpressionError: a function without a formula.
        """
        f, x, h = self.function.symbolic(), symbol(self.wrt), _step(self.function)
        there = latex(f.xreplace({x: symbol(f"({x} + {h})")}))
        result = "" if self.expression is None else f" = {latex(self.expression)}"
        quotient = latex(self.quotient) if operations(self.quotient, TERMS) < TERMS else rf"\frac{{{there} - f}}{{h}}"
        return rf"\lim_{{{h} \to 0}} \left({quotient}\right){result}"

    def __str__(self) -> str:
        h = _step(self.function)
        lines = [f"f({self.wrt}) = {self.function}"]
        if self.expression is not None:
            worked = plain(self.quotient) if operations(self.quotient, TERMS) < TERMS else ""
            quotient = f"(f({self.wrt} + {h}) − f({self.wrt}))/{h}"
            lines += ["", f"{quotient} = {worked}"] if worked else ["", quotient]
            lines += [say("→ {limit} as {h} → 0", limit=plain(self.expression), h=h)]
        if self.at is not None and self.value is not None:
            off = f" ± {digits(float(f'{self.error:.1g}'))}" if self.error else ""
            value = digits(float(f"{self.value:.9g}") if off else self.value)
            lines += ["", *self._rows(), "", value_in_words(self.function, self.at, value, self.note, off)]
        return "\n".join(lines)

    def _rows(self) -> list[str]:
        rows = [("h", say("from the right"), say("from the left"))]
        numbers = np.stack([self.h, self.right, self.left], axis=-1).tolist()
        from rich.cells import cell_len

        rows += [(f"{h:g}", digits(right), digits(left)) for h, right, left in numbers]
        return [
            "".join(" " * (width - cell_len(cell)) + cell for cell, width in zip(row, (8, 20, 20), strict=True))
            for row in rows
        ]

    def picture(self, h: float = 1.0) -> go.Figure:
        """The secant turning into the tangent, from a distance of h down to 0.

        Raises:
            ExpressionError: without a point, or where there is no tangent.
        """
        from ..pictures.secant import secant

        if self.at is None or self.value is None:
            raise ExpressionError("the picture needs a point; give it with at=.")
        if not math.isfinite(self.value):
            note = say(self.note or mark("the slope is infinite"))
            raise ExpressionError("there is no tangent to draw, because {note}.", note=note)
        if not (math.isfinite(h) and h != 0):
            raise ExpressionError("the first distance is {h}, and must be a number that is not 0.", h=repr(h))
        here = self.at[self.function.variables.index(self.wrt)]
        return secant(self._along, here, self.value, h, str(self.function), self.wrt)

    def _along(self, values: Any) -> np.ndarray:
        """The function along one variable, the others fixed at the point."""
        assert self.at is not None
        place = self.function.variables.index(self.wrt)
        point = [values if i == place else np.full_like(values, v) for i, v in enumerate(self.at)]
        return np.asarray(self.function(*point), dtype=float)


def _step(f: Function) -> str:
    return next(letter for letter in ("h", "Δ", "step") if letter not in f.variables)


def by_definition(f: Function, wrt: str, at: tuple[float, ...] | None) -> Limit:
    """The difference quotient of a function, its limit, and its values around a point."""
    quotient, expression = (None, None) if f.expression is None else _symbolic(f, wrt)
    if at is None:
        f.symbolic()
        return Limit(f, wrt, quotient, expression, None, np.array(STEPS), np.array([]), np.array([]), None, 0.0)
    here = float(f(*at))
    if not math.isfinite(here):
        raise ExpressionError(
            "{f} is not a real number at {point}; give another point.", f=str(f), point=", ".join(map(digits, at))
        )
    place = f.variables.index(wrt)
    h = np.array(STEPS) * 10.0 ** math.floor(math.log10(max(1.0, abs(at[place]))))

    def quotients(moved: np.ndarray) -> np.ndarray:
        values = [float(f(*(m if i == place else v for i, v in enumerate(at)))) for m in moved]
        return (np.array(values) - here) / (moved - at[place])

    right, left = quotients(at[place] + h), quotients(at[place] - h)
    exact = None if expression is None else float(Function(expression, f.variables)(*at))
    value, error, note = _judged(right, left, exact)
    return Limit(f, wrt, quotient, expression, at, h, right, left, value, error, note)


def _judged(right: np.ndarray, left: np.ndarray, exact: float | None) -> tuple[float, float, str]:
    """The limit of a table, how sure it is, and why there is none."""
    (right_end, right_off), (left_end, left_off) = _settled(right), _settled(left)
    tolerance = 1e-3 * (1 + min(abs(right_end), abs(left_end)))
    if not (math.isfinite(right_off) and math.isfinite(left_off)):
        missing = "left" if math.isfinite(right_off) else "right"
        return math.nan, math.nan, f"the function is not a real number to the {missing}"
    if abs(right_end - left_end) > tolerance:
        if max(right_off, left_off) > tolerance:
            return math.nan, math.nan, "the quotients do not settle"
        return math.nan, math.nan, differing(left_end, right_end)
    if exact is not None and abs(exact - (right_end + left_end) / 2) <= 1e-3 * (1 + abs(exact)):
        return exact, 0.0, ""
    value, move = _settled((right + left) / 2)
    return value, max(move, 1e-12 * abs(value)), ""


@np.errstate(invalid="ignore")  # ∞ − ∞
def _settled(quotients: np.ndarray) -> tuple[float, float]:
    """The quotient that moves the least from the one before it, and by how much."""
    moves = np.abs(np.diff(quotients))
    moves[~np.isfinite(moves)] = np.inf
    best = int(np.argmin(moves))
    return float(quotients[best + 1]), float(moves[best])


def _symbolic(f: Function, wrt: str) -> tuple[Any, Any]:
    """The quotient, and its limit: of a fraction of polynomials by putting 0 for h, else as the rules give it."""
    x, h, expression = symbol(wrt), symbol(_step(f)), f.symbolic()
    there = expression.xreplace({x: x + h})
    quotient = (there - expression) / h
    if multiplies_out(expression, HIGHEST, more=1):
        quotient = sp.cancel(sp.together(quotient))
        quotient = sp.expand(quotient) if quotient.is_polynomial() else quotient
        return quotient, quotient.xreplace({h: sp.S.Zero})
    slope = differentiated(f, wrt)
    return quotient, None if any(step.kink is not None for step in slope.steps) else slope.expression
