"""`thalweg boost`: stages that each learn what those before them got wrong."""

from __future__ import annotations

from typing import Annotated

import typer

from ..language import mark, say
from .ensembles import Saved, check_saved, compared, show
from .listing import columns_of, print_table
from .options import BatchSize, Device, Json, Precision, Problem, Rates, Schedules
from .result import split

ALONE = mark("one stage, on average")
COLUMNS = {
    "stage": mark("stage"),
    "draw": mark("draw"),
    "weight": mark("weight"),
    "error": mark("error"),
    "train_error": mark("train error"),
    "optimizer": mark("optimizer"),
    "schedule": mark("schedule"),
}
EXAMPLE = "Example: thalweg boost breast-cancer --rates 0.01 --members 5 --epochs 3"


def boost(
    problem: Problem,
    optimizers: Annotated[str, typer.Option(help="Names, also with arguments, separated by commas.")] = "adam",
    rates: Rates = "0.001,0.01",
    members: Annotated[int, typer.Option(help="Stages, at most.")] = 10,
    epochs: Annotated[int, typer.Option(help="Passes over the data, of each candidate.")] = 20,
    schedules: Schedules = "constant",
    batch_size: BatchSize = 64,
    draws: Annotated[int, typer.Option(help="Candidates of each setting at every stage.")] = 2,
    shrinkage: Annotated[
        float | None, typer.Option(help="What a stage counts; 1 for classes and 0.5 for values unless given.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the first candidate; the others have the numbers after it.")] = 0,
    device: Device = "auto",
    precision: Precision = "float32",
    output: Saved = None,
    json: Json = False,
) -> None:
    """Boosting: train stages on what those before them got wrong, AdaBoost for classes, on residuals for values."""
    from ..plan.plan import parse_rates
    from ..problem.find import load
    from ..problem.prepare import prepare
    from ..resampling.boosting import boost as run

    check_saved(output)
    declared = load(problem)
    ensemble = run(
        declared,
        split(optimizers),
        parse_rates(rates),
        members,
        epochs,
        split(schedules),
        batch_size,
        draws,
        shrinkage,
        seed,
        device,
        precision,
    )
    scores = compared(ensemble, prepare(declared), ALONE)
    if ensemble.classes is None:  # a stage after the first answers residuals, which alone is no answer
        del scores[ALONE]
    table = ensemble.table()
    table.insert(0, "stage", range(1, len(table) + 1))
    if not json:
        kept = [c for c in table.columns if table[c].nunique() > 1 or c in ("lr", "weight")]
        shown = {c: say(COLUMNS.get(c, c)) for c in kept}
        print_table(columns_of(table, shown))
        print()
    words = say(
        "{name}: {stages} stage{s} of {members}",
        name=ensemble.name,
        stages=len(ensemble),
        s="s" * (len(ensemble) > 1),
        members=members,
    )
    show(ensemble, scores, words, output, json)
