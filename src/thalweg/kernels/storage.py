"""How a state is kept in fewer bytes than it is computed with: the formats, and their reference in torch.

A format says what one value becomes in memory:

- ``float32``, ``float64``, ``bfloat16``: rounded to the nearest value.
- ``bfloat16 stochastic``: rounded up or down at random, with a probability in proportion to how near each
  neighbour is, so that the mean is exact. To the nearest, a moving average that changes by less than half
  of the last bit in a step would never change at all.
- ``int8``: blocks of 256 values share one float32 scale s, the largest magnitude among them, and each is kept as a
  whole number k: x = s·sign(k)·(k/n)⁴ with n = 127, or 255 where no value of the block is negative, which a negative
  scale tells. The fourth power spaces the codes by a share of the value (4/k), over eight decades. Rounding is
  stochastic, and what is not 0 never becomes 0: 0 under a root is an infinite step.

The random bits are a hash of (tensor, step, element), so that a run can be repeated, and taken up again,
without any state of a generator. Tensor and step are mixed well, once; elements by one multiplication each,
which leaves neighbours a correlation of about 0.02, and an element's own draws from step to step none. The
compiled kernels do the same in their own words; the functions here are what they are measured against, and
what converts the states of a loaded checkpoint.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

BLOCK = 256  # values that share a scale
FORMATS = ("float32", "float64", "bfloat16", "bfloat16 stochastic", "int8")
GOLDEN = 0x9E3779B9
PAIR = 0x3C6EF35F
_ALL = 0xFFFFFFFF
_TINY = 1.2e-38  # below this a scale has no float32 reciprocal


def stochastic(form: str) -> bool:
    """Whether a value of this format is rounded at random."""
    return form in ("bfloat16 stochastic", "int8")


def dtype_of(form: str) -> torch.dtype:
    """What torch calls the values in memory."""
    return getattr(torch, form.split()[0])


def mix(x: Any) -> Any:
    """32 well mixed bits of 32 bits; the finalizer of MurmurHash3, on int64 arrays or tensors."""
    x = (x ^ (x >> 16)) * 0x85EBCA6B & _ALL
    x = (x ^ (x >> 13)) * 0xC2B2AE35 & _ALL
    return x ^ (x >> 16)


def key(tensor: Any, t: Any) -> Any:
    """What the random bits of a tensor and a step begin from; of int64 arrays or tensors."""
    return mix(mix((tensor + GOLDEN) & _ALL) ^ (t & _ALL))


def noise(tensor: int, t: int, stream: int, count: int) -> Tensor:
    """16 random bits for each of `count` elements, as int64 (count,).

    Args:
        tensor: the number of the tensor.
        t: the step, counted from 1.
        stream: which of the tensor's values that are rounded at random.
    """
    element = torch.arange(count) + stream // 2 * PAIR
    bits = (element * GOLDEN + key(torch.tensor(tensor), t)) & _ALL
    bits = (bits ^ (bits >> 16)) * 0x85EBCA6B & _ALL
    bits ^= bits >> 15
    return bits >> 16 if stream % 2 else bits & 0xFFFF


def to_bfloat16(x: Tensor, bits: Tensor | None = None) -> Tensor:
    """x in bfloat16: to the nearest, or up or down by 16 random bits.

    >>> x = torch.full((100_000,), 1 + 1 / 512)  # between 1 and 1 + 1/128
    >>> to_bfloat16(x).mean(dtype=torch.float64).item(), to_bfloat16(x, noise(0, 1, 0, 100_000)).double().mean().item()
    (1.0, 1.0019425)
    """
    if bits is None:
        return x.to(torch.bfloat16)
    word = x.float().view(torch.int32).long() & _ALL
    up = (word + bits.to(x.device).reshape(x.shape)) >> 16
    half = torch.where(x.isfinite(), up, (x.to(torch.bfloat16).view(torch.int16).long() & 0xFFFF))
    return torch.where(half > 0x7FFF, half - 0x10000, half).to(torch.int16).view(torch.bfloat16)


def to_int8(x: Tensor, bits: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Codes, int8 shaped like x, and the scale of each block, float32; the values in the order of memory.

    Args:
        x: contiguous, any shape.
        bits: 16 random bits per value, or None to round to the nearest.

    >>> codes, scale = to_int8(torch.tensor([1.0, 0.0625, 0.0, 1e-30]))
    >>> from_int8(codes, scale)
    tensor([1.0000e+00, 6.1525e-02, 0.0000e+00, 2.3650e-10])
    """
    flat = x.reshape(-1).float()
    blocks = torch.nn.functional.pad(flat, (0, -len(flat) % BLOCK)).reshape(-1, BLOCK)
    largest = blocks.abs().amax(dim=1, keepdim=True) if len(blocks) else blocks.new_empty(0, 1)
    unsigned = ~(torch.signbit(blocks) & (blocks != 0)).any(dim=1, keepdim=True)
    most = torch.where(unsigned, 255.0, 127.0)
    sound = (largest > _TINY) & largest.isfinite()
    y = blocks.abs() * torch.where(sound, 1 / largest, 0.0)
    k = torch.minimum((y.sqrt().sqrt() * most).floor().nan_to_num(0.0), most - 1)
    part = torch.where(unsigned, 1 / 255, 1 / 127)
    low, high = (k * part).square().square(), ((k + 1) * part).square().square()
    share = (y - low) / (high - low)
    if bits is None:
        k = k + (share >= 0.5)
    else:
        drawn = torch.nn.functional.pad(bits.to(x.device), (0, -len(flat) % BLOCK)).reshape(-1, BLOCK)
        k = k + (drawn / 65536 < share)
    k = torch.where((blocks != 0) & (k == 0) & sound, 1.0, k)
    code = torch.where(blocks < 0, -k, torch.where(k > 127, k - 256, k))
    scale = torch.where(largest > _TINY, torch.where(unsigned, -largest, largest), largest * 0)
    return code.to(torch.int8).reshape(-1)[: len(flat)].reshape(x.shape), scale.reshape(-1)


def from_int8(codes: Tensor, scale: Tensor) -> Tensor:
    """The values, float32, that `to_int8` gave the codes and scales of."""
    flat = codes.reshape(-1)
    s = scale.repeat_interleave(BLOCK)[: len(flat)]
    k = flat.float()
    unsigned = s < 0
    k = torch.where(unsigned & (k < 0), k + 256, k) * torch.where(unsigned, 1 / 255, 1 / 127)
    return (s.abs() * (k * k.abs()) * (k * k)).reshape(codes.shape)


def scales(count: int) -> int:
    """How many scales `count` values have."""
    return -(-count // BLOCK)
