"""Cross-entropy of yes and no: one score for each answer, the sigmoid inside."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from ..arguments import declared
from ..errors import ProblemError, UsageError, short
from ..numbers import Range
from . import fit
from .base import FROM_0, Loss, Scale
from .sampling import sampled_bce


def _positive_weights(what: str, weight: Any, error: type[UsageError]) -> float | tuple[float, ...] | Tensor | None:
    if weight is None or isinstance(weight, Tensor):
        return weight
    several = isinstance(weight, Sequence) and not isinstance(weight, str | bytes)
    each: tuple[Any, ...] = tuple(weight) if several else (weight,)
    if not len(each) or any(w not in Range(0) for w in each):
        raise error(
            f"{what} is {short(repr(weight))}; give a number of at least 0, or one for each output, e.g. (1, 2)."
        )
    numbers = tuple(float(w) for w in each)
    return numbers if several else numbers[0]


@dataclass(frozen=True, eq=False)
class BCE(Loss):
    """−p y log σ(x) − (1 − y) log(1 − σ(x)), `torch.nn.functional.binary_cross_entropy_with_logits`.

    Outputs (samples, …) are scores before any sigmoid σ; targets of the same shape are 0 or 1, or probabilities, as
    floats or integers. Of one output that is logistic regression; of several each is a question of its own, and any
    number of them may be true.

    Args:
        pos_weight: p, what a yes counts where a no counts 1, one number or one for each output (along the last axis);
            1 unless given. The mean is over all values, whatever they count.

    Raises:
        ProblemError: for weights below 0, targets outside [0, 1] or of another shape than the outputs.

    >>> import torch
    >>> scores, truth = torch.tensor([[2.0], [-1.0]]), torch.tensor([[1.0], [1.0]])
    >>> BCE()(scores, truth), BCE(pos_weight=3.0)(scores, truth)
    (tensor(0.7201), tensor(2.1603))
    """

    name: ClassVar[str] = "bce"
    scale: ClassVar[Scale] = FROM_0
    likelihood: ClassVar[str] = "Bernoulli"
    counterpart: ClassVar[Callable[..., Tensor]] = F.binary_cross_entropy_with_logits
    sampler: ClassVar[Callable[..., Tensor] | None] = staticmethod(sampled_bce)
    pos_weight: float | Sequence[float] | Tensor | None = declared(_positive_weights, None)

    @property
    def samples(self) -> bool:
        return super().samples and self.pos_weight is None

    def fit(self, outputs: Tensor, targets: Tensor, where: str = "") -> None:
        fit.same_shape(self.name, outputs, targets, where)
        many = len(self.pos_weight) if isinstance(self.pos_weight, tuple) else 1
        if many > 1 and outputs.shape[-1:] != (many,):
            raise ProblemError(
                "bce has {many} positive weights, and the outputs are {outputs}; give one for each output.",
                many=many,
                outputs=fit.shape(outputs),
            )

    def check(self, outputs: Tensor, targets: Tensor, where: str = "") -> None:
        self.fit(outputs, targets, where)
        fit.chances(self.name, targets, where)

    def compute(self, outputs: Tensor, targets: Tensor, reduction: str) -> Tensor:
        weight = self.pos_weight
        if weight is not None:
            weight = torch.as_tensor(weight, dtype=outputs.dtype, device=outputs.device)
        return F.binary_cross_entropy_with_logits(
            outputs, targets.to(outputs.dtype), pos_weight=weight, reduction=reduction
        )
