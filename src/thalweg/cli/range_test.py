"""`thalweg range`: which learning rate to begin with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import UsageError
from ..language import mark, say
from .listing import columns, print_table, print_words
from .options import BatchSize, Device, Json, Precision, Problem
from .picture import Drawn, check_picture, write_picture
from .result import print_json, rule_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..probes.range_test import RangeTest

EXAMPLE = "Example: thalweg range digits --optimizer adam --steps 200 -o range.html"


def range_test(
    problem: Problem,
    optimizer: Annotated[str, typer.Option(help="A rule, also with arguments: 'adam(beta2=0.99)'.")] = "adam",
    low: Annotated[float, typer.Option(help="The lowest rate.")] = 1e-6,
    high: Annotated[float, typer.Option(help="The highest rate.")] = 10.0,
    rates: Annotated[int, typer.Option(help="How many, evenly spaced on a logarithmic axis.")] = 29,
    seeds: Annotated[int, typer.Option(help="Runs of each rate.")] = 5,
    steps: Annotated[int, typer.Option(help="Steps of each run.")] = 100,
    batch_size: BatchSize = 64,
    device: Device = "auto",
    precision: Precision = "float32",
    output: Drawn = None,
    json: Json = False,
) -> None:
    """Test a range of learning rates for a few steps each, and suggest one, saying how sure that is."""
    from ..probes.range_test import range_test as run

    check_picture(output)
    result = run(
        problem,
        rule_of(optimizer, UsageError),
        low,
        high,
        rates,
        seeds,
        steps,
        batch_size,
        device=device,
        precision=precision,
    )
    write_picture(output, result.picture)
    if json:
        facts = {"suggestion": result.suggestion, "sureness": result.sureness, "sentence": result.sentence}
        print_json(facts | {"rates": result.table().to_dict("records")})
        return
    print_words(result.sentence)
    print()
    names = ("rate", "validation loss", mark("chance\nof best"), "")
    print_table(columns(names, _rows(result, seeds), right=("rate", names[2])))


def _rows(result: RangeTest, seeds: int) -> Iterator[tuple[str, str, str, str]]:
    from ..verdict.intervals import Interval

    for row in result.table().itertuples():
        lost = say("{diverged} of {seeds} diverged", diverged=row.diverged, seeds=seeds) if row.diverged else ""
        loss = "∞" if row.diverged else str(Interval(row.validation_loss, row.low, row.high))
        yield f"{row.lr:.3g}", loss, f"{row.chance:.0%}", "←" if row.lr == result.suggestion else lost
