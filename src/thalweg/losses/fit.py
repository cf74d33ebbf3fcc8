"""Whether outputs and targets fit a loss, each misfit in one sentence.

Torch fails late on some of these and broadcasts others into nonsense. Shapes are looked at wherever a loss
is called; values only where they may be, before training (`Loss.check`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from ..errors import ProblemError
from ..language import Word, mark, say


def tensors(name: str, *given: Any) -> None:
    """No plain number, list of numbers or array, which torch's functions fail on or take for something else."""
    for value in given:
        first = value[0] if isinstance(value, list | tuple) and value else value
        while isinstance(first, list) and first:
            first = first[0]
        if isinstance(first, int | float | list | np.ndarray | np.generic):
            raise ProblemError(
                "{name} takes tensors, not {type}; give torch.tensor(…).", name=name, type=type(value).__name__
            )


def as_many(outputs: Tensor, targets: Tensor | None, weights: Tensor | None) -> None:
    """As many targets, and as many weights, as outputs."""
    if not isinstance(outputs, Tensor) or not isinstance(targets, Tensor | None):
        return  # trees, whose rows a function of the user's looks at
    for what, tensor in ((mark("targets"), targets), (mark("sample weights"), weights)):
        if tensor is not None and outputs.ndim and tensor.shape[:1] != outputs.shape[:1]:
            raise ProblemError(
                "there are {count} outputs, and for {what} {many}; give one for each output.",
                count=len(outputs),
                what=what,
                many=len(tensor) if tensor.ndim else mark("a single value"),
            )
    if weights is not None and weights.ndim != 1:
        raise ProblemError(
            "the sample weights are of shape {shape}; give one number per sample, ({outputs},).",
            shape=tuple(weights.shape),
            outputs=len(outputs),
        )


def same_shape(name: str, outputs: Tensor, targets: Tensor, where: str = "") -> None:
    """Targets shaped like the outputs, however many samples there are."""
    if outputs.ndim == targets.ndim and outputs.shape[1:] == targets.shape[1:]:
        return
    same = outputs[:1].numel() == targets[:1].numel()
    advice = say("reshape the targets to {shape}", shape=shape(outputs))
    raise ProblemError(
        "{name} needs outputs and targets of one shape, and the outputs are {outputs} where the {whose} are "
        "{targets}; {advice}.",
        name=name,
        outputs=shape(outputs),
        whose=_whose(where),
        targets=shape(targets),
        advice=advice if same else mark("change the model or the targets"),
    )


def numbers(name: str, targets: Tensor, where: str = "") -> None:
    """Targets that are floats."""
    if not targets.is_floating_point():
        raise ProblemError(
            "{name} compares numbers, and the {where} are {targets}; convert them to floats.",
            name=name,
            where=_whose(where),
            targets=dtype(targets),
        )


def scores(name: str, outputs: Tensor) -> None:
    """Outputs (samples, classes, …)."""
    if outputs.ndim < 2:
        raise ProblemError(
            "{name} needs scores of shape (samples, classes, ...), and the outputs are {outputs}; let the model "
            "return one score per class.",
            name=name,
            outputs=shape(outputs),
        )


def classes(
    name: str, outputs: Tensor, targets: Tensor, where: str = "", *, soft: bool = False, axis: int | None = None
) -> int:
    """How many classes, of class ids (samples, …), or where `soft` probabilities like the scores."""
    scores(name, outputs)
    at = class_axis(name, outputs, targets, axis)
    if targets.is_floating_point():
        if soft and targets.shape[1:] == outputs.shape[1:]:
            return outputs.shape[at]
        raise ProblemError(
            "{name} needs integer class ids{also}, and the {whose} are {dtype} of shape {targets}; convert them to "
            "int64.",
            name=name,
            also=say(" or probabilities of shape {shape}", shape=shape(outputs)) if soft else "",
            whose=_whose(where),
            dtype=dtype(targets),
            targets=shape(targets),
        )
    if targets.ndim != outputs.ndim - 1 or targets.shape[1:] != outputs.select(at, 0).shape[1:]:
        raise ProblemError(
            "{name} on outputs of shape {outputs} needs class ids of shape {ids}, and the {whose} are {targets}; "
            "make them fit.",
            name=name,
            outputs=shape(outputs),
            ids=shape(outputs.select(at, 0)),
            whose=_whose(where),
            targets=shape(targets),
        )
    return outputs.shape[at]


def class_axis(name: str, outputs: Tensor, targets: Tensor, axis: int | None = None) -> int:
    """The axis of the outputs that holds the classes, from 1 on.

    Axis 1, as in torch, unless class ids (samples, …) fit the outputs with the last axis left out and not with axis 1
    left out, as those of language models do: (samples, positions, classes) and (samples, positions).

    Args:
        axis: as was asked.

    Raises:
        ProblemError: the ids fit both ways, or there is no such axis.
    """
    count = outputs.ndim
    if axis is not None:
        if axis % count == 0 or not -count < axis < count:
            raise ProblemError(
                "{name}: axis is {axis}, and the outputs are {outputs}; give the one of the classes, from 1 "
                "to {last}, or -1 for the last.",
                name=name,
                axis=axis,
                outputs=shape(outputs),
                last=count - 1,
            )
        return axis % count
    if count < 3 or targets.is_floating_point() or targets.shape[1:] != outputs.shape[1:-1]:
        return 1
    if targets.shape[1:] == outputs.shape[2:]:
        raise ProblemError(
            "{name} cannot tell which axis of the outputs {outputs} holds the classes, since class ids "
            "{targets} fit both; give {name}(axis=1), or {name}(axis=-1) if it is the last.",
            name=name,
            outputs=shape(outputs),
            targets=shape(targets),
        )
    return count - 1


def in_range(targets: Tensor, count: int, where: str = "", ignored: int | None = None) -> None:
    """Class ids from 0 to `count` − 1, apart from those that are ignored."""
    ids = targets if ignored is None else targets[targets != ignored]
    if not ids.numel():
        return
    low, high = int(ids.min()), int(ids.max())
    if low < 0 or high >= count:
        raise ProblemError(
            "the {whose} run from {low} to {high}, and a model with {count} outputs allows classes 0 to {last}; "
            "renumber the classes or widen the model's last layer.",
            whose=_whose(where),
            low=str(low),
            high=str(high),
            count=count,
            last=count - 1,
        )


def probabilities(name: str, targets: Tensor, dim: int, where: str = "") -> None:
    """Targets from 0 to 1 that sum to 1 along `dim`."""
    sums = targets.sum(dim)
    low, high = float(sums.min()), float(sums.max())
    if not (bool((targets >= 0).all()) and low >= 0.999 and high <= 1.001):
        raise ProblemError(
            "{name} needs probabilities that sum to 1 along axis {dim}, and the {where} run from {smallest} "
            "to {largest} with sums from {low} to {high}; normalise them.",
            name=name,
            dim=dim,
            where=_whose(where),
            smallest=f"{float(targets.min()):g}",
            largest=f"{float(targets.max()):g}",
            low=f"{low:g}",
            high=f"{high:g}",
        )


def chances(name: str, targets: Tensor, where: str = "") -> None:
    """Targets from 0 to 1."""
    low, high = float(targets.min()), float(targets.max())
    if low < 0 or high > 1:
        raise ProblemError(
            "{name} needs targets from 0 to 1, and the {where} run from {low} to {high}; make them 0 and "
            "1, or give another loss.",
            name=name,
            where=_whose(where),
            low=f"{low:g}",
            high=f"{high:g}",
        )


def answers(name: str, targets: Tensor, where: str = "") -> None:
    """Targets of 0 and 1 alone."""
    if not bool(((targets == 0) | (targets == 1)).all()):
        raise ProblemError(
            "{name} of outputs shaped like the targets asks for targets of 0 and 1, and the {where} run "
            "from {smallest} to {largest}; give class ids with a score for each class, or another metric.",
            name=name,
            where=_whose(where),
            smallest=f"{float(targets.min()):g}",
            largest=f"{float(targets.max()):g}",
        )


def shape(tensor: Tensor) -> str:
    """The shape as a reader thinks of it: the first axis is samples, however many."""
    if not tensor.ndim:
        return "()"
    return f"({', '.join([say('samples'), *map(str, tensor.shape[1:])])}{',' if tensor.ndim == 1 else ''})"


def dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _whose(where: str) -> str:
    return say("{where} targets", where=Word(where)) if where else say("targets")
