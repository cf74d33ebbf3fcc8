"""`thalweg run`: any command as what is compared."""

from __future__ import annotations

from typing import Annotated

import typer

from . import options
from .compare import arguments, foresee

EXAMPLE = (
    'Example: thalweg run "python train.py --lr {lr} --opt {optimizer} --seed {seed}" --optimizers sgd,adamw '
    "--rates 1e-3,1e-2,1e-1"
)


def run(
    command: Annotated[
        str,
        typer.Argument(
            help="What a run calls, with {lr} and whatever else varies or is to be told: {optimizer}, {schedule}, "
            "{batch_size}, {seed}, {epochs}, hyperparameters of your own, and {out}, an empty folder of the run's own."
        ),
    ],
    optimizers: Annotated[str | None, typer.Option(help="Words for {optimizer}, separated by commas.")] = None,
    rates: options.Rates = "1e-4:1:5",
    schedules: options.Schedules = "constant,cosine",
    hyperparameters: options.Hyperparameters = None,
    batch_sizes: options.BatchSizes = None,
    seeds: options.Seeds = 3,
    epochs: Annotated[
        int | None,
        typer.Option(help="Reports of a run. 20 unless given where {epochs} is told; else 1: the last one counts."),
    ] = None,
    metric: Annotated[
        str, typer.Option(help="What runs are judged by, as the command says it: loss, val_acc, f1:max, …")
    ] = "loss",
    metric_file: Annotated[
        str | None,
        typer.Option(
            help="Where the command writes it, e.g. {out}/metrics.csv: CSV, JSON or lines of them; what it prints "
            "unless given."
        ),
    ] = None,
    at_once: Annotated[int | None, typer.Option(help="Runs at the same time; one for each core unless given.")] = None,
    confirmation: options.Confirmation = 5,
    grow: options.Grow = 2,
    refine: options.Refine = 1,
    search: options.Search = "grid",
    settings: options.Points = None,
    budget: options.Budget = "full",
    judge: options.Judge = "last",
    minutes: options.Minutes = None,
    until: options.Until = None,
    cluster: options.Cluster = None,
    store: options.StorePath = None,
    log: options.Log = None,
    report: options.Report = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Say how many runs there would be, the time and memory, for which the first is run, for a minute at "
            "most.",
        ),
    ] = False,
    yes: options.Yes = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Compare runs of any command: rates, optimizers and whatever else it is told, and say which are best.

    What a run comes to is read from what the command prints, a line such as val_loss=0.31 or an object of JSON, or from
    a file. The words of COMMAND are split as a shell splits them; for pipes and the like give sh -c "…".
    """
    words = dict(locals())
    from ..problem.command import command as made
    from ..problem.command import places_of
    from ..study.study import compare
    from .asking import asks
    from .result import check_report, finish

    loop = made(command, metric, metric_file, at_once=at_once)
    own = ("command", "metric", "metric_file", "at_once", "epochs")
    given = arguments({name: value for name, value in words.items() if name not in own})
    given["epochs"] = epochs or (20 if "epochs" in places_of(command) else 1)
    if dry_run:
        foresee(loop, given, json)
        return
    check_report(report)
    study = compare(loop, store=store, progress=False if quiet else None, ask=asks(yes, quiet), **given)
    finish(study, report, json)
