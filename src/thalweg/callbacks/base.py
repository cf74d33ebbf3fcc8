"""What a callback is, and what a tool that keeps runs has to offer; an audience of callbacks that can harm no study."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any, Protocol, runtime_checkable

import pandas as pd

from ..engine.messages import Job, Passed
from ..errors import WorkError, first_line, line_of
from ..results import Results


class Callback:
    """Hears of a study while it runs; a class of your own has those of these methods that it needs.

    What a callback raises is said in one note, and the study goes on without it. All calls come from one thread, after
    the store has what they tell of. A study that is resumed begins again.

    >>> import thalweg as tw, tempfile
    >>> class Count(tw.callbacks.Callback):
    ...     runs = 0
    ...     def passed(self, job, event):
    ...         self.runs += len(job.settings) * event.finished
    >>> count = Count()
    >>> _ = tw.compare("breast-cancer", ["sgd", "adam"], [0.1], ["constant"], seeds=2, epochs=2, confirmation=3,
    ...                store=tempfile.mkdtemp() + "/a.db", progress=False, callbacks=[count])
    >>> count.runs
    16
    """

    def begin(self, study: Results) -> None:
        """Training begins, or goes on from what the study has already."""

    def passed(self, job: Job, event: Passed) -> None:
        """The runs of a block have passed over the data once more.

        Args:
            job: `stage`, `seed`, `fold`, and `settings`, one for each run of the block.
            event: `step`, and `values`: metric → (runs,), in the order of the settings; `finished` at their end.
        """

    def end(self, study: Results) -> None:
        """Nothing is trained any more: `study.finished`, or it was stopped."""


class Run(Protocol):
    """A run in a tool's books."""

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Points of its curves; all are finite numbers."""
        ...

    def summary(self, values: Mapping[str, Any]) -> None:
        """What came of it: numbers, words, and truth values by their names."""
        ...

    def table(self, name: str, rows: pd.DataFrame) -> None: ...

    def text(self, name: str, words: str) -> None: ...

    def close(self, finished: bool) -> None:
        """Nothing more will be told; if it is not finished, a resumed study goes on with the same run."""
        ...


@runtime_checkable
class Tool(Protocol):
    """Something that keeps runs."""

    def run(self, study: str, key: str, name: str | None, config: Mapping[str, Any]) -> Run:
        """A new run, or the one of this study and name that a session before began.

        Args:
            study: its name; `key` is of this study alone.
            name: of a setting; None for the run of the whole study, which is asked for first.
            config: plain values.
        """
        ...


class Audience:
    """Callbacks of a study, each of which is left out from the first error on.

    Attributes:
        failures: what was said of each that failed.
    """

    def __init__(self, callbacks: Sequence[Callback], note: Callable[[str], None]) -> None:
        self._callbacks, self._note = list(callbacks), note
        self.failures: list[str] = []

    def begin(self, study: Results) -> None:
        self._tell("begin", study)

    def passed(self, job: Job, event: Passed) -> None:
        self._tell("passed", job, event)

    def end(self, study: Results) -> None:
        self._tell("end", study)

    def _tell(self, what: str, *about: Any) -> None:
        for one in [*self._callbacks]:
            try:
                getattr(one, what)(*about)
            except Exception as error:  # whatever a tool, its network or a user's callback may raise
                self._callbacks.remove(one)
                said = first_line(error).partition(". ")[0]
                failed = f"{one} failed with {type(error).__name__} ({said}){line_of(error)}"
                self.failures.append(f"{failed}; the study goes on without it.")
                self._note(self.failures[-1])


def check_installed(package: str, tool: str, extra: str) -> None:
    """Refuse a tool whose package is missing."""
    try:
        import_module(package)
    except ModuleNotFoundError as error:
        words = f"{tool} needs the package {package}; run pip install '{extra}', or leave it out."
        raise WorkError(words) from error
