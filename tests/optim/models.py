"""What the optimizers are tested on: a small model, and every class with its options."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from thalweg.formulas import FORMULAS

# class name → the options it is tested with, beside none
MORE: dict[str, list[dict[str, Any]]] = {
    "SGD": [
        {"lr": 0.1, "weight_decay": 0.1},
        {"lr": 0.05, "momentum": 0.9},
        {"lr": 0.05, "maximize": True},
        {"lr": 0.05, "momentum": 0.8, "dampening": 0.3, "weight_decay": 0.1},
        {"lr": 0.05, "momentum": 0.8, "nesterov": True, "weight_decay": 0.1, "maximize": True},
    ],
    "Adagrad": [
        {"lr": 0.1, "lr_decay": 0.03, "weight_decay": 0.1, "initial_accumulator_value": 0.4, "eps": 1e-3},
        {"maximize": True, "weight_decay": 0.1},
    ],
    "Adadelta": [{"lr": 0.5, "rho": 0.8, "eps": 1e-4, "weight_decay": 0.1, "maximize": True}],
    "RMSprop": [
        {"alpha": 0.9, "eps": 1e-4, "weight_decay": 0.1},
        {"momentum": 0.8, "maximize": True},
        {"centered": True, "eps": 1e-3},
        {"centered": True, "momentum": 0.7, "eps": 1e-3},
    ],
    "Adam": [
        {"lr": 0.01, "betas": (0.8, 0.95), "eps": 1e-4, "weight_decay": 0.1},
        {"maximize": True},
        {"amsgrad": True, "betas": (0.9, 0.9), "weight_decay": 0.1},
        {"decoupled_weight_decay": True, "weight_decay": 0.3},
    ],
    "AdamW": [
        {"lr": 0.01, "betas": (0.8, 0.95), "weight_decay": 0.3, "maximize": True},
        {"amsgrad": True, "betas": (0.9, 0.9)},
    ],
    "NAdam": [
        {"lr": 0.01, "weight_decay": 0.1, "momentum_decay": 0.02, "maximize": True},
        {"weight_decay": 0.1, "decoupled_weight_decay": True},
    ],
    "RAdam": [
        {"lr": 0.01, "betas": (0.8, 0.9), "weight_decay": 0.1, "maximize": True},
        {"weight_decay": 0.1, "decoupled_weight_decay": True},
    ],
    "Adamax": [{"lr": 0.01, "betas": (0.8, 0.9), "eps": 1e-2, "weight_decay": 0.1, "maximize": True}],
    "ASGD": [{"lr": 0.1, "lambd": 0.02, "alpha": 0.6, "t0": 8, "weight_decay": 0.1, "maximize": True}],
    "Rprop": [{"lr": 0.1, "etas": (0.4, 1.3), "step_sizes": (1e-3, 0.2), "maximize": True}],
}
DROP_INS = [(formula.name, drop_in) for formula in FORMULAS.values() for drop_in in formula.drop_ins]
BEYOND = [d.name for name, d in DROP_INS if not FORMULAS[name].equations.elementwise]  # they look at whole tensors
OPTIONS = {d.name: [{}, *MORE.get(d.name, [])] for _, d in DROP_INS if d.in_torch and d.name not in BEYOND}
SAMPLED = [d.name for name, d in DROP_INS if FORMULAS[name].equations.sampled]  # kernels/test_sampled.py has them
OWN = {d.name: name for name, d in DROP_INS if not d.in_torch and d.name not in (*BEYOND, *SAMPLED)}
OWN_BEYOND = {d.name: name for name, d in DROP_INS if not d.in_torch and d.name in BEYOND}
ADAFACTOR: list[dict[str, Any]] = [
    {},
    {"lr": 0.1, "beta2_decay": -0.6, "eps": (1e-6, 1e-2), "d": 2.0, "weight_decay": 0.1, "maximize": True},
]
EACH = [(name, options) for name, several in OPTIONS.items() for options in several]

generator = torch.Generator().manual_seed(5)
INPUTS = torch.randn(40, 6, generator=generator, dtype=torch.float64)
TARGETS = torch.randn(40, 3, generator=generator, dtype=torch.float64)


def network(dtype: torch.dtype = torch.float64) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return nn.Sequential(nn.Linear(6, 7), nn.Tanh(), nn.Linear(7, 3)).to(dtype)


def closure(model: nn.Module, optimizer: torch.optim.Optimizer, k: int) -> Callable[[], torch.Tensor]:
    """The loss on the k-th batch, with its gradients."""
    dtype = next(model.parameters()).dtype
    rows = slice(8 * (k % 5), 8 * (k % 5) + 8)

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        value = (model(INPUTS[rows].to(dtype)) - TARGETS[rows].to(dtype)).square().mean()
        value.backward()
        return value

    return loss


def train(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int, start: int = 0) -> list[float]:
    numbers = range(start, start + steps)
    return [optimizer.step(closure(model, optimizer, k)).item() for k in numbers]


def weights(model: nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().double().flatten() for p in model.parameters()])


def close(a: torch.Tensor, b: torch.Tensor, relative: float = 1e-10) -> bool:
    return float((a - b).norm()) <= relative * float(b.norm())
