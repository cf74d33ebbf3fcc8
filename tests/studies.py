"""What the tests of studies share: a tiny study's arguments, and looking at one that another process runs."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from thalweg.store.file import Store

PROGRAM = "from thalweg.cli.main import main; main()"
TINY: dict[str, Any] = {
    "problem": "breast-cancer",
    "optimizers": ["sgd", "adam"],
    "rates": [0.01, 0.1],
    "seeds": 2,
    "epochs": 2,
    "confirmation": 2,
    "progress": False,
}


def steps_recorded(path: Path) -> int:
    """How far the study in a store has come: the steps of all its blocks; 0 while there is no store."""
    if not path.exists():
        return 0
    store = Store.open(path)
    try:
        return sum(block.step for block in store.blocks())
    finally:
        store.close()


def wait_for(ready: Callable[[], bool], process: subprocess.Popen[str], seconds: float = 60) -> None:
    """Until something is so; fails if the process ends before."""
    until = time.monotonic() + seconds
    while not ready():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until, "nothing happened"
        time.sleep(0.01)
