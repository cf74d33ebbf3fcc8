"""Options for a problem that is a table, and the text that they make of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

PANEL = "A table as problem"


def _option(words: str, *names: str) -> Any:
    return typer.Option(*names, help=words, rich_help_panel=PANEL)


Target = Annotated[
    str | None,
    _option(
        "The column of PROBLEM, a .csv, .tsv or .parquet file, that is to be learned; numbers are filled and scaled, "
        "words one-hot encoded."
    ),
]
Model = Annotated[str | None, _option('mlp (unless given), "mlp(width=64, layers=2)" or linear.')]
Loss = Annotated[
    str | None,
    _option("That trains and judges; cross_entropy for words and few whole numbers, mse of scaled targets otherwise."),
]
Metrics = Annotated[str | None, _option("Names, separated by commas; accuracy or r2 unless given.")]
Ignore = Annotated[str | None, _option("Columns to leave out, separated by commas.")]
Validation = Annotated[Path | None, _option("A file with validation rows; 20% of the others unless given.")]
Test = Annotated[Path | None, _option("A file with test rows; 20% of the others unless given.")]
Raw = Annotated[bool, _option("Take columns of numbers as they are, without preprocessing.", "--raw")]
OPTIONS = ("target", "model", "loss", "metrics", "ignore", "validation", "test", "raw")


def named(problem: str, options: dict[str, Any]) -> str:
    """The problem's text, with what `OPTIONS` of a command were given of a table; they are taken out of `options`.

    Raises:
        UsageError: options for a table, and the problem is not one.
    """
    from ..calls import write
    from ..errors import UsageError
    from ..problem.of_table import SUFFIXES, is_table_spec
    from .result import split

    given = {name: value for name in OPTIONS if (value := options.pop(name)) not in (None, False)}
    if not given:
        return problem
    if not is_table_spec(problem) or problem.startswith("table("):
        raise UsageError(
            f"--{next(iter(given))} is for a table, and {problem!r} is not a file that ends in {', '.join(SUFFIXES)}."
        )
    if "target" not in given:
        raise UsageError(f"--{next(iter(given))} asks for --target, the column of {problem} that is to be learned.")
    given = {name: tuple(split(v)) if name in ("metrics", "ignore") else v for name, v in given.items()}
    given = {name: str(v) if isinstance(v, Path) else v for name, v in given.items()}
    if given.pop("raw", False):
        given["preprocess"] = None
    return write("table", given, problem)
