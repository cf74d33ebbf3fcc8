"""Triplet margin loss: an anchor shall be nearer to a positive than to a negative sample."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor

from ..arguments import flag
from ..errors import ProblemError
from . import fit
from .base import FROM_0, Loss, Scale, number


@dataclass(frozen=True, eq=False)
class TripletMargin(Loss):
    """max(d(a, p) − d(a, n) + margin, 0), as `torch.nn.functional.triplet_margin_loss`.

    Outputs (samples, 3, …, features): anchor, positive and negative embeddings stacked on axis 1, which is
    what a model makes that maps the last axis of inputs (samples, 3, …). The targets are not looked at,
    since the order of the stack says all: in a problem any column will do, alone None.

    Args:
        margin: above 0; by how much nearer, in units of distance.
        p: above 0, of the norm ‖x − y + eps‖_p that is the distance; 2, Euclidean.
        eps: added to the difference, so that the gradient exists where both are equal.
        swap: the negative is compared with whichever of anchor and positive is nearer (Balntas et al. 2016).

    Raises:
        ProblemError: for a margin or p that is not above 0, or outputs of another shape.

    Schroff et al. 2015, eq. 1, with distances that are not squared, as torch has them.

    >>> import torch
    >>> embeddings = torch.tensor([[[0.0, 0.0], [3.0, 0.0], [0.0, 3.5]]])
    >>> TripletMargin()(embeddings, None), TripletMargin(margin=2.0)(embeddings, None)
    (tensor(0.5000), tensor(1.5000))
    """

    name: ClassVar[str] = "triplet_margin"
    scale: ClassVar[Scale] = FROM_0
    margin: float = number(1.0, 0.0, above=True)
    p: float = number(2.0, 0.0, above=True)
    eps: float = number(1e-6, 0.0)
    swap: bool = flag(False)

    def fit(self, outputs: Tensor, targets: Tensor | None, where: str = "") -> None:
        if outputs.ndim < 3 or outputs.shape[1] != 3:
            raise ProblemError(
                "triplet_margin needs anchor, positive and negative stacked as (samples, 3, features), and "
                "the outputs are {outputs}; stack them with torch.stack((a, p, n), dim=1).",
                outputs=fit.shape(outputs),
            )

    def compute(self, outputs: Tensor, targets: Tensor | None, reduction: str) -> Tensor:
        distance = functools.partial(F.pairwise_distance, p=self.p, eps=self.eps)
        # torch's triplet_margin_loss has no rule for vmap; its form with a distance is the same, and runs under it
        return F.triplet_margin_with_distance_loss(
            *outputs.unbind(1), distance_function=distance, margin=self.margin, swap=self.swap, reduction=reduction
        )
