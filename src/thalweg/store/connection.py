"""How a store is opened: what the file is called, what it is, whether it is whole, and a connection of bounded work.

Nothing here writes, and where no process writes, nothing is made beside the file.
"""

from __future__ import annotations

import errno
import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pandas as pd

from ..errors import StoreError
from ..language import say
from . import checks

APPLICATION = 0x7468616C  # "thal"
VERSION = 3
LONGEST = 2**24  # bytes of one value in a store: the plan of a million runs is as long
WORK = 10_000_000  # steps of SQLite that any question may take,
WORK_PER_BYTE = 20  # and those per byte of the file: several times what the largest of our own take
SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE blocks (
    id INTEGER PRIMARY KEY, stage TEXT NOT NULL, seed INTEGER NOT NULL,
    status TEXT NOT NULL DEFAULT 'waiting', step INTEGER NOT NULL DEFAULT 0,
    seconds REAL NOT NULL DEFAULT 0, checkpoint TEXT
);
CREATE TABLE members (
    id INTEGER PRIMARY KEY, block INTEGER NOT NULL REFERENCES blocks, position INTEGER NOT NULL,
    optimizer TEXT NOT NULL, lr REAL NOT NULL, schedule TEXT NOT NULL,
    further TEXT NOT NULL DEFAULT '{}', seed INTEGER NOT NULL, diverged INTEGER NOT NULL DEFAULT -1
);
CREATE INDEX members_of_block ON members (block, position);
CREATE TABLE curves (
    block INTEGER NOT NULL REFERENCES blocks, step INTEGER NOT NULL, metric TEXT NOT NULL, value BLOB NOT NULL,
    PRIMARY KEY (block, step, metric)
) WITHOUT ROWID;
CREATE INDEX curves_by_metric ON curves (block, metric, step);  -- so that the last points are found without the others
CREATE TABLE parts (
    block INTEGER NOT NULL REFERENCES blocks, step INTEGER NOT NULL, metric TEXT NOT NULL, value BLOB NOT NULL,
    PRIMARY KEY (block, step, metric)
) WITHOUT ROWID;
"""

_SECOND = SCHEMA[: SCHEMA.index("CREATE TABLE parts")]
SCHEMAS = {1: _SECOND.replace("further TEXT NOT NULL DEFAULT '{}', ", ""), 2: _SECOND, VERSION: SCHEMA}


def stem_of(name: str) -> str:
    """A problem's name as that of its store, without the ending.

    >>> stem_of("../été: 1"), stem_of("///")
    ('été-1', 'study')
    """
    return re.sub(r"[^\w.-]+", "-", name).strip("-.") or "study"


def kind_of(path: Path) -> str:
    """`none`, `store`, or a sentence that says what the file is instead; the file is only read."""
    try:
        if not path.exists():
            broken = f"{path} is a broken symlink; it is left as it was: name another file."
            return broken if path.is_symlink() else "none"
        if path.is_dir():
            return f"{path} is a folder, not a store; name a file."
        if not path.is_file():  # a pipe, which would never end
            return f"{path} is not a regular file, and not a thalweg store; name another file."
        if not os.access(path, os.R_OK):
            return f"{path} cannot be read: {os.strerror(errno.EACCES)}."
        application, version = _header(path) if path.stat().st_size >= 100 else (None, None)
    except OSError as error:
        return f"{path} cannot be read: {error.strerror or error}."
    except sqlite3.OperationalError as error:
        return f"{path} cannot be read: {error}."
    if application is None:
        return say("{path} is not a thalweg store; it is left as it was: name another file.", path=path)
    if application != APPLICATION:
        return f"{path} is another program's database; it is left as it was: name another file."
    if version not in SCHEMAS:
        readable = f"this thalweg reads versions {min(SCHEMAS)} to {max(SCHEMAS)}"
        return f"{path} is a store of version {version}, and {readable}; it is left as it was."
    return "store"


def _header(path: Path) -> tuple[int, int] | tuple[None, None]:
    """The numbers of the application and of the schema; None where the file is not a database.

    SQLite reads them: whatever else closes a file takes away the locks that its process has on it.
    """
    with closing(connect(path, "immutable=1")) as db:
        try:
            db.execute("PRAGMA writable_schema=ON")  # so that a length that is wrong, or changes now, hinders nothing
            return tuple(db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version"))
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError:
            return None, None


def connect(path: Path, how: str) -> sqlite3.Connection:
    """A connection that refuses values longer than any of a study."""
    address = f"{path.resolve().as_uri()}?{how}"
    db = sqlite3.connect(address, uri=True, isolation_level=None, timeout=30, check_same_thread=False)
    db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LONGEST)
    return db


@contextmanager
def bounded(db: sqlite3.Connection, path: Path) -> Iterator[None]:
    """Let SQLite work no longer inside than a store of that length can need, so that a damaged one ends."""
    length = 0
    for file in (path, path.with_name(f"{path.name}-wal")):
        with suppress(OSError):  # there may be no such file
            length += file.stat().st_size
    calls = iter(range((WORK + WORK_PER_BYTE * length) // 100_000))
    db.set_progress_handler(lambda: next(calls, None) is None, 100_000)
    try:
        yield
    finally:
        db.set_progress_handler(None, 0)


def mode(path: Path) -> str:
    """How to read: where no folder can be written, a store that no process writes needs no files beside it."""
    return "immutable=1" if _alone(path) and not os.access(path.resolve().parent, os.W_OK) else "mode=ro"


def _alone(path: Path) -> bool:
    """Whether nothing unwritten lies beside a store."""
    file = path.resolve()
    return not file.with_name(f"{file.name}-wal").exists()


def check_file(path: Path, thoroughly: bool) -> None:
    """Raise what SQLite says of a damaged store."""
    alone = _alone(path)
    with closing(connect(path, "immutable=1" if alone else "mode=ro")) as db, bounded(db, path):
        pages, size = (db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
        if alone and path.stat().st_size < pages * size:
            raise sqlite3.DatabaseError("its end is missing")
        checks.check_tables(db, SCHEMAS)
        if thoroughly and (verdict := db.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
            raise sqlite3.DatabaseError(verdict)


@contextmanager
def damage(path: Path) -> Iterator[None]:
    """Whatever a damaged store makes of reading it, in one sentence."""
    try:
        yield
    except (sqlite3.Error, OSError, pd.errors.DatabaseError, UnicodeDecodeError, checks.Damage) as error:
        reason = " ".join(str(error).split())
        raise StoreError(f"{path} cannot be read as a store ({reason}); it is damaged, and left as it was.") from error
