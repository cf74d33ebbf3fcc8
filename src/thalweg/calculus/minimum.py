"""`tw.minimum`: where a function is lowest, and how far that is proven.

The exact way goes through the points where the slope is 0 (`stationary.py`), completes the square where there is one
(`square.py`), and then asks what holds everywhere: a convex function has no other valley, a polynomial is judged by
its highest powers, a sum of squares by its value. What none of these settles is said to hold in the bounds only.
The other two ways are for everything else: a search over a grid, and SciPy's descent from a start.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import sympy as sp

from ..errors import ExpressionError
from .deadline import deadline
from .derivative import Formula, Point, _digits, derivative, gradient, hessian, number, point
from .function import Function, function
from .square import completed
from .stationary import Found, Stationary, classified, late, of_one, of_several
from .text import latex, plain

SECONDS = 2.0
SPAN = 10.0  # the bounds are from −SPAN to SPAN unless given
MOST_ROWS = 20  # points printed
MOST_POINTS = 4_000_000  # of a grid


@dataclass(frozen=True)
class Minimum:
    """What was found; `tw.minimum` makes it.

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
    bounds: tuple[tuple[float, float], ...]
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
                rf"\frac{{\partial f}}{{\partial {latex(sp.Symbol(part.wrt))}}} &= {latex(part.expression)} = 0"
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
            lines.append(f"{' ' * len(head)} = {plain(self.square)}, by completing the square")
        if self.method == "exact":
            d = "∂" if len(self.function.variables) > 1 else "d"
            slopes = {part.wrt: str(part.slope) for part in gradient(self.function).parts}
            lines += ["", *(f"{d}f/{d}{x} = {slope}{' = 0' * (slope != '0')}" for x, slope in slopes.items())]
        if self.points:
            lines += ["", *self._rows()]
            if (more := len(self.points) - MOST_ROWS) > 0:
                lines.append(f"  and {more} higher one{'s' * (more > 1)}")
        lines += ["", f"{self.verdict[0].upper()}{self.verdict[1:]}."]
        if self.note:
            lines.append(f"{self.note[0].upper()}{self.note[1:]}.")
        return "\n".join(lines)

    def __hash__(self) -> int:
        return hash((self.function, self.method, self.bounds))

    def _rows(self) -> list[str]:
        lowest = sorted(self.points, key=lambda one: one.value)[:MOST_ROWS]
        shown = [one for one in self.points if one in lowest]
        rows = [
            (f"  {told(self.function, one)}", f"f = {_digits(one.value)}", f"{one.kind}: {one.reason}") for one in shown
        ]
        first, second = (max(len(row[k]) for row in rows) for k in (0, 1))
        if first + second + max(len(row[2]) for row in rows) > 76:
            return [line for row in rows for line in (f"{row[0]}   {row[1]}", f"      {row[2]}")]
        return [f"{row[0]:<{first}}   {row[1]:<{second}}   {row[2]}" for row in rows]


def told(f: Function, one: Stationary) -> str:
    """``x = √2 ≈ 1.414213562, y = 0``."""
    words = []
    for place, name in enumerate(f.variables):
        decimal = _digits(one.at[place])
        form = None if one.exact is None else plain(one.exact[place])
        near = form is None or form == decimal
        words.append(f"{name} = {decimal}" if near else f"{name} = {form} ≈ {_digits(float(f'{one.at[place]:.6g}'))}")
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
        ExpressionError: as for `tw.function`; bounds that are none; a descent without a start.
    """
    f = function(formula, variables)
    if not f.variables:
        raise ExpressionError(f"{f} is constant and has no variable; name one with variables=.")
    limits = _bounds(f, bounds)
    if method == "exact":
        return _exact(f, limits)
    if method == "grid":
        return _grid(f, limits, resolution)
    if method == "descent":
        if start is None:
            raise ExpressionError("a descent needs a start; give it with start=.")
        return _descent(f, point(f, start), limits)
    raise ExpressionError(f"{method!r} is no way to find a minimum; give exact, grid or descent.")


def _bounds(f: Function, given: Any) -> tuple[tuple[float, float], ...]:
    count = len(f.variables)
    if given is None:
        return ((-SPAN, SPAN),) * count
    if isinstance(given, Mapping):
        if set(given) != set(f.variables):
            raise ExpressionError(
                f"the bounds are for {', '.join(map(str, given))}, and {f} has {', '.join(f.variables)}."
            )
        given = [given[name] for name in f.variables]
    try:
        pairs = [tuple(given)] if np.ndim(given) == 1 and not isinstance(given[0], list | tuple) else list(given)
        found = tuple((number(low), number(high)) for low, high in pairs)
    except (TypeError, ValueError, KeyError) as error:
        if isinstance(error, ExpressionError):
            raise
        raise ExpressionError(
            f"{given!r} are no bounds; give (low, high), or one such pair for each variable."
        ) from error
    found = found * count if len(found) == 1 else found
    if len(found) != count or any(low >= high for low, high in found):
        raise ExpressionError(
            f"{given!r} are no bounds of {f}; give (low, high) with low < high, one for each of "
            f"{', '.join(f.variables)} or one for all."
        )
    return found


def _exact(f: Function, bounds: tuple[tuple[float, float], ...]) -> Minimum:
    symbols = f.symbols()
    f.symbolic()
    found = of_one(f, *bounds[0]) if len(symbols) == 1 else of_several(f, bounds)
    square = None
    with contextlib.suppress(ExpressionError), deadline(SECONDS, late(f)):
        square = completed(sp.nsimplify(f.expression, rational=True), symbols)
    points = tuple(_by_sign(f, one) for one in found.points)
    found = replace(found, points=points)
    minima = [one for one in points if "minimum" in one.kind]
    best = min(minima, key=lambda one: one.value, default=None)
    verdict, everywhere = _verdict(f, found, best, bounds)
    return Minimum(f, "exact", found.points, best, square, verdict, everywhere, bounds, found.note)


def _by_sign(f: Function, one: Stationary) -> Stationary:
    """An undecided point is a minimum where nothing can be lower."""
    if one.kind == "undecided" and one.value == 0 and f.expression.is_nonnegative:
        return replace(one, kind="minimum", reason=f"{one.reason}, and f ≥ 0 everywhere")
    return one


def _verdict(
    f: Function, found: Found, best: Stationary | None, bounds: tuple[tuple[float, float], ...]
) -> tuple[str, bool]:
    """How far the lowest minimum is the lowest value."""
    if "constant" in found.note:
        return f"it is {f} everywhere", True
    floor = _floor(f, best)
    if floor == "below":
        lowest = "" if best is None else f"; the lowest valley is at {told(f, best)}"
        return f"it has no lowest value: it falls below every bound{lowest}", False
    if best is None:
        if any(one.kind == "undecided" for one in found.points):
            return "the second derivatives do not decide; try method='grid' or method='descent'", False
        lower = _grid(f, bounds, None)
        assert lower.best is not None
        there = f"{_digits(lower.best.value)} at {told(f, lower.best)}"
        if lower.best.kind == "minimum":
            return (
                f"no level point was found, but a grid is lowest inside, {there}: try method='descent' from there",
                False,
            )
        where = "" if found.complete else f" in {_told(f, bounds)}"
        return f"it has no minimum{where}; within the bounds it is lowest on their edge, {there}", False
    where = f"{_digits(best.value)}, at {told(f, best)}"
    ties = sum(
        "minimum" in one.kind and abs(one.value - best.value) <= 1e-12 * (1 + abs(best.value)) for one in found.points
    )
    where += f" and {ties - 1} other point{'s' * (ties > 2)}" if ties > 1 else ""
    if floor == "holds":
        return f"the lowest value anywhere is {where}", True
    lower = _grid(f, bounds, None)
    if lower.value is not None and lower.value < best.value - 1e-9 * (1 + abs(best.value)):
        assert lower.best is not None
        return (
            f"the lowest valley is {where}, but values in {_told(f, bounds)} go down to {_digits(lower.value)} at "
            f"{told(f, lower.best)}"
        ), False
    return f"the lowest value in {_told(f, bounds)} is {where}; beyond the bounds nothing is proven", False


def _told(f: Function, bounds: tuple[tuple[float, float], ...]) -> str:
    return ", ".join(
        f"{_digits(low)} ≤ {name} ≤ {_digits(high)}" for name, (low, high) in zip(f.variables, bounds, strict=True)
    )


def _floor(f: Function, best: Stationary | None) -> str:
    """Whether the lowest minimum `holds` everywhere, or values go `below` every bound; or neither is shown."""
    with contextlib.suppress(Exception), deadline(SECONDS, late(f)):
        symbols, expression = f.symbols(), sp.nsimplify(f.expression, rational=True)
        if expression.is_polynomial(*symbols):
            if (ends := _far(sp.Poly(sp.expand(expression), *symbols))) != "open":
                return ends if ends == "below" or best is not None else "open"
        elif len(symbols) == 1 and _falls(f, expression):
            return "below"
        if best is None:
            return "open"
        if expression.is_nonnegative and abs(best.value) < 1e-12:
            return "holds"
        if len(symbols) == 1 and _convex(f):
            return "holds"
        if len(symbols) == 1 and expression.is_rational_function(symbols[0]) and _rises(expression, symbols[0]):
            return "holds"
    return "open"


def _far(polynomial: Any) -> str:
    """By the terms of the highest degree: `holds` if they rise in every direction, `below` if they fall in one."""
    symbols, degree = polynomial.gens, polynomial.total_degree()
    if len(symbols) == 1:
        return "holds" if polynomial.LC() > 0 and degree % 2 == 0 else "below"
    if degree % 2:
        return "below"
    if degree == 2:
        return _by_eigenvalues(sp.hessian(polynomial.as_expr(), symbols))
    terms = sp.Add.make_args(polynomial.as_expr())
    if all(len(term.free_symbols) <= 1 for term in terms):  # a sum of functions of one variable each
        parts = [sp.Add(*(term for term in terms if term.has(symbol))) for symbol in symbols]
        ends = {_far(sp.Poly(part, symbol)) for part, symbol in zip(parts, symbols, strict=True) if part != 0}
        return "below" if "below" in ends else "holds"
    return _by_directions(
        sp.Add(*(term for term in terms if sp.Poly(term, *symbols).total_degree() == degree)), symbols
    )


def _by_directions(top: Any, symbols: tuple[Any, ...]) -> str:
    """The signs of a form: one that falls is found by trying; that none does is proven for two variables."""
    directions = np.random.default_rng(0).normal(size=(4000, len(symbols)))
    values = Function(top, tuple(s.name for s in symbols))(*directions.T)
    if values.min() < -1e-9 * np.abs(values).max():
        return "below"
    if len(symbols) > 2:
        return "open"
    first, second = list(symbols)
    across = sp.Poly(top.xreplace({first: sp.S.One}), second)
    end = top.xreplace({first: sp.S.Zero, second: sp.S.One})
    return "holds" if across.count_roots() == 0 and end > 0 else "open"


def _by_eigenvalues(matrix: Any) -> str:
    """Of a quadratic with a stationary point: any falling direction goes below; none, and it holds."""
    found = np.linalg.eigvalsh(np.array(matrix.tolist(), dtype=float))
    if found[0] < -1e-9 * np.abs(found).max():
        return "below"
    return "holds"


def _convex(f: Function) -> bool:
    """A second derivative that is nowhere negative, on a line without kinks and poles."""
    second = derivative(f, order=2)
    poles = any(p.exp.is_negative and p.base != sp.E and p.free_symbols for p in f.expression.atoms(sp.Pow))
    kinks = any(step.kink is not None for step in second.steps)
    return bool(second.expression.is_nonnegative and not poles and not kinks)


def _falls(f: Function, expression: Any) -> bool:
    """Whether it goes to −∞ at an end or a pole, beside which it is real."""
    (x,) = f.symbols()
    places = [(sp.oo, "-", 1e3), (-sp.oo, "+", -1e3)]
    if expression.is_rational_function(x):
        roots = sp.real_roots(sp.Poly(sp.denom(sp.together(expression)), x))
        places += [(root, side, float(root) + (1e-6 if side == "+" else -1e-6)) for root in roots for side in "+-"]
    elif expression.has(sp.log):
        places.append((sp.S.Zero, "+", 1e-6))
    return any(
        not math.isnan(f(beside)) and sp.limit(expression, x, place, side) == -sp.oo for place, side, beside in places
    )


def _rises(expression: Any, x: Any) -> bool:
    """Whether it goes to +∞ at both ends, and nowhere to −∞."""
    return all(sp.limit(expression, x, end) == sp.oo for end in (sp.oo, -sp.oo))


def _grid(f: Function, bounds: tuple[tuple[float, float], ...], resolution: int | None) -> Minimum:
    """The lowest of all points of a grid."""
    count = len(bounds)
    each = resolution or (2001 if count == 1 else 401 if count == 2 else max(3, int(MOST_POINTS ** (1 / count)) // 2))
    if isinstance(each, bool) or not isinstance(each, int) or each < 2 or each**count > MOST_POINTS:
        raise ExpressionError(
            f"a grid of {each!r} points along each of {count} variables is not possible; give a whole number from 2 "
            f"to {int(MOST_POINTS ** (1 / count))}."
        )
    axes = [np.linspace(low, high, each) for low, high in bounds]
    values = np.asarray(f(*np.meshgrid(*axes, indexing="ij", sparse=True)), dtype=float)
    if not np.isfinite(values).any():
        raise ExpressionError(f"{f} is a real number nowhere on the grid; give other bounds.")
    place = np.unravel_index(np.nanargmin(np.where(np.isnan(values), np.inf, values)), values.shape)
    at = tuple(float(axis[k]) for axis, k in zip(axes, place, strict=True))
    spaced = ", ".join(_digits(float(f"{axis[1] - axis[0]:.4g}")) for axis in axes)
    edge = any(k in (0, each - 1) for k in place)
    best = Stationary(at, float(values[place]), "edge minimum" if edge else "minimum", "the lowest of the grid")
    verdict = f"the lowest of {values.size:,} points in {_told(f, bounds)}, {spaced} apart"
    note = "it is on the edge of the bounds: lower values may be beyond" if edge else ""
    return Minimum(f, "grid", (best,), best, None, verdict, False, bounds, note)


def _descent(f: Function, start: tuple[float, ...], bounds: tuple[tuple[float, float], ...]) -> Minimum:
    """SciPy's minimize: BFGS with the gradient of the rules, Nelder–Mead without a formula."""
    from scipy import optimize

    steps = gradient(f) if f.expression is not None else None
    with np.errstate(all="ignore"):
        found: Any = optimize.minimize(
            lambda v: float(f(*map(float, v))),
            start,
            method="Nelder-Mead" if steps is None else "BFGS",
            jac=None if steps is None else lambda v: np.asarray(steps(*map(float, v)), dtype=float),
        )
    at = tuple(map(float, found.x))
    value = float(found.fun)
    began = ", ".join(map(_digits, start))
    slopes = np.zeros(1) if steps is None else np.asarray(steps(*at))
    settled = bool(np.abs(slopes).max() <= 1e-3 * math.sqrt(1 + abs(value))) if math.isfinite(value) else False
    if not settled or max(map(abs, at)) > 1e8:
        verdict = f"from {began} it does not settle: f = {_digits(value)} after {found.nit} steps, and still falling"
        return Minimum(f, "descent", (), None, None, verdict, False, bounds)
    one = Stationary(at, value, "minimum", "nothing lower beside it")
    if steps is not None and np.isfinite(np.asarray(hessian(f)(*at), dtype=float)).all():
        one = classified(f, at, None)
    best = one if one.kind in ("minimum", "undecided") else None
    verdict = f"reached from {began} in {found.nit} steps and {found.nfev} values; another start may find a lower one"
    return Minimum(f, "descent", (one,), best, None, verdict, False, bounds)
