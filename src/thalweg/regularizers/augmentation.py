"""Augmentation: images moved, mirrored, cut and turned, each sample by its own random numbers.

Written in plain tensor operations, which run for a stack of members with a strength each; torchvision's
transforms draw their own random numbers for one strength at a time. Shifts go by whole pixels and
turns are bilinear, with zeros from outside, as in SciPy's ``ndimage``; crops are brought back to size as
``torch.nn.functional.interpolate`` does without antialiasing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from ..arguments import number, whole
from .base import Loss, Tensors
from .mixing import images
from .noise import OnBatch


@dataclass(frozen=True)
class _Augmentation(OnBatch):
    """Each image by its own row of uniform numbers; targets stay."""

    def check(self, loss: Loss | None, inputs: Tensor, targets: Tensor) -> None:
        images(self, inputs)

    def draw(self, generator: torch.Generator, inputs: Tensor, weights: Sequence[Tensor]) -> Tensors:
        return (torch.rand((len(inputs), 3), generator=generator, dtype=inputs.dtype),)

    def move(self, inputs: Tensor, uniform: Tensor, amount: Tensor) -> Tensor:
        """The images, moved by uniform numbers (samples, 3)."""
        raise NotImplementedError

    def batch(self, inputs: Tensor, targets: Any, draws: Tensors, amounts: Tensors) -> tuple[Tensor, Any]:
        return self.move(inputs, draws[0], amounts[0]), targets


@dataclass(frozen=True)
class Shift(_Augmentation):
    """Each image moved by −n … n whole pixels down and right, all alike; zeros come in.

    The same as cutting it at random out of itself with a border of n zeros.

    Args:
        pixels: n; 1 by default.

    >>> Shift(1)(torch.arange(4.0).reshape(1, 1, 1, 4), None, seed=0)[0]
    tensor([[[[0., 0., 0., 0.]]]])
    """

    pixels: int = whole(1, 0, 1_000_000, unit="pixels")
    name: ClassVar[str] = "shift"

    def move(self, inputs: Tensor, uniform: Tensor, amount: Tensor) -> Tensor:
        by = (torch.floor(uniform[:, :2] * (2 * amount + 1)) - amount).to(torch.int64)  # (samples, 2)
        rows = torch.arange(inputs.shape[-2], device=inputs.device) - by[:, :1]  # (samples, height), where from
        columns = torch.arange(inputs.shape[-1], device=inputs.device) - by[:, 1:]
        return _take(_take(inputs, rows, 2), columns, 3)


@dataclass(frozen=True)
class Flip(_Augmentation):
    """Each image mirrored, left to right, with probability p.

    Args:
        p: 0.5 by default; not for what reads differently in a mirror, like digits.

    >>> Flip(1.0)(torch.arange(3.0).reshape(1, 1, 1, 3), None, seed=0)[0]
    tensor([[[[2., 1., 0.]]]])
    """

    p: float = number(0.5, 0, 1)
    name: ClassVar[str] = "flip"

    def move(self, inputs: Tensor, uniform: Tensor, amount: Tensor) -> Tensor:
        mirrored = uniform[:, 0].reshape(-1, 1, 1, 1) < amount
        return torch.where(mirrored, inputs.flip(-1), inputs)


@dataclass(frozen=True)
class Crop(_Augmentation):
    """Each image cut to a random part of the same shape, and brought back to its size, bilinearly.

    The part has an area of s … 1 of the image's, sides rounded to whole pixels, and any place within it
    (Szegedy et al. 2015, section 6; the shape stays).

    Args:
        scale: s, above 0; 0.7 by default.

    >>> Crop(0.25)(torch.arange(4.0).reshape(1, 1, 1, 4), None, seed=1)[0]
    tensor([[[[0., 1., 2., 3.]]]])
    """

    scale: float = number(0.7, 0, 1, above=True)
    name: ClassVar[str] = "crop"

    def move(self, inputs: Tensor, uniform: Tensor, amount: Tensor) -> Tensor:
        side = torch.sqrt(amount + (1 - amount) * uniform[:, 0])
        places = []
        for n, u in zip(inputs.shape[-2:], (uniform[:, 1], uniform[:, 2]), strict=True):
            length = (side * n).round().clamp(min=1)
            first = torch.floor(u * (n - length + 1))
            pixels = torch.arange(n, dtype=inputs.dtype, device=inputs.device)
            pixel = (pixels + 0.5) * (length / n).unsqueeze(1) - 0.5
            inside = torch.minimum(pixel.clamp(min=0), (length - 1).unsqueeze(1))
            places.append(first.unsqueeze(1) + inside)  # (samples, n), in pixels
        return _sample(inputs, places[0].unsqueeze(2), places[1].unsqueeze(1))


@dataclass(frozen=True)
class Rotate(_Augmentation):
    """Each image turned about its middle by −d … d degrees, all alike, bilinearly; zeros come in.

    Args:
        degrees: d; 10 by default.

    >>> Rotate(180)(torch.eye(3).reshape(1, 1, 3, 3), None, seed=0)[0].sum() < 3
    tensor(True)
    """

    degrees: float = number(10.0, 0, 180)
    name: ClassVar[str] = "rotate"

    def move(self, inputs: Tensor, uniform: Tensor, amount: Tensor) -> Tensor:
        angle = ((2 * uniform[:, 0] - 1) * amount * (torch.pi / 180)).reshape(-1, 1, 1)
        each = (torch.arange(n, dtype=inputs.dtype, device=inputs.device) for n in inputs.shape[-2:])
        y, x = (places - (len(places) - 1) / 2 for places in each)
        rows = y[:, None] * torch.cos(angle) + x * torch.sin(angle) + (inputs.shape[-2] - 1) / 2
        columns = x * torch.cos(angle) - y[:, None] * torch.sin(angle) + (inputs.shape[-1] - 1) / 2
        return _sample(inputs, rows, columns)


def _take(inputs: Tensor, places: Tensor, axis: int) -> Tensor:
    """Along one axis, what is at `places` (samples, n); zeros outside."""
    shape = [len(inputs), 1, 1, 1]
    shape[axis] = inputs.shape[axis]
    outside = (places < 0) | (places >= inputs.shape[axis])
    index = places.clamp(0, inputs.shape[axis] - 1).reshape(shape).expand(inputs.shape)
    return torch.where(outside.reshape(shape), 0.0, torch.gather(inputs, axis, index))


def _sample(inputs: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Each image at places between its pixels, (samples, height, width) in pixels each."""
    height, width = inputs.shape[-2:]
    rows, columns = torch.broadcast_tensors(rows, columns)
    grid = torch.stack([(2 * columns + 1) / width - 1, (2 * rows + 1) / height - 1], dim=-1)
    return F.grid_sample(inputs, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
