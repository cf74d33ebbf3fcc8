"""Where members are trained: a device, and how precisely it computes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch

FULL, TF32, BF16 = "float32", "tf32", "bf16"
PRECISIONS = (FULL, TF32, BF16)


@dataclass(frozen=True)
class Place:
    """A device and a precision.

    Attributes:
        precision: "float32": in the dtype of the weights; "tf32": products of float32 with 10 bits of mantissa, on GPUs
            that have it; "bf16": the model's products in bfloat16 (autocast). Weights, states and updates are the same
            for all.
    """

    device: torch.device
    precision: str = FULL

    def autocast(self) -> Any:
        """The model's operations in the precision, while inside."""
        return (
            torch.autocast(self.device.type, torch.bfloat16, cache_enabled=False)
            if self.precision == BF16
            else nullcontext()
        )

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
