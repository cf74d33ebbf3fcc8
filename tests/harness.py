"""One harness for every formula and every target: the same gradients go down every path.

A `Case` names a formula, hyperparameters, and where the truth comes from: an optimizer of torch.optim.
A path function takes the same start and gradients and returns the weights and the states they end in.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numba import types

from thalweg import formulas
from thalweg.formulas import Equations, Formula
from thalweg.kernels import numba_cpu, torch_ref

STEPS = 50


@dataclass(frozen=True)
class Case:
    """A formula with hyperparameters, and the torch optimizer that follows the same rule."""

    text: str
    make: Callable[[list[torch.Tensor]], torch.optim.Optimizer]
    states: Mapping[str, str] = field(default_factory=dict)  # ours → torch's, where torch has the same

    @property
    def formula(self) -> Formula:
        return formulas.get(self.text)

    def __str__(self) -> str:
        return self.text


def case(text: str, optimizer: Any, states: Mapping[str, str] | None = None, **arguments: Any) -> Case:
    """A case whose torch optimizer is made by ``optimizer(params, **arguments)``."""
    return Case(text, lambda params: optimizer(params, foreach=False, **arguments), states or {})


O = torch.optim  # noqa: E741 - a table is easier to read when its columns are narrow
CASES = [
    case("sgd", O.SGD),
    case("sgd(lr=0.1,weight_decay=0.1)", O.SGD, lr=0.1, weight_decay=0.1),
    case("momentum", O.SGD, {"a": "momentum_buffer"}, momentum=0.9),
    case("momentum(momentum=0.5,weight_decay=0.1)", O.SGD, {"a": "momentum_buffer"},
         momentum=0.5, weight_decay=0.1),
    case("nesterov", O.SGD, {"a": "momentum_buffer"}, momentum=0.9, nesterov=True),
    case("nesterov(lr=0.01,momentum=0.7,weight_decay=0.1)", O.SGD, {"a": "momentum_buffer"},
         lr=0.01, momentum=0.7, nesterov=True, weight_decay=0.1),
    case("adagrad", O.Adagrad, {"r": "sum"}),
    case("adagrad(lr=0.1,lr_decay=0.03,initial_accumulator_value=0.4,weight_decay=0.1,eps=1e-3)", O.Adagrad,
         {"r": "sum"}, lr=0.1, lr_decay=0.03, initial_accumulator_value=0.4, weight_decay=0.1, eps=1e-3),
    case("adadelta", O.Adadelta, {"v": "square_avg", "u": "acc_delta"}),
    case("adadelta(lr=0.3,rho=0.8,eps=1e-4,weight_decay=0.1)", O.Adadelta,
         {"v": "square_avg", "u": "acc_delta"}, lr=0.3, rho=0.8, eps=1e-4, weight_decay=0.1),
    case("rmsprop", O.RMSprop, {"v": "square_avg"}),
    case("rmsprop(lr=0.002,alpha=0.9,eps=1e-4,weight_decay=0.1)", O.RMSprop, {"v": "square_avg"},
         lr=0.002, alpha=0.9, eps=1e-4, weight_decay=0.1),
    case("adam", O.Adam, {"m": "exp_avg", "v": "exp_avg_sq"}),
    case("adam(lr=0.01,beta1=0.8,beta2=0.95,eps=1e-4,weight_decay=0.1)", O.Adam,
         {"m": "exp_avg", "v": "exp_avg_sq"}, lr=0.01, betas=(0.8, 0.95), eps=1e-4, weight_decay=0.1),
    case("adamw", O.AdamW, {"m": "exp_avg", "v": "exp_avg_sq"}),
    case("adamw(lr=0.01,beta1=0.8,beta2=0.95,eps=1e-4,weight_decay=0.3)", O.AdamW,
         {"m": "exp_avg", "v": "exp_avg_sq"}, lr=0.01, betas=(0.8, 0.95), eps=1e-4, weight_decay=0.3),
]  # fmt: skip


@dataclass(frozen=True)
class Path:
    """Where a rule ended: the weights, and each state by name."""

    weight: torch.Tensor
    states: Mapping[str, torch.Tensor]


def start_and_gradients(
    shape: Sequence[int], seed: int, steps: int = STEPS
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Float32 numbers, so that every target sees the same; the gradients differ in size between weights."""
    generator = torch.Generator().manual_seed(seed)
    scale = 10 ** torch.empty(tuple(shape)).uniform_(-2, 1, generator=generator)
    return torch.randn(tuple(shape), generator=generator), [
        torch.randn(tuple(shape), generator=generator) * scale for _ in range(steps)
    ]


def torch_path(case: Case, w: torch.Tensor, gradients: Sequence[torch.Tensor], dtype: torch.dtype) -> Path:
    """The truth: torch.optim."""
    weight = w.to(dtype).clone().requires_grad_()
    optimizer = case.make([weight])
    for g in gradients:
        weight.grad = g.to(dtype)
        optimizer.step()
    held = optimizer.state[weight]
    return Path(weight.detach(), {ours: held[theirs] for ours, theirs in case.states.items()})


Update = Callable[..., None]


def our_path(
    formula: Formula,
    w: torch.Tensor,
    gradients: Sequence[torch.Tensor],
    dtype: torch.dtype,
    update: Update,
    losses: Sequence[float] | None = None,
) -> Path:
    """The formula by `torch_ref.update` or `numba_cpu.update`."""
    weight = w.to(dtype).clone()
    states = torch_ref.initial_states(formula, weight, {})
    for t, g in enumerate(gradients, start=1):
        update(formula, weight, g.to(dtype), states, t, loss=losses[t - 1] if losses else float("nan"))
    return Path(weight, dict(zip(formula.states, states, strict=True)))


def difference(a: torch.Tensor, b: torch.Tensor) -> float:
    """‖a − b‖ / ‖b‖ in float64; 0 where both are empty or 0."""
    a, b = a.double(), b.double()
    size = float(b.norm())
    return float((a - b).norm()) / size if size else float(a.norm())


def kernel_step(
    formula: Formula,
    weights: Sequence[torch.Tensor],
    gradients: Sequence[torch.Tensor],
    states: Sequence[Sequence[torch.Tensor]],
    tables: Sequence[Mapping[str, float]],
    t: int,
    active: Sequence[bool] | None = None,
    threads: int = 1,
) -> None:
    """One call of the compiled kernel over many segments, the i-th with the i-th set of hyperparameters."""
    address, length = numba_cpu.segment_table(weights, gradients, states)
    names, count = formula.equations.hyperparameters, len(weights)
    table = np.array([[{**formula.hyperparameters, **row}[name] for name in names] for row in tables])
    launch = numba_cpu.compiled(formula.equations, weights[0].dtype).launch(
        address, length, np.arange(count), np.array(active or [True] * count), np.full(count, float(t)),
        np.full(count, np.nan), table.reshape(count, len(names)),
    )  # fmt: skip
    numba_cpu.run([launch], threads)


@functools.cache
def machine_code(equations: Equations) -> tuple[str, str]:
    """LLVM and assembly of the float32 loop; compiled anew, because Numba shows neither of cached code."""
    scope: dict[str, Any] = {}
    exec(numba_cpu.source(equations, "float32").replace("cache=True", "cache=False"), scope)
    integers, flags, numbers = types.int64[::1], types.boolean[::1], types.float64[:, ::1]
    loop = scope["segments"]
    loop.compile((types.int64[:, ::1], integers, integers, flags, numbers, types.int64, types.int64))
    return "".join(loop.inspect_llvm().values()), "".join(loop.inspect_asm().values())
