"""Further samples to judge on: parts of the training samples that change places with the validation part.

A validation part is one draw of samples, and what a verdict is unsure of because of that, no further seed takes away.
So the training samples are cut into parts of about the size of the validation part. A part in its turn judges, and what
is left, together with the validation part, trains: about as many samples as before, none of which judges its own model.
With all parts each sample of training and validation has judged once; the test part belongs to none.

The models of two parts share most of their training samples. What their samples tell is the mean performance of these
models on samples like these; to estimate its variance, samples may then be counted as independent, as they are behind
one model (Bayle, Bayle, Janson & Mackey 2020, "Cross-validation confidence intervals for test error").
Folds that a study asks for (`folds.py`) answer another question, the performance over all training sets of that size,
for which there is no such estimate.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from torch.utils.data import DataLoader

from ..errors import PlanError
from ..numbers import Range
from ..problem.parts import places_of
from ..samples import Samples
from .folds import Folds, Rowed, Rows, arguments_of, labels_of, shuffled, split

if TYPE_CHECKING:
    from ..problem.prepare import Prepared


@dataclass(frozen=True)
class Swaps(Folds):
    """Parts of the training samples that judge beside the validation part, one after the other.

    Attributes:
        sizes: samples in each part.
        used: so many of the parts judge, the first ones.
    """

    sizes: tuple[int, ...] = ()
    used: int = 0

    @staticmethod
    def _rows(splitter: Any, ready: Prepared) -> list[Rows]:
        """For each part the rows of the pool to train on, and those of the part."""
        places = _places(ready)
        judging = [places[part.numpy()] for _, part in split(splitter, _training(ready))]
        everywhere = np.arange(len(places))
        pairs = [(np.setdiff1d(everywhere, part), np.sort(part)) for part in judging]
        return [(torch.from_numpy(training), torch.from_numpy(part)) for training, part in pairs]

    def samples(self, used: int) -> int:
        """How many samples so many of the parts have."""
        return sum(self.sizes[:used])

    @classmethod
    def from_json(cls, values: Mapping[str, Any] | None) -> Self | None:
        swaps = super().from_json(values)
        if swaps is None:
            return None
        if not 0 < swaps.used <= len(swaps.sizes) == swaps.count:
            raise PlanError("swaps has not as many parts as it uses")
        return replace(swaps, sizes=tuple(swaps.sizes))


def swapped(samples: Any, ready: Prepared, before: Swaps | None) -> Swaps:
    """As many parts as are needed until so many samples judge.

    Args:
        samples: how many are to judge at least, those of the validation part among them.
        before: the parts that judge already.

    Raises:
        PlanError: no more samples than judge already, or more than there are; or the data are a DataLoader.
    """
    if isinstance(ready.train, DataLoader):
        raise PlanError(
            "the train data are a DataLoader, which is used unchanged, so none of its samples can "
            "judge; give more seeds, or a problem with tensors, arrays or a Dataset."
        )
    samples = Range(1, whole=True).check("samples", samples, PlanError)
    first = ready.validation.size
    most = first + ready.train.size
    present = first if before is None else first + before.samples(before.used)
    if not present < samples <= most:
        if present == most:
            words = f"all {most:,} of training and validation judge already; give more seeds"
        elif samples > most:
            words = f"training and validation have {most:,} together; give at most that many"
        else:
            words = f"{present:,} judge already; give more, up to {most:,}"
        raise PlanError(f"samples={samples:,}, and {words}.")
    swaps = _cut(ready) if before is None else before
    reached = first + np.cumsum(swaps.sizes)
    return replace(swaps, used=int(np.searchsorted(reached, samples)) + 1)


def _cut(ready: Prepared) -> Swaps:
    """The training samples in parts of about the size of the validation part."""
    part = _training(ready)
    count = max(2, round(part.size / ready.validation.size))
    units = part.size if part.groups is None else len(np.unique(part.groups))
    if units < 2:
        raise PlanError("the training samples are a single group, so no part of them can judge; give more seeds.")
    count = min(count, units)
    # A class that has fewer samples than there are parts cannot be in each of them.
    classes = None if part.labels is None or part.groups is not None else np.unique(part.labels, return_counts=True)
    stratified = classes is not None and classes[1].min() >= count
    splitter = shuffled(count, stratified, part.groups is not None, seed=0)
    rows = Swaps._rows(splitter, ready)
    return Swaps.of(splitter, arguments_of(splitter), rows, sizes=tuple(len(judging) for _, judging in rows))


def _training(ready: Prepared) -> Rowed:
    """The training samples, as something to split."""
    assert isinstance(ready.train, Samples)
    groups = None if ready.groups is None else ready.groups[_places(ready)[: ready.train.size]]
    return Rowed(ready.train.size, labels_of(ready.train), groups)


def _places(ready: Prepared) -> np.ndarray:
    """Where the rows of train, and then of validation, stand in the pool."""
    assert ready.order is not None  # only a DataLoader has none
    return places_of(ready.order)
