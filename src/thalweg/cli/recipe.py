"""`thalweg recipe`: the winner as plain PyTorch."""

from __future__ import annotations

from typing import Annotated

import typer

from .options import Store

EXAMPLE = "Example: thalweg recipe runs/digits.db > train.py"


def recipe(
    store: Store,
    optimizer: Annotated[str | None, typer.Option(help="Another optimizer of the study than the best.")] = None,
    seed: Annotated[int, typer.Option(help="Whose initial weights and batch order to repeat.")] = 0,
) -> None:
    """Print a runnable plain-PyTorch script that trains with the winning setting."""
    from ..results import Results

    print(Results.open(store).recipe(optimizer, seed).code, end="")
