"""Where a function is level, and what it does there.

One variable: a polynomial's or a fraction's stationary points are the real roots of a polynomial, all of which are
isolated exactly. Elsewhere the derivative's signs are followed over the bounds, together with kinks and edges of the
domain; SymPy's closed forms are put in where they agree. Two variables and polynomials: resultants leave one variable
at a time, and every pair of their roots is tested to 50 digits. Otherwise Newton's method from many starts.

A point is judged by the second derivatives: all positive a minimum, all negative a maximum, both a saddle. Where one
is 0 they do not decide; then in one variable the next derivative that is not 0 does, and in several the values around.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import sympy as sp

from ..errors import ExpressionError
from .deadline import deadline
from .derivative import Derivative, Hessian, differentiated, hessian
from .evaluation import compiled
from .function import Function
from .rules import operations

SECONDS = 5.0
HIGHEST = 60  # degree of a polynomial whose roots are isolated
GRID = 4001
STARTS = 128  # a power of two, as Sobol's points want
LEVEL = 1e-7  # eigenvalues below this share of the largest do not decide


@dataclass(frozen=True)
class Stationary:
    """A candidate for a minimum.

    Attributes:
        at: its coordinates.
        value: f there.
        kind: minimum, maximum, saddle, inflection, edge (of the domain or the bounds), or undecided.
        reason: why it is of that kind.
        exact: its coordinates in SymPy, where they are known in closed form.
    """

    at: tuple[float, ...]
    value: float
    kind: str
    reason: str
    exact: tuple[Any, ...] | None = None


@dataclass(frozen=True)
class Found:
    """The candidates, whether they are all there are anywhere, and what is to be said of them."""

    points: tuple[Stationary, ...]
    complete: bool
    note: str = ""


def late(f: Function) -> ExpressionError:
    return ExpressionError(f"{f} takes too long to solve; use method='grid' or method='descent'.")


def of_one(f: Function, low: float, high: float) -> Found:
    """All candidates of a function of one variable; of a transcendental one, those in the bounds."""
    slope = differentiated(f, f.variables[0])
    if f.symbolic().is_rational_function(*f.symbols()):
        with contextlib.suppress(ExpressionError, sp.PolynomialError), deadline(SECONDS, late(f)):
            return _of_fraction(f, slope)
    return _in_bounds(f, slope, low, high)


def _rational(expression: Any) -> Any:
    return sp.nsimplify(expression, rational=True) if expression.has(sp.Float) else expression


def _of_fraction(f: Function, slope: Derivative) -> Found:
    """The roots of the derivative's numerator, each with the order it has there."""
    (x,) = f.symbols()
    if sp.degree(sp.numer(sp.together(f.expression)), x) > HIGHEST:
        raise late(f)
    above, below = (sp.Poly(part, x) for part in sp.fraction(sp.cancel(sp.together(_rational(slope.expression)))))
    if above.is_zero:
        return Found((), True, "it is constant: every point is a minimum and a maximum")
    if above.degree() > HIGHEST:
        raise late(f)
    points = []
    for root, order in above.real_roots(multiple=False):
        if below.eval(root) == 0:
            continue
        leading = above.diff((x, order)) if order > 1 else above.diff(x)
        sign = _sign(leading.as_expr() / below.as_expr(), x, root)
        exact = None if root.has(sp.CRootOf) else (root,)
        at = (float(root),)
        points.append(Stationary(at, float(f(*at)), *_by_order(order + 1, sign), exact))
    return Found(tuple(points), True)


def _sign(expression: Any, x: Any, root: Any) -> int:
    value = expression.xreplace({x: sp.Float(sp.N(root, 60), 60)})
    return 1 if sp.N(value, 30) > 0 else -1


def _by_order(order: int, sign: int) -> tuple[str, str]:
    """By the first derivative that is not 0."""
    name = {2: "f″", 3: "f‴"}.get(order, f"f of order {order}")
    reason = f"{name} {'>' if sign > 0 else '<'} 0" + (", all before are 0" if order > 2 else "")
    if order % 2:
        return "inflection", reason
    return ("minimum" if sign > 0 else "maximum"), reason


def _in_bounds(f: Function, slope: Derivative, low: float, high: float) -> Found:
    """Sign changes of the slope, kinks, and edges of the domain, between two bounds."""

    x = np.linspace(low, high, GRID)
    y, d = f(x), slope(x)
    places: dict[float, str] = {}

    def add(place: float, word: str) -> None:
        if all(abs(place - other) > 1e-7 * max(1.0, abs(place)) for other in places):
            places[place] = word

    for step in slope.steps:
        if step.kink is not None and not step.kink.has(sp.floor):
            for place in _roots(Function(step.kink, f.variables), x):
                add(place, "kink")
    smooth = slope.slope
    stretches = _stretches(d, y)
    level = np.zeros(GRID, dtype=bool)
    level[:-1] |= (d[:-1] == 0) & (d[1:] == 0)
    level[1:] |= (d[:-1] == 0) & (d[1:] == 0)
    for place in _roots(smooth, x, ~level):
        if abs(smooth(place)) < 1e-6 * (1 + np.nanmax(np.abs(d[np.isfinite(d)]), initial=0.0)):
            add(place, "level")
    second = differentiated(slope.slope, f.variables[0]).slope
    for k in np.flatnonzero((np.abs(d[1:-1]) < np.abs(d[:-2])) & (np.abs(d[1:-1]) < np.abs(d[2:]))) + 1:
        for place in _roots(second, x[k - 1 : k + 2], np.ones(3, dtype=bool)):
            if abs(smooth(place)) < 1e-9 * (1 + np.nanmedian(np.abs(d))):
                add(place, "level")
    real = np.isfinite(y)
    for k in np.flatnonzero(real[1:] != real[:-1]):
        add(_edge(f, x[k], x[k + 1]), "edge")
    points = [_judged(f, second, place, word, (high - low) / GRID) for place, word in places.items()]
    points += [_flat(f, x[first], x[last], x[1] - x[0]) for first, last in stretches]
    kept = tuple(sorted((one for one in points if one is not None), key=lambda one: one.at))
    note = f"the slope was followed at {GRID:,} places; narrower valleys may be missed"
    return Found(_with_closed_forms(f, slope, kept), False, note)


def _stretches(slopes: np.ndarray, values: np.ndarray) -> list[tuple[int, int]]:
    """First and last index of runs of at least three points without a slope and of one value."""
    flat = (slopes[1:] == 0) & (slopes[:-1] == 0) & (values[1:] == values[:-1])
    flat = np.concatenate([[False], flat, [False]])
    starts, ends = np.flatnonzero(flat[1:] & ~flat[:-1]), np.flatnonzero(~flat[1:] & flat[:-1])
    return [(int(a), int(b)) for a, b in zip(starts, ends, strict=True) if b - a >= 2][:100]


def _flat(f: Function, first: float, last: float, pitch: float) -> Stationary:
    """A level stretch as one point, its middle, by the values to both sides of it."""
    middle = float(first + last) / 2
    value, left, right = (float(f(float(v))) for v in (middle, first - pitch, last + pitch))
    reason = f"level from about {first:.4g} to {last:.4g}".replace("-", "−")
    if min(left, right) >= value:
        return Stationary((middle,), value, "minimum", reason)
    return Stationary((middle,), value, "maximum" if max(left, right) <= value else "inflection", reason)


def _roots(f: Function, x: np.ndarray, where: np.ndarray | None = None) -> list[float]:
    """Sign changes between the points of a grid, and zeros on it."""
    from scipy import optimize

    y = f(x)
    zero = (y == 0) if where is None else (y == 0) & where
    found = [float(v) for v in x[zero][:200]]
    for k in np.flatnonzero(np.sign(y[1:]) * np.sign(y[:-1]) < 0)[:500]:
        found.append(float(optimize.brentq(lambda v: f(float(v)), x[k], x[k + 1], xtol=1e-14)))
    return found


def _edge(f: Function, inside: float, outside: float) -> float:
    """The last point where the function is real."""
    if not np.isfinite(f(inside)):
        inside, outside = outside, inside
    for _ in range(200):
        middle = (inside + outside) / 2
        if np.isfinite(f(middle)):
            inside = middle
        else:
            outside = middle
    return float(outside) if np.isfinite(f(float(outside))) else float(inside)


def _judged(f: Function, second: Function, place: float, word: str, pitch: float) -> Stationary | None:
    """By the values a little to both sides, which also serves kinks and edges."""
    h = min(1e-3 * max(1.0, abs(place)), pitch / 2)
    value, left, right = (float(f(place + k * h)) for k in (0, -1, 1))
    if word == "edge":
        there = left if np.isfinite(left) else right
        beside = float(f(place + (1e-9 if np.isfinite(right) else -1e-9)))
        if not abs(value - beside) < 1e-3 * (1 + abs(value)):  # it goes to infinity
            return None
        place, value = (0.0 if abs(v) < 1e-12 else v for v in (place, value))
        kind = "edge minimum" if value <= there else "edge maximum"
        return Stationary((place,), value, kind, "the edge of where it is real")
    if not np.isfinite([value, left, right]).all():
        return None
    if word == "level":
        curvature = float(second(place))
        if abs(curvature) > 1e-6:
            return Stationary((place,), value, *_by_order(2, 1 if curvature > 0 else -1))
    reason = "a kink" if word == "kink" else "f″ = 0, by the values beside it"
    if value <= min(left, right) and value < max(left, right):
        return Stationary((place,), value, "minimum", reason)
    if value >= max(left, right) and value > min(left, right):
        return Stationary((place,), value, "maximum", reason)
    if word == "kink":
        return None
    return Stationary((place,), value, "undecided" if left == right else "inflection", reason)


def _with_closed_forms(f: Function, slope: Derivative, points: tuple[Stationary, ...]) -> tuple[Stationary, ...]:
    """SymPy's solutions beside the numbers they agree with."""
    (x,) = f.symbols()
    forms: list[Any] = [sp.S.Zero]
    with contextlib.suppress(Exception), deadline(SECONDS / 5, late(f)):
        if operations(slope.expression, 60) < 60:
            forms += [s for s in sp.solve(slope.expression, x) if not s.free_symbols and operations(s, 25) < 25]
    numbers = []
    for form in forms:
        with contextlib.suppress(Exception):
            numbers.append((float(form), form))
    found = []
    for one in points:
        form = next((form for v, form in numbers if abs(v - one.at[0]) < 1e-7 and np.isfinite(f(v))), None)
        exact = None if form is None else (form,)
        at = one.at if form is None else (float(form),)
        value = one.value if form is None else float(f(*at))
        found.append(Stationary(at, value, one.kind, one.reason, exact))
    return tuple(found)


def of_several(f: Function, bounds: tuple[tuple[float, float], ...]) -> Found:
    """All stationary points of a polynomial of two variables or a quadratic; otherwise those that a search finds."""
    symbols = f.symbols()
    slopes = [differentiated(f, name) for name in f.variables]
    if f.symbolic().is_polynomial(*symbols):
        with contextlib.suppress(ExpressionError, sp.PolynomialError), deadline(SECONDS, late(f)):
            polynomials = [sp.Poly(sp.expand(_rational(s.expression)), *symbols) for s in slopes]
            if all(p.total_degree() <= 1 for p in polynomials):
                return _of_quadratic(f, polynomials)
            if len(symbols) == 2:
                return _of_two(f, polynomials)
    return _searched(f, slopes, bounds)


def _of_quadratic(f: Function, slopes: list[Any]) -> Found:
    symbols = f.symbols()
    solutions = sp.linsolve([p.as_expr() for p in slopes], *symbols)
    if not solutions:
        return Found((), True, "its slope is 0 nowhere")
    (solution,) = solutions
    if any(part.free_symbols for part in solution):
        at = tuple(float(part.xreplace(dict.fromkeys(symbols, sp.S.Zero))) for part in solution)
        exact = tuple(part.xreplace(dict.fromkeys(symbols, sp.S.Zero)) for part in solution)
        one = classified(f, at, exact)
        free = ", ".join(str(s) for s in symbols if any(s in part.free_symbols for part in solution))
        note = f"it is level along a whole line or plane, of which this is one point; {free} may be anything"
        kinds = {"undecided": _semidefinite(f, at)}
        return Found((Stationary(at, one.value, kinds.get(one.kind, one.kind), one.reason, exact),), True, note)
    return Found((classified(f, tuple(map(float, solution)), tuple(solution)),), True)


def _semidefinite(f: Function, at: tuple[float, ...]) -> str:
    """Of a quadratic the signs of the eigenvalues say all."""
    found = np.linalg.eigvalsh(np.asarray(_second(f)(*at), dtype=float))
    return "minimum" if found[0] > -LEVEL * abs(found).max() else "maximum"


def _of_two(f: Function, slopes: list[Any]) -> Found:
    """Pairs of the roots of both resultants at which both slopes are 0."""
    symbols = f.symbols()
    candidates = []
    for keep, drop in ((symbols[0], symbols[1]), (symbols[1], symbols[0])):
        eliminated = sp.Poly(sp.resultant(slopes[0].as_expr(), slopes[1].as_expr(), drop), keep)
        if eliminated.is_zero:
            raise late(f)  # a whole curve of points
        if eliminated.degree() > HIGHEST:
            raise late(f)
        candidates.append([root for root, _ in eliminated.real_roots(multiple=False)])
    points = []
    numbers = [[sp.Float(sp.N(root, 60), 60) for root in roots] for roots in candidates]
    for i, j in itertools.product(range(len(numbers[0])), range(len(numbers[1]))):
        at = {symbols[0]: numbers[0][i], symbols[1]: numbers[1][j]}
        if all(_vanishes(slope, at) for slope in slopes):
            pair = (candidates[0][i], candidates[1][j])
            exact = None if any(root.has(sp.CRootOf) for root in pair) else pair
            value = _sum(sp.Poly(sp.expand(_rational(f.expression)), *symbols), at)
            points.append(classified(f, tuple(map(float, pair)), exact, value))
    return Found(tuple(points), True)


def _vanishes(slope: Any, at: dict[Any, Any]) -> bool:
    return _sum(slope, at) == 0


def _sum(polynomial: Any, at: dict[Any, Any]) -> float:
    """The value at a point of 60 digits; 0 where the terms cancel to 40."""
    terms = [
        coefficient * sp.Mul(*(at[s] ** k for s, k in zip(polynomial.gens, powers, strict=True)))
        for powers, coefficient in polynomial.terms()
    ]
    value = sp.Add(*terms)
    return 0.0 if abs(value) <= sp.Float("1e-40", 60) * (1 + max(map(abs, terms))) else float(value)


def _searched(f: Function, slopes: list[Derivative], bounds: tuple[tuple[float, float], ...]) -> Found:
    """Newton's method from starts spread over the bounds; not sure to find all."""
    from scipy import optimize
    from scipy.stats import qmc

    low, high = np.array(bounds).T
    starts = qmc.scale(qmc.Sobol(len(bounds), seed=0).random(STARTS if len(bounds) < 4 else 64), low, high)
    first = [compiled(slope.expression, f.variables) for slope in slopes]
    second = [[compiled(part.expression, f.variables) for part in row] for row in _second(f).parts]

    def gradient(v: np.ndarray) -> np.ndarray:
        return np.array([slope(*v) for slope in first])

    def curvature(v: np.ndarray) -> np.ndarray:
        return np.array([[part(*v) for part in row] for row in second])

    found: list[tuple[float, ...]] = []
    with np.errstate(all="ignore"):
        for start in starts:
            one: Any = optimize.root(gradient, start, jac=curvature, tol=1e-12, options={"maxfev": 100})
            inside = ((one.x >= low - 1e-9) & (one.x <= high + 1e-9)).all()
            level = inside and np.abs(gradient(one.x)).max() < 1e-8 * (1 + abs(f(*map(float, one.x))))
            if level and all(np.abs(one.x - other).max() > 1e-5 for other in found):
                found.append(tuple(float(0.0 if abs(v) < 1e-12 else v) for v in one.x))
    points = [classified(f, at, None) for at in sorted(found)]
    note = f"searched from {len(starts)} starts in the bounds; there may be others"
    for one in list(points):
        alike = [p for p in points if p.kind == "undecided" and abs(p.value - one.value) < 1e-9]
        if one in alike and len(alike) > 5:
            points = [p for p in points if p not in alike or p is alike[0]]
            note = f"it is level along a whole curve, of which one point is shown; {note}"
    return Found(tuple(points), False, note)


@functools.lru_cache(maxsize=16)
def _second(f: Function) -> Hessian:
    return hessian(f)


def classified(
    f: Function, at: tuple[float, ...], exact: tuple[Any, ...] | None, value: float | None = None
) -> Stationary:
    """By the eigenvalues of the Hessian, and by the values around where they do not decide."""
    eigenvalues = np.linalg.eigvalsh(np.asarray(_second(f)(*at), dtype=float))
    level = LEVEL * max(np.abs(eigenvalues).max(), 1e-9)
    told = ", ".join(f"{v:.4g}".replace("-", "−") for v in np.where(np.abs(eigenvalues) <= level, 0.0, eigenvalues))
    reason = f"eigenvalues {told}"
    value = float(f(*at)) if value is None else value
    value = 0.0 if abs(value) < 1e-15 else value
    if eigenvalues[0] > level:
        return Stationary(at, value, "minimum", reason, exact)
    if eigenvalues[-1] < -level:
        return Stationary(at, value, "maximum", reason, exact)
    if eigenvalues[0] < -level and eigenvalues[-1] > level:
        return Stationary(at, value, "saddle", reason, exact)
    lower, higher = _around(f, at, value)
    if lower and higher:
        return Stationary(at, value, "saddle", f"{reason}; lower and higher values beside it", exact)
    beside = "higher" if higher else "lower" if lower else "equal"
    return Stationary(at, value, "undecided", f"{reason}; only {beside} values were seen beside it", exact)


def _around(f: Function, at: tuple[float, ...], value: float) -> tuple[bool, bool]:
    """Whether there are lower, and higher, values on small spheres."""
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(2000, len(at)))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    directions = np.concatenate([directions, np.eye(len(at)), -np.eye(len(at))])
    lower = higher = True
    for radius in (1e-1, 3e-2, 1e-2):
        beside = f(*(np.array(at) + radius * directions).T)
        floor = 1e-13 * (1 + abs(value))
        lower &= bool((beside < value - floor).any())
        higher &= bool((beside > value + floor).any())
    return lower, higher
