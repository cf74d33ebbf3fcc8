"""What a regularizer is: hooks around one training step, each a pure function of tensors.

The same hooks serve a plain PyTorch loop, where they are called with one member's numbers, and a population, where they
run under `torch.func.vmap` with a row of numbers for each member. Random numbers are drawn from the seed and the step
alone, before the hooks run: members of one seed share them whatever their strength, and so does the same run alone.
Read next: `mixing.py` for hooks on a batch, `penalties.py` for the shortest regularizer.
"""

from __future__ import annotations

import zlib
from abc import ABC
from collections.abc import Callable, Hashable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, fields
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from .. import calls
from ..arguments import Declared
from ..errors import PlanError
from ..samples import Samples, Tree, measured

Tensors = tuple[Tensor, ...]
Loss = Callable[[Tensor, Any], Tensor]


def draw_seed(seed: int, step: int, stream: str = "") -> int:
    """The seed of the random numbers of one step: (2654435761 (seed + 1) + step + crc32(stream)) mod 2³².

    A loop that calls ``torch.manual_seed(draw_seed(seed, step))`` before the forward pass, with steps counted
    from 0, drops the same units as a member of that seed in a population. The factor, 2³² over the golden
    ratio, keeps the steps of different seeds apart.

    Args:
        stream: each regularizer draws from one of its own, named like it; the model's is empty.

    >>> draw_seed(0, 0), draw_seed(0, 1), draw_seed(1, 0)
    (2654435761, 2654435762, 1013904226)
    """
    return (2_654_435_761 * (seed + 1) + step + zlib.crc32(stream.encode())) % 2**32


class Mixed(NamedTuple):
    """Targets of which each is two: `first` with the weight `share`, `second` with the rest."""

    first: Tensor
    second: Tensor
    share: Tensor

    def probabilities(self, classes: int) -> Tensor:
        """Class ids as one row of probabilities each, (samples, classes, …); rows sum to 1.

        >>> Mixed(torch.tensor([0]), torch.tensor([2]), torch.tensor(0.75)).probabilities(3)
        tensor([[0.7500, 0.0000, 0.2500]])
        """
        one, other = (one_hot(t, classes, self.share.dtype) for t in (self.first, self.second))
        return self.share * one + (1 - self.share) * other


class Regularizer(Declared, ABC):
    """A regularizer: what keeps a model from fitting its training data alone.

    A subclass is a frozen dataclass. Its fields are its strengths: members of one block may differ in them. Those named
    in `shared` belong to the program instead.

    Every hook takes `amounts`, what `amounts` made of the strengths, as scalars of the weights' dtype.
    """

    error = PlanError
    registry: ClassVar[dict[str, type[Regularizer]]] = {}
    shared: ClassVar[tuple[str, ...]] = ()

    @property
    def label(self) -> str:
        """The text that `regularizers.get` reads as this, e.g. ``mixup(0.2)``."""
        first, *others = fields(self)  # pyright: ignore[reportArgumentType]
        named = {f.name: getattr(self, f.name) for f in others if getattr(self, f.name) != f.default and f.init}
        return calls.write(self.name, named, getattr(self, first.name))

    @property
    def parts(self) -> tuple[Regularizer, ...]:
        """Itself, or what it was chained from."""
        return (self,)

    @property
    def program(self) -> Hashable:
        """What two members must have in common to be trained in one block."""
        return (self.name, *((name, getattr(self, name)) for name in self.shared))

    @property
    def strengths(self) -> tuple[float, ...]:
        names = (f.name for f in fields(self) if f.init and f.name not in self.shared)  # pyright: ignore
        return tuple(float(getattr(self, name)) for name in names)

    def check(self, loss: Loss | None, inputs: Tensor, targets: Tensor) -> None:
        """Raise PlanError, in one sentence, where such data or such a loss cannot be regularized so."""

    def fits(self, loss: Loss | None, batch: Samples) -> None:
        """`check` of a batch that may be a tree of tensors."""
        self.check(loss, measured(batch.inputs), batch.targets)

    def on_batch(self, inputs: Tree, targets: Any, draws: Tensors, amounts: Tensors) -> tuple[Tree, Any]:
        """`batch` of inputs that may be a tree of tensors."""
        return inputs, targets

    def inside(self, model: nn.Module) -> AbstractContextManager[None]:
        """The model as it trains."""
        return nullcontext()

    def draw(self, generator: torch.Generator, inputs: Tensor, weights: Sequence[Tensor]) -> Tensors:
        """The random numbers of one step; a function of the generator and of shapes."""
        return ()

    def amounts(self, strengths: np.ndarray, draws: Tensors, inputs: Tensor) -> np.ndarray:
        """(members, strengths) → (members, amounts), in float64: what the hooks are given at this step."""
        return strengths

    def batch(self, inputs: Tensor, targets: Any, draws: Tensors, amounts: Tensors) -> tuple[Tensor, Any]:
        """The batch that is trained on instead."""
        return inputs, targets

    def point(self, weights: Tensors, draws: Tensors, amounts: Tensors) -> Tensors:
        """Where the gradient is taken."""
        return weights

    def loss(self, loss: Loss, amounts: Tensors) -> Loss:
        """The loss that is minimised instead."""
        return loss

    def penalty(self, weights: Tensors, amounts: Tensors) -> Tensor | None:
        """What is added to the loss."""
        return None

    def gradient(self, gradients: Tensors, amounts: Tensors) -> Tensors:
        """The gradient that the optimizer is given."""
        return gradients

    def shrink(self, lr: float) -> float:
        """The factor on the weights before the update."""
        return 1.0

    def share(self, step: int, per_epoch: int, total: int) -> float | None:
        """The share of the new weights in the average that is evaluated; None where there is no average.

        Args:
            step: counted from 0.
            per_epoch, total: steps of a pass over the data, and of the run.
        """
        return None

    def draws(self, seed: int, step: int, inputs: Tensor, weights: Sequence[Tensor] = ()) -> Tensors:
        """What `draw` draws at this step of a run of this seed."""
        generator = torch.Generator().manual_seed(draw_seed(seed, step, self.name))
        return self.draw(generator, inputs, weights)

    def alone(self, draws: Tensors, inputs: Tensor) -> Tensors:
        """The amounts of this one regularizer, for a plain loop."""
        row = self.amounts(np.array([self.strengths]), draws, inputs)[0]
        dtype = inputs.dtype if inputs.is_floating_point() else torch.get_default_dtype()
        return tuple(torch.tensor(value, dtype=dtype) for value in row)

    def lines(self) -> Lines:
        """The same regularizer in a plain PyTorch script."""
        raise NotImplementedError


@dataclass(frozen=True)
class Lines:
    """Lines of a training script, in the names `model`, `optimizer`, `inputs`, `targets`, `SEED`, `EPOCHS`, `step`,
    `steps` (of a pass over the data) and `epoch`.

    Attributes:
        setup: before the loop.
        batch: before the forward pass; `inputs` and `targets` anew.
        criterion: an expression around the loss function, whose place is ``{}``.
        point: a with statement around the forward and the backward pass.
        penalty: an expression that is added to the loss.
        gradient: once the gradient is there.
        before, after: before and after the optimizer's step.
        epoch: at the end of a pass over the data.
        evaluated: an expression of the model that is evaluated.
        stop: once the validation loss, `value`, of the model `judged` is known.
        end: after the loop.
    """

    setup: str = ""
    batch: str = ""
    criterion: str = "{}"
    point: str = ""
    penalty: str = ""
    gradient: str = ""
    before: str = ""
    after: str = ""
    epoch: str = ""
    evaluated: str = ""
    stop: str = ""
    end: str = ""


@dataclass(frozen=True)
class Chain(Regularizer):
    """Several regularizers as one, in the order in which they act."""

    chained: tuple[Regularizer, ...]

    @property
    def label(self) -> str:
        return " + ".join(part.label for part in self.chained)

    @property
    def parts(self) -> tuple[Regularizer, ...]:
        return self.chained

    @property
    def program(self) -> Hashable:
        return tuple(part.program for part in self.chained)


def chain(*regularizers: Regularizer) -> Regularizer:
    """One regularizer that does what all of these do, one after the other.

    Raises:
        PlanError: for two of one kind, or two that mix targets or average weights.
    """
    parts = tuple(part for one in regularizers for part in one.parts)
    for what in ("name", "exclusive"):
        first: dict[str, Regularizer] = {}
        for part in parts:
            key = getattr(part, what, None)
            if key in first:
                raise PlanError(
                    f"{first[key].label} and {part.label} cannot be chained: both {EXCLUSIVE.get(key, f'are {key}')}; "
                    "keep one of them."
                )
            if key is not None:
                first[key] = part
    return parts[0] if len(parts) == 1 else Chain(parts)


EXCLUSIVE = {"mixes": "mix targets", "averages": "average the weights"}


def criterion(loss: Loss, parts: Sequence[Regularizer], amounts: Sequence[Tensors]) -> Loss:
    """The loss as these regularizers change it; it also takes `Mixed` targets.

    >>> lies = Mixed(torch.tensor([0]), torch.tensor([1]), torch.tensor(0.75))
    >>> criterion(torch.nn.functional.cross_entropy, (), ())(torch.tensor([[1.0, 0.0]]), lies)
    tensor(0.5633)
    """
    for part, strengths in zip(parts, amounts, strict=True):
        loss = part.loss(loss, strengths)

    def mixed(outputs: Tensor, targets: Any) -> Tensor:
        if isinstance(targets, Mixed):
            one, other = loss(outputs, targets.first), loss(outputs, targets.second)
            return targets.share * one + (1 - targets.share) * other
        return loss(outputs, targets)

    return mixed


def one_hot(ids: Tensor, classes: int, dtype: torch.dtype) -> Tensor:
    """(samples, …) → (samples, classes, …); a negative id, which losses ignore, is a row of zeros."""
    place = torch.arange(classes, device=ids.device).reshape(-1, *[1] * (ids.ndim - 1))
    return (ids.unsqueeze(1) == place).to(dtype)
