"""`thalweg export`: a study's runs and curves for other tools."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..language import say
from .options import Store

EXAMPLE = "Example: thalweg export runs/digits.db -o runs.parquet"


def export(
    store: Store,
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", help="A .parquet or .csv file, or a folder for TensorBoard; nothing is replaced."
        ),
    ],
) -> None:
    """Write the runs and curves of a study as Parquet, CSV, or TensorBoard's event files."""
    from ..study.study import Study

    written = Study.open(store).export(output)
    if len(written) == 1:
        print(say("runs: {written} (look at them with `tensorboard --logdir {written}`)", written=written[0]))
    else:
        print(say("runs: {written}\ncurves: {curves}", written=written[0], curves=written[1]))
