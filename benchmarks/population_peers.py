"""The contestants of `population.py`: plain loops and JAX in processes of their own, and studies of ours.

Each has `rate()`, the member-steps per second of one measurement, or nan where it cannot take part. Processes wait
between measurements, so that what they import and compile is paid once.
"""

from __future__ import annotations

import itertools
import math
import multiprocessing
import queue
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import jax_population
import torch
from population_problems import BATCH, RULES, Row

import thalweg as tw
from thalweg.engine.progress import Ahead, Progress
from thalweg.errors import ThalwegError
from thalweg.plan.factors import Setting
from thalweg.plan.plan import Plan, plan
from thalweg.population.batches import order_seed
from thalweg.recipe.recipe import optimizer_line

FUSED = ("SGD", "Adam", "AdamW", "Adagrad")
LONGEST = 2000  # epochs of a measured study
JAX_EPOCHS = 10


class Stopwatch(Progress):
    """How long the search of a study takes, and how many member-steps it has."""

    def begin(self, part: str, ahead: Ahead) -> None:
        self.steps, self.start = 0, time.perf_counter()

    def advance(self, block: int, members: int, alive: int, steps: int | None = None) -> None:
        self.steps += members if steps is None else steps
        self.seconds = time.perf_counter() - self.start


def search(row: Row, way: Any, epochs: int, optimizers: Sequence[str] = RULES) -> Stopwatch:
    """The search of a study with its store; the trial of the ways, and what follows the search, are not measured."""
    watch = Stopwatch()
    with tempfile.TemporaryDirectory() as folder, patch("thalweg.study.study.progress_for", lambda shown: watch):
        rates = row.rates if optimizers == RULES else tw.log_range(1e-4, 1e-2, row.members // (2 * len(optimizers)))
        more = {"confirmation": 0, "grow": 0, "refine": 0, "batched": way, "store": Path(folder) / "study.db"}
        tw.compare(row.problem, list(optimizers), rates, seeds=1, epochs=epochs, batch_size=BATCH, **more)
    return watch


class Population:
    """A study of ours, with as many epochs as take the time wanted.

    Args:
        way: compiled or stacked.
        threads: that train blocks; one for each core unless given.
    """

    def __init__(
        self, row: Row, way: str, seconds: float, optimizers: Sequence[str] = RULES, threads: int | None = None
    ) -> None:
        self.row, self.way, self.optimizers = row, way, optimizers
        self.threads = threads or torch.get_num_threads()
        self.epochs = 0
        try:
            self.run(1)  # whose code is compiled
            for wanted in (seconds / 10, seconds):  # a short one is mostly what a study takes to begin
                watch = self.run(max(1, self.epochs))
                self.epochs = min(LONGEST, max(1, round(max(1, self.epochs) * wanted / watch.seconds)))
        except ThalwegError as error:
            print(f"{row.name}, {way}: {error}", file=sys.stderr)
            self.epochs = 0

    def run(self, epochs: int) -> Stopwatch:
        with cores(self.threads):
            return search(self.row, self.way, epochs, self.optimizers)

    def rate(self) -> float:
        if not self.epochs:
            return math.nan
        watch = self.run(self.epochs)
        return watch.steps / watch.seconds

    def end(self) -> None:
        """Nothing is left of it."""


class Server:
    """Processes that each measure for every word that comes, all at once; `rate` is the sum of what they say."""

    def __init__(self, target: Callable[..., None], given: Sequence[tuple[Any, ...]]) -> None:
        context = multiprocessing.get_context("spawn")
        self.words, self.rates = context.Queue(), context.Queue()
        self.processes = [context.Process(target=target, args=(*one, self.words, self.rates)) for one in given]
        for process in self.processes:
            process.start()
        for _ in self.processes:  # each says that it is ready
            self._answer()

    def rate(self) -> float:
        for _ in self.processes:
            self.words.put("go")
        return sum(self._answer() for _ in self.processes) if self.processes else math.nan

    def _answer(self) -> float:
        """The next answer; nan where a process has failed."""
        while all(process.is_alive() for process in self.processes):
            try:
                return self.rates.get(timeout=1)
            except queue.Empty:
                pass
        return math.nan

    def end(self) -> None:
        for _ in self.processes:
            self.words.put(None)
        for process in self.processes:
            process.join()


def plain(row: Row, processes: int, threads: int, seconds: float) -> Server:
    """Plain PyTorch loops: every k-th of the settings in the k-th process."""
    return Server(serve_plain, [(row, threads, seconds, k, processes) for k in range(processes)])


def jax(row: Row, quick: bool) -> Server:
    """The row in JAX, compiled once; no process where JAX is missing, or where it has no such network."""
    if row.hidden is None or not jax_population.installed():
        return Server(jax_population.serve, [])
    problem = tw.prepare(row.problem)
    train, validation = ([part.numpy() for part in two] for two in (problem.train, problem.validation))
    epochs = 1 if quick else JAX_EPOCHS
    return Server(jax_population.serve, [((train, validation, row.hidden, row.rates, 1, epochs),)])


def serve_plain(row: Row, threads: int, seconds: float, first: int, every: int, words: Any, rates: Any) -> None:
    """Member after member in this process, a slice of each, so that fast and slow optimizers weigh the same."""
    torch.set_num_threads(threads)
    problem, wanted = tw.prepare(row.problem), plan(list(RULES), row.rates, seeds=1, epochs=20, batch_size=BATCH)
    settings = [wanted.settings[k] for k in range(first, len(wanted.settings), every)]
    # A slice is long enough for a pass and its evaluation, and each optimizer comes as often.
    slices = max(len(RULES), int(seconds / 0.1))
    settings = settings[:: len(settings) // slices | 1]  # odd, so that both schedules come
    train_alone(problem, wanted, settings[0], time.perf_counter() + 0.5)
    rates.put(0.0)  # ready
    while words.get() is not None:
        begun, steps = time.perf_counter(), 0
        for setting in itertools.cycle(settings):
            share = time.perf_counter() + seconds / len(settings)
            steps += train_alone(problem, wanted, setting, min(share, begun + seconds))
            if time.perf_counter() - begun >= seconds:
                break
        rates.put(steps / (time.perf_counter() - begun))


def train_alone(problem: Any, wanted: Plan, setting: Setting, until: float) -> int:
    """One member as a plain PyTorch loop, until it is done or the time is up; the steps it took."""
    torch.manual_seed(0)
    model = problem.model()
    line = optimizer_line(wanted.formulas[setting.optimizer], setting.lr)
    form = "fused=True" if any(f"optim.{n}(" in line for n in FUSED) else "foreach=True"
    optimizer = eval(line[:-1] + f", {form})", {"torch": torch, "model": model})
    inputs, targets = problem.train
    scheduler, steps = None, 0
    if setting.schedule == "cosine":
        total = wanted.epochs * -(-len(inputs) // BATCH)
        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, total)
    for epoch in range(wanted.epochs):
        model.train()
        order = torch.randperm(len(inputs), generator=torch.Generator().manual_seed(order_seed(0, epoch)))
        for chosen in order.split(BATCH):
            optimizer.zero_grad()
            problem.loss(model(inputs[chosen]), targets[chosen]).backward()
            optimizer.step()
            if scheduler is not None:
                scheduler.step()
            steps += 1
            if time.perf_counter() > until:
                return steps
        evaluate_alone(problem, model.eval())
    return steps


def evaluate_alone(problem: Any, model: torch.nn.Module) -> None:
    with torch.no_grad():
        outputs = model(problem.validation[0])
        problem.loss(outputs, problem.validation[1])
        for metric in problem.metrics.values():
            metric(outputs, problem.validation[1])


@contextmanager
def cores(count: int) -> Iterator[None]:
    """As on a machine with so many cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
