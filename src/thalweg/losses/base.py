"""What a loss is: a small frozen object, called with the outputs of a model and the targets of one batch.

`compute` is torch's own function; everything else follows from it: the mean, the sum, one value per sample,
the mean with a weight for every sample, and a label that a store can keep and `losses.get` reads back. All
of it runs under `torch.func.vmap`: tensors in, tensors out, no branch on a value.
Read next: `regression.py` (the smallest family), `fit.py` (what is refused), `registry.py`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields
from typing import Any, ClassVar

from torch import Tensor, nn

from .. import arguments, calls
from ..arguments import Declared, choice, declared
from ..errors import PlanError, ProblemError
from ..numbers import Range
from ..samples import Samples, Weighted, call, scores
from . import fit
from .sampling import apart

Measure = Callable[[Tensor, Tensor], Tensor]
REDUCTIONS = ("mean", "sum", "none")
Scale = tuple[float, float]
ANY: Scale = (-math.inf, math.inf)
FROM_0: Scale = (0.0, math.inf)


class Labelled(Declared):
    """A frozen dataclass that is equal to another of the same call."""

    @property
    def label(self) -> str:
        """The call that makes it, with what differs from the defaults; the registry reads it back."""
        given = ((f, _plain(getattr(self, f.name))) for f in fields(self))  # pyright: ignore[reportArgumentType]
        return calls.write(self.name, {f.name: value for f, value in given if value != _default(f)})

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Labelled) and type(self) is type(other) and self.label == other.label

    def __hash__(self) -> int:
        return hash(self.label)

    def __str__(self) -> str:
        return self.label


@dataclass(frozen=True, eq=False)
class Loss(Labelled, ABC):
    """A loss: ``loss(outputs, targets)``.

    Args:
        reduction: ``mean`` (over all values, the default, as in torch), ``sum`` or ``none``.

    An argument may also be a tensor, with one value per member of a population inside `torch.func.vmap`,
    where its class says so; tensors are taken as they are, unchecked.

    Attributes:
        counterpart: torch's function of this loss, which stands for it and with which it agrees.
        likelihood: the distribution of a target whose −log p it is, but for a factor and a constant; empty where there
            is none.
        of_classes: whether its targets may be classes, whose labels can be smoothed.
        scale: the lowest and the highest value that it can have.
        sampler: the function (outputs, targets, …) of `sampling.py` that draws targets; None where the loss is
            the −log p of no distribution.
    """

    error = ProblemError
    registry: ClassVar[dict[str, type[Loss]]] = {}
    scale: ClassVar[Scale] = ANY
    counterpart: ClassVar[Callable[..., Tensor] | None] = None
    likelihood: ClassVar[str] = ""
    of_classes: ClassVar[bool] = False
    sampler: ClassVar[Callable[..., Tensor] | None] = None
    reduction: str = field(default="mean", kw_only=True, metadata=choice(*REDUCTIONS).metadata)

    @abstractmethod
    def compute(self, outputs: Tensor, targets: Tensor, reduction: str) -> Tensor:
        """Torch's function of this loss under that reduction."""

    @abstractmethod
    def fit(self, outputs: Tensor, targets: Tensor, where: str = "") -> None:
        """Refuse shapes that torch would fail on or silently broadcast.

        Raises:
            ProblemError: one sentence; `where` says whose targets they are.
        """

    def check(self, outputs: Tensor, targets: Tensor, where: str = "") -> None:
        """Refuse shapes, types and values that make no sense; a study asks this once, before training.

        `outputs` may be of the first few samples, to which the shapes of all targets are compared.

        Raises:
            ProblemError: one sentence; `where` says whose targets they are.
        """
        self.fit(outputs, targets, where)

    def __call__(self, outputs: Tensor, targets: Any, weights: Tensor | None = None) -> Tensor:
        """The loss of a batch; a scalar unless the reduction is ``none``.

        Args:
            outputs: (samples, …), what the model made.
            targets: (samples, …), in the form the loss asks for.
            weights: (samples,), how much each sample counts: the mean is Σ wᵢ lᵢ / Σ wᵢ. Ones change nothing.

        Raises:
            ProblemError: for shapes that do not fit.
        """
        if isinstance(targets, Weighted):
            targets, weights = targets
        fit.tensors(self.name, outputs, targets)
        self.fit(outputs, targets)
        fit.as_many(outputs, targets, weights)
        if weights is None:
            return self.compute(outputs, targets, self.reduction)
        if self.reduction in ("sum", "none"):
            values = self.compute(outputs, targets, "none")
            values = values * weights.reshape(-1, *[1] * (values.ndim - 1))
            return values.sum() if self.reduction == "sum" else values
        rows, counts = self._rows(outputs, targets), self.counts(targets)
        totals = weights if counts is None else weights * counts.to(rows.dtype)
        return (weights * rows).sum() / totals.sum()

    def over(self, model: nn.Module, samples: Samples, criterion: Measure | None = None) -> Tensor:
        """The loss of a model on these samples.

        Args:
            criterion: what takes the place of this loss, made of it by regularizers.
        """
        return (criterion or self)(scores(call(model, samples.inputs)), samples.targets)

    def total(self, samples: Samples) -> float:
        """What the mean over these samples is to be multiplied by to be their sum."""
        weights = samples.targets.weights if isinstance(samples.targets, Weighted) else None
        counts = self.counts(samples.plain_targets)
        if weights is None or counts is None:
            each = counts if weights is None else weights
            return float(samples.size) if each is None else float(each.sum())
        return float((weights * counts).sum())

    def per_sample(self, outputs: Tensor, targets: Any) -> Tensor:
        """One value per sample, (samples,): torch's ``reduction="none"``, averaged over a sample's own values."""
        self.fit(outputs, targets)
        fit.as_many(outputs, targets, None)
        return self._rows(outputs, targets)

    def _rows(self, outputs: Tensor, targets: Tensor) -> Tensor:
        values = self.compute(outputs, targets, "none")
        return values.flatten(1).mean(1) if values.ndim > 1 else values

    @property
    def samples(self) -> bool:
        """Whether targets can be drawn from a model's outputs: it is the mean of −log p of a distribution."""
        return type(self).sampler is not None and self.reduction == "mean"

    @property
    def sampling(self) -> Mapping[str, Any]:
        """The arguments of `sampler` that are not its defaults."""
        return {}

    def sampled(self, outputs: Tensor, targets: Any) -> Tensor:
        """The loss on targets that are drawn from the model's own outputs by PyTorch's random numbers, so weighted that
        the square of its gradient estimates the diagonal of the Gauss–Newton matrix of the loss; see `sampling.py`.

        Args:
            outputs: (samples, …), what the model made.
            targets: those of the batch, which say only how many there are, which are ignored, and the weights of
                samples.

        Raises:
            PlanError: for a loss that is the −log p of no distribution.

        >>> import torch, thalweg as tw
        >>> outputs = torch.zeros(3, 2, requires_grad=True)
        >>> tw.losses.get("mse").sampled(outputs, torch.zeros(3, 2)).backward()
        >>> outputs.grad.shape
        torch.Size([3, 2])
        """
        sampler, (plain, weights) = type(self).sampler, apart(targets)
        if sampler is None or not self.samples:
            raise unsampled("Loss.sampled", self)
        self.fit(outputs, plain)
        fit.as_many(outputs, plain, weights)
        return sampler(outputs, targets, **self.sampling)

    def counts(self, targets: Tensor) -> Tensor | None:
        """How much each sample counts in the mean, (samples,), which is Σ per_sample / Σ counts; None for 1 each."""
        return None


def unsampled(rule: str, loss: Loss) -> PlanError:
    """What is said of a loss that has no targets to draw, which a rule asks for."""
    return PlanError(
        "{rule} estimates curvature on targets that are drawn from the model's own outputs, which takes a loss "
        "that is the mean of −log p of a distribution: cross_entropy without class weights, bce without "
        "pos_weight, or mse; and the loss here is {loss}. Train with one of these, or leave {rule} out.",
        rule=rule,
        loss=loss.label,
    )


def number(default: float, low: float, high: float = Range.high, *, above: bool = False) -> Any:
    """An argument that is a number, or a tensor, which passes unchecked."""
    inner = arguments.number(default, low, high, above=above).metadata["read"]
    read = lambda what, value, error: value if isinstance(value, Tensor) else inner(what, value, error)  # noqa: E731
    return declared(read, default, "number")


def _default(one: Field[Any]) -> Any:
    return _plain(one.default_factory() if callable(one.default_factory) else one.default)


def _plain(value: Any) -> Any:
    """As literals: tensors and lists as tuples, classes as their names."""
    if isinstance(value, Tensor):
        return _plain(value.tolist())
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return tuple(map(_plain, value))
    return value.__name__ if isinstance(value, type) else value
