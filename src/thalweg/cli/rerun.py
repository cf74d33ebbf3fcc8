"""`thalweg rerun`: run a study again, and see whether it comes out the same."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .asking import Trust, ask_to_run
from .options import Cluster, Json, Log, Quiet

EXAMPLE = "Example: thalweg rerun runs/digits.db"


def rerun(
    store: Annotated[Path, typer.Argument(help="The store of the study to repeat.")],
    into: Annotated[
        Path | None, typer.Option("--store", help="The file to keep the new study in (STORE-rerun.db unless given).")
    ] = None,
    cluster: Cluster = None,
    log: Log = None,
    json: Json = False,
    quiet: Quiet = False,
    trust: Trust = False,
) -> None:
    """Run a study again from its store, and say whether the verdict and every curve are the same.

    The exit status is 1 if the verdict is another.
    """
    from ..study.rerun import rerun as run
    from ..study.study import Study
    from .result import finish

    if (study := Study.open(store)).finished:
        ask_to_run(study, trust)
    result = run(store, into, progress=False if quiet else None, callbacks=log, cluster=cluster)
    finish(result.study, None, json, rerun=result)
    if not result.same_verdict:
        raise typer.Exit(1)
