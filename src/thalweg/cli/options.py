"""Arguments and options that several commands have, each declared once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .settings import read_settings

Store = Annotated[Path, typer.Argument(help="The store of the study.")]
Problem = Annotated[
    str,
    typer.Argument(
        help="A built-in problem (see `thalweg problems`), file.py:function or package.module:function, also of a "
        "training loop, def train(run); or a table, data.csv with --target, elsewhere "
        "\"table('data.csv', target='column')\"."
    ),
]
Compared = Annotated[
    str,
    typer.Argument(
        help="A built-in problem (see `thalweg problems`), file.py:function or package.module:function, also of a "
        "training loop, def train(run); a table, data.csv with --target; or study.toml, the options of a study.",
        is_eager=True,
        callback=read_settings,
    ),
]
Bounds = Annotated[
    str | None,
    typer.Option(help="Between which values, e.g. -3:3, or one for each variable: -3:3,-1:4. Also written -3,3;-1,4."),
]
BatchSize = Annotated[int, typer.Option(help="Samples per step; a DataLoader has its own.")]
Report = Annotated[Path | None, typer.Option(help="Write the report here when done.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Everything = Annotated[bool, typer.Option("--json", help="Print everything as JSON.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Begin without a question, however long it takes.")]
Log = Annotated[
    list[str] | None,
    typer.Option(
        help="tensorboard:DIR, mlflow:URI or wandb:PROJECT, told of the study while it runs; may be given several "
        "times."
    ),
]
Device = Annotated[
    str,
    typer.Option(
        help="Where members are trained: cpu, cuda (all GPUs), cuda:1 (one of them), or auto: GPUs where there are any."
    ),
]
Cluster = Annotated[
    str | None,
    typer.Option(
        help="A Ray cluster that trains: auto, the one that this machine belongs to; HOST:PORT of its head; or local."
    ),
]
Precision = Annotated[
    str,
    typer.Option(help="Of the model's products: float32, tf32 (on GPUs) or bf16; weights and updates stay float32."),
]
Rates = Annotated[str, typer.Option(help="LOW:HIGH:COUNT on a logarithmic axis, or a list.")]
RatesOrOwn = Annotated[
    str | None,
    typer.Option(
        help="LOW:HIGH:COUNT on a logarithmic axis, or a list, the same for all; unless given 1e-4:1:13, moved by "
        "whole decades for an optimizer whose default lies further out."
    ),
]
Schedules = Annotated[str, typer.Option(help="Names, separated by commas.")]
Seeds = Annotated[int, typer.Option(help="Runs of every setting.")]
BatchSizes = Annotated[
    str | None, typer.Option(help="Several to compare, e.g. 1,16,64,full; each has the same number of epochs.")
]
Hyperparameters = Annotated[
    list[str] | None, typer.Option(help="NAME=VALUE,VALUE, e.g. weight_decay=0,1e-4; may be given several times.")
]
Confirmation = Annotated[
    int, typer.Option(help="Fresh seeds for each chosen setting; 0 leaves the test part untouched.")
]
Grow = Annotated[
    int, typer.Option(help="Rates to add on each side, at most, where a best rate lies on the edge of the grid.")
]
Refine = Annotated[int, typer.Option(help="Rounds that try two finer rates around each best one; 0 for none.")]
Search = Annotated[
    str,
    typer.Option(
        help="grid, or random or sobol: points between the lowest and the highest value of rates and "
        "hyperparameters, as many for every optimizer."
    ),
]
Points = Annotated[int | None, typer.Option(help="Points of a random or sobol search; at most 32 unless given.")]
Budget = Annotated[str, typer.Option(help="full, or halving: runs that cannot win any more are stopped early.")]
Judge = Annotated[
    str, typer.Option(help='The epochs that count: last, best (each run\'s own), or "average of the last 3".')
]
Margin = Annotated[
    str, typer.Option(help="The share of the best value up to which differences do not matter, e.g. 0.02 or 2%.")
]
AnotherMargin = Annotated[
    str | None,
    typer.Option("--margin", help="Another share than the study's up to which differences do not matter, e.g. 2%."),
]
StorePath = Annotated[Path | None, typer.Option(help="The file to keep the study in (runs/PROBLEM.db unless given).")]
Minutes = Annotated[
    float | None,
    typer.Option(help="The time it may take: halving, a coarser grid and fewer seeds, three at least, make it fit."),
]
Until = Annotated[str | None, typer.Option(help="Instead, when it has to end, e.g. 18:00.")]
