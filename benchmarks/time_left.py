"""The time left that a study shows, beside the time that it still took.

Each study is a process of its own. Every tenth of a second it notes what its progress would show; once it is over, that
is compared with what it then took. Only what was shown after the first tenth of the study counts, and not in its last
half second, a quarter of which is less than a person can read:

- **near**: the share of these times within 25% of the truth;
- **median**: of shown / truth; **5–95%**: where nine of ten lie.

    python benchmarks/time_left.py [--rounds 3]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from time import monotonic
from typing import Any

import machine
import numpy as np

import thalweg as tw
from thalweg.engine.progress import Lines

LAST, FIRST, NEAR = 0.5, 0.1, 0.25
RATES = [1e-3, 1e-2, 1e-1]
STUDIES: dict[str, tuple[str, dict[str, Any]]] = {
    "digits, as it is": ("digits", {}),
    "digits, halving": ("digits", {"budget": "halving", "epochs": 40}),
    "digits, five folds": ("digits", {"folds": 5, "seeds": 2}),
    "breast-cancer, 200 epochs": ("breast-cancer", {"epochs": 200}),
    "digits-cnn, two rules": ("digits-cnn", {"optimizers": ["sgd", "adam"], "seeds": 2, "epochs": 5}),
    "text, two rules": ("text", {"optimizers": ["sgd", "adam"], "rates": RATES, "seeds": 2, "epochs": 3}),
    "digits, one by one": ("digits", {"optimizers": ["sgd", "adam"], "seeds": 2, "epochs": 5, "batched": False}),
}


class Noted(Lines):
    """Notes what would be shown, and when."""

    interval = 0.1

    def __init__(self) -> None:
        super().__init__()
        self.shown_at: list[tuple[float, float]] = []

    def note(self, sentence: str) -> None: ...

    def show(self, time: str) -> None:
        if (left := self.ahead.left) is not None:
            self.shown_at.append((monotonic(), left))

    def end(self) -> None:
        self.over = monotonic()


def study(name: str) -> list[float]:
    """Shown / truth, for each time that was shown and counts."""
    problem, options = STUDIES[name]
    noted = Noted()
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "a.db"
        tw.compare(problem, **options, store=store, progress=noted)  # pyright: ignore[reportArgumentType]
    whole = noted.over - noted.start
    counted = ((left, noted.over - at) for at, left in noted.shown_at if at - noted.start > FIRST * whole)
    return [left / truth for left, truth in counted if truth > LAST]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--study", choices=STUDIES)
    given = options.parse_args()
    if given.study:
        print(json.dumps(study(given.study)))
        return
    rows = []
    for name in STUDIES:
        command = [sys.executable, __file__, "--study", name]
        runs = [subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True) for _ in range(given.rounds)]
        ratios = np.array([ratio for run in runs for ratio in json.loads(run.stdout.splitlines()[-1])])
        low, middle, high = np.quantile(ratios, [0.05, 0.5, 0.95])
        near = np.mean(np.abs(ratios - 1) <= NEAR)
        rows.append([name, f"{len(ratios):,}", f"{near:.0%}", f"{middle:.2f}", f"{low:.2f}–{high:.2f}"])
    words = (__doc__ or "").split("\n\n    python")[0]
    table = machine.table(["study", "times shown", "near", "median", "5–95%"], rows)
    machine.write("time_left", f"{machine.heading('The time left')}\n{words}\n\n{table}")


if __name__ == "__main__":
    main()
