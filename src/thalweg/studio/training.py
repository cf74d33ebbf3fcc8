"""What the studio trains, each in a process of its own: begun, paused, stopped, and told how far it is.

A pause freezes the process and what it has started as they are (SIGSTOP), so that it goes on at once. To stop is
Ctrl-C: what is done is in the store, and `resume` carries it on, from here or from anywhere.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..errors import UsageError
from ..language import language

AT_ONCE = 4  # studies
PATIENCE = 5  # seconds until a process that was asked to stop is ended


class Training:
    """One process at work.

    Attributes:
        facts: what it has said last: part, share, left, rate, note, error.
        number: how often it has said something.
        paused, stopping: what was asked of it.
    """

    def __init__(self, asked: Mapping[str, Any]) -> None:
        code = [sys.executable, "-m", "thalweg.studio.worker"]
        self.facts: dict[str, Any] = {}
        self.number, self.paused, self.stopping = 0, False, False
        place = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
        surroundings = {**os.environ, "THALWEG_LANGUAGE": language(), "PYTHONPATH": place.rstrip(os.pathsep)}
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self._process = subprocess.Popen(code, **pipes, env=surroundings, start_new_session=True)
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        self._listening = threading.Thread(target=self._listen, daemon=True)
        self._listening.start()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with suppress(ValueError):  # what a user's model prints
                said = json.loads(line)
                if isinstance(said, dict):
                    self.facts.update(said)
                    self.number += 1
        self._process.wait()
        self.number += 1

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def pause(self) -> None:
        self._signal(signal.SIGSTOP)
        self.paused = True
        self.number += 1

    def go_on(self) -> None:
        self._signal(signal.SIGCONT)
        self.paused = False
        self.number += 1

    def stop(self) -> None:
        self.stopping = True
        if self.paused:
            self.go_on()
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGINT)
        self.number += 1

    def end(self) -> None:
        """Wait until it has stopped; kill it if it takes too long, which harms no store."""
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
            self._process.wait()
        self._listening.join(1)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)


class Trainings:
    """By the path of their store."""

    def __init__(self) -> None:
        self._all: dict[Path, Training] = {}
        self._turn = threading.Lock()

    def of(self, path: Path) -> Training | None:
        """The one at work, or the last one."""
        return self._all.get(path)

    def begin(self, path: Path, **asked: Any) -> None:
        """Start a process.

        Raises:
            UsageError: one is at work there, or too many elsewhere.
        """
        with self._turn:
            before = self._all.get(path)
            if before is not None and before.alive:
                raise UsageError("this study is at work; stop it first.")
            if sum(one.alive for one in self._all.values()) >= AT_ONCE:
                raise UsageError(f"{AT_ONCE} studies are at work; stop one of them first.")
            if before is not None:
                before.end()
            self._all[path] = Training({**asked, "store": str(path)})

    def at_work(self, path: Path) -> Training:
        one = self._all.get(path)
        if one is None or not one.alive:
            raise UsageError("this study is not at work here.")
        return one

    def end(self) -> None:
        """Stop all; the studio ends."""
        alive = [one for one in self._all.values() if one.alive]
        for one in alive:
            one.stop()
        for one in self._all.values():
            one.end()
