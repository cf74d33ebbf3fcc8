"""How a user's data become tensors, and how validation and test parts are split off them.

A part of a problem (train, validation or test) is a pair of arrays or tensors, a torch Dataset or a DataLoader; all
become one pair of tensors on the CPU, floats in the model's dtype and integers as int64. Only a DataLoader given for
training stays a DataLoader, because its order and batches are the user's.
Read next: `prepare.py`, which checks the tensors against the model and the loss.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset

from ..errors import ProblemError, first_line

Pair = tuple[torch.Tensor, torch.Tensor]
FORMS = "a pair (inputs, targets) of tensors or arrays, a torch Dataset or a DataLoader"
HELD_OUT = 0.2


def read(part: Any, where: str, dtype: torch.dtype) -> Pair:
    """All samples of `part` as (inputs, targets), floats in `dtype`, integers as int64.

    Raises:
        ProblemError: for anything but a pair, a Dataset or a DataLoader; for inputs or targets that are
            not a single tensor each; for empty data, different lengths, NaN and infinities.
    """
    inputs, targets = _pair(part, where)
    pair = _tensor(inputs, f"{where} inputs", dtype), _tensor(targets, f"{where} targets", dtype)
    for tensor, what in zip(pair, ("inputs", "targets"), strict=True):
        if tensor.ndim == 0 or tensor.numel() == 0:
            raise ProblemError(
                f"the {where} {what} are empty, of shape {tuple(tensor.shape)}; give at least one sample."
            )
    if len(pair[0]) != len(pair[1]):
        raise ProblemError(
            f"the {where} data have {len(pair[0])} inputs and {len(pair[1])} targets; give one target for each input."
        )
    return pair


def sample_of(loader: DataLoader[Any], count: int) -> Pair:
    """A batch of the loader's first samples, read from its dataset so that its own order is not advanced.

    Nothing is converted: a train DataLoader is used unchanged, so what does not fit must be seen.
    """
    dataset: Any = loader.dataset
    try:
        if isinstance(dataset, IterableDataset):
            samples = list(itertools.islice(iter(dataset), count))
        else:
            samples = [dataset[index] for index in range(min(count, len(dataset)))]
        collated = loader.batch_sampler is not None
        batch = loader.collate_fn(samples if collated else samples[0]) if samples else None
    except Exception as error:  # whatever a user's dataset may raise
        raise ProblemError(
            f"the dataset of the train DataLoader fails when its first samples are read "
            f"({first_line(error)}); repair it or give tensors."
        ) from error
    if not samples:
        raise ProblemError("the train DataLoader has no samples; give at least one.")
    inputs, targets = _two(batch, "train")
    if not isinstance(inputs, torch.Tensor) or not isinstance(targets, torch.Tensor):
        raise ProblemError(
            f"a batch of the train DataLoader is ({type(inputs).__name__}, {type(targets).__name__}); "
            "inputs and targets must be a single tensor each."
        )
    return inputs, targets


def tensors_of(loader: DataLoader[Any]) -> Pair | None:
    """The data behind a loader where they lie in memory as tensors, else None.

    Other datasets may be huge, or random as with augmentation, and are not read here.
    """
    dataset, rows = loader.dataset, None
    while isinstance(dataset, Subset):
        indices = torch.as_tensor(list(dataset.indices), dtype=torch.int64)
        rows = indices if rows is None else indices[rows]
        dataset = dataset.dataset
    if not isinstance(dataset, TensorDataset) or len(dataset.tensors) != 2:
        return None
    inputs, targets = dataset.tensors
    return (inputs, targets) if rows is None else (inputs[rows], targets[rows])


def split(inputs: Any, targets: Any, seed: int = 0) -> tuple[tuple[Any, Any], ...]:
    """(train, validation, test): 20% for testing, then 20% of the rest for validation.

    Drawn by `seed`, and stratified where targets are class ids with enough samples of each.

    >>> parts = split(np.arange(100), np.arange(100) % 2)
    >>> [len(inputs) for inputs, _ in parts], int(parts[2][1].sum())
    ([64, 16, 20], 10)
    """
    rest, test = hold_out(targets, HELD_OUT, seed, "train")
    train, validation = hold_out(targets[rest], HELD_OUT, seed, "train")
    return tuple((inputs[rows], targets[rows]) for rows in (rest[train], rest[validation], test))


def hold_out(
    targets: Any, share: float, seed: int, where: str, groups: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers (rest, held out) of a split drawn by `seed`, stratified where it can be.

    Args:
        groups: a label for each sample; a group is kept or held out as a whole, and nothing is stratified.

    Raises:
        ProblemError: for fewer than two samples or groups, from which nothing can be held out.
    """
    from sklearn.model_selection import GroupShuffleSplit, train_test_split

    count = len(targets)
    if count < 2:
        raise ProblemError(
            f"the {where} data are too few to split ({count} sample); give validation= and test= yourself."
        )
    if groups is not None:
        if len(np.unique(groups)) < 2:
            raise ProblemError(
                f"the {where} data are one group, so nothing can be held out; give validation= and test= yourself."
            )
        splitter = GroupShuffleSplit(1, test_size=share, random_state=seed)
        rest, part = next(splitter.split(np.empty(count), groups=groups))
    else:
        labels = _strata(targets, share)
        rest, part = train_test_split(np.arange(count), test_size=share, random_state=seed, stratify=labels)
    return np.sort(rest), np.sort(part)


def labels_of(groups: Any, samples: int) -> np.ndarray:
    """A group's number for each sample.

    Raises:
        ProblemError: it is not one label for each sample.
    """
    try:
        labels = np.asarray(groups)
        numbers = np.unique(labels, return_inverse=True)[1]
    except (ValueError, TypeError) as error:
        raise ProblemError(
            f"groups cannot be read ({first_line(error)}); give one label, a number or a name, for each sample."
        ) from error
    if labels.shape != (samples,):
        raise ProblemError(
            f"groups has the shape {labels.shape}, and there are {samples} samples of training and validation; "
            "give one label for each of them, in their order."
        )
    return numbers


def _strata(targets: Any, share: float) -> np.ndarray | None:
    """The targets if a split can keep their proportions: class ids, two of each, one for each side."""
    if isinstance(targets, torch.Tensor) and targets.is_floating_point():
        return None  # NumPy lacks bfloat16
    labels = np.asarray(targets)
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        return None
    _, counts = np.unique(labels, return_counts=True)
    size = int(np.ceil(share * len(labels)))
    return labels if counts.min() >= 2 and len(counts) <= min(size, len(labels) - size) else None


def _pair(part: Any, where: str) -> tuple[Any, Any]:
    if isinstance(part, TensorDataset):
        return _two(part.tensors, where)
    if isinstance(part, DataLoader | Dataset):
        batched, pairs = isinstance(part, DataLoader), [_two(item, where) for item in _iterated(part, where)]
        return _joined([x for x, _ in pairs], where, batched), _joined([y for _, y in pairs], where, batched)
    if isinstance(part, tuple | list):
        return _two(part, where)
    raise ProblemError(f"the {where} data are a {type(part).__name__}; give {FORMS}.")


def _iterated(part: Any, where: str) -> list[Any]:
    try:
        if isinstance(part, Dataset) and not isinstance(part, IterableDataset):
            sized: Any = part
            return [part[index] for index in range(len(sized))]
        return list(part)
    except Exception as error:  # whatever a user's dataset may raise
        raise ProblemError(
            f"the {where} data cannot be read to the end ({first_line(error)}); repair the dataset or give tensors."
        ) from error


def _two(item: Any, where: str) -> tuple[Any, Any]:
    if not isinstance(item, tuple | list) or len(item) != 2:
        size = f" of {len(item)}" if isinstance(item, tuple | list) else ""
        raise ProblemError(f"the {where} data hold a {type(item).__name__}{size}; give (inputs, targets).")
    return item[0], item[1]


def _joined(pieces: list[Any], where: str, batched: bool) -> torch.Tensor:
    if not pieces:
        return torch.empty(0)
    if not all(isinstance(piece, torch.Tensor | np.ndarray | np.generic | int | float) for piece in pieces):
        raise ProblemError(
            f"the {where} data hold a {type(pieces[0]).__name__} as inputs or targets of a sample; "
            "inputs and targets must be a single tensor each."
        )
    try:
        tensors = [p if isinstance(p, torch.Tensor) else _from_numpy(np.asarray(p), f"{where} data") for p in pieces]
        return torch.cat(tensors) if batched else torch.stack(tensors)
    except (RuntimeError, TypeError) as error:
        raise ProblemError(
            f"the {where} samples differ in shape or type ({first_line(error)}); pad or crop them to one shape."
        ) from error


def _tensor(values: Any, what: str, dtype: torch.dtype) -> torch.Tensor:
    if isinstance(values, torch.Tensor):
        tensor = values.detach().cpu()
    elif hasattr(values, "__array__"):
        tensor = _from_numpy(np.asarray(values), what)
    else:
        raise ProblemError(
            f"the {what} are a {type(values).__name__}; they must be a single tensor or array, so join or stack them."
        )
    if tensor.layout is not torch.strided or tensor.is_complex() or tensor.dtype is torch.bool:
        kind = str(tensor.dtype if tensor.layout is torch.strided else tensor.layout).removeprefix("torch.")
        raise ProblemError(f"the {what} are {kind}; convert them to dense floats or integers.")
    if not tensor.is_floating_point():
        return tensor.to(torch.int64).contiguous()
    converted = tensor.to(dtype).contiguous()
    check_finite(tensor, what)
    check_finite(converted, f"{what} as {str(dtype).removeprefix('torch.')}")
    return converted


def check_finite(tensor: torch.Tensor, what: str) -> None:
    """Raise a ProblemError that counts NaN and infinities, if there are any."""
    if bad := int((~torch.isfinite(tensor)).sum()):
        raise ProblemError(
            f"the {what} hold {bad} value{'s' * (bad > 1)} of {tensor.numel()} that {'are' if bad > 1 else 'is'} "
            "NaN or infinite; remove or replace them."
        )


def _from_numpy(array: np.ndarray, what: str) -> torch.Tensor:
    """A copy, since torch cannot take read-only, byte-swapped or negatively strided memory."""
    size = np.float32 if array.dtype.itemsize <= 4 else np.float64
    types = {"i": np.int64, "u": np.int64, "f": size, "b": array.dtype, "c": array.dtype}
    if array.dtype.kind not in types:
        raise ProblemError(f"the {what} are an array of {array.dtype}; give floats or integers.")
    return torch.from_numpy(np.array(array, types[array.dtype.kind]))
