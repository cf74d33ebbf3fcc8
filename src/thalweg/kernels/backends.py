"""Where a formula can be compiled for, by the kind of device the weights are on.

A backend is what `optim/plan.py` needs of a kernel: it prepares launches over segments, whose arrays are then changed
in place from step to step, and carries them out. On other devices, and for what a backend's formats do not cover,
the reference (`torch_ref.py`) computes one tensor after the other.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch

from ..formulas.base import Equations
from . import numba_cpu, triton_gpu
from .formats import Formats, FusedOptions


class Launch(Protocol):
    """A step over segments, prepared; a `Round` carries it out."""

    def scale(self, factor: float | torch.Tensor) -> float:
        """Multiply the gradients by the factor; what `fused`'s factor is to be for it."""
        ...

    def settle(self) -> None:
        """After it has been captured in a graph: what the device reads of it is sent there."""
        ...


class Kernel(Protocol):
    """A formula compiled for one set of formats; see `numba_cpu.Kernel`."""

    @property
    def row_states(self) -> int: ...

    @property
    def launch(self) -> Callable[..., Launch]: ...


class Round(Protocol):
    """Launches, to be carried out again and again."""

    def run(self) -> None: ...


class Backend(Protocol):
    """The kernels of one device.

    Attributes:
        FORMATS: of `storage.py`, those that weights, gradients, states and averages may have.
        CUT: elements of a segment at most, a multiple of a block of int8.
    """

    @property
    def FORMATS(self) -> Collection[str]: ...

    @property
    def CUT(self) -> int: ...

    def array(self, tensor: torch.Tensor) -> Any:
        """A tensor on the device as `Kernel.launch` takes it, of the same memory."""
        ...

    def compiled(self, equations: Equations, formats: Formats, fused: FusedOptions) -> Kernel: ...

    def squares(self, form: str, address: np.ndarray, length: np.ndarray) -> tuple[Any, Any]:
        """A launch that reads the gradients, and the array or tensor in which it leaves parts of Σg²."""
        ...

    def Round(self, launches: Sequence[Any], threads: int) -> Round: ...


def _gpu(device: torch.device) -> Backend | None:
    if triton_gpu.installed():
        return triton_gpu.Gpu(device)
    _without_triton()
    return None


@functools.cache
def _without_triton() -> None:
    warnings.warn(
        "the weights are on a GPU and triton, which compiles the kernels for it, is not installed: every tensor "
        "is updated by torch operations of its own, several times slower; pip install triton "
        "(on Windows triton-windows).",
        stacklevel=2,
    )


BACKENDS: Mapping[str, Callable[[torch.device], Any]] = {"cpu": lambda _: numba_cpu, "cuda": _gpu}


def backend_of(device: torch.device) -> Backend | None:
    """The backend for weights on this device; None where there is none."""
    choose = BACKENDS.get(device.type)
    return None if choose is None else choose(device)
