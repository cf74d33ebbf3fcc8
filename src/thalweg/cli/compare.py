"""`thalweg compare`: the main job."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from .options import BatchSize, Json, Log, Problem, Quiet, Report, Yes
from .tables import Ignore, Loss, Metrics, Model, Raw, Target, Test, Validation, named

EXAMPLE = "Example: thalweg compare digits --optimizers sgd,adam --rates 1e-4:1:13 --report report.html"

# what is the command's, and not of the comparison
OWN = ("problem", "problems", "store", "report", "dry_run", "yes", "json", "quiet")


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
    refine: Annotated[int, typer.Option(help="Rounds that try two finer rates around each best one; 0 for none.")] = 2,
    tune: Annotated[
        bool | None,
        typer.Option(
            "--tune/--no-tune",
            help="Try another weight decay and momentum around each best setting; unless told, where rates are refined "
            "and no hyperparameters are given.",
        ),
    ] = None,
    search: Annotated[
        str,
        typer.Option(
            help="grid, or random or sobol: points between the lowest and the highest value of rates and "
            "hyperparameters, as many for every optimizer."
        ),
    ] = "grid",
    settings: Annotated[
        int | None, typer.Option(help="Points of a random or sobol search; at most 32 unless given.")
    ] = None,
    budget: Annotated[
        str, typer.Option(help="full, or halving: runs that cannot win any more are stopped early.")
    ] = "full",
    by_metric: Annotated[
        str, typer.Option(help="Choose and rank by it: loss, accuracy, …; f1:max for a metric of your own.")
    ] = "loss",
    judge: Annotated[
        str, typer.Option(help='The epochs that count: last, best (each run\'s own), or "average of the last 3".')
    ] = "last",
    groups: Annotated[
        str | None,
        typer.Option(
            help='Parameters with numbers of their own: "no decay on biases and norms", '
            '"*.bias: weight_decay=0; head.*: rate_factor=10; embed.*: frozen", or file.py:function.'
        ),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            help="The time it may take: halving, a coarser grid and fewer seeds, three at least, make it fit.",
            show_default=False,
        ),
    ] = None,
    until: Annotated[
        str | None, typer.Option(help="Instead, when it has to end, e.g. 18:00.", show_default=False)
    ] = None,
    target: Target = None,
    model: Model = None,
    loss: Loss = None,
    metrics: Metrics = None,
    ignore: Ignore = None,
    validation: Validation = None,
    test: Test = None,
    raw: Raw = False,
    batched: Annotated[
        bool | None,
        typer.Option(
            help="Train members compiled or batched, or one by one; what suits the model unless given.",
            show_default=False,
        ),
    ] = None,
    store: Annotated[
        Path | None, typer.Option(help="The file to keep the study in (runs/PROBLEM.db unless given).")
    ] = None,
    log: Log = None,
    report: Report = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Say how many runs there would be, how they are trained, the time and memory."),
    ] = False,
    yes: Yes = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train every optimizer at every rate under every schedule (and whatever else varies), and say which is best."""
    options = dict(locals())
    problem = named(problem, options)
    given = arguments(options)
    if dry_run:
        _foresee(problem, given, json)
        return
    from ..study.study import compare as run
    from .asking import asks
    from .result import check_report, finish

    check_report(report)
    study = run(problem, store=store, progress=False if quiet else None, ask=asks(yes, quiet), **given)
    finish(study, report, json)


def _foresee(problem: str, given: Mapping[str, Any], json: bool) -> None:
    """Print what the study would take."""
    from ..study.forecast import forecast
    from .result import print_json

    would = forecast(problem, **given)
    if json:
        print_json(would.to_json())
    else:
        print(would)


def arguments(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of the command line as the arguments of `tw.compare`, without those that are None or a command's `OWN`.

    >>> arguments({"optimizers": "sgd,adam", "batch_sizes": "16,full", "epochs": 3, "losses": None, "quiet": True})
    {'optimizers': ['sgd', 'adam'], 'batch_sizes': [16, 'full'], 'epochs': 3}
    """
    from ..plan.plan import parse_rates
    from .result import batch_size_of, split, values_of

    read: dict[str, Callable[[Any], Any]] = dict.fromkeys(("optimizers", "schedules", "regularizers", "losses"), split)
    read |= {"rates": parse_rates, "hyperparameters": values_of}
    read |= {"batch_sizes": lambda words: [batch_size_of(word) for word in split(words)]}
    given = {name: value for name, value in options.items() if value is not None and name not in OWN}
    called = {"log": "callbacks"}  # of options that the library calls by another name
    return {called.get(name, name): read.get(name, lambda value: value)(value) for name, value in given.items()}
