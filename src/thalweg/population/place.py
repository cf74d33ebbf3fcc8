"""Where members are trained: a device, and how precisely it computes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch

from ..errors import PlanError, short

AUTO, CPU, GPU = "auto", "cpu", "cuda"
FLOAT32, TF32, BF16 = "float32", "tf32", "bf16"
PRECISIONS = (FLOAT32, TF32, BF16)


def check_device(given: Any) -> str:
    """The name of a device: "cpu", "cuda" for all GPUs of the machine, "cuda:1" for the second of them; "auto" is
    "cuda" where there is a GPU, else "cpu".

    Raises:
        PlanError: this machine has no such device.

    >>> check_device("cpu"), check_device(torch.device("cpu"))
    ('cpu', 'cpu')
    """
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    name = str(given) if isinstance(given, str | torch.device) else ""
    if name == AUTO:
        return GPU if count else CPU
    known = [CPU, *([GPU] if count else []), *(f"{GPU}:{k}" for k in range(count))]
    if name in known:
        return name
    built = "" if torch.backends.cuda.is_built() else " (it is installed for the CPU alone)"
    gpus = f"this machine has {count} GPU{'s' * (count > 1)} that PyTorch can use"
    here = gpus if count else f"PyTorch finds no GPU here{built}"
    raise PlanError(f"the device is {short(repr(given))}, and {here}; give one of {', '.join([AUTO, *known])}.")


def check_precision(given: Any, device: str) -> str:
    """The name of a precision on that device.

    Raises:
        PlanError: there is no such precision there.
    """
    known = [one for one in PRECISIONS if one != TF32 or device != CPU]
    if given in known:
        return str(given)
    raise PlanError(f"the precision is {short(repr(given))}; on {device} give one of {', '.join(known)}.")


def here(device: str, precision: str) -> tuple[str, str]:
    """Device and precision where this machine has them, else the CPU and full precision."""
    try:
        return check_device(device), check_precision(precision, device)
    except PlanError:
        return CPU, FLOAT32


def devices(name: str) -> list[torch.device]:
    """Those that a checked name stands for."""
    count = torch.cuda.device_count() if name == GPU else 0
    return [torch.device(GPU, k) for k in range(count)] or [torch.device(name)]


@dataclass(frozen=True)
class Place:
    """A device and a precision.

    Attributes:
        precision: "float32": in the dtype of the weights; "tf32": products of float32 with 10 bits of mantissa, on GPUs
            that have it; "bf16": the model's products in bfloat16 (autocast). Weights, states and updates are the same
            for all.
    """

    device: torch.device
    precision: str = FLOAT32

    @property
    def compiles(self) -> bool:
        """Whether members can be compiled for it."""
        return self.device.type == CPU and self.precision == FLOAT32

    def __str__(self) -> str:
        name = torch.cuda.get_device_name(self.device) if self.device.type == GPU else CPU
        return name if self.precision == FLOAT32 else f"{name}, {self.precision}"

    def wait(self) -> None:
        """Until all that it was given is done."""
        if self.device.type == GPU:
            torch.cuda.synchronize(self.device)

    def autocast(self) -> Any:
        """The model's operations in the precision, while inside."""
        if self.precision != BF16:
            return nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16, cache_enabled=False)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Products of float32 in the precision, while inside."""
        if self.device.type != "cuda":
            yield
            return
        matrices: Any = torch.backends.cuda.matmul
        convolutions: Any = torch.backends.cudnn
        before = matrices.allow_tf32, convolutions.allow_tf32
        matrices.allow_tf32 = convolutions.allow_tf32 = self.precision == TF32
        try:
            with torch.cuda.device(self.device):
                yield
        finally:
            matrices.allow_tf32, convolutions.allow_tf32 = before


HOST = Place(torch.device("cpu"))
