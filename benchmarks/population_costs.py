"""What a member-step costs as populations grow, with several rules and on more threads; and what compiling costs.

A part of `population.py`, which measures what is in a process of its own by

    python benchmarks/population_costs.py --first-step digits
    python benchmarks/population_costs.py --memory compiled
"""

from __future__ import annotations

import functools
import gc
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import machine
import torch
from population_peers import Population
from population_problems import BATCH, ROWS, RULES, Row, here

import thalweg as tw
from thalweg.engine.programs import COMPILED, Programs, Way
from thalweg.plan.plan import plan
from thalweg.population.block import Block
from thalweg.population.compiled import Compiled, drivers
from thalweg.programs.native import single_threaded
from thalweg.study.forecast import forecast

SIZES = (8, 64, 512, 4096, 16384)
REFERENCE = 64  # members that others are compared with
WORK = 60_000  # member-steps of a measurement, at least one pass


@functools.cache
def programs(problem: str, members: int) -> Programs:
    """The eight rules at as many rates as make so many members; compiled once, whatever is measured of them."""
    rates = tw.log_range(1e-4, 1e-2, members // len(RULES)) if members > len(RULES) else [1e-3]
    wanted = plan(list(RULES), rates, ["constant"], seeds=1, epochs=1, batch_size=BATCH)
    return Programs(wanted, tw.prepare(problem), [Way(COMPILED)])


def cost(members: int, work: int = WORK) -> float:
    """Microseconds of a member-step on digits, on one thread, in blocks as a study cuts them; no validation."""
    made = programs("digits", members)
    settings = made.plan.settings
    epochs = max(1, work // (members * made.steps(settings[0])))
    seconds, steps = 0.0, 0
    with single_threaded():
        for seed, block_settings, fold in made.blocks(settings, [0]):
            task = replace(made.task(block_settings[0], fold), validation=None)
            block = Block(task, [made.plan.member(s, seed) for s in block_settings], epochs)
            start = time.perf_counter()
            for _ in block.train():
                pass
            seconds += time.perf_counter() - start
            steps += block.total * len(block.members)
    return seconds / steps * 1e6


def by_size(rounds: int, quick: bool) -> str:
    """How flat the cost of a member-step is."""
    sizes = SIZES[:3] if quick else SIZES
    for size in sizes:
        cost(size, 1)  # compiled
    each = {size: [] for size in sizes}
    for _ in range(rounds):
        for size in sizes:
            each[size].append(cost(size, WORK // (10 if quick else 1)))
        print(", ".join(f"{size} members {values[-1]:.1f} µs" for size, values in each.items()), flush=True)
    lines = []
    for size, values in each.items():
        ratios = [a / b for a, b in zip(values, each[REFERENCE], strict=True)]
        spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})"
        lines.append([f"{size:,}", f"{statistics.median(values):.1f}", spread, "0.85–1.15"])
    head = ["members of digits, one thread", "µs per member-step", f"relative to {REFERENCE}", "wanted"]
    return machine.table(head, lines)


def compared(rounds: int, seconds: float) -> str:
    """Eight rules against one, and two threads against one, in rounds of studies of digits."""
    digits = next(row for row in ROWS if row.problem == "digits")
    contestants = {
        "eight": Population(digits, "compiled", seconds),
        "adam": Population(digits, "compiled", seconds, ("adam",)),
        "single": Population(digits, "compiled", seconds, RULES, threads=1),
    }
    rates = [{name: one.rate() for name, one in contestants.items()} for _ in range(rounds)]
    cores = torch.get_num_threads()
    pairs = [("eight rules / Adam alone", "eight", "adam", "≥ 0.90")]
    pairs += [(f"{cores} threads / one", "eight", "single", "≥ 1.90")]
    lines = []
    for name, ours, theirs, wanted in pairs:
        ratios = [rate[ours] / rate[theirs] for rate in rates]
        middle = statistics.median(ratios)
        shown = "–" if math.isnan(middle) else f"{middle:.2f} ({min(ratios):.2f}–{max(ratios):.2f})"
        lines.append([name, shown, wanted])
    return machine.table(["256 members of digits", "ratio of member-steps per second", "wanted"], lines)


def first_step(problem: str) -> dict[str, float | str]:
    """Seconds until a member has taken its first step, in a process that has not met the model."""
    with single_threaded():
        made = programs(problem, len(RULES))
        setting = made.plan.settings[0]
        task = made.task(setting)
        block = Block(task, [made.plan.member(setting, 0)], 1)
        start = time.perf_counter()
        drivers()
        driver = time.perf_counter() - start
        batch = next(iter(task.batches.epoch(0, 0)))
        groups, extra = block.given(0, batch)
        start = time.perf_counter()
        weights, moving, _, _, fixed, _ = groups
        task.batched.gradient(list(weights), *batch, list(fixed), list(moving), extra)
        assert task.validation is not None
        block.evaluate(*task.validation)
        seconds = time.perf_counter() - start
    why = task.batched.uncovered if isinstance(task.batched, Compiled) else None
    return {"driver": driver, "model": seconds, "why": why or ""}


def compiles(rows: Sequence[Row]) -> str:
    """Each model's first step with an empty cache, and again in another process."""
    lines = []
    for row in rows:
        with tempfile.TemporaryDirectory() as folder:
            cold, cached = (_in_process("--first-step", row.problem, THALWEG_CACHE=folder) for _ in range(2))
        shown = [cold["why"] or f"{cold['model']:.1f}", "–" if cold["why"] else f"{cached['model']:.2f}"]
        lines.append([row.name, *shown, f"{cold['driver']:.1f}", f"{cached['driver']:.2f}"])
        print(f"{row.name}: first step {', '.join(lines[-1][1:])} s", flush=True)
    head = ["first step: seconds", "new; ≤ 8", "from the cache; ≤ 1"]
    return machine.table([*head, "loop over members, new", "from the cache"], lines)


def _in_process(option: str, value: str, **environment: str) -> dict:
    """What `first_step` or `memory` gives in a process of its own."""
    command = [sys.executable, str(Path(__file__)), option, value]
    done = subprocess.run(command, env={**os.environ, **environment}, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def memory(way: str) -> dict[str, int | None]:
    """Bytes that a study of a large network is said to take, and by which this process grows."""
    given = {"optimizers": ["momentum", "adam"], "rates": tw.log_range(1e-4, 1e-3, 8), "schedules": ["constant"]}
    given |= {"seeds": 1, "epochs": 2, "confirmation": 0, "refine": 0, "grow": 0, "batched": way}
    foreseen = forecast(here("large"), **given).memory
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = _status("VmRSS")
    with tempfile.TemporaryDirectory() as folder:
        tw.compare(here("large"), **given, store=Path(folder) / "study.db", progress=False)
    return {"foreseen": foreseen, "grown": _status("VmHWM") - before}


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def memories(quick: bool) -> str:
    """Memory foreseen and taken; empty where the system does not say how a process grew."""
    if not Path("/proc/self/clear_refs").exists():
        return ""
    lines = []
    for way in ("compiled",) if quick else ("compiled", "stacked"):
        # What is freed goes back to the system at once, so that the trial before is not counted.
        taken = _in_process("--memory", way, MALLOC_MMAP_THRESHOLD_="1000000")
        foreseen, grown = taken["foreseen"], taken["grown"]
        lines.append([way, f"{foreseen / 2**20:,.0f}", f"{grown / 2**20:,.0f}", f"{foreseen / grown:.2f}", "0.85–1.15"])
    head = ["blocks of a network 2000-2000-2", "MiB foreseen", "MiB by which the process grew", "ratio", "wanted"]
    return machine.table(head, lines)


def text(rows: Sequence[Row], rounds: int, seconds: float, quick: bool) -> str:
    parts = [by_size(rounds, quick), compared(rounds, seconds), compiles(rows), memories(quick)]
    return (
        "\n"
        + "\n".join(filter(None, parts))
        + "\nFirst step: tracing and compiling a model's training and evaluation step, and running each once, in a "
        "process of its own with an empty cache of compiled code, and in a second one after it.\n"
    )


if __name__ == "__main__":
    option, value = sys.argv[1:]
    print(json.dumps({"--first-step": first_step, "--memory": memory}[option](value)))
