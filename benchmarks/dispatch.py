"""What of a stacked step is dispatching, on one thread: the part of its time that members do not share out.

A stacked step runs one operation of PyTorch after the other over all members of a block. Blocks of several sizes take
turns; their times are fitted by a line over the members, each weighed by its own size: what the line has at no member
is dispatching, which a step pays whatever its block holds, and its slope is what each further member adds. A share is
dispatching's, of a step of so many members.

    python benchmarks/dispatch.py [--rounds 7] [--problems digits,digits-cnn,text]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import replace

import machine
import numpy as np
from population_problems import BATCH

import thalweg as tw
from thalweg.engine.programs import STACKED, Programs, Way
from thalweg.plan.plan import plan
from thalweg.population.block import Block
from thalweg.programs.native import single_threaded

SIZES = (1, 2, 4, 8, 16)
STEPS = 20  # of a measurement


def block(problem: tw.Prepared, members: int) -> Callable[[], float]:
    """Seconds of a step of so many members, none of which diverges."""
    wanted = plan(["adam"], tw.log_range(1e-4, 1e-3, max(2, members)), ["constant"], seeds=1, batch_size=BATCH)
    programs = Programs(wanted, problem, [Way(STACKED)])
    settings = wanted.settings[:members]
    task = replace(programs.task(settings[0], None), validation=None)
    made = Block(task, [wanted.member(s, 0) for s in settings], 10**5)
    passes = made.train()

    def step() -> float:
        start, first = time.perf_counter(), made.step
        while made.step < first + STEPS:
            next(passes)
        return (time.perf_counter() - start) / (made.step - first)

    step()
    return step


def line(seconds: dict[int, float]) -> tuple[float, float]:
    """At no member, and of each: least squares by the share that each size is missed by."""
    sizes, times = np.array(list(seconds)), np.array(list(seconds.values()))
    slope, intercept = np.polyfit(sizes, times, 1, w=1 / times)
    return float(intercept), float(slope)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=7)
    options.add_argument("--problems", default="digits,digits-cnn,text")
    given = options.parse_args()
    rows = []
    with single_threaded():
        for name in given.problems.split(","):
            problem = tw.prepare(name)
            steps = {size: block(problem, size) for size in SIZES}
            rounds = [{size: step() for size, step in steps.items()} for _ in range(given.rounds)]
            middle = {size: statistics.median(each[size] for each in rounds) for size in SIZES}
            fixed, each = line(middle)
            print(name, {size: f"{1e6 * value:,.0f} µs" for size, value in middle.items()}, flush=True)
            shares = [f"{fixed / middle[size]:.0%}" for size in SIZES]
            rows.append([name, f"{1e6 * fixed:,.0f}", f"{1e6 * each:,.0f}", *shares])
    head = ["problem", "dispatching, µs a step", "each member, µs", *(f"share at {size}" for size in SIZES)]
    text = (
        f"{machine.heading('Dispatching of a stacked step')}\n{(__doc__ or '').split(chr(10) * 2 + '    python')[0]}\n"
    )
    machine.write("dispatch", f"{text}\n{machine.table(head, rows)}")


if __name__ == "__main__":
    main()
