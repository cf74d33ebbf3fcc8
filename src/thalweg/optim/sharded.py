"""Weights that several processes hold in parts: what lies here, and what takes all of them.

With FSDP2 or tensor parallelism parameters, gradients and states are DTensors. An update is elementwise, so each
process updates the part that it holds, by the same kernels and without communication. Only two things concern all
parts: the norm of the gradients, and the loss that a rule reads. Without DTensors nothing here costs or imports
anything.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ..errors import UsageError

if TYPE_CHECKING:
    from torch.distributed.device_mesh import DeviceMesh


def is_sharded(t: Any) -> bool:
    """Whether it is a DTensor."""
    module = sys.modules.get("torch.distributed.tensor")  # absent until that is imported
    return module is not None and isinstance(t, module.DTensor)


def local(t: Any) -> Tensor:
    """The part of a DTensor that lies here; any other tensor unchanged."""
    if not is_sharded(t):
        return t
    part = t._local_tensor  # to_local() would give another view each time
    return part.wait() if hasattr(part, "wait") else part  # it may still be on its way


def placed(state: Any, p: Any) -> Tensor:
    """A state divided as its parameter is: from a whole tensor, the same in all processes, or another division."""
    if not is_sharded(p):
        return state.full_tensor() if is_sharded(state) else state
    if not is_sharded(state):
        from torch.distributed.tensor import distribute_tensor

        return distribute_tensor(state, p.device_mesh, p.placements, src_data_rank=None)
    return state if _alike(state, p) else state.redistribute(p.device_mesh, p.placements)


def check(p: Any, g: Any, form: str | None) -> None:
    """Refuse what cannot be updated part by part."""
    _check_both(p, g)
    if not is_sharded(p):
        return
    if any(placement.is_partial() for placement in p.placements):
        raise UsageError(
            f"a parameter of shape {tuple(p.shape)} is placed as {p.placements}: a sum still to be made cannot be "
            "updated; redistribute it to Shard or Replicate first."
        )
    if form == "int8":
        raise UsageError(
            f'state_dtype="int8" keeps blocks that cannot be divided anew, and a parameter of shape '
            f"{tuple(p.shape)} is a DTensor; give state_dtype=torch.bfloat16 or None."
        )


def _check_both(p: Any, g: Any) -> None:
    if is_sharded(g) is not is_sharded(p):
        raise UsageError(
            f"of a parameter of shape {tuple(p.shape)} and its gradient only one is a DTensor; make the gradient "
            "with torch.distributed.tensor.distribute_tensor, or let backward() make it."
        )


def _alike(a: Any, b: Any) -> bool:
    return a.placements == b.placements and a.device_mesh == b.device_mesh


class Shards:
    """The DTensors among the parameters of a step, by the mesh of processes that holds them.

    Args:
        params: all parameters of the optimizer.
        with_gradient: the places of those that have a gradient.
    """

    def __init__(self, params: Sequence[Any], with_gradient: Sequence[int]) -> None:
        self.weights = [params[k] for k in with_gradient]
        divided: dict[DeviceMesh, set[int]] = {}  # mesh → its dimensions that something is divided over
        for p in filter(is_sharded, params):
            divided.setdefault(p.device_mesh, set()).update(_divided(p))
        self.pointers = self._pointers()
        self.dimensions = {mesh: sorted(dimensions) for mesh, dimensions in divided.items()}
        self.whole = [k for k, p in enumerate(self.weights) if not is_sharded(p)]
        self.parts = {
            mesh: [k for k, p in enumerate(self.weights) if is_sharded(p) and p.device_mesh == mesh] for mesh in divided
        }
        self.shares = {
            mesh: np.array([self._share(self.weights[k], mesh) for k in places]) for mesh, places in self.parts.items()
        }

    def _share(self, p: Any, mesh: DeviceMesh) -> float:
        """One over how often a weight is counted where all processes' parts are added up."""
        again = set(self.dimensions[mesh]) - _divided(p)
        return 1.0 / np.prod([mesh.size(d) for d in again])

    def _pointers(self) -> list[int]:
        return [local(p).data_ptr() for p in self.weights]

    def stayed(self) -> bool:
        """Whether the parts are where they were."""
        return self._pointers() == self.pointers

    def gradients(self, present: Sequence[Any]) -> tuple[list[Tensor], list[Tensor]]:
        """The parts of the gradients that belong to the parts of the weights; and which had to be moved for it."""
        parts, moved = [], []
        for g, p in zip(present, self.weights, strict=True):
            _check_both(p, g)
            if is_sharded(g) and not _alike(g, p):
                moved.append(g)
                g = g.redistribute(p.device_mesh, p.placements)
            parts.append(local(g))
        return parts, moved

    def total(self, squares: np.ndarray) -> float:
        """The sum over all processes, each weight counted once.

        Args:
            squares: (gradients,) Σg² over the parts that lie here. Other tensors are the same everywhere.
        """
        total = float(squares[self.whole].sum())
        for mesh, places in self.parts.items():
            here = float((squares[places] * self.shares[mesh]).sum())
            total += _summed(here, mesh, self.dimensions[mesh])
        return total

    def mean(self, loss: float) -> float:
        """The mean over all processes."""
        for mesh in self.dimensions:
            loss = _summed(loss, mesh, range(mesh.ndim)) / mesh.size()
        return loss


def _divided(p: Any) -> set[int]:
    return {d for d, placement in enumerate(p.placements) if not placement.is_replicate()}


def _summed(value: float, mesh: DeviceMesh, dimensions: Sequence[int]) -> float:
    """The sum of all processes' values: one collective for each dimension of the mesh."""
    sent = torch.tensor(value, dtype=torch.float64, device=mesh.device_type)
    for d in dimensions:
        torch.distributed.all_reduce(sent, group=mesh.get_group(d))
    return float(sent)
