"""tw.optim against torch.optim: one step over 10 million float32 weights, side by side.

Each drop-in and torch's fastest form of the same rule (fused where there is one, else foreach) step
alternately on tensors of their own; medians and their ratio are reported, and the memory each step of ours
moves per second against that of torch's fused Adam. The last row is clip + step + moving average + zero:
one pass here, four calls in torch.

    python benchmarks/optimizers.py [--weights 10000000] [--rounds 15]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import machine
import torch

import thalweg as tw

RULES: dict[str, dict] = {
    "SGD": {"lr": 1e-3, "momentum": 0.9}, "Adagrad": {}, "Adadelta": {}, "RMSprop": {}, "Adam": {}, "AdamW": {},
    "NAdam": {}, "RAdam": {}, "Adamax": {}, "ASGD": {}, "Rprop": {},
}  # fmt: skip
FUSED = ("SGD", "Adagrad", "Adam", "AdamW")


def parameter(count: int) -> torch.nn.Parameter:
    p = torch.nn.Parameter(torch.randn(count))
    p.grad = torch.randn(count)
    return p


def medians(rounds: int, *functions: Callable[[], object]) -> list[float]:
    """Median seconds of each function, run in turn."""
    times: list[list[float]] = [[] for _ in functions]
    for k in range(rounds + 3):
        for function, kept in zip(functions, times, strict=True):
            begun = time.perf_counter()
            function()
            if k >= 3:
                kept.append(time.perf_counter() - begun)
    return [statistics.median(t) for t in times]


def whole_step(count: int) -> tuple[Callable[[], object], Callable[[], object]]:
    """Clip, AdamW, moving average and zero: ours in one pass, torch's in four calls."""
    p, q = parameter(count), parameter(count)
    average = q.detach().clone()
    theirs = torch.optim.AdamW([q], fused=True)
    ours = tw.optim.AdamW([p], max_norm=1.0, ema_decay=0.999, zero_grad=True)
    fresh = torch.randn(count)

    def one() -> None:
        ours.step()

    def four() -> None:
        torch.nn.utils.clip_grad_norm_([q], 1.0)
        theirs.step()
        average.lerp_(q.detach(), 0.001)
        theirs.zero_grad(set_to_none=False)

    p.grad, q.grad = fresh.clone(), fresh.clone()
    return one, four


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--weights", type=int, default=10_000_000)
    options.add_argument("--rounds", type=int, default=15)
    given = options.parse_args()
    fused = torch.optim.Adam([parameter(given.weights)], fused=True)
    rows = []
    for name, arguments in RULES.items():
        form = {"fused": True} if name in FUSED else {"foreach": True}
        theirs = getattr(torch.optim, name)([parameter(given.weights)], **arguments, **form)
        ours = getattr(tw.optim, name)([parameter(given.weights)], **arguments)
        a, b, adam = medians(given.rounds, ours.step, theirs.step, fused.step)
        states = sum(
            v.numel() for s in ours.state.values() for v in s.values() if isinstance(v, torch.Tensor)
        )
        moved = 4 * (3 * given.weights + 2 * states)  # weight read and written, gradient read, states both
        share = moved / a / (4 * 7 * given.weights / adam)
        rows.append(
            [name, next(iter(form)), f"{a * 1e3:.2f}", f"{b * 1e3:.2f}", f"{b / a:.2f}×", f"{share:.0%}"]
        )
    a, b = medians(given.rounds, *whole_step(given.weights))
    rows.append(
        ["clip + AdamW + average + zero", "fused", f"{a * 1e3:.2f}", f"{b * 1e3:.2f}", f"{b / a:.2f}×", ""]
    )
    head = ["rule", "torch's form", "ours, ms", "torch, ms", "ratio", "bandwidth against fused Adam"]
    text = machine.heading("One step of an optimizer") + "\n" + machine.table(head, rows)
    text += (
        f"\n{given.weights:,} float32 weights in one tensor; medians of {given.rounds} alternating rounds.\n"
    )
    machine.write("optimizers", text)


if __name__ == "__main__":
    main()
