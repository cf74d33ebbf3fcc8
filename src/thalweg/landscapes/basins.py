"""`basins`: which start falls into which minimum, by a million descents of which only the end is kept."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import schedules
from ..errors import SurfaceError
from ..formulas import Formula
from ..numbers import COUNT, POSITIVE, Range
from ..schedules import Schedule
from .descents import FAR, MEMORY, rules_of
from .driver import CHUNK, advance
from .minima import minima_among, nearest
from .surface import Surface
from .surfaces import surface as surface_of
from .walkers import Walkers, needs_rows

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

RADIUS = 0.01  # of the widest side: a path that ends this near to a minimum has fallen into it
RATES = (*(digit * 10.0**power for power in (-4, -3, -2, -1) for digit in (1, 2, 5)), 1.0)
COARSE = {1: 200, 2: 25}  # starts along each axis of one or two, by which a rate is chosen


@dataclass(frozen=True, eq=False, repr=False)
class Basins:
    """Where descents from a grid of starts end; made by `tw.basins`.

    The grid is (resolution,) on a surface of one variable, and (resolution, resolution) on one of two: the second
    variable goes down the rows and the first along the columns, as a picture is drawn.

    Attributes:
        surface, formula, rate, schedule, steps: of the descents.
        axes: for each variable, the coordinates of the starts (resolution,).
        minima: (minima, dimensions), the lowest first.
        labels: the grid; the number of the minimum that the path falls into, or −1 where it diverged or reached none.
        diverged: the grid; whether the path diverged.
        ends: (grid, dimensions), where the paths end.
        radius: a path that ends this near to a minimum has fallen into it.
    """

    surface: Surface
    formula: Formula
    rate: float
    schedule: Schedule
    steps: int
    axes: tuple[np.ndarray, ...]
    minima: np.ndarray
    labels: np.ndarray
    diverged: np.ndarray
    ends: np.ndarray
    radius: float

    def __repr__(self) -> str:
        grid = " × ".join(map(str, self.labels.shape))
        return f"<Basins of {self.surface}: {grid} starts, {len(self.minima)} minima, {self.formula.label}>"

    @property
    def starts(self) -> np.ndarray:
        """(grid, dimensions)."""
        return _grid(self.axes)

    @functools.cached_property
    def settled(self) -> np.ndarray:
        """The grid; steps until the path stays within `radius` of its minimum, −1 where it reaches none.

        The descents are walked a second time for it, now that their minima are known.
        """
        inside = self.labels.ravel() >= 0
        starts = self.starts.reshape(-1, len(self.axes))
        targets = np.full_like(starts, np.nan)
        targets[inside] = self.minima[self.labels.ravel()[inside]]
        walkers, shared = _walkers(self.formula, self.rate, starts, self.schedule, self.steps)
        last = advance(self.surface, walkers, self.steps, shared, targets, self.radius)
        return np.where(inside, last + 1, -1).reshape(self.labels.shape)

    def picture(self, title: str = "") -> go.Figure:
        """Each start in the colour of the minimum it falls into, paler where that takes longer.

        >>> import thalweg as tw
        >>> figure = tw.basins("himmelblau", lr=0.01, resolution=50).picture()
        >>> figure.data[1].name
        '(−3.779, −3.283): 23.6% of the starts'
        """
        from ..pictures.maps import basin_map

        return basin_map(self, title)

    def table(self) -> pd.DataFrame:
        """One row per minimum: the point, its height, the share of the starts, the median of their steps there.

        The last row, without a point, is of the starts that come to none.

        >>> import thalweg as tw
        >>> tw.basins("x*sin(x)", lr=0.1, steps=200, resolution=101).table().round(4)
                x    loss   share  steps
        0 -4.9132 -4.8145  0.3564    4.0
        1  4.9132 -4.8145  0.3564    4.0
        2  0.0000  0.0000  0.2871   10.0
        3     NaN     NaN  0.0000    NaN
        """
        import pandas as pd

        rows = []
        for k in [*range(len(self.minima)), -1]:
            chosen = self.labels == k
            point = self.minima[k] if k >= 0 else np.full(len(self.axes), np.nan)
            settled = np.median(self.settled[chosen]) if k >= 0 and chosen.any() else np.nan
            height = float(self.surface(point)) if k >= 0 else np.nan
            rows.append([*point, height, chosen.mean(), settled])
        table = pd.DataFrame(rows, columns=pd.Index([*self.surface.variables, "loss", "share", "steps"]))
        return table.mask(table.abs() < 1e-12, 0.0)  # what polishing leaves of a zero


def basins(
    surface: Any,
    optimizer: str | Formula = "sgd",
    lr: float | None = None,
    schedule: Any = "constant",
    steps: int = 200,
    *,
    resolution: int = 1000,
    bounds: Any = None,
    radius: float | None = None,
) -> Basins:
    """Which start falls into which minimum: a map over a grid of starts.

    The descents are those of `tw.descend`, taken by the same kernels, in chunks that stay in cache.

    Args:
        surface: of one or two variables; as in `tw.descend`.
        optimizer, schedule: one of each; as in `tw.descend`. A schedule that follows the loss is refused.
        lr: as in `tw.descend`. Unless given, the lowest of 13 rates from 1e-4 to 1 at which most starts of a coarse
            grid come to a minimum: a rule's own default, made for networks, seldom fits the size of a surface.
        steps: taken by every path.
        resolution: starts along each axis.
        bounds: ((low, high), …) for each variable; the surface's own unless given.
        radius: a path that ends this near to a minimum has fallen into it; a hundredth of the widest side unless given.

    The minima are those known of the surface, and those near which many paths end.

    Raises:
        SurfaceError: more than two variables, or an invalid argument.

    >>> import thalweg as tw
    >>> basins = tw.basins("himmelblau", lr=0.01, resolution=50)
    >>> basins, basins.minima[basins.labels[-1, -1]]
    (<Basins of himmelblau: 50 × 50 starts, 4 minima, sgd>, array([3., 2.]))
    """
    surface = surface_of(surface)
    if surface.dimensions > 2:
        raise SurfaceError(
            "{surface} has {count} variables, and a map of basins has one or two.",
            surface=surface,
            count=surface.dimensions,
        )
    surface = surface.within(bounds)
    COUNT.check("steps", steps, SurfaceError)
    formula, rate = _one_rule(optimizer, lr)
    schedule = _open(schedule, steps)
    axes = _axes(surface, resolution, formula)
    if lr is None and "lr" not in dict(formula.changed) and not np.isnan(rate):
        coarse = {"resolution": min(resolution, COARSE[surface.dimensions]), "radius": radius}
        rate = _settling(rate, lambda each: basins(surface, formula, each, schedule, steps, **coarse))
    reach = RADIUS * max(np.ptp(axis) for axis in axes) if radius is None else radius
    POSITIVE.check("radius", reach, SurfaceError)
    starts = _grid(axes).reshape(-1, len(axes))
    walkers, shared = _walkers(formula, rate, starts, schedule, steps)
    advance(surface, walkers, steps, shared)
    ends = walkers.points
    far = FAR * max(np.ptp(surface.bounds), 2 * np.abs(starts).max())
    diverged = ~((np.abs(ends) < far).all(axis=1) & np.isfinite(surface(ends)))
    ends[diverged] = np.nan
    minima = minima_among(surface, ends[~diverged], reach)
    shape = tuple(len(axis) for axis in reversed(axes))
    labels, diverged = nearest(minima, ends, reach).reshape(shape), diverged.reshape(shape)
    ends = ends.reshape(*shape, -1)
    return Basins(surface, formula, rate, schedule, steps, axes, minima, labels, diverged, ends, float(reach))


def _settling(default: float, mapped: Callable[[float], Basins]) -> float:
    """The lowest of the rates at which most paths come to a minimum, or the default where they never do."""
    shares = [float((mapped(rate).labels >= 0).mean()) for rate in RATES]
    return RATES[shares.index(max(shares))] if any(shares) else default


def _one_rule(optimizer: Any, lr: Any) -> tuple[Formula, float]:
    rules = rules_of(optimizer, lr)
    if rules.rates.size != 1:
        raise SurfaceError(
            "{size} pairs of optimizer and rate were given, and a map is of one; make several maps.",
            size=rules.rates.size,
        )
    return rules.formulas[0], float(rules.rates[0, 0])


def _open(schedule: Any, steps: int) -> Schedule:
    resolved = schedules.get(schedule)
    resolved.check(steps)
    if resolved.closed:
        raise SurfaceError(
            "{label} follows the loss of each path, which a map does not keep; take another schedule.",
            label=resolved.label,
        )
    return resolved


def _axes(surface: Surface, resolution: Any, formula: Formula) -> tuple[np.ndarray, ...]:
    Range(2, whole=True).check("resolution", resolution, SurfaceError)
    arrays = 5 + len(formula.states) + (formula.equations.lookahead is not None)
    needed = int(resolution) ** surface.dimensions * 8 * (surface.dimensions * arrays + 4)
    if needed > MEMORY:
        raise SurfaceError(
            "a map of {resolution} starts along each axis takes {needed} bytes, and at most {memory} are "
            "taken; give a smaller resolution.",
            resolution=f"{resolution:,}",
            needed=f"{needed:,}",
            memory=f"{MEMORY:,}",
        )
    return tuple(np.linspace(low, high, int(resolution)) for low, high in surface.bounds)


def _grid(axes: tuple[np.ndarray, ...]) -> np.ndarray:
    """(…, dimensions), the first variable along the last axis of the grid."""
    return np.stack(np.meshgrid(*axes, indexing="xy"), axis=-1)


def _walkers(formula: Formula, rate: float, starts: np.ndarray, schedule: Schedule, steps: int) -> tuple[Walkers, bool]:
    """The walkers of a map, and whether those of a chunk share a row."""
    shared = not needs_rows(formula, schedule)
    rows = -(-len(starts) // CHUNK) if shared else len(starts)
    levels = {} if np.isnan(rate) else {"lr": np.full(rows, rate)}
    points = np.array(starts, dtype=np.float64)
    return Walkers(formula, rows, levels, points, schedule, steps, CHUNK if shared else 1), shared
