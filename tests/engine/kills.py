"""Studies killed with SIGKILL at numbered instants, each a forked child of one warm process, then carried on.

    python -m tests.engine.kills STUDY FOLDER COUNT SEED

An instant is the n-th event of a kind: a training step, a half-written checkpoint, a file that has been written and
not yet flushed, flushed and not yet renamed, renamed and not yet named in the store, an SQL statement within a
transaction or its COMMIT, the link that makes a store, a file that is to be removed. Checkpoints are written after
every step. Prints what each study was after it was carried on, as JSON; `test_nothing_lost.py` judges it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from thalweg.engine import block_run
from thalweg.engine import execute as run
from thalweg.engine.programs import Programs
from thalweg.store.file import Store, kind_of
from thalweg.study.study import Study, compare, resume

SMALL: dict[str, Any] = {
    "problem": "breast-cancer",
    "optimizers": ["momentum", "adam"],
    "rates": [0.01, 0.1],
    "schedules": ["cosine"],
    "seeds": 2,
    "epochs": 3,
    "confirmation": 2,
    "progress": False,
}
STUDIES: dict[str, dict[str, Any]] = {
    "full": SMALL,
    # The best rate of sgd is the highest of these, so the grid grows, and what it grows by meets the rungs too.
    "halving": {
        **SMALL,
        "optimizers": ["sgd", "adam"],
        "rates": [0.001, 0.01, 0.1],
        "epochs": 4,
        "budget": "halving",
        "grow": 1,
    },
}
KINDS = ("step", "half written", "flushed", "renamed", "statement", "linked", "removed")


class Instants:
    """Counts events, and kills this process at one of them."""

    def __init__(self, kind: str = "", number: int = 0) -> None:
        self.at, self.seen, self.lock = (kind, number), Counter[str](), threading.Lock()

    def __call__(self, kind: str) -> None:
        with self.lock:
            self.seen[kind] += 1
            if (kind, self.seen[kind]) == self.at:
                os.kill(os.getpid(), signal.SIGKILL)

    def around(self, owner: Any, name: str, kind: str) -> None:
        """An event before and one after each call."""
        right = getattr(owner, name)

        def call(*given: Any, **more: Any) -> Any:
            self(kind)
            try:
                return right(*given, **more)
            finally:
                self(kind)

        setattr(owner, name, call)

    def watch(self) -> None:
        self.around(block_run.Block, "_advance", "step")
        block_run.STEPS_SECONDS = 0.0  # one at a time
        self.around(os, "fsync", "flushed")
        self.around(os, "replace", "renamed")
        self.around(os, "link", "linked")
        self.around(Path, "unlink", "removed")
        started, opened = Store.__init__, Path.open

        def init(store: Store, path: Path, connection: Any) -> None:
            connection.set_trace_callback(lambda _: self("statement"))
            started(store, path, connection)

        def torn(path: Path, mode: str = "r", *given: Any, **more: Any) -> Any:
            file = opened(path, mode, *given, **more)
            return Torn(file, self) if "w" in mode and "b" in mode else file

        Store.__init__ = init
        Path.open = torn  # type: ignore[method-assign]


class Torn:
    """A file whose writes stand half done for an instant."""

    def __init__(self, file: Any, instants: Instants) -> None:
        self.file, self.instants = file, instants

    def write(self, content: bytes) -> None:
        self.file.write(content[: len(content) // 2])
        self.file.flush()
        self.instants("half written")
        self.file.write(content[len(content) // 2 :])

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)

    def __enter__(self) -> Torn:
        return self

    def __exit__(self, *_: Any) -> None:
        self.file.close()


class Watched(block_run.Block):
    """A block that leaves its last weights and states behind."""

    last: dict[str, dict[str, torch.Tensor]] = {}  # noqa: RUF012

    def train(self, *until: Any) -> Any:
        try:
            yield from super().train(*until)
        finally:
            if self.step == self.total:
                key = f"{self.seed} {[(m.formula.label, dict(m.hyperparameters)) for m in self.members]}"
                Watched.last[key] = {name: tensor.clone() for name, tensor in self.tensors().items()}


def carried_on(path: Path, asked: dict[str, Any]) -> Study:
    if kind_of(path) == "none":  # killed before there was a store
        return compare(**asked, store=path)
    return resume(path, progress=False)


def in_a_child(work: Callable[[], Any]) -> int:
    """The signal that ended a forked child which does this, or 0."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            torch.set_num_threads(2)  # two blocks at once
            work()
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(pid, 0)
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else -os.WEXITSTATUS(status)


def counted(folder: Path, asked: dict[str, Any]) -> dict[str, int]:
    """How many events of each kind an uninterrupted study has."""
    file = folder / "events.json"

    def work() -> None:
        instants = Instants()
        instants.watch()
        compare(**asked, store=folder / "counted.db")
        file.write_text(json.dumps(instants.seen))

    assert in_a_child(work) == 0
    return json.loads(file.read_text())


def killed_at(kind: str, number: int, work: Callable[[], Any]) -> int:
    def watched() -> None:
        Instants(kind, number).watch()
        work()

    return in_a_child(watched)


def content(study: Study) -> tuple[Any, Any, Any]:
    return study.table(), study.curves(), study.recipe_run


def weights_differ(reference: dict[str, dict[str, torch.Tensor]]) -> list[str]:
    return [
        f"{key}: {name}"
        for key, tensors in Watched.last.items()
        for name, tensor in tensors.items()
        if tensor.numpy().tobytes() != reference[key][name].numpy().tobytes()
    ]


def main(asked: dict[str, Any], folder: Path, count: int, seed: int) -> None:
    torch.set_num_threads(1)  # no pool of threads that a fork would lose
    block_run.CHECKPOINT_SECONDS = block_run.CHECKPOINT_SHARE = 0
    block_run.Block = Watched
    traced: dict[Any, Any] = {}  # once, for all

    class Traced(Programs):
        def __init__(self, *given: Any) -> None:
            super().__init__(*given)
            self._batched = traced

    run.Programs = Traced  # type: ignore[misc]
    reference = content(compare(**asked, store=folder / "reference.db"))
    weights, Watched.last = Watched.last, {}
    with Store.open(folder / "reference.db") as store:
        grown, rungs = len(store.meta("plan")["grown"]), len(store.meta("rungs", []))
    events, rng, found = counted(folder, asked), np.random.default_rng(seed), []
    for k in range(count):
        kind = KINDS[k % len(KINDS)]
        number = int(rng.integers(1, events[kind] + 1))
        place = folder / str(k)
        place.mkdir()
        path = place / "study.db"
        ended = [killed_at(kind, number, lambda path=path: compare(**asked, store=path))]
        if k % 3 == 2:  # and once more while it is carried on
            ended.append(killed_at("step", int(rng.integers(1, 10)), lambda path=path: carried_on(path, asked)))
        before = sorted(p.name for p in place.rglob("*"))
        Watched.last = {}
        study = carried_on(path, asked)
        table, curves, ran = content(study)
        found.append(
            {
                "kind": kind,
                "number": number,
                "ended": ended,
                "before": before,
                "finished": study.finished,
                "table": table.equals(reference[0]),
                "curves": curves.equals(reference[1]),
                "recipe": (ran and ran.largest) == (reference[2] and reference[2].largest),
                "weights": weights_differ(weights),
                "blocks": len(Watched.last),
                "after": sorted(p.name for p in place.rglob("*")),
            }
        )
    print(json.dumps({"events": events, "studies": found, "points": len(reference[1]), "grown": grown, "rungs": rungs}))


if __name__ == "__main__":
    main(STUDIES[sys.argv[1]], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
