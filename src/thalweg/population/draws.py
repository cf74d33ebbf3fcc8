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
from .batches import RANDOM

NATIVE = "native_dropout"  # a mask that a GPU draws in one operation with what it does to the values
# operation → the method that fills an empty tensor with the same numbers, and that method's arguments
_FILLS: dict[str, tuple[str, Callable[[Sequence[Any]], Sequence[Any]]]] = {
    **dict.fromkeys(("bernoulli_.float", "bernoulli.p"), ("bernoulli_", lambda args: args[1:])),
    **dict.fromkeys(("random_", "random_.from", "random_.to"), ("random_", lambda args: args[1:])),
    **{
        name: (name, lambda args: args[1:])
        for name in ("uniform_", "normal_", "exponential_", "geometric_", "cauchy_", "log_normal_")
    },
    NATIVE: (NATIVE, lambda args: args[1:2]),
    **dict.fromkeys(("rand", "rand_like"), ("uniform_", lambda args: ())),
    **dict.fromkeys(("randn", "randn_like"), ("normal_", lambda args: ())),
    "randint": ("random_", lambda args: (0, args[0])),
    "randint.low": ("random_", lambda args: args[:2]),
    "randint_like": ("random_", lambda args: (0, args[1])),
    "randint_like.low_dtype": ("random_", lambda args: args[1:3]),
}


@dataclass(frozen=True)
class Draw:
    """One draw: a tensor's shape, strides, dtype and device, the method that fills it, and its arguments."""

    shape: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: torch.dtype
    fill: str
    arguments: tuple[Any, ...]
    device: torch.device

    @classmethod
    def like(cls, tensor: Tensor, fill: str, arguments: Sequence[Any]) -> Draw:
        return cls(tuple(tensor.shape), tuple(tensor.stride()), tensor.dtype, fill, tuple(arguments), tensor.device)

    def numbers(self, generator: torch.Generator | None) -> Tensor:
        """Drawn from a generator of the device, or from PyTorch's own."""
        empty = torch.empty_strided(self.shape, self.stride, dtype=self.dtype, device=self.device)
        if self.fill == NATIVE:
            return torch.native_dropout(empty.fill_(1), self.arguments[0], True)[1]
        return getattr(empty, self.fill)(*self.arguments, generator=generator)


def recorded(call: Callable[[], object]) -> list[Draw]:
    """What this call draws. PyTorch's random state stays unchanged."""
    recorder = _Recorder()
    with recorder:
        call()
    return recorder.draws


def numbers(draws: Sequence[Draw], seed: int) -> list[Tensor]:
    """The numbers of one step: those that PyTorch draws after `torch.manual_seed(seed)`."""
    devices = {one.device for one in draws}
    if any(one.fill == NATIVE for one in draws):  # which takes no generator
        with RANDOM, torch.random.fork_rng(devices=[d for d in devices if d.type != "cpu"]):
            torch.manual_seed(seed)
            return [one.numbers(None) for one in draws]
    generators = {device: torch.Generator(device).manual_seed(seed) for device in devices}
    return [one.numbers(generators[one.device]) for one in draws]


class _Drawing(TorchDispatchMode):
    """Inside, each draw gives what `drawn` says."""

    def drawn(self, func: Any, args: Any, kwargs: Any) -> Tensor:
        raise NotImplementedError

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if torch.Tag.nondeterministic_seeded not in func.tags or _quiet(func, args, kwargs):
            return func(*args, **kwargs)
        number = self.drawn(func, args, kwargs)
        if _name(func) == NATIVE:  # whose mask it is
            values, p = args[:2]
            return values * number * (0.0 if p == 1 else 1 / (1 - p)), number.clone()
        return args[0].copy_(number) if _in_place(func) else number.clone()


class _Recorder(_Drawing):
    def __init__(self) -> None:
        super().__init__()
        self.draws: list[Draw] = []

    def drawn(self, func: Any, args: Any, kwargs: Any) -> Tensor:
        name = _name(func)
        if name not in _FILLS or kwargs.get("generator") is not None:
            raise TrainingError(_refusal(func))
        fill, arguments = _FILLS[name]
        like = args[0] if _in_place(func) or name == NATIVE else _like(func, args, kwargs)
        self.draws.append(Draw.like(like, fill, arguments(args)))
        return numbers(self.draws[-1:], len(self.draws))[0]


class Replayed(_Drawing):
    """Inside, the k-th draw gives the k-th of these numbers."""

    def __init__(self, numbers: Sequence[Tensor]) -> None:
        super().__init__()
        self.numbers = list(numbers)

    def drawn(self, func: Any, args: Any, kwargs: Any) -> Tensor:
        if not self.numbers or (_in_place(func) and args[0].shape != self.numbers[0].shape):
            raise TrainingError(_refusal(func))
        return self.numbers.pop(0)


def _quiet(func: Any, args: Any, kwargs: Any) -> bool:
    """Operations that are marked as random, and draw nothing as they are called here: attention without dropout."""
    expected = func._schema.arguments
    given = {one.name: one.default_value for one in expected if one.has_default_value()}
    given |= dict(zip((one.name for one in expected), args, strict=False)) | kwargs
    return given.get("dropout_p") == 0 or (_name(func) == NATIVE and not given["train"])


def _name(func: Any) -> str:
    return func.name().removeprefix("aten::")


def _in_place(func: Any) -> bool:
    return func._schema.is_mutable


def _like(func: Any, args: Any, kwargs: Any) -> Tensor:
    """An empty tensor of the shape, strides and dtype that the operation would give."""
    with torch._C._DisableTorchDispatch():
        if "_like" in _name(func) or _name(func) == "bernoulli.p":
            return torch.empty_like(args[0], **{k: v for k, v in kwargs.items() if k == "dtype"})
        size = next(a for a in args if isinstance(a, list | tuple | torch.Size))
        dtype = kwargs.get("dtype") or (torch.int64 if "randint" in _name(func) else torch.get_default_dtype())
        return torch.empty(size, dtype=dtype, device=kwargs.get("device"))


def _refusal(func: Any) -> str:
    return (
        f"the model draws random numbers by {_name(func)}, which cannot be repeated for members of a population; "
        "use dropout, torch.rand, torch.randn or their like."
    )
