"""Activations that are computed twice: the same results to the bit, in the memory that is counted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from weakref import finalize

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from thalweg.population.batched import PLAIN, Batched
from thalweg.population.recomputed import Recomputed
from thalweg.programs.recompute import peak
from thalweg.samples import Samples

MEMBERS, SAMPLES = 3, 48


class Residual(nn.Module):
    """Blocks that are called with a keyword, a constant that is no buffer, and noise beside dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(nn.Linear(24, 24) for _ in range(8))
        self.out, self.scale = nn.Linear(24, 3), torch.linspace(0.5, 1, 24, dtype=torch.float64)

    def block(self, x: Tensor, *, layer: nn.Module) -> Tensor:
        return x + F.dropout(torch.tanh(layer(x * self.scale)), 0.2, self.training)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.blocks:
            x = self.block(x, layer=layer)
        return self.out(x + 0.01 * torch.randn_like(x))


def normed() -> nn.Module:
    """Whose running statistics a step moves, with operations in place."""
    blocks = [nn.Sequential(nn.Conv1d(4, 4, 3, padding=1), nn.BatchNorm1d(4), nn.ReLU(inplace=True)) for _ in range(6)]
    return nn.Sequential(nn.Unflatten(1, (4, 6)), *blocks, nn.Flatten(), nn.Linear(24, 3))


def attentive() -> nn.Module:
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.1, batch_first=True)
    layers = nn.TransformerEncoder(layer, 4, enable_nested_tensor=False)
    return nn.Sequential(nn.Unflatten(1, (3, 8)), layers, nn.Flatten(), nn.Linear(24, 3))


class Alive(TorchDispatchMode):
    """Bytes of the memory that operations allocate, and the most of it at once."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.most = 0
        self.seen: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = {t.untyped_storage().data_ptr() for t in pytree.tree_leaves((args, kwargs)) if isinstance(t, Tensor)}
        result = func(*args, **(kwargs or {}))
        for tensor in pytree.tree_leaves(result):
            if isinstance(tensor, Tensor) and (storage := tensor.untyped_storage()).data_ptr() not in given:
                self.now += (size := storage.nbytes())
                finalize(storage, self._freed, size)
        self.most = max(self.most, self.now)
        return result

    def _freed(self, size: int) -> None:
        self.now -= size


def step(kind: type[Batched], model: nn.Module) -> tuple[Any, Sequence[Tensor], Sequence[Tensor]]:
    """The program of a step, what it was given, and its results."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(SAMPLES, 24, generator=generator, dtype=torch.float64)
    targets = torch.randint(0, 3, (SAMPLES,), generator=generator)
    batched = kind(model, F.cross_entropy, {})
    batched.find_moving_buffers(Samples(inputs, targets))
    tensors = dict(model.named_parameters()) | dict(model.named_buffers())
    fixed = [tensors[name].detach() for name in batched.fixed]
    weights, moving = (
        [torch.stack([tensors[name].detach() * (1 + k / 8) for k in range(MEMBERS)]) for name in names]
        for names in (batched.names, batched.moving)
    )
    results = batched.gradient(weights, inputs, targets, fixed, moving)
    assert batched.notes == []
    (graph,) = batched._graphs.values()
    return graph.call, batched.given(batched.groups(weights, Samples(inputs, targets), fixed, moving), PLAIN), results


@pytest.mark.slow
@pytest.mark.parametrize("model", [Residual, normed, attentive])
def test_a_step_is_the_same_to_the_bit_in_less_memory(model: Callable[[], nn.Module]) -> None:
    torch.manual_seed(0)
    built = model().double()
    most: list[float] = []
    steps = [step(kind, built) for kind in (Batched, Recomputed)]
    for one, other in zip(steps[0][2], steps[1][2], strict=True):
        assert torch.equal(one, other)
    for call, given, _ in steps:
        with torch.no_grad(), (alive := Alive()):
            call(*given)
        assert alive.most == pytest.approx(peak(call.graph), rel=0.05)
        most.append(alive.most)
    assert most[1] < 0.7 * most[0]
