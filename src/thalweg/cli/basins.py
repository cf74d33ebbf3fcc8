"""`thalweg basins`: which start falls into which minimum."""

from __future__ import annotations

import math
from typing import Annotated

import typer

from ..errors import SurfaceError
from ..language import say
from .listing import columns_of, print_table, print_words
from .options import Bounds, Json
from .picture import Drawn, check_picture, write_picture
from .result import bounds_of, print_json, rule_of

SHOWN = 12  # minima, the lowest
EXAMPLE = "Example: thalweg basins himmelblau -o basins.png"


def basins(
    surface: Annotated[str, typer.Argument(help="Of one or two variables; as for `thalweg descend`.")],
    optimizer: Annotated[str, typer.Option(help="A rule, also with arguments: 'momentum(momentum=0.5)'.")] = "sgd",
    rate: Annotated[
        float | None, typer.Option(help="Unless given, the lowest of 13 at which most starts come to a minimum.")
    ] = None,
    schedule: Annotated[str, typer.Option(help="Of the rate; see `thalweg schedule`.")] = "constant",
    steps: Annotated[int, typer.Option(help="Taken by every path.")] = 200,
    resolution: Annotated[int, typer.Option(help="Starts along each axis.")] = 200,
    bounds: Bounds = None,
    radius: Annotated[
        float | None,
        typer.Option(help="How near a path must end to a minimum; a hundredth of the widest side unless given."),
    ] = None,
    output: Drawn = None,
    json: Json = False,
) -> None:
    """Map a grid of starts by the minimum that the descent from each of them comes to."""
    from ..landscapes.basins import basins as run

    check_picture(output)
    sides = None if bounds is None else bounds_of(bounds)
    rule = rule_of(optimizer, SurfaceError)
    result = run(surface, rule, rate, schedule, steps, resolution=resolution, bounds=sides, radius=radius)
    write_picture(output, result.picture)
    table = result.table()
    if json:
        facts = {"surface": result.surface.name, "optimizer": result.formula.label, "lr": result.rate}
        shape, rows = result.labels.shape, table.to_dict("records")
        print_json(facts | {"steps": result.steps, "starts": shape, "minima": rows})
        return
    grid = " × ".join(map(str, result.labels.shape))
    at = "" if math.isnan(result.rate) else say(" at rate {rate:g}", rate=result.rate)
    print_words(
        say(
            "{surface}: {starts} starts, {label}{at}, {steps} steps",
            surface=result.surface,
            starts=grid,
            label=result.formula.label,
            at=at,
            steps=steps,
        )
    )
    print()
    headings = {v: v for v in result.surface.variables}
    hidden = max(0, len(table) - 1 - SHOWN)
    table = table.drop(index=table.index[SHOWN : SHOWN + hidden])
    print_table(columns_of(table, headings | {"loss": "loss", "share": "starts", "steps": "steps to it"}, ("share",)))
    if hidden:
        print(say("… and {hidden:,} more; --json has all of them.", hidden=hidden))
    print(say("The last row is of the starts that come to none; the steps are their median."))
    if output is not None:
        print(output)
