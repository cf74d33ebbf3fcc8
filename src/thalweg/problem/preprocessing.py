"""Preprocessing that is fitted on the rows a model is trained on, and on no others.

A transformer of scikit-learn is cloned and fitted anew for each set of training rows: the training part, each fold, all
of training and validation at the end of a cross-validation. Its columns keep their places: those of another fit are
those of the first one, by their names, and a category that a fold lacks is a column of zeros in it.
`plain` is a sensible default. Read next: `tables.py`, `prepare.py`.
"""

from __future__ import annotations

import hashlib
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from scipy import sparse
from torch import Tensor

from ..errors import ProblemError, first_line, line_of
from ..samples import Samples, Weighted
from .data import check_finite
from .tables import dense, few, kind_of, numbers

PLAIN = "plain"
CATEGORIES = 20  # of a column of words, the most frequent ones; the rest share one
OWN = 0.5  # a column of words of which so many are different is left out


class Columns(NamedTuple):
    """What `plain` does with the columns of a table: their names, and of those left out the reasons."""

    numbers: list[str]
    words: list[str]
    left_out: dict[str, str]

    def __str__(self) -> str:
        parts = [f"{len(self.numbers)} of numbers, scaled (a missing one is the median)"] if self.numbers else []
        if self.words:
            parts.append(f"{len(self.words)} of words, one column for each of {CATEGORIES} at most")
        if self.left_out:
            parts.append("left out: " + few([f"{name} ({why})" for name, why in self.left_out.items()]))
        return "; ".join(parts)


def columns_of(frame: pd.DataFrame) -> Columns:
    """Which columns `plain` scales, which it encodes, and which it leaves out.

    >>> columns_of(pd.DataFrame({"a": [1.5, None], "b": ["x", "x"]}))
    Columns(numbers=['a'], words=['b'], left_out={})
    """
    made = Columns([], [], {})
    for name in frame.columns:
        kind, column = kind_of(frame[name]), frame[name]
        different = column.nunique() if kind in ("numbers", "words") else 0
        if not column.notna().any():
            made.left_out[name] = "empty"
        elif kind == "numbers":
            made.numbers.append(name)
        elif kind != "words":
            made.left_out[name] = kind
        elif different > max(CATEGORIES, OWN * len(column)):
            made.left_out[name] = f"{different:,} different words"
        else:
            made.words.append(name)
    return made


def plain(columns: Columns) -> Any:
    """Numbers: the median where one is missing, then mean 0 and standard deviation 1. Words: a column for each of the
    most frequent, one for all others, and one for those that are missing."""
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    scaled = make_pipeline(SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler())
    encoder = OneHotEncoder(handle_unknown="ignore", max_categories=CATEGORIES, sparse_output=False)
    encoded = make_pipeline(SimpleImputer(strategy="constant", fill_value="missing"), encoder)
    parts = [("numbers", scaled, columns.numbers), ("words", encoded, columns.words)]
    return ColumnTransformer([part for part in parts if part[2]])


def as_words(frame: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """The table with these columns as text, missing values left alone."""
    return frame.assign(**{name: frame[name].astype(object).map(str, na_action="ignore") for name in names})


@dataclass(eq=False)
class Preprocessing:
    """A transformer and the rows that it is for.

    Attributes:
        transformer: of scikit-learn, unfitted.
        table: the rows of all parts, a frame, an array or a sparse matrix.
        pool, test: `Samples` whose inputs are numbers of these rows.
        dtype: of the floats that are made.
        scaled: whether targets get mean 0 and standard deviation 1 over the training rows.
        columns: of what is preprocessed plainly.
        names: of the columns that the first fit made; None in the place of names that it does not say.
    """

    transformer: Any
    table: Any
    pool: Samples
    test: Samples
    dtype: torch.dtype
    scaled: bool = False
    columns: Columns | None = None
    names: list[str | None] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not hasattr(self.transformer, "transform") or not hasattr(self.transformer, "fit"):
            raise ProblemError(
                "preprocess={transformer} is not a transformer of scikit-learn's kind, with fit and "
                "transform; give one, a Pipeline or ColumnTransformer of such, or 'plain'.",
                transformer=self.short,
            )
        if self.scaled and not (_is_tensor(self.pool) and self.pool.plain_targets.is_floating_point()):
            raise ProblemError("scale_target=True asks for targets that are one tensor of floats; leave it out.")

    def fitted(self, training: Tensor | None = None) -> tuple[Samples, Samples]:
        """Pool and test part, by what is fitted on these rows of the pool, or on all of them.

        Raises:
            ProblemError: the transformer fails, or makes something that cannot be trained on.
        """
        places = torch.arange(self.pool.size) if training is None else training
        shift, scale = self._scale(places)
        pool, test = self._made(places)
        return (
            Samples(self._tensor(pool, "train"), _moved(self.pool.targets, shift, scale)),
            Samples(self._tensor(test, "test"), _moved(self.test.targets, shift, scale)),
        )

    @property
    def described(self) -> str:
        """The transformer as text, without addresses in memory."""
        try:
            text = self.transformer.__repr__(N_CHAR_MAX=10**6)  # scikit-learn's shortens itself
        except TypeError:
            text = repr(self.transformer)
        return re.sub(r" at 0x[0-9a-f]+", "", re.sub(r"\s+", " ", text))

    @property
    def short(self) -> str:
        """The transformer in a few words."""
        text = self.described
        return text if len(text) <= 60 else f"{type(self.transformer).__name__}(…)"

    def check_repeats(self, training: Tensor) -> None:
        """Refuse a transformer that gives other numbers each time it is fitted.

        Raises:
            ProblemError: it does.
        """
        one, two = (self._made(training)[0] for _ in range(2))
        if one.shape != two.shape or not np.allclose(one, two, rtol=1e-4, atol=1e-6):
            raise ProblemError(
                "preprocess={transformer} gives other numbers each time it is fitted; give it a random_state.",
                transformer=self.short,
            )

    def digest(self) -> bytes:
        """Of table and transformer as they were given."""
        digest, table = hashlib.sha256(f"{self.described} {self.scaled}".encode()), self.table
        if isinstance(table, pd.DataFrame):
            digest.update("\n".join(f"{name} {dtype}" for name, dtype in table.dtypes.items()).encode())
            words = as_words(table, [name for name in table.columns if table[name].dtype == object])
            digest.update(pd.util.hash_pandas_object(words, index=False).to_numpy().tobytes())
            return digest.digest()
        for array in (table.indptr, table.indices, table.data) if sparse.issparse(table) else (table,):
            digest.update(f"{array.shape} {array.dtype}".encode())
            digest.update(np.ascontiguousarray(array.astype(str) if array.dtype == object else array).tobytes())
        return digest.digest()

    def _made(self, places: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """What the transformer makes of pool and test, fitted on these rows of the pool."""
        from sklearn.base import clone

        transformer = self._tried(lambda: clone(self.transformer), "is cloned")
        every, chosen = self.pool.inputs.numpy(), places.numpy()

        def applied(rows: np.ndarray, where: str, y: Any = None) -> np.ndarray:
            chosen_rows = self.table.iloc[rows] if isinstance(self.table, pd.DataFrame) else self.table[rows]
            call = lambda: transformer.transform(chosen_rows) if y is None else _fit(transformer, chosen_rows, y)  # noqa: E731
            return self._array(self._tried(call, f"is given the {where} rows"), len(rows), where, transformer)

        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Found unknown categories")  # which are zeros
            trained = applied(every[chosen], "train", self._y()[chosen])
            others = np.setdiff1d(np.arange(len(every)), chosen)
            pool = np.empty((len(every), trained.shape[1]))
            pool[chosen] = trained
            if len(others):
                pool[others] = applied(every[others], "validation")
            return pool, applied(self.test.inputs.numpy(), "test")

    def _y(self) -> np.ndarray:
        """What the transformer may be told of the targets."""
        if not _is_tensor(self.pool):
            return np.zeros(self.pool.size)
        targets = self.pool.plain_targets
        y = targets.double().numpy() if targets.is_floating_point() else targets.numpy()
        return y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y

    def _array(self, made: Any, count: int, where: str, transformer: Any) -> np.ndarray:
        """What a transformer has made, (rows, columns), with the columns of the first fit."""
        what = f"{where} inputs that preprocess makes"
        made = dense(made, what) if sparse.issparse(made) else made
        if isinstance(made, pd.DataFrame):
            array = numbers(made, what)
        else:
            try:
                array = np.asarray(made).astype(np.float64)
            except (ValueError, TypeError) as error:
                raise ProblemError(
                    "the {what} are not numbers ({error}); encode its words.", what=what, error=first_line(error)
                ) from error
        if array.ndim != 2 or len(array) != count:
            raise ProblemError(
                "the {what} are {shape} of {count:,} rows; let it keep the rows: (rows, columns).",
                what=what,
                shape=array.shape,
                count=count,
            )
        names = _names(transformer, made, array.shape[1])
        self._check_missing(array, names, what)
        self.names = self.names or names
        return self._placed(array, names)

    def _placed(self, array: np.ndarray, names: list[str | None]) -> np.ndarray:
        """The columns where the first fit had them, zeros for those that are missing."""
        if names == self.names:
            return array
        if None in names or None in self.names:
            raise ProblemError(
                "preprocess={transformer} makes {count} columns of some rows and {count2} of others; let it "
                "make the same, e.g. OneHotEncoder(categories=…).",
                transformer=self.short,
                count=len(names),
                count2=len(self.names),
            )
        places = pd.Index(names).get_indexer(pd.Index(self.names))  # −1 of those that are missing
        return np.where(places < 0, 0.0, array.take(places, axis=1))

    def _check_missing(self, array: np.ndarray, names: list[str | None], what: str) -> None:
        missing = (~np.isfinite(array)).sum(0)
        if missing.any():
            named = [
                f"{name or k} ({count})" for k, (name, count) in enumerate(zip(names, missing, strict=True)) if count
            ]
            raise ProblemError(
                "the {what} hold NaN or infinite values in {named}; let it fill them, e.g. SimpleImputer().",
                what=what,
                named=few(named),
            )

    def _scale(self, places: Tensor) -> tuple[Tensor | float, Tensor | float]:
        """Mean and standard deviation of the targets at these rows of the pool; 1 in the place of 0."""
        if not self.scaled:
            return 0.0, 1.0
        values = self.pool.plain_targets[places].double()
        spread = values.std(0, correction=0)
        return values.mean(0), torch.where(spread > 0, spread, 1.0)

    def _tensor(self, array: np.ndarray, where: str) -> Tensor:
        made = torch.from_numpy(np.array(array)).to(self.dtype)
        check_finite(made, f"{where} inputs that preprocess makes, as {str(self.dtype).removeprefix('torch.')},")
        return made

    def _tried(self, call: Callable[[], Any], when: str) -> Any:
        try:
            return call()
        except Exception as error:  # whatever a user's transformer may raise
            raise ProblemError(
                f"preprocess={self.short} fails with {type(error).__name__} when it {when} "
                f"({first_line(error)}){line_of(error)}; repair it, or give preprocess='plain'."
            ) from error


def _fit(transformer: Any, rows: Any, y: np.ndarray) -> Any:
    """What a transformer makes of the rows that it is fitted on."""
    if hasattr(transformer, "fit_transform"):
        return transformer.fit_transform(rows, y)
    return transformer.fit(rows, y).transform(rows)


def _names(transformer: Any, made: Any, count: int) -> list[str | None]:
    """The names of the columns that a fitted transformer makes; None for all unless each has its own."""
    try:
        given = made.columns if isinstance(made, pd.DataFrame) else transformer.get_feature_names_out()
    except Exception:  # many transformers lack it, each in its own way
        given = ()
    names = list(map(str, given))
    return [*names] if len(set(names)) == count else [None] * count


def _moved(targets: Any, shift: Any, scale: Any) -> Any:
    if isinstance(shift, float):
        return targets
    if isinstance(targets, Weighted):
        return Weighted(_moved(targets.targets, shift, scale), targets.weights)
    return ((targets.double() - shift) / scale).to(targets.dtype)


def _is_tensor(part: Samples) -> bool:
    return isinstance(part.plain_targets, Tensor)
