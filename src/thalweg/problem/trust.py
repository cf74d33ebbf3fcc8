"""Whether code that a store names may be loaded: only what this machine ran before, or after a yes.

A store is data, and may come from anywhere; the problem and the optimizers it names are files and modules, and to
load one is to run it. What a user names, as to `compare`, is remembered as (spec, sha256 of the source) in a small
file of the user's state; a store may name it again, as long as the source is the same. The file is a memory and not
a lock: one that cannot be read or written remembers nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import sys
from collections.abc import Iterable
from importlib.machinery import ModuleSpec
from pathlib import Path

from ..errors import PlanError
from ..files import put

MOST = 1000  # specs that are remembered
_LOGGED = "logging to "
_session: set[tuple[str, str]] = set()  # where the file cannot be written


def check(spec: str) -> None:
    """Refuse to load what a store names unless it is trusted.

    Raises:
        PlanError: it never ran on this machine as it is now.
    """
    if unknown([spec]):
        raise PlanError(
            "the store names {spec}, which never ran on this machine as it is now; read it, and if you "
            "trust it, say so with --trust, or trust=True in Python.",
            spec=spec,
        )


def unknown(specs: Iterable[str]) -> list[str]:
    """Those that would run something that is not trusted."""
    digests = {spec: digest for spec in dict.fromkeys(specs) if (digest := _digest(spec)) is not None}
    trusted = _session if digests.items() <= _session else _session | _remembered()
    return [spec for spec, digest in digests.items() if (spec, digest) not in trusted]


def address(callback: str) -> str:
    """What stands here for a callback that a store names: where a study is logged to is remembered as well."""
    return _LOGGED + callback


def remember(specs: Iterable[str]) -> None:
    """Trust these from now on, as long as their source stays the same."""
    new = {(spec, digest) for spec in specs if (digest := _digest(spec)) is not None}
    _session.update(new)
    old = _remembered()
    if not new <= old:
        with contextlib.suppress(OSError, RuntimeError, ValueError):
            put(_file(), json.dumps([*(old - new), *new][-MOST:]).encode())


def _file() -> Path:
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "thalweg" / "trusted.json"


def _remembered() -> set[tuple[str, str]]:
    try:
        return {(str(spec), str(digest)) for spec, digest in json.loads(_file().read_text(encoding="utf-8"))}
    except (OSError, RuntimeError, ValueError, TypeError, RecursionError):
        return set()


def _digest(spec: str) -> str | None:
    """Of the source behind a spec, which is not run; None where there is nothing to run."""
    if spec.startswith((_LOGGED, "command(")):
        return hashlib.sha256(spec.encode()).hexdigest()
    place, _, _ = spec.rpartition(":")
    if not place or spec.startswith("table("):
        return None  # a name of ours, or data
    content = _file_source(Path(place)) if place.endswith(".py") else _module_source(place)
    return None if content is None else hashlib.sha256(content).hexdigest()


def _file_source(path: Path) -> bytes | None:
    try:
        path = path.expanduser().resolve()
        return str(path).encode() + b"\0" + path.read_bytes()
    except (OSError, RuntimeError, ValueError):
        return None


def _module_source(name: str) -> bytes | None:
    """The source of the module and of the packages around it, which an import would run too."""
    content, folders = b"", [str(Path.cwd()), *sys.path]
    for place in itertools.accumulate(name.split("."), "{}.{}".format):
        spec = _module_spec(place, folders)
        if spec is None:
            return None
        origin = Path(spec.origin or "")
        content += str(spec.origin).encode() + b"\0" + (origin.read_bytes() if origin.is_file() else b"")
        folders = list(spec.submodule_search_locations or ())
    return content


def _module_spec(name: str, folders: list[str]) -> ModuleSpec | None:
    """Where a module would be imported from; nothing is imported."""
    for finder in sys.meta_path:
        with contextlib.suppress(Exception):  # whatever a finder of another package may raise
            if (spec := finder.find_spec(name, folders)) is not None:
                return spec
    return None
