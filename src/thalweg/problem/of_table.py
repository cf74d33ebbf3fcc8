"""`table`: the problem that a file with a table is, with a loss, a network and preprocessing that fit its columns.

Such a problem has a text, ``table('/data/iris.csv', target='species')``, by which a store names it: a table is data,
and to read it again runs nothing. Read next: `tables.py`, `preprocessing.py`, `networks.py`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from .. import calls, losses
from ..calls import Call
from ..errors import ProblemError
from .declaration import Problem
from .networks import shape_of
from .preprocessing import PLAIN
from .tables import CLASSES, MANY, few, kind_of, read_file

SUFFIXES = (".csv", ".tsv", ".parquet")
EXAMPLE = "table('data.csv', target='species')"
FEWEST = 10  # rows for each whole number that is taken for a class


def table(
    path: str | Path,
    target: str,
    model: str = "mlp",
    loss: str | None = None,
    metrics: Sequence[str] | None = None,
    validation: str | Path | None = None,
    test: str | Path | None = None,
    ignore: Sequence[str] = (),
    preprocess: str | None = PLAIN,
    name: str = "",
    seed: int = 0,
) -> Problem:
    """The problem of learning one column of a table from the others.

    Args:
        path: of a .csv, .tsv or .parquet file.
        target: the name of the column to be learned.
        model: ``"mlp"``, ``"mlp(width=64, layers=2)"`` or ``"linear"``, as wide as the columns ask for.
        loss: the name of a loss. Unless given, cross-entropy for words, for yes and no, and for whole numbers of which
            there are at most 20, each in 10 rows on average; mean squared error otherwise, of targets with mean 0 and
            standard deviation 1 over the training rows, so that 1 is the loss of guessing the mean.
        metrics: names; accuracy for classes, r2 for numbers unless given.
        validation, test: files with the same columns; 20% of the rows, split off by `seed`, unless given.
        ignore: columns that are left out, e.g. row numbers.
        preprocess: ``"plain"``: numbers are filled and scaled, words one-hot encoded; None takes numbers unchanged.
        name: what tables and reports call it; the file's name unless given.
        seed: of the split.

    Raises:
        ProblemError: a file cannot be read, a column is not there, or an argument is not allowed.

    >>> import pandas as pd, tempfile
    >>> file = tempfile.mkdtemp() + "/fruit.csv"
    >>> pd.DataFrame({"grams": [90, 95, 170, 180] * 20, "kind": ["plum", "plum", "pear", "pear"] * 20}).to_csv(file)
    >>> fruit = table(file, target="kind", ignore=["Unnamed: 0"])
    >>> fruit.name, fruit.loss, fruit.metrics
    ('fruit', 'cross_entropy', ('accuracy',))
    """
    shape_of(model)
    files = {"train": path, "validation": validation, "test": test}
    frames = {part: _frame(file, part, target, ignore) for part, file in files.items() if file is not None}
    label = losses.name_of(losses.get(_loss(frames["train"][target]) if loss is None else loss))
    classes = label.partition("(")[0] in (*CLASSES, "bce")
    if metrics is None:
        metrics = ("accuracy",) if classes else ("r2",)
    arguments: dict[str, Any] = {"target": target, "model": model, "loss": label, "metrics": tuple(metrics)}
    arguments |= {part: _absolute(file) for part, file in files.items() if file is not None and part != "train"}
    arguments |= {"ignore": tuple(ignore)} if ignore else {}
    arguments |= {"preprocess": preprocess} if preprocess != PLAIN else {}
    arguments |= {"name": name} if name else {}
    arguments |= {"seed": seed} if seed else {}
    spec = calls.write("table", arguments, _absolute(path))
    problem = Problem(
        model,
        **frames,
        target=target,
        loss=label,
        metrics=tuple(metrics),
        preprocess=preprocess,
        scale_target=not classes and kind_of(frames["train"][target]) == "numbers",
        name=name or Path(path).name.partition(".")[0],
        seed=seed,
    )
    source = {"kind": "table", "spec": spec, "text": "", "sha256": hashlib.sha256(spec.encode()).hexdigest()}
    return replace(problem, source=source)


def is_table_spec(spec: str) -> bool:
    """Whether a text stands for a table: a call of `table`, or the name of such a file."""
    return spec.startswith("table(") or spec.lower().removesuffix(".gz").endswith(SUFFIXES)


def arguments_of(spec: str) -> dict[str, Any]:
    """What `table` is called with in that text.

    Raises:
        ProblemError: it is not such a call, or has other arguments.
    """
    call = calls.read(spec, ProblemError, EXAMPLE)
    given = {"path": call.positional[0] if len(call.positional) == 1 else None, **call.named}
    known = table.__annotations__.keys() - {"return"}
    texts = [given.get(key, "") for key in ("path", "target", "model", "name")]
    if not all(isinstance(text, str) for text in texts) or "target" not in given or given.keys() - known:
        raise ProblemError(
            "{spec} is not of the form {example}, with the arguments of tw.table.",
            spec=repr(spec[:60]),
            example=EXAMPLE,
        )
    if any(isinstance(value, Call) for value in given.values()):
        raise ProblemError(
            "{spec} has a name without quotes; write it like {example}.", spec=repr(spec[:60]), example=EXAMPLE
        )
    return given


def of_spec(spec: str) -> Problem:
    """The problem that the text stands for.

    Raises:
        ProblemError: it is the name of a file alone, or not a call of `table`.
    """
    if not spec.startswith("table("):
        columns = few(list(read_file(spec).columns))
        raise ProblemError(
            "{spec} is a table with the columns {columns}; say which one is to be learned: --target "
            "COLUMN, or tw.table({spec2}, target='COLUMN').",
            spec=spec,
            columns=columns,
            spec2=repr(spec),
        )
    return table(**arguments_of(spec))


def _frame(path: str | Path, part: str, target: str, ignore: Sequence[str]) -> pd.DataFrame:
    frame = read_file(path, part)
    frame = frame.set_axis([str(name) for name in frame.columns], axis=1)
    if missing := [name for name in (target, *ignore) if name not in frame.columns]:
        raise ProblemError(
            "{name} has no column {missing}; its columns are {columns}.",
            name=Path(path).name,
            missing=repr(missing[0]),
            columns=few(frame.columns),
        )
    if target in ignore:
        raise ProblemError("{target} is to be learned and to be left out; leave it out of ignore.", target=repr(target))
    return frame.drop(columns=list(ignore))


def _loss(column: pd.Series) -> str:
    """Cross-entropy for what looks like classes, else the mean squared error."""
    different = column.nunique()
    whole = pd.api.types.is_integer_dtype(column) and different <= MANY and different * FEWEST <= len(column)
    words = kind_of(column) != "numbers" or pd.api.types.is_bool_dtype(column)
    return "cross_entropy" if words or whole else "mse"


def _absolute(path: str | Path) -> str:
    return str(Path(path).expanduser().resolve())
