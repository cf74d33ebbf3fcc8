"""Processes of their own that begin at once: each is forked from one that has imported what they need.

To start Python and import what trains takes longer than most of what a test asks of the process. Each is a process
like any other, which can be killed; how thalweg starts as a program of its own is what `cli/test_cli.py` asks.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import pytest

from .studies import PROGRAM

IMPORTED = ["thalweg.cli.main", "thalweg.study.study", "thalweg.engine.execute", "thalweg.engine.processes"]
IMPORTED += ["thalweg.population.compiled", "thalweg.kernels.numba_cpu", "thalweg.optim", "thalweg.verdict.verdict"]
IMPORTED += ["torch._dynamo", "torch.distributed.fsdp", "torch.distributed.checkpoint", "sklearn.datasets"]


def context() -> ForkServerContext:
    """Whose processes begin so."""
    chosen = multiprocessing.get_context("forkserver")
    chosen.set_forkserver_preload(IMPORTED)
    return chosen


@contextmanager
def warm_workers() -> Iterator[None]:
    """Those of a study begin so, too; that they are started anew is asked in `engine/test_batching.py`."""
    with pytest.MonkeyPatch.context() as patch:
        chosen = context()
        patch.setattr(multiprocessing, "get_context", lambda method: chosen)
        yield


class Forked:
    """What `subprocess.Popen` is to a test, for such a process: a program, and the words that it is called with."""

    def __init__(self, *words: object, program: str = PROGRAM, cwd: Path | None = None, **environment: str) -> None:
        self._said = Path(tempfile.mkdtemp())
        weakref.finalize(self, shutil.rmtree, self._said)
        given = program, [*map(str, words)], cwd or Path.cwd(), {**os.environ, **environment}, self._said
        self._process = context().Process(target=_run, args=given)
        self._process.start()
        assert self._process.pid is not None
        self.pid: int = self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self.returncode

    def send_signal(self, sent: int) -> None:
        os.kill(self.pid, sent)

    def kill(self) -> None:
        if self.poll() is None:
            self.send_signal(signal.SIGKILL)

    def wait(self, timeout: float | None = None) -> int | None:
        self._process.join(timeout)
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        if self.wait(timeout) is None:
            raise subprocess.TimeoutExpired("", timeout or 0)
        return (self._said / "output").read_text(), (self._said / "error").read_text()

    def __enter__(self) -> Forked:
        return self

    def __exit__(self, *_: object) -> None:
        self.wait()


def ran(*words: object, **given: Any) -> subprocess.CompletedProcess[str]:
    """Such a process at its end."""
    process = Forked(*words, **given)
    output, error = process.communicate(timeout=300)
    return subprocess.CompletedProcess([*words], process.returncode or 0, output, error)


def _run(program: str, words: list[str], folder: Path, environment: dict[str, str], said: Path) -> None:
    os.setsid()
    for number, name in ((1, "output"), (2, "error")):
        file = os.open(said / name, os.O_WRONLY | os.O_CREAT)
        os.dup2(file, number)
        os.close(file)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv = ["-c", *words]
    exec(compile(program, "<string>", "exec"), {"__name__": "__main__"})
