"""`thalweg rank`: the verdict on a table of runs made elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from .options import Json, Margin, Report

if TYPE_CHECKING:
    from ..ranking.rank import RankedRuns

EXAMPLE = "Example: thalweg rank runs.csv --by optimizer --metric val_loss --seed seed --report runs.html"
_NONE = "none"


def rank(
    runs: Annotated[
        str,
        typer.Argument(
            help="A row for each run, or for each of its epochs, of which the last counts: a .csv, .tsv, .parquet, "
            ".jsonl or .ndjson file, or - for stdin."
        ),
    ],
    by: Annotated[
        str | None,
        typer.Option("--by", "--candidates", help="The column whose values are compared, or several with commas."),
    ] = None,
    metric: Annotated[
        str | None, typer.Option(help="The column that judges; f1:max and bits:min say which values are better.")
    ] = None,
    maximize: Annotated[
        bool | None, typer.Option("--maximize/--minimize", help="Whether higher values are better.")
    ] = None,
    seed: Annotated[str | None, typer.Option(help="The column of seeds; none if there is none.")] = None,
    settings: Annotated[
        str | None, typer.Option(help="The columns that tell settings apart, separated by commas.")
    ] = None,
    status: Annotated[str | None, typer.Option(help="The column that says how a run ended; none for none.")] = None,
    confirmation: Annotated[
        str | None, typer.Option(help="The column that is true for runs that played no part in choosing settings.")
    ] = None,
    margin: Margin = "1%",
    report: Report = None,
    json: Json = False,
) -> None:
    """Say which candidate of a table of finished runs is best, and how sure that is.

    The exports of Optuna, W&B, MLflow and Ray Tune are read as they are; columns that are not named are guessed, and
    the first line printed says how.
    """
    from ..ranking.rank import rank as run
    from .result import check_report, give, share_of

    check_report(report)
    result = run(
        runs,
        None if by is None else _listed(by),
        metric,
        maximize=maximize,
        seed=_column(seed),
        settings=None if settings is None else _listed(settings),
        status=_column(status),
        confirmation=_column(confirmation),
        margin=share_of(margin),
    )
    give(result, report, json, _print)


def _listed(names: str) -> list[str]:
    return [name.strip() for name in names.split(",")]


def _column(name: str | None) -> str | Literal[False] | None:
    return False if name == _NONE else name


def _print(result: RankedRuns) -> None:
    """How the table was read, the answer, the ranking, and notes."""
    from .listing import terminal
    from .result import show_table

    console = terminal()
    console.print()
    console.print(result.columns.sentence, style="dim")
    console.print()
    console.print(result.sentence, style="bold")
    console.print()
    for section in result.sections():
        if section.name == "ranking":
            show_table(section, console)
    for note in result.notes:
        console.print(f"· {note}", style="dim")
