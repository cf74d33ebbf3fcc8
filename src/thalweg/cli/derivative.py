"""`thalweg derivative`: the derivative of a formula, rule by rule or by its definition."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from ..calculus import Derivative, Gradient, Limit

EXAMPLE = "Example: thalweg derivative '(2x - 1)^3' --at 2"
SETTINGS = {"ignore_unknown_options": True}  # -x^2 is a formula


def derivative(
    expression: Annotated[str, typer.Argument(help="A formula, e.g. 'x*sin(x)' or '3x^2 + y'.")],
    wrt: Annotated[
        str | None, typer.Option(help="The variable; unless given, the only one, or the gradient in all of them.")
    ] = None,
    order: Annotated[int, typer.Option(help="How many times.")] = 1,
    at: Annotated[
        str | None, typer.Option(help="A point, e.g. 2, pi/2, or 1,2 in the order of the variables' names.")
    ] = None,
    limit: Annotated[bool, typer.Option("--limit", help="By the definition, as h goes to 0.")] = False,
    latex: Annotated[bool, typer.Option("--latex", help="Print LaTeX.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Draw the secant turning into the tangent into this .html, .png, .svg, .gif or .mp4 file; "
            "needs --limit and --at.",
        ),
    ] = None,
) -> None:
    """Differentiate a formula and show which rule was used where; or the difference quotient and its limit."""
    from .. import calculus
    from ..errors import UsageError
    from .picture import MOVING, check_picture, write_picture

    if latex and json:
        raise UsageError("--latex and --json exclude each other; give one of them.")
    if output is not None:
        if not (limit and at):
            raise UsageError(f"{output} shows a secant becoming the tangent at a point; give --limit and --at too.")
        check_picture(output, MOVING)
    f = calculus.function(expression)
    place = point(at)
    found: Derivative | Gradient | Limit
    if limit:
        found = calculus.derivative(f, wrt, order, place, method="limit")
        if output is not None:
            write_picture(output, found.picture, MOVING)
    elif wrt is None and order == 1 and len(f.variables) > 1:
        found = calculus.gradient(f, place)
    else:
        found = calculus.derivative(f, wrt, order, place)
    if json:
        import json as encoder

        print(encoder.dumps(_facts(found), indent=2, ensure_ascii=False))
    elif latex:
        print(found.latex())
        if isinstance(found, calculus.Derivative) and found.steps:
            print(f"\n{found.steps_latex()}")
    else:
        print(output if output is not None else found)


def point(text: str | None) -> list[str] | None:
    """``1,pi/2`` → its numbers, still as text."""
    from .result import split

    return None if text is None else split(text)


def _facts(found: Derivative | Gradient | Limit) -> dict[str, Any]:
    from .. import calculus

    facts: dict[str, Any] = {"function": str(found.function), "variables": list(found.function.variables)}
    if found.at is not None:
        facts["at"] = list(found.at)
    if isinstance(found, calculus.Limit):
        table = [
            {"h": h, "right": numbers(right), "left": numbers(left)}
            for h, right, left in zip(found.h, found.right, found.left, strict=False)
        ]
        symbolic = None if found.expression is None else calculus.function(found.expression)
        facts |= {"wrt": found.wrt, "derivative": None if symbolic is None else str(symbolic)}
        facts |= {"value": numbers(found.value), "error": numbers(found.error), "note": found.note, "table": table}
        return facts | {"latex": found.latex()}
    if isinstance(found, calculus.Gradient):
        parts = {part.wrt: str(part.slope) for part in found.parts}
        value = None if found.value is None else [numbers(v) for v in found.value]
        return facts | {"gradient": parts, "value": value, "latex": found.latex()}
    steps = [{"rule": s.rule, "law": s.law, "claim": str(s), "latex": s.latex()} for s in found.steps]
    facts |= {"wrt": found.wrt, "order": found.order, "derivative": str(found.slope)}
    return facts | {"value": numbers(found.value), "note": found.note, "latex": found.latex(), "steps": steps}


def numbers(value: float | None) -> float | None:
    """JSON has no NaN and no infinity."""
    import math

    return float(value) if value is not None and math.isfinite(value) else None
