"""What each rewrite of `thalweg.population.rewrites` is worth, at the shapes where it is applied and beyond.

Each operation and its rewrite run alternately on one thread; medians and their ratio are reported.

    python benchmarks/rewrites.py
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import machine
import torch

from thalweg.population import rewrites

aten = torch.ops.aten
MEMBERS, BATCH = 104, 64


def seconds(first: Callable[[], object], second: Callable[[], object], rounds: int = 200) -> tuple[float, float]:
    """Median times of two functions, run alternately."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for function, kept in zip((first, second), times, strict=True):
            begun = time.perf_counter()
            function()
            kept.append(time.perf_counter() - begun)
    return statistics.median(times[0]), statistics.median(times[1])


def main() -> None:
    torch.set_num_threads(1)
    rewrites.VECTOR = 10**6  # measured beyond the limit too, to see where it lies
    rows = []
    for columns in (4, 10, 16, 32):
        a, b = torch.randn(MEMBERS, BATCH, 64), torch.randn(MEMBERS, 64, columns)
        pair = seconds(lambda a=a, b=b: torch.bmm(a, b), lambda a=a, b=b: aten.bmm.default(b.mT, a.mT).mT)
        rows.append((f"bmm ({MEMBERS}, {BATCH}, 64) @ ({MEMBERS}, 64, {columns})", *pair))
    for classes in (3, 10, 32, 100):
        x, gradient = torch.randn(MEMBERS, BATCH, classes), torch.randn(MEMBERS, BATCH, classes)
        for name, forward, backward in (
            ("log_softmax", aten._log_softmax.default, aten._log_softmax_backward_data.default),
            ("softmax", aten._softmax.default, aten._softmax_backward_data.default),
        ):
            ours, ours_back = rewrites.REWRITES[forward], rewrites.REWRITES[backward]
            y = forward(x, 2, False)
            pair = seconds(lambda f=forward, x=x: f(x, 2, False), lambda f=ours, x=x: f(x, 2, False))
            rows.append((f"{name} over {classes}", *pair))
            pair = seconds(
                lambda f=backward, g=gradient, y=y: f(g, y, 2, torch.float32),
                lambda f=ours_back, g=gradient, y=y: f(g, y, 2, torch.float32),
            )
            rows.append((f"{name} backward over {classes}", *pair))
    images = torch.relu(torch.randn(MEMBERS * BATCH, 8, 8, 8))
    pool, ours = aten.max_pool2d_with_indices.default, rewrites.REWRITES[aten.max_pool2d_with_indices.default]
    rows.append(
        ("max pooling 2 × 2 of 8 × 8", *seconds(lambda: pool(images, [2, 2]), lambda: ours(images, [2, 2]), 50))
    )
    shown = [[name, f"{a * 1e6:,.0f}", f"{b * 1e6:,.0f}", f"{a / b:.2f}×"] for name, a, b in rows]
    text = machine.heading("Rewrites of a batched program") + "\n"
    text += machine.table(["operation", "as it is, µs", "rewritten, µs", "ratio"], shown)
    text += f"\nOne thread, float32, {MEMBERS} members, batches of {BATCH}; medians of 200 alternating runs.\n"
    machine.write("rewrites", text)


if __name__ == "__main__":
    main()
