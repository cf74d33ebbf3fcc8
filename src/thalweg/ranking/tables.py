"""A table of runs as a data frame, from whatever holds it: a frame, records, or a file that is told by its ending.

A file is opened here and given to pandas open, so that a name is never taken for an address, and no text of the table
reaches a terminal or a page with characters that control one.
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd

from ..errors import UsageError, WorkError, first_line, short
from ..language import say

FORMS = ".csv, .tsv, .parquet, .jsonl or .ndjson"
STDIN = "-"
Table = pd.DataFrame | str | Path | Sequence[Mapping[str, Any]] | Mapping[str, Sequence[Any]]


def read(runs: Table) -> tuple[pd.DataFrame, str]:
    """The table and its name; the caller's own frame stays as it is.

    Raises:
        UsageError: not a table, an empty one, or a file of an unknown form.
        WorkError: the file cannot be read.
    """
    if isinstance(runs, str | Path):
        frame, name = _of_file(runs), say("these runs") if str(runs) == STDIN else Path(runs).name
    else:
        frame, name = _of_values(runs), say("these runs")
    frame = _flat(frame)
    if frame.empty:
        raise UsageError("the table has no runs; give one with a row for each.")
    return frame, printable(name)


def _of_values(runs: Any) -> pd.DataFrame:
    if isinstance(runs, pd.DataFrame):
        return runs
    try:
        return pd.DataFrame(runs)
    except (ValueError, TypeError) as error:
        raise UsageError(
            f"runs is of type {type(runs).__name__}, which is not a table ({first_line(error)}); give a data frame, a "
            "file's name, or a list with a dictionary for each run."
        ) from error


def _of_file(given: str | Path) -> pd.DataFrame:
    path, shown = Path(given), printable(str(given))
    try:
        if str(given) == STDIN:
            return _of_text(sys.stdin.buffer.read(), "")
        suffix = path.suffix.lower()
        if suffix not in _READERS:
            raise UsageError(
                f"{shown} ends in {suffix or 'nothing'}; name a file that ends in {FORMS}, or - for stdin."
            )
        with path.open("rb") as file:
            return _READERS[suffix](file)
    except OSError as error:
        raise WorkError(f"{shown} cannot be read: {error.strerror or first_line(error)}; name another file.") from error
    except ImportError as error:
        raise WorkError(f"{shown} is Parquet, which needs pyarrow: pip install 'thalweg[export]'.") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{shown} is not text in UTF-8; save it as UTF-8.") from error
    except (ValueError, pd.errors.ParserError) as error:  # ValueError: also pyarrow's ArrowInvalid
        if isinstance(error, UsageError):
            raise
        raise UsageError(f"{shown} is not a table ({printable(short(first_line(error)))}); give {FORMS}.") from error


def _of_text(data: bytes, separator: str) -> pd.DataFrame:
    """CSV, or JSON lines where the first letter begins a record."""
    if data.lstrip()[:1] == b"{":
        return _of_json_lines(io.BytesIO(data))
    head = data[:100_000].decode("utf-8-sig", "replace").partition("\n")[0]
    separator = separator or max(",", ";", "\t", key=head.count)
    return pd.read_csv(io.BytesIO(data), sep=separator, encoding="utf-8-sig", low_memory=False)


def _of_json_lines(file: BinaryIO) -> pd.DataFrame:
    records = [json.loads(line) for line in file.read().decode("utf-8-sig").split("\n") if line.strip()]
    for place, record in enumerate(records, 1):
        if not isinstance(record, dict):
            raise ValueError(f"record {place} is {short(repr(record))}, not an object")
    return pd.DataFrame(records)


_READERS = {
    ".csv": lambda file: _of_text(file.read(), ""),
    ".tsv": lambda file: _of_text(file.read(), "\t"),
    ".tab": lambda file: _of_text(file.read(), "\t"),
    ".parquet": pd.read_parquet,
    ".jsonl": _of_json_lines,
    ".ndjson": _of_json_lines,
}


def _flat(frame: pd.DataFrame) -> pd.DataFrame:
    """With a row per run and one text as the name of each column, and with plain values in the cells."""
    names = ["_".join(map(str, filter(None, c))) if isinstance(c, tuple) else str(c) for c in frame.columns]
    names = [printable(name) for name in names]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UsageError(f"the table has two columns {short(twice)!r}; give each a name of its own.")
    frame = frame.set_axis(names, axis=1).reset_index(drop=True)
    nested = [name for name in names if _nested(frame[name])]
    return frame.assign(**{name: frame[name].map(_text) for name in nested})


def _nested(values: pd.Series) -> bool:
    if values.dtype != object:
        return False
    return bool(values.map(lambda one: isinstance(one, list | dict | tuple | set | np.ndarray)).any())


def _text(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        value = value.tolist()
    return json.dumps(value, default=str, sort_keys=True) if isinstance(value, list | dict | tuple) else value


def printable(text: str) -> str:
    r"""The text with its control characters written out, so that they control nothing.

    >>> printable("adam\x1b[31m")
    'adam\\x1b[31m'
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
