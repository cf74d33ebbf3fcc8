"""A population against the same runs one by one, against JAX, and against itself: member-steps per second.

A population is the search of a study as a user runs it, store and passes over the validation part included: the eight
classic optimizers × rates × {constant, cosine}. Contestants, in one run and in interleaved rounds, so that a noisy
machine is noisy for all:

- plain PyTorch: a loop over the same members with torch.optim's fastest form of each optimizer (fused where there is
  one, else foreach), two processes of one thread each, or one process of two threads, whichever is faster;
- JAX, where it is installed, for networks with one hidden layer: vmap over members and scan over batches, written for
  them by hand (`jax_population.py`);
- stacked: one batched PyTorch program for all members of a block;
- compiled: one compiled function for a member's step.

Ratios are taken within each round. `population_costs.py` measures what a member-step costs as populations grow, and
what the first compile costs; a whole study is measured at the end.

    python benchmarks/population.py [--problems digits,digits-cnn] [--rounds 7] [--seconds 3] [--quick]
"""

from __future__ import annotations

import argparse
import math
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax_population
import machine
import numpy as np
import population_costs
import torch
from population_peers import Population, jax, plain
from population_problems import ROWS, Row, flops
from scipy.linalg.blas import sgemm

import thalweg as tw

SIDE = 2048  # of the matrices whose product is the peak
WHOLE = 12.0  # times plain PyTorch, that a whole study shall reach
SHORT: dict[str, Any] = {"rates": tw.log_range(1e-3, 0.1, 3), "seeds": 1, "epochs": 2, "confirmation": 2}
Rounds = dict[str, list[float]]


def peak() -> float:
    """The most operations per second that SciPy's BLAS gives on all cores."""
    a, b = (np.asfortranarray(np.random.default_rng(k).standard_normal((SIDE, SIDE), dtype=np.float32)) for k in (0, 1))
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        sgemm(1.0, a, b)
        seconds.append(time.perf_counter() - start)
    return 2 * SIDE**3 / min(seconds)


def measured(row: Row, rounds: int, seconds: float, quick: bool) -> Rounds:
    """Each contestant's member-steps per second in each round, and the peak's operations per second."""
    cores = torch.get_num_threads()
    contestants = {
        "processes": plain(row, cores, 1, seconds),
        "threads": plain(row, 1, cores, seconds),
        "jax": jax(row, quick),
        "stacked": Population(row, "stacked", seconds),
        "compiled": Population(row, "compiled", seconds),
    }
    values: Rounds = {name: [] for name in ("peak", *contestants)}
    for k in range(rounds):
        values["peak"].append(peak())
        for name, contestant in contestants.items():
            values[name].append(contestant.rate())
        shown = ", ".join(f"{name} {each[-1]:,.0f}" for name, each in values.items() if name != "peak")
        print(f"{row.name}, round {k + 1}: {shown} member-steps/s; {values['peak'][-1] / 1e9:.0f} GFLOP/s", flush=True)
    for contestant in contestants.values():
        contestant.end()
    values["plain"] = [max(pair) for pair in zip(values["processes"], values["threads"], strict=True)]
    return values


def number(values: Sequence[float]) -> str:
    middle = statistics.median(values)
    return "–" if math.isnan(middle) else f"{middle:,.0f}"


def ratio(ours: Sequence[float], theirs: Sequence[float], wanted: float | None = None) -> str:
    """Round by round: median, smallest and largest, and what was wanted."""
    each = [a / b for a, b in zip(ours, theirs, strict=True)]
    if math.isnan(statistics.median(each)):
        return "–"
    text = f"{statistics.median(each):.1f}× ({min(each):.1f}–{max(each):.1f})"
    return text if wanted is None else f"{text}; ≥ {wanted:g}×"


def share(row: Row, values: Rounds) -> str:
    """Of the peak, by the products and convolutions of a step."""
    work = flops(tw.prepare(row.problem))
    each = [rate * work / most for rate, most in zip(values["compiled"], values["peak"], strict=True)]
    if math.isnan(statistics.median(each)):
        return "–"
    text = f"{statistics.median(each):.0%}"
    return text if row.peak is None else f"{text}; ≥ {row.peak:.0%}"


def speeds(rows: Sequence[tuple[Row, Rounds]]) -> str:
    head = ["problem", "members", "plain PyTorch", "JAX", "stacked", "compiled"]
    head += ["compiled / plain; wanted", "compiled / JAX; wanted", "compiled / stacked", "share of peak; wanted"]
    lines = [
        [
            row.name,
            str(row.members),
            *(number(values[name]) for name in ("plain", "jax", "stacked", "compiled")),
            ratio(values["compiled"], values["plain"], row.torch),
            ratio(values["compiled"], values["jax"], row.jax),
            ratio(values["compiled"], values["stacked"]),
            share(row, values),
        ]
        for row, values in rows
    ]
    return machine.table(head, lines)


def whole(rates: Sequence[float], rounds: int, quick: bool) -> str:
    """A whole study of digits: search, growth, refinement, confirmation, store, recipe run, verdict and report.

    Args:
        rates: member-steps per second of plain PyTorch.
    """
    seconds, steps = [], 0
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            study = tw.compare("digits", store=Path(folder) / "study.db", progress=False, **(SHORT if quick else {}))
            assert study.verdict.entries
            study.report(Path(folder) / "report.html")
            seconds.append(time.perf_counter() - start)
            steps = int(study.table()["step"].sum())
    middle, loop = statistics.median(seconds), steps / statistics.median(rates)
    head = ["`thalweg compare digits`, after import", "member-steps", "seconds", "plain PyTorch", "ratio; wanted"]
    name = "shortened" if quick else "all defaults"
    return machine.table(
        head, [[name, f"{steps:,}", f"{middle:.1f}", f"{loop:.1f}", f"{loop / middle:.1f}×; ≥ {WHOLE:g}×"]]
    )


def notes(rounds: int) -> str:
    return (
        f"\nMember-steps per second, medians of {rounds} interleaved rounds; ratios are taken within each round "
        "(median, smallest–largest), and what is wanted stands behind them. Populations: the search of `tw.compare` "
        "with its store, the eight rules × rates between 1e-4 and 1e-2 × {constant, cosine}, batches of 64. Plain "
        "PyTorch: the same members, fused optimizers where torch has them, else foreach; the faster of two processes "
        "of one thread and one of two. JAX: JAX and Optax by hand, vmap over members and scan over batches, with "
        f"nothing stored ({jax_population.versions()}). Peak: a product of two float32 matrices of 2048 × 2048 by "
        "SciPy's BLAS on all cores; "
        "operations of a member-step: those of its matrix products and convolutions, forward and backward, as "
        "`torch.utils.flop_counter` counts them.\n"
    )


def chosen(names: str) -> list[Row]:
    wanted = set(filter(None, names.split(",")))
    rows = [row for row in ROWS if not wanted or wanted & {row.name, row.problem}]
    if not rows:
        raise SystemExit(f"no problem of {names!r} is known; give some of {', '.join(row.name for row in ROWS)}")
    return rows


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--problems", default="", help="names, separated by commas; all unless given")
    options.add_argument("--rounds", type=int, default=7)
    options.add_argument("--seconds", type=float, default=3.0, help="of each contestant in each round")
    options.add_argument("--quick", action="store_true", help="one short round of digits; nothing is kept")
    given = options.parse_args()
    quick = given.quick
    rows = chosen(given.problems or "digits" * quick)
    rounds, seconds = (1, 0.3) if quick else (given.rounds, given.seconds)
    results = [(row, measured(row, rounds, seconds, quick)) for row in rows]
    text = machine.heading("Populations") + "\n" + speeds(results) + notes(rounds)
    text += population_costs.text(rows, rounds, seconds, quick)
    if digits := [values["plain"] for row, values in results if row.problem == "digits"]:
        text += "\n" + whole(digits[0], 1 if quick else 3, quick)
    if quick or given.problems:
        print(text)
    else:
        machine.write("population", text)


if __name__ == "__main__":
    main()
