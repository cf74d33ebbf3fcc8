"""`thalweg show`: the verdict of a study, also while it runs."""

from __future__ import annotations

from typing import Annotated

import typer

from ..verdict.margin import MARGIN
from .options import Json, Store

EXAMPLE = "Example: thalweg show runs/digits.db"


def show(
    store: Store,
    by: Annotated[
        str, typer.Option(help="What to rank: optimizer, schedule, batch_size, loss, or a hyperparameter.")
    ] = "optimizer",
    margin: Annotated[
        float, typer.Option(help="The share of the best value up to which differences do not matter.")
    ] = MARGIN,
    by_metric: Annotated[
        str | None, typer.Option(help="Rank the chosen settings by another metric, e.g. accuracy, or f1:max.")
    ] = None,
    json: Json = False,
) -> None:
    """Print the verdict of a study; of what is finished so far, if it still runs."""
    from ..study.study import Study
    from .result import finish

    finish(Study.open(store), None, json, by, margin=margin, by_metric=by_metric)
