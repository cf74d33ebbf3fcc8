"""`thalweg resume`: carry a stopped study on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .trust import Trust, ask

EXAMPLE = "Example: thalweg resume runs/digits.db"


def resume(
    store: Annotated[Path, typer.Argument(help="The store of the study.")],
    report: Annotated[Path | None, typer.Option(help="Write the report here when done.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
    trust: Trust = False,
) -> None:
    """Carry a stopped study on; the results are those of one that never stopped."""
    from ..study.study import Study
    from ..study.study import resume as run
    from .result import check_report, finish

    check_report(report)
    if not (study := Study.open(store)).finished:
        ask(study, trust)
    finish(run(store, progress=False if quiet else None), report, json)
