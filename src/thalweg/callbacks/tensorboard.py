"""TensorBoard's event files, written as a study runs, or of one that has ended."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ..errors import WorkError
from .base import check_installed

MOST_ROWS = 500  # of a table, which TensorBoard shows as text
_PLAIN = str | int | float | bool


class EventFile:
    """A file of events, TensorBoard's `Run`; what is written is in it at once.

    Args:
        path: a new file.
        time: in seconds, of all that is written; the present unless given.

    Raises:
        ModuleNotFoundError: the package tensorboard is missing.
    """

    def __init__(self, path: Path, time: float | None = None) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.summary.writer.record_writer import RecordWriter

        self._event, self._time, self._stream = Event, time, path.open("xb")
        self._writer = RecordWriter(self._stream)
        self._write(file_version="brain.Event:2")

    def _write(self, **content: Any) -> None:
        now = time.time() if self._time is None else self._time
        self._writer.write(self._event(wall_time=now, **content).SerializeToString())
        self._stream.flush()

    def hyperparameters(self, name: str, setting: Mapping[str, Any]) -> None:
        """What tells a run from others, on TensorBoard's page HParams."""
        from tensorboard.plugins.hparams.summary_v2 import hparams_pb

        values = {k: v if isinstance(v, _PLAIN) else str(v) for k, v in setting.items()}
        start = time.time() if self._time is None else self._time
        self._write(summary=hparams_pb(values, trial_id=name, start_time_secs=start))

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        from tensorboard.compat.proto.summary_pb2 import Summary

        if values:
            points = [Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]
            self._write(step=step, summary=Summary(value=points))

    def summary(self, values: Mapping[str, Any]) -> None:
        numbers = {k: float(v) for k, v in values.items() if isinstance(v, int | float) and not isinstance(v, bool)}
        self.scalars(0, {f"result/{name}": value for name, value in numbers.items()})

    def table(self, name: str, rows: pd.DataFrame) -> None:
        cells = [[*rows.columns], ["---"] * rows.shape[1], *rows[:MOST_ROWS].to_numpy(object).tolist()]
        self.text(name, "\n".join(f"| {' | '.join(map(_cell, row))} |" for row in cells))

    def text(self, name: str, words: str) -> None:
        """Markdown, on TensorBoard's page Text."""
        from tensorboard.plugins.text.summary_v2 import text_pb

        self._write(summary=text_pb(name, words))

    def close(self, finished: bool = True) -> None:
        self._stream.close()


def folder_name(words: str) -> str:
    """As file systems allow it.

    >>> folder_name("adam(beta2=0.99) lr=0.01 file/with:odd*letters")
    'adam(beta2=0.99) lr=0.01 file-with-odd-letters'
    """
    return re.sub(r"[^\w.,=()+ -]", "-", words)[:180]


@dataclass(frozen=True)
class TensorBoard:
    """Event files for TensorBoard, in ``<folder>/<study>-<key>/<setting>``, for `compare(callbacks=…)`.

    Curves of every confirmed setting with its values as hyperparameters (page HParams); the search's best so far, the
    verdict and the best 500 runs in the run "study". ``tensorboard --logdir FOLDER`` shows it, also while it runs.

    Args:
        folder: made unless it is there.

    Raises:
        WorkError: the package tensorboard is missing.

    >>> TensorBoard("runs/tb")
    TensorBoard(folder='runs/tb')
    """

    folder: str | Path

    def __post_init__(self) -> None:
        check_installed("tensorboard", "logging for TensorBoard", "thalweg[export]")

    def run(self, study: str, key: str, name: str | None, config: Mapping[str, Any]) -> EventFile:
        place = Path(self.folder) / folder_name(f"{study}-{key[:6]}") / folder_name(name or "study")
        try:
            place.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WorkError(f"{place} cannot be written: {error.strerror or error}") from error
        now = time.time_ns()  # a resumed study writes a further file beside the one before
        events = EventFile(place / f"events.out.tfevents.{now // 10**9}.{now % 10**9:09}.{os.getpid()}.thalweg")
        if name is not None:
            events.hyperparameters(name, config)
        else:
            lines = [f"| {key} | {str(value)[:1000]} |" for key, value in config.items()]
            events.text("plan", "\n".join(["| | |", "|---|---|", *lines]))
        return events


def _cell(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value).replace("|", "\\|")
