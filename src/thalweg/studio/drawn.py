"""Landscapes that the page asks for: each computed in a process of its own, as a study is, and remembered."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from ..errors import UsageError
from ..language import language
from .training import AT_ONCE, Training

MOST = 64  # remembered; the oldest goes first

Place = tuple[Path, str, str]  # store, key of the setting, language


class Landscapes:
    def __init__(self) -> None:
        self._at_work, self._made = dict[Place, Training](), dict[Place, dict[str, Any]]()
        self._turn = threading.Lock()

    def of(self, path: Path, key: str, trust: bool) -> dict[str, Any]:
        """A setting's landscape, which the first call begins; nothing until it is there.

        Raises:
            UsageError: it cannot be had, or too many are at work.
        """
        from ..results import Results
        from .view import setting_of

        place = path, key, language()
        with self._turn:
            if place in self._made:
                return self._made[place]
            work = self._at_work.get(place)
            if work is None:
                setting_of(Results(path), key)  # there is one; once, since a page asks until the landscape is there
                if sum(one.alive for one in self._at_work.values()) >= AT_ONCE:
                    raise UsageError(f"{AT_ONCE} landscapes are at work; wait for one of them.")
                asked = {"do": "landscape", "store": str(path), "key": key, "trust": trust}
                self._at_work[place] = Training(asked)
                return {}
            if work.alive:
                return {}
            del self._at_work[place]
            work.end()
            if "landscape" not in work.facts:
                raise UsageError(work.facts.get("error") or "the landscape's process ended before it was done.")
            if len(self._made) >= MOST:
                del self._made[next(iter(self._made))]
            return self._made.setdefault(place, work.facts["landscape"])

    def end(self) -> None:
        """Stop what is at work; the studio ends."""
        for one in self._at_work.values():
            one.stop()
        for one in self._at_work.values():
            one.end()
