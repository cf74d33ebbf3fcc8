"""`thalweg derivative`: the derivative of a formula, rule by rule or by its definition."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import Everything
from .result import check_one, print_json, split

if TYPE_CHECKING:
    from ..calculus import Derivative, Gradient, Limit

EXAMPLE = "Example: thalweg derivative '(2x - 1)^3' --at 2"


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
    json: Everything = False,
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

    check_one(latex=latex, json=json)
    if output is not None and not (limit and at):
        raise UsageError(
            "{file} shows a secant becoming the tangent at a point; give --limit and --at too.", file=output
        )
    check_picture(output, MOVING)
    f = calculus.function(expression)
    place = None if at is None else split(at, "1,2")
    result: Derivative | Gradient | Limit
    if limit:
        result = calculus.derivative(f, wrt, order, place, method="limit")
        write_picture(output, result.picture)
    elif wrt is None and order == 1 and len(f.variables) > 1:
        result = calculus.gradient(f, place)
    else:
        result = calculus.derivative(f, wrt, order, place)
    if json:
        print_json(_facts(result))
    elif latex:
        print(result.latex())
        if isinstance(result, calculus.Derivative) and result.steps:
            print(f"\n{result.steps_latex()}")
    else:
        print(output if output is not None else result)


def _facts(result: Derivative | Gradient | Limit) -> dict[str, Any]:
    from .. import calculus

    facts: dict[str, Any] = {"function": str(result.function), "variables": list(result.function.variables)}
    if result.at is not None:
        facts["at"] = list(result.at)
    if isinstance(result, calculus.Limit):
        table = [
            {"h": h, "right": right, "left": left}
            for h, right, left in zip(result.h, result.right, result.left, strict=False)
        ]
        symbolic = None if result.expression is None else calculus.function(result.expression)
        facts |= {"wrt": result.wrt, "derivative": None if symbolic is None else str(symbolic)}
        facts |= {"value": result.value, "error": result.error, "note": result.note, "table": table}
        return facts | {"latex": result.latex()}
    if isinstance(result, calculus.Gradient):
        parts = {part.wrt: str(part.slope) for part in result.parts}
        return facts | {"gradient": parts, "value": result.value, "latex": result.latex()}
    steps = [{"rule": s.rule, "law": s.law, "claim": str(s), "latex": s.latex()} for s in result.steps]
    facts |= {"wrt": result.wrt, "order": result.order, "derivative": str(result.slope)}
    return facts | {"value": result.value, "note": result.note, "latex": result.latex(), "steps": steps}
