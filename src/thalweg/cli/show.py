"""`thalweg show`: the verdict of a study, also while it runs."""

from __future__ import annotations

from typing import Annotated

import typer

from .options import AnotherMargin, Json, Store

EXAMPLE = "Example: thalweg show runs/digits.db"


def show(
    store: Store,
    by: Annotated[
        str, typer.Option(help="What to rank: optimizer, schedule, batch_size, loss, or a hyperparameter.")
    ] = "optimizer",
    margin: AnotherMargin = None,
    by_metric: Annotated[
        str | None, typer.Option(help="Rank the chosen settings by another metric, e.g. accuracy, or f1:max.")
    ] = None,
    json: Json = False,
) -> None:
    """Print the verdict of a study; of what is finished so far, if it still runs."""
    from ..study.study import Study
    from .result import finish, share_of

    finish(Study.open(store), None, json, by, margin=None if margin is None else share_of(margin), by_metric=by_metric)
