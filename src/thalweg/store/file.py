"""The file a study lives in: SQLite in WAL mode, written while the study runs.

    meta      key → JSON: the plan, the problem, the provenance, costs, the revision
    blocks    id, stage, seed, status (waiting | started | finished | stopped), step, seconds, checkpoint
    members   id, block, position in it, optimizer, lr, schedule, further (JSON: the levels of the other
              factors that vary, and last the fold), seed, diverged (step, or −1)
    curves    block, step, metric → float64 values, little-endian, in the order of the block's members
    parts     block, step, metric → float64 values of each member on each part of the samples, where runs of the
              confirmation are judged

What a block has learned after a pass over the data goes in as one transaction: a killed process leaves either all of it
or none. Curves are kept as one array per block, step and metric, so that a study of a hundred thousand members opens at
once. Checkpoints (safetensors) lie beside the file in ``<store>.checkpoints/``, are written under a temporary name and
renamed, and are named in `blocks` only then; the name carries a digest of the content, which exposes a damaged one. One
process writes, with a lock; any number read. Lock and checkpoints belong to the file, not to a symlink to it.

A store of an older schema is read and continued in that schema. The members of the first lack `further`: its study
varied nothing else. The second lacks `parts`.

Read next: `connection.py` (how the file is opened), `blocks.py`, `checks.py` (what it may hold).
"""

from __future__ import annotations

import errno
import functools
import glob
import hashlib
import json
import os
import shutil
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd
from filelock import FileLock, Timeout

from ..errors import StoreError
from ..files import put_new
from ..plan.criterion import Criterion
from ..plan.factors import Setting
from ..plan.folds import FOLD
from ..plan.stored import as_now
from . import checks
from .blocks import BlockRow, Compacted, compact
from .connection import APPLICATION, SCHEMA, VERSION, bounded, check_file, connect, damage, kind_of, mode
from .onward import objects_of, to_resume
from .values import judged, judged_parts

ENDED = ("finished", "stopped")  # of a block: nothing is left to train
DRAFTS = 10  # tries to make one
# Without a revision, which older versions leave out, it counts from 0.
_RAISE_REVISION = (
    "INSERT INTO meta VALUES ('revision', '1') ON CONFLICT (key) DO UPDATE SET value = CAST(value AS INTEGER) + 1"
)

BlockPlan = tuple[int, Sequence[Setting]] | tuple[int, Sequence[Setting], int | None]


class Store:
    """An open store; `create` begins one, `open` reads one, `writing` makes this process its writer."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path, self._db = path, connection
        self._file = path.resolve()
        self._turn = threading.Lock()  # the workers of a study share one connection
        self._checked = False  # whether the rows have been
        with self._reading():
            (version,) = connection.execute("PRAGMA user_version").fetchone()
        self._absent = "further" if version == 1 else ""
        self._arrays = ("curves", "parts") if version >= 3 else ("curves",)

    @classmethod
    def create(cls, path: str | Path, meta: Mapping[str, Any]) -> Store:
        """A new store; refuses a path where anything already is."""
        path = Path(path)
        kind = kind_of(path)
        if kind != "none":
            raise StoreError(kind if kind != "store" else f"{path} already holds a study; name another file.")
        # The longest name beside a store, so that one that is too long is refused here and not in mid-study.
        draft = path.with_name(f".{path.name}.{os.getpid():07}.new")
        try:
            _make_folder(path.parent)
            draft.write_bytes(b"")  # of what hinders it, SQLite would say only that it is unable
            with closing(sqlite3.connect(draft, isolation_level=None)) as db:
                numbers = f"PRAGMA application_id={APPLICATION}; PRAGMA user_version={VERSION}"
                db.executescript(f"PRAGMA journal_mode=MEMORY; {numbers}; {SCHEMA}")
                _note(db, meta)
            put_new(draft, path)
        except FileExistsError as error:
            raise StoreError(f"{path} already holds a study; name another file.") from error
        except (OSError, sqlite3.Error) as error:
            reason = getattr(error, "strerror", None) or error
            long = getattr(error, "errno", None) == errno.ENAMETOOLONG
            advice = "give it a shorter name" if long else "name a file in a folder you can write to"
            raise StoreError(f"{path} cannot be written: {reason}; {advice}.") from error
        finally:
            with suppress(OSError):  # its folder may not even be one
                draft.unlink(missing_ok=True)
        return cls.open(path, write=True)

    @classmethod
    def open(cls, path: str | Path, write: bool = False) -> Store:
        """An existing store, for reading unless `write`; anything else is refused and left as it was."""
        path = Path(path)
        kind = kind_of(path)
        if kind == "none":
            raise StoreError(
                "{path} does not exist; `thalweg compare` makes a store, by default under runs/.", path=path
            )
        if kind != "store":
            raise StoreError(kind)
        if write and not all(os.access(place, os.W_OK) for place in (path, path.resolve().parent)):
            reason = "permission denied, or the disk is read-only; copy it to where you can write"
            raise StoreError(f"{path} cannot be written: {reason}.")
        with damage(path):
            check_file(path, thoroughly=write)
            if not write:
                return cls(path, connect(path, mode(path)))
            db = connect(path, "mode=rw")
            try:
                db.execute("PRAGMA synchronous=NORMAL")
            except BaseException:
                db.close()
                raise
        return cls(path, db)

    def close(self) -> None:
        self._db.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the right to write; a second process is refused in a sentence."""
        lock = FileLock(f"{self._file}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            raise StoreError(f"{self.path} is being written by another process; wait for it, or stop it.") from error
        except OSError as error:
            raise StoreError(f"{self.path} cannot be written: {error.strerror or error}.") from error
        try:
            self._sweep()
            if (names := self._file.stat().st_nlink) > 1:
                raise StoreError(
                    f"{self.path} has {names} names (hard links), and SQLite keeps what is unwritten by name; "
                    "copy it or remove the other names."
                )
            with self._log():
                yield
        finally:
            with suppress(OSError):  # before its release: a process that waits for this very file sees that it is gone
                Path(lock.lock_file).unlink()
            lock.release()

    @contextmanager
    def _log(self) -> Iterator[None]:
        """Write ahead inside, so that others read meanwhile; then leave one file, beside which readers put none."""
        with damage(self.path):
            self._db.execute("PRAGMA journal_mode=WAL")
        try:
            yield
        finally:
            with suppress(sqlite3.Error):
                (patience,) = self._db.execute("PRAGMA busy_timeout").fetchone()
                self._db.execute("PRAGMA busy_timeout=0")
                with suppress(sqlite3.OperationalError):  # others read, and the log stays
                    self._db.execute("PRAGMA journal_mode=DELETE")
                self._db.execute(f"PRAGMA busy_timeout={patience}")

    def _sweep(self) -> None:
        """Remove what processes that were killed left half written."""
        drafts = [*self._file.parent.glob(f".{glob.escape(self._file.name)}.*.new"), *self.checkpoints.glob("*.tmp")]
        for draft in drafts:
            with suppress(OSError):
                draft.unlink()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with damage(self.path):
            try:
                with self._turn:
                    try:
                        self._db.execute("BEGIN IMMEDIATE")
                        yield self._db
                        self._db.execute(_RAISE_REVISION)
                        self._db.execute("COMMIT")
                    finally:
                        if self._db.in_transaction:
                            self._db.execute("ROLLBACK")
            except sqlite3.Error as error:  # after the turn, in which `onward` reads
                raise StoreError(
                    f"{self.path} cannot be written ({error}); what it held before is safe: "
                    f"make room or permission, then `{self.onward}`."
                ) from error

    # What is written

    def set_meta(self, key: str, value: Any) -> None:
        self.note({key: value})

    def note(self, meta: Mapping[str, Any]) -> None:
        with self._transaction() as db:
            _note(db, meta)

    def add_blocks(self, stage: str, blocks: Sequence[BlockPlan], meta: Mapping[str, Any] | None = None) -> None:
        """Blocks of a stage, all at once: (seed, settings in the order of the members) each, with the fold if any.

        Args:
            meta: what becomes known of the study with them, in the same transaction.
        """
        columns = ["block", "position", "optimizer", "lr", "schedule", "seed"]
        columns += [] if self._absent else ["further"]
        with self._transaction() as db:
            _note(db, meta or {})
            for seed, settings, *fold in blocks:
                cut = {FOLD: fold[0]} if fold and fold[0] is not None else {}
                row = db.execute("INSERT INTO blocks (stage, seed) VALUES (?, ?)", (stage, seed))
                members = [
                    (row.lastrowid, k, s.optimizer, s.lr, s.schedule, seed, json.dumps({**dict(s.further), **cut}))
                    for k, s in enumerate(settings)
                ]
                db.executemany(
                    f"INSERT INTO members ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})",
                    [member[: len(columns)] for member in members],
                )

    def drop_seeds(self, stage: str, seed: int, meta: Mapping[str, Any]) -> None:
        """Take the seeds of a stage from this one on out of what is to be trained; none of their blocks has begun."""
        with self._transaction() as db:
            _note(db, meta)
            which = "stage = ? AND seed >= ? AND status = 'waiting' AND step = 0"
            db.execute(f"DELETE FROM members WHERE block IN (SELECT id FROM blocks WHERE {which})", (stage, seed))
            db.execute(f"DELETE FROM blocks WHERE {which}", (stage, seed))

    def record(
        self,
        block: int,
        step: int,
        values: Mapping[str, np.ndarray],
        diverged: np.ndarray,
        seconds: float,
        finished: bool = False,
        parts: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        """Curve points of one block at one step, its members' fate and the time it took, in one transaction; where a
        confirmation is judged also its values on parts of the samples, (members, parts). One that has finished needs no
        checkpoint."""
        arrays = [(block, step, name, v.astype("<f8").tobytes()) for name, v in values.items()]
        divergences = [(int(s), block, k) for k, s in enumerate(diverged.tolist()) if s >= 0]
        work = ("finished" if finished else "started", step, seconds, block)
        with self._transaction() as db:
            before = self._checkpoint_of(db, block) if finished else None
            db.executemany("INSERT OR REPLACE INTO curves VALUES (?, ?, ?, ?)", arrays)
            if parts and "parts" in self._arrays:
                blobs = [(block, step, name, v.astype("<f8").tobytes()) for name, v in parts.items()]
                db.executemany("INSERT OR REPLACE INTO parts VALUES (?, ?, ?, ?)", blobs)
            db.executemany("UPDATE members SET diverged = ? WHERE block = ? AND position = ?", divergences)
            db.execute("UPDATE blocks SET status = ?, step = max(step, ?), seconds = seconds + ? WHERE id = ?", work)
        self.drop_checkpoint(before)

    def compact(self, rows: Sequence[BlockRow], new: Sequence[Compacted], meta: Mapping[str, Any]) -> None:
        """Part blocks into what goes on, in new blocks with all its past, and the rest, which is stopped.

        One transaction, together with what is to be noted in `meta`.

        Args:
            rows: blocks of one stage, all at the end of the same pass.
            new: the new blocks; their checkpoints are written.
        """
        with self._transaction() as db:
            compact(db, rows, new, self._arrays)
            _note(db, meta)

    @property
    def checkpoints(self) -> Path:
        return self._file.with_name(self._file.name + ".checkpoints")

    def save_checkpoint(self, block: int, step: int, content: bytes) -> None:
        """Replace the block's checkpoint; the old one stays until the new one is whole and named."""
        name = self.write_checkpoint(block, step, content)
        with self._transaction() as db:
            before = self._checkpoint_of(db, block)
            db.execute("UPDATE blocks SET checkpoint = ?, status = 'started' WHERE id = ?", (name, block))
        if before != name:
            self.drop_checkpoint(before)

    def _checkpoint_of(self, db: sqlite3.Connection, block: int) -> str | None:
        (name,) = db.execute("SELECT checkpoint FROM blocks WHERE id = ?", (block,)).fetchone()
        return name

    def write_checkpoint(self, block: int, step: int, content: bytes) -> str:
        """A checkpoint beside the store, which knows nothing of it yet; its name."""
        name = f"{block}-{step}-{_digest(content)}.safetensors"
        try:
            with _draft(self.checkpoints, name) as file:
                file.write(content)
                file.flush()
                # Before it gets its name, so that a power cut leaves no empty file under it.
                os.fsync(file.fileno())
            os.replace(file.name, self.checkpoints / name)
        except OSError as error:
            raise StoreError(
                f"{self.checkpoints} cannot be written: {error.strerror or error}; what {self.path} holds is safe: "
                f"make room or permission, then `{self.onward}`."
            ) from error
        return name

    def load_checkpoint(self, row: BlockRow) -> bytes | None:
        """The block's checkpoint, or None where there is none: then it starts afresh, with the same result."""
        if row.checkpoint is None:
            return None
        try:
            content = (self.checkpoints / Path(row.checkpoint).name).read_bytes()
        except OSError:
            return None
        return content if row.checkpoint.endswith(f"-{_digest(content)}.safetensors") else None

    def drop_checkpoint(self, name: str | None) -> None:
        """Remove a checkpoint that is not needed any more, by its name: to list thousands of files takes longer than
        all else that a block's end does."""
        if name is not None:
            with suppress(OSError):  # not there, or another block's checkpoint is beside it
                (self.checkpoints / Path(name).name).unlink(missing_ok=True)
                self.checkpoints.rmdir()

    def clear_checkpoints(self) -> None:
        """Remove what may be left of blocks that were killed as they were saved, ended, or were put together anew."""
        shutil.rmtree(self.checkpoints, ignore_errors=True)

    # What is read

    def meta(self, key: str, default: Any = None) -> Any:
        """What is known of the whole study under that key, of the shape that `checks.py` says."""
        with self._reading():
            row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
            if row is None and default is None and key in checks.REQUIRED:
                raise checks.Damage(f"it has no {key}")
            return default if row is None else checks.meta(key, row[0])

    @property
    def onward(self) -> str:
        """How an unfinished study is carried on."""
        with suppress(StoreError, sqlite3.Error):  # a file that cannot be read is carried on by its name
            return to_resume(self.path, objects_of(self.meta("problem", {}), self.meta("plan", {})))
        return to_resume(self.path, ())

    @property
    def revision(self) -> int:
        """A number that each transaction raises: while it stays, what was read before still holds."""
        return self.meta("revision", 0)

    def stages(self) -> dict[str, set[str]]:
        """stage → the statuses its blocks have."""
        statuses: dict[str, set[str]] = {}
        with self._reading():
            for stage, status in self._db.execute("SELECT DISTINCT stage, status FROM blocks"):
                statuses.setdefault(stage, set()).add(status)
        return statuses

    def blocks(self, stage: str | None = None) -> list[BlockRow]:
        settings: dict[int, list[Setting]] = {}
        folds: dict[int, int] = {}
        with self._reading(rows=True):  # a worker may halve a block between the two queries
            for block, optimizer, lr, schedule, further in self._db.execute(
                f"SELECT block, optimizer, lr, schedule, {self._further} FROM members ORDER BY block, position"
            ):
                levels = _levels(further)
                if levels and levels[-1][0] == FOLD:
                    *levels, (_, folds[block]) = levels
                settings.setdefault(block, []).append(Setting(optimizer, lr, schedule, tuple(levels)))
            rows = self._db.execute("SELECT id, stage, seed, status, step, seconds, checkpoint FROM blocks ORDER BY id")
            blocks = [BlockRow(*row, settings=tuple(settings[row[0]]), fold=folds.get(row[0])) for row in rows]
        return [block for block in blocks if stage in (None, block.stage)]

    def point(self, block: int, step: int, metric: str) -> np.ndarray | None:
        """The value of a metric at a step for each of the block's members; None where there is none."""
        with self._reading(rows=True):
            query = "SELECT value FROM curves WHERE block = ? AND step = ? AND metric = ?"
            row = self._db.execute(query, (block, step, metric)).fetchone()
            return None if row is None else checks.curve(row[0], self._counts().get(block), metric, step)

    def _counts(self) -> dict[int, int]:
        """block → how many members it has."""
        return dict(self._db.execute("SELECT block, count(*) FROM members GROUP BY block"))

    def members(self) -> pd.DataFrame:
        """One row per member: member, stage, optimizer, lr, schedule, each further factor that varies, seed,
        status, step, then the value of each metric that it is judged by (see `values.py`), which is the last one unless
        the study says otherwise; NaN until there is one."""
        with self._reading(rows=True):
            table = pd.read_sql_query(
                "SELECT m.id AS member, m.block, m.position, b.stage, m.optimizer, m.lr, m.schedule, "
                f"{self._further} AS further, m.seed, "
                "CASE WHEN m.diverged >= 0 THEN 'diverged' ELSE b.status END AS status, "
                "CASE WHEN m.diverged >= 0 THEN m.diverged ELSE b.step END AS step "
                "FROM members m JOIN blocks b ON b.id = m.block ORDER BY m.block, m.position",
                self._db,
            )
            first = np.flatnonzero(table["position"].to_numpy() == 0)
            start = dict(zip(table["block"].to_numpy()[first].tolist(), first.tolist(), strict=True))
            columns: dict[str, np.ndarray] = {}
            for block, metric, array in judged(self._db, self._counts(), self._criterion()):
                column = columns.setdefault(metric, np.full(len(table), np.nan))
                column[start[block] : start[block] + len(array)] = array
            table = _spread(table)
            if table.drop(columns=["member", "block", "position", "status", "step"]).duplicated().any():
                raise checks.Damage("members has the same run twice")
        for metric in sorted(columns, key=lambda m: (not m.startswith("train"), not m.endswith("loss"), m)):
            table[metric] = columns[metric]
        return table.drop(columns=["block", "position"])

    @property
    def _further(self) -> str:
        return "'{}'" if self._absent else "further"

    def curves(self, stage: str | None = None) -> pd.DataFrame:
        """member, step, metric, value: every recorded point, or every one of that stage."""
        query, metrics = "SELECT block, step, metric, value FROM curves", list[str]()
        if stage is not None:
            query += " WHERE block IN (SELECT id FROM blocks WHERE stage = :stage)"
        parts = [(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))]
        with self._reading(rows=True):
            counts = self._counts()
            first = dict(self._db.execute("SELECT block, min(id) FROM members GROUP BY block"))
            for block, step, metric, value in self._db.execute(query, {"stage": stage}):
                array = checks.curve(value, counts.get(block), metric, step)
                parts.append((first[block] + np.arange(len(array)), np.full(len(array), step), array))
                metrics += [metric] * len(array)
        members, steps, values = (np.concatenate(column) for column in zip(*parts, strict=True))
        return pd.DataFrame({"member": members, "step": steps, "metric": pd.Categorical(metrics), "value": values})

    def curve(self, member: int, metric: str) -> np.ndarray:
        """One member's values of a metric, in the order of the steps."""
        with self._reading(rows=True):
            block, position = self._db.execute("SELECT block, position FROM members WHERE id = ?", (member,)).fetchone()
            arrays = self._db.execute(
                "SELECT value, step FROM curves WHERE block = ? AND metric = ? ORDER BY step", (block, metric)
            )
            count = self._counts()[block]
            return np.array([checks.curve(value, count, metric, step)[position] for value, step in arrays])

    def parts(self) -> dict[str, pd.DataFrame]:
        """Metric → its values on each part of the samples, for runs of the confirmation: a row for each member, by its
        number, and a column for each part, of the epochs that judge. Older stores have none."""
        if "parts" not in self._arrays:
            return {}
        with self._reading(rows=True):
            rows = self._db.execute("SELECT block, id, further FROM members WHERE position = 0").fetchall()
            first = {block: member for block, member, _ in rows}
            folds = {block: dict(_levels(further)).get(FOLD) for block, _, further in rows}
            return judged_parts(self._db, self._counts(), first, folds, self._criterion())

    def _criterion(self) -> Criterion:
        """By what the study judges, read within a transaction that is open; the default where there is no plan."""
        row = self._db.execute("SELECT value FROM meta WHERE key = 'plan'").fetchone()
        plan = as_now({} if row is None else checks.meta("plan", *row))
        return Criterion.of(plan["by_metric"], plan["judge"])

    @contextmanager
    def _reading(self, rows: bool = False) -> Iterator[None]:
        """One view of the store for several queries, whatever is written meanwhile.

        Args:
            rows: whether blocks or members are read, which are checked once.
        """
        with damage(self.path), self._turn, bounded(self._db, self._file):
            self._db.execute("BEGIN")
            try:
                if rows and not self._checked:
                    checks.check_rows(self._db, self._absent)
                    self._checked = True
                yield
            finally:
                if self._db.in_transaction:  # some errors end it
                    self._db.execute("ROLLBACK")

    def stamp(self, provenance: Mapping[str, Any]) -> None:
        """Note a session of writing."""
        self.set_meta("sessions", [*self.meta("sessions", []), {**provenance, "at": time.time()}])


def _note(db: sqlite3.Connection, meta: Mapping[str, Any]) -> None:
    values = [(key, json.dumps(value)) for key, value in meta.items()]
    db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", values)


@functools.lru_cache(maxsize=4096)
def _levels(further: str) -> tuple[tuple[str, Any], ...]:
    return tuple(checks.levels(further).items())


def _spread(table: pd.DataFrame) -> pd.DataFrame:
    """The table with the column `further` as one column per factor, in its place."""
    with_levels, texts = pd.factorize(table["further"])
    further = [dict(_levels(text)) for text in texts]
    place = table.columns.get_loc("further")
    table = table.drop(columns="further")
    for k, name in enumerate(dict.fromkeys(name for levels in further for name in levels)):
        levels = pd.Series([levels.get(name) for levels in further]).infer_objects()
        if name == FOLD:  # after the seed, and missing where a member has none
            folds = levels.astype("Int64").take(with_levels).array
            table.insert(table.columns.get_loc("seed") + 1, name, folds)  # pyright: ignore[reportArgumentType]
        else:
            table.insert(place + k, name, levels.take(with_levels).to_numpy())
    return table


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:  # which to `Store.create` would mean that another process was faster
        raise NotADirectoryError(error.errno, f"{folder} is a file") from error


def _draft(folder: Path, name: str) -> BinaryIO:
    """A file to become `name` in the folder, which is made unless it is there."""
    for _ in range(DRAFTS):
        _make_folder(folder)
        # Another worker that drops the last checkpoint takes the empty folder with it.
        with suppress(FileNotFoundError):
            return (folder / f"{name}.tmp").open("wb")
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(folder))


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
