"""Reports in what a command prints, or writes to a file: numbers with names, line by line.

A line is a report if it has the metric that runs are judged by: ``epoch 3: train loss 0.31, val loss 0.42``,
``val_loss=0.42``, or an object of JSON. Of a name without a part of the data it is not known what it means; only where
the same line has it of the validation data as well (``loss: 0.31 - val_loss: 0.42``) it is of the training data.
"""

from __future__ import annotations

import contextlib
import csv
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

_NUMBER = r"[-+]?(?:\d+\.?\d*(?:e[-+]?\d+)?|\.\d+(?:e[-+]?\d+)?|nan|inf(?:inity)?)(?![\w.])"
_PART = r"val|valid|validation|eval|dev|train|training|test"
_PAIR = re.compile(
    rf"(?<![\w.])(?:((?:(?:{_PART}) )?[a-z_][\w/.\-]*)\s*[=:]|((?:{_PART})[ _/.\-]\w+))\s*({_NUMBER})", re.IGNORECASE
)
_BEST = re.compile(r"\bbest\b", re.IGNORECASE)  # what follows is of another epoch
_OF_PART = re.compile(rf"({_PART})[ _/.\-]+(.+)", re.IGNORECASE)
_PARTS = {"train": "train", "training": "train", "test": "test"}  # all others are the validation data
_STEPS = ("step", "global_step", "steps", "iteration")
_SHORT = {"acc": "accuracy"}
_LONGEST = 100_000  # characters of a line


def base_of(metric: str) -> str:
    """A metric's name without the part of the data.

    >>> base_of("val_loss"), base_of("Accuracy"), base_of("eval/f1")
    ('loss', 'accuracy', 'f1')
    """
    return _parted(metric)[1]


def _parted(name: str) -> tuple[str | None, str]:
    """The part of the data, None where the name says none, and the rest as a name of the study's tables."""
    found = _OF_PART.fullmatch(name.strip())
    part, rest = (None, name.strip()) if found is None else (found[1].lower(), found[2])
    base = re.sub(r"\W+", "_", rest.lower()).strip("_")
    return None if part is None else _PARTS.get(part, "validation"), _SHORT.get(base, base)


class Lines:
    """Reads reports; `names` are all that had a number.

    Args:
        metric: without a part of the data.
        found: called with each report, of names as `Run.report` has them.
    """

    def __init__(self, metric: str, found: Callable[[dict[str, float]], object]) -> None:
        self.metric, self.found, self.names = metric, found, list[str]()

    def read(self, lines: Iterable[str], end: bool = False) -> None:
        """What was printed since."""
        for line in lines:
            self.line(line)

    def line(self, text: str) -> None:
        """A line; of one that was printed over itself, as a bar of progress, its last state."""
        text = text.rstrip("\r\n").rpartition("\r")[2].strip()[:_LONGEST]
        if text.startswith("{"):
            with contextlib.suppress(ValueError, RecursionError):
                self.record(json.loads(text))
                return
        text = _BEST.split(text)[0]
        self.record({one or other: number for one, other, number in _PAIR.findall(text)})

    def record(self, values: Any) -> None:
        """Numbers by name, of which some may be missing; a list of such are several."""
        if isinstance(values, list):
            for one in values:
                self.record(one)
        elif isinstance(values, dict):
            self._report(
                {str(name): number for name, value in values.items() if (number := _number(value)) is not None}
            )

    def _report(self, numbers: Mapping[str, float]) -> None:
        self.names += [name for name in numbers if name not in self.names][: 100 - len(self.names)]
        parted = {name: _parted(name) for name in numbers}
        judged = {base for part, base in parted.values() if part == "validation"}
        report: dict[str, float] = {}
        for name, (part, base) in parted.items():
            if part is None and base in _STEPS:
                report["step"] = numbers[name]
            elif part is None and base in judged:
                report[f"train_{base}"] = numbers[name]
            elif part is not None or base == self.metric:
                report[f"{part or 'validation'}_{base}"] = numbers[name]
        if f"validation_{self.metric}" in report:
            self.found({name: value for name, value in report.items() if name.isidentifier()})


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except ValueError:
        return None


class _File:
    """A file that grows by lines."""

    def __init__(self, path: Path, lines: Lines) -> None:
        self.path, self.lines, self.names = path, lines, lines.names
        self._read, self._rest = 0, b""

    def read(self, printed: Sequence[str], end: bool = False) -> None:
        *whole, self._rest = (self._rest + self._new()).split(b"\n")
        if end:
            whole, self._rest = [*whole, self._rest], b""
        for line in whole:
            self.line(line.decode(errors="replace").strip("\r"))

    def line(self, text: str) -> None:
        self.lines.line(text)

    def _new(self) -> bytes:
        """What was written since."""
        try:
            with self.path.open("rb") as file:
                file.seek(self._read)
                content = file.read()
        except OSError:  # not there yet
            return b""
        self._read += len(content)
        return content


class _Csv(_File):
    """Rows below a line of names; cells may be empty."""

    header: list[str] | None = None

    def line(self, text: str) -> None:
        try:
            cells = next(csv.reader([text], delimiter="\t" if self.path.suffix == ".tsv" else ","), [])
        except csv.Error:
            return
        if self.header is None:
            self.header = cells
        else:
            self.lines.record(dict(zip(self.header, cells, strict=False)))


class _Json(_File):
    """One object or list, read when the run has ended; lines of them are read as well."""

    def read(self, printed: Sequence[str], end: bool = False) -> None:
        if not end or not self.path.is_file():
            return
        text = self.path.read_text(errors="replace")
        try:
            self.lines.record(json.loads(text))
        except (ValueError, RecursionError):
            self.lines.read(text.splitlines())


def reader_of(file: Path | None, lines: Lines) -> Lines | _File:
    """What reads a run's reports: from what is printed, or from a file, by its ending."""
    if file is None:
        return lines
    kinds = {".csv": _Csv, ".tsv": _Csv, ".json": _Json}
    return kinds.get(file.suffix.lower(), _File)(file, lines)
