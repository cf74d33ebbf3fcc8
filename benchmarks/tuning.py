"""What a default study should spend its runs on: a fine grid of rates, finer rates around the best, weight decay and
momentum on the grid, or at the best alone.

Built-in problems that take seconds are studied with several plans (the eight classic optimizers, {constant, cosine},
5 seeds, 20 epochs), whose chosen settings are all confirmed with the same 10 fresh seeds. An optimizer is tuned better
if its chosen setting has a lower loss there. Named are the member-steps of the search, as a share of those of
the grid of 13 rates, and for each optimizer its loss over its loss by that grid, as a geometric mean.

    python benchmarks/tuning.py [--problems digits,diabetes]
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import machine
import numpy as np

import thalweg as tw
from thalweg.store.file import Store

PROBLEMS = "breast-cancer,diabetes,wave,digits"
DECAY = {"weight_decay": [0, 1e-3]}
BY_DECADE = [1e-4, 1e-3, 1e-2, 1e-1, 1.0]
PLANS: dict[str, dict[str, Any]] = {
    "13 rates": {"refine": 0},
    "13 rates, 2 rounds": {"tune": False},
    "13 rates, 2 rounds, then decay and momentum": {},
    "9 rates, 2 rounds": {"rates": tw.log_range(1e-4, 1, 9), "tune": False},
    "9 rates, 2 rounds, then decay and momentum": {"rates": tw.log_range(1e-4, 1, 9)},
    "5 rates, 2 rounds": {"rates": BY_DECADE, "tune": False},
    "5 rates × 2 weight decays, 2 rounds": {"rates": BY_DECADE, "hyperparameters": DECAY},
    "9 rates × 2 weight decays, 2 rounds": {"rates": tw.log_range(1e-4, 1, 9), "hyperparameters": DECAY},
    "13 points of rate and weight decay": {
        "rates": [1e-4, 1],
        "hyperparameters": {"weight_decay": (1e-5, 1e-2)},
        "search": "sobol",
        "settings": 13,
    },
}


def tuned(name: str, plan: dict[str, Any]) -> tuple[dict[str, float], int]:
    """The loss of each optimizer's chosen setting with fresh seeds, and the member-steps of the search."""
    with tempfile.TemporaryDirectory() as folder:
        study = tw.compare(name, **plan, store=Path(folder) / "study.db", progress=False)
        with Store.open(study.path) as store:
            steps = sum(row.step * len(row.settings) for row in store.blocks("search"))
        return {entry.optimizer: entry.validation_loss.mean for entry in study.verdict.entries}, steps


def rows_of(name: str) -> list[list[str]]:
    first, before = tuned(name, PLANS["13 rates"])
    rows = []
    for words, plan in PLANS.items():
        losses, steps = (first, before) if words == "13 rates" else tuned(name, plan)
        logs = np.array([np.log(losses[label] / first[label]) for label in first])
        better = f"{(logs < -0.01).sum()} / {(logs > 0.01).sum()}"
        best = f"{min(losses.values()) / min(first.values()):.3f}"
        rows.append([name, words, f"{steps / before:.0%}", f"{np.exp(logs.mean()):.3f}", best, better])
        print(", ".join(rows[-1]), flush=True)
    return rows


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--problems", default=PROBLEMS)
    rows = [row for name in options.parse_args().problems.split(",") for row in rows_of(name)]
    head = ["problem", "plan", "member-steps", "mean loss", "best loss", "better / worse"]
    notes = (
        "\nMember-steps of the search, growth of the grid and rounds included, and losses, both over those of the grid "
        "of 13 rates. Mean: geometric, over the eight optimizers. Best: the lowest of all. Better / worse: optimizers "
        "whose loss is more than 1% lower / higher. All losses are validation losses of chosen settings with fresh "
        "seeds, which no plan had for its choice.\n"
    )
    machine.write("tuning", machine.heading("What a default study tunes") + "\n" + machine.table(head, rows) + notes)


if __name__ == "__main__":
    main()
