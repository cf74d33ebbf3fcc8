"""`tw.minimum`: where a function is lowest, and how far that is proven.

The exact way goes through the points where the slope is 0 (`stationary.py`), completes the square where there is one
(`square.py`), and then asks what holds everywhere: a convex function has no other valley, a polynomial is judged by
its highest powers, a sum of squares by its value. What none of these settles is said to hold in the bounds only.
The other two ways are for everything else: a search over a grid, and SciPy's descent from a start.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import sympy as sp

from ..errors import ExpressionError
from ..language import mark, say
from ..typeset import Typeset
from .ends import falls_below_all, holds_everywhere
from .evaluation import compiled
from .extent import multiplies_out
from .function import Function, function
from .gradient import gradient, hessian
from .points import Bounds, Formula, Point, point, sides
from .square import completed
from .stationary import Candidates, Stationary, classified, of_one, of_several
from .text import digits, latex, plain

SPAN = 10.0  # the bounds are from −SPAN to SPAN unless given
HIGHEST = 60  # degree of what may turn out to be a quadratic
MOST_ROWS = 20  # points printed
MOST_POINTS = 4_000_000  # of a grid
OPERATIONS = 200_000_000  # on a grid whose resolution is not given


@dataclass(frozen=True)
class Minimum(Typeset):
    """A formula's minima and other level points; `tw.minimum` makes it.

    Attributes:
        function: of which.
        method: exact, grid or descent.
        points: all candidates, from left to right.
        best: the lowest minimum among them; None where there is none.
        square: the completed square, in SymPy; None where there is none.
        verdict: in words, how far `best` is the lowest value there is.
        everywhere: whether it is the lowest anywhere, not in the bounds only.
        bounds: (low, high) of each variable.
        note: what else is to be said.
    """

    function: Function
    method: str
    points: tuple[Stationary, ...]
    best: Stationary | None
    square: Any
    verdict: str
    everywhere: bool
    bounds: Bounds
    note: str = ""

    @property
    def at(self) -> tuple[float, ...] | None:
        """The coordinates of `best`."""
        return None if self.best is None else self.best.at

    @property
    def value(self) -> float | None:
        """f at `best`."""
        return None if self.best is None else self.best.value

    def latex(self) -> str:
        """The completed square, the condition and the points."""
        lines = [f"f &= {latex(self.function.symbolic())}"]
        if self.square is not None:
            lines.append(f"&= {latex(self.square)}")
        if self.method == "exact":
            lines += [
                rf"\frac{{\partial f}}{{\partial {latex(sp.Symbol(part.wrt))}}} &= {latex(part.expression)}"
                + self._condition(str(part.slope))
                for part in gradient(self.function).parts
            ]
        for one in self.points:
            numbers = one.exact or tuple(map(sp.Float, one.at))
            where = ", ".join(f"{n} = {latex(v)}" for n, v in zip(self.function.variables, numbers, strict=True))
            lines.append(rf"{where} &: \text{{{one.kind}}}, f = {latex(sp.Float(one.value, 10))}")
        return "\n".join([r"\begin{aligned}", " \\\\\n".join(lines), r"\end{aligned}"])

    def __str__(self) -> str:
        names = ", ".join(self.function.variables)
        head = f"f({names})"
        lines = [f"{head} = {self.function}"]
        if self.square is not None and str(self.square) != str(self.function.expression):
            lines.append(f"{' ' * len(head)} = {plain(self.square)}, {say('by completing the square')}")
        if self.method == "exact":
            d = "∂" if len(self.function.variables) > 1 else "d"
            slopes = {part.wrt: str(part.slope) for part in gradient(self.function).parts}
            lines += ["", *(f"{d}f/{d}{x} = {slope}{self._condition(slope)}" for x, slope in slopes.items())]
        if self.points:
            lines += ["", *self._rows()]
            if (more := len(self.points) - MOST_ROWS) > 0:
                lines.append(say("  and {more} higher one{s}", more=more, s="s" * (more > 1)))
        lines += ["", f"{self.verdict[0].upper()}{self.verdict[1:]}."]
        if self.note:
            note = say(self.note)
            lines.append(f"{note[0].upper()}{note[1:]}.")
        return "\n".join(lines)

    def _condition(self, slope: str) -> str:
        """What follows a slope, unless it is 0 everywhere or nowhere."""
        return " = 0" if self.points and slope != "0" else ""

    def _rows(self) -> list[str]:
        lowest = sorted(self.points, key=lambda one: one.value)[:MOST_ROWS]
        points = [one for one in self.points if one in lowest]
        rows = [
            (f"  {shown(self.function, one)}", f"f = {digits(one.value)}", f"{say(one.kind)}: {say(one.reason)}")
            for one in points
        ]
        first, second = (max(len(row[k]) for row in rows) for k in (0, 1))
        if first + second + max(len(row[2]) for row in rows) > 76:
            return [line for row in rows for line in (f"{row[0]}   {row[1]}", f"      {row[2]}")]
        return [f"{row[0]:<{first}}   {row[1]:<{second}}   {row[2]}" for row in rows]


def shown(f: Function, one: Stationary) -> str:
    """``x = √2 ≈ 1.414213562, y = 0``."""
    words = []
    for place, name in enumerate(f.variables):
        decimal = digits(one.at[place])
        form = None if one.exact is None else plain(one.exact[place])
        near = form is None or form == decimal
        words.append(f"{name} = {decimal}" if near else f"{name} = {form} ≈ {digits(float(f'{one.at[place]:.6g}'))}")
    return ", ".join(words)


def minimum(
    formula: Formula,
    bounds: Any = None,
    *,
    method: str = "exact",
    start: Point = None,
    resolution: int | None = None,
    variables: str | Iterable[str] | None = None,
) -> Minimum:
    """The lowest value of a formula, and where it is.

    f′ = 0, and f″ > 0 there; in several variables ∇f = 0 and a positive definite Hessian.

    Args:
        formula: whatever `tw.function` takes.
        bounds: (low, high) for one variable or for each, or a mapping by name; −10 to 10 unless given. Polynomials
            are solved everywhere; other functions are followed in the bounds only.
        method: "exact": all points where the slope is 0, in closed form where SymPy can; "grid": the lowest of a grid
            over the bounds; "descent": SciPy's `minimize` from `start`, by BFGS where there is a formula.
        start: where a descent begins.
        resolution: points of the grid along each variable; 2001 for one, 401 for two, fewer for more.
        variables: as for `tw.function`.

    >>> print(minimum("x² − 4x + 6"))
    f(x) = x² − 4x + 6
         = (x − 2)² + 2, by completing the square
    <BLANKLINE>
    df/dx = 2x − 4 = 0
    <BLANKLINE>
      x = 2   f = 2   minimum: f″ > 0
    <BLANKLINE>
    The lowest value anywhere is 2, at x = 2.

    Raises:
        ExpressionError: as for `tw.function`; bounds that are not pairs of numbers; a descent without a start.
    """
    f = function(formula, variables)
    if not f.variables:
        raise ExpressionError(
            "{f} is constant: it has this value everywhere; in Python, variables= names what it is of.", f=str(f)
        )
    limits = ((-SPAN, SPAN),) * len(f.variables) if bounds is None else sides(bounds, f.variables, str(f))
    if method == "exact":
        found = _exact(f, limits)
        return found if bounds is None else replace(found, note=_with_bounds(found))
    if method == "grid":
        return _grid(f, limits, resolution)
    if method == "descent":
        if start is None:
            raise ExpressionError("a descent needs a start; give it with start=.")
        return _descent(f, point(f, start), limits)
    raise ExpressionError("{method} is not a way to find a minimum; give exact, grid or descent.", method=repr(method))


def _exact(f: Function, bounds: Bounds) -> Minimum:
    symbols, expression = f.symbols(), f.symbolic()
    candidates = of_one(f, *bounds[0]) if len(symbols) == 1 else of_several(f, bounds)
    candidates = replace(candidates, points=tuple(_by_sign(f, one) for one in candidates.points))
    square = completed(expression, symbols) if multiplies_out(expression, HIGHEST) else None
    minima = [one for one in candidates.points if "minimum" in one.kind]
    best = min(minima, key=lambda one: one.value, default=None)
    verdict, everywhere = _verdict(f, candidates, best, bounds)
    return Minimum(f, "exact", candidates.points, best, square, verdict, everywhere, bounds, candidates.note)


def _with_bounds(found: Minimum) -> str:
    """The note, and where f is lowest in bounds that were given and leave its lowest minimum out."""
    f, bounds = found.function, found.bounds

    def inside(one: Stationary) -> bool:
        return all(low <= x <= high for x, (low, high) in zip(one.at, bounds, strict=True))

    if (found.best is not None and inside(found.best)) or not (found.everywhere or falls_below_all(f)):
        return found.note  # which is said, or of the bounds already
    level = [one for one in found.points if inside(one)]
    lowest = min([_lowest_on_grid(f, bounds), *level], key=lambda one: one.value)
    there = say("{value} at {place}", value=digits(lowest.value), place=shown(f, lowest))
    words = say("in {inside} it is lowest with {there}", inside=_shown(f, bounds), there=there)
    return "; ".join(filter(None, [say(found.note), words]))


def _by_sign(f: Function, one: Stationary) -> Stationary:
    """An undecided point is a minimum where nothing can be lower."""
    if one.kind == "undecided" and one.value == 0 and f.expression.is_nonnegative:
        return replace(one, kind="minimum", reason=say("{reason}, and f ≥ 0 everywhere", reason=one.reason))
    return one


def _verdict(f: Function, candidates: Candidates, best: Stationary | None, bounds: Bounds) -> tuple[str, bool]:
    """How far the lowest minimum is the lowest value, and whether it is that everywhere."""
    if "constant" in candidates.note:
        return say("it is {f} everywhere", f=f), True
    if falls_below_all(f):
        lowest = "" if best is None else say("; the lowest valley is at {place}", place=shown(f, best))
        return say("it has no lowest value: it falls below every bound{lowest}", lowest=lowest), False
    if best is None:
        return _without_minimum(f, candidates, bounds), False
    where = say("{value}, at {place}", value=digits(best.value), place=shown(f, best))
    near = 1e-12 * (1 + abs(best.value))
    ties = sum("minimum" in one.kind and abs(one.value - best.value) <= near for one in candidates.points)
    where += say(" and {count} other point{s}", count=ties - 1, s="s" * (ties > 2)) if ties > 1 else ""
    if holds_everywhere(f, best.value):
        return say("the lowest value anywhere is {where}", where=where), True
    lowest, inside = _lowest_on_grid(f, bounds), _shown(f, bounds)
    if lowest.value < best.value - 1e-9 * (1 + abs(best.value)):
        lower = say("{value} at {place}", value=digits(lowest.value), place=shown(f, lowest))
        words = say(
            "the lowest valley is {where}, but values in {inside} go down to {lower}",
            where=where,
            inside=inside,
            lower=lower,
        )
        return words, False
    words = say(
        "the lowest value in {inside} is {where}; beyond the bounds nothing is proven", inside=inside, where=where
    )
    return words, False


def _without_minimum(f: Function, candidates: Candidates, bounds: Bounds) -> str:
    if any(one.kind == "undecided" for one in candidates.points):
        return say("the second derivatives do not decide; try method='grid' or method='descent'")
    lowest = _lowest_on_grid(f, bounds)
    there = say("{value} at {place}", value=digits(lowest.value), place=shown(f, lowest))
    if lowest.kind == "minimum":
        return say(
            "no level point was found, but a grid is lowest inside, {there}: try method='descent' from there",
            there=there,
        )
    where = "" if candidates.complete else say(" in {bounds}", bounds=_shown(f, bounds))
    return say(
        "it has no minimum{where}; within the bounds it is lowest on their edge, {there}", where=where, there=there
    )


def _shown(f: Function, bounds: Bounds) -> str:
    sides = zip(f.variables, bounds, strict=True)
    return ", ".join(f"{digits(low)} ≤ {name} ≤ {digits(high)}" for name, (low, high) in sides)


def _lowest_on_grid(f: Function, bounds: Bounds) -> Stationary:
    return _grid(f, bounds, None).points[0]


def _grid(f: Function, bounds: Bounds, resolution: int | None) -> Minimum:
    """The lowest of all points of a grid."""
    count = len(bounds)
    usual = 2001 if count == 1 else 401 if count == 2 else max(3, int(MOST_POINTS ** (1 / count)) // 2)
    length = 1 if f.expression is None else len(compiled(f.expression, f.variables).operations)
    each = resolution or min(usual, max(3, int((OPERATIONS / length) ** (1 / count))))
    if isinstance(each, bool) or not isinstance(each, int) or each < 2 or each**count > MOST_POINTS:
        raise ExpressionError(
            "a grid of {each} points along each of {count} variables is not possible; give a whole number from 2 "
            "to {most}.",
            each=repr(each),
            count=count,
            most=int(MOST_POINTS ** (1 / count)),
        )
    axes = [np.linspace(low, high, each) for low, high in bounds]
    values = np.asarray(f(*np.meshgrid(*axes, indexing="ij", sparse=True)), dtype=float)
    if not np.isfinite(values).any():
        raise ExpressionError("{f} is a real number nowhere on the grid; give other bounds.", f=str(f))
    place = np.unravel_index(np.nanargmin(np.where(np.isnan(values), np.inf, values)), values.shape)
    at = tuple(float(axis[k]) for axis, k in zip(axes, place, strict=True))
    spaced = ", ".join(digits(float(f"{axis[1] - axis[0]:.4g}")) for axis in axes)
    edge = any(k in (0, each - 1) for k in place)
    best = Stationary(at, float(values[place]), "edge minimum" if edge else "minimum", mark("the lowest of the grid"))
    verdict = say(
        "the lowest of {count:,} points in {bounds}, {spaced} apart",
        count=values.size,
        bounds=_shown(f, bounds),
        spaced=spaced,
    )
    note = say("it is on the edge of the bounds: lower values may be beyond") if edge else ""
    return Minimum(f, "grid", (best,), best, None, verdict, False, bounds, note)


def _descent(f: Function, start: tuple[float, ...], bounds: Bounds) -> Minimum:
    """SciPy's minimize: BFGS with the gradient of the rules, Nelder–Mead without a formula."""
    from scipy import optimize

    steps = gradient(f) if f.expression is not None else None
    with np.errstate(all="ignore"):
        result: Any = optimize.minimize(
            lambda v: float(f(*map(float, v))),
            start,
            method="Nelder-Mead" if steps is None else "BFGS",
            jac=None if steps is None else lambda v: np.asarray(steps(*map(float, v)), dtype=float),
        )
    at, value = tuple(map(float, result.x)), float(result.fun)
    clean = tuple(0.0 if abs(v) < 1e-7 else v for v in at)  # without what steps leave of a zero
    if float(f(*clean)) <= value:
        at, value = clean, float(f(*clean))
    began = ", ".join(map(digits, start))
    slopes = np.zeros(1) if steps is None else np.asarray(steps(*at))
    settled = bool(np.abs(slopes).max() <= 1e-3 * math.sqrt(1 + abs(value))) if math.isfinite(value) else False
    if not settled or max(map(abs, at)) > 1e8:
        verdict = say(
            "from {began} it does not settle: f = {value} after {steps} steps, and still falling",
            began=began,
            value=digits(value),
            steps=result.nit,
        )
        return Minimum(f, "descent", (), None, None, verdict, False, bounds)
    one = Stationary(at, value, "minimum", mark("nothing lower beside it"))
    if steps is not None and np.isfinite(np.asarray(hessian(f)(*at), dtype=float)).all():
        one = classified(f, at, None)
    best = one if one.kind in ("minimum", "undecided") else None
    verdict = say(
        "reached from {began} in {steps} steps and {values} values; another start may find a lower one",
        began=began,
        steps=result.nit,
        values=result.nfev,
    )
    return Minimum(f, "descent", (one,), best, None, verdict, False, bounds)
