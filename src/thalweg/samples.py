"""Samples: inputs and targets, each a tensor or a tree of tensors with one row per sample.

A tree is what PyTorch's pytree takes: tuples, lists, dicts, named tuples and dataclasses, nested at will. A model is
called with it as its `forward` is written: ``model(x)`` for a tensor, ``model(*inputs)`` for a tuple or list and
``model(**inputs)`` for a dict where `forward` takes as many arguments or these names, else ``model(inputs)``.
Everything that cuts, joins or counts samples is here, so that nothing else asks what a batch looks like.
"""

from __future__ import annotations

import dataclasses
import inspect
import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils import _pytree as pytree

Tree = Any  # a tensor, or tensors in tuples, lists, dicts and dataclasses


class Weighted(NamedTuple):
    """Targets, and how much each sample counts: Σ wᵢ lᵢ / Σ wᵢ."""

    targets: Tree
    weights: Tensor


class Samples(NamedTuple):
    """Inputs and targets of some samples. Without targets the inputs are all there is, as for a loss of (model, batch).

    >>> few = Samples((torch.zeros(3, 2), torch.ones(3)), torch.arange(3))
    >>> few.size, few.take(slice(1)).targets, [t.shape[0] for part in few.split(2) for t in part.leaves]
    (3, tensor([0]), [2, 2, 2, 1, 1, 1])
    """

    inputs: Tree
    targets: Tree = ()

    @property
    def leaves(self) -> list[Tensor]:
        return [*leaves(self.inputs), *leaves(self.targets)]

    @property
    def size(self) -> int:
        """How many samples."""
        return len(leaves(self.inputs)[0])

    def take(self, rows: Any) -> Samples:
        """The samples at these rows, as tensors are indexed."""
        return Samples(take(self.inputs, rows), take(self.targets, rows))

    def split(self, size: int) -> Iterator[Samples]:
        """So many samples at a time."""
        return map(Samples, split(self.inputs, size), split(self.targets, size))

    def joined(self, *others: Samples) -> Samples:
        """These samples, then those of the others."""
        return Samples(*pytree.tree_map(lambda *t: torch.cat(t), tuple(self), *(tuple(other) for other in others)))

    def map(self, change: Callable[[Tensor], Tensor]) -> Samples:
        return Samples(*pytree.tree_map(change, tuple(self)))

    @property
    def device(self) -> torch.device:
        """Where the samples lie."""
        return next((t.device for t in self.leaves), torch.device("cpu"))

    def to(self, device: torch.device) -> Samples:
        """The same samples on a device."""
        return self if all(t.device == device for t in self.leaves) else self.map(lambda t: t.to(device))

    @property
    def plain_targets(self) -> Tree:
        """The targets, without weights."""
        return self.targets.targets if isinstance(self.targets, Weighted) else self.targets

    @property
    def batch(self) -> Tree:
        """As the user gave them: (inputs, targets), with weights where there are any, or what has no targets."""
        if isinstance(self.targets, Weighted):
            return (self.inputs, *self.targets)
        return self.inputs if isinstance(self.targets, tuple) and not self.targets else tuple(self)


def known(tree: Tree) -> Tree:
    """The same tree; the dataclasses in it are made known to PyTorch."""
    if dataclasses.is_dataclass(tree) and not isinstance(tree, type):
        if type(tree) not in pytree.SUPPORTED_NODES:
            pytree.register_dataclass(type(tree))
        for one in dataclasses.fields(tree):
            known(getattr(tree, one.name))
    elif isinstance(tree, Mapping):
        for value in tree.values():
            known(value)
    elif isinstance(tree, tuple | list):
        for value in tree:
            known(value)
    return tree


def leaves(tree: Tree) -> list[Tensor]:
    """The tensors of a tree, in their order."""
    return [tree] if isinstance(tree, Tensor) else pytree.tree_leaves(tree)


def take(tree: Tree, rows: Any) -> Tree:
    """The samples of a tree at these rows."""
    pick = picked if isinstance(rows, Tensor) and rows.dtype == torch.int64 else Tensor.__getitem__
    return pick(tree, rows) if isinstance(tree, Tensor) else pytree.tree_map(lambda t: pick(t, rows), tree)


def picked(tensor: Tensor, rows: Tensor) -> Tensor:
    """``tensor[rows]`` of rows from 0 on, several times as fast: whole rows are copied."""
    return tensor.index_select(0, rows.reshape(-1)).reshape(*rows.shape, *tensor.shape[1:])


def split(tree: Tree, size: int) -> Iterator[Tree]:
    """So many samples of a tree at a time."""
    if isinstance(tree, Tensor):
        return iter(tree.split(size))
    tensors, form = pytree.tree_flatten(tree)
    parts = zip(*(t.split(size) for t in tensors), strict=True) if tensors else itertools.repeat(())
    return (pytree.tree_unflatten(part, form) for part in parts)


def stars(model: nn.Module, inputs: Tree) -> str:
    """How inputs stand in a call of the model: ``*`` one by one, ``**`` by their names, or as they are."""
    named = isinstance(inputs, Mapping)
    if not named and (not isinstance(inputs, tuple | list) or hasattr(inputs, "_fields")):
        return ""
    positional, by_name = ((), dict(inputs)) if named else (tuple(inputs), {})
    try:
        inspect.signature(model.forward).bind(*positional, **by_name)
    except TypeError:
        return ""
    return "**" if named else "*"


def call(model: nn.Module, inputs: Tree) -> Any:
    """The model's outputs."""
    how = stars(model, inputs)
    if how == "**":
        return model(**inputs)
    return model(*inputs) if how else model(inputs)


def with_tensors(model: nn.Module, tensors: dict[str, Tensor], use: Callable[[nn.Module], Any]) -> Any:
    """What `use` makes of the model with these tensors, by name, in the place of its own.

    Those that the model replaces are replaced in `tensors`.
    """
    placed = {f"model.{name}": tensor for name, tensor in tensors.items()}
    result = functional_call(_Used(model), placed, (use,))
    tensors.update((name, placed[f"model.{name}"]) for name in tensors)
    return result


class _Used(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, use: Callable[[nn.Module], Any]) -> Any:
        return use(self.model)


def scores(outputs: Any) -> Any:
    """What losses and metrics with a name look at: the outputs, or their `logits` where a model says what these are."""
    if isinstance(outputs, Tensor):
        return outputs
    logits = outputs.get("logits") if isinstance(outputs, Mapping) else getattr(outputs, "logits", None)
    return logits if isinstance(logits, Tensor) else outputs


def measured(inputs: Tree) -> Tensor:
    """The tensor that a change of the batch acts on: the one of floats, or the first where there is none or several."""
    every = leaves(inputs)
    floats = [t for t in every if t.is_floating_point()]
    return floats[0] if floats else every[0]


def changed(inputs: Tree, tensor: Tensor) -> Tree:
    """The same inputs with another tensor in the place of `measured`."""
    flat, form = pytree.tree_flatten(inputs)
    place = next(k for k, t in enumerate(flat) if t is measured(inputs))
    return pytree.tree_unflatten([*flat[:place], tensor, *flat[place + 1 :]], form)


def structure(samples: Samples) -> Any:
    """What equal trees have in common."""
    return pytree.tree_structure(tuple(samples))


def is_tree(values: Any) -> bool:
    """Whether it is more than a tensor."""
    return not isinstance(values, Tensor)
