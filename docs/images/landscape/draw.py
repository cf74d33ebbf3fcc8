"""The pictures of docs/landscape.md: python docs/images/landscape/draw.py [FOLDER]."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import thalweg as tw
from thalweg.pictures.files import write

if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    with tempfile.TemporaryDirectory() as place:
        study = tw.compare(
            "digits",
            optimizers=["sgd", "adam"],
            rates=[0.003, 0.03, 0.3],
            schedules=["constant"],
            seeds=2,
            epochs=10,
            confirmation=2,
            store=f"{place}/digits.db",
            progress=False,
        )
        path, random = study.landscape("adam"), study.landscape("adam", kind="random")
        line = study.landscape("adam", to="sgd")
    for found in (path, random, line):
        print(found)
    print(write(path.picture(), folder / "path.png"))
    print(write(path.picture(surface=True), folder / "surface.png"))
    print(write(random.picture(), folder / "random.png"))
    print(write(line.picture(), folder / "line.png"))
