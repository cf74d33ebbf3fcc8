"""Steps of rules that look beyond one weight, on the tensors of a transformer of 10 million weights.

Muon and Adafactor against torch.optim's; LAMB and Prodigy by the bytes that they move at least, against fused Adam's
bandwidth; SOAP against the time that its six products of a step take alone. All pairs are interleaved, a step of one
and a step of the other, and the table has medians and ratios of one run; the load is that of the machine beside it.

    python benchmarks/matrix_rules.py [--repeats 15] [--threads 2] [--small]
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Sequence
from statistics import median

import machine
import torch
from torch import Tensor

import thalweg as tw

Step = Callable[[], object]
LONGEST = 40.0  # seconds after which no further round of a pair begins
# tensors of a pass over memory that a rule needs at least, each read or written once
ADAM = 7  # g w m v read, w m v written
LAMB = 11  # g; g w m v read, m v written; w m v read, w written: the norms stand between
PRODIGY = 12  # g w first s read, s written; g w m v read, w m v written: the sums stand between


def tensors(width: int, layers: int, vectors: bool = True) -> list[Tensor]:
    draw = torch.Generator().manual_seed(0)
    shapes: list[tuple[int, ...]] = [(3 * width, width), (width, width), (4 * width, width), (width, 4 * width)]
    shapes += [(3 * width,), (width,), (4 * width,), (width,), *[(width,)] * 4] if vectors else []
    weights = [torch.randn(s, generator=draw).mul_(0.02).requires_grad_() for _ in range(layers) for s in shapes]
    for w in weights:
        w.grad = torch.randn(w.shape, generator=draw).mul_(1e-3)
    return weights


def interleaved(steps: Sequence[Step], repeats: int) -> list[float]:
    """The median seconds of each; one round goes before, and one is measured however long it takes."""
    seconds: list[list[float]] = [[] for _ in steps]
    begun = time.perf_counter()
    for turn in range(repeats + 1):
        if turn > 1 and time.perf_counter() - begun > LONGEST:
            break
        for times, step in zip(seconds, steps, strict=True):
            start = time.perf_counter()
            step()
            times += [time.perf_counter() - start] if turn else []
    return [median(times) for times in seconds]


def products(weights: Sequence[Tensor]) -> Step:
    """The products of SOAP's step alone: two correlations, two into the bases, two back."""
    each = [
        (w.grad, torch.randn(w.shape[0], w.shape[0]), torch.randn(w.shape[1], w.shape[1]))
        for w in weights
        if w.dim() > 1 and w.grad is not None
    ]

    def step() -> None:
        for g, left, right in each:
            turned = left.T @ g @ right
            _ = left @ turned @ right.T, g @ g.T, g.T @ g

    return step


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--repeats", type=int, default=15)
    options.add_argument("--threads", type=int, default=os.cpu_count())
    options.add_argument("--small", action="store_true", help="a transformer of 160,000 weights, to try the script")
    given = options.parse_args()
    torch.set_num_threads(given.threads)
    size = (64, 3) if given.small else (320, 8)
    count = sum(w.numel() for w in tensors(*size))
    rows, loads = [], [os.getloadavg()[0]]

    def row(name: str, against: str, ours: float, theirs: float, ratio: float, wanted: str) -> None:
        rows.append([name, against, f"{1e3 * ours:.1f}", f"{1e3 * theirs:.1f}", f"{ratio:.2f}", wanted])
        print(rows[-1], flush=True)

    for name, vectors in (("Muon", False), ("Adafactor", True)):
        makers = (getattr(tw.optim, name), getattr(torch.optim, name))
        ours, theirs = interleaved([make(tensors(*size, vectors)).step for make in makers], given.repeats)
        row(name, f"torch.optim.{name}", ours, theirs, theirs / ours, "≥ 1.5")
    for name, moved in (("LAMB", LAMB), ("Prodigy", PRODIGY)):
        adam = torch.optim.Adam(tensors(*size), fused=True)
        ours, theirs = interleaved([getattr(tw.optim, name)(tensors(*size)).step, adam.step], given.repeats)
        row(name, "fused Adam, per byte", ours, theirs, (moved / ours) / (ADAM / theirs), "≥ 0.85")
    weights = tensors(*size)
    soap = tw.optim.from_formula(tw.formulas.get("soap(every=1000000)"))(weights)
    soap.step()  # the bases begin
    ours, theirs = interleaved([soap.step, products(weights)], given.repeats)
    row("SOAP", "its products, share of their time", ours, theirs, ours / theirs, "≤ 1.2")
    loads.append(os.getloadavg()[0])
    head = ["rule", "against", "ms a step", "ms of the other", "ratio", "aim"]
    text = machine.heading("Rules that look beyond one weight") + "\n" + machine.table(head, rows)
    text += (
        f"\n{count / 1e6:.1f} million weights in float32, {given.threads} threads, medians of interleaved steps, up to "
        f"{given.repeats};\nload of the machine {loads[0]:.1f} before and {loads[1]:.1f} after (an idle one has 0). A "
        "ratio is, for Muon and Adafactor,\ntime of the other over ours; for LAMB and Prodigy, bytes moved at least "
        "per second over fused Adam’s;\nfor SOAP, our time over that of the products, at a step that renews no basis.\n"
    )
    if given.small:
        print(text)
    else:
        machine.write("matrix_rules", text)


if __name__ == "__main__":
    main()
