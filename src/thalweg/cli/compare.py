"""`thalweg compare`: the main job."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any

import typer

from . import options
from .settings import ENDING, write_settings
from .tables import Ignore, Loss, Metrics, Model, Raw, Target, Test, Validation, named

EXAMPLE = "Example: thalweg compare digits --optimizers sgd,adam --rates 1e-4:1:13 --report report.html"

# what is the command's, and not of the comparison
OWN = ("context", "problem", "problems", "store", "report", "dry_run", "yes", "json", "quiet")


def compare(
    context: typer.Context,
    problem: options.Compared,
    optimizers: Annotated[
        str | None,
        typer.Option(
            help="Names, adam(beta2=0.99) or file.py:formula, separated by commas; the eight classic ones unless given."
        ),
    ] = None,
    rates: options.RatesOrOwn = None,
    schedules: options.Schedules = "constant,cosine",
    seeds: options.Seeds = 5,
    epochs: Annotated[int, typer.Option(help="Passes over the training data.")] = 20,
    batch_size: options.BatchSize = 64,
    batch_sizes: options.BatchSizes = None,
    regularizers: Annotated[
        str | None, typer.Option(help='Names with their strength, e.g. none,mixup,"label_smoothing(0.1)+l2(1e-4)".')
    ] = None,
    losses: Annotated[
        str | None,
        typer.Option(
            help="Names or file.py:function to train with, separated by commas; the problem's own judges all."
        ),
    ] = None,
    hyperparameters: options.Hyperparameters = None,
    folds: Annotated[
        int | None, typer.Option(help="Cross-validate in that many folds of the training and validation samples.")
    ] = None,
    confirmation: options.Confirmation = 10,
    grow: options.Grow = 6,
    refine: options.Refine = 2,
    tune: Annotated[
        bool | None,
        typer.Option(
            "--tune/--no-tune",
            help="Try another weight decay and momentum around each best setting; unless told, where rates are refined "
            "and no hyperparameters are given.",
        ),
    ] = None,
    search: options.Search = "grid",
    settings: options.Points = None,
    budget: options.Budget = "full",
    by_metric: Annotated[
        str, typer.Option(help="Choose and rank by it: loss, accuracy, …; f1:max for a metric of your own.")
    ] = "loss",
    judge: options.Judge = "last",
    margin: options.Margin = "1%",
    groups: Annotated[
        str | None,
        typer.Option(
            help='Parameters with numbers of their own: "no decay on biases and norms", '
            '"*.bias: weight_decay=0; head.*: rate_factor=10; embed.*: frozen", or file.py:function.'
        ),
    ] = None,
    minutes: options.Minutes = None,
    until: options.Until = None,
    target: Target = None,
    model: Model = None,
    loss: Loss = None,
    metrics: Metrics = None,
    ignore: Ignore = None,
    validation: Validation = None,
    test: Test = None,
    raw: Raw = False,
    batched: Annotated[
        str,
        typer.Option(help="How members are trained: compiled, stacked, recomputed or alone; auto: as suits the model."),
    ] = "auto",
    device: options.Device = "auto",
    precision: options.Precision = "float32",
    cluster: options.Cluster = None,
    store: options.StorePath = None,
    log: options.Log = None,
    report: options.Report = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Say how many runs there would be, how they are trained, the time and memory."),
    ] = False,
    yes: options.Yes = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Train every optimizer at every rate under every schedule (and whatever else varies), and say which is best."""
    words = dict(locals())
    told = {name: value for name, value in words.items() if name != "context"}
    problem = named(problem, words)
    given = arguments(words)
    if dry_run:
        foresee(problem, given, json)
        return
    from ..study.study import compare as run
    from .asking import asks
    from .result import check_report, finish

    check_report(report)
    study = run(problem, store=store, progress=False if quiet else None, ask=asks(yes, quiet), **given)
    write_settings(context, told, OWN, study.path.with_suffix(ENDING))
    finish(study, report, json)


def foresee(problem: Any, given: Mapping[str, Any], json: bool) -> None:
    """Print what the study would take."""
    from ..study.forecast import forecast
    from .result import print_json

    would = forecast(problem, **given)
    if json:
        print_json(would.to_json())
    else:
        print(would)


def arguments(words: Mapping[str, Any]) -> dict[str, Any]:
    """Options of the command line as the arguments of `tw.compare`, without those that are None or a command's `OWN`.

    >>> arguments({"optimizers": "sgd,adam", "batch_sizes": "16,full", "epochs": 3, "losses": None, "quiet": True})
    {'optimizers': ['sgd', 'adam'], 'batch_sizes': [16, 'full'], 'epochs': 3}
    """
    from ..plan.plan import parse_rates
    from .result import batch_size_of, share_of, split, values_of

    read: dict[str, Callable[[Any], Any]] = dict.fromkeys(("optimizers", "schedules", "regularizers", "losses"), split)
    read |= {"rates": parse_rates, "hyperparameters": values_of, "margin": share_of}
    read |= {"batch_sizes": lambda sizes: [batch_size_of(size) for size in split(sizes)]}
    given = {name: value for name, value in words.items() if value is not None and name not in OWN}
    called = {"log": "callbacks"}  # of options that the library calls by another name
    return {called.get(name, name): read.get(name, lambda value: value)(value) for name, value in given.items()}
