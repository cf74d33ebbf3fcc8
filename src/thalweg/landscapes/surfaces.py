"""The surfaces that are known by name: those of the courses, and the usual test functions.

Each is a function that returns a `Surface`; its arguments can be given in the name, ``quadratic(condition=100)``.
"""

from __future__ import annotations

import difflib
import inspect
import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import sympy as sp

from .. import calls
from ..aliases import called
from ..calculus import Function, function
from ..errors import SurfaceError
from ..language import mark
from ..numbers import POSITIVE, Range
from ..unknown import unknown
from .surface import Surface, of_expression, of_function

X, Y = sp.symbols("x y", real=True)
NOTEBOOK = "course notebook on optimizers"
MOST = 1000  # variables
WRITTEN_OUT = 16  # variables: a rotated quadratic of more is computed with its matrix


def parabola() -> Surface:
    """x² − 4x + 6 = (x − 2)² + 2."""
    value = X**2 - 4 * X + 6
    return of_expression(value, bounds=((-1.0, 5.0),), minima=((2.0,),), start=(4.0,), source=NOTEBOOK)


def wave() -> Surface:
    """x·sin x: many minima, and the start decides which one is found."""
    minima = ((-4.913180439434884,), (4.913180439434884,), (0.0,))
    return of_expression(X * sp.sin(X), bounds=((-7.0, 7.0),), minima=minima, start=(2.5,), source=NOTEBOOK)


def quadratic(condition: float = 10.0, dimensions: int = 2, rotation: float = 0.0) -> Surface:
    """½ Σ λᵢ zᵢ² with λ from 1 to condition; z are the coordinates turned by rotation (degrees).

    The λ lie evenly on a logarithmic axis. With more than two variables each pair of neighbouring axes is turned
    in its plane, one pair after the other.
    """
    POSITIVE.check("quadratic: condition", condition, SurfaceError)
    w = _variables("quadratic", dimensions)
    eigenvalues = condition ** (np.arange(dimensions) / max(1, dimensions - 1))
    turn = _rotation(dimensions, rotation)
    name = _name(quadratic, locals())
    known: dict[str, Any] = {
        "bounds": ((-2.0, 2.0),) * dimensions,
        "minima": ((0.0,) * dimensions,),
        "start": (1.8,) * (dimensions - 1) + (0.9,),
    }
    if dimensions > WRITTEN_OUT and rotation:
        import torch

        scaled = torch.from_numpy(np.sqrt(eigenvalues)[:, None] * turn)
        return replace(of_function(lambda w: 0.5 * (scaled @ w).square().sum(), dimensions, **known), name=name)
    z = [sum((_exact(a) * x for a, x in zip(row, w, strict=True) if a), sp.S.Zero) for row in turn]
    total = sum((_exact(e) * each**2 for e, each in zip(eigenvalues, z, strict=True)), sp.S.Zero) / 2
    return of_expression(sp.expand(total), name, **known, source="Goh 2017, Why momentum really works")


def ravine() -> Surface:
    """A narrow valley with steep walls; along it, a cliff falls towards the middle."""
    value = X**2 / 20 + 2 * Y**2 + 3 * (1 - sp.tanh(4 * (X + 1))) / 2
    source = "after figure 5-13 (a) of the course: a ravine with a cliff towards the middle"
    bounds, minima = ((-5.0, 3.0), (-2.0, 2.0)), ((0.05276449024431207, 0.0),)
    return of_expression(value, "ravine", bounds=bounds, minima=minima, start=(-4.5, 1.5), source=source)


def saddle() -> Surface:
    """x² − y²: level at the middle, without a minimum."""
    source = "after figure 5-13 (b) of the course: a saddle point"
    return of_expression(X**2 - Y**2, "saddle", bounds=((-2.0, 2.0),) * 2, start=(1.5, 0.01), source=source)


def monkey_saddle() -> Surface:
    """x³ − 3xy²: three ways down; the Hessian vanishes in the middle."""
    value, source = X**3 - 3 * X * Y**2, "Hilbert & Cohn-Vossen 1932"
    return of_expression(value, "monkey_saddle", bounds=((-1.5, 1.5),) * 2, start=(1.2, 0.02), source=source)


def rosenbrock(dimensions: int = 2) -> Surface:
    """Σ 100(xᵢ₊₁ − xᵢ²)² + (1 − xᵢ)²: a bent valley with a level floor."""
    w = _variables("rosenbrock", dimensions, least=2)
    value = sum((100 * (b - a**2) ** 2 + (1 - a) ** 2 for a, b in itertools.pairwise(w)), sp.S.Zero)
    return of_expression(
        value,
        _name(rosenbrock, locals()),
        bounds=((-2.0, 2.0), (-1.0, 3.0)) if dimensions == 2 else ((-2.0, 2.0),) * dimensions,
        minima=((1.0,) * dimensions,),
        start=(-1.2, 1.0) if dimensions == 2 else (-1.2,) * dimensions,
        source="Rosenbrock 1960",
    )


def beale() -> Surface:
    """Level valleys between walls that rise like a sixth power."""
    constants = sp.Rational(3, 2), sp.Rational(9, 4), sp.Rational(21, 8)
    value = sum(((c - X + X * Y**k) ** 2 for k, c in enumerate(constants, start=1)), sp.S.Zero)
    return of_expression(
        value, "beale", bounds=((-4.5, 4.5),) * 2, minima=((3.0, 0.5),), start=(1.0, 1.5), source="Beale 1958"
    )


def himmelblau() -> Surface:
    """(x² + y − 11)² + (x + y² − 7)²: four minima of the same depth."""
    value, bounds, source = (X**2 + Y - 11) ** 2 + (X + Y**2 - 7) ** 2, ((-5.0, 5.0),) * 2, "Himmelblau 1972"
    minima = (
        (3.0, 2.0),
        (-2.805118086952745, 3.131312518250573),
        (-3.779310253377747, -3.283185991286170),
        (3.584428340330492, -1.848126526964404),
    )
    return of_expression(value, "himmelblau", bounds=bounds, minima=minima, start=(0.0, 0.0), source=source)


def rastrigin(dimensions: int = 2) -> Surface:
    """10n + Σ xᵢ² − 10 cos 2πxᵢ: a minimum near every whole number, the lowest at 0."""
    w = _variables("rastrigin", dimensions)
    value = 10 * dimensions + sum((x**2 - 10 * sp.cos(2 * sp.pi * x) for x in w), sp.S.Zero)
    return of_expression(
        value,
        _name(rastrigin, locals()),
        bounds=((-5.12, 5.12),) * dimensions,
        minima=((0.0,) * dimensions,),
        start=(3.3,) + (-2.7,) * (dimensions - 1),
        source="Rastrigin 1974",
    )


def ackley(dimensions: int = 2) -> Surface:
    """Nearly level outside, waves everywhere, and a funnel with a pointed end in the middle."""
    w = _variables("ackley", dimensions)
    spread = sp.sqrt(sum((x**2 for x in w), sp.S.Zero) / dimensions)
    waves = sum((sp.cos(2 * sp.pi * x) for x in w), sp.S.Zero) / dimensions
    return of_expression(
        -20 * sp.exp(-spread / 5) - sp.exp(waves) + 20 + sp.E,
        _name(ackley, locals()),
        bounds=((-5.0, 5.0),) * dimensions,
        minima=((0.0,) * dimensions,),
        start=(3.3,) + (-2.7,) * (dimensions - 1),
        source="Ackley 1987",
    )


def styblinski_tang(dimensions: int = 2) -> Surface:
    """½ Σ xᵢ⁴ − 16xᵢ² + 5xᵢ: 2ⁿ minima, one of them the lowest."""
    w = _variables("styblinski_tang", dimensions)
    low, high = -2.903534027771177, 2.746802770990837
    known = itertools.islice(itertools.product((low, high), repeat=dimensions), 16)
    return of_expression(
        sum((x**4 - 16 * x**2 + 5 * x for x in w), sp.S.Zero) / 2,
        _name(styblinski_tang, locals()),
        bounds=((-5.0, 5.0),) * dimensions,
        minima=tuple(sorted(known, key=lambda p: p.count(high))),
        start=(0.5,) * dimensions,
        source="Styblinski & Tang 1990",
    )


def three_hump_camel() -> Surface:
    """2x² − 1.05x⁴ + x⁶/6 + xy + y²: the lowest minimum between two others."""
    value = 2 * X**2 - sp.Rational(21, 20) * X**4 + X**6 / 6 + X * Y + Y**2
    x, y = 1.747552345830289, -0.8737761729151444
    minima, source = ((0.0, 0.0), (x, y), (-x, -y)), "Dixon & Szegő 1978"
    return of_expression(
        value, "three_hump_camel", bounds=((-3.0, 3.0),) * 2, minima=minima, start=(-2.2, 2.0), source=source
    )


_NAMED = (quadratic, ravine, saddle, monkey_saddle, rosenbrock, beale, himmelblau, rastrigin, ackley, styblinski_tang)
SURFACES: dict[str, Callable[..., Surface]] = {"x**2 - 4*x + 6": parabola, "x*sin(x)": wave}
SURFACES |= {make.__name__: make for make in (*_NAMED, three_hump_camel)}
_WRITTEN = {name.replace(" ", ""): make for name, make in SURFACES.items()}
_WRITTEN |= {make().name.replace(" ", ""): make for make in (parabola, wave)}


def names() -> list[str]:
    """The names of the built-in surfaces."""
    return list(SURFACES)


def get(name: str) -> Surface:
    """The built-in surface of that name; ``quadratic(condition=100)`` gives it with other arguments.

    Raises:
        SurfaceError: an unknown name, or an invalid argument.

    >>> get("quadratic(condition=100)").gradient([1.0, 1.0])
    array([  1., 100.])
    """
    if make := _WRITTEN.get(name.replace(" ", "")):
        return make()
    given = name.partition("(")[0].strip()
    kind = called("surface", given, SURFACES)
    if kind is None:
        raise SurfaceError(unknown("surface", calls.short(given), SURFACES))
    arguments = calls.parse(name, SurfaceError, "quadratic(condition=100)")[1]
    allowed = inspect.signature(SURFACES[kind]).parameters
    for argument in arguments:
        if not allowed:
            raise SurfaceError("{name} takes no arguments; leave {argument} out.", name=kind, argument=argument)
        if argument not in allowed:
            raise SurfaceError(unknown("argument", argument, allowed, kind))
    return SURFACES[kind](**arguments)


def surface(given: Any, dimensions: int | None = None, **known: Any) -> Surface:
    """Whatever a user may call a surface: a name, an expression, a torch function, or a `Surface`.

    Args:
        given: see above. An expression is a text, as for `tw.function`, what that returns, or SymPy's; a function takes
            a point (dimensions,) or one number per variable, and returns one number.
        dimensions: of a function that takes a point; 1 unless given.
        known: bounds=, minima=, start=, source= as in `Surface`; in the place of those it has, if it has some.

    Raises:
        SurfaceError: none of these, or an expression without variables.
        ExpressionError: a text that is not an expression.

    >>> surface("(x-1)^2 + 2y^2").gradient([2.0, 1.0]), surface("(x-1)^2 + 2y^2").name
    (array([2., 4.]), '2y² + (x − 1)²')
    >>> import sympy
    >>> surface(sympy.Symbol("a") ** 2 + 1)([3.0])
    array(10.)
    >>> surface(lambda x, y: x**2 + 3 * y).gradient([2.0, 1.0])
    array([4., 3.])
    """
    if isinstance(given, str) and _is_name(given):
        given = get(given)
    if isinstance(given, Surface):
        return replace(given, **known) if known else given
    if isinstance(given, str):
        given = function(given)
        if not known and (make := _WRITTEN.get(str(given).replace(" ", ""))):
            return make()
    if isinstance(given, Function):
        if given.expression is None:
            return of_function(given, len(given.variables), names=given.variables, **known)
        return of_expression(given.expression, str(given), given.variables, **known)
    if isinstance(given, sp.Expr):
        return of_expression(given, **known)
    if callable(given):
        return of_function(given, dimensions, **known)
    raise SurfaceError(
        "something of type {kind} is not a surface; give a name, an expression, or a function in torch operations.",
        kind=type(given).__name__,
    )


def _is_name(text: str) -> bool:
    """Whether the text means one of the surfaces, if wrongly written: a word alone is not an expression."""
    kind, bracket, _ = (part.strip() for part in text.partition("("))
    if text.replace(" ", "") in _WRITTEN or called("surface", kind, SURFACES) is not None:
        return True
    alone = kind.isidentifier() and len(kind) > 2
    return alone and (not bracket or bool(difflib.get_close_matches(kind, SURFACES, cutoff=0.75)))


def _variables(surface: str, count: int, least: int = 1) -> Sequence[sp.Symbol]:
    """The variables of a surface of so many dimensions."""
    Range(least, MOST, whole=True).check(f"{surface}: dimensions", count, SurfaceError)
    if count <= 2:
        return (X, Y)[:count]
    return [sp.Symbol(f"x{k:0{len(str(count))}}", real=True) for k in range(1, count + 1)]


def _rotation(dimensions: int, degrees: float) -> np.ndarray:
    """Neighbouring axes turned in their plane, one pair after the other."""
    if not np.isfinite(degrees):
        raise SurfaceError(
            "{what} is {value}; give {allowed}.", what="quadratic: rotation", value=degrees, allowed=mark("a number")
        )
    turn, angle = np.eye(dimensions), np.deg2rad(degrees)
    for k in range(dimensions - 1 if degrees else 0):
        turn[k : k + 2] = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]) @ turn[k : k + 2]
    return turn


def _exact(value: float) -> sp.Expr:
    return sp.Integer(int(value)) if float(value).is_integer() else sp.Float(float(value), 17)


def _name(make: Callable[..., Surface], arguments: dict[str, Any]) -> str:
    """A built-in's name with the arguments that differ from the defaults."""
    defaults = inspect.signature(make).parameters
    changed = {name: arguments[name] for name, p in defaults.items() if arguments[name] != p.default}
    return calls.write(make.__name__, changed)
