"""A training loop of the user's own, as what a study trains: `Loop`.

It stands where a prepared problem stands, and is all that is known: a function that is given a `Run` and reports to it.
Model, data and loss are its own affair. Read next: `run.py`.
"""

from __future__ import annotations

import hashlib
import inspect
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import ProblemError
from .source import importable, required_arguments, source_text


@dataclass(frozen=True, eq=False)
class Loop:
    """A function (run) → None that trains one member.

    Attributes:
        train: the function.
        name: what tables call the study.
        kind: "object", "file", "module" or "command": how it is found again.
        spec: the file.py:function, package.module:function or call of `command`.
        text: its source, or the command.
        workers: runs at once; None for as many as there are cores.
    """

    train: Callable[[Any], Any]
    name: str
    kind: str = "object"
    spec: str = ""
    text: str = field(default="", repr=False)
    workers: int | None = None

    @property
    def is_command(self) -> bool:
        return self.kind == "command"

    @property
    def what(self) -> str:
        """What sentences call it."""
        return "a command" if self.is_command else "a training loop of your own"

    @property
    def fingerprint(self) -> str:
        """Of its name, and not of its text: a loop that fails is repaired, and its study goes on."""
        command = [self.text] if self.is_command else []
        return hashlib.sha256("\n".join(["loop", self.name, *command]).encode()).hexdigest()

    def importable(self) -> AbstractContextManager[None]:
        """A file's folder on the import path, for what the function imports when it is called."""
        folder = Path(self.spec.rpartition(":")[0]).expanduser().resolve().parent
        if self.kind != "file" or str(folder) in sys.path:
            return nullcontext()
        return importable(folder, forget=False)


def takes_run(thing: Any) -> bool:
    """Whether it is a function that must be given one argument, as a loop is.

    >>> takes_run(lambda run: None), takes_run(lambda: None), takes_run(lambda run, data=None: None)
    (True, False, True)
    """
    return callable(thing) and not inspect.isclass(thing) and required_arguments(thing) == 1


def loop_of(train: Callable[[Any], Any]) -> Loop:
    """A user's function as a loop.

    Raises:
        ProblemError: it cannot be called with a run alone.
    """
    name = getattr(train, "__name__", type(train).__name__)
    if not takes_run(train):
        raise ProblemError(
            "{loop} is not a training loop: give a function of one argument, def train(run: tw.Run), or a tw.Problem.",
            loop=name,
        )
    return Loop(train, name.strip("<>"), text=source_text(train))
