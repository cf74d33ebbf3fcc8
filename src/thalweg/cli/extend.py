"""`thalweg extend`: more evidence in the same store."""

from __future__ import annotations

from typing import Annotated

import typer

from .options import Json, Quiet, Report, Store
from .trust import Trust, ask

EXAMPLE = "Example: thalweg extend runs/digits.db --seeds 20"


def extend(
    store: Store,
    seeds: Annotated[int, typer.Option(help="How many more fresh seeds, for every setting that was confirmed.")] = 10,
    report: Report = None,
    json: Json = False,
    quiet: Quiet = False,
    trust: Trust = False,
) -> None:
    """Run the chosen settings with more fresh seeds, and give the verdict over all of them.

    Each further look is tested at a smaller level, so that looking again stays within 5%.
    """
    from ..study.study import Study
    from .result import check_report, finish

    check_report(report)
    study = Study.open(store)
    ask(study, trust)
    finish(study.extend(seeds, progress=False if quiet else None), report, json)
