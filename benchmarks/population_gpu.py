"""A population on a GPU against the same runs one by one there, in plain PyTorch: member-steps per second.

A population is trained as a study trains it, members stacked and a whole step captured as one graph. The plain loop is
torch.optim's fused Adam on the same network and batches. Times are taken with the device at rest, in interleaved
rounds; a row is the median. What of the bandwidth the updates reach is in `optimizers_gpu.py`.

    python benchmarks/population_gpu.py [--members 64,256,1024] [--rounds 7] [--steps 200] [--precision float32]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence

import machine
import torch
from torch import nn
from torch.nn import functional as F

from thalweg import formulas
from thalweg.population.batched import Batched
from thalweg.population.batches import TensorBatches
from thalweg.population.block import Block, Task
from thalweg.population.member import Member
from thalweg.population.place import PRECISIONS, Place

BATCH = 64
SIZES = {"MLP 64-32-10": (64, 32, 10), "MLP 64-64-10": (64, 64, 10), "MLP 64-128-10": (64, 128, 10)}


def model_of(sizes: Sequence[int]) -> Callable[[], nn.Module]:
    before, inner, after = sizes
    return lambda: nn.Sequential(nn.Linear(before, inner), nn.ReLU(), nn.Linear(inner, after))


def data(sizes: Sequence[int], device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(1024, sizes[0], generator=generator)
    return inputs.to(device), inputs[:, : sizes[-1]].argmax(1).to(device)


def population(sizes: Sequence[int], members: int, place: Place, steps: int) -> Callable[[], float]:
    """Member-steps per second of the next so many steps of a block."""
    inputs, targets = data(sizes, place.device)
    model = model_of(sizes)
    task = Task(model, Batched(model(), F.cross_entropy, {}, place=place), TensorBatches(inputs, targets, BATCH), None)
    rule = formulas.get("adam")
    block = Block(task, [Member(rule, {"lr": 1e-4 * 1.001**k}) for k in range(members)], 10**5)
    passes = block.train()

    def rate() -> float:
        with place.at_work():
            place.wait()
            start, first = time.perf_counter(), block.step
            while block.step < first + steps:
                next(passes)
            place.wait()
            return members * (block.step - first) / (time.perf_counter() - start)

    rate()  # in which the step is captured
    return rate


def plain(sizes: Sequence[int], place: Place, steps: int) -> Callable[[], float]:
    """Steps per second of one run."""
    inputs, targets = data(sizes, place.device)
    model = model_of(sizes)().to(place.device)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)

    def rate() -> float:
        with place.at_work():
            place.wait()
            start = time.perf_counter()
            for step in range(steps):
                rows = slice(BATCH * step % 1024, BATCH * step % 1024 + BATCH)
                optimizer.zero_grad()
                with place.autocast():
                    loss = F.cross_entropy(model(inputs[rows]), targets[rows])
                loss.backward()
                optimizer.step()
            place.wait()
            return steps / (time.perf_counter() - start)

    rate()
    return rate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--members", default="64,256,1024")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--precision", default="float32", choices=PRECISIONS)
    parser.add_argument("--device", default="cuda", help="cpu tries the script out, and writes no table")
    given = parser.parse_args()
    if given.device != "cpu" and not torch.cuda.is_available():
        sys.exit("There is no CUDA device that torch can see, so nothing was measured: run this on a machine with one.")
    place = Place(torch.device(given.device), given.precision)
    rows = []
    for name, sizes in SIZES.items():
        alone = plain(sizes, place, given.steps)
        many = {int(count): population(sizes, int(count), place, given.steps) for count in given.members.split(",")}
        ratios: dict[int, list[float]] = {count: [] for count in many}
        rates: dict[int, list[float]] = {count: [] for count in many}
        for _ in range(given.rounds):
            one = alone()
            for count, rate in many.items():
                rates[count].append(rate())
                ratios[count].append(rates[count][-1] / one)
        for count in many:
            pair = statistics.median(rates[count]), statistics.median(ratios[count])
            rows.append([name, f"{count:,}", f"{pair[0]:,.0f}", f"{pair[1]:.0f}×"])
    table = machine.table(["network", "members", "member-steps/s", "against the plain loop"], rows)
    if place.device.type == "cpu":
        print(table)
        return
    head = machine.heading("A population on a GPU, against the same runs one by one there")
    machine.write("population_gpu", f"{head}\n{place}; batches of {BATCH}, Adam; medians of {given.rounds}.\n\n{table}")


if __name__ == "__main__":
    main()
