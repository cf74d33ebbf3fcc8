"""`thalweg extend`: more evidence in the same store."""

from __future__ import annotations

from typing import Annotated

import typer

from .asking import Trust, ask_to_run
from .options import Cluster, Json, Log, Quiet, Report, Store

EXAMPLE = "Example: thalweg extend runs/digits.db --seeds 20"


def extend(
    store: Store,
    seeds: Annotated[int | None, typer.Option(help="How many more fresh seeds; 10 if nothing is asked for.")] = None,
    samples: Annotated[
        int | None,
        typer.Option(
            help="Until so many samples judge: parts of the training samples change places with the validation part, "
            "one after the other. The test part stays untouched."
        ),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(
            help="Run the chosen settings to so many epochs, from the same seeds; schedules are those of a run that "
            "long, and the verdict is then at so many."
        ),
    ] = None,
    cluster: Cluster = None,
    log: Log = None,
    report: Report = None,
    json: Json = False,
    quiet: Quiet = False,
    trust: Trust = False,
) -> None:
    """Give the chosen settings more fresh seeds, more samples to be judged on, or more epochs, in the same store.

    The verdict is then over all of them. Each further look is tested at a smaller level, so that looking again stays
    within 5%.
    """
    from ..study.study import Study
    from .result import check_report, finish

    check_report(report)
    study = Study.open(store)
    ask_to_run(study, trust)
    more = study.extend(seeds, samples, epochs, progress=False if quiet else None, callbacks=log, cluster=cluster)
    finish(more, report, json)
