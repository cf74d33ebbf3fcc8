"""Entropy of a distribution and cross-entropy of two, in nats, with 0 · log 0 = 0.

D(P‖Q) = H(P, Q) − H(P) joins them to the divergence (`divergence.py`): against a P that does not change,
minimising one is minimising the other.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import ProblemError
from .fit import tensors


def entropy(p: Tensor, *, logits: bool = False, dim: int = -1) -> Tensor:
    """H(P) = −Σ p log p along `dim`.

    Args:
        p: (…, outcomes, …) probabilities, or with `logits` scores whose softmax they are.
        dim: the axis of the outcomes; the last unless given.

    From 0, one outcome is certain, to log n, all n are equally probable. Shannon 1948, section 6.

    >>> entropy(torch.tensor([[0.5, 0.5], [1.0, 0.0]]))
    tensor([0.6931, 0.0000])
    """
    tensors("entropy", p)
    if not logits:
        return torch.special.entr(p).sum(dim)
    return cross_entropy_of(p, p, logits=True, dim=dim)


def cross_entropy_of(p: Tensor, q: Tensor, *, logits: bool = False, dim: int = -1) -> Tensor:
    """H(P, Q) = −Σ p log q along `dim`: what outcomes of P cost in a code made for Q.

    Args:
        p, q: (…, outcomes, …) probabilities of one shape, or with `logits` scores whose softmax they are.
        dim: the axis of the outcomes; the last unless given.

    At least H(P), and equal to it where Q = P; infinite where q = 0 and p is not.

    Raises:
        ProblemError: for two shapes, which torch would broadcast.

    >>> p, q = torch.tensor([0.5, 0.5, 0.0]), torch.tensor([0.25, 0.75, 0.0])
    >>> cross_entropy_of(p, q), cross_entropy_of(p, p) - entropy(p)
    (tensor(0.8370), tensor(0.))
    """
    tensors("cross_entropy_of", p, q)
    if p.shape != q.shape:
        raise ProblemError(
            "the distributions are of shapes {first} and {second}; give two of one shape.",
            first=tuple(p.shape),
            second=tuple(q.shape),
        )
    if not logits:
        return -torch.special.xlogy(p, q).sum(dim)
    chances, log_q = torch.softmax(p, dim), torch.log_softmax(q, dim)
    return -(chances * log_q.masked_fill((chances == 0) & log_q.isneginf(), 0)).sum(dim)
