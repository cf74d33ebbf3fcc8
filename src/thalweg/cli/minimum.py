"""`thalweg minimum`: where a formula is lowest, exactly, on a grid, or by going down."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import Everything
from .result import bounds_of, check_one, print_json, split

if TYPE_CHECKING:
    from ..calculus import Minimum

EXAMPLE = "Example: thalweg minimum 'x^2 - 4x + 6'"


def minimum(
    expression: Annotated[str, typer.Argument(help="A formula, e.g. 'x^4 - 2x^2' or '(1-x)^2 + 100(y-x^2)^2'.")],
    bounds: Annotated[
        str | None,
        typer.Option(help="Where to look, e.g. -5:5, or one for each variable, -5:5,0:2; -10:10 unless given."),
    ] = None,
    grid: Annotated[bool, typer.Option("--grid", help="Search a grid over the bounds.")] = False,
    resolution: Annotated[int | None, typer.Option(help="Points of the grid along each variable.")] = None,
    start: Annotated[
        str | None, typer.Option(help="Go down from here, e.g. 2.5, or 1,2 in the order of the variables' names.")
    ] = None,
    latex: Annotated[bool, typer.Option("--latex", help="Print LaTeX.")] = False,
    json: Everything = False,
) -> None:
    """Find the lowest value: where the slope is 0, which kind of point it is, and how far it holds."""
    from .. import calculus
    from ..errors import UsageError

    check_one(latex=latex, json=json)
    check_one(grid=grid, start=start is not None)
    if resolution is not None and not grid:
        raise UsageError("--resolution is of a grid; give --grid too.")
    method = "grid" if grid else "exact" if start is None else "descent"
    place = None if start is None else split(start, "1,2")
    sides = None if bounds is None else bounds_of(bounds)
    result = calculus.minimum(expression, sides, method=method, start=place, resolution=resolution)
    if json:
        print_json(_facts(result))
    else:
        print(result.latex() if latex else result)


def _facts(result: Minimum) -> dict[str, Any]:
    from .. import calculus

    names = result.function.variables
    points = [
        {
            "at": dict(zip(names, one.at, strict=True)),
            "value": one.value,
            "kind": one.kind,
            "reason": one.reason,
            "exact": None if one.exact is None else [str(calculus.function(form)) for form in one.exact],
        }
        for one in result.points
    ]
    return {
        "function": str(result.function),
        "variables": list(names),
        "method": result.method,
        "points": points,
        "at": None if result.at is None else list(result.at),
        "value": result.value,
        "square": None if result.square is None else str(calculus.function(result.square)),
        "everywhere": result.everywhere,
        "verdict": result.verdict,
        "note": result.note,
        "bounds": [list(pair) for pair in result.bounds],
        "latex": result.latex(),
    }
