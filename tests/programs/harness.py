"""A compiled step run on tensors, beside plain PyTorch."""

from __future__ import annotations

import ctypes
import warnings
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value

from thalweg.programs.compiled import Step, compile_graph
from thalweg.programs.operations import RULES
from thalweg.programs.trace import graph

from .models import Case

Call = Callable[..., Sequence[Tensor]]


def run(step: Step, inputs: Sequence[Tensor], n: int) -> list[Tensor]:
    """The step's results for these tensors, with the number of samples among them."""
    inputs = [t.contiguous() for t in inputs]
    outputs = [torch.empty([d.at(n) for d in s], dtype=k) for s, k in zip(step.shapes, step.dtypes, strict=True)]
    status = torch.zeros(1, dtype=torch.int64)
    places = np.array([t.data_ptr() for t in [*inputs, *outputs, status, *step.constants]], dtype=np.int64)
    arena = np.full(step.room.at(n) + 64, 0xFF, dtype=np.uint8)  # NaN, so that reading before writing is seen
    call = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)(step.function)
    call(places.ctypes.data, n, arena.ctypes.data)
    return outputs


def compiled(call: Call, *examples: tuple[int, Sequence[Tensor]]) -> Step:
    return compile_graph(graph(call, list(examples), RULES))


def training(model: nn.Module, loss: Callable[[Tensor, Tensor], Tensor]) -> Call:
    """f(inputs, targets, *parameters, *buffers) → gradients, loss, moved buffers."""
    names, buffers = [n for n, _ in model.named_parameters()], [n for n, _ in model.named_buffers()]

    def call(x: Tensor, y: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        before = state[len(names) :]

        def objective(weights: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
            moved = {n: v.clone() for n, v in zip(buffers, before, strict=True)}
            value = loss(functional_call(model, {**moved, **dict(zip(names, weights, strict=True))}, (x,)), y)
            return value, tuple(moved[n].detach() for n in buffers)

        gradients, (value, after) = grad_and_value(objective, has_aux=True)(state[: len(names)])
        return (*gradients, value, *after)

    return call


def evaluation(model: nn.Module, loss: Callable[[Tensor, Tensor], Tensor]) -> Call:
    """f(inputs, targets, *parameters, *buffers) → outputs, loss."""
    names = [n for n, _ in [*model.named_parameters(), *model.named_buffers()]]

    def call(x: Tensor, y: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        outputs = functional_call(model, dict(zip(names, state, strict=True)), (x,))
        return outputs, loss(outputs, y)

    return call


def state_of(model: nn.Module) -> list[Tensor]:
    return [t.detach() for t in [*model.parameters(), *model.buffers()]]


def made(case: Case, dtype: torch.dtype, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    model = case.model().to(dtype)
    with torch.no_grad():
        model(case.batch(3, dtype)[0])  # lazy layers learn their size
    return model


def both(call: Call, step: Step, inputs: Sequence[Tensor], n: int) -> list[tuple[Tensor, Tensor]]:
    """(compiled, plain) of each result."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plain = call(*inputs)
    return list(zip(run(step, inputs, n), plain, strict=True))


def far(pairs: Sequence[tuple[Tensor, Tensor]]) -> float:
    """The largest difference, as a share of the largest plain value of all results that are real."""
    real = [(a, b) for a, b in pairs if a.is_floating_point()]
    assert all(torch.equal(a, b) for a, b in pairs if not a.is_floating_point())
    assert all(torch.equal(a.isfinite(), b.isfinite()) for a, b in real)
    scale = max(float(b.abs().max()) for _, b in real if b.numel())
    return max(float((a - b).nan_to_num().abs().max()) for a, b in real if b.numel()) / (scale + 1e-300)
