"""`thalweg compare`: the main job."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import BatchSize, Json, Problem, Quiet, Report

EXAMPLE = "Example: thalweg compare digits --optimizers sgd,adam --rates 1e-4:1:13 --report report.html"


def compare(
    problem: Problem,
    optimizers: Annotated[
        str | None,
        typer.Option(
            help="Names, adam(beta2=0.99) or file.py:formula, separated by commas; the eight classic ones unless given."
        ),
    ] = None,
    rates: Annotated[str, typer.Option(help="LOW:HIGH:COUNT on a logarithmic axis, or a list.")] = "1e-4:1:13",
    schedules: Annotated[str, typer.Option(help="Names, separated by commas.")] = "constant,cosine",
    seeds: Annotated[int, typer.Option(help="Runs of every setting.")] = 5,
    epochs: Annotated[int, typer.Option(help="Passes over the training data.")] = 20,
    batch_size: BatchSize = 64,
    batch_sizes: Annotated[
        str | None, typer.Option(help="Several to compare, e.g. 1,16,64,full; each has the same number of epochs.")
    ] = None,
    regularizers: Annotated[
        str | None, typer.Option(help='Names with their strength, e.g. none,mixup,"label_smoothing(0.1)+l2(1e-4)".')
    ] = None,
    losses: Annotated[
        str | None,
        typer.Option(
            help="Names or file.py:function to train with, separated by commas; the problem's own judges all."
        ),
    ] = None,
    hyperparameters: Annotated[
        list[str] | None, typer.Option(help="NAME=VALUE,VALUE, e.g. weight_decay=0,1e-4; may be given several times.")
    ] = None,
    folds: Annotated[
        int | None, typer.Option(help="Cross-validate in that many folds of the training and validation samples.")
    ] = None,
    confirmation: Annotated[
        int, typer.Option(help="Fresh seeds for each chosen setting; 0 leaves the test part untouched.")
    ] = 10,
    grow: Annotated[
        int, typer.Option(help="Rates to add on each side, at most, where a best rate lies on the edge of the grid.")
    ] = 6,
    budget: Annotated[
        str, typer.Option(help="full, or halving: runs that cannot win any more are stopped early.")
    ] = "full",
    batched: Annotated[
        bool | None,
        typer.Option(
            help="Train members in batched programs, or one by one; what suits the model unless given.",
            show_default=False,
        ),
    ] = None,
    store: Annotated[
        Path | None, typer.Option(help="The file to keep the study in (runs/PROBLEM.db unless given).")
    ] = None,
    report: Report = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train every optimizer at every rate under every schedule (and whatever else varies), and say which is best."""
    from ..plan.plan import parse_rates
    from ..study.study import compare as run
    from .result import batch_size_of, check_report, finish, split, values_of

    check_report(report)
    study = run(
        problem,
        optimizers=None if optimizers is None else split(optimizers),
        rates=parse_rates(rates),
        schedules=split(schedules),
        seeds=seeds,
        epochs=epochs,
        batch_size=batch_size,
        confirmation=confirmation,
        store=store,
        regularizers=None if regularizers is None else split(regularizers),
        losses=None if losses is None else split(losses),
        batch_sizes=None if batch_sizes is None else [batch_size_of(word) for word in split(batch_sizes)],
        hyperparameters=values_of(hyperparameters or []),
        folds=folds,
        budget=budget,
        grow=grow,
        batched="auto" if batched is None else batched,
        progress=False if quiet else None,
    )
    finish(study, report, json)
