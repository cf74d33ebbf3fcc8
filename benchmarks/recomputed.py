"""Memory and time of a step of stacked members whose activations are computed twice, by those of one that stores them.

The models are those of real size in docs/examples, with small batches. Each way has a process of its own, in which a
step is taken once before it is measured; memory is by how much the process grew at most while it took the step, as
Linux counts it, and what was counted beforehand from the sizes in the step's graph. Steps of both ways take turns for
their time, and their gradients are compared bit by bit.

    python benchmarks/recomputed.py [--members 4] [--samples 16] [--time]
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import machine
import torch
from torch import Tensor
from torch.nn import functional as F

from thalweg.population.batched import Batched
from thalweg.population.block import initial_tensors
from thalweg.population.recomputed import Recomputed
from thalweg.samples import Samples

EXAMPLES = Path(__file__).parents[1] / "docs" / "examples"
NAMES = ("transformer", "resnet18")
KINDS: dict[str, type[Batched]] = {"stored": Batched, "twice": Recomputed}
STEPS = 5


def step(name: str, kind: str, members: int, samples: int) -> tuple[Batched, Callable[[], tuple[Tensor, ...]]]:
    """A program, and a step of it."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    problem = example.problem(samples=12 * samples)
    batch = Samples(*(part[:samples] for part in problem.train))
    batched = KINDS[kind](problem.model(), F.cross_entropy, {})
    batched.find_moving_buffers(batch.take(slice(2)))
    each = [initial_tensors(problem.model, seed) for seed in range(members)]
    weights = [torch.stack([start[one] for start, _ in each]) for one in batched.names]
    moving = [torch.stack([rest[one] for _, rest in each]) for one in batched.moving]
    fixed = [each[0][1][one] for one in batched.fixed]
    return batched, lambda: batched.gradient(weights, *batch, fixed, moving)


def measured(name: str, kind: str, members: int, samples: int) -> dict[str, Any]:
    """Of one way, in this process."""
    batched, call = step(name, kind, members, samples)
    call()
    before = status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the most memory is counted anew
    results = call()
    most = status("VmHWM") - before
    assert not batched.notes, batched.notes
    digest = hashlib.sha256(b"".join(t.numpy().tobytes() for t in results)).hexdigest()
    counted = [members * one for one in batched.taken or ()] if isinstance(batched, Recomputed) else []
    return {"memory": most, "results": digest, "counted": counted}


def status(field: str) -> int:
    """Bytes of this process, as Linux says."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))


def time_ratio(name: str, members: int, samples: int) -> float:
    """Of a step that computes activations twice, by one that stores them."""
    steps = [step(name, kind, members, samples)[1] for kind in KINDS]
    seconds: list[list[float]] = [[], []]
    for _ in range(STEPS + 1):
        for k, call in enumerate(steps):
            start = time.perf_counter()
            call()
            seconds[k].append(time.perf_counter() - start)
    stored, twice = (statistics.median(each[1:]) for each in seconds)
    return twice / stored


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--members", type=int, default=4)
    parser.add_argument("--samples", type=int, default=16)
    parser.add_argument("--time", action="store_true", help="measure time too, on a machine that does nothing else")
    parser.add_argument("--of", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    size = asked.members, asked.samples
    torch.set_num_threads(1)
    if asked.of:
        print(json.dumps(measured(asked.of[0], asked.of[1], *size)))
        return
    rows = []
    for name in NAMES:
        given = [sys.executable, __file__, "--members", str(size[0]), "--samples", str(size[1]), "--of", name]
        # Memory that is freed goes back at once, so that the process is as large as what it holds.
        plain = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
        stored, twice = (
            json.loads(subprocess.run([*given, kind], check=True, capture_output=True, env=plain).stdout)
            for kind in KINDS
        )
        assert stored["results"] == twice["results"], "the results differ"
        sizes = [stored["memory"], twice["memory"], *twice["counted"]]
        ratio = f"{time_ratio(name, *size):.2f}" if asked.time else "not measured"
        rows.append([name, *(f"{one / 2**20:,.0f}" for one in sizes), f"{sizes[1] / sizes[0]:.2f}", ratio])
    head = ["model", "stored, MiB", "computed twice, MiB", "stored, counted", "twice, counted", "memory", "time"]
    title = f"A step of {size[0]} stacked members whose activations are computed twice, batches of {size[1]}"
    machine.write("recomputed", machine.heading(title) + "\n" + machine.table(head, rows))


if __name__ == "__main__":
    main()
