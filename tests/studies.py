"""What the tests of studies share: a tiny study's arguments, one that breaks off, and one that another process runs."""

from __future__ import annotations

import itertools
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from thalweg.engine import block_run
from thalweg.engine.progress import Progress
from thalweg.problem.declaration import Problem
from thalweg.store.file import Store
from thalweg.study.study import Study, compare

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


def wait_for(ready: Callable[[], bool], process: Any, seconds: float = 60) -> None:
    """Until something is so; fails if the process ends before."""
    until = time.monotonic() + seconds
    while not ready():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until, "nothing happened"
        time.sleep(0.01)


class Breaks(Progress):
    """Breaks off at the given step of all, as hard as Python can."""

    def __init__(self, step: int) -> None:
        self.step, self.taken = step, itertools.count(1)  # which several threads may share

    def advance(self, block: int, members: int, alive: int, steps: int | None = None) -> None:
        if next(self.taken) >= self.step:
            raise SystemExit


def stopped_at(step: int, problem: Problem, store: Path, **asked: Any) -> Study:
    """The study that `compare` leaves behind when it breaks off at that step of all."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(block_run, "STEPS_SECONDS", 0.0)  # so that it hears of every step
        patch.setattr("thalweg.study.study.progress_for", lambda wanted: Breaks(step))
        with pytest.raises(SystemExit):
            compare(problem, **asked, store=store)
    study = Study.open(store)
    assert not study.finished
    return study


def with_plan_changed(path: Path, copy: Path, change: Callable[[dict[str, Any]], object]) -> Study:
    """A study like that of the store at `path`, in a copy whose plan has been changed."""
    shutil.copy(path, copy)
    with Store.open(copy, write=True) as store:
        plan = store.meta("plan")
        change(plan)
        store.set_meta("plan", plan)
    return Study.open(copy)
