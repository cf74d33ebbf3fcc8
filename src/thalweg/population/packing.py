"""Trees of tensors, numbers and words as named tensors, which is all that a checkpoint file holds."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from ..errors import TrainingError


def packed(trees: Sequence[Any]) -> dict[str, Tensor]:
    """The trees' tensors by name; their forms, numbers and words as JSON in the bytes of ``about``.

    Raises:
        TrainingError: something in them is neither a tensor, nor a number, a word, a list or a mapping of these.

    >>> unpacked(packed([{"weights": [torch.zeros(2)], "epoch": 3}]))
    [{'weights': [tensor([0., 0.])], 'epoch': 3}]
    """
    tensors: dict[str, Tensor] = {}
    about = []
    for k, tree in enumerate(trees):
        leaves, form = pytree.tree_flatten(tree)
        plain = [None if isinstance(leaf, Tensor) else [leaf] for leaf in leaves]
        tensors |= {f"{k}.{i}": leaf.detach() for i, leaf in enumerate(leaves) if isinstance(leaf, Tensor)}
        try:
            about.append([pytree.treespec_dumps(form), json.loads(json.dumps(plain))])
        except (TypeError, NotImplementedError) as error:
            others = [leaf for leaf in leaves if not isinstance(leaf, Tensor | str | int | float | None)]
            kind = type(others[0]).__name__ if others else "mapping of another kind"
            raise TrainingError(
                f"a checkpoint holds tensors, numbers, words, lists and dicts, and this has something of type {kind}; "
                "leave it out, or make it one of these."
            ) from error
    return {"about": torch.frombuffer(bytearray(json.dumps(about).encode()), dtype=torch.uint8), **tensors}


def unpacked(tensors: Mapping[str, Tensor]) -> list[Any]:
    """The trees that `packed` was given."""
    trees = []
    for k, (form, plain) in enumerate(json.loads(tensors["about"].numpy().tobytes())):
        leaves = [tensors[f"{k}.{i}"].clone() if one is None else one[0] for i, one in enumerate(plain)]
        trees.append(pytree.tree_unflatten(leaves, pytree.treespec_loads(form)))
    return trees
