"""At which rate and hyperparameter a rule converges, and how fast: measured, and from the formula where it is linear.

Near a minimum a surface is a quadratic, whose eigenvalues λ each see the rule with the gradient λw. A rule that is
linear in gradient, weight and states (gradient descent, momentum, Nesterov's in all forms) then multiplies
(w, states) by a matrix at each step; it converges where all of that matrix's eigenvalues are smaller than 1, and the
largest is the factor by which the distance shrinks. The matrix is taken from the formula's own equations, so that the
boundary of gradient descent at 2/λ, and of momentum at 2(1 + β)/λ, comes out and is not put in.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import sympy as sp

from .. import schedules
from ..errors import FormulaError, SurfaceError
from ..formulas import Formula
from ..formulas.base import Equations, symbol
from ..language import say
from ..numbers import COUNT
from ..unknown import unknown
from .descents import formula_of, starts_on
from .surface import Surface
from .surfaces import surface as surface_of
from .walkers import Walkers

if TYPE_CHECKING:
    import plotly.graph_objects as go

TINY = 1e-100  # of the first distance: a path this near has arrived
ROUNDING = 1e-13  # of the minimum's size: nearer than that rounding keeps the point away
LEAST, MOST, PER_DECADE = (1e-3, 100, 400)  # trial rates, times the curvature, between which the boundary is searched


@dataclass(frozen=True, eq=False, repr=False)
class Convergence:
    """How a rule fares near a minimum at each rate and value of a hyperparameter; made by `convergence`.

    Attributes:
        surface, formula, minimum: of the descents.
        hyperparameter: which one varies; lr varies beside it.
        rates: (rates,), learning rates.
        values: (values,), of the hyperparameter.
        factors: (values, rates), what the distance to the minimum is multiplied by at each step, in the mean over the
            second half of the steps, or until the path is there; inf where it diverged.
        converges: (values, rates), whether the distance shrinks, and has become less than the first: a path that
            circles around the minimum has a factor of 1.
        theory: (values, rates), the same from the formula's matrix; None for a rule that is not linear.
        boundary: (values,), the rate from which on the theory has it diverge; None like `theory`.
        eigenvalues: of the Hessian at the minimum, the smallest first.
    """

    surface: Surface
    formula: Formula
    minimum: np.ndarray
    hyperparameter: str
    rates: np.ndarray
    values: np.ndarray
    factors: np.ndarray
    converges: np.ndarray
    theory: np.ndarray | None
    boundary: np.ndarray | None
    eigenvalues: np.ndarray

    def __repr__(self) -> str:
        count, rates = self.factors.shape
        return f"<Convergence of {self.formula.label} on {self.surface}: {count} {self.hyperparameter} × {rates} lr>"

    def picture(self, title: str = "") -> go.Figure:
        """The map: how fast it converges at each rate and value, with the boundary in theory.

        >>> import thalweg as tw
        >>> rates = tw.landscapes.convergence("quadratic(condition=10)", values=[0.0, 0.5, 0.9])
        >>> rates.picture().data[1].x.round(4).tolist()
        [0.2, 0.3, 0.38]
        """
        from ..pictures.maps import convergence_map

        return convergence_map(self, title)

    @property
    def best(self) -> tuple[float, float]:
        """The hyperparameter's value and the rate at which the distance shrinks the fastest."""
        value, rate = np.unravel_index(np.argmin(self.factors), self.factors.shape)
        return float(self.values[value]), float(self.rates[rate])


def convergence(
    surface: Any = "quadratic",
    optimizer: str | Formula = "momentum",
    rates: Any = None,
    hyperparameter: str = "momentum",
    values: Any = None,
    *,
    start: Any = None,
    steps: int = 400,
) -> Convergence:
    """A map of where a rule converges: rate × hyperparameter, each cell a descent of its own.

    Args:
        surface: one with a known minimum; the nearest to the start is gone to.
        optimizer: its formula; one.
        rates: (rates,); 100 from 0.01 to 4 over the Hessian's largest eigenvalue, evenly spread, unless given.
        hyperparameter: that varies beside lr.
        values: (values,); 100 from 0 to 0.99 unless given.
        start: of all paths; near the minimum, at a thousandth of the drawn width, unless given.
        steps: of each path; the second half is measured.

    Raises:
        SurfaceError: a surface without a known minimum, or an invalid argument.

    Source of the theory: Polyak 1964; Lessard, Recht & Packard 2016, section 2; Goh 2017.

    >>> import thalweg as tw
    >>> tw.landscapes.convergence("quadratic(condition=10)", values=[0.0, 0.5, 0.9]).boundary.round(4)
    array([0.2 , 0.3 , 0.38])
    """
    surface, formula = surface_of(surface), formula_of(optimizer)
    COUNT.check("steps", steps, SurfaceError)
    for name in ("lr", hyperparameter):
        if name not in formula.hyperparameters:
            raise FormulaError(unknown("hyperparameter", name, formula.hyperparameters, formula.name))
    if hyperparameter == "lr":
        raise SurfaceError("lr always varies; name another hyperparameter to vary beside it, e.g. momentum.")
    minimum, begin = _places(surface, start)
    eigenvalues = np.linalg.eigvalsh(surface.hessian(minimum.tolist()))
    if not (np.isfinite(eigenvalues) & (eigenvalues > 0)).all():
        raise SurfaceError(
            "{surface} has no bowl at its minimum {minimum}, whose shape decides at which rate a rule "
            "converges; take a surface with a Hessian above 0 there.",
            surface=surface,
            minimum=minimum.tolist(),
        )
    grid = np.linspace(0.01, 4, 100) / eigenvalues[-1] if rates is None else _numbers("rates", rates, above=0)
    levels = np.linspace(0, 0.99, 100) if values is None else _numbers(hyperparameter, values)
    cells = {"lr": np.tile(grid, len(levels)), hyperparameter: np.repeat(levels, len(grid))}
    with np.errstate(all="ignore"):  # paths that diverge
        results = _measured(surface, formula, cells, minimum, begin, steps)
    factors, nearer = (cell.reshape(len(levels), len(grid)) for cell in results)
    radius = _spectral_radius(formula.of_shape(minimum.shape), hyperparameter)
    at = (grid[None, :, None], levels[:, None, None], eigenvalues)
    theory, boundary = radius and radius(*at).max(axis=-1), radius and _boundary(radius, levels, eigenvalues[-1])
    stable = nearer & (factors < 1)
    return Convergence(
        surface, formula, minimum, hyperparameter, grid, levels, factors, stable, theory, boundary, eigenvalues
    )


def _places(surface: Surface, start: Any) -> tuple[np.ndarray, np.ndarray]:
    """The minimum to go to, and where from."""
    if not surface.minima:
        raise SurfaceError(
            "{surface} has no known minimum to converge to; give a surface with minima=.", surface=surface
        )
    minima = np.array(surface.minima)
    if start is None:
        return minima[0], minima[0] + 1e-3 * np.ptp(surface.bounds, axis=1)
    starts = starts_on(surface, np.asarray(start, dtype=np.float64))
    if len(starts) > 1:
        raise SurfaceError(
            "{starts} starts were given, and every path of the map has the same one.", starts=len(starts)
        )
    return minima[np.argmin(np.linalg.norm(minima - starts[0], axis=1))], starts[0]


def _numbers(what: str, values: Any, above: float = -np.inf) -> np.ndarray:
    try:
        numbers = np.atleast_1d(np.asarray(values, dtype=np.float64))
    except (TypeError, ValueError) as error:
        raise SurfaceError("{what} is {values}; give a list of numbers.", what=what, values=repr(values)) from error
    if numbers.ndim != 1 or not len(numbers) or not (np.isfinite(numbers) & (numbers > above)).all():
        positive = say("positive ") if above == 0 else ""
        raise SurfaceError("{what} must be a list of finite {positive}numbers.", what=what, positive=positive)
    return numbers


def _measured(
    surface: Surface, formula: Formula, cells: dict[str, np.ndarray], minimum: np.ndarray, begin: np.ndarray, steps: int
) -> tuple[np.ndarray, np.ndarray]:
    """The mean factor per step of each row of hyperparameters, (rows,), and whether it ends nearer than it began.

    Paths swing to and fro, so a distance is the farthest of a window of steps: one in the middle against one at the
    end, or for a path that is there before, its way until then.
    """
    count = len(cells["lr"])
    walkers = Walkers(formula, count, cells, np.tile(begin, (count, 1)), schedules.get("constant"), steps)
    first = np.linalg.norm(begin - minimum)
    tiny = max(TINY * first, ROUNDING * np.linalg.norm(minimum))
    window = max(1, steps // 10)
    begun = (steps // 2, steps - window)
    farthest, factors = np.zeros((2, count)), np.zeros(count)
    for k in range(steps):
        walkers.walk(surface, k)
        distance = np.linalg.norm(walkers.points - minimum, axis=1)
        fresh = (distance <= tiny) & (factors == 0)
        factors[fresh] = np.maximum(distance[fresh] / first, TINY) ** (1 / (k + 1))
        for largest, start in zip(farthest, begun, strict=True):
            if start <= k < start + window:
                np.maximum(largest, distance, out=largest)  # NaN stays
    measured = (farthest[1] / farthest[0]) ** (1 / (begun[1] - begun[0]))
    factors = np.where(factors > 0, factors, np.where(np.isfinite(measured), measured, np.inf))
    return factors, farthest[1] < first


Radius = Callable[[Any, Any, Any], np.ndarray]  # (rate, value, λ) → the largest |eigenvalue|


@functools.cache
def _matrix(equations: Equations) -> sp.Matrix | None:
    """What (w, states) are multiplied by at each step where the gradient is λw; None for a rule that is not linear."""
    curvature = sp.Symbol("_lambda", positive=True)
    w, states = symbol("w"), [symbol(name) for name in equations.state_names]
    ahead = w if equations.at is None else w + equations.at
    after = [w + equations.step, *(value for _, value in equations.states)]
    numbers = {symbol(name) for name in equations.hyperparameters} | {curvature}
    matrix = sp.Matrix([value.subs(symbol("g"), curvature * ahead) for value in after]).jacobian([w, *states])
    if matrix.free_symbols - numbers - {w, *states}:
        return None  # the step or the loss takes part
    matrix = matrix.applyfunc(sp.expand)
    return matrix if matrix.free_symbols <= numbers else None


def _spectral_radius(formula: Formula, name: str) -> Radius | None:
    matrix = _matrix(formula.equations) if formula.equations.races else None
    if matrix is None:
        return None
    varied = [symbol("lr"), symbol(name), sp.Symbol("_lambda", positive=True)]
    fixed = {symbol(n): value for n, value in formula.hyperparameters.items() if n not in ("lr", name)}
    entries = [sp.lambdify(varied, entry, "numpy") for entry in matrix.subs(fixed)]

    def radius(*at: Any) -> np.ndarray:
        shape = np.broadcast_shapes(*map(np.shape, at))
        numbers = np.stack([np.broadcast_to(entry(*at), shape) for entry in entries], axis=-1)
        return np.abs(np.linalg.eigvals(numbers.reshape(*shape, *matrix.shape))).max(axis=-1)

    return radius


def _boundary(radius: Radius, values: np.ndarray, curvature: float) -> np.ndarray:
    """The lowest rate at which the rule does not converge, for each value; inf where there is none in sight."""
    trials = np.geomspace(LEAST, MOST, PER_DECADE * 5) / curvature
    beyond = radius(trials[None, :], values[:, None], curvature) > 1 + 1e-9
    first = beyond.argmax(axis=1)
    high = trials[first]
    low = np.where(first > 0, trials[first - 1], 0.0)
    for _ in range(60):
        middle = (low + high) / 2
        over = radius(middle, values, curvature) > 1
        low, high = np.where(over, low, middle), np.where(over, middle, high)
    return np.where(beyond.any(axis=1), high, np.inf)
