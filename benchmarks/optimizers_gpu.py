"""tw.optim against torch.optim on a GPU: one step over 100 million float32 weights, side by side.

As `optimizers.py` on the CPU, with times taken by events on the device. The share of bandwidth is against a
copy of a tensor of the same size, measured in the same run. The last rows are one tensor against 150 and against 500
parameter groups of one tensor each, and the time Python takes to start a step.

    python benchmarks/optimizers_gpu.py [--weights 100000000] [--rounds 30]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence

import machine
import torch
from optimizers import FUSED, RULES

import thalweg as tw

DEVICE = "cuda"


def parameter(count: int) -> torch.nn.Parameter:
    p = torch.nn.Parameter(torch.randn(count, device=DEVICE))
    p.grad = torch.randn(count, device=DEVICE)
    return p


def medians(rounds: int, *functions: Callable[[], object]) -> list[float]:
    """Median seconds of each function on the device, run in turn."""
    times: list[list[float]] = [[] for _ in functions]
    for k in range(rounds + 5):
        for function, kept in zip(functions, times, strict=True):
            begun, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            torch.cuda.synchronize()
            begun.record()
            function()
            ended.record()
            ended.synchronize()
            if k >= 5:
                kept.append(begun.elapsed_time(ended) / 1e3)
    return [statistics.median(t) for t in times]


def to_start(rounds: int, function: Callable[[], object]) -> float:
    """Median seconds until Python is done with a step, whenever the device is."""
    times = []
    for _ in range(rounds):
        torch.cuda.synchronize()
        begun = time.perf_counter()
        function()
        times.append(time.perf_counter() - begun)
    return statistics.median(times)


def copying(count: int) -> Callable[[], object]:
    source, target = torch.randn(count, device=DEVICE), torch.empty(count, device=DEVICE)
    return lambda: target.copy_(source)


def whole_step(count: int) -> tuple[Callable[[], object], Callable[[], object]]:
    """Clip, AdamW, moving average and zero: ours, and torch's four calls."""
    p, q = parameter(count), parameter(count)
    average = q.detach().clone()
    theirs = torch.optim.AdamW([q], fused=True)
    ours = tw.optim.AdamW([p], max_norm=1.0, ema_decay=0.999, zero_grad=True)

    def four() -> None:
        torch.nn.utils.clip_grad_norm_([q], 1.0)
        theirs.step()
        average.lerp_(q.detach(), 0.001)
        theirs.zero_grad(set_to_none=False)

    return ours.step, four


def rules(count: int, rounds: int) -> list[list[str]]:
    rows = []
    for name, arguments in RULES.items():
        form = {"fused": True} if name in FUSED else {"foreach": True}
        theirs = getattr(torch.optim, name)([parameter(count)], **arguments, **form)
        ours = getattr(tw.optim, name)([parameter(count)], **arguments)
        a, b, copy = medians(rounds, ours.step, theirs.step, copying(count))
        states = sum(v.numel() for s in ours.state.values() for v in s.values() if v.is_cuda)
        moved = 4 * (3 * count + 2 * states)  # weight read and written, gradient read, states both
        share = (moved / a) / (8 * count / copy)
        rows.append([name, next(iter(form)), *cells(a, b), f"{moved / a / 1e9:.0f}", f"{share:.0%}"])
        del theirs, ours
        torch.cuda.empty_cache()
    return rows


def cells(ours: float, theirs: float) -> list[str]:
    return [f"{ours * 1e3:.3f}", f"{theirs * 1e3:.3f}", f"{theirs / ours:.2f}×"]


def divided(count: int, rounds: int) -> list[list[str]]:
    """The same weights in many tensors, and in many groups."""

    def adam(module: object, tensors: int, grouped: bool, **form: bool) -> Callable[[], object]:
        params: Sequence = [parameter(count // tensors) for _ in range(tensors)]
        params = [{"params": [p], "lr": 1e-3 + k * 1e-6} for k, p in enumerate(params)] if grouped else params
        return module.optim.Adam(params, **form).step  # type: ignore[attr-defined]

    rows = []
    for label, tensors, grouped in (("Adam, 150 tensors", 150, False), ("Adam, 500 groups", 500, True)):
        ours, theirs = adam(tw, tensors, grouped), adam(torch, tensors, grouped, fused=True)
        rows.append([label, "fused", *cells(*medians(rounds, ours, theirs)), "", ""])
        rows.append([f"{label}: Python", "fused", *cells(to_start(rounds, ours), to_start(rounds, theirs)), "", ""])
    return rows


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--weights", type=int, default=100_000_000)
    options.add_argument("--rounds", type=int, default=30)
    given = options.parse_args()
    if not torch.cuda.is_available():
        sys.exit("There is no CUDA device that torch can see, so nothing was measured: run this on a machine with one.")
    rows = rules(given.weights, given.rounds)
    rows.append(
        ["clip + AdamW + average + zero", "fused", *cells(*medians(given.rounds, *whole_step(given.weights))), "", ""]
    )
    rows += divided(given.weights, given.rounds)
    head = ["rule", "torch's form", "ours, ms", "torch, ms", "ratio", "ours, GB/s", "share of a copy's"]
    text = machine.heading("One step of an optimizer on a GPU") + "\n" + machine.table(head, rows)
    text += (
        f"\n{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}; {given.weights:,} float32 weights in one tensor "
        f"unless said otherwise; medians of {given.rounds} alternating rounds.\n"
    )
    machine.write("optimizers_gpu", text)


if __name__ == "__main__":
    main()
