"""The random numbers that a model draws in its forward pass: dropout, attention dropout, noise.

A model in a plain loop draws from PyTorch's global random state; members of a population draw from the seed
and the step. `recorded` runs the model once by itself and notes what it draws, in which order, of which
shape and layout; `numbers` then draws the very same from a generator, for every step; and `replayed` puts
them in the place of the model's own draws, under `vmap` and while the batched program is traced. A plain
loop that seeds PyTorch with `draw_seed(seed, step)` before its forward pass so gets the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from ..errors import TrainingError

# operation → which method of an empty tensor fills it with the same numbers, and from which argument on
# that method's own arguments stand
_FILLS: dict[str, tuple[str, int]] = {
    "aten::bernoulli_.float": ("bernoulli_", 1),
    "aten::bernoulli.p": ("bernoulli_", 1),
    "aten::uniform_": ("uniform_", 1),
    "aten::normal_": ("normal_", 1),
    "aten::exponential_": ("exponential_", 1),
    "aten::random_": ("random_", 1),
    "aten::random_.from": ("random_", 1),
    "aten::random_.to": ("random_", 1),
    "aten::geometric_": ("geometric_", 1),
    "aten::cauchy_": ("cauchy_", 1),
    "aten::log_normal_": ("log_normal_", 1),
    "aten::rand": ("uniform_", 1),
    "aten::rand_like": ("uniform_", 1),
    "aten::randn": ("normal_", 1),
    "aten::randn_like": ("normal_", 1),
    "aten::randint": ("random_", 0),
    "aten::randint.low": ("random_", 0),
    "aten::randint_like": ("random_", 1),
    "aten::randint_like.low_dtype": ("random_", 1),
}


@dataclass(frozen=True)
class Drawn:
    """One draw: a tensor's shape, strides and dtype, the method that fills it, and its arguments."""

    shape: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: torch.dtype
    fill: str
    arguments: tuple[Any, ...]

    def numbers(self, generator: torch.Generator) -> Tensor:
        empty = torch.empty_strided(self.shape, self.stride, dtype=self.dtype)
        return getattr(empty, self.fill)(*self.arguments, generator=generator)


def recorded(call: Callable[[], object]) -> list[Drawn]:
    """What this call draws. PyTorch's random state stays unchanged."""
    recorder = _Recorder()
    with recorder:
        call()
    return recorder.drawn


def numbers(drawn: Sequence[Drawn], seed: int) -> list[Tensor]:
    """The numbers of one step."""
    generator = torch.Generator().manual_seed(seed)
    return [one.numbers(generator) for one in drawn]


class _Recorder(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.drawn: list[Drawn] = []
        self.generator = torch.Generator().manual_seed(0)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if torch.Tag.nondeterministic_seeded not in func.tags or _quiet(func, args):
            return func(*args, **(kwargs or {}))
        name = _name(func)
        if name not in _FILLS or (kwargs or {}).get("generator") is not None:
            raise TrainingError(_refusal(func))
        fill, first = _FILLS[name]
        like = args[0] if _in_place(func) else _like(func, args, kwargs or {})
        arguments = args[first:]
        if name.startswith("aten::randint"):
            arguments = arguments[:2] if ".low" in name else (0, *arguments[:1])
        elif name in ("aten::rand", "aten::randn", "aten::rand_like", "aten::randn_like"):
            arguments = ()
        one = Drawn(tuple(like.shape), tuple(like.stride()), like.dtype, fill, tuple(arguments))
        self.drawn.append(one)
        numbers = one.numbers(self.generator)
        return args[0].copy_(numbers) if _in_place(func) else numbers


class Replayed(TorchDispatchMode):
    """Inside, the k-th draw gives the k-th of these numbers."""

    def __init__(self, given: Sequence[Tensor]) -> None:
        super().__init__()
        self.given = list(given)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if torch.Tag.nondeterministic_seeded not in func.tags or _quiet(func, args):
            return func(*args, **(kwargs or {}))
        if not self.given:
            raise TrainingError(_refusal(func))
        number = self.given.pop(0)
        if _in_place(func):
            if args[0].shape != number.shape:
                raise TrainingError(_refusal(func))
            return args[0].copy_(number)
        return number.clone()


def _quiet(func: Any, args: Any) -> bool:
    """Operations that are marked as random, and draw nothing as they are called here."""
    return _name(func) in ("aten::native_dropout",) and len(args) > 2 and not args[2]


def _name(func: Any) -> str:
    return func.name()


def _in_place(func: Any) -> bool:
    return func._schema.is_mutable


def _like(func: Any, args: Any, kwargs: Any) -> Tensor:
    """An empty tensor of the shape, strides and dtype that the operation would give."""
    with torch._C._DisableTorchDispatch():
        if "_like" in _name(func) or _name(func) == "aten::bernoulli.p":
            return torch.empty_like(args[0], **{k: v for k, v in kwargs.items() if k == "dtype"})
        size = next(a for a in args if isinstance(a, list | tuple | torch.Size))
        dtype = kwargs.get("dtype") or (torch.int64 if "randint" in _name(func) else torch.get_default_dtype())
        return torch.empty(size, dtype=dtype)


def _refusal(func: Any) -> str:
    operation = _name(func).removeprefix("aten::")
    return (
        f"the model draws random numbers by {operation}, which cannot be repeated for members of a population; "
        "use dropout, torch.rand, torch.randn or their like."
    )
