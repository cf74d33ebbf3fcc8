"""A population against the same runs one by one: member-steps per second, side by side.

The population is a study as a user runs it, store and progress included: the eight classic optimizers ×
13 rates × {constant, cosine}. The peer is a plain PyTorch loop over the same members with torch.optim's
fastest form of each optimizer (fused where there is one, else foreach), two processes of one thread each,
or one process of two threads, whichever is faster. Both draw the same batches and evaluate the validation
part after every epoch. A second peer, on digits and where it is installed, is the same study in JAX, written for
it by hand (`jax_population.py`). Rounds are interleaved, so that a noisy machine is noisy for all; medians are
reported.

    python benchmarks/population.py [--problems digits,digits-cnn] [--rounds 5] [--seconds 5]
"""

from __future__ import annotations

import argparse
import itertools
import math
import multiprocessing
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import jax_population
import machine
import torch

import thalweg as tw
from thalweg.plan.plan import Plan, Setting, plan
from thalweg.population.batches import order_seed
from thalweg.recipe.recipe import optimizer_line
from thalweg.store.file import Store

STUDY = {"digits": {"seeds": 5, "epochs": 20}, "digits-cnn": {"seeds": 2, "epochs": 5}}
FUSED = ("SGD", "Adam", "AdamW", "Adagrad")
TARGET = {"digits": 5.0, "digits-cnn": 2.0}


def population(name: str) -> float:
    """Member-steps per second of the search stage of a study."""
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        study = tw.compare(
            name, **STUDY[name], confirmation=0, grow=0, refine=0, store=Path(folder) / "study.db", progress=False
        )
        elapsed = time.perf_counter() - begun
        with Store.open(study.path) as store:
            steps = sum(row.step * len(row.settings) for row in store.blocks())
    return steps / elapsed


def train_alone(problem: Any, wanted: Plan, setting: Setting, seed: int, until: float) -> int:
    """One member as a plain PyTorch loop, until it is done or the time is up; the steps it took."""
    torch.manual_seed(seed)
    model = problem.model()
    line = optimizer_line(wanted.formulas[setting.optimizer], setting.lr)
    form = "fused=True" if any(f"optim.{n}(" in line for n in FUSED) else "foreach=True"
    optimizer = eval(line[:-1] + f", {form})", {"torch": torch, "model": model})
    inputs, targets = problem.train
    total, steps = wanted.epochs * -(-len(inputs) // int(wanted.batch_sizes[0])), 0
    scheduler = None
    if setting.schedule == "cosine":
        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, total)
    for epoch in range(wanted.epochs):
        order = torch.randperm(len(inputs), generator=torch.Generator().manual_seed(order_seed(seed, epoch)))
        for chosen in order.split(int(wanted.batch_sizes[0])):
            optimizer.zero_grad()
            problem.loss(model(inputs[chosen]), targets[chosen]).backward()
            optimizer.step()
            if scheduler is not None:
                scheduler.step()
            steps += 1
            if time.perf_counter() > until:
                return steps
        with torch.no_grad():
            outputs = model(problem.validation[0])
            problem.loss(outputs, problem.validation[1])
            for metric in problem.metrics.values():
                metric(outputs, problem.validation[1])
    return steps


def loop(name: str, threads: int, seconds: float, first: int, ready: Any, go: Any, results: Any) -> None:
    """One process of the peer: member after member, for as long as it is given."""
    torch.set_num_threads(threads)
    problem, wanted = tw.prepare(name), plan(**STUDY[name])
    # Every third of the members, so that each process meets every optimizer in the time it has.
    settings = [s for s in wanted.settings if 1e-3 <= s.lr <= 1e-1][first::3]
    train_alone(problem, wanted, settings[0], 0, time.perf_counter() + 0.5)
    ready.wait()
    go.wait()
    begun, steps = time.perf_counter(), 0
    # A slice of each, so that fast and slow optimizers weigh as they do in the study.
    for setting in itertools.cycle(settings):
        share = time.perf_counter() + seconds / len(settings)
        steps += train_alone(problem, wanted, setting, 0, min(share, begun + seconds))
        if time.perf_counter() - begun >= seconds:
            break
    results.put((steps, time.perf_counter() - begun))


def peer(name: str, processes: int, threads: int, seconds: float) -> float:
    """Member-steps per second of plain loops in so many processes at once."""
    context = multiprocessing.get_context("spawn")
    ready, go, results = context.Barrier(processes + 1), context.Event(), context.Queue()
    workers = [
        context.Process(target=loop, args=(name, threads, seconds, k, ready, go, results)) for k in range(processes)
    ]
    for worker in workers:
        worker.start()
    ready.wait()
    go.set()
    rate = sum(steps / elapsed for steps, elapsed in (results.get() for _ in workers))
    for worker in workers:
        worker.join()
    return rate


def ratio(ours: list[float], theirs: list[float], digits: int) -> str:
    """Round by round: median, smallest and largest."""
    found = [a / b for a, b in zip(ours, theirs, strict=True)]
    return f"{statistics.median(found):.{digits}f}× ({min(found):.{digits}f}–{max(found):.{digits}f})"


class Jax:
    """The study in JAX, in a process of its own, compiled once; nan where it is not to be had."""

    def __init__(self, name: str) -> None:
        self.process = None
        if name != "digits" or not jax_population.installed():
            return
        problem, wanted = tw.prepare(name), plan(**STUDY[name])
        parts = ([part.numpy() for part in two] for two in (problem.train, problem.validation))
        context = multiprocessing.get_context("spawn")
        self.words, self.rates = context.SimpleQueue(), context.SimpleQueue()
        given = (*parts, wanted.rates, wanted.seeds, wanted.epochs)
        self.process = context.Process(target=jax_population.serve, args=(given, self.words, self.rates))
        self.process.start()
        self.rate()

    def rate(self) -> float:
        """Member-steps per second."""
        if self.process is None:
            return math.nan
        self.words.put("go")
        return self.rates.get()

    def end(self) -> None:
        if self.process is not None:
            self.words.put(None)
            self.process.join()


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--problems", default="digits,digits-cnn")
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--seconds", type=float, default=5.0, help="of each plain loop in each round")
    given = options.parse_args()
    cores = torch.get_num_threads()
    rows = []
    for name in given.problems.split(","):
        population(name)  # once unmeasured: kernels compiled, caches warm
        jax = Jax(name)
        measured: dict[str, list[float]] = {"two": [], "one": [], "jax": [], "population": []}
        for k in range(given.rounds):
            measured["two"].append(peer(name, cores, 1, given.seconds))
            measured["one"].append(peer(name, 1, cores, given.seconds))
            measured["jax"].append(jax.rate())
            measured["population"].append(population(name))
            shown = ", ".join(f"{what} {values[-1]:,.0f}" for what, values in measured.items())
            print(f"{name}, round {k + 1}: {shown} member-steps/s", flush=True)
        jax.end()
        median = {what: statistics.median(values) for what, values in measured.items()}
        faster = [max(pair) for pair in zip(measured["two"], measured["one"], strict=True)]
        rows.append(
            [
                name,
                f"{median['two']:,.0f}",
                f"{median['one']:,.0f}",
                f"{median['population']:,.0f}",
                ratio(measured["population"], faster, 1),
                f"≥ {TARGET.get(name, 0):g}×",
                *(
                    ["–"] * 2
                    if math.isnan(median["jax"])
                    else [f"{median['jax']:,.0f}", ratio(measured["population"], measured["jax"], 2)]
                ),
            ]
        )
    head = [
        "problem",
        f"{cores} processes",
        f"1 process, {cores} threads",
        "population",
        "ratio to the faster",
        "wanted",
        "JAX",
        "ratio to JAX",
    ]
    notes = (
        f"\nMember-steps per second, medians of {given.rounds} interleaved rounds; the ratio is taken within each "
        "round (median, smallest–largest). Population: the search stage of `tw.compare` with its store, "
        + "; ".join(f"{n}: {STUDY[n]['seeds']} seeds × {STUDY[n]['epochs']} epochs × 208 settings" for n in STUDY)
        + ". Plain loops: the same members, fused optimizers where torch has them, else foreach. JAX: digits in JAX "
        "and "
        "Optax by hand, vmap over members and scan over batches, with nothing stored.\n"
    )
    text = machine.heading("A population against plain loops") + "\n" + machine.table(head, rows) + notes
    machine.write("population", text)


if __name__ == "__main__":
    main()
