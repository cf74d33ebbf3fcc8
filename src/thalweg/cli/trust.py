"""Asking before a command runs code that a store names."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from ..language import say

if TYPE_CHECKING:
    from ..results import Results

Trust = Annotated[bool, typer.Option("--trust", help="Run files and modules that the store names, without a question.")]


def ask(results: Results, trust: bool) -> None:
    """Remember what the store names as trusted, after a yes; without a terminal to ask on, loading is refused."""
    from ..problem.trust import remember, unknown

    for spec in results.specs if trust else unknown(results.specs):
        question = say(
            "{path} names {spec}, which never ran on this machine as it is now. Run it?", path=results.path, spec=spec
        )
        if trust or (sys.stdin.isatty() and typer.confirm(question, default=False, err=True)):
            remember([spec])
