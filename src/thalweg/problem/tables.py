"""Tables: pandas frames and series, files of rows and columns, sparse matrices, and targets that are words.

`opened` makes of a problem with tables one with arrays, which `data.py` reads like any other. Words in the targets
become class ids, in the order of the training targets' labels, and the same ids everywhere. What is to be preprocessed
stays a table, whose rows the split and the folds number; see `preprocessing.py`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy import sparse
from torch.utils.data import DataLoader, Dataset

from .. import losses
from ..errors import ProblemError, first_line
from ..language import Word, mark
from ..losses.registry import Custom
from ..population.memory import free_memory, shown
from .declaration import Problem

FORMS = mark("a frame or a file with target='column', or (frame, series)")
CLASSES = ("cross_entropy", "nll")  # losses whose targets are classes and nothing else
MANY = 20  # classes or more are words of another kind if half of the rows have their own
NAMED = 8  # columns or labels in a sentence


@dataclass(frozen=True, eq=False)
class Table:
    """What a problem's tables say beyond their numbers.

    Attributes:
        columns: the names of the inputs' columns; empty where they have none.
        target: the name of the targets' column, or columns.
        classes: what the class ids mean, in their order; empty where targets are numbers.
        inputs: the rows of train, validation and test one below the other, where they are to be preprocessed.
        values: whether the targets are numbers of a table, which take the shape of the outputs.
    """

    columns: tuple[str, ...] = ()
    target: str = ""
    classes: tuple[str, ...] = ()
    inputs: Any = None
    values: bool = False


@dataclass
class _Piece:
    where: str
    inputs: Any
    targets: Any = None
    weights: Any = None
    groups: Any = None


def opened(problem: Problem) -> tuple[Problem, Table | None]:
    """The problem with arrays in the place of its tables, and what they say; unchanged where it has none.

    Raises:
        ProblemError: a file that cannot be read, a target that is not there, columns or labels that do not fit.
    """
    parts = {name: getattr(problem, name) for name in ("train", "validation", "test")}
    asked = any(value is not None for value in (problem.target, problem.preprocess)) or problem.scale_target
    if not asked and not any(map(is_table, parts.values())):
        return problem, None
    pieces = [_piece(part, where, problem) for where, part in parts.items() if part is not None]
    columns = _aligned(pieces)
    target, classes, values = _encoded(pieces, problem)
    for piece in pieces:
        if problem.preprocess is None:
            piece.inputs = _plain(piece.inputs, f"{piece.where} inputs")
        elif isinstance(problem.preprocess, str):
            piece.inputs = _framed(piece.inputs, f"{piece.where} inputs")
    groups, raw = _groups(pieces, problem), None
    if problem.preprocess is not None or problem.scale_target:
        raw = _below_each_other(pieces)
        ends = np.cumsum([0, *(piece.inputs.shape[0] for piece in pieces)])
        for piece, (start, end) in zip(pieces, pairwise(ends), strict=True):
            piece.inputs = np.arange(start, end)  # its rows in there
    changed = replace(problem, groups=groups, **{piece.where: _given(piece) for piece in pieces})
    return changed, Table(columns, target, classes, raw, values)


def is_table(part: Any) -> bool:
    """Whether a part of a problem is a table, or has one, or words as targets."""
    if isinstance(part, str | os.PathLike | pd.DataFrame) or hasattr(part, "to_pandas"):
        return True
    if not isinstance(part, tuple | list) or hasattr(part, "_fields") or len(part) not in (2, 3):
        return False
    inputs, targets = (_pandas(each) for each in part[:2])
    tabular = isinstance(inputs, pd.DataFrame) or sparse.issparse(inputs)
    return tabular or isinstance(targets, pd.Series | pd.DataFrame) or _words(targets)


def read_file(path: str | os.PathLike[str], where: str = "train") -> pd.DataFrame:
    """The table in a .csv, .tsv or .parquet file; compressed ones too, as pandas reads them.

    Raises:
        ProblemError: it is missing, of another kind, empty or not a table.
    """
    file = Path(path).expanduser()
    kinds = [suffix.lower() for suffix in file.suffixes[-2:]]
    if not file.is_file():
        raise ProblemError(
            "the {where} data are the file '{path}', which does not exist; check the path.", where=where, path=path
        )
    try:
        if ".parquet" in kinds:
            frame = pd.read_parquet(file)
        elif ".csv" in kinds or ".tsv" in kinds:
            frame = pd.read_csv(file, sep="\t" if ".tsv" in kinds else ",", low_memory=False)
        else:
            raise ProblemError(
                "{file} is not a .csv, .tsv or .parquet file; read it yourself and give a frame.", file=file.name
            )
    except ImportError as error:
        raise ProblemError("{file} needs pyarrow to be read: pip install 'thalweg[export]'.", file=file.name) from error
    except (OSError, ValueError) as error:  # pandas' own errors of reading are ValueErrors
        raise ProblemError(
            "{file} cannot be read as a table ({error}); repair it.", file=file.name, error=first_line(error)
        ) from error
    if frame.empty:
        raise ProblemError(
            "{file} has {count} columns and no rows; give at least one.", file=file.name, count=len(frame.columns)
        )
    return frame


def few(names: Sequence[Any]) -> str:
    """Some of these names, for a sentence."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(str(name) for name in names[:NAMED]) + more


def _pandas(values: Any) -> Any:
    """Frames of other libraries as pandas'."""
    if isinstance(values, pd.DataFrame | pd.Series) or not hasattr(values, "to_pandas"):
        return values
    return values.to_pandas()


def _words(values: Any) -> bool:
    if isinstance(values, list | tuple) and values:
        return all(isinstance(value, str) for value in values)
    return isinstance(values, np.ndarray) and values.dtype.kind in "USO"


def _piece(part: Any, where: str, problem: Problem) -> _Piece:
    part = read_file(part, where) if isinstance(part, str | os.PathLike) else _pandas(part)
    if isinstance(part, pd.DataFrame):
        return _cut(part, where, problem)
    pair = isinstance(part, tuple | list) and not hasattr(part, "_fields") and len(part) in (2, 3)
    if problem.target is not None:
        raise ProblemError(
            "target= names a column, and the {where} data are of type {kind}; give {forms}.",
            where=where,
            kind=type(part).__name__,
            forms=FORMS,
        )
    if pair:
        return _Piece(where, *map(_pandas, part))
    if losses.sees_model(problem.loss) and not isinstance(part, Dataset | DataLoader | Mapping):
        return _Piece(where, part)
    why = "preprocess= is fitted on a table" if problem.preprocess is not None else "the others are tables"
    raise ProblemError(f"the {where} data are of type {type(part).__name__}, and {why}; give {FORMS}.")


def _cut(frame: pd.DataFrame, where: str, problem: Problem) -> _Piece:
    """Inputs and targets of a frame."""
    if problem.target is None:
        if losses.sees_model(problem.loss):
            return _Piece(where, frame)
        raise ProblemError(
            "the {where} data are a table with the columns {columns}; say which one is to be learned: target='column'.",
            where=where,
            columns=few(frame.columns),
        )
    names = list(problem.target) if isinstance(problem.target, list | tuple) else [problem.target]
    _check_columns(frame, names, where, mark("target"))
    groups = None
    if isinstance(problem.groups, str):
        _check_columns(frame, [problem.groups], where, mark("groups"))
        groups, frame = frame[problem.groups], frame.drop(columns=problem.groups)
    targets = frame[names[0]] if len(names) == 1 else frame[names]
    if isinstance(targets, pd.DataFrame) and len(names) == 1:
        raise ProblemError(
            "the {where} table has two columns called {names}; rename one of them.", where=where, names=repr(names[0])
        )
    inputs = frame.drop(columns=names)
    if not len(inputs.columns):
        raise ProblemError(
            "the {where} table has no column beside its target {names}; give at least one input.",
            where=where,
            names=few(names),
        )
    return _Piece(where, inputs, targets, groups=groups)


def _check_columns(frame: pd.DataFrame, names: Sequence[str], where: str, role: Word) -> None:
    if missing := [name for name in names if name not in frame.columns]:
        raise ProblemError(
            "the {where} table has no column {missing} as {role}; its columns are {columns}.",
            where=where,
            missing=repr(missing[0]),
            role=role,
            columns=few(frame.columns),
        )


def _groups(pieces: list[_Piece], problem: Problem) -> Any:
    """The groups of training and validation, from the column of that name if one is named."""
    named = [piece.groups for piece in pieces if piece.groups is not None and piece.where != "test"]
    return pd.concat(named).astype(str).to_numpy() if named else problem.groups


def _aligned(pieces: list[_Piece]) -> tuple[str, ...]:
    """The names of the inputs' columns, which are brought into the same order everywhere."""
    first = pieces[0]
    for piece in pieces:
        if isinstance(piece.inputs, pd.Series):
            piece.inputs = piece.inputs.to_frame()
        if isinstance(piece.inputs, pd.DataFrame) != isinstance(first.inputs, pd.DataFrame):
            raise ProblemError(
                "the {where} inputs and the train inputs are not both tables; give the same form.", where=piece.where
            )
        _check_index(piece)
    if not isinstance(first.inputs, pd.DataFrame):
        return ()
    for piece in pieces:
        piece.inputs = piece.inputs.set_axis([str(name) for name in piece.inputs.columns], axis=1)
    names = list(first.inputs.columns)
    if twice := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
        raise ProblemError("the train table has several columns called {twice}; rename them.", twice=few(twice))
    for piece in pieces[1:]:
        others = list(piece.inputs.columns)
        if sorted(others) != sorted(names):
            lacks, more = [n for n in names if n not in others], [n for n in others if n not in names]
            differs = f"lacks {few(lacks)}" if lacks else f"has {few(more)} as well"
            raise ProblemError(f"the {piece.where} table {differs}; give it the columns of the train table.")
        piece.inputs = piece.inputs[names]
    return tuple(names)


def _check_index(piece: _Piece) -> None:
    """Refuse inputs and targets whose rows have the same labels in another order."""
    inputs, targets = piece.inputs, piece.targets
    if not isinstance(inputs, pd.DataFrame) or not isinstance(targets, pd.Series | pd.DataFrame):
        return
    if len(inputs) != len(targets) or inputs.index.equals(targets.index):
        return
    if inputs.index.is_unique and set(inputs.index) == set(targets.index):
        raise ProblemError(
            "the {where} inputs and targets have the same index in another order, so their rows do not "
            "belong together; give targets.loc[inputs.index].",
            where=piece.where,
        )


# Targets


def _encoded(pieces: list[_Piece], problem: Problem) -> tuple[str, tuple[str, ...], bool]:
    """The targets' name, the labels of their classes, and whether they are numbers; targets become arrays."""
    train = pieces[0].targets
    if not isinstance(train, pd.Series | pd.DataFrame) and not _words(train):
        return "", (), False
    name = few(list(train.columns)) if isinstance(train, pd.DataFrame) else str(getattr(train, "name", None) or "")
    columns = [_column(piece) for piece in pieces]
    loss = losses.get(problem.loss)
    wanted = "classes" if loss.name in CLASSES else "any" if isinstance(loss, Custom) else "numbers"
    words = columns[0].dtype.kind in "OU"
    if not words and (wanted != "classes" or columns[0].dtype.kind not in "iu"):
        for piece, column in zip(pieces, columns, strict=True):
            if column.dtype.kind in "OU":
                raise ProblemError(
                    "the {where} targets are words, and the train targets are numbers.", where=piece.where
                )
            piece.targets = column if wanted == "any" and column.dtype.kind in "iu" else column.astype(np.float64)
        return name, (), True
    labels = _labels(train, columns[0])
    if words and wanted == "numbers" and (loss.name != "bce" or len(labels) != 2):
        few_of = "0 and 1" if loss.name == "bce" else "numbers"
        raise ProblemError(
            f"the loss {loss.label} compares {few_of}, and the targets are {len(labels)} words ({few(labels)}); give "
            "loss='cross_entropy' and a score for each."
        )
    for piece, column in zip(pieces, columns, strict=True):
        ids = _ids(column, labels, piece.where)
        piece.targets = ids.astype(np.float64) if wanted == "numbers" else ids
    return name, tuple(map(str, labels)), wanted == "numbers"


def _column(piece: _Piece) -> np.ndarray:
    """The targets as an array of numbers or of words, without missing values."""
    values, where = piece.targets, piece.where
    if isinstance(values, pd.DataFrame) and len(values.columns) == 1:
        values = values.iloc[:, 0]
    if isinstance(values, pd.DataFrame):
        return numbers(values, f"{where} targets")
    values = pd.Series(values) if not isinstance(values, pd.Series) else values
    if missing := int(values.isna().sum()):
        raise ProblemError(
            "the {where} targets miss {missing} of {count} values; leave these rows out, or fill them.",
            where=where,
            missing=missing,
            count=len(values),
        )
    plain = values.astype(object) if isinstance(values.dtype, pd.CategoricalDtype) else values
    plain = plain.infer_objects()
    if pd.api.types.is_bool_dtype(plain) or pd.api.types.is_string_dtype(plain):
        return np.array([str(value) for value in plain], dtype=object)
    if not pd.api.types.is_numeric_dtype(plain):
        raise ProblemError(
            "the {where} targets are of type {dtype}; give numbers, or words for classes.",
            where=where,
            dtype=plain.dtype,
        )
    return plain.to_numpy(np.int64 if pd.api.types.is_integer_dtype(plain) else np.float64)


def _labels(given: Any, column: np.ndarray) -> list[Any]:
    """The classes, in the order of the alphabet, of numbers, or of an ordered category."""
    labels = sorted(set(column.tolist()))
    if isinstance(given, pd.Series) and isinstance(given.dtype, pd.CategoricalDtype) and column.dtype.kind in "OU":
        order = [str(label) for label in given.cat.categories]
        labels.sort(key=order.index)
    if len(labels) > max(MANY, len(column) / 2):
        raise ProblemError(
            "the targets have {count:,} classes in {count2:,} rows, {labels}; name another column as "
            "target, or give a loss of numbers such as loss='mse'.",
            count=len(labels),
            count2=len(column),
            labels=few(labels),
        )
    if len(labels) == 1:
        raise ProblemError(
            "all train targets are {labels}, so nothing can be learned; give at least two classes.",
            labels=repr(labels[0]),
        )
    return labels


def _ids(column: np.ndarray, labels: list[Any], where: str) -> np.ndarray:
    places = {label: k for k, label in enumerate(labels)}
    if unknown := [label for label in dict.fromkeys(column.tolist()) if label not in places]:
        raise ProblemError(
            "the {where} targets have the class {unknown}, which no train target has (known: {labels}); "
            "leave these rows out, or give some to train on.",
            where=where,
            unknown=repr(unknown[0]),
            labels=few(labels),
        )
    return np.array([places[label] for label in column.tolist()], dtype=np.int64)


# Inputs


def numbers(frame: pd.DataFrame, what: str) -> np.ndarray:
    """A table of numbers as an array; booleans are 0 and 1.

    Raises:
        ProblemError: columns of words, dates or other things, or with missing values, by name.
    """
    kinds = [(name, kind_of(column)) for name, column in frame.items()]  # names may be alike
    if others := [f"{name} ({kind})" for name, kind in kinds if kind != "numbers"]:
        raise ProblemError(
            "the {what} have columns that are not numbers: {others}; give preprocess='plain', a "
            "transformer of scikit-learn, or leave them out.",
            what=what,
            others=few(others),
        )
    array = frame.to_numpy(np.float64, na_value=np.nan)
    missing = np.isnan(array).sum(0)
    if missing.any():
        named = [f"{name} ({count})" for name, count in zip(frame.columns, missing, strict=True) if count]
        raise ProblemError(
            "the {what} miss values in {named}; give preprocess='plain', a transformer of scikit-learn "
            "that fills them, or leave these rows out.",
            what=what,
            named=few(named),
        )
    return array


def kind_of(column: pd.Series) -> str:
    """What a column holds: numbers, words, dates or other things."""
    values = column.infer_objects() if column.dtype == object else column
    if isinstance(values.dtype, pd.CategoricalDtype):
        return "words"
    if pd.api.types.is_bool_dtype(values) or pd.api.types.is_numeric_dtype(values):
        return "other things" if pd.api.types.is_complex_dtype(values) else "numbers"
    if pd.api.types.is_datetime64_any_dtype(values) or pd.api.types.is_timedelta64_dtype(values):
        return "dates"
    if pd.api.types.is_string_dtype(values):
        return "words"
    present = values.dropna()
    return "words" if present.map(lambda value: isinstance(value, str | bool | int | float)).all() else "other things"


def dense(matrix: Any, what: str) -> np.ndarray:
    """A sparse matrix with all its zeros, if there is the memory for it.

    Raises:
        ProblemError: there is not.
    """
    need, free = matrix.shape[0] * matrix.shape[1] * 8, free_memory()  # bytes of float64
    if free is not None and 2 * need > free:  # once as an array and once as a tensor
        raise ProblemError(
            "the {what} are a sparse matrix of {rows:,} × {columns:,}, which takes {need} with its "
            "zeros, and {free} are free; reduce its columns, e.g. with preprocess=TruncatedSVD(100).",
            what=what,
            rows=matrix.shape[0],
            columns=matrix.shape[1],
            need=shown(2 * need),
            free=shown(free),
        )
    return matrix.toarray()


def _plain(inputs: Any, what: str) -> Any:
    """As arrays; what is neither a table nor sparse is left to `data.py`."""
    if isinstance(inputs, pd.DataFrame):
        return numbers(inputs, what)
    return dense(inputs, what).astype(np.float64) if sparse.issparse(inputs) else inputs


def _framed(inputs: Any, what: str) -> Any:
    """A matrix as a frame, whose columns have their numbers as names."""
    array = dense(inputs, what) if sparse.issparse(inputs) else inputs
    if isinstance(array, torch.Tensor | np.ndarray) and array.ndim == 2:
        return pd.DataFrame(array.numpy(force=True) if isinstance(array, torch.Tensor) else array).rename(columns=str)
    if isinstance(array, pd.DataFrame):
        return array
    raise ProblemError(
        "the {what} are of type {kind}, and preprocess='plain' takes a table; give a frame.",
        what=what,
        kind=type(inputs).__name__,
    )


def _below_each_other(pieces: list[_Piece]) -> Any:
    """The inputs of all parts as one table."""
    tables = [piece.inputs for piece in pieces]
    if isinstance(tables[0], pd.DataFrame):
        return pd.concat(tables, ignore_index=True)
    if any(sparse.issparse(table) for table in tables):
        return sparse.vstack(tables, format="csr")
    try:
        arrays = [t.numpy(force=True) if isinstance(t, torch.Tensor) else np.asarray(t) for t in tables]
        return np.concatenate(arrays)
    except (ValueError, TypeError, RuntimeError) as error:
        raise ProblemError(
            "the inputs cannot be preprocessed as one table ({error}); give frames or arrays (samples, columns).",
            error=first_line(error),
        ) from error


def _given(piece: _Piece) -> Any:
    if piece.targets is None:
        return piece.inputs
    return (piece.inputs, piece.targets) if piece.weights is None else (piece.inputs, piece.targets, piece.weights)
