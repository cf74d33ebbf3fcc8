"""Asking before a command begins what takes long, or runs code that a store names."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from ..language import say

if TYPE_CHECKING:
    from ..engine.forecast import Forecast
    from ..results import Results

Trust = Annotated[bool, typer.Option("--trust", help="Run files and modules that the store names, without a question.")]


def asks(yes: bool, quiet: bool) -> Callable[[Forecast], bool] | None:
    """Whether to begin, asked on the terminal, as `tw.compare` takes it; None where there is none, which warns.

    Args:
        yes: the answer, where it was given beforehand.
        quiet: nothing is measured and asked.
    """
    if quiet or not (yes or (sys.stdin.isatty() and sys.stderr.isatty())):
        return None
    return lambda would: yes or _asked(say("That is more than an hour. Begin?"))


def ask_to_run(results: Results, trust: bool) -> None:
    """Remember what the store names as trusted, after a yes; without a terminal to ask on, loading is refused."""
    from ..problem.trust import remember, unknown

    for spec in results.specs if trust else unknown(results.specs):
        question = say(
            "{path} names {spec}, which never ran on this machine as it is now. Run it?", path=results.path, spec=spec
        )
        if trust or (sys.stdin.isatty() and _asked(question)):
            remember([spec])


def _asked(question: str) -> bool:
    return typer.confirm(question, default=False, err=True)
