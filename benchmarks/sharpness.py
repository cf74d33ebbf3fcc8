"""Do small batches end in flatter minima? The largest curvature where each batch size's best runs end, on digits.

    python benchmarks/sharpness.py

Plain sgd at a constant rate; each batch size is tuned over five rates (more where the grid grows) at equal epochs, run
again with five fresh seeds, and measured where it ends. Writes benchmarks/results/sharpness.md and the picture of
docs/generalization.md.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import machine

import thalweg as tw
from thalweg.pictures.still import write_still

PICTURE = Path(__file__).parents[1] / "docs" / "images" / "sharpness.png"
HEAD = ["batch size", "rate", "largest eigenvalue", "rise within ε = 0.05", "training loss", "validation loss"]


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        study = tw.compare(
            "digits",
            ["sgd"],
            tw.log_range(0.01, 1, 5),
            ["constant"],
            seeds=3,
            epochs=20,
            batch_sizes=[8, 32, 128, "full"],
            confirmation=5,
            refine=0,
            store=Path(folder) / "digits.db",
            progress=False,
        )
        sharp = study.sharpness(by="batch_size", seeds=5)
        verdict = study.verdict_by("batch_size")
    entries = {verdict.level(entry): entry for entry in verdict.entries}
    rows = [
        [
            level,
            f"{entries[level].lr:.3g}",
            *(str(sharp.interval(level, m)) for m in ("eigenvalue", "rise", "loss")),
            str(entries[level].validation_loss),
        ]
        for level in sorted(entries, key=lambda level: (level == "full", len(level), level))
    ]
    write_still(sharp.picture(), PICTURE)
    settled = int(sharp.table["converged"].sum())
    notes = (
        f"\nMeans over 5 fresh seeds with 95% intervals; of {len(sharp.table)} eigenvalues {settled} settled to four "
        "digits.\n"
    )
    machine.write("sharpness", machine.heading("Sharpness and batch size") + "\n" + machine.table(HEAD, rows) + notes)


if __name__ == "__main__":
    main()
