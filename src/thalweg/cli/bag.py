"""`thalweg bag`: models trained on resamples, which answer together."""

from __future__ import annotations

from typing import Annotated

import typer

from ..language import mark, say
from .ensembles import Saved, check_saved, compared, show
from .options import BatchSize, Device, Json, Precision, Problem

EXAMPLE = "Example: thalweg bag breast-cancer --members 20 --epochs 5"


def bag(
    problem: Problem,
    optimizer: Annotated[str, typer.Option(help="A rule, also with arguments: 'adam(beta2=0.99)'.")] = "adam",
    rate: Annotated[float, typer.Option(help="The learning rate.")] = 0.01,
    members: Annotated[int, typer.Option(help="Models; the error falls little beyond 50.")] = 50,
    epochs: Annotated[int, typer.Option(help="Passes over each member's samples.")] = 20,
    schedule: Annotated[str, typer.Option(help="Of the rate; see `thalweg schedule`.")] = "constant",
    batch_size: BatchSize = 64,
    regularizer: Annotated[str | None, typer.Option(help="One, e.g. 'l2(1e-3)'; see `thalweg regularizer`.")] = None,
    seed: Annotated[int, typer.Option(help="Of the first member; the others have the numbers after it.")] = 0,
    device: Device = "auto",
    precision: Precision = "float32",
    output: Saved = None,
    json: Json = False,
) -> None:
    """Bagging: train models on resamples, drawn with replacement, and compare their common answer with one's alone."""
    from ..problem.find import load
    from ..problem.prepare import prepare
    from ..resampling.bagging import bag as run

    check_saved(output)
    declared, where = load(problem), {"device": device, "precision": precision}
    ensemble = run(declared, optimizer, rate, members, epochs, schedule, batch_size, regularizer, seed, **where)
    scores = compared(ensemble, prepare(declared), mark("one member, on average"))
    unseen = dict(ensemble.out_of_bag)
    samples = int(unseen.pop("samples"))
    if unseen:
        scores[mark("out of the bag, on training samples")] = unseen
    words = say(
        "{name}: {members} models, each trained by {optimizer} at rate {rate:g} on a resample; "
        "{samples:,} training samples were left out by at least one of them.",
        name=ensemble.name,
        members=members,
        optimizer=optimizer,
        rate=rate,
        samples=samples,
    )
    show(ensemble, scores, words, output, json, out_of_bag={"samples": samples} | unseen)
