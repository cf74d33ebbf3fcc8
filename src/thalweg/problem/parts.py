"""The parts of a problem as samples: read, split off where they are missing, and preprocessed.

What is preprocessed is split first: until the training rows are known its inputs are the numbers of rows of a table.
Read next: `data.py` (reading and splitting), `tables.py`, `preprocessing.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader

from ..errors import ProblemError
from ..samples import Samples, Weighted, scores
from .checks import forward
from .data import HELD_OUT, hold_out, labels_of, read, strata
from .declaration import Problem
from .layout import Layout
from .preprocessing import PLAIN, Preprocessing, as_words, columns_of, plain
from .tables import Table

FEW = 2  # samples that show the shape of the outputs


class Parts(NamedTuple):
    """The parts of a problem, and where they come from; the fields are those of `Prepared`."""

    train: Samples | DataLoader[Any]
    validation: Samples
    test: Samples
    drawn: Mapping[str, bool]
    order: np.ndarray | None = None
    groups: np.ndarray | None = None
    preprocessing: Preprocessing | None = None

    def shaped(self, module: nn.Module) -> Parts:
        """The same parts, with targets shaped like the model's outputs where they have as many values."""
        with torch.no_grad():
            outputs = scores(forward(module, self.validation.take(slice(FEW)).inputs, "validation"))
        if not isinstance(outputs, torch.Tensor) or not outputs.ndim:
            return self
        change = lambda part: _shaped(part, outputs.shape[1:]) if isinstance(part, Samples) else part  # noqa: E731
        if (made := self.preprocessing) is not None:
            made.pool, made.test = change(made.pool), change(made.test)
        return self._replace(train=change(self.train), validation=change(self.validation), test=change(self.test))


def parts_of(problem: Problem, table: Table | None, dtype: torch.dtype, layout: Layout) -> Parts:
    """The parts of a problem whose tables are opened, floats in `dtype`.

    Raises:
        ProblemError: they cannot be read, split or preprocessed.
    """
    parts = _read(problem, dtype, layout)
    return parts if table is None or table.inputs is None else _preprocessed(problem, table.inputs, parts, dtype)


def dtype_of(module: nn.Module) -> torch.dtype:
    return next(p for p in module.parameters() if p.requires_grad).dtype


def in_order(samples: Samples, order: np.ndarray) -> Samples:
    """The samples of train and validation as they stood in the data as given."""
    return samples.take(torch.from_numpy(np.argsort(order, kind="stable")))


def places_of(order: np.ndarray) -> np.ndarray:
    """Where the rows of train, and then of validation, stand among those."""
    return order.argsort(kind="stable").argsort(kind="stable")


def _preprocessed(problem: Problem, rows: Any, parts: Parts, dtype: torch.dtype) -> Parts:
    """The parts, whose inputs are numbers of these rows, by what is fitted on the training part."""
    train, order = parts.train, parts.order
    assert isinstance(train, Samples)  # what is preprocessed is not a DataLoader
    assert order is not None
    transformer, columns = problem.preprocess, None
    if isinstance(transformer, str):
        if transformer != PLAIN:
            raise ProblemError(
                "preprocess={transformer} is not known; give 'plain' or a transformer.", transformer=repr(transformer)
            )
        columns = columns_of(rows.iloc[train.inputs.numpy()])
        rows, transformer = as_words(rows, columns.words), plain(columns)
    elif transformer is None:
        from sklearn.preprocessing import FunctionTransformer

        transformer = FunctionTransformer()  # changes nothing
    pool = in_order(train.joined(parts.validation), order)
    made = Preprocessing(transformer, rows, pool, parts.test, dtype, problem.scale_target, columns)
    training, judging = np.split(places_of(order), [train.size])
    made.check_repeats(torch.from_numpy(training))
    pool, test = made.fitted(torch.from_numpy(training))
    train, validation = (pool.take(torch.from_numpy(places)) for places in (training, judging))
    return parts._replace(train=train, validation=validation, test=test, preprocessing=made)


def _shaped(part: Samples, row: torch.Size) -> Samples:
    targets = part.plain_targets
    if not isinstance(targets, torch.Tensor) or targets[0].numel() != row.numel():
        return part
    shaped = targets.reshape(len(targets), *row)
    return Samples(part.inputs, Weighted(shaped, part.targets.weights) if targets is not part.targets else shaped)


def _read(problem: Problem, dtype: torch.dtype, layout: Layout) -> Parts:
    """The parts, with what is missing split off by the problem's seed."""
    validation = None if problem.validation is None else read(problem.validation, "validation", dtype, layout)
    test = None if problem.test is None else read(problem.test, "test", dtype, layout)
    drawn: dict[str, bool] = {}
    if isinstance(problem.train, DataLoader):
        if problem.groups is not None:
            raise ProblemError(
                "the train data are a DataLoader, in which samples have no places that groups could name; "
                "give the data as tensors, arrays or a Dataset, or leave groups out."
            )
        if validation is None:
            raise ProblemError(
                "the train data are a DataLoader, which is used unchanged, so nothing can be split off it; "
                "give validation= and test= as well."
            )
        if test is None:
            validation, test, _, drawn["test"] = _split_off(validation, 0.5, problem.seed, "validation")
        return Parts(problem.train, validation, test, drawn)
    train = read(problem.train, "train", dtype, layout)
    count = train.size
    rows = np.arange(count + (0 if validation is None else validation.size))
    groups = None if problem.groups is None else labels_of(problem.groups, len(rows))
    train_rows, validation_rows = rows[:count], rows[count:]
    if test is None:
        train, test, rest, drawn["test"] = _split_off(train, HELD_OUT, problem.seed, "train", groups)
        train_rows = train_rows[rest]
    if validation is None:
        labels = None if groups is None else groups[train_rows]
        train, validation, rest, drawn["validation"] = _split_off(train, HELD_OUT, problem.seed, "train", labels)
        train_rows, validation_rows = train_rows[rest], np.setdiff1d(train_rows, train_rows[rest])
    order = np.concatenate([train_rows, validation_rows])
    return Parts(train, validation, test, drawn, order, None if groups is None else groups[np.sort(order)])


def _split_off(
    part: Samples, share: float, seed: int, where: str, groups: np.ndarray | None = None
) -> tuple[Samples, Samples, np.ndarray, bool]:
    """(the rest, what is held out, the rows of the rest, whether both have the proportions of the classes)."""
    labels = part.plain_targets
    labels = labels if isinstance(labels, torch.Tensor) else np.zeros(part.size)  # nothing to stratify by
    rows = hold_out(labels, share, seed, where, None if groups is None else groups[: part.size])
    rest, held_out = (part.take(places) for places in map(torch.from_numpy, rows))
    return rest, held_out, rows[0], groups is None and strata(labels, share) is not None
