"""`thalweg report`: the study as one HTML file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..language import say
from .options import AnotherMargin, Store

EXAMPLE = "Example: thalweg report runs/digits.db -o report.html"


def report(
    store: Store,
    output: Annotated[Path, typer.Option("--output", "-o", help="Where to write it.")] = Path("report.html"),
    margin: AnotherMargin = None,
) -> None:
    """Write the report of a study: one HTML file that needs nothing else."""
    from ..study.study import Study
    from .result import check_report, share_of

    check_report(output)
    print(
        say("report: {report}", report=Study.open(store).report(output, None if margin is None else share_of(margin)))
    )
