"""Every error thalweg raises on purpose.

    ThalwegError
    ├── UsageError        invalid request                       exit status 2
    │   ├── ExpressionError   a text that is not a formula of calculus, or one beyond the bounds
    │   ├── FormulaError      a formula that is not an update rule
    │   ├── PlanError         a study that cannot be planned: unknown names, empty grids
    │   ├── ProblemError      a problem whose parts do not fit together
    │   └── SurfaceError      an invalid surface, or place on it
    └── WorkError         a valid request failed                exit status 1
        ├── StoreError        a store that cannot be read or written
        └── TrainingError     the model or the data failed while training
            └── BatchingError     the model cannot be trained as a population

A message says what was given, what is allowed and what to do, in one sentence, and is said in the chosen language with
its values, as `language.say` does. A run that diverges is not an error but a status of its member.
"""

from __future__ import annotations

import os
import sys
import traceback
from typing import Any

from .language import say


class ThalwegError(Exception):
    """Base of every error raised on purpose; `exit_status` is what the command line returns."""

    exit_status = 1

    def __init__(self, message: str = "", /, **values: Any) -> None:
        super().__init__(say(message, **values))


class UsageError(ThalwegError, ValueError):
    """An invalid request."""

    exit_status = 2


class ExpressionError(UsageError):
    """A user's expression that cannot be read, is beyond the bounds, or has no such derivative or minimum."""


class FormulaError(UsageError):
    """A formula that is not an update rule, or whose shapes do not fit."""


class PlanError(UsageError):
    """A study that cannot be planned."""


class ProblemError(UsageError):
    """A problem whose model, data, loss and metrics do not fit together."""


class SurfaceError(UsageError):
    """A surface, a start on it or a way down it that is invalid."""


class WorkError(ThalwegError):
    """A valid request that failed."""


class StoreError(WorkError):
    """A store that cannot be read or written; it is left as it was."""


class TrainingError(WorkError):
    """The model or the data failed while training."""


class BatchingError(TrainingError):
    """The model cannot be trained as a population; one by one its members can."""


def short(text: str) -> str:
    """At most 60 characters of what was given, for a message."""
    return text if len(text) <= 60 else text[:60] + "…"


def first_line(error: BaseException) -> str:
    """The first line of an error's message, without its full stop; the error's type where it has none."""
    return next(iter(str(error).strip().splitlines()), "").rstrip(" .:") or type(error).__name__


_NOT_THEIRS = (os.path.dirname(os.path.abspath(__file__)) + os.sep, sys.base_prefix + os.sep, "<")


def line_of(error: BaseException) -> str:
    """The last line of the user's own code that an error came through, as words that follow."""
    places = [(frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(error.__traceback__)]
    theirs = [place for place in places if not (place[0].startswith(_NOT_THEIRS) or "site-packages" in place[0])]
    return " at {}, line {}".format(*theirs[-1]) if theirs else ""


def raised(error: BaseException) -> str:
    """What a user's own code raised: the error's type, its first line, and the place, as words after "fails with"."""
    return f"{type(error).__name__} ({first_line(error)}){line_of(error)}"
