"""A study as the page shows it, and what has changed of it: one follower for a store and a language, for any tabs.

The view is a table of values by key: "status", "facts", "verdict", "diverged", "rates/…" for each optimizer and
schedule, "setting/…" for each setting of a stage. A follower reads the store when its `revision` has risen and keeps,
by number, which keys changed; whoever has seen a number is given the values of the keys that changed since, once, so a
slow reader gets less often what a fast one gets piece by piece. Nothing of a view is ever taken back, only replaced.

Judging takes longer than reading, so it has a thread of its own and takes a tenth of the time.
"""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import ThalwegError
from ..language import speaking
from .training import Trainings

EVERY = 1 / 15  # seconds between two looks, at least
SLOWER = 2  # times what reading took
RARELY = 9  # times what judging took
IDLE = 20  # seconds without a reader, after which a follower ends


class Follower:
    """Attributes:
    key: of this follower, so that numbers of another one are not taken for its own.
    number: of the last change.
    """

    def __init__(self, path: Path, language: str, trainings: Trainings) -> None:
        from ..results import Results  # what takes long to import is imported with the first follower

        self.path, self.language, self.key, self.number = path, language, secrets.token_hex(4), 0
        self.results, self._trainings = Results(path), trainings
        self._view: dict[str, Any] = {}
        self._changed: dict[str, int] = {}  # key → the number of its last change
        self._texts: dict[int, str] = {}  # number that was seen → what is sent now
        self._turn, self._ended = threading.Lock(), threading.Event()
        self.wanted = time.monotonic()
        for work in (self._read, self._judge):
            threading.Thread(target=work, daemon=True).start()

    @property
    def alive(self) -> bool:
        return not self._ended.is_set()

    def end(self) -> None:
        self._ended.set()

    def since(self, number: int) -> tuple[int, str]:
        """The number now, and as JSON the values of what has changed since that one; empty where nothing has.

        Readers that have seen the same are given the same text, which is written once.
        """
        self.wanted = time.monotonic()
        with self._turn:
            if number >= self.number:
                return self.number, ""
            if number not in self._texts:
                values = {key: self._view[key] for key, at in self._changed.items() if at > number}
                data = {"whole": number == 0, "values": values}
                self._texts[number] = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
            return self.number, self._texts[number]

    def _put(self, values: dict[str, Any]) -> None:
        with self._turn:
            new = {key: value for key, value in values.items() if self._view.get(key) != value}
            if new:
                self.number += 1
                self._texts.clear()
                self._view |= new
                self._changed |= dict.fromkeys(new, self.number)

    def _read(self) -> None:
        from .view import searched, status

        seen: Any = None

        def look() -> None:
            nonlocal seen
            training = self._trainings.of(self.path)
            if not self.path.exists():  # a study that has just begun
                self._put({"status": status(None, training)})
                return
            said = (training.number, training.alive) if training else None
            now = (self.results.revision, said)
            if now == seen:
                return
            if seen is None or now[0] != seen[0]:
                self._put(searched(self.results))
            self._put({"status": status(self.results, training)})
            seen = now

        self._repeat(look, SLOWER)

    def _judge(self) -> None:
        from .view import judged

        seen = -1

        def look() -> None:
            nonlocal seen
            if self.path.exists() and (now := self.results.revision) != seen:
                self._put({"verdict": judged(self.results)})
                seen = now

        self._repeat(look, RARELY)

    def _repeat(self, look: Callable[[], None], slower: float) -> None:
        with speaking(self.language):
            while not self._ended.is_set():
                begun = time.monotonic()
                try:
                    look()
                except ThalwegError as error:
                    self._put({"trouble": str(error)})
                took = time.monotonic() - begun
                if time.monotonic() - self.wanted > IDLE:
                    self._ended.set()
                self._ended.wait(max(EVERY, slower * took))


class Followers:
    """Those that somebody reads."""

    def __init__(self, trainings: Trainings) -> None:
        self._trainings, self._all, self._turn = trainings, dict[tuple[Path, str], Follower](), threading.Lock()

    def of(self, path: Path, language: str) -> Follower:
        with self._turn:
            one = self._all.get((path, language))
            if one is None or not one.alive:
                one = self._all[path, language] = Follower(path, language, self._trainings)
            one.wanted = time.monotonic()
            return one

    def end(self) -> None:
        for one in self._all.values():
            one.end()
