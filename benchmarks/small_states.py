"""What small states cost in accuracy: final losses on `digits` and `text`, over seeds, against float32 states.

For each problem and rule, every seed trains the problem's own model in a plain loop, with the same initial weights
and batches for each format; the table has the mean validation loss over the seeds with its 95% interval, and the
mean paired difference to float32 with its interval. A difference is inside the seed interval where it is smaller
than half of the interval that float32's own mean has.

    python benchmarks/small_states.py [--seeds 10] [--epochs 10]
"""

from __future__ import annotations

import argparse
from typing import Any

import machine
import numpy as np
import torch
from scipy import stats

import thalweg as tw

RULES: dict[str, dict[str, Any]] = {
    "SGD": {"lr": 0.1, "momentum": 0.9},
    "RMSprop": {"lr": 1e-3},
    "Adam": {"lr": 3e-3},
    "Adagrad": {"lr": 0.03},
}
FORMATS: dict[str, dict[str, Any]] = {
    "float32": {},
    "bfloat16": {"state_dtype": torch.bfloat16},
    "int8": {"state_dtype": "int8"},
}


def final_loss(problem: Any, rule: str, form: str, seed: int, epochs: int, batch: int) -> float:
    inputs, targets = problem.train
    torch.manual_seed(seed)
    model = problem.model()
    optimizer = getattr(tw.optim, rule)(model.parameters(), **RULES[rule], **FORMATS[form])
    for epoch in range(epochs):
        order = torch.randperm(len(inputs), generator=torch.Generator().manual_seed(1000 * seed + epoch))
        for chosen in order.split(batch):
            optimizer.zero_grad()
            problem.loss(model(inputs[chosen]), targets[chosen]).backward()
            optimizer.step()
    model.eval()
    with torch.no_grad():
        return float(problem.loss(model(problem.validation[0]), problem.validation[1]))


def half_width(values: np.ndarray) -> float:
    """Half of the 95% interval of the mean, by Student's t."""
    return float(stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seeds", type=int, default=10)
    options.add_argument("--epochs", type=int, default=10)
    given = options.parse_args()
    rows = []
    for name, epochs, batch in (("digits", given.epochs, 64), ("text", max(1, given.epochs // 5), 64)):
        problem = tw.prepare(name)
        for rule in RULES:
            losses = {
                form: np.array([final_loss(problem, rule, form, s, epochs, batch) for s in range(given.seeds)])
                for form in FORMATS
            }
            plain = losses["float32"]
            for form, found in losses.items():
                row = [name, rule, form, f"{found.mean():.4f} ± {half_width(found):.4f}"]
                if form == "float32":
                    rows.append([*row, "", ""])
                    continue
                change = found - plain
                inside = abs(change.mean()) <= half_width(plain)
                rows.append([*row, f"{change.mean():+.4f} ± {half_width(change):.4f}", "yes" if inside else "no"])
            print(*rows[-3:], sep="\n", flush=True)
    head = ["problem", "rule", "states", "validation loss", "difference to float32", "inside the seed interval"]
    text = machine.heading("What small states cost in accuracy") + "\n" + machine.table(head, rows)
    text += f"\n{given.seeds} seeds; digits {given.epochs} epochs, text {max(1, given.epochs // 5)}; ± 95% intervals.\n"
    machine.write("small_states", text)


if __name__ == "__main__":
    main()
