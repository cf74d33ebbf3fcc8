"""Asking before a command begins what takes long."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import typer

from ..language import say

if TYPE_CHECKING:
    from ..engine.forecast import Forecast


def asks(yes: bool, quiet: bool) -> Callable[[Forecast], bool] | None:
    """Whether to begin, asked on the terminal, as `tw.compare` takes it; None where there is none, which warns.

    Args:
        yes: the answer, where it was given beforehand.
        quiet: nothing is measured and asked.
    """
    if quiet or not (yes or (sys.stdin.isatty() and sys.stderr.isatty())):
        return None
    if yes:
        return lambda would: True
    return lambda would: typer.confirm(say("That is more than an hour. Begin?"), default=False, err=True)
