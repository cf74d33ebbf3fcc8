"""Cross-entropy of a last layer over 32,768 classes: tw.losses.linear_cross_entropy against linear, then cross_entropy.

Each way runs forward and backward in a process of its own, on the same numbers, after a small run that loads
the kernels. Extra memory is the peak of resident memory during the run less what was resident before it, the
gradients of hidden states and weights included on both sides (Linux's VmHWM, set back before the run).

    python benchmarks/linear_cross_entropy.py [--tokens 8192] [--classes 32768] [--rounds 2]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import machine
import torch
import torch.nn.functional as F

import thalweg as tw

CASES = (("float32", 512), ("float32", 1024), ("bfloat16", 512), ("bfloat16", 1024))


def plain(hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return F.cross_entropy(F.linear(hidden, weight), targets)


WAYS = {"plain": plain, "ours": tw.losses.linear_cross_entropy}


def resident(field: str) -> int:
    """VmRSS or VmHWM of this process in KiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1])


def run(way: str, dtype: str, features: int, tokens: int, classes: int, rounds: int) -> dict[str, float]:
    """Seconds of the fastest round, and MiB beyond what was there before the first."""
    loss = WAYS[way]

    def once(hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor) -> float:
        hidden.grad = weight.grad = None
        begun = time.perf_counter()
        loss(hidden, weight, targets).backward()
        return time.perf_counter() - begun

    def inputs(n: int, c: int) -> list[torch.Tensor]:
        torch.manual_seed(0)
        kind = getattr(torch, dtype)
        floats = [torch.randn(n, features, dtype=kind), torch.randn(c, features, dtype=kind) * features**-0.5]
        return [*(x.requires_grad_() for x in floats), torch.randint(c, (n,))]

    once(*inputs(64, 1000))
    big = inputs(tokens, classes)
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # VmHWM starts anew
    first = once(*big)
    peak = resident("VmHWM")
    return {"seconds": min([first, *(once(*big) for _ in range(rounds - 1))]), "memory": (peak - before) / 1024}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--tokens", type=int, default=8192)
    options.add_argument("--classes", type=int, default=32768)
    options.add_argument("--rounds", type=int, default=2)
    options.add_argument("--one", nargs=3, metavar=("WAY", "DTYPE", "FEATURES"), help=argparse.SUPPRESS)
    given = options.parse_args()
    sizes = (given.tokens, given.classes, given.rounds)
    if given.one:
        way, dtype, features = given.one
        print(json.dumps(run(way, dtype, int(features), *sizes)))
        return
    rows = []
    for dtype, features in CASES:
        words = [f"--tokens={sizes[0]}", f"--classes={sizes[1]}", f"--rounds={sizes[2]}"]
        found = [
            json.loads(
                subprocess.run(
                    [sys.executable, __file__, *words, "--one", way, dtype, str(features)],
                    capture_output=True,
                    text=True,
                    check=True,
                ).stdout
            )
            for way in WAYS
        ]
        a, b = (f["seconds"] for f in found)
        m, n = (f["memory"] for f in found)
        times, memory = [f"{a:.2f}", f"{b:.2f}", f"{b / a:.2f}×"], [f"{m:,.0f}", f"{n:,.0f}", f"{n / m:.1%}"]
        rows.append([f"{dtype}, {features} features", *times, *memory])
    head = ["hidden states", "plain, s", "ours, s", "time", "plain, MiB", "ours, MiB", "memory"]
    text = machine.heading("Cross-entropy of a large vocabulary") + "\n" + machine.table(head, rows)
    text += (
        f"\n{given.tokens:,} tokens, {given.classes:,} classes, forward and backward, each way in a "
        "process of its own; "
        f"the faster of {given.rounds} rounds, and the peak of resident memory beyond the inputs, gradients included.\n"
    )
    machine.write("linear_cross_entropy", text)


if __name__ == "__main__":
    main()
