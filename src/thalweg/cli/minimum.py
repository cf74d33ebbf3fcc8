"""`thalweg minimum`: where a formula is lowest, exactly, on a grid, or by going down."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from .derivative import SETTINGS
from .options import Everything
from .result import finite, print_json, split

if TYPE_CHECKING:
    from ..calculus import Minimum

__all__ = ["EXAMPLE", "SETTINGS", "minimum"]

EXAMPLE = "Example: thalweg minimum 'x^2 - 4x + 6'"


def minimum(
    expression: Annotated[str, typer.Argument(help="A formula, e.g. 'x^4 - 2x^2' or '(1-x)^2 + 100(y-x^2)^2'.")],
    bounds: Annotated[
        str | None,
        typer.Option(help="Where to look, low:high, one for all variables or one for each, e.g. -5:5,0:2; -10:10."),
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

    if latex and json:
        raise UsageError("--latex and --json exclude each other; give one of them.")
    if grid and start is not None:
        raise UsageError("--grid and --start exclude each other; give one of them, or none for the exact way.")
    if resolution is not None and not grid:
        raise UsageError("--resolution is of a grid; give --grid too.")
    method = "grid" if grid else "exact" if start is None else "descent"
    place = None if start is None else split(start)
    result = calculus.minimum(expression, _bounds(bounds), method=method, start=place, resolution=resolution)
    if json:
        print_json(_facts(result))
    else:
        print(result.latex() if latex else result)


def _bounds(text: str | None) -> list[tuple[str, str]] | None:
    """``-5:5,0:2`` → its pairs, still as text."""
    from ..errors import UsageError

    if text is None:
        return None
    pairs = [tuple(part.split(":")) for part in split(text)]
    if any(len(pair) != 2 for pair in pairs):
        raise UsageError(
            f"{text!r} cannot be read as bounds; give low:high, e.g. -5:5, or one for each variable: -5:5,0:2."
        )
    return pairs  # pyright: ignore[reportReturnType]


def _facts(result: Minimum) -> dict[str, Any]:
    from .. import calculus

    names = result.function.variables
    points = [
        {
            "at": dict(zip(names, one.at, strict=True)),
            "value": finite(one.value),
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
        "value": finite(result.value),
        "square": None if result.square is None else str(calculus.function(result.square)),
        "everywhere": result.everywhere,
        "verdict": result.verdict,
        "note": result.note,
        "bounds": [list(pair) for pair in result.bounds],
        "latex": result.latex(),
    }
