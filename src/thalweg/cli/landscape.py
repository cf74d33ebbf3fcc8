"""`thalweg landscape`: the loss of a study's network, drawn."""

from __future__ import annotations

from typing import Annotated

import typer

from ..language import say
from .asking import Trust, ask_to_run
from .listing import print_words
from .options import Json, Store
from .picture import Drawn, check_picture, write_picture
from .result import print_json

EXAMPLE = "Example: thalweg landscape runs/digits.db --optimizer adam -o path.html"


def landscape(
    store: Store,
    optimizer: Annotated[
        str | None, typer.Option(help="Whose chosen setting to train again; the best unless given.")
    ] = None,
    to: Annotated[str | None, typer.Option(help="Another optimizer: the line between both networks.")] = None,
    kind: Annotated[
        str | None, typer.Option(help="path (of training), random (directions) or line; path unless given.")
    ] = None,
    points: Annotated[
        int | None, typer.Option(help="Along each axis: 25 in a plane, 41 on a line unless given.")
    ] = None,
    samples: Annotated[
        int | None, typer.Option(help="Samples of the validation part to measure on; all unless given.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of random directions and samples.")] = 0,
    surface: Annotated[bool, typer.Option("--surface", help="Draw a plane as a surface to turn.")] = False,
    output: Drawn = None,
    json: Json = False,
    trust: Trust = False,
) -> None:
    """Slice through the loss of a member's network: along its training path, at random, or to another's."""
    from ..probes.landscape import landscape as run
    from ..results import Results

    check_picture(output)
    results = Results.open(store)
    ask_to_run(results, trust)
    result = run(results, optimizer=optimizer, to=to, kind=kind, points=points, samples=samples, seed=seed)
    write_picture(output, lambda: result.picture(surface) if surface else result.picture())
    if json:
        print_json(result.to_json())
    else:
        print_words(f"{result.name}: {result.note}")
        print(output if output is not None else say("Draw it: -o landscape.html"))
