"""Halving against the full study, on every built-in problem: the winner it finds, and what it spends.

Each problem's default study (the eight classic optimizers × 13 rates × {constant, cosine}) is run in full and by
halving, with the same seeds, and each winner is confirmed with the same fresh ones. Halving has found the same
winner if the setting it chose is tied with the full study's, by the full study's intervals at the fresh seeds.

    python benchmarks/halving.py [--problems digits,diabetes]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import machine

import thalweg as tw
from thalweg.problem.builtin import PROBLEMS
from thalweg.store.file import Store
from thalweg.study.study import Study

STUDY = {
    "digits": {"seeds": 3, "epochs": 20},
    "digits-cnn": {"seeds": 2, "epochs": 10},
    "breast-cancer": {"seeds": 5, "epochs": 20},
    "diabetes": {"seeds": 5, "epochs": 20},
    "wave": {"seeds": 5, "epochs": 20},
    # A step of text costs as much as hundreds of the others': fewer settings.
    "text": {
        "seeds": 2,
        "epochs": 8,
        "schedules": ["constant"],
        "optimizers": ["sgd", "momentum", "adam"],
        "rates": tw.log_range(1e-3, 1, 7),
    },
}
ALLOWED = 0.45  # of the member-steps of the full search


def run(name: str, budget: str, folder: str) -> tuple[Study, float, int]:
    """The study, the seconds it took in a process of its own, and the member-steps of its search."""
    with ProcessPoolExecutor(1, get_context("spawn")) as alone:
        path, elapsed = alone.submit(timed, name, budget, folder).result()
    study = Study.open(path)
    with Store.open(study.path) as store:
        return study, elapsed, sum(row.step * len(row.settings) for row in store.blocks("search"))


def timed(name: str, budget: str, folder: str) -> tuple[Path, float]:
    begun = time.perf_counter()
    study = tw.compare(
        name,
        **STUDY[name],
        confirmation=5,
        budget=budget,
        grow=0,  # the same grid for both
        refine=0,
        store=Path(folder) / f"{name}-{budget}.db",
        progress=False,
    )
    return study.path, time.perf_counter() - begun


def row(name: str) -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        full, full_seconds, full_steps = run(name, "full", folder)
        half, half_seconds, half_steps = run(name, "halving", folder)
        best, theirs = half.verdict.best, full.verdict.best
        level = next(e for e in full.verdict.entries if e.optimizer == best.optimizer)
        same = "the same" if best.setting == theirs.setting else "tied" if level.may_be_best else "NO"
        within = level.validation_loss.low <= best.validation_loss.mean <= level.validation_loss.high
        winners = [f"{e.optimizer} {e.lr:.3g} {e.schedule}, {e.validation_loss}" for e in (theirs, best)]
        return [
            name,
            *winners,
            same if within else "NO",
            f"{half_steps / full_steps:.0%}",
            f"≤ {ALLOWED:.0%}",
            f"{half_seconds / full_seconds:.0%}",
        ]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--problems", default=",".join(PROBLEMS))
    rows = []
    for name in options.parse_args().problems.split(","):
        rows.append(row(name))
        print(", ".join(rows[-1]), flush=True)
    head = ["problem", "winner in full", "winner by halving", "winner", "member-steps", "allowed", "time"]
    budgets = "; ".join(f"{n}: {s['seeds']} seeds × {s['epochs']} epochs" for n, s in STUDY.items())
    notes = (
        f'\n208 settings, for text 21; {budgets}; losses with 95% intervals over 5 fresh seeds. "Tied": '
        "the full study cannot tell its optimizer from its winner, and the loss lies within the interval the "
        "full study gives that optimizer. Member-steps: of the search by halving, as a share of the full "
        "search's. Time: of the whole study, confirmation and tracing of programs included, each in a process of its "
        "own, as a share of the full study's.\n"
    )
    text = machine.heading("Halving against the full study") + "\n" + machine.table(head, rows) + notes
    machine.write("halving", text)


if __name__ == "__main__":
    main()
