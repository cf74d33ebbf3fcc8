"""How far float32 steps stray from float64: the compiled kernel, the torch reference, and torch.optim itself.

Every path takes the same 1,000 gradients from the same start. The truth is torch.optim in float64; an error is
relative to how far the weights have come: its norm, and its largest element. Nothing is timed, and nothing
depends on the machine but the rounding of its arithmetic.

    python benchmarks/accuracy.py [--weights 10000]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from typing import Any

import machine
import torch

import thalweg as tw
from thalweg.kernels import torch_ref

RULES: dict[str, dict[str, Any]] = {
    "SGD": {"momentum": 0.9},
    "Adagrad": {},
    "Adadelta": {},
    "RMSprop": {},
    "Adam": {},
    "AdamW": {},
    "NAdam": {},
    "RAdam": {},
    "Adamax": {},
    "ASGD": {},
    "Rprop": {},
}
FUSED = ("SGD", "Adagrad", "Adam", "AdamW")
STEPS = (50, 1000)


def gradients(weights: int) -> Iterator[torch.Tensor]:
    """A direction that lasts, noise, and sizes from 1e-4 to 1e2: float32."""
    generator = torch.Generator().manual_seed(11)
    sizes = torch.logspace(-4, 2, weights, dtype=torch.float32)
    lasting = torch.randn(weights, generator=generator, dtype=torch.float32)
    for _ in range(STEPS[-1]):
        yield sizes * (0.3 * lasting + torch.randn(weights, generator=generator, dtype=torch.float32))


def with_optimizer(kind: Any, arguments: dict[str, Any], dtype: torch.dtype, weights: int) -> list[torch.Tensor]:
    """The weights after each of `STEPS`."""
    torch.set_default_dtype(dtype)  # torch keeps some of its numbers in it
    w = torch.nn.Parameter(start_in(dtype, weights))
    optimizer = kind([w], **arguments)

    def step(g: torch.Tensor, _: int) -> None:
        w.grad = g.to(dtype)
        optimizer.step()

    try:
        return path(w, step, weights)
    finally:
        torch.set_default_dtype(torch.float32)


def with_reference(name: str, arguments: dict[str, Any], weights: int) -> list[torch.Tensor]:
    w = start_in(torch.float32, weights)
    made = getattr(tw.optim, name)([torch.nn.Parameter(w.clone())], **arguments)
    group = made.param_groups[0]
    formula = made.rule.choose(group)
    numbers = made.rule.numbers(formula, group)
    states = torch_ref.initial_states(formula, w, numbers)
    return path(w, lambda g, t: torch_ref.update(formula, w, g, states, t, numbers), weights)


def start_in(dtype: torch.dtype, weights: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(12)
    return torch.randn(weights, generator=generator, dtype=torch.float32).to(dtype)


def path(w: torch.Tensor, step: Callable[[torch.Tensor, int], object], weights: int) -> list[torch.Tensor]:
    kept = []
    for t, g in enumerate(gradients(weights), start=1):
        step(g, t)
        if t in STEPS:
            kept.append(w.detach().double().clone())
    return kept


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--weights", type=int, default=10_000)
    given = options.parse_args()
    begun = start_in(torch.float64, given.weights)
    rows = []
    for name, arguments in RULES.items():
        theirs = getattr(torch.optim, name)
        form = {"fused": True} if name in FUSED else {"foreach": True}
        truth = with_optimizer(theirs, arguments, torch.float64, given.weights)
        paths = (
            with_optimizer(getattr(tw.optim, name), arguments, torch.float32, given.weights),
            with_reference(name, arguments, given.weights),
            with_optimizer(theirs, {**arguments, **form}, torch.float32, given.weights),
        )
        for k, steps in enumerate(STEPS):
            come = truth[k] - begun
            norms = [float((w[k] - truth[k]).norm() / come.norm()) for w in paths]
            largest = [float((w[k] - truth[k]).abs().max() / come.abs().max()) for w in paths]
            shown = [f"{x:.1e}" for pair in zip(norms, largest, strict=True) for x in pair]
            rows.append([name, f"{steps:,}", *shown, f"{norms[0] / norms[2]:.2f}×"])
    head = [
        "rule",
        "steps",
        "kernel, norm",
        "largest",
        "reference, norm",
        "largest",
        "torch, norm",
        "largest",
        "kernel against torch",
    ]
    text = machine.heading("Errors of float32 steps") + "\n" + machine.table(head, rows)
    text += (
        f"\n{given.weights:,} weights; errors against torch.optim in float64, relative to the way come; torch's "
        "fused form where there is one, else foreach.\n"
    )
    machine.write("accuracy", text)


if __name__ == "__main__":
    main()
