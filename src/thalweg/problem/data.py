"""How a user's data become tensors, and how validation and test parts are split off them.

A part of a problem (train, validation or test) is inputs and targets, a torch Dataset or a DataLoader; inputs and
targets are arrays, tensors or trees of them, and become tensors on the CPU, floats in the model's dtype and integers as
int64. Only a DataLoader given for training stays a DataLoader, because its order and batches are the user's.
Read next: `prepare.py`, which checks the tensors against the model and the loss.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import torch
from torch.utils import _pytree as pytree
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset

from ..errors import ProblemError, first_line, line_of, raised
from ..samples import Samples, Weighted
from .layout import FORMS, USUAL, Layout, given

HELD_OUT = 0.2
SAMPLES = 8  # that show whether parts fit together


def read(part: Any, where: str, dtype: torch.dtype, layout: Layout = USUAL) -> Samples:
    """All samples of `part`, floats in `dtype`, integers as int64.

    Raises:
        ProblemError: for what is none of `FORMS`; for empty data, different lengths, NaN and infinities.
    """
    samples = _samples(part, where, layout)
    inputs = _tensors(samples.inputs, f"{where} inputs", dtype)
    targets = _tensors(samples.plain_targets, f"{where} targets", dtype)
    if isinstance(samples.targets, Weighted):
        targets = Weighted(targets, _weights(samples.targets.weights, f"{where} weights", dtype))
    samples = Samples(inputs, targets)
    _check_rows(samples, where)
    return samples


def _check_rows(samples: Samples, where: str) -> None:
    """As many rows, at least one, in every tensor."""
    named = [(f"{what}{pytree.keystr(path)}", t) for what, path, t in _named(samples)]
    if not named or not any(name.startswith("inputs") for name, _ in named):
        raise ProblemError("the {where} data hold no tensor; give {forms}.", where=where, forms=FORMS)
    for name, tensor in named:
        if tensor.ndim == 0 or tensor.numel() == 0:
            raise ProblemError(
                "the {where} {name} are empty, of shape {shape}; give at least one sample.",
                where=where,
                name=name,
                shape=tuple(tensor.shape),
            )
    (first, one), *others = named
    for name, tensor in others:
        if len(tensor) != len(one):
            each = "one target for each input" if name == "targets" else "one row for each sample"
            raise ProblemError(f"the {where} data have {len(one)} {first} and {len(tensor)} {name}; give {each}.")


def _named(samples: Samples) -> list[tuple[str, Any, torch.Tensor]]:
    """What each tensor is part of, its path in there, and the tensor."""
    parts = {"inputs": samples.inputs, "targets": samples.plain_targets}
    if isinstance(samples.targets, Weighted):
        parts["weights"] = samples.targets.weights
    return [(what, path, t) for what, part in parts.items() for path, t in pytree.tree_flatten_with_path(part)[0]]


def first_batch(loader: DataLoader[Any], count: int) -> Any:
    """A batch of the loader's first samples, read from its dataset so that its own order is not advanced; None where
    there are none.

    Raises:
        Exception: whatever the dataset raises.
    """
    dataset: Any = loader.dataset
    if isinstance(dataset, IterableDataset):
        samples = list(itertools.islice(iter(dataset), count))
    else:
        samples = [dataset[index] for index in range(min(count, len(dataset)))]
    collated = loader.batch_sampler is not None
    return loader.collate_fn(samples if collated else samples[0]) if samples else None


def sample_of(loader: DataLoader[Any], layout: Layout) -> Samples:
    """The loader's `first_batch`; nothing is converted: a train DataLoader is used unchanged, so what does not fit must
    be seen."""
    try:
        batch = first_batch(loader, SAMPLES)
    except Exception as error:  # whatever a user's dataset may raise
        raise ProblemError(
            "reading the first samples of the train DataLoader's dataset fails with {error}; repair it "
            "or give tensors.",
            error=raised(error),
        ) from error
    if batch is None:
        raise ProblemError("the train DataLoader has no samples; give at least one.")
    few = given(batch, "train", layout)
    for what, path, tensor in _named(few):
        if not isinstance(tensor, torch.Tensor):
            raise ProblemError(
                "a batch of the train DataLoader holds something of type {kind} as {what}{path}; let it give "
                "tensors, or trees of tensors.",
                kind=type(tensor).__name__,
                what=what,
                path=pytree.keystr(path),
            )
    return few


def tensors_of(loader: DataLoader[Any]) -> Samples | None:
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
    samples = Samples(*dataset.tensors)
    return samples if rows is None else samples.take(rows)


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
            "the {where} data are too few to split ({count} sample); give validation= and test= yourself.",
            where=where,
            count=count,
        )
    if groups is not None:
        if len(np.unique(groups)) < 2:
            raise ProblemError(
                "the {where} data are one group, so nothing can be held out; give validation= and test= yourself.",
                where=where,
            )
        splitter = GroupShuffleSplit(1, test_size=share, random_state=seed)
        rest, part = next(splitter.split(np.empty(count), groups=groups))
    else:
        labels = strata(targets, share)
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
            "groups cannot be read ({error}); give one label, a number or a name, for each sample.",
            error=first_line(error),
        ) from error
    if labels.shape != (samples,):
        raise ProblemError(
            "groups has the shape {shape}, and there are {samples} samples of training and validation; "
            "give one label for each of them, in their order.",
            shape=labels.shape,
            samples=samples,
        )
    return numbers


def strata(targets: Any, share: float) -> np.ndarray | None:
    """The targets if a split can keep their proportions: class ids, two of each, one for each side."""
    if isinstance(targets, torch.Tensor) and targets.is_floating_point():
        return None  # NumPy lacks bfloat16
    labels = np.asarray(targets)
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        return None
    _, counts = np.unique(labels, return_counts=True)
    size = int(np.ceil(share * len(labels)))
    return labels if counts.min() >= 2 and len(counts) <= min(size, len(labels) - size) else None


def _samples(part: Any, where: str, layout: Layout) -> Samples:
    if isinstance(part, TensorDataset):
        return given(part.tensors, where, layout)
    if isinstance(part, DataLoader | Dataset):
        batched = isinstance(part, DataLoader)
        each = [given(item, where, layout) for item in _iterated(part, where)]
        return Samples(*_joined([tuple(one) for one in each], where, batched)) if each else Samples(torch.empty(0))
    return given(part, where, layout)


def _iterated(part: Any, where: str) -> list[Any]:
    try:
        if isinstance(part, Dataset) and not isinstance(part, IterableDataset):
            sized: Any = part
            return [part[index] for index in range(len(sized))]
        return list(part)
    except Exception as error:  # whatever a user's dataset may raise
        raise ProblemError(
            "the {where} data cannot be read to the end ({error}){line}; repair the dataset or give tensors.",
            where=where,
            error=first_line(error),
            line=line_of(error),
        ) from error


def _joined(pieces: list[Any], where: str, batched: bool) -> Any:
    """The trees of single samples, or of batches, as one."""
    flat, forms = zip(*map(pytree.tree_flatten, pieces), strict=True)
    if others := [form for form in forms if form != forms[0]]:
        raise ProblemError(
            "the {where} samples differ in what they hold ({first} and {other}); give each the same.",
            where=where,
            first=f"a tree of {forms[0].num_leaves} tensors",
            other=f"a tree of {others[0].num_leaves} tensors",
        )
    columns = [_column(list(column), where, batched) for column in zip(*flat, strict=True)]
    return pytree.tree_unflatten(columns, forms[0])


def _column(pieces: list[Any], where: str, batched: bool) -> torch.Tensor:
    if not all(isinstance(piece, torch.Tensor | np.ndarray | np.generic | int | float) for piece in pieces):
        raise ProblemError(
            "the {where} data hold something of type {kind} in a sample; give tensors, arrays or numbers, or "
            "trees of them.",
            where=where,
            kind=type(pieces[0]).__name__,
        )
    try:
        tensors = [p if isinstance(p, torch.Tensor) else _from_numpy(np.asarray(p), f"{where} data") for p in pieces]
        return torch.cat(tensors) if batched else torch.stack(tensors)
    except (RuntimeError, TypeError) as error:
        raise ProblemError(
            "the {where} samples differ in shape or type ({error}); pad or crop them to one shape.",
            where=where,
            error=first_line(error),
        ) from error


def _tensors(values: Any, what: str, dtype: torch.dtype) -> Any:
    """The same tree, of tensors as they are trained on; lists of numbers are arrays."""
    if isinstance(values, list) and all(isinstance(leaf, int | float) for leaf in pytree.tree_leaves(values)):
        try:
            values = np.array(values)
        except ValueError as error:
            raise ProblemError(
                "the {what} differ in length ({error}); pad or crop them.", what=what, error=first_line(error)
            ) from error
    flat, form = pytree.tree_flatten_with_path(values)
    return pytree.tree_unflatten([_tensor(leaf, what + pytree.keystr(path), dtype) for path, leaf in flat], form)


def _weights(values: Any, what: str, dtype: torch.dtype) -> torch.Tensor:
    """How much each sample counts."""
    weights = _tensor(values, what, dtype).to(dtype)
    if weights.ndim != 1:
        raise ProblemError(
            "the {what} are of shape {shape}; give one number for each sample.", what=what, shape=tuple(weights.shape)
        )
    if bool((weights < 0).any()) or not bool((weights > 0).any()):
        raise ProblemError("the {what} must be 0 or more, and one of them at least above 0; these are not.", what=what)
    return weights


def _tensor(values: Any, what: str, dtype: torch.dtype) -> torch.Tensor:
    if isinstance(values, torch.Tensor):
        tensor = values.detach().cpu()
    elif hasattr(values, "__array__"):
        tensor = _from_numpy(np.asarray(values), what)
    else:
        raise ProblemError(
            "the {what} are of type {kind}; give a tensor or an array, or a tree of them.",
            what=what,
            kind=type(values).__name__,
        )
    masks = "[" in what  # beside other tensors a mask has its place; as all there is it is a mistake
    if tensor.layout is not torch.strided or tensor.is_complex() or (tensor.dtype is torch.bool and not masks):
        kind = str(tensor.dtype if tensor.layout is torch.strided else tensor.layout).removeprefix("torch.")
        raise ProblemError("the {what} are {kind}; convert them to dense floats or integers.", what=what, kind=kind)
    if tensor.dtype is torch.bool:
        return tensor.contiguous()
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
        raise ProblemError("the {what} are an array of {dtype}; give floats or integers.", what=what, dtype=array.dtype)
    return torch.from_numpy(np.array(array, types[array.dtype.kind]))
