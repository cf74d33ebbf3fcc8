"""Where a function is level, and what it does there.

One variable: a polynomial's or a fraction's stationary points are the real roots of a polynomial, all of which are
isolated exactly. Elsewhere the derivative's signs are followed over the bounds, together with kinks and edges of the
domain; SymPy's closed forms are put in where they agree. Two variables and polynomials: resultants leave one variable
at a time, and every pair of their roots is tested to 50 digits. Otherwise Newton's method from many starts.

A point is judged by the second derivatives: all positive a minimum, all negative a maximum, both a saddle. Where one
is 0 they do not decide; then in one variable the next derivative that is not 0 does, and in several the values around.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import mpmath
import numpy as np
import sympy as sp

from ..language import mark, say
from .by_rules import Derivative, differentiated
from .closed import DIGITS, SAME, closed_form, fraction, real_roots, value
from .evaluation import compiled, precisely
from .extent import degree, multiplies_out, operations
from .function import Function
from .gradient import hessian
from .points import Bounds

HIGHEST = 60  # degree of a rational function that is multiplied out
MOST_PAIRS = 36  # points at which two slopes may be 0, by Bézout: the degree of their resultants
GRID = 4001
STARTS = 128  # a power of two, as Sobol's points want; of a long formula fewer, at `OPERATIONS` altogether
OPERATIONS = 40_000
LONGEST = 60  # operations of a slope whose roots get closed forms
MOST_PLACES = 500  # roots and edges that are followed
MOST_NAMED = 100  # of them, the lowest, get closed forms
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
class Candidates:
    """The candidates, whether they are all there are anywhere, and a note on them."""

    points: tuple[Stationary, ...]
    complete: bool
    note: str = ""


def of_one(f: Function, low: float, high: float) -> Candidates:
    """All candidates of a function of one variable; of a transcendental one, those in the bounds."""
    slope = differentiated(f, f.variables[0])
    if multiplies_out(f.symbolic(), HIGHEST) and degree(slope.expression) <= 3 * HIGHEST:
        return _of_fraction(f, slope)
    return _in_bounds(f, slope, low, high)


def _of_fraction(f: Function, slope: Derivative) -> Candidates:
    """The roots of the derivative's numerator, each with the order it has there."""
    (x,) = f.symbols()
    above, below = fraction(slope.expression, x)
    if above.is_zero:
        return Candidates((), True, mark("it is constant: every point is a minimum and a maximum"))
    points = []
    for root, order in real_roots(above):
        place = sp.Float(root, DIGITS)
        sign = sp.sign(above.diff((x, order)).eval(place) / below.eval(place))
        exact = closed_form(root)
        at = (float(root if exact is None else exact),)
        kind, reason = _by_order(order + 1, int(sign))
        points.append(Stationary(at, float(f(*at)), kind, reason, None if exact is None else (exact,)))
    return Candidates(tuple(points), True)


def _by_order(order: int, sign: int) -> tuple[str, str]:
    """By the first derivative that is not 0."""
    name = {2: "f″", 3: "f‴"}.get(order, say("f of order {order}", order=order))
    reason = f"{name} {'>' if sign > 0 else '<'} 0" + (say(", all before are 0") if order > 2 else "")
    return mark("inflection") if order % 2 else mark("minimum") if sign > 0 else mark("maximum"), reason


def _in_bounds(f: Function, slope: Derivative, low: float, high: float) -> Candidates:
    """Sign changes of the slope, kinks, and edges of the domain, between two bounds."""
    x = np.linspace(low, high, GRID)
    y, d = f(x), slope(x)
    second = differentiated(slope.slope, f.variables[0]).slope
    kinks = [step.kink for step in slope.steps if step.kink is not None and not step.kink.has(sp.floor)]
    by_kind = {
        "kink": [place for kink in kinks for place in _roots(Function(kink, f.variables), x)],
        "level": _level_places(slope.slope, second, x, d),
        "edge": _edges(f, x, np.isfinite(y)),
    }
    places: dict[float, str] = {}
    for kind, numbers in by_kind.items():
        for place in map(float, numbers):
            if all(abs(place - other) > 1e-7 * max(1.0, abs(place)) for other in places):
                places[place] = kind
    points = [one for one in _judged(f, second, places, (high - low) / GRID) if one is not None]
    points += [_flat(f, x[first], x[last], x[1] - x[0]) for first, last in _stretches(d, y)]
    points.sort(key=lambda one: one.at)
    note = say("the slope was followed at {count:,} places; narrower valleys may be missed", count=GRID)
    return Candidates(_with_closed_forms(f, slope, points), False, note)


def _level_places(slope: Function, second: Function, x: np.ndarray, d: np.ndarray) -> np.ndarray:
    """Where the slope, of values d at x, changes its sign or touches 0."""
    level = np.zeros(GRID, dtype=bool)
    level[:-1] |= (d[:-1] == 0) & (d[1:] == 0)
    level[1:] |= level[:-1]
    steepness = np.abs(d[np.isfinite(d)])
    crossings = _roots(slope, x, ~level)
    crossings = crossings[np.abs(slope(crossings)) < 1e-6 * (1 + steepness.max(initial=0.0))]
    lowest = np.flatnonzero((np.abs(d[1:-1]) < np.abs(d[:-2])) & (np.abs(d[1:-1]) < np.abs(d[2:]))) + 1
    touches = _roots(second, x, np.isin(np.arange(GRID), (lowest - 1, lowest, lowest + 1)))
    usual = np.median(steepness) if len(steepness) else 0.0
    return np.concatenate([crossings, touches[np.abs(slope(touches)) < 1e-9 * (1 + usual)]])


def _edges(f: Function, x: np.ndarray, real: np.ndarray) -> np.ndarray:
    """The last places at which the function is real, beside those at which it is not."""
    ends = np.flatnonzero(real[1:] != real[:-1])[:MOST_PLACES]
    inside, outside = np.where(real[ends], (x[ends], x[ends + 1]), (x[ends + 1], x[ends]))
    return _last(lambda v: np.isfinite(f(v)), inside, outside)


def _stretches(slopes: np.ndarray, values: np.ndarray) -> list[tuple[int, int]]:
    """First and last index of runs of at least three points without a slope and of one value."""
    flat = np.pad((slopes[1:] == 0) & (slopes[:-1] == 0) & (values[1:] == values[:-1]), 1)
    starts, ends = np.flatnonzero(flat[1:] & ~flat[:-1]), np.flatnonzero(~flat[1:] & flat[:-1])
    return [(int(a), int(b)) for a, b in zip(starts, ends, strict=True) if b - a >= 2][:100]


def _flat(f: Function, first: float, last: float, pitch: float) -> Stationary:
    """A level stretch as one point, its middle, by the values to both sides of it."""
    middle = float(first + last) / 2
    value, left, right = (float(f(float(v))) for v in (middle, first - pitch, last + pitch))
    kind = "minimum" if min(left, right) >= value else "maximum" if max(left, right) <= value else "inflection"
    reason = say("level from about {first:.4g} to {last:.4g}", first=first, last=last).replace("-", "−")
    return Stationary((middle,), value, kind, reason)


def _roots(f: Function, x: np.ndarray, where: np.ndarray | None = None) -> np.ndarray:
    """Sign changes between the points of a grid, and zeros on it."""
    where = np.ones(len(x), dtype=bool) if where is None else where
    y = f(x)
    changes = np.flatnonzero((np.sign(y[1:]) * np.sign(y[:-1]) < 0) & where[1:] & where[:-1])[:MOST_PLACES]
    sign = np.sign(y[changes])
    between = _last(lambda v: np.sign(f(v)) == sign, x[changes], x[changes + 1])
    return np.concatenate([x[(y == 0) & where][:MOST_PLACES], between])


def _last(holds: Callable[[np.ndarray], np.ndarray], inside: np.ndarray, outside: np.ndarray) -> np.ndarray:
    """The last places where a condition holds between those where it does and those where it does not."""
    for _ in range(60):
        middle = (inside + outside) / 2
        still = holds(middle)
        inside, outside = np.where(still, middle, inside), np.where(still, outside, middle)
    return np.where(holds(outside), outside, inside)


def _judged(f: Function, second: Function, places: dict[float, str], pitch: float) -> list[Stationary | None]:
    """By the values a little to both sides, which also serves kinks and edges."""
    at = np.array(list(places))
    h = np.minimum(1e-3 * np.maximum(1.0, np.abs(at)), pitch / 2)
    values = np.stack([f(at + k) for k in (0, -h, h, -1e-9, 1e-9)] + [second(at)], axis=-1)
    return [
        _edge(place, *row[:5]) if word == "edge" else _inner(place, word, *row[:3], curvature=row[5])
        for (place, word), row in zip(places.items(), values.tolist(), strict=True)
    ]


def _edge(place: float, value: float, left: float, right: float, before: float, behind: float) -> Stationary | None:
    """The edge of where it is real; None where it goes to infinity."""
    there, beside = left if math.isfinite(left) else right, behind if math.isfinite(right) else before
    if not abs(value - beside) < 1e-3 * (1 + abs(value)):
        return None
    place, value = (0.0 if abs(v) < 1e-12 else v for v in (place, value))
    kind = mark("edge minimum") if value <= there else mark("edge maximum")
    return Stationary((place,), value, kind, mark("the edge of where it is real"))


def _inner(place: float, word: str, value: float, left: float, right: float, curvature: float) -> Stationary | None:
    if not np.isfinite([value, left, right]).all():
        return None
    if word == "level" and abs(curvature) > 1e-6:
        return Stationary((place,), value, *_by_order(2, 1 if curvature > 0 else -1))
    if value <= min(left, right) and value < max(left, right):
        kind = "minimum"
    elif value >= max(left, right) and value > min(left, right):
        kind = "maximum"
    elif word == "kink":
        return None
    else:
        kind = "undecided" if left == right else "inflection"
    reason = mark("a kink") if word == "kink" else mark("f″ = 0, by the values beside it")
    return Stationary((place,), value, kind, reason)


def _with_closed_forms(f: Function, slope: Derivative, points: list[Stationary]) -> tuple[Stationary, ...]:
    """Closed forms of those places where the slope is 0 to forty digits, and 0 itself."""
    if operations(slope.expression, LONGEST) >= LONGEST:
        return tuple(points)
    precise = precisely(slope.expression, f.variables)

    def named(one: Stationary) -> Stationary:
        def level(form: Any) -> bool:
            return form == 0 or ("kink" not in one.reason and abs(precise(value(form))) < SAME)

        form = closed_form(one.at[0], level)
        if form is None or not np.isfinite(f(float(form))):
            return one
        return replace(one, at=(float(form),), value=float(f(float(form))), exact=(form,))

    lowest = sorted(points, key=lambda one: one.value)[:MOST_NAMED]
    return tuple(named(one) if one in lowest else one for one in points)


def of_several(f: Function, bounds: Bounds) -> Candidates:
    """All stationary points of a polynomial of two variables or a quadratic; otherwise those that a search finds."""
    symbols = f.symbols()
    slopes = [differentiated(f, name) for name in f.variables]
    if multiplies_out(f.symbolic(), HIGHEST) and f.expression.is_polynomial(*symbols):
        polynomials = [sp.Poly(slope.expression, *symbols, domain="QQ") for slope in slopes]
        if all(p.total_degree() <= 1 for p in polynomials):
            return _of_quadratic(f, polynomials)
        if len(symbols) == 2 and math.prod(p.total_degree() for p in polynomials) <= MOST_PAIRS:
            points = _of_two(f, polynomials)
            if points is not None:
                return Candidates(points, True)
    return _searched(f, slopes, bounds)


def _of_quadratic(f: Function, slopes: list[Any]) -> Candidates:
    symbols = f.symbols()
    solutions = sp.linsolve([p.as_expr() for p in slopes], *symbols)
    if not solutions:
        return Candidates((), True, "its slope is 0 nowhere")
    (solution,) = solutions
    if any(part.free_symbols for part in solution):
        exact = tuple(part.xreplace(dict.fromkeys(symbols, sp.S.Zero)) for part in solution)
        one = classified(f, tuple(map(float, exact)), exact)
        free = ", ".join(str(s) for s in symbols if any(s in part.free_symbols for part in solution))
        note = say(
            "it is level along a whole line or plane, of which this is one point; {free} may be anything", free=free
        )
        if one.kind == "undecided":  # of a quadratic the signs of the eigenvalues say all
            eigenvalues = np.linalg.eigvalsh(np.asarray(_second(f)(*one.at), dtype=float))
            least = -LEVEL * abs(eigenvalues).max()
            one = replace(one, kind="minimum" if eigenvalues[0] > least else "maximum")
        return Candidates((one,), True, note)
    return Candidates((classified(f, tuple(map(float, solution)), tuple(solution)),), True)


def _of_two(f: Function, slopes: list[Any]) -> tuple[Stationary, ...] | None:
    """Pairs of the roots of both resultants at which both slopes are 0; None where a whole curve is level."""
    symbols = f.symbols()
    eliminated = [
        sp.Poly(sp.resultant(*(p.as_expr() for p in slopes), drop), keep, domain="QQ")
        for keep, drop in (symbols, symbols[::-1])
    ]
    if any(p.is_zero for p in eliminated):
        return None
    whole, points = sp.Poly(f.expression, *symbols, domain="QQ"), []
    for pair in itertools.product(*([root for root, _ in real_roots(p)] for p in eliminated)):
        if all(_sum(slope, pair) == 0 for slope in slopes):
            forms = [closed_form(root) for root in pair]
            exact = None if None in forms else tuple(forms)
            points.append(classified(f, tuple(map(float, exact or pair)), exact, _sum(whole, pair)))
    return tuple(points)


def _sum(polynomial: Any, at: tuple[Any, ...]) -> float:
    """The value at a point of 60 digits; 0 where the terms cancel to 40."""
    with mpmath.workdps(DIGITS):
        terms = [
            mpmath.mpf(int(c.p)) / int(c.q) * mpmath.fprod(v**k for v, k in zip(at, powers, strict=True))
            for powers, c in polynomial.terms()
        ]
        total = mpmath.fsum(terms)
        return 0.0 if abs(total) <= SAME * (1 + max(map(abs, terms))) else float(total)


def _searched(f: Function, slopes: list[Derivative], bounds: Bounds) -> Candidates:
    """Newton's method from starts spread over the bounds; not sure to find all."""
    from scipy import optimize
    from scipy.stats import qmc

    low, high = np.array(bounds).T
    first = [compiled(slope.expression, f.variables) for slope in slopes]
    second = [[compiled(part.expression, f.variables) for part in row] for row in _second(f).parts]
    each = sum(len(program.operations) for row in (first, *second) for program in row)
    count = min(STARTS if len(bounds) < 4 else 64, max(8, 2 ** int(math.log2(OPERATIONS / each + 1))))
    starts = qmc.scale(qmc.Sobol(len(bounds), seed=0).random(count), low, high)

    def gradient(v: np.ndarray) -> np.ndarray:
        return np.array([slope(*v) for slope in first])

    def curvature(v: np.ndarray) -> np.ndarray:
        return np.array([[part(*v) for part in row] for row in second])

    places: list[tuple[float, ...]] = []
    with np.errstate(all="ignore"):
        for start in starts:
            at = optimize.root(gradient, start, jac=curvature, tol=1e-12, options={"maxfev": 100}).x
            inside = ((at >= low - 1e-9) & (at <= high + 1e-9)).all()
            level = inside and np.abs(gradient(at)).max() < 1e-8 * (1 + abs(f(*map(float, at))))
            if level and all(np.abs(at - other).max() > 1e-5 for other in places):
                places.append(tuple(float(0.0 if abs(v) < 1e-12 else v) for v in at))
    points = [classified(f, at, None) for at in sorted(places)]
    note = say("searched from {count} starts in the bounds; there may be others", count=len(starts))
    for one in list(points):
        alike = [p for p in points if p.kind == "undecided" and abs(p.value - one.value) < 1e-9]
        if one in alike and len(alike) > 5:
            points = [p for p in points if p not in alike or p is alike[0]]
            note = say("it is level along a whole curve, of which one point is shown; {note}", note=note)
    return Candidates(tuple(points), False, note)


_second = functools.lru_cache(maxsize=16)(hessian)


def classified(
    f: Function, at: tuple[float, ...], exact: tuple[Any, ...] | None, value: float | None = None
) -> Stationary:
    """By the eigenvalues of the Hessian, in one variable f″, and by the values around where they do not decide."""
    eigenvalues = np.linalg.eigvalsh(np.asarray(_second(f)(*at), dtype=float))
    level = LEVEL * max(np.abs(eigenvalues).max(), 1e-9)
    shown = ", ".join(f"{v:.4g}".replace("-", "−") for v in np.where(np.abs(eigenvalues) <= level, 0.0, eigenvalues))
    reason = say("eigenvalues {values}", values=shown) if len(at) > 1 else f"f″ = {shown}"
    value = float(f(*at)) if value is None else value
    value = 0.0 if abs(value) < 1e-15 else value
    if eigenvalues[0] > level:
        kind = "minimum"
    elif eigenvalues[-1] < -level:
        kind = "maximum"
    elif eigenvalues[0] < -level and eigenvalues[-1] > level:
        kind = mark("saddle")
    elif all(beside := _around(f, at, value)):
        kind, reason = "saddle", say("{reason}; lower and higher values beside it", reason=reason)
    else:
        word = mark("lower") if beside[0] else mark("higher") if beside[1] else mark("equal")
        kind = mark("undecided")
        reason = say("{reason}; only {word} values were seen beside it", reason=reason, word=word)
    return Stationary(at, value, kind, reason, exact)


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
