"""AdamW on the same tensors in one parameter group and in 500 with rates and decays of their own.

A torch scheduler changes every rate before every step. The optimizers, ours and torch's fused one, step
alternately on tensors of their own; medians are reported, and what 500 groups cost in terms of one.

    python benchmarks/groups.py [--rounds 15]
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

import machine
import torch

import thalweg as tw

GROUPS = 500


class Run:
    """An optimizer, its scheduler, and the seconds of each of its steps."""

    def __init__(self, kind: Any, groups: int, size: int, **options: Any) -> None:
        weights = [torch.nn.Parameter(torch.randn(size)) for _ in range(GROUPS)]
        for w in weights:
            w.grad = torch.randn(size)
        each = len(weights) // groups
        self.optimizer = kind(
            [
                {"params": weights[each * k : each * (k + 1)], "lr": 1e-3 / (1 + k), "weight_decay": 1e-4 * k}
                for k in range(groups)
            ],
            **options,
        )
        self.scheduler = torch.optim.lr_scheduler.ExponentialLR(self.optimizer, 0.999)
        self.steps: list[float] = []
        self.changes: list[float] = []

    def step(self) -> None:
        begun = time.perf_counter()
        self.optimizer.step()
        stepped = time.perf_counter()
        self.scheduler.step()
        self.steps.append(stepped - begun)
        self.changes.append(time.perf_counter() - stepped)

    def median(self, times: list[float]) -> float:
        """In milliseconds, without the first three."""
        return 1e3 * statistics.median(times[3:])


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=15)
    given = options.parse_args()
    rows = []
    for size in (1_000, 10_000, 100_000):
        for name, kind, form in (("thalweg", tw.optim.AdamW, {}), ("torch, fused", torch.optim.AdamW, {"fused": True})):
            one, many = (Run(kind, groups, size, **form) for groups in (1, GROUPS))
            for _ in range(given.rounds + 3):
                one.step()
                many.step()
            a, b = one.median(one.steps), many.median(many.steps)
            rows.append(
                [f"{size:,}", name, f"{a:.2f}", f"{b:.2f}", f"{b / a:.2f}×", f"{many.median(many.changes):.2f}"]
            )
    head = ["elements of a tensor", "AdamW of", "1 group, ms", f"{GROUPS} groups, ms", "ratio", "its scheduler, ms"]
    text = machine.heading("One step with many parameter groups") + "\n" + machine.table(head, rows)
    text += (
        f"\n{GROUPS} float32 tensors; medians of {given.rounds} alternating rounds. The scheduler's own time is not "
        "part of the step's.\n"
    )
    machine.write("groups", text)


if __name__ == "__main__":
    main()
