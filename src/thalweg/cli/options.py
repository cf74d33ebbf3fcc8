"""Arguments and options that several commands have, each declared once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Store = Annotated[Path, typer.Argument(help="The store of the study.")]
Problem = Annotated[
    str,
    typer.Argument(
        help="A built-in problem (see `thalweg problems`), file.py:function or package.module:function, also of a "
        "training loop, def train(run); or a table, data.csv with --target, elsewhere "
        "\"table('data.csv', target='column')\"."
    ),
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
        "times.",
        show_default=False,
    ),
]
