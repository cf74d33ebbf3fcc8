"""A study's tables for other tools: Parquet, CSV, or TensorBoard's event files.

Parquet and CSV are two files, one row per run and one row per point of its curves, joined by `member`: the tables
that `Study.table` and `Study.curves` give. TensorBoard gets one folder per run, with the run's setting and seed as
hyperparameters, so that its HParams page can tell the runs apart. Everything is written under a temporary name and
then given its own, and nothing that is already there is ever replaced.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd

from ..callbacks.names import TOOLS
from ..callbacks.tensorboard import EventFile, folder_name
from ..errors import PlanError, StoreError, WorkError
from ..files import draft, put_new
from ..language import mark
from ..results import Results
from ..version import __version__

SCHEMA = 1  # of the tables, as docs/store.md says it
MOST_RUNS = 10_000  # folders that TensorBoard still opens
FORMS = mark("name a .parquet or .csv file, or for TensorBoard a folder without a dot in its name")


def export(study: Results, path: str | os.PathLike[str]) -> list[Path]:
    """Write the study's runs and curves, as far as it has come; returns what was written.

    ``runs.parquet`` also makes ``runs.curves.parquet``, and ``runs.csv`` makes ``runs.curves.csv``; a name without a
    suffix becomes a folder of TensorBoard's event files.

    Raises:
        PlanError: the name ends in something else, or there are too many runs for TensorBoard.
        WorkError: something is already there, the place cannot be written, or a package is missing.
    """
    tool, colon, _ = os.fspath(path).partition(":")
    if colon and tool in TOOLS:
        raise PlanError(
            "{path} is not a file: {tool} is told of a study while it runs, by --log {tool}:… ; {forms}.",
            path=path,
            tool=tool,
            forms=FORMS,
        )
    target, suffix = Path(path), Path(path).suffix.lower()
    try:
        if suffix in _TABLES:
            return _tables(study, target, _TABLES[suffix])
        if suffix and not target.is_dir():
            raise PlanError(
                "{target} ends in {suffix}, which is not a form of export: {forms}.",
                target=target,
                suffix=suffix,
                forms=FORMS,
            )
        return [_tensorboard(study, target)]
    except OSError as error:
        raise WorkError(
            "{target} cannot be written: {error}; name a place that you can write to.",
            target=target,
            error=error.strerror or error,
        ) from error


def _tables(study: Results, target: Path, write: Callable[[pd.DataFrame, Path, Results], None]) -> list[Path]:
    curves = target.with_name(f"{target.stem}.curves{target.suffix}")
    for file in (target, curves):
        if file.exists() or file.is_symlink():
            raise _taken(file)
    runs, points = study.table(), study.curves()
    target.parent.mkdir(parents=True, exist_ok=True)
    # The runs come last: once they are there, so are their curves.
    for file, table in ((curves, points), (target, plain(runs))):
        with draft(file) as place:
            write(table, place, study)
            try:
                put_new(place, file)
            except FileExistsError as error:
                raise _taken(file) from error
    return [target, curves]


def _taken(path: Path) -> WorkError:
    return WorkError(f"{path} is already there, and is left as it was; name another place, or remove it first.")


def plain(runs: pd.DataFrame) -> pd.DataFrame:
    """The table with one type in each column: levels of several kinds, such as 64 and "full", become words.

    >>> plain(pd.DataFrame({"batch_size": [64, "full", None]}))["batch_size"].tolist()
    ['64', 'full', None]
    """
    table = runs.copy()
    for name in filter(lambda n: pd.api.types.is_object_dtype(table[n]), table.columns):
        values = [None if pd.isna(value) else value for value in table[name]]
        if len({type(value) for value in values} - {type(None)}) > 1:
            values = [None if value is None else str(value) for value in values]
        table[name] = pd.Series(values, index=table.index, dtype=object)
    return table


# The forms of tables


def _parquet(table: pd.DataFrame, path: Path, study: Results) -> None:
    try:
        import pyarrow
        from pyarrow import parquet
    except ModuleNotFoundError as error:
        raise _without("Parquet", "pyarrow") from error
    columns = pyarrow.Table.from_pandas(table, preserve_index=False)
    about = {"schema": SCHEMA, "thalweg": __version__, "study": study.name, "finished": study.finished}
    metadata = {**(columns.schema.metadata or {}), b"thalweg": json.dumps(about).encode()}
    parquet.write_table(columns.replace_schema_metadata(metadata), path, compression="zstd")


def _csv(table: pd.DataFrame, path: Path, study: Results) -> None:
    table.to_csv(path, index=False)


_TABLES = {".parquet": _parquet, ".csv": _csv}


def _without(what: str, package: str) -> WorkError:
    return WorkError(
        f"{what} needs the package {package}; run pip install 'thalweg[export]', or export to a .csv file."
    )


# TensorBoard


def _tensorboard(study: Results, folder: Path) -> Path:
    """A folder for each run; TensorBoard shows the folder's name as the run's."""
    if folder.is_symlink() or (folder.exists() and (not folder.is_dir() or any(folder.iterdir()))):
        raise _taken(folder)
    runs, points = study.table(), study.curves()
    if len(runs) > MOST_RUNS:
        raise PlanError(
            "the study has {count:,} runs, and TensorBoard shows {most_runs:,} at most; name a .parquet file.",
            count=len(runs),
            most_runs=MOST_RUNS,
        )
    try:
        started = datetime.fromisoformat(study.provenance.get("started", "1971-01-01")).timestamp()
    except (ValueError, OverflowError) as error:
        raise StoreError(
            "{path} does not say when it was started ({error}); it is damaged.", path=study.path, error=error
        ) from error
    settings = _hyperparameters(plain(runs), set(points["metric"].cat.categories))
    folder.parent.mkdir(parents=True, exist_ok=True)
    curves = dict(tuple(points.groupby("member", sort=False)))
    with draft(folder) as place:
        place.mkdir()
        for run, setting in settings.items():
            (inner := place / _name(run, setting)).mkdir()
            file = inner / f"events.out.tfevents.{int(started)}.thalweg"
            _write_events(file, run, setting, curves.get(run, points[:0]), started)
        if folder.exists():
            folder.rmdir()  # empty
        os.rename(place, folder)
    return folder


def _hyperparameters(runs: pd.DataFrame, metrics: set[str]) -> dict[int, dict[str, Any]]:
    """member → everything that tells it from others, as plain values; what does not apply is left out."""
    names = [n for n in runs.columns if n not in metrics and n not in ("member", "step")]
    return {
        int(row["member"]): {
            n: row[n].item() if hasattr(row[n], "item") else row[n] for n in names if not pd.isna(row[n])
        }
        for row in runs.to_dict("records")
    }


def _name(run: int, setting: Mapping[str, Any]) -> str:
    """A folder's name: the setting, as far as file systems allow, and the run's number.

    >>> _name(7, {"stage": "search", "optimizer": "adam", "lr": 0.01, "schedule": "cosine", "seed": 3})
    'search adam lr=0.01 cosine seed=3 #7'
    """
    words = [
        str(v) if n in ("stage", "optimizer", "schedule") else f"{n}={v:g}" if isinstance(v, float) else f"{n}={v}"
        for n, v in setting.items()
    ]
    return f"{folder_name(' '.join(words))} #{run}"


def _write_events(file: Path, run: int, setting: dict[str, Any], points: pd.DataFrame, time: float) -> None:
    try:
        events = EventFile(file, time)
    except ModuleNotFoundError as error:
        raise _without("TensorBoard's event files", "tensorboard") from error
    with closing(events):
        events.hyperparameters(str(run), setting)
        for step, metric, value in zip(points["step"], points["metric"], points["value"], strict=True):
            events.scalars(step, {metric: value})
