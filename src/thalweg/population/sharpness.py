"""How sharp the minimum is that each member of a population has come to, all members at once.

Two measures of the training loss L at weights w, in evaluation mode, over all samples given:

- the largest eigenvalue λ of the Hessian of L: how fast the slope grows along the direction in which it grows fastest.
  By power iteration, v ← Hv / ‖Hv‖, where Hv is the derivative of the gradient along v (Pearlmutter 1994), here the
  gradient of ⟨g, v⟩, so that no Hessian is ever built. Power iteration finds the eigenvalue
  largest in size; where that one is negative, −μ, it is repeated for H + μI, whose largest is the one wanted.
- ε-sharpness: L(w + ε g / ‖g‖) − L(w) with the gradient g: the first-order answer to how much the loss can rise within
  a ball of radius ε, as sharpness-aware minimization takes it (Foret et al. 2021, eq. 2).

Neither is invariant to how a network scales its weights (Dinh et al. 2017): compare members of one model.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.func import grad, grad_and_value, vmap
from torch.fx.experimental.proxy_tensor import make_fx

from ..errors import TrainingError, first_line
from ..kernels.stacks import shaped
from ..samples import Samples
from .batched import TRACING, Batched, Layout, Tensors

CHUNK = 1024  # samples at once
ITERATIONS = 300
TOLERANCE = 3e-3  # ‖Hv − λv‖ relative to λ; the error of λ is of its square


@dataclass(frozen=True)
class Curvature:
    """The curvature of the loss at each member's weights.

    Attributes:
        loss, eigenvalue, rise: (members,) the loss, λ, and ε-sharpness.
        direction: like the weights, (members, *shape) each: the unit eigenvector of λ.
        converged: (members,) whether λ had settled when the iterations ended.
    """

    loss: np.ndarray
    eigenvalue: np.ndarray
    rise: np.ndarray
    direction: list[Tensor]
    converged: np.ndarray


class Landscape:
    """The loss of a model as a function of its weights, over some samples, for members side by side.

    Args:
        batched: the model and its loss.
        samples: taken a thousand at once.
        fixed, moving: as `Batched.gradient` takes them.
    """

    def __init__(
        self, batched: Batched, samples: Samples, fixed: Sequence[Tensor] = (), moving: Sequence[Tensor] = ()
    ) -> None:
        self.batched, self.fixed, self.moving = batched, tuple(fixed), tuple(moving)
        self.chunks = list(samples.split(CHUNK))
        sizes = [batched.loss.total(chunk) for chunk in self.chunks]
        self.shares = [size / sum(sizes) for size in sizes]

    def loss(self, weights: Sequence[Tensor]) -> Tensor:
        """(members,)"""
        return self._over(lambda f, w: (f(w),), weights)[0]

    def gradient(self, weights: Sequence[Tensor]) -> tuple[list[Tensor], Tensor]:
        """The gradients, like `weights`, and the losses (members,)."""

        def one(f: Callable[[Tensors], Tensor], w: Tensors) -> Tensors:
            slopes, value = grad_and_value(f)(w)
            return *slopes, value

        *gradients, value = self._over(one, weights)
        return gradients, value

    def along(self, weights: Sequence[Tensor], direction: Sequence[Tensor]) -> list[Tensor]:
        """The Hessian of each member times its direction, like `weights`."""

        def one(f: Callable[[Tensors], Tensor], w: Tensors, v: Tensors) -> Tensors:
            # Backward twice: forward differentiation lacks some losses, and fails where a model is linear.
            return grad(lambda at: sum((g * d).sum() for g, d in zip(grad(f)(at), v, strict=True)))(w)

        return list(self._over(one, weights, direction))

    def _over(self, call: Callable[..., Tensors], *stacks: Sequence[Tensor]) -> Tensors:
        """The mean over the chunks of what a call gives, members side by side."""
        total: list[Tensor] | None = None
        for chunk, share in zip(self.chunks, self.shares, strict=True):
            groups = (self.moving, *stacks, self.fixed, self.batched.flat(chunk, training=False))
            flat = [t for group in groups for t in group]
            # Populations of one size share it, whatever their seed.
            key = (call.__qualname__, *((t.shape, t.dtype) for t in flat))
            if key not in self.batched.extra_programs:
                self.batched.extra_programs[key] = self._traced(call, groups)
            part = [share * t for t in self.batched.extra_programs[key](*flat)]
            total = part if total is None else [a + b for a, b in zip(total, part, strict=True)]
        assert total is not None
        return tuple(total)

    def _traced(self, call: Callable[..., Tensors], groups: Sequence[Sequence[Tensor]]) -> Callable[..., Tensors]:
        """The call for members side by side, as a flat graph of tensor operations."""
        layout = Layout(*groups)

        def member(moving: Tensors, *rest: Tensors) -> Tensors:
            *stacks, fixed, data = rest
            samples = self.batched._samples(data, False)

            def value(w: Tensors) -> Tensor:
                buffers = dict(zip(self.batched.moving, moving, strict=True))
                return self.batched._with(w, buffers, fixed, lambda model: self.batched.loss.over(model, samples))

            return call(value, *stacks)

        every = vmap(member, in_dims=(*[0] * (len(groups) - 2), None, None))
        with TRACING, self.batched._lock, self.batched._mode(None), torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                return make_fx(lambda *flat: every(*layout.split(flat)))(*(t for group in groups for t in group))
            except Exception as error:  # whatever a user's model may raise
                raise TrainingError(
                    f"the curvature of {type(self.batched.model).__name__} cannot be taken: {first_line(error)}."
                ) from error


def curvature(at: Landscape, weights: Sequence[Tensor], epsilon: float = 0.05, seed: int = 0) -> Curvature:
    """Loss, largest Hessian eigenvalue and ε-sharpness of each member.

    Args:
        weights: (members, *shape) each.
        epsilon: radius of the ball.
        seed: of the direction that power iteration begins with, the same for all members.
    """
    gradients, loss = at.gradient(weights)
    length = lengths(gradients).clamp_min(torch.finfo(loss.dtype).tiny)
    ahead = [w + epsilon * g / shaped(length, g) for w, g in zip(weights, gradients, strict=True)]
    value, direction, settled = _power(at, weights, torch.zeros_like(loss), seed)
    if (value < 0).any():
        shift = value.clamp_max(0)
        shifted, other, other_settled = _power(at, weights, shift, seed)
        below = value < 0
        value = torch.where(below, shifted, value)
        direction = [torch.where(shaped(below, d), o, d) for d, o in zip(direction, other, strict=True)]
        settled = torch.where(below, other_settled, settled)
    rise = at.loss(ahead) - loss
    return Curvature(loss.double().numpy(), value.double().numpy(), rise.double().numpy(), direction, settled.numpy())


def _power(at: Landscape, weights: Sequence[Tensor], shift: Tensor, seed: int) -> tuple[Tensor, list[Tensor], Tensor]:
    """The eigenvalue of H farthest from `shift` (members,), its eigenvector, and whether it settled."""
    generator = torch.Generator().manual_seed(seed)
    v = [torch.randn(w.shape[1:], generator=generator, dtype=w.dtype).expand_as(w) for w in weights]
    v = _unit(v)
    value, settled = torch.zeros_like(shift), torch.zeros_like(shift, dtype=torch.bool)
    for _ in range(ITERATIONS):
        product = at.along(weights, v)
        value = _dot(v, product)
        rest = [p - shaped(value, p) * d for p, d in zip(product, v, strict=True)]
        settled = lengths(rest) <= TOLERANCE * (value - shift).abs()
        if settled.all():
            break
        v = _unit([p - shaped(shift, p) * d for p, d in zip(product, v, strict=True)])
    return value, v, settled


def _dot(a: Sequence[Tensor], b: Sequence[Tensor]) -> Tensor:
    """(members,)"""
    return torch.stack([(x * y).flatten(1).sum(1) for x, y in zip(a, b, strict=True)]).sum(0)


def lengths(v: Sequence[Tensor]) -> Tensor:
    """Of each member's tensors as one vector, (members,)."""
    return _dot(v, v).sqrt()


def _unit(v: Sequence[Tensor]) -> list[Tensor]:
    length = lengths(v)
    length = torch.where(length > 0, length, torch.ones_like(length))
    return [t / shaped(length, t) for t in v]
