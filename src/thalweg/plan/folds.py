"""Cross-validation: which samples a member is trained on, and which it is judged on.

A fold is a pair of row numbers within the *pool*, the training and validation samples in the order given. Each
(setting, seed, fold) is a member; the members of one seed and one fold share their batches and so a block. A block
has one fold, and not all folds at once with the held-out samples weighted by zero: such weights would cost the
arithmetic of samples that count for nothing (all but a few, in a time-ordered split), could not pass through a
user's loss that gives one number for a batch, and would change the order of batches from that of the same run alone.

The test part belongs to no fold. scikit-learn splits; what a store keeps is the splitter's class and arguments.
Read next: `intervals.py`, what folds mean for how sure a mean is.
"""

from __future__ import annotations

import hashlib
import inspect
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from ..errors import PlanError, StoreError, first_line
from ..regularizers.stopping import EarlyStopping
from ..samples import Samples

if TYPE_CHECKING:
    import pandas as pd

    from ..problem.prepare import Prepared
    from .factors import Factor

FOLD = "fold"  # the column of tables
Rows = tuple[Tensor, Tensor]  # to train on, to judge on
_STATUSES = ("finished", "diverged", "started", "waiting")  # folds together have the last that one of them has


class Rowed(NamedTuple):
    """Samples to split: how many, their class ids if targets are that, and their groups if the problem has some."""

    size: int
    labels: np.ndarray | None
    groups: np.ndarray | None


@dataclass(frozen=True)
class Folds:
    """How a study cross-validates.

    Attributes:
        splitter: a class of `sklearn.model_selection`.
        arguments: it is made with; enough to draw the same folds again.
        count: how many folds.
        overlap: samples a fold judges on per sample it trains on, on average; how much less the losses of
            folds tell than those of so many independent samples would.
        digest: sha256 of all row numbers.
    """

    splitter: str
    arguments: Mapping[str, Any]
    count: int
    overlap: float
    digest: str = field(repr=False)

    @classmethod
    def of(cls, splitter: Any, arguments: Mapping[str, Any], rows: list[Rows], **more: Any) -> Self:
        """Those that a splitter of these arguments cuts."""
        overlap = float(np.mean([len(judging) / len(training) for training, judging in rows]))
        return cls(type(splitter).__name__, arguments, len(rows), overlap, digest_of(rows), **more)

    def __str__(self) -> str:
        """
        >>> str(Folds("KFold", {"n_splits": 5}, 5, 0.25, ""))
        '5 folds, KFold(n_splits=5)'
        """
        return f"{self.count} folds, {self.code}"

    @property
    def code(self) -> str:
        """The splitter, as it is written in Python."""
        arguments = ", ".join(f"{name}={value!r}" for name, value in self.arguments.items())
        return f"{self.splitter}({arguments if len(arguments) < 100 else '…'})"

    def rows(self, ready: Prepared) -> list[Rows]:
        """For each fold, the rows of the pool to train on, and those to judge on.

        Raises:
            PlanError: this version of scikit-learn splits otherwise than the one the study was begun with.
        """
        rows = self._rows(_rebuilt(self.splitter, self.arguments), ready)
        if digest_of(rows) != self.digest:
            raise PlanError(
                "{splitter} of this scikit-learn draws other folds than those the study was begun with; use "
                "the version that its provenance names, or start a new study.",
                splitter=self.splitter,
            )
        return rows

    @staticmethod
    def _rows(splitter: Any, ready: Prepared) -> list[Rows]:
        return split(splitter, Rowed(ready.pool.size, labels_of(ready.pool), ready.groups))

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any] | None) -> Self | None:
        return None if values is None else cls(**{f.name: values[f.name] for f in fields(cls)})


def folds(count: Any, ready: Prepared, seed: int) -> Folds:
    """The folds of a study.

    Args:
        count: how many, which are then stratified where targets are class ids and keep groups together where the
            problem has them; or a splitter of `sklearn.model_selection`, which is used unchanged.
        seed: of the split, where a number is given.

    Raises:
        PlanError: one sentence on folds that cannot be cut from these data, or not be drawn again.
    """
    if isinstance(ready.train, DataLoader):
        raise PlanError(
            "the train data are a DataLoader, which is used unchanged, so no folds can be cut from it; "
            "give the data as tensors, arrays or a Dataset, or leave folds out."
        )
    splitter = _splitter(count, ready, seed) if isinstance(count, int | np.integer) else count
    arguments = arguments_of(splitter)
    if type(splitter).__name__ == "TimeSeriesSplit" and "test" in ready.drawn:
        raise PlanError(
            "TimeSeriesSplit judges on what comes later, and the test part would be drawn at random "
            "from all times; give the problem a test part, the latest samples."
        )
    return Folds.of(splitter, arguments, Folds._rows(splitter, ready))


def check_unwatched(schedule: Factor, regularizer: Factor) -> None:
    """Refuse what needs a validation part to the end: the last runs train on all samples, and have none."""
    watching = {label: "schedule" for label, rule in schedule.objects.items() if rule.closed}
    for label, rule in regularizer.objects.items():
        if rule is not None and any(isinstance(part, EarlyStopping) for part in rule.parts):
            watching[label] = "regularizer"
    for label, kind in watching.items():
        raise PlanError(
            "the {kind} {label} watches the validation loss, and with folds the chosen settings are "
            "trained at last on all samples, where there is none; leave it out, or leave folds out.",
            kind=kind,
            label=label,
        )


def averaged(members: pd.DataFrame) -> pd.DataFrame:
    """The table of members with one row for all folds of a setting and seed: their mean losses.

    It is diverged where a fold is, and unfinished where one is. Rows of no fold, trained on all samples, lend it
    what they alone have: the metrics on the test part.
    """
    metrics = list(members.columns[members.columns.get_loc("step") + 1 :])
    keys = [c for c in members.columns if c not in ("member", FOLD, "status", "step", *metrics)]
    codes = members["status"].replace("stopped", "started").map(_STATUSES.index)
    groups = members.assign(status=codes).groupby(keys, sort=False, dropna=False)
    table = groups.agg({"member": "first", "status": "max", "step": "max", **dict.fromkeys(metrics, "mean")})
    table["status"] = table["status"].map(_STATUSES.__getitem__)
    return table.reset_index()[[c for c in members.columns if c != FOLD]]


def _splitter(count: Any, ready: Prepared, seed: int) -> Any:
    if isinstance(count, bool) or count < 2:
        raise PlanError(
            "folds={count} is not allowed: give a whole number of at least 2, since each fold is judged on what "
            "the others train on.",
            count=repr(count),
        )
    count, labels = int(count), labels_of(ready.pool)
    if count > ready.pool.size:
        raise PlanError(
            "{count} folds cannot be cut from {size} samples of training and validation; give fewer folds.",
            count=count,
            size=ready.pool.size,
        )
    if ready.groups is not None and (groups := len(np.unique(ready.groups))) < count:
        raise PlanError(
            "{count} folds cannot be cut from {groups} groups; give at most {groups}.", count=count, groups=groups
        )
    if labels is not None:
        classes, sizes = np.unique(labels, return_counts=True)
        if sizes.min() < count:
            raise PlanError(
                "class {classes} has {smallest} samples of training and validation, fewer than {count} "
                "folds; give fewer folds, or a splitter that does not stratify, such as KFold({count}, "
                "shuffle=True, random_state=0).",
                classes=classes[sizes.argmin()],
                smallest=sizes.min(),
                count=count,
            )
    return shuffled(count, labels is not None, ready.groups is not None, seed)


def shuffled(count: int, stratified: bool, grouped: bool, seed: int) -> Any:
    """A splitter that draws folds at random, where that is possible."""
    from sklearn import model_selection as sk

    shuffle = {"shuffle": True, "random_state": seed}
    if grouped:
        return sk.StratifiedGroupKFold(count, **shuffle) if stratified else sk.GroupKFold(count)
    return sk.StratifiedKFold(count, **shuffle) if stratified else sk.KFold(count, **shuffle)


def labels_of(pool: Samples) -> np.ndarray | None:
    """Class ids, one for each sample, if that is what the targets are."""
    targets = pool.plain_targets
    ids = isinstance(targets, Tensor) and not targets.is_floating_point() and targets.ndim == 1
    return targets.numpy() if ids else None


def arguments_of(splitter: Any) -> dict[str, Any]:
    """What makes an equal splitter; refused if that is not all there is to it."""
    from sklearn import model_selection

    kind = type(splitter)
    if getattr(model_selection, kind.__name__, None) is not kind or not hasattr(splitter, "split"):
        raise PlanError(
            "folds={splitter} is not allowed: give a number of folds, or a splitter of "
            "sklearn.model_selection, such as TimeSeriesSplit(5).",
            splitter=repr(splitter),
        )
    names = [p.name for p in inspect.signature(kind).parameters.values() if p.kind is not p.VAR_KEYWORD]
    repeated = getattr(splitter, "cvargs", {})
    values = {name: getattr(splitter, name, repeated.get(name)) for name in names}
    seeded = isinstance(values.get("random_state"), int | np.integer)
    if "random_state" in values and values.get("shuffle", True) and not seeded:
        raise PlanError(
            "{kind} has random_state={values}, so the same folds could not be drawn again; give it a "
            "whole number, {kind}(…, random_state=0).",
            kind=kind.__name__,
            values=repr(values["random_state"]),
        )
    return {n: v.tolist() if isinstance(v, np.ndarray | np.generic) else v for n, v in values.items()}


def _rebuilt(name: str, arguments: Mapping[str, Any]) -> Any:
    from sklearn import model_selection

    kind = getattr(model_selection, name, None)
    if not inspect.isclass(kind) or not hasattr(kind, "split"):
        raise StoreError(f"the plan in the store has the folds of {name!r}, which is not a splitter; it is damaged.")
    return kind(**arguments)


def split(splitter: Any, samples: Rowed) -> list[Rows]:
    """The rows of each fold, with whatever scikit-learn has against it in one sentence."""
    size, labels, groups = samples
    data = np.zeros((size, 1)), np.zeros(size) if labels is None else labels, groups
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            warnings.filterwarnings("ignore", "The groups parameter is ignored")  # checked below
            rows = [tuple(map(np.asarray, pair)) for pair in splitter.split(*data)]
    except (ValueError, TypeError, UserWarning) as error:
        raise PlanError(
            f"{type(splitter).__name__} cannot split these {size} samples ({first_line(error)}); "
            "give other folds" + (", or groups= to the problem." if "group" in str(error) else ".")
        ) from error
    if len(rows) < 2 or not all(len(part) for pair in rows for part in pair):
        raise PlanError(
            f"{type(splitter).__name__} leaves {'one fold alone' if len(rows) < 2 else 'a fold without samples'}; "
            "give at least 2 folds, each with samples to train on and samples to judge on."
        )
    if groups is not None and any(np.isin(groups[a], groups[b]).any() for a, b in rows):
        raise PlanError(
            "{kind} tears groups apart, to train on some of their samples and judge on others; give a "
            "number of folds, a splitter for groups such as GroupKFold(5), or a problem without groups.",
            kind=type(splitter).__name__,
        )
    return [(torch.from_numpy(training), torch.from_numpy(judging)) for training, judging in rows]


def digest_of(rows: list[Rows]) -> str:
    digest = hashlib.sha256()
    for part in (part for fold in rows for part in fold):
        digest.update(f"{len(part)} ".encode())
        digest.update(part.numpy().astype("<i8").tobytes())
    return digest.hexdigest()
