"""How a script without thalweg reads a problem's samples: what a store keeps for it, in plain values.

Read next: `../recipe/reading.py`, the lines that follow from it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from .. import losses
from ..losses import fit
from ..samples import Samples, Weighted, call, is_tree, scores
from .data import first_batch
from .declaration import Problem
from .layout import Layout, form_of
from .parts import Parts

OWN, OF_MODEL = "own", "model"  # losses that are functions of the user's
GIVEN, TENSORS, ROWS, STREAM, BATCHES = "given", "tensors", "rows", "stream", "batches"
_ARRAYS = (Tensor, np.ndarray)
_NUMBERS = (*_ARRAYS, np.generic, int, float)


def reading_of(problem: Problem, parts: Parts, layout: Layout, module: nn.Module) -> dict[str, Any]:
    """What `Prepared.reading` says; empty where a script cannot read the samples by itself.

    ``parts`` has, of each that was given, how samples lie there ("given", "tensors", "rows", "stream" or "batches")
    and in a sample (`form_of`); ``inputs`` the arguments of the model; ``drawn`` the parts that are split off, in their
    order, which of them ``stratified``, the ``seed`` of that, and whether ``grouped``; ``loss`` whether it is the
    user's "own", one of the "model", or has a name; ``axis`` where classes are if not on axis 1; ``tree`` whether
    samples are more than two tensors; ``dataclasses`` the names of those in them.
    """
    given = {name: part for name in ("train", "validation", "test") if (part := getattr(problem, name)) is not None}
    read = {name: _part(part, layout) for name, part in given.items()}
    few, loss = parts.validation.take(slice(2)), losses.get(problem.loss)
    weighted = isinstance(few.targets, Weighted)
    if None in read.values() or (weighted and not _weighable(loss, parts)):
        return {}
    kind = OF_MODEL if isinstance(loss, losses.OfModel) else OWN if isinstance(loss, losses.Custom) else ""
    return {
        "parts": read,
        "inputs": layout.inputs,
        "drawn": [*parts.drawn],
        "stratified": [name for name, kept in parts.drawn.items() if kept],
        "seed": problem.seed,
        "grouped": problem.groups is not None,
        "loss": kind,
        "axis": 1 if kind else _axis(loss, module, few),
        "tree": is_tree(few.inputs) or is_tree(few.targets),
        "dataclasses": sorted({type(one).__name__ for one in _dataclasses(few)}),
    }


def _part(part: Any, layout: Layout) -> list[str] | None:
    """How samples lie in a part, and in a sample; None where a script would not find them there."""
    try:
        where, item = _first(part)
    except Exception:  # whatever a user's dataset may raise that is read twice
        return None
    form, leaves = form_of(item, layout), pytree.tree_leaves(item if not isinstance(item, Mapping) else dict(item))
    known = _NUMBERS if where in (ROWS, STREAM) else (Tensor,) if where == BATCHES else _ARRAYS
    return [where, form] if form and all(isinstance(leaf, known) for leaf in leaves) else None


def _first(part: Any) -> tuple[str, Any]:
    """How samples lie in a part, and the first of them, or all together."""
    if isinstance(part, TensorDataset):
        return TENSORS, part.tensors
    if isinstance(part, DataLoader):
        return BATCHES, first_batch(part, 1)
    if isinstance(part, IterableDataset):
        return STREAM, next(iter(part))
    return (ROWS, part[0]) if isinstance(part, Dataset) else (GIVEN, part)


def _weighable(loss: losses.Loss, parts: Parts) -> bool:
    """Whether samples count by their weights alone, and not by the classes in them."""
    every = [part for part in (parts.train, parts.validation) if isinstance(part, Samples)]
    counts = [loss.counts(part.plain_targets) for part in every if not is_tree(part.plain_targets)]
    return all(count is None or bool((count == 1).all()) for count in counts)


def _axis(loss: losses.Loss, module: nn.Module, few: Samples) -> int:
    """Of the outputs, where the classes are."""
    targets = few.plain_targets
    if not loss.of_classes or not hasattr(loss, "axis"):
        return 1
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        outputs = scores(call(module.eval(), few.inputs))
    return fit.class_axis(loss.name, outputs, targets, getattr(loss, "axis", None))


def _dataclasses(tree: Any) -> list[Any]:
    if dataclasses.is_dataclass(tree):
        return [tree, *(one for field in dataclasses.fields(tree) for one in _dataclasses(getattr(tree, field.name)))]
    inner = tree.values() if isinstance(tree, Mapping) else tree if isinstance(tree, tuple | list) else ()
    return [one for value in inner for one in _dataclasses(value)]
