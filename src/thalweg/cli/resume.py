"""`thalweg resume`: carry a stopped study on."""

from __future__ import annotations

from typing import Annotated

import typer

from .asking import Trust, ask_to_run
from .options import Cluster, Json, Log, Quiet, Report, Store

EXAMPLE = "Example: thalweg resume runs/digits.db"


def resume(
    store: Store,
    device: Annotated[
        str | None, typer.Option(help="cpu, cuda, cuda:1 or auto; the one it was begun on unless given.")
    ] = None,
    cluster: Cluster = None,
    log: Log = None,
    report: Report = None,
    json: Json = False,
    quiet: Quiet = False,
    trust: Trust = False,
) -> None:
    """Carry a stopped study on; the results are those of one that never stopped."""
    from ..study.study import Study
    from ..study.study import resume as run
    from .result import check_report, finish

    check_report(report)
    if not (study := Study.open(store)).finished:
        ask_to_run(study, trust)
    progress = False if quiet else None
    finish(run(store, progress=progress, callbacks=log, device=device, cluster=cluster), report, json)
