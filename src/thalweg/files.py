"""Files that appear whole or not at all: written under a name beside their own, which they are then given in one move.

Whoever reads meanwhile, or after a crash, finds the old file or the new one, never half of one.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import ThalwegError


@contextmanager
def draft(path: Path) -> Iterator[Path]:
    """A name beside `path` to write under; whatever is left there is removed."""
    start = path.name.encode(errors="ignore")[:200].decode(errors="ignore")  # file systems count bytes
    place = path.parent / f".{start}.{os.getpid()}.new"
    try:
        yield place
    finally:
        with suppress(OSError, ValueError):  # its folder may not even be one
            shutil.rmtree(place, ignore_errors=True) if place.is_dir() else place.unlink()


def put(path: Path, content: bytes) -> None:
    """Write the file, in a folder that is made unless it is there; an older file is replaced."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with draft(path) as place:
        place.write_bytes(content)
        os.replace(place, path)


def check_place(path: Path, error: type[ThalwegError]) -> None:
    """Refuse a file that could not be written, before any work is done for it; nothing is made."""
    # Folders that are missing will be made; what has to exist is something above them to make them in.
    above = next(p for p in (path, *path.absolute().parents) if p.exists())
    if above != path and not above.is_dir():
        raise error(
            "{file} cannot be written: {above} is a file, not a folder; name another place.",
            file=path,
            above=above.name,
        )
    if not os.access(above, os.W_OK):
        raise error("{file} cannot be written: permission denied; name another file.", file=path)


def put_new(place: Path, path: Path) -> None:
    """Give what stands at `place` its name, never replacing what another process put there first."""
    try:
        os.link(place, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links: claim the name, then fill it
        with path.open("xb"):
            os.replace(place, path)
